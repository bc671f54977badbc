/* A library to be preloaded (LD_PRELOAD) into a program under test: what happens to it from outside, or inside a
 * decoder.
 *
 *   MASKMILL_SHIM_CRASH=WxH   decoding a JPEG of this size raises SIGSEGV
 *   MASKMILL_SHIM_KILL=WxH    ... SIGKILL, as when the system ends a process for want of memory
 *   MASKMILL_SHIM_SLOW=WxH    ... takes ten seconds more
 *   MASKMILL_SHIM_KILL_RENAME=N  SIGKILL at the process's N-th rename, before it is done: between any two files that are
 *                             put in their place
 *   MASKMILL_SHIM_FULL=BYTES  a disk on which journals (names ending in .mmj) may hold so many bytes in all, counted in
 *                             each process; then ENOSPC, with the bytes that still fit written, as file systems do */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <jpeglib.h>

boolean jpeg_start_decompress(j_decompress_ptr decoder);
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset);
ssize_t pwritev64(int file, const struct iovec *parts, int count, off_t offset);

int rename(const char *from, const char *to)
{
    static atomic_int renames;
    int (*next)(const char *, const char *);
    const char *last = getenv("MASKMILL_SHIM_KILL_RENAME");
    *(void **)&next = dlsym(RTLD_NEXT, "rename");
    if (last && atomic_fetch_add(&renames, 1) + 1 == atoi(last))
        (void)raise(SIGKILL);
    return next(from, to);
}

static int has_size(const char *name, const struct jpeg_decompress_struct *decoder)
{
    const char *wanted = getenv(name);
    char size[32];
    (void)snprintf(size, sizeof size, "%ux%u", decoder->image_width, decoder->image_height);
    return wanted && strcmp(wanted, size) == 0;
}

boolean jpeg_start_decompress(j_decompress_ptr decoder)
{
    boolean (*next)(j_decompress_ptr);
    *(void **)&next = dlsym(RTLD_NEXT, "jpeg_start_decompress");
    if (has_size("MASKMILL_SHIM_CRASH", decoder))
        (void)raise(SIGSEGV);
    if (has_size("MASKMILL_SHIM_KILL", decoder))
        (void)raise(SIGKILL);
    if (has_size("MASKMILL_SHIM_SLOW", decoder)) {
        struct timespec left = {.tv_sec = 10};
        while (nanosleep(&left, &left) != 0 && errno == EINTR)
            continue;
    }
    return next(decoder);
}

static int is_journal(int file)
{
    char link[64], path[4096];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const ssize_t length = readlink(link, path, sizeof path);
    return length > 4 && memcmp(path + length - 4, ".mmj", 4) == 0;
}

static ssize_t write_what_fits(const char *symbol, int file, const struct iovec *parts, int count, off_t offset)
{
    static atomic_llong used;
    ssize_t (*next)(int, const struct iovec *, int, off_t);
    *(void **)&next = dlsym(RTLD_NEXT, symbol);
    const char *full = getenv("MASKMILL_SHIM_FULL");
    if (!full || !is_journal(file))
        return next(file, parts, count, offset);
    const long long room = atoll(full) - atomic_load(&used);
    long long wanted = 0;
    for (int i = 0; i < count; i++)
        wanted += (long long)parts[i].iov_len;
    if (room <= 0) {
        errno = ENOSPC;
        return -1;
    }
    if (wanted <= room) {
        (void)atomic_fetch_add(&used, wanted);
        return next(file, parts, count, offset);
    }
    struct iovec first = parts[0];
    while (first.iov_len == 0 && count-- > 1)
        first = *++parts;
    first.iov_len = (long long)first.iov_len < room ? first.iov_len : (size_t)room;
    (void)atomic_fetch_add(&used, (long long)first.iov_len);
    return next(file, &first, 1, offset);
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset)
{
    return write_what_fits("pwritev", file, parts, count, offset);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off_t offset)
{
    return write_what_fits("pwritev64", file, parts, count, offset);
}
