/* The list of samples: made by rank 0, shared with all. */
#include "train/samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "maskmill/engine.h"
#include "maskmill/shard.h"

enum { MAX_FILE = 1 << 30 };

uint64_t mm_mix(uint64_t seed, uint64_t number)
{
    uint64_t z = seed * UINT64_C(0xd1342543de82ef95) + (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void mm_samples_free(mm_samples *samples)
{
    for (size_t i = 0; i < samples->manifest_count; i++)
        mm_manifest_free(samples->manifests[i]);
    free(samples->manifests);
    free(samples->unturned);
    free(samples->items);
    free(samples->boxes);
    free(samples->text);
    *samples = (mm_samples){0};
}

bool mm_samples_room(void **array, size_t *room, size_t count, size_t more, size_t size)
{
    if (*room - count >= more)
        return true;
    const size_t wanted = (count + more) + (count + more) / 2 + 64;
    void *grown = reallocarray(*array, wanted, size);
    if (!grown)
        return false;
    *array = grown;
    *room = wanted;
    return true;
}

mm_status mm_samples_add(mm_samples *samples, const mm_sample *sample, const char *path, mm_error *err)
{
    const size_t length = strlen(path) + 1;
    void *items = samples->items, *text = samples->text;
    const bool good = mm_samples_room(&items, &samples->room, samples->count, 1, sizeof *samples->items) &&
                      mm_samples_room(&text, &samples->text_room, samples->text_size, length, 1);
    samples->items = items;
    samples->text = text;
    if (!good)
        return mm_fail_memory(err, "the list of images");
    mm_sample *added = &samples->items[samples->count++];
    *added = *sample;
    added->first_box = samples->box_count;
    added->boxes = 0;
    added->path = samples->text_size;
    memcpy(samples->text + samples->text_size, path, length);
    samples->text_size += length;
    return MM_OK;
}

mm_status mm_samples_add_box(mm_samples *samples, size_t number, const double box[4], mm_error *err)
{
    mm_sample *sample = &samples->items[number];
    float clipped[4];
    for (int k = 0; k < 4; k++)
        clipped[k] = (float)fmin(fmax(box[k], 0), k % 2 ? sample->height : sample->width);
    if (!(clipped[0] < clipped[2] && clipped[1] < clipped[3]))
        return MM_OK;
    void *boxes = samples->boxes;
    const bool good = mm_samples_room(&boxes, &samples->box_room, samples->box_count, 1, sizeof *samples->boxes);
    samples->boxes = boxes;
    if (!good)
        return mm_fail_memory(err, "the list of boxes");
    if (sample->boxes++ == 0)
        sample->first_box = samples->box_count;
    memcpy(samples->boxes[samples->box_count++], clipped, sizeof clipped);
    return MM_OK;
}

static bool is_coco(const char *path)
{
    const size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".json") == 0;
}

/* Those of `sources` that are datasets, counted from `first` on in the order of manifests. */
static mm_status add_sources(mm_samples *samples, const char *const *sources, size_t count, const char *images,
                             uint32_t first, bool validation, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < count; i++)
        status = is_coco(sources[i]) ? mm_samples_add_coco(samples, sources[i], images, validation, err)
                                     : mm_samples_add_dataset(samples, sources[i], first++, validation, err);
    return status;
}

static void choose_validation(mm_samples *samples, double share, uint64_t seed)
{
    for (size_t i = 0; i < samples->count; i++)
        samples->items[i].validation = ldexp((double)(mm_mix(seed, i) >> 11), -53) < share;
}

/* At least one image to train on, with boxes, and one to measure with. */
static mm_status check(mm_samples *samples, mm_error *err)
{
    uint64_t training = 0, boxes = 0;
    for (size_t i = 0; i < samples->count; i++)
        if (!samples->items[i].validation) {
            training++;
            boxes += samples->items[i].boxes;
        }
    if (samples->count == 0) /* of datasets, images without masks are not listed */
        return mm_fail(err, MM_ERR_FORMAT, "there are no images to train on, or they have no masks or boxes");
    if (samples->count < 2)
        return mm_fail(err, MM_ERR_FORMAT, "there are %zu images to train on; at least two are needed", samples->count);
    if (training == samples->count || training == 0) { /* few images, unlucky numbers */
        mm_sample *last = &samples->items[samples->count - 1];
        last->validation = !last->validation;
        return check(samples, err);
    }
    if (boxes == 0)
        return mm_fail(err, MM_ERR_FORMAT, "the %zu images to train on have no masks or boxes", samples->count);
    return MM_OK;
}

static mm_status read_all(const mm_train_options *options, const char *images, mm_samples *samples, mm_error *err)
{
    uint32_t datasets = 0;
    for (size_t i = 0; i < options->source_count; i++)
        datasets += !is_coco(options->sources[i]);
    mm_status status = add_sources(samples, options->sources, options->source_count, images, 0, false, err);
    if (status == MM_OK && options->validation_count == 0)
        choose_validation(samples, options->validation_share, options->seed);
    else if (status == MM_OK)
        status = add_sources(samples, options->validation, options->validation_count, images, datasets, true, err);
    return status == MM_OK ? check(samples, err) : status;
}

/* What rank 0 has of an array, to all; in pieces, since a message holds less than 2 GiB. */
static mm_status share_bytes(mm_comm *comm, void **bytes, size_t size, mm_error *err)
{
    const size_t piece = 1u << 30;
    if (mm_comm_rank(comm) != 0)
        *bytes = malloc(size + 1);
    mm_status status = mm_comm_agree(comm, *bytes || size == 0 ? MM_OK : mm_fail_memory(err, "the list of images"),
                                     err);
    for (size_t at = 0; status == MM_OK && at < size; at += piece)
        status = mm_comm_broadcast(comm, 0, (char *)*bytes + at, size - at < piece ? size - at : piece, err);
    return status;
}

static mm_status share(mm_comm *comm, mm_samples *samples, mm_error *err)
{
    uint64_t sizes[3] = {samples->count, samples->box_count, samples->text_size};
    mm_status status = mm_comm_broadcast(comm, 0, sizes, sizeof sizes, err);
    if (status != MM_OK)
        return status;
    samples->count = samples->room = (size_t)sizes[0];
    samples->box_count = samples->box_room = (size_t)sizes[1];
    samples->text_size = samples->text_room = (size_t)sizes[2];
    void *items = samples->items, *boxes = samples->boxes, *text = samples->text;
    status = share_bytes(comm, &items, samples->count * sizeof *samples->items, err);
    if (status == MM_OK)
        status = share_bytes(comm, &boxes, samples->box_count * sizeof *samples->boxes, err);
    if (status == MM_OK)
        status = share_bytes(comm, &text, samples->text_size, err);
    samples->items = items;
    samples->boxes = boxes;
    samples->text = text;
    return status;
}

/* The manifest beside a dataset, and whether its run ignored the orientation. */
static mm_status open_manifest(mm_comm *comm, const char *path, mm_samples *samples, mm_error *err)
{
    mm_dataset *dataset = NULL;
    char *yaml = NULL, *manifest_path = NULL;
    mm_config config;
    mm_status status = mm_dataset_open(path, &dataset, err);
    if (status == MM_OK)
        status = mm_dataset_config(dataset, &yaml, err);
    if (status == MM_OK)
        status = mm_config_from_yaml(yaml, &config, err);
    if (status == MM_OK && asprintf(&manifest_path, "%s/manifest.h5", mm_dataset_folder(dataset)) < 0) {
        manifest_path = NULL;
        status = mm_fail_memory(err, "a path");
    }
    mm_dataset_close(dataset);
    free(yaml);
    status = mm_comm_agree(comm, status, err);
    mm_manifest *manifest = NULL;
    if (status == MM_OK)
        status = mm_manifest_open_together(comm, manifest_path, &manifest, err);
    if (status == MM_OK) {
        samples->manifests[samples->manifest_count] = manifest;
        samples->unturned[samples->manifest_count++] = config.image.ignore_orientation;
    }
    free(manifest_path);
    return status;
}

static mm_status open_manifests(mm_comm *comm, const mm_train_options *options, mm_samples *samples, mm_error *err)
{
    const size_t all = options->source_count + options->validation_count;
    samples->manifests = calloc(all + 1, sizeof samples->manifests[0]);
    samples->unturned = calloc(all + 1, sizeof samples->unturned[0]);
    mm_status status = samples->manifests && samples->unturned ? MM_OK : mm_fail_memory(err, "manifests");
    status = mm_comm_agree(comm, status, err);
    for (size_t i = 0; status == MM_OK && i < all; i++) {
        const char *path =
            i < options->source_count ? options->sources[i] : options->validation[i - options->source_count];
        if (!is_coco(path))
            status = open_manifest(comm, path, samples, err);
    }
    return status;
}

mm_status mm_samples_load(mm_comm *comm, const mm_train_options *options, const char *images, mm_samples *samples,
                          mm_error *err)
{
    *samples = (mm_samples){0};
    mm_status status = open_manifests(comm, options, samples, err);
    if (status == MM_OK) {
        if (!comm || mm_comm_rank(comm) == 0)
            status = read_all(options, images, samples, err);
        status = mm_comm_agree(comm, status, err);
    }
    if (status == MM_OK && comm)
        status = share(comm, samples, err);
    if (status != MM_OK)
        mm_samples_free(samples);
    return status;
}

mm_status mm_samples_read(const mm_samples *samples, const mm_sample *sample, uint8_t **bytes, size_t *size,
                          mm_error *err)
{
    if (sample->source == MM_SAMPLE_FILE)
        return mm_corpus_read_path(samples->text + sample->path, MAX_FILE, bytes, size, err);
    return mm_corpus_read(samples->manifests[sample->source], sample->image_id, MAX_FILE, bytes, size, err);
}

uint64_t mm_samples_digest(const mm_samples *samples)
{
    uint64_t digest = XXH3_64bits(samples->boxes, samples->box_count * sizeof *samples->boxes);
    for (size_t i = 0; i < samples->count; i++) {
        const mm_sample *s = &samples->items[i];
        const uint64_t row[] = {digest, s->boxes, s->width, s->height, s->validation};
        digest = XXH3_64bits(row, sizeof row);
    }
    return digest;
}
