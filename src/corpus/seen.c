#include "corpus/seen.h"

#include <stdlib.h>

typedef struct mm_seen_folder {
    dev_t device;
    ino_t inode;
    size_t source;
    bool used;
} seen_folder;

static seen_folder *find(seen_folder *table, size_t room, const seen_folder *what)
{
    size_t at = (((size_t)what->inode * 31 + what->source) * 0x9e3779b97f4a7c15u + (size_t)what->device) & (room - 1);
    while (table[at].used && (table[at].device != what->device || table[at].inode != what->inode ||
                              table[at].source != what->source))
        at = (at + 1) & (room - 1);
    return &table[at];
}

static mm_status grow(mm_seen *seen, mm_error *err)
{
    const size_t room = seen->room ? 2 * seen->room : 256;
    seen_folder *table = calloc(room, sizeof *table);
    if (!table)
        return mm_fail_memory(err, "walking a folder");
    for (size_t i = 0; i < seen->room; i++)
        if (seen->table[i].used)
            *find(table, room, &seen->table[i]) = seen->table[i];
    free(seen->table);
    seen->table = table;
    seen->room = room;
    return MM_OK;
}

mm_status mm_seen_note(mm_seen *seen, size_t source, const struct stat *info, bool *again, mm_error *err)
{
    if (2 * (seen->count + 1) > seen->room) {
        const mm_status status = grow(seen, err);
        if (status != MM_OK)
            return status;
    }
    const seen_folder what = {info->st_dev, info->st_ino, source, true};
    seen_folder *place = find(seen->table, seen->room, &what);
    *again = place->used;
    if (!place->used) {
        *place = what;
        seen->count++;
    }
    return MM_OK;
}

void mm_seen_free(mm_seen *seen)
{
    free(seen->table);
    *seen = (mm_seen){0};
}
