#include "queue/answered.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "queue/columns.h"
#include "queue/open.h"

static const mm_row_column columns[] = {
    {{"image_id", MM_H5_U64, 0}, offsetof(mm_answered, image_id)},
    {{"kept", MM_H5_U32, 0}, offsetof(mm_answered, kept)},
    {{"corrected", MM_H5_U32, 0}, offsetof(mm_answered, corrected)},
    {{"deleted", MM_H5_U32, 0}, offsetof(mm_answered, deleted)},
    {{"added", MM_H5_U32, 0}, offsetof(mm_answered, added)},
    {{"accepted", MM_H5_U32, 0}, offsetof(mm_answered, accepted)},
    {{"seconds", MM_H5_F32, 0}, offsetof(mm_answered, seconds)},
    {{"annotator", MM_H5_U32, 0}, offsetof(mm_answered, annotator)},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

mm_answered mm_answered_of(uint64_t image_id, const mm_answer_counts *counts, uint32_t annotator)
{
    return (mm_answered){.image_id = image_id, .kept = (uint32_t)counts->kept, .corrected = (uint32_t)counts->corrected,
                         .deleted = (uint32_t)counts->deleted, .added = (uint32_t)counts->added,
                         .accepted = (uint32_t)counts->accepted, .seconds = (float)counts->seconds,
                         .annotator = annotator};
}

static mm_status write_content(hid_t file, const mm_answered_list *list, mm_error *err)
{
    hid_t group;
    mm_status status = mm_h5_put_u64(file, "format_version", MM_FORMAT_VERSION, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "queue_bytes", list->queue.bytes, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "queue_digest", list->queue.digest, err);
    if (status != MM_OK || (status = mm_h5_group_create(file, "images", &group, err)) != MM_OK)
        return status;
    status = mm_rows_write(group, columns, COLUMNS, list->items, sizeof *list->items, list->count, err);
    if (H5Gclose(group) < 0 && status == MM_OK)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the group images");
    return status;
}

mm_status mm_answered_write(const char *folder, const mm_answered_list *list, mm_error *err)
{
    char path[PATH_MAX];
    mm_h5_draft draft;
    mm_status status = mm_queue_path(folder, "answered.h5", path, err);
    if (status != MM_OK)
        return status;
    const mm_h5_silence before = mm_h5_silence_begin();
    status = mm_h5_draft_begin(&draft, err);
    if (status == MM_OK) {
        status = write_content(draft.file, list, err);
        if (status == MM_OK)
            status = mm_h5_draft_commit(&draft, "answered", path, NULL, err);
        else
            mm_h5_draft_abandon(&draft);
    }
    mm_h5_silence_end(before);
    return status;
}

static mm_status read_content(hid_t file, mm_answered_list *list, mm_error *err)
{
    mm_status status = mm_h5_get_u64(file, "queue_bytes", &list->queue.bytes, err);
    if (status == MM_OK)
        status = mm_h5_get_u64(file, "queue_digest", &list->queue.digest, err);
    if (status != MM_OK)
        return status;
    const hid_t group = H5Gopen2(file, "images", H5P_DEFAULT);
    if (group < 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "the group images is missing");
    void *items;
    status = mm_rows_read(group, columns, COLUMNS, sizeof *list->items, &items, &list->count, err);
    list->items = items;
    (void)H5Gclose(group); /* only read from */
    for (size_t i = 1; status == MM_OK && i < list->count; i++)
        if (list->items[i].image_id <= list->items[i - 1].image_id)
            status = mm_fail(err, MM_ERR_FORMAT, "its images are not in order");
    return status;
}

mm_status mm_answered_read(const char *folder, bool *there, mm_answered_list *list, mm_error *err)
{
    char path[PATH_MAX];
    hid_t file;
    *there = false;
    *list = (mm_answered_list){0};
    mm_status status = mm_queue_path(folder, "answered.h5", path, err);
    if (status != MM_OK || !mm_file_exists(path))
        return status;
    const mm_h5_silence before = mm_h5_silence_begin();
    status = mm_h5_open(path, "answered", false, &file, err);
    if (status == MM_OK) {
        status = read_content(file, list, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "%s", path); /* same status */
        (void)H5Fclose(file);                       /* only read from */
    }
    mm_h5_silence_end(before);
    *there = status == MM_OK;
    if (status != MM_OK) {
        free(list->items);
        *list = (mm_answered_list){0};
    }
    return status;
}
