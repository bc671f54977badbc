#include "annotate/source.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "queue/queue.h"
#include "queue/shown.h"
#include "report/photograph.h"

typedef struct ordered {
    uint64_t image_id, row; /* of the dataset */
} ordered;

struct mm_source {
    const char *kind;
    mm_manifest *manifest;
    mm_queue *queue;           /* NULL for others */
    const mm_dataset *dataset; /* NULL for a corpus */
    mm_dataset *own;           /* the same, if it was opened here */
    mm_prefill_mode prefill;
    mm_config config;
    ordered *order;
    size_t count;
    uint32_t *by_id; /* [count]: places in `order`, by rising image_id */
    uint64_t digest;
    pthread_mutex_t hdf5; /* which is not thread-safe */
};

void mm_source_lock(mm_source *source)
{
    (void)pthread_mutex_lock(&source->hdf5); /* fails for mutexes that are none */
}

void mm_source_unlock(mm_source *source)
{
    (void)pthread_mutex_unlock(&source->hdf5);
}

/* --- opening --- */

static uint64_t digest_of(const mm_manifest *manifest)
{
    XXH64_hash_t digest = 0;
    for (uint64_t i = 0; i < mm_manifest_count(manifest); i++) {
        const mm_manifest_entry entry = mm_manifest_at(manifest, i);
        const uint64_t numbers[3] = {digest, entry.offset, entry.length};
        digest = XXH3_64bits_withSeed(entry.path, strlen(entry.path), XXH3_64bits(numbers, sizeof numbers));
    }
    return digest;
}

static mm_status reserve(mm_source *source, uint64_t count, mm_error *err)
{
    if (count >= UINT32_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "more images than people can look at");
    source->order = calloc((size_t)count + 1, sizeof *source->order);
    source->by_id = calloc((size_t)count + 1, sizeof *source->by_id);
    return source->order && source->by_id ? MM_OK : mm_fail_memory(err, "the list of images");
}

static mm_status open_corpus(mm_source *source, const char *path, mm_error *err)
{
    mm_scan_report report;
    mm_status status = mm_corpus_scan(&path, 1, &source->manifest, &report, err);
    if (status == MM_OK)
        status = reserve(source, mm_manifest_count(source->manifest), err);
    for (uint64_t i = 0; status == MM_OK && i < mm_manifest_count(source->manifest); i++)
        source->order[source->count++] = (ordered){.image_id = i};
    return status;
}

static mm_status open_photographs(mm_source *source, const char *moved, mm_error *err)
{
    mm_photographs photographs = {0};
    const mm_status status = mm_photographs_open(source->dataset, moved, &photographs, err);
    source->manifest = photographs.manifest;
    source->config = photographs.config;
    return status;
}

/* Its rows are those of the manifest, from the first of a part on. Which of them are done shows when they are
 * loaded. */
static mm_status open_dataset(mm_source *source, const char *path, const char *moved, mm_error *err)
{
    mm_record first = {0};
    char *name = NULL;
    mm_status status = mm_dataset_open(path, &source->own, err);
    if (status != MM_OK)
        return status;
    source->dataset = source->own;
    source->prefill = mm_dataset_origin(source->dataset)->confident ? MM_PREFILL_CONFIDENT : MM_PREFILL_MASKS;
    status = open_photographs(source, moved, err);
    const uint64_t images = mm_dataset_images(source->dataset);
    if (status == MM_OK)
        status = reserve(source, images, err);
    if (status == MM_OK && images > 0)
        status = mm_dataset_read(source->dataset, 0, &first, &name, err);
    for (uint64_t row = 0; status == MM_OK && row < images; row++)
        source->order[source->count++] = (ordered){first.image_id + row, row};
    mm_record_free(&first);
    free(name);
    return status;
}

static mm_status open_queue(mm_source *source, const char *path, const char *moved, mm_error *err)
{
    mm_status status = mm_queue_open(path, NULL, &source->queue, err);
    if (status != MM_OK)
        return status;
    source->dataset = mm_queue_dataset(source->queue);
    source->prefill = source->queue->origin.prefill;
    status = open_photographs(source, moved, err);
    if (status == MM_OK)
        status = reserve(source, mm_queue_images(source->queue), err);
    for (uint64_t i = 0; status == MM_OK && i < mm_queue_images(source->queue); i++) {
        const mm_queue_image image = mm_queue_at(source->queue, i);
        source->order[source->count++] = (ordered){image.image_id, image.row};
    }
    return status;
}

static bool has_file(const char *folder, const char *name)
{
    char inner[PATH_MAX];
    struct stat info;
    const int length = snprintf(inner, sizeof inner, "%s/%s", folder, name);
    return length > 0 && length < PATH_MAX && stat(inner, &info) == 0;
}

static mm_status open_any(mm_source *source, const char *path, const char *moved, mm_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (has_file(path, "queue.h5")) {
        source->kind = "queue";
        return open_queue(source, path, moved, err);
    }
    if (strcmp(name, "dataset.h5") == 0 || has_file(path, "dataset.h5")) {
        source->kind = "dataset";
        return open_dataset(source, path, moved, err);
    }
    source->kind = "corpus";
    return open_corpus(source, path, err);
}

static int by_image_id(const void *a, const void *b, void *user)
{
    const ordered *order = user;
    const uint64_t x = order[*(const uint32_t *)a].image_id, y = order[*(const uint32_t *)b].image_id;
    return x < y ? -1 : x > y;
}

mm_status mm_source_open(const char *path, const char *moved, const mm_config *config, mm_source **source,
                         mm_error *err)
{
    mm_source *made = calloc(1, sizeof *made);
    *source = NULL;
    if (!made || pthread_mutex_init(&made->hdf5, NULL) != 0) {
        free(made);
        return mm_fail_memory(err, path);
    }
    made->config = *config;
    mm_status status = open_any(made, path, moved, err);
    if (status == MM_OK && made->count == 0)
        status = mm_fail(err, MM_ERR_FORMAT, "%s: has no image to annotate", path);
    for (uint32_t i = 0; status == MM_OK && i < made->count; i++) {
        made->by_id[i] = i;
        if ( made->order[i].image_id >= mm_manifest_count(made->manifest))
            status = mm_fail(err, MM_ERR_FORMAT, "%s: manifest.h5 has no image %" PRIu64, path,
                             made->order[i].image_id);
    }
    if (status != MM_OK) {
        mm_source_close(made);
        return status;
    }
    qsort_r(made->by_id, made->count, sizeof *made->by_id, by_image_id, made->order);
    made->digest = digest_of(made->manifest);
    *source = made;
    return MM_OK;
}

void mm_source_close(mm_source *source)
{
    if (!source)
        return;
    mm_queue_close(source->queue);
    mm_dataset_close(source->own);
    mm_manifest_free(source->manifest);
    free(source->order);
    free(source->by_id);
    (void)pthread_mutex_destroy(&source->hdf5);
    free(source);
}

uint64_t mm_source_count(const mm_source *source)
{
    return source->count;
}

mm_book_head mm_source_head(const mm_source *source)
{
    return (mm_book_head){.kind = source->kind, .images = mm_manifest_count(source->manifest), .digest = source->digest,
                          .shown = source->dataset ? mm_dataset_masks(source->dataset) : 0};
}

const mm_config *mm_source_config(const mm_source *source)
{
    return &source->config;
}

uint64_t mm_source_image_id(const mm_source *source, uint64_t index)
{
    return source->order[index].image_id;
}

const char *mm_source_name(const mm_source *source, uint64_t index)
{
    return mm_manifest_at(source->manifest, source->order[index].image_id).path;
}

bool mm_source_find(const mm_source *source, uint64_t image_id, uint64_t *index)
{
    size_t low = 0, high = source->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (source->order[source->by_id[middle]].image_id < image_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == source->count || source->order[source->by_id[low]].image_id != image_id)
        return false;
    *index = source->by_id[low];
    return true;
}

/* --- one image --- */

/* What people find in an image: filled in, and hints. */
static mm_status take_masks(const mm_source *source, const mm_record *record, mm_sourced *sourced, mm_error *err)
{
    mm_shown shown;
    mm_status status = mm_shown_load(record, source->prefill, &shown, err);
    if (status != MM_OK)
        return status;
    const size_t count = shown.prefilled + shown.hints;
    sourced->items = calloc(count + 1, sizeof *sourced->items);
    if (!sourced->items)
        status = mm_fail_memory(err, "masks");
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        mm_shown_item *item = &sourced->items[sourced->count++];
        char name[MM_SHOWN_TEXT];
        mm_shown_text(&shown.masks[i].name, name);
        (void)snprintf(item->name, sizeof item->name, "%s", name);
        item->hint = i >= shown.prefilled;
        status = mm_rle_to_counts(&shown.masks[i].rle, &item->counts, &item->size, err);
    }
    mm_shown_free(&shown);
    return status;
}

/* The image at its frame's size; takes the photograph over. */
static mm_status make_frame(mm_image *photograph, uint32_t width, uint32_t height, mm_image *frame, mm_error *err)
{
    if (photograph->width == width && photograph->height == height) {
        *frame = *photograph;
        *photograph = (mm_image){0};
        return MM_OK;
    }
    return mm_image_resize_bilinear(mm_image_whole(photograph), width, height, frame, err);
}

static mm_status read_photograph(mm_source *source, uint64_t image_id, mm_image *photograph, mm_embedding_key *key,
                                 mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    const mm_config *config = &source->config;
    const mm_jpeg_options options = {.ignore_orientation = config->image.ignore_orientation,
                                     .max_pixels = config->image.max_pixels};
    mm_status status = mm_corpus_read(source->manifest, image_id, config->image.max_bytes, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    *key = mm_embeddings_key(bytes, size, options.ignore_orientation ? MM_EMBEDDING_UNTURNED : 0);
    status = mm_image_decode_jpeg(bytes, size, &options, photograph, err);
    free(bytes);
    return status;
}

mm_status mm_source_load(mm_source *source, uint64_t index, mm_sourced *sourced, mm_error *err)
{
    mm_image photograph = {0};
    const ordered *place = &source->order[index];
    *sourced = (mm_sourced){0};
    mm_status status = read_photograph(source, place->image_id, &photograph, &sourced->key, err);
    uint32_t width = photograph.width, height = photograph.height;
    const uint32_t least = width < height ? width : height, wanted = source->config.amg.short_side;
    if (wanted && least > wanted) {
        width = (uint32_t)((double)width * wanted / least + 0.5);
        height = (uint32_t)((double)height * wanted / least + 0.5);
    }
    if (status == MM_OK && source->dataset) {
        mm_record record = {0};
        char *name = NULL;
        mm_source_lock(source);
        status = mm_dataset_read(source->dataset, place->row, &record, &name, err);
        mm_source_unlock(source);
        if (status == MM_OK && record.status != MM_IMAGE_DONE)
            status = mm_fail(err, MM_ERR_UNSUPPORTED,
                             "the dataset has no masks of it: it was set aside, or skipped as a "
                             "near-duplicate");
        if (status == MM_OK)
            status = take_masks(source, &record, sourced, err);
        width = record.width; /* as they were when the masks were made */
        height = record.height;
        mm_record_free(&record);
        free(name);
    }
    if (status == MM_OK)
        status = make_frame(&photograph, width, height, &sourced->frame, err);
    mm_image_free(&photograph);
    if (status != MM_OK)
        mm_sourced_free(sourced);
    return status;
}

void mm_sourced_free(mm_sourced *sourced)
{
    for (size_t i = 0; i < sourced->count; i++)
        free(sourced->items[i].counts);
    free(sourced->items);
    mm_image_free(&sourced->frame);
    *sourced = (mm_sourced){0};
}
