/* Boxes from the masks of a dataset. */
#include <stdlib.h>

#include "maskmill/shard.h"
#include "train/samples.h"

static mm_status add_record(mm_samples *samples, const mm_record *record, const char *name, uint32_t source,
                            bool validation, mm_error *err)
{
    if (record->image_id >= mm_manifest_count(samples->manifests[source]))
        return mm_fail(err, MM_ERR_FORMAT, "its image %llu is not in its manifest.h5",
                       (unsigned long long)record->image_id);
    const mm_sample sample = {.image_id = record->image_id, .source = source, .width = record->width,
                              .height = record->height, .validation = validation};
    mm_status status = mm_samples_add(samples, &sample, name, err);
    for (uint64_t i = 0; status == MM_OK && i < record->mask_count; i++) {
        const float *b = record->bbox[i]; /* x, y, and how far it is to the last column and row */
        const double box[4] = {(double)b[0], (double)b[1], (double)(b[0] + b[2]) + 1, (double)(b[1] + b[3]) + 1};
        status = mm_samples_add_box(samples, samples->count - 1, box, err);
    }
    return status;
}

mm_status mm_samples_add_dataset(mm_samples *samples, const char *path, uint32_t source, bool validation, mm_error *err)
{
    mm_dataset *dataset = NULL;
    mm_status status = mm_dataset_open(path, &dataset, err);
    for (uint64_t row = 0; status == MM_OK && row < mm_dataset_images(dataset); row++) {
        mm_record record;
        char *name = NULL;
        status = mm_dataset_read(dataset, row, &record, &name, err);
        if (status != MM_OK)
            break;
        if (record.status == MM_IMAGE_DONE && record.mask_count > 0) {
            status = add_record(samples, &record, name, source, validation, err);
            if (status != MM_OK && err)
                (void)mm_error_prefix(err, "%s", path); /* returns the status it has */
        }
        mm_record_free(&record);
        free(name);
    }
    mm_dataset_close(dataset);
    return status;
}
