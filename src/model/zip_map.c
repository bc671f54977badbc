/* libzip over a mapped file.
 *
 * libzip does not tell where an entry's bytes begin. So it reads the map through a source of ours, which notes the
 * position of the last read: when the first byte of a stored entry has been read, that position is its begin. */
#include "zip_map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#define CHUNK 65536u
#define MAX_DEFLATE_RATIO 1032u /* of deflate; what claims more is a lie */

struct mm_zip {
    zip_t *archive;
    const unsigned char *map;
    uint64_t size, at, last_read;
    zip_error_t error;
};

static zip_int64_t source_read(mm_zip *zip, void *data, zip_uint64_t length)
{
    const uint64_t left = zip->size - zip->at;
    if (length > left)
        length = left;
    memcpy(data, zip->map + zip->at, (size_t)length);
    zip->last_read = zip->at;
    zip->at += length;
    return (zip_int64_t)length;
}

static zip_int64_t source_seek(mm_zip *zip, void *data, zip_uint64_t length)
{
    const zip_int64_t to = zip_source_seek_compute_offset(zip->at, zip->size, data, length, &zip->error);
    if (to < 0)
        return -1;
    zip->at = (uint64_t)to;
    return 0;
}

static zip_int64_t source_stat(const mm_zip *zip, void *data, zip_uint64_t length)
{
    zip_stat_t *stat = data;
    if (length < sizeof *stat)
        return -1;
    zip_stat_init(stat);
    stat->valid = ZIP_STAT_SIZE;
    stat->size = zip->size;
    return sizeof *stat;
}

static zip_int64_t source(void *user, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    mm_zip *zip = user;
    switch (command) {
    case ZIP_SOURCE_OPEN:
        zip->at = 0;
        return 0;
    case ZIP_SOURCE_READ:
        return source_read(zip, data, length);
    case ZIP_SOURCE_SEEK:
        return source_seek(zip, data, length);
    case ZIP_SOURCE_TELL:
        return (zip_int64_t)zip->at;
    case ZIP_SOURCE_STAT:
        return source_stat(zip, data, length);
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&zip->error, data, length);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
        return 0;
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                              ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_CLOSE, ZIP_SOURCE_FREE,
                                              ZIP_SOURCE_SUPPORTS, -1);
    default:
        zip_error_set(&zip->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

mm_status mm_zip_open(const unsigned char *map, size_t size, mm_zip **zip, mm_error *err)
{
    *zip = NULL;
    mm_zip *opened = calloc(1, sizeof *opened);
    if (!opened)
        return mm_fail_memory(err, "a zip archive");
    opened->map = map;
    opened->size = size;
    zip_error_t error;
    zip_error_init(&error);
    zip_error_init(&opened->error);
    zip_source_t *from = zip_source_function_create(source, opened, &error);
    if (from)
        opened->archive = zip_open_from_source(from, ZIP_RDONLY, &error);
    mm_status status = MM_OK;
    if (!opened->archive) {
        status = mm_fail(err, MM_ERR_FORMAT, "is not a whole zip archive (%s): the file was cut; fetch it again",
                         zip_error_strerror(&error));
        zip_source_free(from);
        mm_zip_close(opened);
    } else {
        *zip = opened;
    }
    zip_error_fini(&error);
    return status;
}

void mm_zip_close(mm_zip *zip)
{
    if (!zip)
        return;
    if (zip->archive)
        zip_discard(zip->archive);
    zip_error_fini(&zip->error);
    free(zip);
}

size_t mm_zip_count(const mm_zip *zip)
{
    const zip_int64_t count = zip_get_num_entries(zip->archive, 0);
    return count > 0 ? (size_t)count : 0;
}

const char *mm_zip_name(const mm_zip *zip, size_t index)
{
    return zip_get_name(zip->archive, index, ZIP_FL_ENC_RAW);
}

bool mm_zip_find(const mm_zip *zip, const char *name, size_t *index)
{
    const zip_int64_t found = zip_name_locate(zip->archive, name, ZIP_FL_ENC_RAW);
    if (found < 0)
        return false;
    *index = (size_t)found;
    return true;
}

static mm_status entry_stat(const mm_zip *zip, size_t index, zip_stat_t *stat, mm_error *err)
{
    const zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if (zip_stat_index(zip->archive, index, 0, stat) != 0 || (stat->valid & wanted) != wanted)
        return mm_fail(err, MM_ERR_FORMAT, "entry %zu of the zip archive is damaged", index);
    return MM_OK;
}

bool mm_zip_is_stored(const mm_zip *zip, size_t index)
{
    zip_stat_t stat;
    return entry_stat(zip, index, &stat, NULL) == MM_OK && stat.comp_method == ZIP_CM_STORE;
}

mm_status mm_zip_size(const mm_zip *zip, size_t index, uint64_t *size, mm_error *err)
{
    zip_stat_t stat;
    const mm_status status = entry_stat(zip, index, &stat, err);
    if (status != MM_OK)
        return status;
    const uint64_t ratio = stat.comp_method == ZIP_CM_STORE ? 1 : MAX_DEFLATE_RATIO;
    if (stat.comp_size > zip->size || stat.size / ratio > stat.comp_size)
        return mm_fail(err, MM_ERR_FORMAT, "entry %zu of the zip archive claims %" PRIu64 " bytes of %" PRIu64, index,
                       (uint64_t)stat.size, (uint64_t)stat.comp_size);
    *size = stat.size;
    return MM_OK;
}

/* Read `size` bytes to `out`, or in place of that into a chunk that is thrown away; notes where the first lay. */
static bool read_through(mm_zip *zip, zip_file_t *file, uint64_t size, unsigned char *out, uint64_t *begin)
{
    unsigned char chunk[CHUNK];
    for (uint64_t done = 0; done < size;) {
        const uint64_t left = size - done;
        const zip_int64_t got = zip_fread(file, out ? out + done : chunk, left < CHUNK ? left : CHUNK);
        if (got <= 0)
            return false;
        if (done == 0)
            *begin = zip->last_read;
        done += (uint64_t)got;
    }
    /* The CRC is compared when the end is read. */
    return zip_fread(file, chunk, 1) == 0;
}

mm_status mm_zip_read(mm_zip *zip, size_t index, unsigned char *out, const unsigned char **in_place, mm_error *err)
{
    uint64_t size = 0, begin = 0;
    *in_place = NULL;
    const mm_status status = mm_zip_size(zip, index, &size, err);
    if (status != MM_OK)
        return status;
    const bool stored = mm_zip_is_stored(zip, index);
    zip_file_t *file = zip_fopen_index(zip->archive, index, 0);
    const bool whole = file && read_through(zip, file, size, stored ? NULL : out, &begin);
    const char *reason = file ? zip_file_strerror(file) : zip_strerror(zip->archive);
    mm_status result = MM_OK;
    if (!whole)
        result = mm_fail(err, MM_ERR_FORMAT, "entry %zu of the zip archive is damaged (%s); fetch the file again", index,
                         reason);
    else if (stored && (begin > zip->size || size > zip->size - begin))
        result = mm_fail(err, MM_ERR_FORMAT, "entry %zu of the zip archive lies outside of it", index);
    else if (stored)
        *in_place = zip->map + begin;
    if (file)
        (void)zip_fclose(file); /* its error was looked at in read_through */
    return result;
}
