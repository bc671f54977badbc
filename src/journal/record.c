/* journal: records, one image's result in columns. Here they are made, checked and freed; pack.c is their wire form. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "journal/columns.h"

const mm_mask_column mm_mask_columns[MM_MASK_COLUMNS] = {
    {"bbox", offsetof(mm_record, bbox), 4, 4, 0},
    {"area", offsetof(mm_record, area), 4, 0, 1},
    {"predicted_iou", offsetof(mm_record, predicted_iou), 4, 0, 0},
    {"stability_score", offsetof(mm_record, stability_score), 4, 0, 0},
    {"point_coords", offsetof(mm_record, point_coords), 4, 2, 0},
    {"crop_box", offsetof(mm_record, crop_box), 4, 4, 0},
    {"source", offsetof(mm_record, source), 1, 0, 1},
};

size_t mm_mask_column_row(const mm_mask_column *column)
{
    return (size_t)column->value * (column->width ? column->width : 1);
}

void *mm_record_column(const mm_record *record, const mm_mask_column *column)
{
    void *values;
    memcpy(&values, (const char *)record + column->field, sizeof values);
    return values;
}

mm_status mm_record_allocate(mm_record *record, uint64_t mask_count, uint64_t rle_bytes, mm_error *err)
{
    /* The widest row is 16 bytes; this keeps every product below inside size_t. */
    if (mask_count >= SIZE_MAX / 32 || rle_bytes >= SIZE_MAX / 2)
        return mm_fail(err, MM_ERR_LIMIT,
                       "image %" PRIu64 ": %" PRIu64 " masks with %" PRIu64 " bytes of runs are too many",
                       record->image_id, mask_count, rle_bytes);
    record->mask_count = mask_count;
    bool whole = true;
    for (int c = 0; c < MM_MASK_COLUMNS; c++) {
        const mm_mask_column *column = &mm_mask_columns[c];
        void *values = malloc(mask_count ? mask_count * mm_mask_column_row(column) : 1);
        memcpy((char *)record + column->field, &values, sizeof values);
        whole = whole && values;
    }
    record->rle_offset = malloc((mask_count + 1) * sizeof *record->rle_offset);
    record->rle = malloc(rle_bytes ? rle_bytes : 1);
    if (!whole || !record->rle_offset || !record->rle) {
        mm_record_free(record);
        return mm_fail_memory(err, "an image's masks");
    }
    record->rle_offset[0] = 0;
    return MM_OK;
}

void mm_record_free(mm_record *record)
{
    for (int c = 0; c < MM_MASK_COLUMNS; c++)
        free(mm_record_column(record, &mm_mask_columns[c]));
    free(record->rle_offset);
    free(record->rle);
    free(record->reason);
    *record = (mm_record){0};
}

static void fill_row(mm_record *record, size_t i, const mm_annotation *from)
{
    memcpy(record->bbox[i], from->bbox, sizeof from->bbox);
    memcpy(record->point_coords[i], from->point_coords, sizeof from->point_coords);
    memcpy(record->crop_box[i], from->crop_box, sizeof from->crop_box);
    record->area[i] = from->area;
    record->predicted_iou[i] = from->predicted_iou;
    record->stability_score[i] = from->stability_score;
    record->source[i] = 0;
}

mm_status mm_record_from_annotations(uint64_t image_id, const mm_annotations *annotations, mm_record *record,
                                     mm_error *err)
{
    *record = (mm_record){.image_id = image_id,
                          .width = annotations->width,
                          .height = annotations->height,
                          .status = MM_IMAGE_DONE,
                          .funnel = annotations->funnel};
    mm_status status = mm_record_allocate(record, annotations->count, 0, err);
    size_t room = 0, used = 0;
    for (size_t i = 0; status == MM_OK && i < annotations->count; i++) {
        fill_row(record, i, &annotations->items[i]);
        uint8_t *counts = NULL;
        size_t size = 0;
        status = mm_rle_to_counts(&annotations->items[i].rle, &counts, &size, err);
        if (status != MM_OK)
            break;
        if (size > room - used) {
            const size_t larger = 2 * room > used + size ? 2 * room : used + size + 4096;
            uint8_t *moved = realloc(record->rle, larger);
            if (!moved) {
                free(counts);
                status = mm_fail_memory(err, "an image's run lengths");
                break;
            }
            record->rle = moved;
            room = larger;
        }
        memcpy(record->rle + used, counts, size);
        free(counts);
        used += size;
        record->rle_offset[i + 1] = used;
    }
    if (status != MM_OK)
        mm_record_free(record);
    return status;
}

mm_status mm_record_set_aside(uint64_t image_id, uint32_t width, uint32_t height, const char *reason, mm_record *record,
                              mm_error *err)
{
    *record = (mm_record){.image_id = image_id, .width = width, .height = height, .status = MM_IMAGE_SET_ASIDE};
    mm_status status = mm_record_allocate(record, 0, 0, err);
    if (status != MM_OK)
        return status;
    record->reason = strdup(reason);
    if (record->reason)
        return MM_OK;
    mm_record_free(record);
    return mm_fail_memory(err, "a reason");
}

mm_status mm_record_skip(uint64_t image_id, uint32_t width, uint32_t height, mm_record *record, mm_error *err)
{
    *record = (mm_record){.image_id = image_id, .width = width, .height = height, .status = MM_IMAGE_SKIPPED};
    return mm_record_allocate(record, 0, 0, err);
}

mm_status mm_record_check_shape(const mm_record *record, uint64_t rle_bytes, mm_error *err)
{
    const uint64_t id = record->image_id;
    if (record->status > MM_IMAGE_SKIPPED)
        return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 " has the unknown status %u", id, record->status);
    if (record->status != MM_IMAGE_DONE && record->mask_count > 0)
        return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 " is not done but has masks", id);
    if (record->status == MM_IMAGE_DONE && (record->width == 0 || record->height == 0))
        return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 " is done but has no size", id);
    if (record->rle_offset[0] != 0 || record->rle_offset[record->mask_count] != rle_bytes)
        return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ": the run lengths' offsets do not cover them", id);
    for (uint64_t i = 0; i < record->mask_count; i++) {
        if (record->rle_offset[i] > record->rle_offset[i + 1])
            return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ", mask %" PRIu64 ": offsets fall", id, i);
        if (record->source[i] > 2)
            return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ", mask %" PRIu64 ": unknown source %u", id, i,
                           record->source[i]);
    }
    return MM_OK;
}

mm_status mm_record_check_mask(const mm_record *record, uint64_t i, mm_rle *rle, mm_error *err)
{
    const uint64_t start = record->rle_offset[i], end = record->rle_offset[i + 1];
    mm_status status =
        mm_rle_from_counts(record->rle + start, (size_t)(end - start), record->height, record->width, rle, err);
    if (status == MM_OK && mm_rle_area(rle) != record->area[i]) {
        status = mm_fail(err, MM_ERR_FORMAT, "its runs cover %" PRIu64 " pixels, its area says %" PRIu32,
                         mm_rle_area(rle), record->area[i]);
        mm_rle_free(rle);
    }
    if (status != MM_OK && err)
        (void)mm_error_prefix(err, "image %" PRIu64 ", mask %" PRIu64, record->image_id, i);
    return status;
}
