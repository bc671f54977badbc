/* What is in a journal: header and frames, up to the first that is not whole. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/layout.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie in memory");

/* The line end and the control-Z show transfers that took the file for text. */
static const uint8_t magic[8] = {'M', 'M', 'J', '\r', '\n', 0x1a, '\n', 0};

void mm_journal_put_header(const mm_journal_origin *origin, uint8_t bytes[JOURNAL_HEADER])
{
    const uint32_t version = JOURNAL_VERSION, size = JOURNAL_HEADER, images = (uint32_t)origin->images;
    memcpy(bytes, magic, sizeof magic);
    memcpy(bytes + 8, &version, sizeof version);
    memcpy(bytes + 12, &size, sizeof size);
    memcpy(bytes + 16, &origin->shard, sizeof origin->shard);
    memcpy(bytes + 24, &origin->first_image, sizeof origin->first_image);
    memcpy(bytes + 32, &images, sizeof images);
    memcpy(bytes + 36, origin->run, sizeof origin->run);
    const uint32_t crc = mm_crc32c(0, bytes, JOURNAL_HEADER - sizeof crc);
    memcpy(bytes + JOURNAL_HEADER - sizeof crc, &crc, sizeof crc);
}

void mm_journal_put_frame_head(uint64_t image_id, uint32_t size, uint8_t bytes[FRAME_HEAD])
{
    memcpy(bytes, &size, sizeof size);
    memcpy(bytes + sizeof size, &image_id, sizeof image_id);
}

void mm_journal_get_frame_head(const uint8_t bytes[FRAME_HEAD], uint64_t *image_id, uint32_t *size)
{
    memcpy(size, bytes, sizeof *size);
    memcpy(image_id, bytes + sizeof *size, sizeof *image_id);
}

uint32_t mm_journal_frame_crc(const uint8_t head[FRAME_HEAD], const void *payload, size_t size)
{
    return mm_crc32c(mm_crc32c(0, head, FRAME_HEAD), payload, size);
}

mm_status mm_journal_fetch(const mm_journal *journal, uint64_t offset, void *bytes, size_t size, size_t *got,
                           mm_error *err)
{
    *got = 0;
    while (*got < size) {
        const ssize_t part = pread(journal->file, (uint8_t *)bytes + *got, size - *got, (off_t)(offset + *got));
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0)
            return mm_fail_errno(err, "cannot read %s", journal->path);
        if (part == 0)
            return MM_OK;
        *got += (size_t)part;
    }
    return MM_OK;
}

/* *whole: there is a header, and it is ours. What is too short or fails its checksum is the torn start of a journal. */
static mm_status read_header(const mm_journal *journal, bool *whole, mm_error *err)
{
    uint8_t found[JOURNAL_HEADER], expected[JOURNAL_HEADER];
    size_t got = 0;
    uint32_t crc, version;
    *whole = false;
    const mm_status status = mm_journal_fetch(journal, 0, found, sizeof found, &got, err);
    if (status != MM_OK)
        return status;
    memcpy(&crc, found + JOURNAL_HEADER - sizeof crc, sizeof crc);
    if (got < sizeof found || mm_crc32c(0, found, JOURNAL_HEADER - sizeof crc) != crc)
        return MM_OK;
    memcpy(&version, found + 8, sizeof version);
    if (memcmp(found, magic, sizeof magic) != 0 || version != JOURNAL_VERSION)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "%s is a journal of version %" PRIu32 ", this maskmill reads %d",
                       journal->path, version, JOURNAL_VERSION);
    mm_journal_put_header(&journal->origin, expected);
    if (memcmp(found, expected, sizeof found) != 0)
        return mm_fail(err, MM_ERR_FORMAT,
                       "%s is the journal of another run or shard; was it copied here? Remove it, and its images are "
                       "made again", journal->path);
    *whole = true;
    return MM_OK;
}

/* One frame at journal->end. MM_ERR_FORMAT if it is not whole or does not belong here. */
static mm_status scan_frame(mm_journal *journal, const mm_journal_visitor *visitor, uint64_t length, mm_error *err)
{
    uint8_t head[FRAME_HEAD];
    size_t got = 0;
    uint64_t image_id = 0;
    uint32_t size = 0, crc = 0;
    mm_status status = mm_journal_fetch(journal, journal->end, head, sizeof head, &got, err);
    if (status != MM_OK)
        return status;
    mm_journal_get_frame_head(head, &image_id, &size);
    if (got < sizeof head || length - journal->end < (uint64_t)FRAME_HEAD + size + FRAME_TAIL)
        return mm_fail(err, MM_ERR_FORMAT, "%s ends inside a record", journal->path);
    if (image_id < journal->origin.first_image || image_id - journal->origin.first_image >= journal->origin.images ||
        mm_journal_has(journal, image_id))
        return mm_fail(err, MM_ERR_FORMAT, "%s has a record of image %" PRIu64 ", which does not belong there",
                       journal->path, image_id);
    uint8_t *payload = malloc((size_t)size + FRAME_TAIL); /* no more than what is there, as was just seen */
    if (!payload)
        return mm_fail_memory(err, "a record of a journal");
    status = mm_journal_fetch(journal, journal->end + FRAME_HEAD, payload, (size_t)size + FRAME_TAIL, &got, err);
    if (status == MM_OK) {
        memcpy(&crc, payload + size, sizeof crc);
        if (got < (size_t)size + FRAME_TAIL || mm_journal_frame_crc(head, payload, size) != crc)
            status = mm_fail(err, MM_ERR_FORMAT, "%s has a damaged record", journal->path);
    }
    if (status == MM_OK && visitor)
        status = visitor->record(visitor->user, image_id, payload, size, err);
    free(payload);
    if (status != MM_OK)
        return status;
    journal->entries[image_id - journal->origin.first_image] =
        (mm_journal_entry){journal->end + FRAME_HEAD, size};
    journal->records++;
    journal->end += (uint64_t)FRAME_HEAD + size + FRAME_TAIL;
    return MM_OK;
}

mm_status mm_journal_scan(mm_journal *journal, const mm_journal_visitor *visitor, uint64_t *length, mm_error *err)
{
    struct stat about;
    if (fstat(journal->file, &about) != 0)
        return mm_fail_errno(err, "cannot look at %s", journal->path);
    if (!S_ISREG(about.st_mode))
        return mm_fail(err, MM_ERR_FORMAT, "%s is not a regular file", journal->path);
    *length = (uint64_t)about.st_size;
    bool whole = false;
    mm_status status = read_header(journal, &whole, err);
    journal->end = whole ? JOURNAL_HEADER : 0;
    while (status == MM_OK && whole && journal->end < *length) {
        mm_error torn = {0};
        status = scan_frame(journal, visitor, *length, &torn);
        if (status == MM_ERR_FORMAT) /* the end, for us */
            return MM_OK;
        if (status != MM_OK)
            return mm_fail(err, status, "%s", torn.text);
    }
    return status;
}
