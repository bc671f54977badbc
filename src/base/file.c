#include "file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Grows with what arrives, not with what stat claims: files change, and pipes have no size. */
static mm_status read_all(FILE *file, const char *path, uint64_t max_bytes, uint8_t **bytes, size_t *size,
                          mm_error *err)
{
    enum { FIRST = 1 << 16 };
    uint8_t *buffer = NULL;
    size_t used = 0, room = 0;
    for (;;) {
        if (room - used < 2) { /* one byte to read into and one for the zero */
            const size_t wanted = room ? 2 * room : FIRST;
            uint8_t *grown = wanted > room ? realloc(buffer, wanted) : NULL;
            if (!grown) {
                free(buffer);
                return mm_fail_memory(err, path);
            }
            buffer = grown;
            room = wanted;
        }
        const size_t got = fread(buffer + used, 1, room - used - 1, file);
        used += got;
        if (max_bytes && used > max_bytes) {
            free(buffer);
            return mm_fail(err, MM_ERR_LIMIT, "%s: is longer than the permitted %llu bytes", path,
                           (unsigned long long)max_bytes);
        }
        if (got == 0)
            break;
    }
    if (ferror(file)) {
        free(buffer);
        return mm_fail_errno(err, "%s", path);
    }
    buffer[used] = '\0';
    *bytes = buffer;
    *size = used;
    return MM_OK;
}

mm_status mm_file_read(const char *path, uint64_t max_bytes, uint8_t **bytes, size_t *size, mm_error *err)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return mm_fail_errno(err, "%s", path);
    const mm_status status = read_all(file, path, max_bytes, bytes, size, err);
    (void)fclose(file); /* only read */
    return status;
}

bool mm_file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && !S_ISDIR(about.st_mode);
}

bool mm_file_find_shipped(const char *folder, const char *source_folder, const char *file, char *path, size_t size)
{
    char program[4096];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash) {
        *slash = '\0';
        const int used = snprintf(path, size, "%s/../share/maskmill/%s/%s", program, folder, file);
        if (used > 0 && (size_t)used < size && mm_file_exists(path))
            return true;
    }
    const int used = snprintf(path, size, "%s/%s", source_folder, file);
    return used > 0 && (size_t)used < size && mm_file_exists(path);
}
