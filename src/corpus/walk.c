/* Walking folders, all ranks together. In each round rank 0 has a list of folders, in order of their names; it drops
 * those that were walked before (by device and inode, as it sees them, since hosts number devices differently), and
 * deals out the rest. Each rank reads its share, keeps the files, and names subfolders and links to folders, which make
 * the next rounds: real folders first, and when there are no more, those that links lead to. So loops end, each folder
 * is walked once, and what is found depends neither on the file system's order of names nor on the number of ranks. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "corpus/scan.h"
#include "corpus/seen.h"

typedef struct folder {
    size_t source;
    char *path; /* below the source's root; "" is the root itself */
} folder;

typedef struct folder_list {
    folder *items;
    size_t count, room;
} folder_list;

typedef struct folder_walk { /* rank 0's */
    mm_scan *scan;
    folder_list next, links;
    mm_seen seen;
} folder_walk;

enum { REAL_FOLDER = 0, LINKED_FOLDER = 1 };

static void list_free(folder_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].path);
    free(list->items);
    *list = (folder_list){0};
}

static mm_status list_push(folder_list *list, size_t source, const char *path, mm_error *err)
{
    if (list->count == list->room) {
        const size_t room = 2 * list->room + 64;
        folder *items = realloc(list->items, room * sizeof *items);
        if (!items)
            return mm_fail_memory(err, "walking a folder");
        list->items = items;
        list->room = room;
    }
    char *copy = strdup(path);
    if (!copy)
        return mm_fail_memory(err, "walking a folder");
    list->items[list->count++] = (folder){source, copy};
    return MM_OK;
}

static int by_name(const void *a, const void *b)
{
    const folder *x = a, *y = b;
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    return strcmp(x->path, y->path);
}

/* The folder on this machine; the caller frees it, NULL for no memory. */
static char *full_path(const mm_scan *scan, size_t source, const char *path)
{
    char *full = NULL;
    const char *root = scan->sources[source].root;
    const char *slash = *path && strcmp(root, "/") != 0 ? "/" : "";
    return asprintf(&full, "%s%s%s", root, slash, path) < 0 ? NULL : full;
}

/* --- A rank's share of a round. --- */

typedef struct reading {
    mm_scan *scan;
    size_t source;
    const char *path; /* of the folder, below the root */
    int fd;
    mm_buffer *answer; /* for rank 0: REAL_FOLDER or LINKED_FOLDER u64, source u64, path text */
} reading;

static mm_status tell_folder(reading *at, uint64_t kind, const char *path, mm_error *err)
{
    const uint64_t head[2] = {kind, at->source};
    const mm_status status = mm_buffer_put(at->answer, head, sizeof head, err);
    return status == MM_OK ? mm_buffer_put_text(at->answer, path, err) : status;
}

static mm_status take_file(reading *at, const char *name, const char *path, mm_error *err)
{
    if (mm_scan_is_jpeg_name(name))
        return mm_scan_found(at->scan, at->source, path, err);
    at->scan->counts.ignored++;
    return MM_OK;
}

static mm_status take_entry(reading *at, const char *name, unsigned char kind, const char *path, mm_error *err)
{
    if (kind == DT_DIR)
        return tell_folder(at, REAL_FOLDER, path, err);
    if (kind != DT_LNK && kind != DT_UNKNOWN)
        return take_file(at, name, path, err);
    struct stat info;
    if (fstatat(at->fd, name, &info, 0) != 0 || !S_ISDIR(info.st_mode))
        return take_file(at, name, path, err); /* a broken link named .jpg is listed and set aside later */
    const bool link = fstatat(at->fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(info.st_mode);
    return tell_folder(at, link ? LINKED_FOLDER : REAL_FOLDER, path, err);
}

static mm_status read_entries(reading *at, DIR *entries, mm_error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(entries);
        if (!entry) {
            if (errno != 0)
                at->scan->counts.unreadable++;
            return MM_OK;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *path = NULL;
        if (asprintf(&path, "%s%s%s", at->path, *at->path ? "/" : "", entry->d_name) < 0)
            return mm_fail_memory(err, "walking a folder");
        const mm_status status = take_entry(at, entry->d_name, entry->d_type, path, err);
        free(path);
        if (status != MM_OK)
            return status;
    }
}

/* One folder. One that is gone or locked is counted. */
static mm_status read_folder(mm_scan *scan, size_t source, const char *path, mm_buffer *answer, mm_error *err)
{
    char *full = full_path(scan, source, path);
    if (!full)
        return mm_fail_memory(err, "walking a folder");
    const int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    free(full);
    if (!entries) {
        if (fd >= 0)
            (void)close(fd); /* nothing was read */
        scan->counts.unreadable++;
        return MM_OK;
    }
    reading at = {scan, source, path, fd, answer};
    const mm_status status = read_entries(&at, entries, err);
    (void)closedir(entries); /* only read from */
    return status;
}

static mm_status read_share(mm_scan *scan, const mm_buffer *share, mm_buffer *answer, mm_error *err)
{
    mm_cursor cursor = mm_cursor_of(share->bytes, share->used);
    mm_status status = MM_OK;
    while (status == MM_OK && !mm_cursor_done(&cursor)) {
        uint64_t source;
        const char *path;
        if (!mm_cursor_u64(&cursor, &source) || !mm_cursor_text(&cursor, &path) || source >= scan->source_count)
            return mm_cursor_fail(err);
        status = read_folder(scan, (size_t)source, path, answer, err);
    }
    return status;
}

/* --- Rank 0's part. --- */

/* Deal out the folders of `list` that are new; *count says how many. The list is emptied. */
static mm_status deal(folder_walk *walk, folder_list *list, mm_buffer *shares, uint64_t *count, mm_error *err)
{
    const uint64_t ranks = (uint64_t)mm_comm_size(walk->scan->comm);
    mm_status status = MM_OK;
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, by_name);
    for (size_t i = 0; status == MM_OK && i < list->count; i++) {
        const folder *item = &list->items[i];
        char *full = full_path(walk->scan, item->source, item->path);
        struct stat info;
        bool again = false;
        if (!full)
            status = mm_fail_memory(err, "walking a folder");
        else if (stat(full, &info) != 0) {
            walk->scan->counts.unreadable++;
            again = true;
        } else {
            status = mm_seen_note(&walk->seen, item->source, &info, &again, err);
        }
        free(full);
        if (status != MM_OK || again)
            continue;
        mm_buffer *share = &shares[(*count)++ % ranks];
        status = mm_buffer_put_u64(share, item->source, err);
        if (status == MM_OK)
            status = mm_buffer_put_text(share, item->path, err);
    }
    list_free(list);
    return status;
}

static mm_status deal_next(folder_walk *walk, mm_buffer *shares, uint64_t *count, mm_error *err)
{
    *count = 0;
    mm_status status = deal(walk, &walk->next, shares, count, err);
    if (status == MM_OK && *count == 0)
        status = deal(walk, &walk->links, shares, count, err);
    return status;
}

static mm_status take_answers(folder_walk *walk, const mm_buffer *answers, mm_error *err)
{
    mm_cursor cursor = mm_cursor_of(answers->bytes, answers->used);
    mm_status status = MM_OK;
    while (status == MM_OK && !mm_cursor_done(&cursor)) {
        uint64_t head[2];
        const char *path;
        if (!mm_cursor_take(&cursor, head, sizeof head) || !mm_cursor_text(&cursor, &path) ||
            head[0] > LINKED_FOLDER || head[1] >= walk->scan->source_count)
            return mm_cursor_fail(err);
        status = list_push(head[0] == REAL_FOLDER ? &walk->next : &walk->links, (size_t)head[1], path, err);
    }
    return status;
}

/* --- One round of all. --- */

static mm_status walk_round(folder_walk *walk, mm_buffer *buffers, bool *over, mm_error *err)
{
    mm_comm *comm = walk->scan->comm;
    const bool first = mm_comm_rank(comm) == 0;
    uint64_t count = 0;
    mm_buffer share = {0}, answers = {0};
    mm_status status = mm_comm_agree(comm, first ? deal_next(walk, buffers, &count, err) : MM_OK, err);
    if (status == MM_OK)
        status = mm_comm_broadcast(comm, 0, &count, sizeof count, err);
    *over = count == 0;
    if (status != MM_OK || *over)
        return status;
    status = mm_buffer_exchange(comm, buffers, &share, err);
    if (status == MM_OK)
        status = mm_comm_agree(comm, read_share(walk->scan, &share, &buffers[0], err), err);
    mm_buffer_free(&share);
    if (status == MM_OK)
        status = mm_buffer_exchange(comm, buffers, &answers, err);
    if (status == MM_OK)
        status = mm_comm_agree(comm, take_answers(walk, &answers, err), err);
    mm_buffer_free(&answers);
    return status;
}

static bool has_folder(const mm_scan *scan)
{
    for (size_t i = 0; i < scan->source_count; i++)
        if (scan->sources[i].kind == MM_SOURCE_FOLDER)
            return true;
    return false;
}

mm_status mm_scan_folders(mm_scan *scan, mm_error *err)
{
    if (!has_folder(scan))
        return MM_OK;
    folder_walk walk = {.scan = scan};
    mm_buffer *buffers = NULL;
    mm_status status = mm_buffers_new(scan->comm, &buffers, err);
    for (size_t i = 0; status == MM_OK && mm_comm_rank(scan->comm) == 0 && i < scan->source_count; i++)
        if (scan->sources[i].kind == MM_SOURCE_FOLDER)
            status = list_push(&walk.next, i, "", err);
    status = mm_comm_agree(scan->comm, status, err);
    for (bool over = false; status == MM_OK && !over;)
        status = walk_round(&walk, buffers, &over, err);
    mm_buffers_free(scan->comm, buffers);
    list_free(&walk.next);
    list_free(&walk.links);
    mm_seen_free(&walk.seen);
    return status;
}
