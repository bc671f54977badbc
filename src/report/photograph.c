#include "report/photograph.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

mm_status mm_photographs_manifest(const mm_dataset *dataset, const char *corpus, mm_manifest **manifest, mm_error *err)
{
    char path[PATH_MAX];
    const char *folder = mm_dataset_folder(dataset);
    *manifest = NULL;
    int length = snprintf(path, sizeof path, "%s/manifest.h5", folder);
    if (length > 0 && length < PATH_MAX && access(path, F_OK) != 0) /* a shard lies one folder deeper */
        length = snprintf(path, sizeof path, "%s/../manifest.h5", folder);
    if (length < 0 || length >= PATH_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "%.100s...: its path is too long", folder);
    const mm_status status = mm_manifest_open(path, manifest, err);
    return status == MM_OK && corpus ? mm_manifest_move_root(*manifest, corpus, err) : status;
}

mm_status mm_photographs_open(const mm_dataset *dataset, const char *corpus, mm_photographs *photographs, mm_error *err)
{
    char *yaml = NULL;
    *photographs = (mm_photographs){0};
    mm_status status = mm_dataset_config(dataset, &yaml, err);
    if (status == MM_OK)
        status = mm_config_from_yaml(yaml, &photographs->config, err);
    free(yaml);
    if (status == MM_OK)
        status = mm_photographs_manifest(dataset, corpus, &photographs->manifest, err);
    if (status != MM_OK)
        mm_photographs_close(photographs);
    return status;
}

void mm_photographs_close(mm_photographs *photographs)
{
    mm_manifest_free(photographs->manifest);
    photographs->manifest = NULL;
}

mm_status mm_photographs_read(const mm_photographs *photographs, uint64_t image_id, mm_image *image, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    const mm_config *config = &photographs->config;
    if (image_id >= mm_manifest_count(photographs->manifest))
        return mm_fail(err, MM_ERR_FORMAT, "manifest.h5 has no image %" PRIu64, image_id);
    mm_status status = mm_corpus_read(photographs->manifest, image_id, config->image.max_bytes, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    const mm_jpeg_options options = {.ignore_orientation = config->image.ignore_orientation,
                                     .max_pixels = config->image.max_pixels};
    status = mm_image_decode_jpeg(bytes, size, &options, image, err);
    free(bytes);
    return status;
}

mm_status mm_photograph_masks(const mm_record *record, mm_rle **masks, mm_error *err)
{
    *masks = calloc((size_t)record->mask_count + 1, sizeof **masks); /* + 1: never NULL for nothing */
    if (!*masks)
        return mm_fail_memory(err, "masks");
    mm_status status = MM_OK;
    for (uint64_t i = 0; status == MM_OK && i < record->mask_count; i++)
        status = mm_rle_from_counts(record->rle + record->rle_offset[i],
                                    (size_t)(record->rle_offset[i + 1] - record->rle_offset[i]), record->height,
                                    record->width, &(*masks)[i], err);
    return status;
}

void mm_photograph_masks_free(const mm_record *record, mm_rle *masks)
{
    for (uint64_t i = 0; masks && i < record->mask_count; i++)
        mm_rle_free(&masks[i]);
    free(masks);
}
