#include "engine/hand.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOTE = 96 }; /* bytes, always the same, so that a full disk cannot refuse a note once there is a first one */

static const char *const prefix = "hand_";
static const char *const form = "image %" PRId64 " begun %" PRIu64 " waiting %" PRIu64;

struct mm_hand {
    int file;
    char *path;
    pthread_mutex_t lock; /* guards what follows, and the file */
    uint64_t begun, in_hand;
    bool put_down;
};

/* image_id -1 is none. */
static mm_status write_note(mm_hand *hand, int64_t image_id, uint64_t waiting, mm_error *err)
{
    char note[NOTE + 1];
    const int length = snprintf(note, sizeof note, form, image_id, hand->begun, waiting);
    memset(note + length, ' ', (size_t)(NOTE - length));
    note[NOTE - 1] = '\n';
    ssize_t done;
    do
        done = pwrite(hand->file, note, NOTE, 0);
    while (done < 0 && errno == EINTR);
    if (done == NOTE)
        return MM_OK;
    errno = done >= 0 ? ENOSPC : errno;
    return mm_fail_errno(err, "cannot write %s", hand->path);
}

mm_status mm_hand_open(const char *folder, int rank, mm_hand **hand, mm_error *err)
{
    mm_hand *made = calloc(1, sizeof *made);
    if (!made || pthread_mutex_init(&made->lock, NULL) != 0 ||
        asprintf(&made->path, "%s/%s%06d", folder, prefix, rank) < 0) {
        free(made);
        return mm_fail_memory(err, "the note of images in hand");
    }
    made->file = open(made->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    mm_status status = made->file >= 0 ? write_note(made, -1, 0, err)
                                       : mm_fail_errno(err, "cannot create %s", made->path);
    if (status != MM_OK) {
        mm_hand_close(made);
        return status;
    }
    *hand = made;
    return MM_OK;
}

mm_status mm_hand_begin(mm_hand *hand, uint64_t image_id, uint64_t waiting, mm_error *err)
{
    pthread_mutex_lock(&hand->lock);
    hand->begun++;
    hand->in_hand = waiting + 1;
    const mm_status status = hand->put_down ? MM_OK : write_note(hand, (int64_t)image_id, waiting, err);
    pthread_mutex_unlock(&hand->lock);
    return status;
}

/* With the lock held. */
static void write_last(mm_hand *hand, uint64_t lost)
{
    const mm_status status = hand->put_down ? MM_OK : write_note(hand, -1, lost, NULL);
    hand->put_down = true;
    (void)status; /* at worst an image is taken for a suspect */
}

void mm_hand_put_down(mm_hand *hand, uint64_t lost)
{
    pthread_mutex_lock(&hand->lock);
    write_last(hand, lost);
    pthread_mutex_unlock(&hand->lock);
}

void mm_hand_give_up(mm_hand *hand)
{
    pthread_mutex_lock(&hand->lock);
    write_last(hand, hand->in_hand);
    pthread_mutex_unlock(&hand->lock);
}

uint64_t mm_hand_begun(const mm_hand *hand)
{
    return hand->begun;
}

void mm_hand_close(mm_hand *hand)
{
    if (!hand)
        return;
    if (hand->file >= 0)
        (void)close(hand->file); /* a note that is lost costs nothing but caution */
    (void)pthread_mutex_destroy(&hand->lock);
    free(hand->path);
    free(hand);
}

static mm_status add_note(const char *folder, const char *name, mm_hands *hands, mm_error *err)
{
    char path[PATH_MAX], note[NOTE + 1] = "";
    const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = length > 0 && (size_t)length < sizeof path ? fopen(path, "re") : NULL;
    if (!file)
        return mm_fail_errno(err, "cannot read %s/%s", folder, name);
    const size_t got = fread(note, 1, NOTE, file);
    (void)fclose(file); /* only read */
    int64_t image_id = -1;
    uint64_t begun = 0, waiting = 0;
    char end = 0;
    if (got != NOTE || sscanf(note, "image %" SCNd64 " begun %" SCNu64 " waiting %" SCNu64 "%c", &image_id, &begun,
                              &waiting, &end) != 4 || end != ' ' || begun > INT64_MAX || waiting > begun)
        return MM_OK;
    hands->begun += begun;
    hands->in_hand += waiting + (image_id >= 0);
    if (image_id < 0)
        return MM_OK;
    uint64_t *grown = realloc(hands->images, (hands->count + 1) * sizeof *grown);
    if (!grown)
        return mm_fail_memory(err, "the images that an earlier run had in hand");
    hands->images = grown;
    hands->images[hands->count++] = (uint64_t)image_id;
    return MM_OK;
}

/* act(...) for each note; a folder that is not there has none. */
static mm_status for_each(const char *folder, mm_hands *hands,
                          mm_status (*act)(const char *folder, const char *name, mm_hands *hands, mm_error *err),
                          mm_error *err)
{
    DIR *list = opendir(folder);
    if (!list)
        return errno == ENOENT ? MM_OK : mm_fail_errno(err, "cannot read %s", folder);
    mm_status status = MM_OK;
    const struct dirent *entry;
    while (status == MM_OK && (errno = 0, entry = readdir(list)))
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            status = act(folder, entry->d_name, hands, err);
    if (status == MM_OK && errno)
        status = mm_fail_errno(err, "cannot read %s", folder);
    (void)closedir(list); /* only read */
    return status;
}

mm_status mm_hands_read(const char *folder, mm_hands *hands, mm_error *err)
{
    *hands = (mm_hands){0};
    const mm_status status = for_each(folder, hands, add_note, err);
    if (status != MM_OK) {
        free(hands->images);
        *hands = (mm_hands){0};
    }
    return status;
}

static mm_status remove_note(const char *folder, const char *name, mm_hands *hands, mm_error *err)
{
    (void)hands;
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && (size_t)length < sizeof path && (unlink(path) == 0 || errno == ENOENT)
               ? MM_OK
               : mm_fail_errno(err, "cannot remove %s/%s", folder, name);
}

mm_status mm_hands_remove(const char *folder, mm_error *err)
{
    return for_each(folder, NULL, remove_note, err);
}
