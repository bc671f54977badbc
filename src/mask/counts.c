/* COCO's compressed counts: run lengths, from the fourth on as the difference to the last run but one, in groups of
 * five bits, lowest first. A character is 48 + the group, + 32 if more groups follow; the last group's top bit is the
 * sign. (The format is defined by pycocotools' rleToString.) */
#include <stdlib.h>

#include "mask/runs.h"

enum { GROUP_BITS = 5, GROUP_MASK = 31, SIGN = 16, MORE = 32, FIRST_CHARACTER = 48, LAST_CHARACTER = 48 + 63 };

/* A difference of two 32-bit numbers has 33 bits and a sign: seven groups. */
#define MAX_GROUPS 7

mm_status mm_rle_to_counts(const mm_rle *rle, uint8_t **counts, size_t *size, mm_error *err)
{
    *counts = NULL;
    *size = 0;
    uint8_t *text = reallocarray(NULL, rle->count + 1, MAX_GROUPS);
    if (!text)
        return mm_fail_memory(err, "the counts of a mask");
    size_t used = 0;
    for (size_t i = 0; i < rle->count; i++) {
        int64_t number = rle->runs[i];
        if (i > 2)
            number -= rle->runs[i - 2];
        bool more = true;
        while (more) {
            const uint8_t group = (uint8_t)(number & GROUP_MASK);
            number >>= GROUP_BITS;
            more = number != ((group & SIGN) ? -1 : 0);
            text[used++] = (uint8_t)(FIRST_CHARACTER + group + (more ? MORE : 0));
        }
    }
    uint8_t *fitted = realloc(text, used ? used : 1);
    *counts = fitted ? fitted : text;
    *size = used;
    return MM_OK;
}

/* One number from counts[*at ..]; false if it is cut short, too long or not of these characters. */
static bool read_number(const uint8_t *counts, size_t size, size_t *at, int64_t *number)
{
    uint64_t bits = 0;
    for (unsigned shift = 0; shift < MAX_GROUPS * GROUP_BITS; shift += GROUP_BITS) {
        if (*at == size || counts[*at] < FIRST_CHARACTER || counts[*at] > LAST_CHARACTER)
            return false;
        const uint8_t group = (uint8_t)(counts[(*at)++] - FIRST_CHARACTER);
        bits |= (uint64_t)(group & GROUP_MASK) << shift;
        if (!(group & MORE)) {
            if (group & SIGN)
                bits |= UINT64_MAX << (shift + GROUP_BITS);
            *number = (int64_t)bits;
            return true;
        }
    }
    return false;
}

mm_status mm_rle_from_counts(const uint8_t *counts, size_t size, uint32_t height, uint32_t width, mm_rle *rle,
                             mm_error *err)
{
    *rle = (mm_rle){0};
    mm_status status = mm_mask_check_size(height, width, err);
    if (status)
        return status;
    const uint32_t pixels = height * width;
    mm_run_builder builder;
    mm_runs_start(&builder, size / 2); /* most runs take one or two characters */
    int64_t last[2] = {0, 0};          /* runs by parity, as written: zero-length ones count here */
    uint32_t sum = 0;
    size_t at = 0;
    for (size_t run = 0; at < size; run++) {
        const size_t start = at;
        int64_t length;
        if (!read_number(counts, size, &at, &length)) {
            mm_runs_abandon(&builder);
            return mm_fail(err, MM_ERR_FORMAT, "mask counts: byte %zu is not part of a whole run length", start);
        }
        if (run > 2)
            length += last[run & 1];
        if (length < 0 || length > (int64_t)(pixels - sum)) {
            mm_runs_abandon(&builder);
            return mm_fail(err, MM_ERR_FORMAT, "mask counts: the run at byte %zu does not fit into %u x %u pixels",
                           start, width, height);
        }
        last[run & 1] = length;
        sum += (uint32_t)length;
        mm_runs_append(&builder, run & 1, (uint32_t)length);
    }
    if (sum != pixels) {
        mm_runs_abandon(&builder);
        return mm_fail(err, MM_ERR_FORMAT, "mask counts: the runs sum to %u, not to the %u of %u x %u pixels", sum,
                       pixels, width, height);
    }
    return mm_runs_finish(&builder, height, width, rle, err);
}
