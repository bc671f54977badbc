#include "annotate/desk_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAIT_SECONDS = 120 };

void mm_desk_lock(mm_desk *desk)
{
    (void)pthread_mutex_lock(&desk->mutex); /* fails for mutexes that are none */
}

void mm_desk_unlock(mm_desk *desk)
{
    (void)pthread_mutex_unlock(&desk->mutex);
}

static void clear(mm_desk_image *image)
{
    for (size_t i = 0; i < image->item_count; i++)
        free(image->items[i].counts);
    free(image->items);
    free(image->jpeg);
    free(image->cells);
    mm_desk_forget_results(image);
    *image = (mm_desk_image){.used = image->used};
}

/* --- the desk --- */

static mm_status start(mm_desk *desk, mm_error *err)
{
    const mm_desk_options *options = &desk->options;
    desk->images = calloc(options->images, sizeof *desk->images);
    desk->hot = calloc(options->hot, sizeof *desk->hot);
    desk->threads = calloc(options->workers, sizeof *desk->threads);
    if (!desk->images || !desk->hot || !desk->threads)
        return mm_fail_memory(err, "the images at hand");
    if (options->cache) {
        const mm_status status = mm_embeddings_open(options->cache, options->model, &desk->cache, err);
        if (status != MM_OK)
            return status;
    }
    for (; desk->started < options->workers; desk->started++)
        if ((errno = pthread_create(&desk->threads[desk->started], NULL, mm_desk_work, desk)) != 0)
            return mm_fail_errno(err, "starting a worker");
    return MM_OK;
}

mm_status mm_desk_new(const mm_desk_options *options, mm_desk **desk, mm_error *err)
{
    mm_desk *made = calloc(1, sizeof *made);
    pthread_condattr_t monotonic;
    *desk = NULL;
    if (!made)
        return mm_fail_memory(err, "the images at hand");
    made->options = *options;
    if (made->options.workers < 2)
        made->options.workers = 2;
    if (made->options.images < 4)
        made->options.images = 4;
    if (made->options.hot < made->options.workers)
        made->options.hot = made->options.workers;
    /* Results of an earlier process, which pages may still have, must not be taken for ours. */
    made->numbers = (uint64_t)time(NULL) << 20;
    if (pthread_condattr_init(&monotonic) != 0 || pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
        pthread_mutex_init(&made->mutex, NULL) != 0 || pthread_cond_init(&made->work, NULL) != 0 ||
        pthread_cond_init(&made->news, &monotonic) != 0) {
        free(made);
        return mm_fail_memory(err, "the images at hand");
    }
    (void)pthread_condattr_destroy(&monotonic);
    const mm_status status = start(made, err);
    if (status != MM_OK) {
        mm_desk_free(made);
        return status;
    }
    *desk = made;
    return MM_OK;
}

void mm_desk_stop(mm_desk *desk)
{
    mm_desk_lock(desk);
    desk->stop = true;
    (void)pthread_cond_broadcast(&desk->work);
    (void)pthread_cond_broadcast(&desk->news);
    mm_desk_unlock(desk);
}

void mm_desk_free(mm_desk *desk)
{
    if (!desk)
        return;
    mm_desk_stop(desk);
    for (uint32_t i = 0; i < desk->started; i++)
        (void)pthread_join(desk->threads[i], NULL);
    for (uint32_t i = 0; desk->images && i < desk->options.images; i++)
        clear(&desk->images[i]);
    for (uint32_t i = 0; desk->hot && i < desk->options.hot; i++)
        mm_embedding_free(desk->hot[i].embedding);
    mm_embeddings_close(desk->cache);
    free(desk->images);
    free(desk->hot);
    free(desk->threads);
    (void)pthread_mutex_destroy(&desk->mutex);
    (void)pthread_cond_destroy(&desk->work);
    (void)pthread_cond_destroy(&desk->news);
    free(desk);
}

/* The image's place, or a free one, or that of the image used longest ago that nobody needs. An image that is being
 * brought keeps its place. With the mutex. */
static mm_desk_image *find_place(mm_desk *desk, uint64_t index, bool urgent)
{
    mm_desk_image *best = NULL;
    for (uint32_t i = 0; i < desk->options.images; i++) {
        mm_desk_image *image = &desk->images[i];
        if (image->stage != MM_DESK_FREE && image->index == index)
            return image;
        const bool can_go = image->users == 0 && !image->clicked && image->stage != MM_DESK_LOADING &&
                            image->stage != MM_DESK_SHOWN && (urgent || image->stage != MM_DESK_WAITING);
        if (can_go && (!best || (best->stage != MM_DESK_FREE &&
                                 (image->stage == MM_DESK_FREE || image->used < best->used))))
            best = image;
    }
    if (!best)
        return NULL;
    clear(best);
    best->index = index;
    best->stage = MM_DESK_WAITING;
    best->used = ++desk->clock;
    (void)pthread_cond_broadcast(&desk->work);
    return best;
}

void mm_desk_expect(mm_desk *desk, uint64_t index)
{
    mm_desk_lock(desk);
    (void)find_place(desk, index, false); /* no place: then not */
    mm_desk_unlock(desk);
}

/* Until `news` or the end of patience. */
static bool wait_for_news(mm_desk *desk, const struct timespec *until)
{
    return pthread_cond_timedwait(&desk->news, &desk->mutex, until) == 0;
}

static struct timespec patience(void)
{
    struct timespec until = {0};
    if (clock_gettime(CLOCK_MONOTONIC, &until) == 0)
        until.tv_sec += WAIT_SECONDS;
    return until;
}

mm_status mm_desk_take(mm_desk *desk, uint64_t index, mm_desk_image **image, mm_error *err)
{
    const struct timespec until = patience();
    mm_status status = MM_OK;
    *image = NULL;
    mm_desk_lock(desk);
    mm_desk_image *place = find_place(desk, index, true);
    if (!place) {
        mm_desk_unlock(desk);
        return mm_fail(err, MM_ERR_LIMIT, "all places for images are in use; start with more --images");
    }
    place->users++;
    place->urgent = true;
    place->used = ++desk->clock;
    if (place->stage == MM_DESK_WAITING)
        (void)pthread_cond_broadcast(&desk->work);
    while (status == MM_OK && !place->has_picture && place->stage != MM_DESK_FAILED)
        if (desk->stop || !wait_for_news(desk, &until))
            status = mm_fail(err, MM_ERR_LIMIT, "the image is not there yet");
    if (status == MM_OK && !place->has_picture) {
        status = mm_fail(err, place->why.status, "%s", place->why.text);
        if (place->users == 1)
            place->used = 0; /* makes room first, and is looked at again when it is asked for again */
    }
    if (status == MM_OK)
        *image = place;
    else
        place->users--;
    mm_desk_unlock(desk);
    return status;
}

void mm_desk_leave(mm_desk *desk, mm_desk_image *image)
{
    mm_desk_lock(desk);
    if (--image->users == 0)
        image->urgent = false;
    mm_desk_unlock(desk);
}

uint32_t mm_desk_width(const mm_desk_image *image)
{
    return image->width;
}

uint32_t mm_desk_height(const mm_desk_image *image)
{
    return image->height;
}

const uint8_t *mm_desk_jpeg(const mm_desk_image *image, size_t *size)
{
    *size = image->jpeg_size;
    return image->jpeg;
}

const mm_shown_item *mm_desk_items(const mm_desk_image *image, size_t *count)
{
    *count = image->item_count;
    return image->items;
}

bool mm_desk_ready(mm_desk *desk, const mm_desk_image *image)
{
    mm_desk_lock(desk);
    const bool ready = image->stage == MM_DESK_READY;
    mm_desk_unlock(desk);
    return ready;
}

mm_status mm_desk_click(mm_desk *desk, mm_desk_image *image, const mm_click *click, mm_click_result *result,
                        mm_error *err)
{
    const struct timespec until = patience();
    mm_click_job job = {.image = image, .click = click, .result = result};
    mm_status status = MM_OK;
    *result = (mm_click_result){0};
    mm_desk_lock(desk);
    while (status == MM_OK && image->stage != MM_DESK_READY) {
        if (image->stage == MM_DESK_FAILED)
            status = mm_fail(err, image->why.status, "%s", image->why.text);
        else if (desk->stop || !wait_for_news(desk, &until))
            status = mm_fail(err, MM_ERR_LIMIT, "the image's embedding is not there yet");
    }
    if (status != MM_OK) {
        mm_desk_unlock(desk);
        return status;
    }
    if (desk->last)
        desk->last->next = &job;
    else
        desk->first = &job;
    desk->last = &job;
    (void)pthread_cond_broadcast(&desk->work);
    while (!job.done && (job.taken || !desk->stop)) /* a worker that has it comes to its end with it */
        (void)pthread_cond_wait(&desk->news, &desk->mutex);
    status = job.done ? job.status : MM_ERR_STOPPED;
    mm_desk_unlock(desk);
    if (status != MM_OK) {
        mm_click_result_free(result);
        return mm_fail(err, status, "%s", job.done ? job.err.text : "the server is closing");
    }
    return MM_OK;
}
