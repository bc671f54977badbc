/* Label Studio: tasks with predictions, which annotators find filled in, as brush masks; and the labelling interface.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "queue/brush.h"
#include "queue/export.h"
#include "shard/json.h"

static const char interface[] =
    "<View>\n"
    "  <Image name=\"image\" value=\"$image\" zoom=\"true\" zoomControl=\"true\"/>\n"
    "  <BrushLabels name=\"masks\" toName=\"image\">\n"
    "    <Label value=\"object\" background=\"#1f9e3d\"/>\n"
    "    <Label value=\"hint\" background=\"#e08a00\"/>\n"
    "  </BrushLabels>\n"
    "  <PolygonLabels name=\"outlines\" toName=\"image\">\n"
    "    <Label value=\"object\" background=\"#1f9e3d\"/>\n"
    "  </PolygonLabels>\n"
    "</View>\n";
static const char local_files[] = "/data/local-files/?d=";

static mm_status print_region(FILE *out, const mm_shown_mask *mask, mm_error *err)
{
    char text[MM_SHOWN_TEXT];
    uint8_t *bytes = NULL;
    size_t size = 0;
    const float detector = mm_shown_detector_score(mask), iou = mask->record->predicted_iou[mask->name.index];
    const mm_status status = mm_brush_encode(&mask->rle, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    mm_shown_text(&mask->name, text);
    (void)fprintf(out, "{\"id\": \"%s\", \"type\": \"brushlabels\", \"from_name\": \"masks\", \"to_name\": \"image\", "
                  "\"original_width\": %" PRIu32 ", \"original_height\": %" PRIu32 ", \"image_rotation\": 0", text,
                  mask->rle.width, mask->rle.height);
    if (isfinite(detector) || isfinite(iou)) {
        (void)fputs(", \"score\": ", out);
        mm_json_f32(out, isfinite(detector) ? detector : iou);
    }
    (void)fputs(", \"value\": {\"format\": \"rle\", \"rle\": [", out);
    for (size_t i = 0; i < size; i++)
        (void)fprintf(out, i ? ",%u" : "%u", bytes[i]);
    (void)fprintf(out, "], \"brushlabels\": [\"%s\"]}}", mask->name.kind == MM_SHOWN_HINT ? "hint" : "object");
    free(bytes);
    return MM_OK;
}

static mm_status print_task(FILE *out, const char *url, const mm_batch *batch, const mm_batch_image *image,
                            mm_error *err)
{
    char name[MM_SHOWN_TEXT];
    mm_status status = MM_OK;
    char *place = NULL;
    mm_photograph_name(image->row.image_id, name);
    if (asprintf(&place, "%simages/batch_%06" PRIu64 "/%s", url, batch->number, name) < 0)
        return mm_fail_memory(err, "a task");
    (void)fputs("{\"data\": {\"image\": ", out);
    mm_json_string(out, place, strlen(place));
    free(place);
    (void)fprintf(out, ", \"image_id\": %" PRIu64 ", \"batch\": %" PRIu64 ", \"file_name\": ", image->row.image_id,
                  batch->number);
    mm_json_string(out, image->file_name, strlen(image->file_name));
    (void)fputs(", \"priority\": ", out);
    mm_json_f32(out, image->row.priority);
    (void)fputs(", \"uncovered\": ", out);
    mm_json_f32(out, image->row.uncovered);
    (void)fputs("},\n \"predictions\": [{\"model_version\": \"maskmill\", \"result\": [", out);
    for (size_t k = 0; status == MM_OK && k < image->shown.prefilled + image->shown.hints; k++) {
        (void)fputs(k ? ",\n  " : "\n  ", out);
        status = print_region(out, &image->shown.masks[k], err);
    }
    (void)fputs("]}]}", out);
    return status;
}

static mm_status write_batch(const mm_queue_export_options *options, const mm_batch *batch, mm_error *err)
{
    char path[PATH_MAX];
    mm_file_draft draft;
    const int length = snprintf(path, sizeof path, "%s/batch_%06" PRIu64 ".json", options->folder, batch->number);
    if (length < 0 || length >= PATH_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", options->folder);
    mm_status status = mm_file_begin(path, &draft, err);
    if (status != MM_OK)
        return status;
    (void)fputc('[', draft.stream);
    for (size_t i = 0; status == MM_OK && i < batch->count; i++) {
        (void)fputs(i ? ",\n" : "\n", draft.stream);
        status = print_task(draft.stream, options->url ? options->url : local_files, batch, &batch->images[i], err);
    }
    (void)fputs("]\n", draft.stream); /* the stream remembers a failed write */
    return mm_file_finish(&draft, status, err);
}

mm_status mm_queue_export_labelstudio(const mm_queue *queue, const mm_queue_export_options *options, uint64_t *written,
                                      mm_error *err)
{
    char path[PATH_MAX];
    mm_status status = mm_queue_export(queue, options, write_batch, written, err);
    const int length = snprintf(path, sizeof path, "%s/config.xml", options->folder);
    if (status == MM_OK && (length < 0 || length >= PATH_MAX))
        status = mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", options->folder);
    return status == MM_OK ? mm_file_commit(path, interface, sizeof interface - 1, err) : status;
}
