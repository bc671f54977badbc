/* What the desk's workers do: bring images, answer clicks. */
#include <stdlib.h>
#include <string.h>

#include "annotate/desk_state.h"

enum { JPEG_QUALITY = 92 };

/* --- bringing an image --- */

static size_t cells_of(const mm_model *model)
{
    const mm_arch *arch = mm_model_arch(model);
    return (size_t)arch->embedding_side * arch->embedding_side * arch->prompt_embed_dim;
}

/* True if the cache has it, of this very frame. What a cache has to complain about is no reason not to encode. */
static bool read_cache(mm_desk *desk, const mm_sourced *sourced, float *cells)
{
    uint32_t width = 0, height = 0;
    size_t found;
    if (!desk->cache)
        return false;
    mm_source_lock(desk->options.source);
    const bool good = mm_embeddings_find(desk->cache, &sourced->key, &found) &&
                      mm_embeddings_read(desk->cache, found, &width, &height, cells, NULL) == MM_OK &&
                      width == sourced->frame.width && height == sourced->frame.height;
    mm_source_unlock(desk->options.source);
    return good;
}

static mm_status make_cells(mm_desk *desk, const mm_sourced *sourced, mm_embedding **embedding, float **cells,
                            mm_error *err)
{
    const mm_model *model = desk->options.model;
    const size_t count = cells_of(model);
    mm_status status = MM_OK;
    *cells = malloc(count * sizeof **cells);
    if (!*cells)
        return mm_fail_memory(err, "an embedding");
    if (read_cache(desk, sourced, *cells))
        return MM_OK;
    if (!*embedding)
        status = mm_embedding_new(model, embedding, err);
    if (status == MM_OK)
        status = mm_model_encode(model, mm_image_whole(&sourced->frame), *embedding, err);
    if (status == MM_OK)
        memcpy(*cells, mm_embedding_cells(*embedding), count * sizeof **cells);
    if (status != MM_OK) {
        free(*cells);
        *cells = NULL;
    }
    return status;
}

static void set_stage(mm_desk *desk, mm_desk_image *image, mm_desk_stage stage)
{
    image->stage = stage;
    (void)pthread_cond_broadcast(&desk->news);
}

/* With the mutex, which is given back meanwhile. The image stays where it is: it is not free, and not waiting. */
static void bring(mm_desk *desk, mm_desk_image *image, mm_embedding **embedding)
{
    mm_sourced sourced = {0};
    mm_error err = {0};
    uint8_t *jpeg = NULL;
    size_t jpeg_size = 0;
    float *cells = NULL;
    const uint64_t index = image->index;
    set_stage(desk, image, MM_DESK_LOADING);
    mm_desk_unlock(desk);
    mm_status status = mm_source_load(desk->options.source, index, &sourced, &err);
    if (status == MM_OK)
        status = mm_image_encode_jpeg(mm_image_whole(&sourced.frame), JPEG_QUALITY, &jpeg, &jpeg_size, &err);
    mm_desk_lock(desk);
    if (status == MM_OK) {
        image->jpeg = jpeg;
        image->jpeg_size = jpeg_size;
        image->width = sourced.frame.width;
        image->height = sourced.frame.height;
        image->items = sourced.items;
        image->item_count = sourced.count;
        image->has_picture = true;
        sourced.items = NULL; /* handed over */
        sourced.count = 0;
        set_stage(desk, image, MM_DESK_SHOWN);
        mm_desk_unlock(desk);
        status = make_cells(desk, &sourced, embedding, &cells, &err);
        mm_desk_lock(desk);
    }
    image->cells = cells;
    image->why = err;
    set_stage(desk, image, status == MM_OK ? MM_DESK_READY : MM_DESK_FAILED);
    mm_sourced_free(&sourced);
}

/* --- workers --- */

/* The first click whose image no other worker is busy with. */
static mm_click_job *next_click(mm_desk *desk)
{
    mm_click_job *before = NULL;
    for (mm_click_job *job = desk->first; job; before = job, job = job->next) {
        if (job->image->clicked)
            continue;
        if (before)
            before->next = job->next;
        else
            desk->first = job->next;
        if (desk->last == job)
            desk->last = before;
        job->taken = true;
        return job;
    }
    return NULL;
}

static mm_desk_image *next_image(mm_desk *desk)
{
    mm_desk_image *best = NULL;
    if (desk->loading + 1 >= desk->options.workers)
        return NULL; /* the last worker is for clicks */
    for (uint32_t i = 0; i < desk->options.images; i++) {
        mm_desk_image *image = &desk->images[i];
        if (image->stage == MM_DESK_WAITING &&
            (!best || image->urgent > best->urgent || (image->urgent == best->urgent && image->used < best->used)))
            best = image;
    }
    return best;
}

/* That which holds the image, else the one that was used longest ago. There are at least as many as workers. */
static mm_hot *find_hot(mm_desk *desk, const mm_desk_image *image, bool *prepared)
{
    mm_hot *best = NULL;
    *prepared = false;
    for (uint32_t i = 0; i < desk->options.hot; i++) {
        mm_hot *hot = &desk->hot[i];
        if (hot->busy)
            continue;
        if (hot->image == image && hot->index == image->index) {
            *prepared = true;
            return hot;
        }
        if (!best || hot->used < best->used)
            best = hot;
    }
    return best;
}

static void answer_click(mm_desk *desk, mm_click_job *job)
{
    mm_desk_image *image = job->image;
    bool prepared;
    mm_hot *hot = find_hot(desk, image, &prepared);
    image->clicked = true;
    hot->busy = true;
    hot->used = ++desk->clock;
    job->result->number = ++desk->numbers;
    mm_desk_unlock(desk);
    job->status = mm_desk_answer(desk, job, hot, prepared, &job->err);
    mm_desk_lock(desk);
    hot->image = job->status == MM_OK ? image : NULL;
    hot->index = image->index;
    hot->busy = false;
    image->clicked = false;
    job->done = true;
    (void)pthread_cond_broadcast(&desk->news);
    (void)pthread_cond_signal(&desk->work); /* another click on this image may wait */
}

void *mm_desk_work(void *user)
{
    mm_desk *desk = user;
    mm_embedding *embedding = NULL; /* this worker's, for encoding */
    mm_desk_lock(desk);
    while (!desk->stop) {
        mm_click_job *job = next_click(desk);
        mm_desk_image *image = job ? NULL : next_image(desk);
        if (job) {
            answer_click(desk, job);
        } else if (image) {
            desk->loading++;
            bring(desk, image, &embedding);
            desk->loading--;
        } else {
            (void)pthread_cond_wait(&desk->work, &desk->mutex);
        }
    }
    mm_desk_unlock(desk);
    mm_embedding_free(embedding);
    return NULL;
}
