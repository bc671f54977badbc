#include "queue/brush.h"

#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 4, ALPHA = 3, VALUE_BITS = 8, LENGTHS = 4, PAINTED = 128 };
static const unsigned lengths[LENGTHS] = {3, 4, 8, 16}; /* as Label Studio's own encoders choose them */

typedef struct bit_writer {
    uint8_t *bytes;
    size_t used, room; /* whole bytes */
    unsigned held, bits;
    bool failed;
} bit_writer;

static void put_byte(bit_writer *to, uint8_t byte)
{
    if (to->used == to->room && !to->failed) {
        const size_t room = to->room ? 2 * to->room : 1024;
        uint8_t *more = realloc(to->bytes, room);
        to->failed = !more;
        if (more) {
            to->bytes = more;
            to->room = room;
        }
    }
    if (!to->failed)
        to->bytes[to->used++] = byte;
}

static void put_bits(bit_writer *to, uint32_t value, unsigned count)
{
    while (count-- > 0) {
        to->held = to->held << 1 | (value >> count & 1);
        if (++to->bits == 8) {
            put_byte(to, (uint8_t)to->held);
            to->held = to->bits = 0;
        }
    }
}

static void put_run(bit_writer *to, uint64_t pixels, bool set)
{
    for (uint64_t left = pixels * CHANNELS; left > 0;) {
        const uint64_t most = UINT64_C(1) << lengths[LENGTHS - 1], count = left < most ? left : most;
        unsigned which = 0;
        while (count > UINT64_C(1) << lengths[which])
            which++;
        put_bits(to, 1, 1);
        put_bits(to, which, 2);
        put_bits(to, (uint32_t)(count - 1), lengths[which]);
        put_bits(to, set ? 255 : 0, VALUE_BITS);
        left -= count;
    }
}

mm_status mm_brush_encode(const mm_rle *rle, uint8_t **bytes, size_t *size, mm_error *err)
{
    const uint64_t pixels = (uint64_t)rle->height * rle->width;
    *bytes = NULL;
    *size = 0;
    if (pixels > UINT32_MAX / CHANNELS)
        return mm_fail(err, MM_ERR_LIMIT, "a mask of %u x %u pixels is too large for Label Studio's brush", rle->width,
                       rle->height);
    uint8_t *bits = malloc((size_t)pixels + 1);
    if (!bits)
        return mm_fail_memory(err, "a mask");
    mm_rle_to_bits(rle, bits);
    bit_writer to = {0};
    put_bits(&to, (uint32_t)pixels * CHANNELS, 32);
    put_bits(&to, VALUE_BITS - 1, 5);
    for (int i = 0; i < LENGTHS; i++)
        put_bits(&to, lengths[i] - 1, 4);
    for (uint64_t at = 0; at < pixels;) {
        const uint8_t *end = memchr(bits + at, !bits[at], (size_t)(pixels - at));
        const uint64_t length = end ? (uint64_t)(end - bits) - at : pixels - at;
        put_run(&to, length, bits[at]);
        at += length;
    }
    free(bits);
    put_bits(&to, 0, (8 - to.bits) % 8);
    if (to.failed) {
        free(to.bytes);
        return mm_fail_memory(err, "a mask");
    }
    *bytes = to.bytes;
    *size = to.used;
    return MM_OK;
}

typedef struct bit_reader {
    const uint8_t *bytes;
    uint64_t at, end; /* bits */
    bool cut;
} bit_reader;

static uint32_t get_bits(bit_reader *from, unsigned count)
{
    uint32_t value = 0;
    if (count > from->end - from->at) {
        from->cut = true;
        return 0;
    }
    for (unsigned i = 0; i < count; i++, from->at++)
        value = value << 1 | (uint32_t)(from->bytes[from->at / 8] >> (7 - from->at % 8) & 1);
    return value;
}

/* Values first .. first + count - 1 are all `value`; set the alphas among them. */
static void fill(uint8_t *bits, uint64_t first, uint64_t count, uint32_t value)
{
    const uint64_t from = (first + CHANNELS - 1 - ALPHA) / CHANNELS,
                   to = (first + count + CHANNELS - 1 - ALPHA) / CHANNELS;
    memset(bits + from, value >= PAINTED, (size_t)(to - from));
}

mm_status mm_brush_decode(const uint8_t *bytes, size_t size, uint32_t height, uint32_t width, mm_rle *rle,
                          mm_error *err)
{
    bit_reader from = {.bytes = bytes, .end = (uint64_t)size * 8};
    unsigned length_bits[LENGTHS];
    *rle = (mm_rle){0};
    const uint64_t pixels = (uint64_t)height * width;
    const uint32_t values = get_bits(&from, 32), value_bits = get_bits(&from, 5) + 1;
    for (int i = 0; i < LENGTHS; i++)
        length_bits[i] = get_bits(&from, 4) + 1;
    if (from.cut || value_bits != VALUE_BITS)
        return mm_fail(err, MM_ERR_FORMAT, "these are no run lengths of Label Studio's brush");
    if (pixels * CHANNELS != values)
        return mm_fail(err, MM_ERR_FORMAT,
                       "the brush's run lengths are of %u values, not of the %llu of %u x %u pixels", values,
                       (unsigned long long)(pixels * CHANNELS), width, height);
    uint8_t *bits = malloc((size_t)pixels + 1);
    if (!bits)
        return mm_fail_memory(err, "a mask");
    uint64_t at = 0;
    while (at < values && !from.cut) {
        const bool repeats = get_bits(&from, 1);
        const unsigned which = get_bits(&from, 2);
        const uint64_t count = (uint64_t)get_bits(&from, length_bits[which]) + 1;
        if (count > values - at) {
            free(bits);
            return mm_fail(err, MM_ERR_FORMAT, "the brush's run lengths go beyond %u x %u pixels", width, height);
        }
        if (repeats)
            fill(bits, at, count, get_bits(&from, VALUE_BITS));
        else
            for (uint64_t i = 0; i < count && !from.cut; i++)
                fill(bits, at + i, 1, get_bits(&from, VALUE_BITS));
        at += count;
    }
    const mm_status status = from.cut ? mm_fail(err, MM_ERR_FORMAT, "the brush's run lengths are cut short")
                                      : mm_rle_from_bits(bits, height, width, rle, err);
    free(bits);
    return status;
}
