#include "train/prepare.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/common.h"
#include "train/draw.h"

/* One rank's share of the work. */
typedef struct preparing {
    mm_preparation *p;
    mm_prepared *prepared;
    mm_embedding *embedding;
    uint64_t (*hashes)[2]; /* [samples], of all ranks in the end */
    double told;
} preparing;

static uint32_t variant_of(const mm_samples *samples, const mm_sample *sample, bool flipped)
{
    const bool unturned = sample->source != MM_SAMPLE_FILE && samples->unturned[sample->source];
    return (unturned ? MM_EMBEDDING_UNTURNED : 0) | (flipped ? MM_EMBEDDING_FLIPPED : 0);
}

static void flip_image(mm_image *image)
{
    for (size_t y = 0; y < image->height; y++) {
        uint8_t *left = image->pixels + 3 * y * image->width, *right = left + 3 * ((size_t)image->width - 1);
        for (; left < right; left += 3, right -= 3)
            for (int k = 0; k < 3; k++) {
                const uint8_t swapped = left[k];
                left[k] = right[k];
                right[k] = swapped;
            }
    }
}

/* COCO says how large its photographs are: if this one is not, its boxes are of another. */
static mm_status check_size(const mm_samples *samples, const mm_sample *sample, uint32_t width, uint32_t height,
                            mm_error *err)
{
    if (sample->source != MM_SAMPLE_FILE || (width == sample->width && height == sample->height))
        return MM_OK;
    return mm_fail(err, MM_ERR_FORMAT, "%s has %" PRIu32 " x %" PRIu32 " pixels, and its COCO file says %" PRIu32
                                       " x %" PRIu32,
                   samples->text + sample->path, width, height, sample->width, sample->height);
}

/* Encode what is missing of one image. */
static mm_status encode(preparing *work, const mm_sample *sample, const uint8_t *bytes, size_t size,
                        const bool missing[2], mm_error *err)
{
    mm_preparation *p = work->p;
    const char *name = p->samples->text + sample->path;
    mm_image image = {0};
    const mm_jpeg_options options = {.ignore_orientation =
                                         (variant_of(p->samples, sample, false) & MM_EMBEDDING_UNTURNED) != 0};
    mm_status status = mm_image_decode_jpeg(bytes, size, &options, &image, err);
    if (status != MM_OK)
        return err ? mm_error_prefix(err, "%s", name) : status;
    status = check_size(p->samples, sample, image.width, image.height, err);
    for (int flipped = 0; status == MM_OK && flipped < 2; flipped++) {
        if (!missing[flipped])
            continue;
        if (flipped)
            flip_image(&image);
        const mm_embedding_key key = mm_embeddings_key(bytes, size, variant_of(p->samples, sample, flipped));
        status = mm_model_encode(p->model, mm_image_whole(&image), work->embedding, err);
        if (status == MM_OK)
            status = mm_embeddings_put(work->prepared->embeddings, &key, name, work->embedding, err);
        p->encoded++;
    }
    mm_image_free(&image);
    return status;
}

static mm_status prepare_one(preparing *work, size_t index, mm_error *err)
{
    mm_preparation *p = work->p;
    const mm_sample *sample = &p->samples->items[index];
    uint8_t *bytes = NULL;
    size_t size = 0, place;
    bool missing[2] = {false, false};
    mm_status status = mm_samples_read(p->samples, sample, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    for (int flipped = 0; flipped <= (p->options->flip && !sample->validation); flipped++) {
        const mm_embedding_key key = mm_embeddings_key(bytes, size, variant_of(p->samples, sample, flipped));
        memcpy(work->hashes[index], key.hash, sizeof key.hash);
        missing[flipped] = !mm_embeddings_find(work->prepared->embeddings, &key, &place);
        if (!missing[flipped] && !flipped) {
            uint32_t width, height;
            mm_embeddings_size(work->prepared->embeddings, place, &width, &height);
            status = check_size(p->samples, sample, width, height, err);
        }
    }
    if (status == MM_OK && (missing[0] || missing[1]))
        status = encode(work, sample, bytes, size, missing, err);
    free(bytes);
    return status;
}

static void tell(preparing *work, size_t done)
{
    const mm_preparation *p = work->p;
    const double now = omp_get_wtime();
    if (p->options->quiet || (p->comm && mm_comm_rank(p->comm) != 0) || now - work->told < 10)
        return;
    work->told = now;
    (void)fprintf(stderr, "maskmill: embeddings of %zu of %zu images\n", done, p->samples->count);
}

static mm_status prepare_share(preparing *work, mm_error *err)
{
    const mm_preparation *p = work->p;
    const size_t ranks = p->comm ? (size_t)mm_comm_size(p->comm) : 1;
    const size_t rank = p->comm ? (size_t)mm_comm_rank(p->comm) : 0;
    mm_status status = MM_OK;
    work->told = omp_get_wtime();
    for (size_t i = rank; status == MM_OK && i < p->samples->count; i += ranks) {
        if (mm_signals_asked(p->signals, NULL) != MM_STOP_NONE)
            status = mm_fail(err, MM_ERR_STOPPED,
                             "stopped by a signal while images were encoded; what is encoded is kept, "
                                                  "and --resume goes on");
        else
            status = prepare_one(work, i, err);
        tell(work, i + 1);
    }
    /* What was made so far is good, whatever ended the loop. */
    if (status == MM_OK || status == MM_ERR_STOPPED) {
        mm_error own = {0};
        const mm_status flushed = mm_embeddings_flush(work->prepared->embeddings, &own);
        if (flushed != MM_OK)
            status = mm_fail(err, flushed, "%s", own.text);
    }
    return status;
}

/* All parts are there now: where each sample is. */
static mm_status find_places(const preparing *work, mm_error *err)
{
    const mm_preparation *p = work->p;
    mm_status status = mm_embeddings_refresh(work->prepared->embeddings, err);
    for (size_t i = 0; status == MM_OK && i < p->samples->count; i++) {
        const mm_sample *sample = &p->samples->items[i];
        for (int flipped = 0; flipped <= (p->options->flip && !sample->validation); flipped++) {
            const mm_embedding_key key = {{work->hashes[i][0], work->hashes[i][1]},
                                          variant_of(p->samples, sample, flipped)};
            if (!mm_embeddings_find(work->prepared->embeddings, &key, &work->prepared->places[2 * i + (size_t)flipped]))
                status = mm_fail(err, MM_ERR_IO,
                                 "the embedding of %s, which a rank has written, cannot be seen here; is the "
                                                 "folder on a file system that all ranks share?",
                                 p->samples->text + sample->path);
        }
    }
    return status;
}

static mm_status embed(mm_preparation *p, mm_prepared *prepared, mm_error *err)
{
    preparing work = {.p = p, .prepared = prepared};
    work.hashes = calloc(p->samples->count, sizeof work.hashes[0]);
    mm_status status = work.hashes ? mm_embedding_new(p->model, &work.embedding, err)
                                   : mm_fail_memory(err, "the list of images");
    if (status == MM_OK)
        status = prepare_share(&work, err);
    status = mm_comm_agree(p->comm, status, err);
    /* Each image's hash is 0 but on one rank. */
    if (status == MM_OK)
        status = mm_comm_sum(p->comm, work.hashes[0], 2 * p->samples->count, err);
    if (status == MM_OK)
        status = mm_comm_sum(p->comm, &p->encoded, 1, err);
    if (status == MM_OK)
        status = mm_comm_agree(p->comm, find_places(&work, err), err);
    mm_embedding_free(work.embedding);
    free(work.hashes);
    return status;
}

static mm_status split(const mm_preparation *p, mm_prepared *prepared, mm_error *err)
{
    const size_t count = p->samples->count;
    prepared->training = calloc(count, sizeof prepared->training[0]);
    prepared->validation = calloc(count, sizeof prepared->validation[0]);
    prepared->places = calloc(2 * count, sizeof prepared->places[0]);
    if (!prepared->training || !prepared->validation || !prepared->places)
        return mm_fail_memory(err, "the list of images");
    for (size_t i = 0; i < count; i++)
        if (p->samples->items[i].validation)
            prepared->validation[prepared->validation_count++] = i;
    prepared->training_count = count - prepared->validation_count;
    prepared->steps_per_epoch = (uint64_t)ceil((double)prepared->training_count / p->options->batch);
    prepared->steps = (uint64_t)ceil(p->options->epochs * (double)prepared->steps_per_epoch);
    return MM_OK;
}

static mm_status open_embeddings(const mm_preparation *p, mm_prepared *prepared, mm_error *err)
{
    char *own = NULL;
    if (!p->options->embeddings && !(own = mm_train_beside(p->options->out, ".embeddings")))
        return mm_fail_memory(err, "a path");
    const mm_status status =
        mm_embeddings_open(own ? own : p->options->embeddings, p->model, &prepared->embeddings, err);
    free(own);
    return status;
}

mm_status mm_prepare(mm_preparation *p, mm_prepared *prepared, mm_error *err)
{
    mm_status status = split(p, prepared, err);
    if (status == MM_OK)
        status = open_embeddings(p, prepared, err);
    status = mm_comm_agree(p->comm, status, err);
    const double start = omp_get_wtime();
    p->encoded = 0;
    if (status == MM_OK)
        status = embed(p, prepared, err);
    p->seconds = omp_get_wtime() - start;
    return status;
}

void mm_prepared_free(mm_prepared *prepared)
{
    mm_embeddings_close(prepared->embeddings);
    free(prepared->places);
    free(prepared->training);
    free(prepared->validation);
}

bool mm_prepared_flips(const mm_train_options *options, uint64_t epoch, uint64_t sample)
{
    return options->flip && (mm_mix(options->seed ^ ~epoch, sample) >> 63) != 0;
}

/* Fisher and Yates. */
void mm_prepared_shuffle(mm_prepared *prepared, const mm_samples *samples, uint64_t seed, uint64_t epoch)
{
    if (prepared->epoch == epoch)
        return;
    size_t n = 0;
    for (size_t i = 0; i < samples->count; i++)
        if (!samples->items[i].validation)
            prepared->training[n++] = i;
    mm_draw draw = {mm_mix(seed, epoch), 0};
    for (size_t i = n; i > 1; i--) {
        const size_t other = (size_t)mm_draw_below(&draw, i);
        const uint64_t swapped = prepared->training[i - 1];
        prepared->training[i - 1] = prepared->training[other];
        prepared->training[other] = swapped;
    }
    prepared->epoch = epoch;
}
