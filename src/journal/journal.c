/* journal: an append-only file of records, one a shard, that the death of any process at any moment cannot spoil. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/file.h"
#include "journal/layout.h"

static mm_status fail_to_write(const mm_journal *journal, mm_error *err)
{
    const bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    return mm_fail_errno(err, full ? "cannot write %s; make room or raise the quota" : "cannot write %s",
                         journal->path);
}

/* All of the parts at `offset`; the array is used up. */
static mm_status write_parts(const mm_journal *journal, struct iovec *parts, int count, uint64_t offset, mm_error *err)
{
    while (count > 0) {
        const ssize_t done = pwritev(journal->file, parts, count, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            return fail_to_write(journal, err);
        }
        offset += (uint64_t)done;
        size_t left = (size_t)done;
        while (count > 0 && left >= parts->iov_len) {
            left -= parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + left;
            parts->iov_len -= left;
        }
    }
    return MM_OK;
}

static mm_status open_file(mm_journal *journal, mm_error *err)
{
    if (journal->file < 0)
        journal->file = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    return journal->file >= 0 ? MM_OK : mm_fail_errno(err, "cannot open %s", journal->path);
}

/* Cut what the scan left behind `end`, and begin a journal that has no header yet. */
static mm_status settle(mm_journal *journal, uint64_t length, uint64_t *cut, mm_error *err)
{
    *cut = length - journal->end;
    if (*cut > 0) {
        if (ftruncate(journal->file, (off_t)journal->end) != 0)
            return mm_fail_errno(err, "cannot cut the torn end off %s", journal->path);
        journal->dirty = true;
    }
    if (journal->end > 0)
        return MM_OK;
    uint8_t header[JOURNAL_HEADER];
    mm_journal_put_header(&journal->origin, header);
    const mm_status status = write_parts(journal, &(struct iovec){header, sizeof header}, 1, 0, err);
    journal->end = JOURNAL_HEADER;
    journal->dirty = true;
    return status;
}

mm_status mm_journal_open(const char *path, const mm_journal_origin *origin, const mm_journal_visitor *visitor,
                          mm_journal **journal, uint64_t *cut, mm_error *err)
{
    if (origin->images == 0 || origin->images > UINT32_MAX)
        return mm_fail(err, MM_ERR_INTERNAL, "a journal for %" PRIu64 " images", origin->images);
    mm_journal *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "a journal");
    *made = (mm_journal){.origin = *origin,
                         .path = strdup(path),
                         .file = -1,
                         .entries = calloc(origin->images, sizeof *made->entries)};
    uint64_t length = 0;
    mm_status status = made->path && made->entries ? open_file(made, err) : mm_fail_memory(err, "a journal");
    if (status == MM_OK)
        status = mm_journal_scan(made, visitor, &length, err);
    if (status == MM_OK)
        status = settle(made, length, cut, err);
    if (status != MM_OK) {
        mm_journal_close(made);
        return status;
    }
    *journal = made;
    return MM_OK;
}

void mm_journal_close(mm_journal *journal)
{
    if (!journal)
        return;
    if (journal->file >= 0)
        (void)close(journal->file); /* who wanted to be sure has synced */
    free(journal->entries);
    free(journal->path);
    free(journal);
}

mm_status mm_journal_append(mm_journal *journal, uint64_t image_id, const void *payload, size_t size, mm_error *err)
{
    const mm_journal_origin *origin = &journal->origin;
    if (image_id < origin->first_image || image_id - origin->first_image >= origin->images || size > UINT32_MAX / 2)
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " with %zu bytes does not belong into %s", image_id, size,
                       journal->path);
    if (mm_journal_has(journal, image_id))
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " was made twice", image_id);
    mm_status status = open_file(journal, err);
    if (status != MM_OK)
        return status;
    uint8_t head[FRAME_HEAD];
    mm_journal_put_frame_head(image_id, (uint32_t)size, head);
    uint32_t crc = mm_journal_frame_crc(head, payload, size);
    struct iovec parts[] = {{head, sizeof head}, {(void *)(uintptr_t)payload, size}, {&crc, sizeof crc}};
    status = write_parts(journal, parts, 3, journal->end, err);
    if (status != MM_OK) {
        /* If this fails as well, the next opening cuts it. */
        if (ftruncate(journal->file, (off_t)journal->end) != 0)
            journal->dirty = true;
        return status;
    }
    journal->entries[image_id - origin->first_image] =
        (mm_journal_entry){journal->end + FRAME_HEAD, (uint32_t)size};
    journal->records++;
    journal->end += FRAME_HEAD + size + FRAME_TAIL;
    journal->dirty = true;
    return MM_OK;
}

mm_status mm_journal_sync(mm_journal *journal, mm_error *err)
{
    if (journal->dirty && journal->file >= 0) {
        if (fdatasync(journal->file) != 0)
            return fail_to_write(journal, err);
        journal->dirty = false;
    }
    if (journal->named)
        return MM_OK;
    const mm_status status = mm_file_sync_folder(journal->path, err);
    journal->named = status == MM_OK;
    return status;
}

mm_status mm_journal_rest(mm_journal *journal, mm_error *err)
{
    if (journal->file < 0)
        return MM_OK;
    const mm_status status = mm_journal_sync(journal, err);
    if (status != MM_OK)
        return status;
    const int closed = close(journal->file);
    journal->file = -1;
    return closed == 0 ? MM_OK : fail_to_write(journal, err); /* network file systems may tell only now */
}

mm_status mm_journal_read(mm_journal *journal, uint64_t image_id, uint8_t **payload, size_t *size, mm_error *err)
{
    if (!mm_journal_has(journal, image_id))
        return mm_fail(err, MM_ERR_INTERNAL, "image %" PRIu64 " is not in %s", image_id, journal->path);
    mm_status status = open_file(journal, err);
    if (status != MM_OK)
        return status;
    const mm_journal_entry entry = journal->entries[image_id - journal->origin.first_image];
    uint8_t *bytes = malloc((size_t)entry.size + FRAME_TAIL), head[FRAME_HEAD];
    if (!bytes)
        return mm_fail_memory(err, "a record of a journal");
    size_t got = 0;
    uint32_t crc = 0;
    status = mm_journal_fetch(journal, entry.offset, bytes, (size_t)entry.size + FRAME_TAIL, &got, err);
    if (status == MM_OK) {
        mm_journal_put_frame_head(image_id, entry.size, head);
        memcpy(&crc, bytes + entry.size, sizeof crc);
        if (got < (size_t)entry.size + FRAME_TAIL || mm_journal_frame_crc(head, bytes, entry.size) != crc)
            status = mm_fail(err, MM_ERR_IO,
                             "%s was changed while the run went on; image %" PRIu64 " is not in it as it was written",
                             journal->path, image_id);
    }
    if (status != MM_OK) {
        free(bytes);
        return status;
    }
    *payload = bytes;
    *size = entry.size;
    return MM_OK;
}

static mm_status copy_records(mm_journal *journal, const uint64_t *images, size_t count, FILE *to, mm_error *err)
{
    uint8_t header[JOURNAL_HEADER], head[FRAME_HEAD];
    mm_journal_put_header(&journal->origin, header);
    bool whole = fwrite(header, 1, sizeof header, to) == sizeof header;
    for (size_t i = 0; whole && i < count; i++) {
        uint8_t *payload = NULL;
        size_t size = 0;
        const mm_status status = mm_journal_read(journal, images[i], &payload, &size, err);
        if (status != MM_OK)
            return status;
        mm_journal_put_frame_head(images[i], (uint32_t)size, head);
        const uint32_t crc = mm_journal_frame_crc(head, payload, size);
        whole = fwrite(head, 1, sizeof head, to) == sizeof head && fwrite(payload, 1, size, to) == size &&
                fwrite(&crc, 1, sizeof crc, to) == sizeof crc;
        free(payload);
    }
    return whole ? MM_OK : fail_to_write(journal, err);
}

mm_status mm_journal_reduce(mm_journal *journal, const uint64_t *images, size_t count, mm_error *err)
{
    if (count == 0)
        return unlink(journal->path) == 0 || errno == ENOENT ? MM_OK
                                                             : mm_fail_errno(err, "cannot remove %s", journal->path);
    mm_file_draft draft;
    const mm_status status = mm_file_begin(journal->path, &draft, err);
    return status == MM_OK ? mm_file_finish(&draft, copy_records(journal, images, count, draft.stream, err), err)
                           : status;
}

const mm_journal_origin *mm_journal_origin_of(const mm_journal *journal)
{
    return &journal->origin;
}

bool mm_journal_has(const mm_journal *journal, uint64_t image_id)
{
    const uint64_t first = journal->origin.first_image;
    return image_id >= first && image_id - first < journal->origin.images &&
           journal->entries[image_id - first].offset != 0;
}

uint64_t mm_journal_records(const mm_journal *journal)
{
    return journal->records;
}
