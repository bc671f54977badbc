/* From low-res logits to a mask: upsample, count, threshold and run-length encode, one output column at a time.
 *
 * What cannot rise above the lowest threshold is never computed: maxima of the low-res rows and columns bound the
 * output rows and columns made of them, because all weights are positive and sum to 1. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "amg/column.h"
#include "maskmill/amg.h"
#include "tensor/vector.h"

struct mm_upsampler {
    uint32_t low, width, height;
    uint32_t words;          /* of 64 rows, that hold a column */
    mm_taps *rows, *columns; /* [height], [width] */
    mm_column_scanner scan_column;
};

mm_status mm_upsampler_new(const mm_frame *frame, mm_upsampler **upsampler, mm_error *err)
{
    *upsampler = NULL;
    if (frame->width == 0 || frame->height == 0 || frame->input_width == 0 || frame->input_height == 0)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "an image of %u x %u pixels is too thin to be resized to %u",
                       frame->width, frame->height, frame->image_size);
    if (frame->low_res == 0 || frame->input_width > frame->image_size || frame->input_height > frame->image_size)
        return mm_fail(err, MM_ERR_INTERNAL, "an input of %u x %u pixels does not fit into %u x %u", frame->input_width,
                       frame->input_height, frame->image_size, frame->image_size);
    if ((uint64_t)frame->width * frame->height > UINT32_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "masks of %u x %u pixels are too large: set output.short_side", frame->width,
                       frame->height);
    mm_upsampler *u = calloc(1, sizeof *u);
    if (!u)
        return mm_fail_memory(err, "an upsampler");
    u->low = frame->low_res;
    u->width = frame->width;
    u->height = frame->height;
    u->words = (frame->height - 1) / MM_COLUMN_ROWS + 1;
    u->scan_column = mm_column_scan_for(mm_vector_best());
    mm_status status =
        mm_taps_compose(frame->low_res, frame->image_size, frame->input_height, frame->height, &u->rows, err);
    if (!status)
        status = mm_taps_compose(frame->low_res, frame->image_size, frame->input_width, frame->width, &u->columns, err);
    if (status) {
        mm_upsampler_free(u);
        return status;
    }
    *upsampler = u;
    return MM_OK;
}

void mm_upsampler_free(mm_upsampler *upsampler)
{
    if (!upsampler)
        return;
    free(upsampler->rows);
    free(upsampler->columns);
    free(upsampler);
}

/* Working memory of a scan. Rows beyond the height are -infinity: above no threshold. */
typedef struct workspace {
    float *resized;    /* [low][words * 64]: low-res columns at full height */
    uint64_t *bits;    /* [words]: the current column's mask */
    uint64_t *covered; /* [words]: all columns' masks together, for the box */
    float *row_max, *column_max; /* [low] */
    bool *needed;                /* [low]: columns of resized that some output column reads */
} workspace;

size_t mm_upsampler_scratch(const mm_upsampler *u)
{
    const size_t words = u->words, low = u->low;
    return low * words * MM_COLUMN_ROWS * sizeof(float) + 2 * words * sizeof(uint64_t) +
           low * (2 * sizeof(float) + sizeof(bool));
}

static workspace lay_out(const mm_upsampler *u, void *scratch)
{
    workspace w;
    w.bits = scratch;
    w.covered = w.bits + u->words;
    w.resized = (float *)(w.covered + u->words);
    w.row_max = w.resized + (size_t)u->low * u->words * MM_COLUMN_ROWS;
    w.column_max = w.row_max + u->low;
    w.needed = (bool *)(w.column_max + u->low);
    return w;
}

static void find_maxima(const float *logits, uint32_t low, workspace *w)
{
    for (uint32_t x = 0; x < low; x++)
        w->column_max[x] = -INFINITY;
    for (uint32_t y = 0; y < low; y++) {
        const float *row = logits + (size_t)y * low;
        for (uint32_t x = 0; x < low; x++)
            w->column_max[x] = row[x] > w->column_max[x] ? row[x] : w->column_max[x];
        float most = -INFINITY;
        for (uint32_t x = 0; x < low; x++)
            most = row[x] > most ? row[x] : most;
        w->row_max[y] = most;
    }
}

/* Whether a row or column made of samples with these maxima may hold anything above `lowest`. The slack is some
 * thirty roundings of the two weighted sums on the way. */
static bool can_exceed(const mm_taps *taps, const float *maxima, float lowest)
{
    float bound = taps->weight[0] * maxima[taps->index[0]];
    for (uint32_t k = 1; k < taps->count; k++)
        bound += taps->weight[k] * maxima[taps->index[k]];
    return bound + 2e-6f * fabsf(bound) > lowest;
}

/* The words of a column that may hold anything above `lowest`: *first <= word < *end. */
static void find_words(const mm_upsampler *u, const workspace *w, float lowest, uint32_t *first, uint32_t *end)
{
    uint32_t y0 = 0, y1 = u->height;
    while (y0 < y1 && !can_exceed(&u->rows[y0], w->row_max, lowest))
        y0++;
    while (y1 > y0 && !can_exceed(&u->rows[y1 - 1], w->row_max, lowest))
        y1--;
    *first = y0 / MM_COLUMN_ROWS;
    *end = y1 > y0 ? (y1 - 1) / MM_COLUMN_ROWS + 1 : *first;
}

/* Step one, for the low-res columns that are needed. */
static void resize_columns(const mm_upsampler *u, const float *logits, workspace *w, uint32_t first, uint32_t end)
{
    const size_t stride = (size_t)u->words * MM_COLUMN_ROWS;
    const uint32_t y0 = first * MM_COLUMN_ROWS;
    const uint32_t y1 = end == u->words ? u->height : end * MM_COLUMN_ROWS;
    for (uint32_t x0 = 0; x0 < u->low;) {
        if (!w->needed[x0]) {
            x0++;
            continue;
        }
        uint32_t x1 = x0;
        for (; x1 < u->low && w->needed[x1]; x1++)
            for (size_t y = y1; y < (size_t)end * MM_COLUMN_ROWS; y++)
                w->resized[x1 * stride + y] = -INFINITY;
        mm_column_resize(logits, u->low, u->rows, x0, x1, y0, y1, w->resized, stride);
        x0 = x1;
    }
}

/* Run lengths in the making: positions where the mask changes, column-major. */
typedef struct run_writer {
    uint32_t *runs;
    size_t count, capacity;
    uint32_t last; /* position of the last change */
    bool set;      /* the pixel before the current one */
} run_writer;

/* A column has at most height changes, and the end comes after the last one. */
static mm_status reserve(run_writer *writer, uint32_t height, mm_error *err)
{
    const size_t needed = writer->count + height + 1;
    if (needed <= writer->capacity)
        return MM_OK;
    const size_t capacity = needed + writer->capacity;
    uint32_t *runs = reallocarray(writer->runs, capacity, sizeof *runs);
    if (!runs)
        return mm_fail_memory(err, "the runs of a mask");
    writer->runs = runs;
    writer->capacity = capacity;
    return MM_OK;
}

static void change_at(run_writer *writer, uint32_t position)
{
    writer->runs[writer->count++] = position - writer->last;
    writer->last = position;
    writer->set = !writer->set;
}

/* A column that starts at `position` and is clear outside the words first .. end. */
static void write_column(run_writer *writer, uint32_t position, uint32_t height, const uint64_t *bits, uint32_t first,
                         uint32_t end)
{
    if (first > 0 && writer->set)
        change_at(writer, position);
    for (uint32_t word = first; word < end; word++) {
        const uint32_t rows = height - word * MM_COLUMN_ROWS;
        uint64_t changes = bits[word] ^ (bits[word] << 1 | writer->set);
        if (rows < MM_COLUMN_ROWS) /* what follows the last row is the next column's first */
            changes &= (UINT64_C(1) << rows) - 1;
        for (; changes; changes &= changes - 1)
            change_at(writer, position + word * MM_COLUMN_ROWS + (uint32_t)__builtin_ctzll(changes));
    }
    if (writer->set && (uint64_t)end * MM_COLUMN_ROWS < height)
        change_at(writer, position + end * MM_COLUMN_ROWS);
}

static void find_rows_of_box(const workspace *w, uint32_t words, mm_mask_scan *scan)
{
    uint32_t first = 0, last = words - 1;
    while (!w->covered[first])
        first++;
    while (!w->covered[last])
        last--;
    scan->box[1] = first * MM_COLUMN_ROWS + (uint32_t)__builtin_ctzll(w->covered[first]);
    scan->box[3] = last * MM_COLUMN_ROWS + 63 - (uint32_t)__builtin_clzll(w->covered[last]);
}

/* Step two: every output column in turn. writer is NULL if no runs are wanted. */
static mm_status scan_columns(const mm_upsampler *u, workspace *w, float lowest, float offset, uint32_t first,
                              uint32_t end, mm_mask_scan *scan, run_writer *writer, mm_error *err)
{
    const size_t stride = (size_t)u->words * MM_COLUMN_ROWS;
    const size_t y0 = (size_t)first * MM_COLUMN_ROWS;
    for (uint32_t x = 0; x < u->width; x++) {
        const mm_taps *taps = &u->columns[x];
        const uint32_t position = x * u->height;
        mm_status status = writer ? reserve(writer, u->height, err) : MM_OK;
        if (status)
            return status;
        if (first == end || !can_exceed(taps, w->column_max, lowest)) {
            if (writer && writer->set)
                change_at(writer, position);
            continue;
        }
        const float *columns[MM_MAX_TAPS];
        for (uint32_t k = 0; k < MM_MAX_TAPS; k++)
            columns[k] = w->resized + taps->index[k] * stride + y0;
        const mm_column_counts counts =
            u->scan_column(columns, taps, (size_t)(end - first) * MM_COLUMN_ROWS, -offset, offset, w->bits + first);
        scan->above_low += counts.above_low;
        scan->above_high += counts.above_high;
        if (counts.above_zero > 0) {
            if (scan->area == 0)
                scan->box[0] = x;
            scan->box[2] = x;
            scan->area += counts.above_zero;
            for (uint32_t word = first; word < end; word++)
                w->covered[word] |= w->bits[word];
        }
        if (writer)
            write_column(writer, position, u->height, w->bits, first, end);
    }
    return MM_OK;
}

mm_status mm_upsampler_scan(const mm_upsampler *u, const float *logits, float offset, void *scratch,
                            mm_mask_scan *scan, mm_rle *rle, mm_error *err)
{
    *scan = (mm_mask_scan){0};
    workspace w = lay_out(u, scratch);
    const float lowest = -fabsf(offset);
    find_maxima(logits, u->low, &w);
    uint32_t first, end;
    find_words(u, &w, lowest, &first, &end);
    memset(w.covered, 0, u->words * sizeof *w.covered);
    memset(w.needed, 0, u->low * sizeof *w.needed);
    for (uint32_t x = 0; x < u->width; x++)
        if (can_exceed(&u->columns[x], w.column_max, lowest))
            for (uint32_t k = 0; k < MM_MAX_TAPS; k++)
                w.needed[u->columns[x].index[k]] = true;
    resize_columns(u, logits, &w, first, end);

    run_writer writer = {0};
    mm_status status = scan_columns(u, &w, lowest, offset, first, end, scan, rle ? &writer : NULL, err);
    if (status) {
        free(writer.runs);
        return status;
    }
    if (scan->area > 0)
        find_rows_of_box(&w, u->words, scan);
    if (rle) {
        writer.runs[writer.count++] = u->width * u->height - writer.last;
        uint32_t *fitted = reallocarray(writer.runs, writer.count, sizeof *fitted);
        *rle = (mm_rle){u->height, u->width, writer.count, fitted ? fitted : writer.runs};
    }
    return MM_OK;
}
