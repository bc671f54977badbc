/* manifest.h5: written through a draft, read in blocks with every row checked. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/h5.h"
#include "corpus/manifest.h"

enum { BLOCK = 65536, MAX_ROOTS = 1u << 20 };

static const mm_h5_column columns[] = {
    {"image_id", MM_H5_U64, 0}, {"path", MM_H5_STRING, 0}, {"offset", MM_H5_U64, 0}, {"length", MM_H5_U64, 0},
    {"width", MM_H5_U32, 0},    {"height", MM_H5_U32, 0},  {"phash", MM_H5_U64, 0},
    {"duplicate_of", MM_H5_U64, 0}, /* only where groups were looked for */
};
enum { IMAGE_ID, PATH, OFFSET, LENGTH, WIDTH, HEIGHT, PHASH, DUPLICATE_OF, COLUMNS };

/* Columns that are not stored as arrays are made block by block: ids, and pointers to the names. */
static mm_status write_made_column(const mm_manifest *manifest, int which, hid_t dataset, mm_error *err)
{
    union {
        uint64_t *ids;
        const char **paths;
        void *any;
    } block = {.any = malloc(BLOCK * sizeof(uint64_t))};
    if (!block.any)
        return mm_fail_memory(err, "writing a manifest");
    mm_status status = MM_OK;
    for (uint64_t start = 0; status == MM_OK && start < manifest->count; start += BLOCK) {
        const uint64_t left = manifest->count - start, count = left < BLOCK ? left : BLOCK;
        for (uint64_t i = 0; i < count; i++) {
            if (which == IMAGE_ID)
                block.ids[i] = start + i;
            else
                block.paths[i] = manifest->text + manifest->name[start + i];
        }
        status = mm_h5_column_write(dataset, &columns[which], start, count, block.any, err);
    }
    free(block.any);
    return status;
}
_Static_assert(sizeof(char *) <= sizeof(uint64_t), "a block holds either");

static mm_status write_columns(const mm_manifest *manifest, hid_t file, mm_error *err)
{
    const void *const arrays[COLUMNS] = {[OFFSET] = manifest->offset,
                                         [LENGTH] = manifest->length,
                                         [WIDTH] = manifest->width,
                                         [HEIGHT] = manifest->height,
                                         [PHASH] = manifest->phash,
                                         [DUPLICATE_OF] = manifest->duplicate_of};
    mm_status status = MM_OK;
    for (int c = 0; status == MM_OK && c < COLUMNS; c++) {
        hid_t dataset;
        if (c == DUPLICATE_OF && !manifest->duplicate_of)
            continue;
        status = mm_h5_column_create(file, &columns[c], manifest->count, &dataset, err);
        if (status != MM_OK)
            break;
        status = arrays[c] ? mm_h5_column_write(dataset, &columns[c], 0, manifest->count, arrays[c], err)
                           : write_made_column(manifest, c, dataset, err);
        if (H5Dclose(dataset) < 0 && status == MM_OK)
            status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the column %s", columns[c].name);
    }
    return status;
}

mm_status mm_manifest_write(const mm_manifest *manifest, const char *path, mm_error *err)
{
    const mm_h5_silence before = mm_h5_silence_begin();
    mm_h5_draft draft;
    mm_status status = mm_h5_draft_begin(&draft, err);
    if (status == MM_OK) {
        status = mm_h5_put_u64(draft.file, "format_version", MM_FORMAT_VERSION, err);
        if (status == MM_OK)
            status =
                mm_h5_put_list(draft.file, "roots", (const char *const *)manifest->roots, manifest->root_count, err);
        if (status == MM_OK && manifest->duplicate_of)
            status = mm_h5_put_u64(draft.file, "duplicate_distance", manifest->duplicate_distance, err);
        if (status == MM_OK)
            status = write_columns(manifest, draft.file, err);
        if (status == MM_OK)
            status = mm_h5_draft_commit(&draft, "manifest", path, NULL, err);
        else
            mm_h5_draft_abandon(&draft);
    }
    mm_h5_silence_end(before);
    return status;
}

typedef struct block {
    uint64_t image_id[BLOCK], offset[BLOCK], length[BLOCK], phash[BLOCK], duplicate_of[BLOCK];
    uint32_t width[BLOCK], height[BLOCK];
    char *path[BLOCK];
} block;

static mm_status read_block(const hid_t datasets[COLUMNS], uint64_t start, uint64_t count, block *into, mm_error *err)
{
    void *const to[COLUMNS] = {into->image_id, into->path,   into->offset, into->length,
                               into->width,    into->height, into->phash,  into->duplicate_of};
    mm_status status = MM_OK;
    /* Names come last: theirs are the only values that have to be given back. */
    for (int c = 0; status == MM_OK && c < COLUMNS; c++)
        if (c != PATH && datasets[c] >= 0)
            status = mm_h5_column_read(datasets[c], &columns[c], start, count, to[c], err);
    if (status == MM_OK)
        status = mm_h5_column_read(datasets[PATH], &columns[PATH], start, count, to[PATH], err);
    return status;
}

static mm_status check_row(const mm_manifest *manifest, uint64_t row, const mm_manifest_entry *entry, mm_error *err)
{
    if (entry->image_id != row)
        return mm_fail(err, MM_ERR_FORMAT, "row %" PRIu64 " has image_id %" PRIu64 "; ids must count up from 0", row,
                       entry->image_id);
    if (entry->path[0] == '\0')
        return mm_fail(err, MM_ERR_FORMAT, "row %" PRIu64 " has an empty path", row);
    if (entry->offset > INT64_MAX || entry->length > INT64_MAX - entry->offset)
        return mm_fail(err, MM_ERR_FORMAT, "row %" PRIu64 ": offset and length are beyond any file", row);
    if (row == 0)
        return MM_OK;
    const mm_manifest_entry before = mm_manifest_at(manifest, row - 1);
    const int order = strcmp(before.path, entry->path);
    if (order > 0 || (order == 0 && before.offset >= entry->offset))
        return mm_fail(err, MM_ERR_FORMAT, "row %" PRIu64 " (%s) is out of order; rows are sorted by path and offset",
                       row, entry->path);
    return MM_OK;
}

/* The first of a group is its own first, so a chain has one step. */
static mm_status take_group(mm_manifest *manifest, uint64_t row, uint64_t first, mm_error *err)
{
    if (first > row || (first < row && manifest->duplicate_of[first] != first))
        return mm_fail(err, MM_ERR_FORMAT, "row %" PRIu64 " is duplicate_of %" PRIu64 ", which is no group's first",
                       row, first);
    manifest->duplicate_of[row] = first;
    return MM_OK;
}

/* Room for the groups, when the file has them. */
static mm_status prepare_groups(hid_t file, uint64_t rows, mm_manifest *manifest, mm_error *err)
{
    const mm_status status = mm_h5_get_u64(file, "duplicate_distance", &manifest->duplicate_distance, err);
    if (status != MM_OK)
        return status;
    if (manifest->duplicate_distance > 64)
        return mm_fail(err, MM_ERR_FORMAT, "duplicate_distance is %" PRIu64 " of 64 bits",
                       manifest->duplicate_distance);
    if (rows <= SIZE_MAX / sizeof *manifest->duplicate_of)
        manifest->duplicate_of = malloc((size_t)rows * sizeof *manifest->duplicate_of);
    return manifest->duplicate_of ? MM_OK : mm_fail_memory(err, "a manifest");
}

static mm_status read_rows(const hid_t datasets[COLUMNS], uint64_t rows, mm_manifest *manifest, mm_error *err)
{
    block *from = malloc(sizeof *from);
    if (!from)
        return mm_fail_memory(err, "reading a manifest");
    mm_status status = MM_OK;
    for (uint64_t start = 0; status == MM_OK && start < rows; start += BLOCK) {
        const uint64_t count = rows - start < BLOCK ? rows - start : BLOCK;
        status = read_block(datasets, start, count, from, err);
        if (status != MM_OK)
            break;
        for (uint64_t i = 0; status == MM_OK && i < count; i++) {
            const mm_manifest_entry entry = {from->image_id[i], from->path[i],   from->offset[i], from->length[i],
                                             from->width[i],    from->height[i], from->phash[i]};
            status = check_row(manifest, start + i, &entry, err);
            if (status == MM_OK)
                status = mm_manifest_add(manifest, &entry, err);
            if (status == MM_OK && manifest->duplicate_of)
                status = take_group(manifest, start + i, from->duplicate_of[i], err);
        }
        mm_h5_strings_free(from->path, count);
    }
    free(from);
    return status;
}

static mm_status read_columns(hid_t file, mm_manifest *manifest, mm_error *err)
{
    hid_t datasets[COLUMNS];
    uint64_t rows = 0;
    mm_status status = MM_OK;
    int opened = 0;
    for (; opened < COLUMNS; opened++) {
        uint64_t length = 0;
        datasets[opened] = H5I_INVALID_HID;
        if (opened == DUPLICATE_OF && H5Lexists(file, columns[opened].name, H5P_DEFAULT) <= 0)
            continue;
        status = mm_h5_column_open(file, &columns[opened], &datasets[opened], &length, err);
        if (status != MM_OK)
            break;
        if (opened > 0 && length != rows)
            status = mm_fail(err, MM_ERR_FORMAT, "%s has %" PRIu64 " rows where %s has %" PRIu64, columns[opened].name,
                             length, columns[0].name, rows);
        rows = length;
        if (status != MM_OK) {
            opened++;
            break;
        }
    }
    if (status == MM_OK && rows == 0)
        status = mm_fail(err, MM_ERR_FORMAT, "it lists no image; scan the corpus again");
    if (status == MM_OK && datasets[DUPLICATE_OF] >= 0)
        status = prepare_groups(file, rows, manifest, err);
    if (status == MM_OK)
        status = read_rows(datasets, rows, manifest, err);
    while (opened-- > 0)
        if (datasets[opened] >= 0)
            (void)H5Dclose(datasets[opened]); /* only read from */
    return status;
}

static mm_status read_roots(hid_t file, mm_manifest *manifest, mm_error *err)
{
    char **roots = NULL;
    size_t count = 0;
    mm_status status = mm_h5_get_list(file, "roots", MAX_ROOTS, &roots, &count, err);
    if (status != MM_OK)
        return status;
    for (size_t i = 0; status == MM_OK && i < count; i++)
        status = mm_manifest_add_root(manifest, roots[i], err);
    mm_h5_strings_free(roots, count);
    free(roots);
    return status;
}

static mm_status read_manifest(hid_t file, mm_manifest *manifest, mm_error *err)
{
    uint64_t version = 0;
    mm_status status = mm_h5_get_u64(file, "format_version", &version, err);
    if (status == MM_OK && version != MM_FORMAT_VERSION)
        status = mm_fail(err, MM_ERR_UNSUPPORTED, "it has format_version %" PRIu64 ", this maskmill reads %d", version,
                         MM_FORMAT_VERSION);
    if (status == MM_OK)
        status = read_roots(file, manifest, err);
    return status == MM_OK ? read_columns(file, manifest, err) : status;
}

mm_status mm_manifest_open(const char *path, mm_manifest **manifest, mm_error *err)
{
    *manifest = NULL;
    const mm_h5_silence before = mm_h5_silence_begin();
    hid_t file;
    mm_status status = mm_h5_open(path, "manifest", true, &file, err);
    if (status == MM_OK) {
        status = mm_manifest_new(manifest, err);
        if (status == MM_OK)
            status = read_manifest(file, *manifest, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "manifest %s", path);
        (void)H5Fclose(file); /* only read from */
    }
    mm_h5_silence_end(before);
    if (status != MM_OK) {
        mm_manifest_free(*manifest);
        *manifest = NULL;
    }
    return status;
}
