/* Walking a folder. Real folders first, then those that symbolic links lead to, in the order of the links' names and
 * each folder only once: so loops end, and what is found does not depend on the file system's order of names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "corpus/scan.h"

typedef struct name_list {
    char **names;
    size_t count, room;
} name_list;

typedef struct folder_id {
    dev_t device;
    ino_t inode;
    bool used;
} folder_id;

typedef struct folder_walk {
    mm_scan *scan;
    const char *root;
    int root_fd;
    name_list pending; /* a stack of folders below the root ("" is the root itself) */
    name_list links;   /* symbolic links to folders, for later */
    folder_id *seen;   /* open addressing, a power of two */
    size_t seen_count, seen_room;
} folder_walk;

static void list_free(name_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (name_list){0};
}

/* Takes over `name`, which may be NULL when its allocation failed. */
static mm_status list_push(name_list *list, char *name, mm_error *err)
{
    if (name && list->count == list->room) {
        const size_t room = 2 * list->room + 16;
        char **names = realloc(list->names, room * sizeof *names);
        if (!names) {
            free(name);
            name = NULL;
        } else {
            list->names = names;
            list->room = room;
        }
    }
    if (!name)
        return mm_fail_memory(err, "walking a folder");
    list->names[list->count++] = name;
    return MM_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_sort(name_list *list, size_t from)
{
    if (list->count > from)
        qsort(list->names + from, list->count - from, sizeof *list->names, by_name);
}

static folder_id *find_seen(folder_id *table, size_t room, dev_t device, ino_t inode)
{
    size_t at = ((size_t)inode * 0x9e3779b97f4a7c15u + (size_t)device) & (room - 1);
    while (table[at].used && (table[at].device != device || table[at].inode != inode))
        at = (at + 1) & (room - 1);
    return &table[at];
}

/* Notes a folder; *again says that it was there already. */
static mm_status note_seen(folder_walk *walk, const struct stat *info, bool *again, mm_error *err)
{
    if (2 * (walk->seen_count + 1) > walk->seen_room) {
        const size_t room = walk->seen_room ? 2 * walk->seen_room : 256;
        folder_id *table = calloc(room, sizeof *table);
        if (!table)
            return mm_fail_memory(err, "walking a folder");
        for (size_t i = 0; i < walk->seen_room; i++)
            if (walk->seen[i].used)
                *find_seen(table, room, walk->seen[i].device, walk->seen[i].inode) = walk->seen[i];
        free(walk->seen);
        walk->seen = table;
        walk->seen_room = room;
    }
    folder_id *place = find_seen(walk->seen, walk->seen_room, info->st_dev, info->st_ino);
    *again = place->used;
    if (!place->used) {
        *place = (folder_id){info->st_dev, info->st_ino, true};
        walk->seen_count++;
    }
    return MM_OK;
}

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0 ? NULL : path;
}

static mm_status add_file(folder_walk *walk, const char *folder, int folder_fd, const char *name, mm_error *err)
{
    if (!mm_scan_is_jpeg_name(name)) {
        walk->scan->report->ignored++;
        return MM_OK;
    }
    char *path = join(folder, name);
    if (!path)
        return mm_fail_memory(err, "walking a folder");
    mm_manifest_entry row = {.path = path};
    mm_scan_probe_file(folder_fd, name, &row);
    const mm_status status = mm_scan_add(walk->scan, walk->root, &row, err);
    free(path);
    return status;
}

static mm_status add_entry(folder_walk *walk, const char *folder, int folder_fd, const char *name, unsigned char kind,
                           mm_error *err)
{
    if (kind == DT_DIR)
        return list_push(&walk->pending, join(folder, name), err);
    if (kind != DT_LNK && kind != DT_UNKNOWN)
        return add_file(walk, folder, folder_fd, name, err);
    struct stat info;
    const bool there = fstatat(folder_fd, name, &info, 0) == 0;
    if (!there || !S_ISDIR(info.st_mode))
        return add_file(walk, folder, folder_fd, name,
                        err); /* a broken link named .jpg is listed and set aside later */
    if (fstatat(folder_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(info.st_mode))
        return list_push(&walk->links, join(folder, name), err);
    return list_push(&walk->pending, join(folder, name), err);
}

static mm_status read_folder(folder_walk *walk, const char *folder, DIR *entries, mm_error *err)
{
    const size_t first = walk->pending.count;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(entries);
        if (!entry) {
            if (errno != 0)
                walk->scan->report->unreadable++;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const mm_status status = add_entry(walk, folder, dirfd(entries), entry->d_name, entry->d_type, err);
        if (status != MM_OK)
            return status;
    }
    list_sort(&walk->pending, first);
    return MM_OK;
}

static mm_status visit(folder_walk *walk, const char *folder, mm_error *err)
{
    /* One descriptor at a time, however deep the tree is. */
    const int fd = openat(walk->root_fd, *folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        if (fd >= 0)
            (void)close(fd); /* nothing was read */
        walk->scan->report->unreadable++;
        return MM_OK;
    }
    bool again = false;
    mm_status status = note_seen(walk, &info, &again, err);
    if (status != MM_OK || again) {
        (void)close(fd); /* nothing was read */
        return status;
    }
    DIR *entries = fdopendir(fd);
    if (!entries) {
        (void)close(fd); /* nothing was read */
        walk->scan->report->unreadable++;
        return MM_OK;
    }
    status = read_folder(walk, folder, entries, err);
    (void)closedir(entries); /* only read from */
    return status;
}

static mm_status visit_pending(folder_walk *walk, mm_error *err)
{
    mm_status status = MM_OK;
    while (status == MM_OK && walk->pending.count > 0) {
        char *folder = walk->pending.names[--walk->pending.count];
        status = visit(walk, folder, err);
        free(folder);
    }
    return status;
}

mm_status mm_scan_folder(mm_scan *scan, const char *root, mm_error *err)
{
    folder_walk walk = {.scan = scan, .root = root, .root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (walk.root_fd < 0)
        return mm_fail_errno(err, "cannot enter the corpus folder %s", root);
    mm_status status = list_push(&walk.pending, strdup(""), err);
    if (status == MM_OK)
        status = visit_pending(&walk, err);
    while (status == MM_OK && walk.links.count > 0) {
        name_list links = walk.links;
        walk.links = (name_list){0};
        list_sort(&links, 0);
        for (size_t i = 0; status == MM_OK && i < links.count; i++) {
            status = visit(&walk, links.names[i], err);
            if (status == MM_OK)
                status = visit_pending(&walk, err);
        }
        list_free(&links);
    }
    list_free(&walk.pending);
    list_free(&walk.links);
    free(walk.seen);
    (void)close(walk.root_fd); /* only read from */
    return status;
}
