/* JSON as the exports need it, streamed. */
#include "shard/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* Errors of these writes stay with the stream; whoever closes it asks ferror. */
void mm_json_string(FILE *out, const void *bytes, size_t size)
{
    const uint8_t *text = bytes;
    (void)fputc('"', out);
    for (size_t i = 0; i < size;) {
        const uint8_t c = text[i];
        const size_t length = mm_utf8_length(text + i, size - i);
        if (c == '"' || c == '\\')
            (void)fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)fprintf(out, "\\u%04x", c);
        else if (length == 0)
            (void)fputs("\\ufffd", out);
        else
            (void)fwrite(text + i, 1, length, out);
        i += length ? length : 1;
    }
    (void)fputc('"', out);
}

void mm_json_f32(FILE *out, float value)
{
    if (!isfinite(value)) {
        (void)fputs("null", out);
        return;
    }
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    (void)fputs(text, out);
}

void mm_json_f32_list(FILE *out, const float *values, size_t count)
{
    (void)fputc('[', out);
    for (size_t i = 0; i < count; i++) {
        if (i)
            (void)fputs(", ", out);
        mm_json_f32(out, values[i]);
    }
    (void)fputc(']', out);
}

void mm_json_rle(FILE *out, uint32_t height, uint32_t width, const uint8_t *counts, size_t size)
{
    (void)fprintf(out, "{\"size\": [%" PRIu32 ", %" PRIu32 "], \"counts\": ", height, width);
    mm_json_string(out, counts, size);
    (void)fputc('}', out);
}

void mm_json_mask_fields(FILE *out, const mm_record *record, uint64_t i)
{
    const uint64_t start = record->rle_offset[i], end = record->rle_offset[i + 1];
    (void)fputs("\"segmentation\": ", out);
    mm_json_rle(out, record->height, record->width, record->rle + start, (size_t)(end - start));
    (void)fprintf(out, ", \"area\": %" PRIu32 ", \"bbox\": ", record->area[i]);
    mm_json_f32_list(out, record->bbox[i], 4);
    (void)fputs(", \"predicted_iou\": ", out);
    mm_json_f32(out, record->predicted_iou[i]);
    (void)fputs(", \"point_coords\": [", out);
    mm_json_f32_list(out, record->point_coords[i], 2);
    (void)fputs("], \"stability_score\": ", out);
    mm_json_f32(out, record->stability_score[i]);
    (void)fputs(", \"crop_box\": ", out);
    mm_json_f32_list(out, record->crop_box[i], 4);
    if (record->detector_score) {
        (void)fputs(", \"detector_score\": ", out);
        mm_json_f32(out, record->detector_score[i]);
    }
}

static mm_status print_masks(const mm_record *record, FILE *out, mm_error *err)
{
    (void)fputc('[', out);
    for (uint64_t i = 0; i < record->mask_count; i++) {
        (void)fputs(i ? ",\n {" : "{", out);
        mm_json_mask_fields(out, record, i);
        (void)fputc('}', out);
    }
    (void)fputs("]\n", out);
    return fflush(out) == 0 && !ferror(out) ? MM_OK : mm_fail_errno(err, "cannot write the annotations");
}

mm_status mm_annotations_print_json(const mm_annotations *annotations, FILE *out, mm_error *err)
{
    mm_record record;
    mm_status status = mm_record_from_annotations(0, annotations, &record, err);
    if (status != MM_OK)
        return status;
    status = print_masks(&record, out, err);
    mm_record_free(&record);
    return status;
}

mm_status mm_confident_print_json(const mm_annotations *annotations, const float *scores, FILE *out, mm_error *err)
{
    mm_record record;
    mm_status status = mm_record_from_annotations(0, annotations, &record, err);
    if (status == MM_OK)
        status = mm_record_set_confident(&record, annotations, scores, err);
    if (status == MM_OK)
        status = print_masks(record.confident, out, err);
    mm_record_free(&record);
    return status;
}
