/* A virtual file driver of HDF5: one file, plain reads and writes, and a failure that is kept instead of returned. */
#include "shard/disk_driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

/* What the access list carries to `open`. */
typedef struct access_info {
    mm_disk *disk;
} access_info;

typedef struct disk_file {
    H5FD_t base; /* HDF5's part: first */
    mm_disk *disk;
} disk_file;

static mm_disk *disk_of(const H5FD_t *file)
{
    return ((const disk_file *)file)->disk;
}

static H5FD_t *disk_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    (void)name;
    (void)flags;
    (void)most;
    const access_info *info = H5Pget_driver_info(access);
    disk_file *file = info ? calloc(1, sizeof *file) : NULL;
    if (file)
        file->disk = info->disk;
    return (H5FD_t *)file;
}

static herr_t disk_close(H5FD_t *file)
{
    free(file);
    return 0;
}

static herr_t disk_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t disk_get_end(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return disk_of(file)->end;
}

static herr_t disk_set_end(H5FD_t *file, H5FD_mem_t type, haddr_t end)
{
    (void)type;
    disk_of(file)->end = end;
    return 0;
}

static haddr_t disk_get_size(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return disk_of(file)->size;
}

static herr_t disk_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, void *bytes)
{
    (void)type;
    (void)transfer;
    mm_disk *disk = disk_of(file);
    char *to = bytes;
    while (size > 0) {
        const ssize_t got = pread(disk->fd, to, size, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && !disk->failed)
            disk->failed = errno;
        if (got <= 0)
            break;
        to += got;
        at += (haddr_t)got;
        size -= (size_t)got;
    }
    memset(to, 0, size); /* allocated, but never written */
    return 0;
}

static herr_t disk_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, const void *bytes)
{
    (void)type;
    (void)transfer;
    mm_disk *disk = disk_of(file);
    const char *from = bytes;
    if (at + size > disk->size)
        disk->size = at + size; /* HDF5 must believe it, also when nothing is written any more */
    while (size > 0 && !disk->failed) {
        const ssize_t put = pwrite(disk->fd, from, size, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            disk->failed = put < 0 ? errno : ENOSPC;
            break;
        }
        from += put;
        at += (haddr_t)put;
        size -= (size_t)put;
    }
    return 0;
}

static herr_t disk_truncate(H5FD_t *file, hid_t transfer, hbool_t closing)
{
    (void)transfer;
    (void)closing;
    mm_disk *disk = disk_of(file);
    if (!disk->failed && ftruncate(disk->fd, (off_t)disk->end) != 0)
        disk->failed = errno;
    disk->size = disk->end;
    return 0;
}

hid_t mm_disk_driver(void)
{
    static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
        .version = H5FD_CLASS_VERSION,
        .value = (H5FD_class_value_t)511, /* the range for drivers that are not HDF5's own starts at 256 */
#endif
        .name = "maskmill-disk",
        .maxaddr = (haddr_t)1 << 62,
        .fc_degree = H5F_CLOSE_STRONG,
        .fapl_size = sizeof(access_info),
        .open = disk_open,
        .close = disk_close,
        .query = disk_query,
        .get_eoa = disk_get_end,
        .set_eoa = disk_set_end,
        .get_eof = disk_get_size,
        .read = disk_read,
        .write = disk_write,
        .truncate = disk_truncate,
        .fl_map = H5FD_FLMAP_DICHOTOMY,
    };
    return H5FDregister(&driver);
}

herr_t mm_disk_use(hid_t access, hid_t driver, mm_disk *disk)
{
    const access_info info = {disk};
    return H5Pset_driver(access, driver, &info);
}
