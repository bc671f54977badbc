#include "journal/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "maskmill/journal.h"

enum { PREFIX = 9 }; /* eight digits and a blank */

struct mm_lines {
    int fd;
    uint64_t size; /* of whole lines; where the next one goes */
    bool broken;   /* the end could not be put right after a failure */
    bool reads;    /* only */
    char *path;
};

/* --- reading --- */

/* A line as it stands in the file, without its newline. */
static bool is_good(const char *line, size_t length)
{
    char digits[PREFIX + 1];
    if (length < PREFIX || line[PREFIX - 1] != ' ')
        return false;
    (void)snprintf(digits, sizeof digits, "%08" PRIx32 " ", mm_crc32c(0, line + PREFIX, length - PREFIX));
    return memcmp(digits, line, PREFIX) == 0;
}

/* A line that lost its newline stands before another one, which is good: that is no torn end. */
static bool has_good_end(const char *line, size_t length)
{
    for (size_t at = 1; at + PREFIX <= length; at++)
        if (line[at + PREFIX - 1] == ' ' && strspn(line + at, "0123456789abcdef") == PREFIX - 1 &&
            is_good(line + at, length - at))
            return true;
    return false;
}

typedef struct reading {
    const char *path;
    const mm_lines_visitor *visitor;
    char *head;
    uint64_t good; /* bytes of the good lines at the beginning */
    uint64_t bad;  /* line number of the first bad one, from 1; 0: none yet */
} reading;

static mm_status take_line(reading *r, char *line, size_t length, uint64_t number, uint64_t offset, mm_error *err)
{
    const bool whole = length > 0 && line[length - 1] == '\n';
    const bool good = whole && is_good(line, length - 1);
    if (!good && !r->bad)
        r->bad = number;
    if (!good && !(whole && has_good_end(line, length - 1)))
        return MM_OK;
    if (r->bad)
        return mm_fail(err, MM_ERR_FORMAT,
                       "%s: line %" PRIu64 " is damaged, with good lines behind it; nothing was cut: put "
                       "a copy back, or take that line out by hand", r->path, r->bad);
    line[length - 1] = '\0';
    r->good = offset + length;
    if (number > 1)
        return r->visitor ? r->visitor->line(r->visitor->user, line + PREFIX, length - 1 - PREFIX, offset, err) : MM_OK;
    r->head = strdup(line + PREFIX);
    return r->head ? MM_OK : mm_fail_memory(err, r->path);
}

/* Through getline, so that memory is that of the longest line. */
static mm_status go_through(FILE *file, reading *r, uint64_t *torn, mm_error *err)
{
    char *line = NULL;
    size_t room = 0;
    uint64_t number = 0, offset = 0;
    mm_status status = MM_OK;
    errno = 0;
    while (status == MM_OK) {
        const ssize_t got = getline(&line, &room, file);
        if (got < 0)
            break;
        if ((size_t)got > MM_LINE_MOST)
            status = mm_fail(err, MM_ERR_FORMAT, "%s: line %" PRIu64 " is longer than any answer", r->path, number + 1);
        else
            status = take_line(r, line, (size_t)got, ++number, offset, err);
        offset += (uint64_t)got;
    }
    if (status == MM_OK && !feof(file))
        status = mm_fail_errno(err, "%s", r->path);
    free(line);
    *torn = offset - r->good;
    return status;
}

mm_status mm_lines_read(const char *path, const mm_lines_visitor *visitor, char **head, uint64_t *torn, mm_error *err)
{
    reading r = {.path = path, .visitor = visitor};
    uint64_t behind = 0;
    FILE *file = fopen(path, "re");
    if (head)
        *head = NULL;
    if (!file)
        return mm_fail_errno(err, "%s", path);
    mm_status status = go_through(file, &r, &behind, err);
    (void)fclose(file); /* only read */
    if (status == MM_OK && !r.head)
        status = mm_fail(err, MM_ERR_FORMAT, "%s: does not begin with a whole line", path);
    if (torn)
        *torn = behind;
    if (head && status == MM_OK)
        *head = r.head;
    else
        free(r.head);
    return status;
}

/* --- writing --- */

static mm_status write_all(int fd, const char *bytes, size_t size, uint64_t at)
{
    while (size > 0) {
        const ssize_t wrote = pwrite(fd, bytes, size, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            errno = wrote == 0 ? ENOSPC : errno;
            return MM_ERR_IO;
        }
        bytes += wrote;
        size -= (size_t)wrote;
        at += (uint64_t)wrote;
    }
    return MM_OK;
}

mm_status mm_lines_append(mm_lines *lines, const char *text, size_t size, uint64_t *offset, mm_error *err)
{
    if (lines->broken || lines->reads)
        return mm_fail(err, MM_ERR_IO, "%s: an earlier write failed, and could not be taken back; start again",
                       lines->path);
    if (size > MM_LINE_MOST - PREFIX - 1 || memchr(text, '\n', size))
        return mm_fail(err, MM_ERR_INTERNAL, "%s: a line of %zu bytes that is none", lines->path, size);
    char *line = malloc(PREFIX + size + 2);
    if (!line)
        return mm_fail_memory(err, lines->path);
    (void)snprintf(line, PREFIX + 1, "%08" PRIx32 " ", mm_crc32c(0, text, size));
    memcpy(line + PREFIX, text, size);
    line[PREFIX + size] = '\n';
    mm_status status = write_all(lines->fd, line, PREFIX + size + 1, lines->size);
    if (status == MM_OK && fdatasync(lines->fd) != 0)
        status = MM_ERR_IO;
    free(line);
    if (status != MM_OK) {
        status = mm_fail_errno(err, "%s", lines->path);
        lines->broken = ftruncate(lines->fd, (off_t)lines->size) != 0 || fdatasync(lines->fd) != 0;
        return status;
    }
    if (offset)
        *offset = lines->size;
    lines->size += PREFIX + size + 1;
    return MM_OK;
}

mm_status mm_lines_at(const mm_lines *lines, uint64_t offset, char **text, size_t *size, mm_error *err)
{
    size_t room = 4096, used = 0;
    char *line = malloc(room + 1);
    const char *end = NULL;
    *text = NULL;
    while (line && !end && offset + used < lines->size) {
        if (used == room) {
            char *more = room < MM_LINE_MOST ? realloc(line, 2 * room + 1) : NULL;
            if (!more)
                break;
            line = more;
            room *= 2;
        }
        const ssize_t got = pread(lines->fd, line + used, room - used, (off_t)(offset + used));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        end = memchr(line + used, '\n', (size_t)got);
        used += (size_t)got;
    }
    const size_t length = end ? (size_t)(end - line) : 0;
    if (!line || !end || !is_good(line, length)) {
        free(line);
        return mm_fail(err, MM_ERR_IO, "%s: what was written at byte %" PRIu64 " cannot be read again", lines->path,
                       offset);
    }
    memmove(line, line + PREFIX, length - PREFIX);
    *size = length - PREFIX;
    line[*size] = '\0';
    *text = line;
    return MM_OK;
}

/* --- opening --- */

static mm_status look_through(mm_lines *lines, const char *head, const mm_lines_visitor *visitor, uint64_t *cut,
                              mm_error *err)
{
    reading r = {.path = lines->path, .visitor = visitor};
    const int copy = dup(lines->fd);
    FILE *file = copy >= 0 ? fdopen(copy, "r") : NULL;
    if (!file) {
        if (copy >= 0)
            (void)close(copy);
        return mm_fail_errno(err, "%s", lines->path);
    }
    mm_status status = go_through(file, &r, cut, err);
    (void)fclose(file); /* only read */
    lines->size = r.good;
    if (status == MM_OK && !r.head && *cut > 0)
        status = strlen(head) + PREFIX + 1 > *cut
                     ? MM_OK /* it died while it was made */
                     : mm_fail(err, MM_ERR_FORMAT, "%s: is no journal of answers", lines->path);
    if (status == MM_OK && r.head && strcmp(r.head, head) != 0)
        status = mm_fail(err, MM_ERR_USAGE, "%s: holds answers about other images: %.150s", lines->path, r.head);
    if (status == MM_OK && lines->reads) {
        if (!r.head)
            status = mm_fail(err, MM_ERR_FORMAT, "%s: does not begin with a whole line", lines->path);
        free(r.head);
        return status;
    }
    if (status == MM_OK && *cut > 0 && ftruncate(lines->fd, (off_t)lines->size) != 0)
        status = mm_fail_errno(err, "%s", lines->path);
    if (status == MM_OK && !r.head) {
        status = mm_lines_append(lines, head, strlen(head), NULL, err);
        if (status == MM_OK)
            status = mm_file_sync_folder(lines->path, err);
    }
    free(r.head);
    return status;
}

static mm_status open_as(const char *path, const char *head, const mm_lines_visitor *visitor, bool reads,
                         mm_lines **lines, uint64_t *cut, mm_error *err)
{
    mm_lines *made = calloc(1, sizeof *made);
    *lines = NULL;
    if (!made || !(made->path = strdup(path))) {
        free(made);
        return mm_fail_memory(err, path);
    }
    mm_status status = MM_OK;
    made->reads = reads;
    made->fd = reads ? open(path, O_RDONLY | O_CLOEXEC) : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (made->fd < 0)
        status = mm_fail_errno(err, "%s", path);
    else if (!reads && flock(made->fd, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK
                     ? mm_fail(err, MM_ERR_USAGE,
                               "%s: another maskmill annotate writes to it; give another --answers", path)
                     : mm_fail_errno(err, "%s: locking", path);
    if (status == MM_OK)
        status = look_through(made, head, visitor, cut, err);
    if (status != MM_OK) {
        mm_lines_close(made);
        return status;
    }
    *lines = made;
    return MM_OK;
}

mm_status mm_lines_open(const char *path, const char *head, const mm_lines_visitor *visitor, mm_lines **lines,
                        uint64_t *cut, mm_error *err)
{
    uint64_t behind = 0;
    const mm_status status = open_as(path, head, visitor, false, lines, &behind, err);
    if (cut)
        *cut = behind;
    return status;
}

mm_status mm_lines_open_read(const char *path, const char *head, const mm_lines_visitor *visitor, mm_lines **lines,
                             mm_error *err)
{
    uint64_t behind;
    return open_as(path, head, visitor, true, lines, &behind, err);
}

void mm_lines_close(mm_lines *lines)
{
    if (!lines)
        return;
    if (lines->fd >= 0)
        (void)close(lines->fd); /* every line was synced when it was written */
    free(lines->path);
    free(lines);
}
