/* queue.h5: one row an image, sealed like shards. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/columns.h"
#include "queue/queue.h"

static const mm_row_column columns[] = {
    {{"image_id", MM_H5_U64, 0}, offsetof(mm_queue_image, image_id)},
    {{"row", MM_H5_U64, 0}, offsetof(mm_queue_image, row)},
    {{"priority", MM_H5_F32, 0}, offsetof(mm_queue_image, priority)},
    {{"uncovered", MM_H5_F32, 0}, offsetof(mm_queue_image, uncovered)},
    {{"hint_gain", MM_H5_F32, 0}, offsetof(mm_queue_image, hint_gain)},
    {{"disagreement", MM_H5_F32, 0}, offsetof(mm_queue_image, disagreement)},
    {{"batch", MM_H5_U32, 0}, offsetof(mm_queue_image, batch)},
    {{"width", MM_H5_U32, 0}, offsetof(mm_queue_image, width)},
    {{"height", MM_H5_U32, 0}, offsetof(mm_queue_image, height)},
    {{"prefilled", MM_H5_U32, 0}, offsetof(mm_queue_image, prefilled)},
    {{"hints", MM_H5_U32, 0}, offsetof(mm_queue_image, hints)},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };
static const char *const prefill_names[] = {"confident", "masks", "nothing"}; /* as mm_prefill_mode */
enum { PREFILLS = sizeof prefill_names / sizeof prefill_names[0] };

const char *mm_prefill_name(mm_prefill_mode mode)
{
    return prefill_names[mode];
}

mm_status mm_queue_rows_add(mm_queue_rows *rows, const mm_queue_image *image, mm_error *err)
{
    if (rows->count == rows->room) {
        const size_t room = rows->room ? 2 * rows->room : 1024;
        mm_queue_image *more = reallocarray(rows->items, room, sizeof *more);
        if (!more)
            return mm_fail_memory(err, "a queue");
        rows->items = more;
        rows->room = room;
    }
    rows->items[rows->count++] = *image;
    return MM_OK;
}

static mm_status write_content(hid_t file, const mm_queue_origin *origin, const mm_queue_rows *rows, mm_error *err)
{
    hid_t group;
    mm_status status = mm_h5_put_u64(file, "format_version", MM_FORMAT_VERSION, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "dataset_bytes", origin->dataset.bytes, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "dataset_digest", origin->dataset.digest, err);
    if (status == MM_OK)
        status = mm_h5_put_text(file, "prefill", prefill_names[origin->prefill], err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "batch_size", origin->batch_size, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "skip_human", origin->skip_human, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "shard", origin->shard, err);
    if (status != MM_OK || (status = mm_h5_group_create(file, "images", &group, err)) != MM_OK)
        return status;
    status = mm_rows_write(group, columns, COLUMNS, rows->items, sizeof *rows->items, rows->count, err);
    if (H5Gclose(group) < 0 && status == MM_OK)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the group images");
    return status;
}

mm_status mm_queue_file_write(const char *path, const char *kind, const mm_queue_origin *origin,
                              const mm_queue_rows *rows, mm_error *err)
{
    const mm_h5_silence before = mm_h5_silence_begin();
    mm_h5_draft draft;
    mm_status status = mm_h5_draft_begin(&draft, err);
    if (status == MM_OK) {
        status = write_content(draft.file, origin, rows, err);
        if (status == MM_OK)
            status = mm_h5_draft_commit(&draft, kind, path, NULL, err);
        else
            mm_h5_draft_abandon(&draft);
    }
    mm_h5_silence_end(before);
    return status;
}

static mm_status read_origin(hid_t file, mm_queue_origin *origin, mm_error *err)
{
    uint64_t version = 0, skip_human = 0;
    char *prefill = NULL;
    mm_status status = mm_h5_get_u64(file, "format_version", &version, err);
    if (status == MM_OK && version != MM_FORMAT_VERSION)
        status = mm_fail(err, MM_ERR_UNSUPPORTED, "it has format_version %" PRIu64 ", this maskmill reads %d", version,
                         MM_FORMAT_VERSION);
    if (status == MM_OK)
        status = mm_h5_get_u64(file, "dataset_bytes", &origin->dataset.bytes, err);
    if (status == MM_OK)
        status = mm_h5_get_u64(file, "dataset_digest", &origin->dataset.digest, err);
    if (status == MM_OK)
        status = mm_h5_get_u64(file, "batch_size", &origin->batch_size, err);
    if (status == MM_OK)
        status = mm_h5_get_u64(file, "skip_human", &skip_human, err);
    if (status == MM_OK)
        status = mm_h5_get_u64(file, "shard", &origin->shard, err);
    if (status == MM_OK)
        status = mm_h5_get_text(file, "prefill", &prefill, err);
    if (status != MM_OK)
        return status;
    origin->skip_human = skip_human != 0;
    size_t mode = 0;
    while (mode < PREFILLS && strcmp(prefill, prefill_names[mode]) != 0)
        mode++;
    origin->prefill = (mm_prefill_mode)mode;
    if (mode == PREFILLS)
        status = mm_fail(err, MM_ERR_FORMAT, "its prefill \"%.40s\" is unknown", prefill);
    free(prefill);
    return status;
}

static mm_status read_content(hid_t file, mm_queue_origin *origin, mm_queue_rows *rows, mm_error *err)
{
    mm_status status = read_origin(file, origin, err);
    if (status != MM_OK)
        return status;
    const hid_t group = H5Gopen2(file, "images", H5P_DEFAULT);
    if (group < 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "the group images is missing");
    void *items;
    status = mm_rows_read(group, columns, COLUMNS, sizeof *rows->items, &items, &rows->count, err);
    rows->items = items;
    rows->room = rows->count;
    (void)H5Gclose(group); /* only read from */
    return status;
}

mm_status mm_queue_file_read(const char *path, const char *kind, mm_queue_origin *origin, mm_queue_rows *rows,
                             mm_error *err)
{
    const mm_h5_silence before = mm_h5_silence_begin();
    hid_t file;
    *rows = (mm_queue_rows){0};
    *origin = (mm_queue_origin){0};
    mm_status status = mm_h5_open(path, kind, false, &file, err);
    if (status == MM_OK) {
        status = read_content(file, origin, rows, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "%s", path); /* same status */
        (void)H5Fclose(file);                       /* only read from */
    }
    mm_h5_silence_end(before);
    if (status != MM_OK) {
        free(rows->items);
        *rows = (mm_queue_rows){0};
    }
    return status;
}

mm_status mm_dataset_mark_read(const char *folder, mm_dataset_mark *mark, mm_error *err)
{
    char path[PATH_MAX];
    mm_seal seal;
    const int length = snprintf(path, sizeof path, "%s/dataset.h5", folder);
    if (length < 0 || length >= PATH_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", folder);
    const mm_status status = mm_seal_read(path, &seal, err);
    if (status == MM_OK)
        *mark = (mm_dataset_mark){seal.bytes, seal.digest};
    return status;
}
