/* journal: records, one image's result in columns. Here they are made, checked and freed; pack.c is their wire form. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "journal/columns.h"

const mm_mask_column mm_mask_columns[MM_MASK_COLUMNS] = {
    {"bbox", offsetof(mm_record, bbox), 4, 4, 0, 0},
    {"area", offsetof(mm_record, area), 4, 0, 1, 0},
    {"predicted_iou", offsetof(mm_record, predicted_iou), 4, 0, 0, 0},
    {"stability_score", offsetof(mm_record, stability_score), 4, 0, 0, 0},
    {"point_coords", offsetof(mm_record, point_coords), 4, 2, 0, 0},
    {"crop_box", offsetof(mm_record, crop_box), 4, 4, 0, 0},
    {"source", offsetof(mm_record, source), 1, 0, 1, 0},
    {"detector_score", offsetof(mm_record, detector_score), 4, 0, 0, MM_SET_DETECTOR},
    {"annotator", offsetof(mm_record, annotator), 2, 0, 1, MM_SET_HUMAN},
    {"seconds", offsetof(mm_record, seconds), 4, 0, 0, MM_SET_HUMAN},
    {"clicks", offsetof(mm_record, clicks), 2, 0, 1, MM_SET_HUMAN},
};

bool mm_mask_column_in(const mm_mask_column *column, uint32_t sets)
{
    return column->set == 0 || (column->set & sets) != 0;
}

uint32_t mm_record_sets(const mm_record *record)
{
    return (record->annotator ? MM_SET_HUMAN : 0u) | (record->detector_score ? MM_SET_DETECTOR : 0u);
}

size_t mm_mask_columns_row(uint32_t sets)
{
    size_t bytes = 0;
    for (int c = 0; c < MM_MASK_COLUMNS; c++)
        bytes += mm_mask_column_in(&mm_mask_columns[c], sets) ? mm_mask_column_row(&mm_mask_columns[c]) : 0;
    return bytes;
}

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

/* The column's array, uninitialised; false if there is no memory for it. */
static bool allocate_column(mm_record *record, const mm_mask_column *column)
{
    const size_t bytes = (size_t)record->mask_count * mm_mask_column_row(column);
    void *values = malloc(bytes ? bytes : 1);
    memcpy((char *)record + column->field, &values, sizeof values);
    return values != NULL;
}

mm_status mm_record_allocate(mm_record *record, uint32_t sets, uint64_t mask_count, uint64_t rle_bytes, mm_error *err)
{
    /* The widest row is 16 bytes; this keeps every product below inside size_t. */
    if (mask_count >= SIZE_MAX / 32 || rle_bytes >= SIZE_MAX / 2)
        return mm_fail(err, MM_ERR_LIMIT,
                       "image %" PRIu64 ": %" PRIu64 " masks with %" PRIu64 " bytes of runs are too many",
                       record->image_id, mask_count, rle_bytes);
    record->mask_count = mask_count;
    bool whole = true;
    for (int c = 0; c < MM_MASK_COLUMNS; c++)
        if (mm_mask_column_in(&mm_mask_columns[c], sets))
            whole = allocate_column(record, &mm_mask_columns[c]) && whole;
    record->rle_offset = malloc((mask_count + 1) * sizeof *record->rle_offset);
    record->rle = malloc(rle_bytes ? rle_bytes : 1);
    if (!whole || !record->rle_offset || !record->rle) {
        mm_record_free(record);
        return mm_fail_memory(err, "an image's masks");
    }
    record->rle_offset[0] = 0;
    return MM_OK;
}

mm_status mm_record_make_human(mm_record *record, mm_error *err)
{
    if (record->annotator)
        return MM_OK;
    const size_t count = (size_t)record->mask_count + 1;
    record->annotator = calloc(count, sizeof *record->annotator);
    record->seconds = calloc(count, sizeof *record->seconds);
    record->clicks = calloc(count, sizeof *record->clicks);
    if (record->annotator && record->seconds && record->clicks)
        return MM_OK;
    free(record->annotator);
    free(record->seconds);
    free(record->clicks);
    record->annotator = record->clicks = NULL;
    record->seconds = NULL;
    return mm_fail_memory(err, "an image's annotators");
}

void mm_record_free(mm_record *record)
{
    mm_record *further[] = {record->confident, record->hints};
    for (int i = 0; i < 2; i++) {
        if (further[i])
            mm_record_free(further[i]);
        free(further[i]);
    }
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
    mm_status status = mm_record_allocate(record, 0, annotations->count, 0, err);
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
    mm_status status = mm_record_allocate(record, 0, 0, 0, err);
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
    return mm_record_allocate(record, 0, 0, 0, err);
}

/* Put masks that are not the image's own into *slot, a member of `record`. */
static mm_status set_further(mm_record *record, const mm_annotations *annotations, const float *score, mm_record **slot,
                             mm_error *err)
{
    if (record->status != MM_IMAGE_DONE || annotations->width != record->width || annotations->height != record->height)
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 ": further masks are of another frame", record->image_id);
    mm_record *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "an image's further masks");
    mm_status status = mm_record_from_annotations(record->image_id, annotations, made, err);
    if (status != MM_OK) {
        free(made);
        return status;
    }
    made->funnel = (mm_funnel){0};
    if (score) {
        made->detector_score = malloc(((size_t)made->mask_count + 1) * sizeof *score);
        if (!made->detector_score) {
            mm_record_free(made);
            free(made);
            return mm_fail_memory(err, "detector scores");
        }
        memcpy(made->detector_score, score, (size_t)made->mask_count * sizeof *score);
        memset(made->source, 1, (size_t)made->mask_count);
    }
    if (*slot)
        mm_record_free(*slot);
    free(*slot);
    *slot = made;
    return MM_OK;
}

mm_status mm_record_set_confident(mm_record *record, const mm_annotations *annotations, const float *score,
                                  mm_error *err)
{
    static const float none = 0; /* of no masks at all */
    if (!score && annotations->count > 0)
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 ": confident masks without scores", record->image_id);
    return set_further(record, annotations, score ? score : &none, &record->confident, err);
}

mm_status mm_record_set_hints(mm_record *record, const mm_annotations *annotations, mm_error *err)
{
    return set_further(record, annotations, NULL, &record->hints, err);
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
        if (record->detector_score && !(record->detector_score[i] >= 0 && record->detector_score[i] <= 1))
            return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ", mask %" PRIu64 ": a detector score of %g", id, i,
                           (double)record->detector_score[i]);
        if (record->seconds && !(record->seconds[i] >= 0 && isfinite(record->seconds[i])))
            return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ", mask %" PRIu64 ": %g seconds", id, i,
                           (double)record->seconds[i]);
    }
    return MM_OK;
}

mm_status mm_record_check_further(const mm_record *record, mm_error *err)
{
    const mm_record *const further[] = {record->confident, record->hints};
    static const uint32_t sets[] = {MM_SET_DETECTOR, 0};
    static const char *const names[] = {"confident masks", "hints"};
    static const mm_funnel none;
    const uint64_t id = record->image_id;
    if (record->detector_score)
        return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ": masks that are not confident ones have scores", id);
    for (int i = 0; i < 2; i++) {
        const mm_record *f = further[i];
        if (!f)
            continue;
        if (record->status != MM_IMAGE_DONE)
            return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 " is not done but has %s", id, names[i]);
        if (f->image_id != id || f->width != record->width || f->height != record->height ||
            f->status != record->status)
            return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 " has %s of another image", id, names[i]);
        if (mm_record_sets(f) != sets[i] || f->reason || f->confident || f->hints ||
            memcmp(&f->funnel, &none, sizeof none) != 0)
            return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ": its %s are not of their kind", id, names[i]);
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
