/* The packed form of a record, little-endian:
 *   0 "MMR1"   4 reason's bytes u32   8 image_id u64   16 width u32   20 height u32   24 status u8
 *   25 why u8   26 flags u8   27 5 bytes of zero
 *   32 funnel u64[8]   96 mask_count u64   104 rle's bytes u64   112 reason, then the mask columns in the order of
 *   mm_mask_columns, rle_offset u64[mask_count + 1], rle. Nothing is padded; the size of this part follows from the
 *   header. Flags say which columns there are beyond the seven, and which further masks follow: of each the bytes u64
 *   of a packed record, and that record. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "journal/columns.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "columns are copied as they lie in memory");
_Static_assert(sizeof(mm_funnel) == 8 * sizeof(uint64_t), "the funnel is eight counts");

static const char magic[4] = {'M', 'M', 'R', '1'};
enum { HEADER = 112 };
enum { FLAG_HUMAN = 1, FLAG_DETECTOR = 2, FLAG_CONFIDENT = 4, FLAG_HINTS = 8, FLAG_FURTHER = 12, FLAGS = 16 };
_Static_assert(FLAG_HUMAN == (int)MM_SET_HUMAN && FLAG_DETECTOR == (int)MM_SET_DETECTOR, "sets are flags");
enum { SETS = MM_SET_HUMAN | MM_SET_DETECTOR };

typedef struct packed_header {
    char magic[4];
    uint32_t reason_bytes;
    uint64_t image_id;
    uint32_t width, height;
    uint8_t status, why, flags, zero[5];
    mm_funnel funnel;
    uint64_t mask_count, rle_bytes;
} packed_header;
_Static_assert(sizeof(packed_header) == HEADER, "the header has no padding");

static uint8_t *put(uint8_t *to, const void *from, size_t size)
{
    if (size)
        memcpy(to, from, size);
    return to + size;
}

/* A mask's bytes, its offset among them. */
static size_t mask_bytes(uint8_t flags)
{
    return mm_mask_columns_row(flags & SETS) + sizeof(uint64_t);
}

/* The record by itself, with `flags` in its header. The caller frees *bytes. */
static mm_status pack_alone(const mm_record *record, uint8_t flags, uint8_t **bytes, size_t *size, mm_error *err)
{
    const uint64_t masks = record->mask_count;
    const size_t reason_bytes = record->reason ? strlen(record->reason) : 0;
    packed_header header = {.reason_bytes = (uint32_t)reason_bytes,
                            .image_id = record->image_id,
                            .width = record->width,
                            .height = record->height,
                            .status = record->status,
                            .why = record->why,
                            .flags = flags,
                            .funnel = record->funnel,
                            .mask_count = masks,
                            .rle_bytes = record->rle_offset[masks]};
    memcpy(header.magic, magic, sizeof magic);
    if (reason_bytes > UINT32_MAX / 2)
        return mm_fail(err, MM_ERR_LIMIT, "image %" PRIu64 ": the reason is too long", record->image_id);
    const size_t total =
        HEADER + reason_bytes + (size_t)masks * mask_bytes(flags) + sizeof(uint64_t) + (size_t)header.rle_bytes;
    uint8_t *start = malloc(total);
    if (!start)
        return mm_fail_memory(err, "a packed record");
    uint8_t *to = put(start, &header, HEADER);
    to = put(to, record->reason, reason_bytes);
    for (int c = 0; c < MM_MASK_COLUMNS; c++)
        if (mm_mask_column_in(&mm_mask_columns[c], flags & SETS))
            to = put(to, mm_record_column(record, &mm_mask_columns[c]),
                     masks * mm_mask_column_row(&mm_mask_columns[c]));
    to = put(to, record->rle_offset, (masks + 1) * sizeof *record->rle_offset);
    to = put(to, record->rle, header.rle_bytes);
    if ((size_t)(to - start) != total) {
        free(start);
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 ": the packed record's size is wrong", record->image_id);
    }
    *bytes = start;
    *size = total;
    return MM_OK;
}

/* Add the packed form of further masks, with its length before it. */
static mm_status append_further(const mm_record *further, uint8_t **bytes, size_t *size, mm_error *err)
{
    uint8_t *packed = NULL, *more = NULL;
    size_t packed_size = 0;
    mm_status status = pack_alone(further, (uint8_t)mm_record_sets(further), &packed, &packed_size, err);
    if (status != MM_OK)
        return status;
    more = realloc(*bytes, *size + sizeof(uint64_t) + packed_size);
    if (more) {
        const uint64_t length = packed_size;
        (void)put(put(more + *size, &length, sizeof length), packed, packed_size);
        *bytes = more;
        *size += sizeof length + packed_size;
    } else {
        status = mm_fail_memory(err, "a packed record");
    }
    free(packed);
    return status;
}

mm_status mm_record_pack(const mm_record *record, uint8_t **bytes, size_t *size, mm_error *err)
{
    const uint8_t flags = (uint8_t)(mm_record_sets(record) | (record->confident ? FLAG_CONFIDENT : 0u) |
                                    (record->hints ? FLAG_HINTS : 0u));
    *bytes = NULL;
    mm_status status = mm_record_check_further(record, err);
    if (status == MM_OK)
        status = pack_alone(record, flags, bytes, size, err);
    if (status == MM_OK && record->confident)
        status = append_further(record->confident, bytes, size, err);
    if (status == MM_OK && record->hints)
        status = append_further(record->hints, bytes, size, err);
    if (status != MM_OK) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

/* *used: the bytes of the record by itself, which are there. */
static mm_status read_header(const uint8_t *bytes, size_t size, packed_header *header, size_t *used, mm_error *err)
{
    if (size < HEADER + sizeof(uint64_t))
        return mm_fail(err, MM_ERR_FORMAT, "a record of %zu bytes is cut short", size);
    memcpy(header, bytes, HEADER);
    if (memcmp(header->magic, magic, sizeof magic) != 0)
        return mm_fail(err, MM_ERR_FORMAT, "a record does not start with MMR1");
    static const uint8_t zero[sizeof header->zero] = {0};
    if (memcmp(header->zero, zero, sizeof zero) != 0 || header->flags >= FLAGS)
        return mm_fail(err, MM_ERR_FORMAT, "the record of image %" PRIu64 " has a damaged header, or is of a newer "
                       "maskmill", header->image_id);
    /* Each part is bounded by what is there before it enters the sum, so the sum cannot overflow. */
    const uint64_t rest = size - HEADER - sizeof(uint64_t), row = mask_bytes(header->flags);
    bool good = header->reason_bytes <= rest && header->rle_bytes <= rest && header->mask_count <= rest / row;
    if (good) {
        const uint64_t own = header->reason_bytes + header->rle_bytes + header->mask_count * row;
        good = header->flags & FLAG_FURTHER ? own < rest : own == rest;
        *used = (size_t)own + HEADER + sizeof(uint64_t);
    }
    return good ? MM_OK
                : mm_fail(err, MM_ERR_FORMAT,
                          "the record of image %" PRIu64 " has %zu bytes, which its header does not explain",
                          header->image_id, size);
}

static mm_status check_content(const mm_record *record, uint64_t rle_bytes, mm_error *err)
{
    mm_status status = mm_record_check_shape(record, rle_bytes, err);
    for (uint64_t i = 0; status == MM_OK && i < record->mask_count; i++) {
        mm_rle rle;
        status = mm_record_check_mask(record, i, &rle, err);
        if (status == MM_OK)
            mm_rle_free(&rle);
    }
    return status;
}

static mm_status read_reason(const uint8_t *from, const packed_header *header, mm_record *record, mm_error *err)
{
    if (header->status != MM_IMAGE_SET_ASIDE)
        return header->reason_bytes == 0 && header->why == MM_OK
                   ? MM_OK
                   : mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 " is not set aside but has a reason for it",
                             header->image_id);
    if (memchr(from, '\0', header->reason_bytes))
        return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ": the reason is no text", header->image_id);
    record->reason = strndup((const char *)from, header->reason_bytes);
    return record->reason ? MM_OK : mm_fail_memory(err, "a reason");
}

/* What stands before further masks. *flags is the header's, *used how many bytes it took. On an error nothing is left
 * in *record. */
static mm_status unpack_alone(const uint8_t *bytes, size_t size, mm_record *record, uint8_t *flags, size_t *used,
                              mm_error *err)
{
    packed_header header;
    *record = (mm_record){0};
    mm_status status = read_header(bytes, size, &header, used, err);
    if (status != MM_OK)
        return status;
    *flags = header.flags;
    *record = (mm_record){.image_id = header.image_id,
                          .width = header.width,
                          .height = header.height,
                          .status = header.status,
                          .why = header.why,
                          .funnel = header.funnel};
    status = mm_record_allocate(record, header.flags & SETS, header.mask_count, header.rle_bytes, err);
    if (status != MM_OK)
        return status;
    const uint8_t *from = bytes + HEADER;
    status = read_reason(from, &header, record, err);
    from += header.reason_bytes;
    for (int c = 0; c < MM_MASK_COLUMNS; c++) {
        if (!mm_mask_column_in(&mm_mask_columns[c], header.flags & SETS))
            continue;
        const size_t column_bytes = header.mask_count * mm_mask_column_row(&mm_mask_columns[c]);
        memcpy(mm_record_column(record, &mm_mask_columns[c]), from, column_bytes);
        from += column_bytes;
    }
    memcpy(record->rle_offset, from, (header.mask_count + 1) * sizeof *record->rle_offset);
    from += (header.mask_count + 1) * sizeof *record->rle_offset;
    memcpy(record->rle, from, header.rle_bytes);
    if (status == MM_OK)
        status = check_content(record, header.rle_bytes, err);
    if (status != MM_OK)
        mm_record_free(record);
    return status;
}

/* A length and a packed record at bytes[*at], into *slot. */
static mm_status unpack_further(const uint8_t *bytes, size_t size, size_t *at, mm_record **slot, mm_error *err)
{
    uint64_t length = 0;
    uint8_t flags = 0;
    size_t used = 0;
    if (size - *at >= sizeof length)
        memcpy(&length, bytes + *at, sizeof length);
    if (size - *at < sizeof length || length > size - *at - sizeof length)
        return mm_fail(err, MM_ERR_FORMAT, "a record's further masks are cut short");
    *at += sizeof length;
    mm_record *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "an image's further masks");
    mm_status status = unpack_alone(bytes + *at, (size_t)length, made, &flags, &used, err);
    if (status != MM_OK) {
        free(made);
        return status;
    }
    *slot = made; /* the record's to free from now on */
    *at += (size_t)length;
    return flags & FLAG_FURTHER
               ? mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 ": further masks have further masks", made->image_id)
               : MM_OK;
}

mm_status mm_record_unpack(const uint8_t *bytes, size_t size, mm_record *record, mm_error *err)
{
    uint8_t flags = 0;
    size_t at = 0;
    mm_status status = unpack_alone(bytes, size, record, &flags, &at, err);
    if (status != MM_OK)
        return status;
    if (flags & FLAG_CONFIDENT)
        status = unpack_further(bytes, size, &at, &record->confident, err);
    if (status == MM_OK && flags & FLAG_HINTS)
        status = unpack_further(bytes, size, &at, &record->hints, err);
    if (status == MM_OK && at != size)
        status = mm_fail(err, MM_ERR_FORMAT, "the record of image %" PRIu64 " has %zu bytes too many",
                         record->image_id, size - at);
    if (status == MM_OK)
        status = mm_record_check_further(record, err);
    if (status != MM_OK)
        mm_record_free(record);
    return status;
}
