/* What a scan learns of a file without decoding it: its length and the size in its JPEG header. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "corpus/scan.h"
#include "maskmill/image.h"

bool mm_scan_is_jpeg_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

static size_t read_at(int fd, uint64_t start, uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t got = pread(fd, bytes + done, size - done, (off_t)(start + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

void mm_scan_probe(int fd, uint64_t start, uint64_t length, uint32_t *width, uint32_t *height)
{
    /* Most headers lie in the first few KiB; colour profiles, thumbnails and notes can push them further. */
    static const size_t reaches[] = {4u << 10, 64u << 10, 1u << 20, 16u << 20};
    const mm_jpeg_options options = {0};
    uint8_t *bytes = NULL;
    *width = *height = 0;
    for (size_t i = 0; i < sizeof reaches / sizeof reaches[0]; i++) {
        const size_t want = length < reaches[i] ? (size_t)length : reaches[i];
        uint8_t *larger = realloc(bytes, want ? want : 1);
        if (!larger)
            break; /* the size is a convenience; the run will look again */
        bytes = larger;
        const size_t got = read_at(fd, start, bytes, want);
        mm_jpeg_info info;
        if (mm_image_probe_jpeg(bytes, got, &options, &info, NULL) == MM_OK) {
            *width = info.width;
            *height = info.height;
            break;
        }
        if (got < want || want == length || got < 2 || bytes[0] != 0xff || bytes[1] != 0xd8)
            break;
    }
    free(bytes);
}

void mm_scan_probe_file(const char *path, mm_manifest_entry *row)
{
    row->length = 0;
    row->width = row->height = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return;
    struct stat info;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        row->length = (uint64_t)info.st_size;
        mm_scan_probe(fd, 0, row->length, &row->width, &row->height);
    }
    (void)close(fd); /* only read from */
}
