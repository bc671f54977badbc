/* COCO: opens in pycocotools, CVAT and datumaro. A file a batch, in the folders that datumaro knows. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "queue/export.h"
#include "shard/export.h"
#include "shard/json.h"

enum { CATEGORY_OBJECT = 1, CATEGORY_HINT };

static void print_image(FILE *out, const mm_batch_image *image)
{
    char name[MM_SHOWN_TEXT];
    mm_photograph_name(image->row.image_id, name);
    (void)fprintf(out, "{\"id\": %" PRIu64 ", \"width\": %" PRIu32 ", \"height\": %" PRIu32 ", \"file_name\": \"%s\", "
                  "\"maskmill\": {\"file_name\": ", image->row.image_id, image->row.width, image->row.height, name);
    mm_json_string(out, image->file_name, strlen(image->file_name));
    (void)fputs(", \"priority\": ", out);
    mm_json_f32(out, image->row.priority);
    (void)fputs(", \"uncovered\": ", out);
    mm_json_f32(out, image->row.uncovered);
    (void)fputs("}}", out);
}

/* A number that masks by people have not: it is left out rather than null, which annotators' tools do not expect. */
static void print_score(FILE *out, const char *name, float value)
{
    if (!isfinite(value))
        return;
    (void)fprintf(out, ", \"%s\": ", name);
    mm_json_f32(out, value);
}

static void print_annotation(FILE *out, const mm_batch_image *image, const mm_shown_mask *mask)
{
    const mm_record *record = mask->record;
    const uint32_t i = mask->name.index;
    const uint64_t start = record->rle_offset[i], end = record->rle_offset[i + 1];
    char text[MM_SHOWN_TEXT];
    uint32_t box[4];
    mm_rle_box(&mask->rle, box);
    mm_shown_text(&mask->name, text);
    (void)fprintf(out, "{\"id\": %" PRIu64 ", \"image_id\": %" PRIu64 ", \"category_id\": %d, \"iscrowd\": 0, "
                  "\"segmentation\": ", mm_shown_number(&mask->name), image->row.image_id,
                  mask->name.kind == MM_SHOWN_HINT ? CATEGORY_HINT : CATEGORY_OBJECT);
    mm_json_rle(out, record->height, record->width, record->rle + start, (size_t)(end - start));
    /* COCO's own boxes end behind the last pixel. */
    (void)fprintf(out, ", \"area\": %" PRIu64 ", \"bbox\": [%" PRIu32 ", %" PRIu32 ", %" PRIu32 ", %" PRIu32 "], "
                  "\"attributes\": {\"maskmill\": \"%s\", \"source\": \"%s\"", mask->area, box[0], box[1],
                  box[2] - box[0] + 1, box[3] - box[1] + 1, text, mm_shown_source(mask));
    print_score(out, "detector_score", mm_shown_detector_score(mask));
    print_score(out, "predicted_iou", record->predicted_iou[i]);
    print_score(out, "stability_score", record->stability_score[i]);
    (void)fputs("}}", out);
}

static void print_batch(FILE *out, const mm_batch *batch)
{
    (void)fprintf(out,
                  "{\"info\": {\"description\": \"maskmill " MM_VERSION " queue, batch %" PRIu64 "\"},\n\"licenses\": "
                                                                                                 "[],\n"
                  "\"categories\": [{\"id\": %d, \"name\": \"object\", \"supercategory\": \"\"}, "
                  "{\"id\": %d, \"name\": \"hint\", \"supercategory\": \"\"}],\n\"images\": [",
                  batch->number, CATEGORY_OBJECT, CATEGORY_HINT);
    for (size_t i = 0; i < batch->count; i++) {
        (void)fputs(i ? ",\n " : "\n ", out);
        print_image(out, &batch->images[i]);
    }
    (void)fputs("],\n\"annotations\": [", out);
    bool first = true;
    for (size_t i = 0; i < batch->count; i++)
        for (size_t k = 0; k < batch->images[i].shown.prefilled + batch->images[i].shown.hints; k++) {
            (void)fputs(first ? "\n " : ",\n ", out);
            print_annotation(out, &batch->images[i], &batch->images[i].shown.masks[k]);
            first = false;
        }
    (void)fputs("]}\n", out); /* the stream remembers a failed write */
}

static mm_status write_batch(const mm_queue_export_options *options, const mm_batch *batch, mm_error *err)
{
    char path[PATH_MAX];
    mm_file_draft draft;
    int length = snprintf(path, sizeof path, "%s/annotations", options->folder);
    mm_status status = length < 0 || length >= PATH_MAX
                           ? mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", options->folder)
                           : mm_export_make_folder(path, err);
    if (status != MM_OK)
        return status;
    length = snprintf(path, sizeof path, "%s/annotations/instances_batch_%06" PRIu64 ".json", options->folder,
                      batch->number);
    if (length < 0 || length >= PATH_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", options->folder);
    status = mm_file_begin(path, &draft, err);
    if (status != MM_OK)
        return status;
    print_batch(draft.stream, batch);
    return mm_file_finish(&draft, MM_OK, err);
}

mm_status mm_queue_export_coco(const mm_queue *queue, const mm_queue_export_options *options, uint64_t *written,
                               mm_error *err)
{
    return mm_queue_export(queue, options, write_batch, written, err);
}
