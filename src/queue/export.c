#include "queue/export.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "shard/export.h"

enum { PHOTOGRAPH_QUALITY = 95, THUMBNAIL_QUALITY = 85 };

const char *mm_shown_source(const mm_shown_mask *mask)
{
    static const char *const sources[] = {"automatic", "confident", "human"};
    if (mask->name.kind == MM_SHOWN_HINT)
        return "hint";
    return sources[mask->record->source[mask->name.index]];
}

float mm_shown_detector_score(const mm_shown_mask *mask)
{
    return mask->record->detector_score ? mask->record->detector_score[mask->name.index] : (float)NAN;
}

/* --- photographs --- */

static mm_status put_jpeg(const char *path, mm_image_view view, int quality, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_status status = mm_image_encode_jpeg(view, quality, &bytes, &size, err);
    if (status == MM_OK)
        status = mm_file_commit(path, bytes, size, err);
    free(bytes);
    return status;
}

static mm_status put_resized(const char *path, const mm_image *image, uint32_t width, uint32_t height, int quality,
                             mm_error *err)
{
    mm_image resized;
    if (image->width == width && image->height == height)
        return put_jpeg(path, mm_image_whole(image), quality, err);
    mm_status status = mm_image_resize_bilinear(mm_image_whole(image), width, height, &resized, err);
    if (status == MM_OK)
        status = put_jpeg(path, mm_image_whole(&resized), quality, err);
    mm_image_free(&resized);
    return status;
}

static mm_status put_thumbnail(const char *path, const mm_image *image, uint32_t side, mm_error *err)
{
    const uint32_t longer = image->width > image->height ? image->width : image->height;
    const double scale = longer > side ? (double)side / longer : 1;
    const uint32_t width = (uint32_t)(image->width * scale + 0.5), height = (uint32_t)(image->height * scale + 0.5);
    return put_resized(path, image, width ? width : 1, height ? height : 1, THUMBNAIL_QUALITY, err);
}

/* Where every viewer shows the file just as masks see it, it goes out byte for byte. */
static bool is_frame(const uint8_t *bytes, size_t size, const mm_batch_image *image)
{
    mm_jpeg_info info;
    return mm_image_probe_jpeg(bytes, size, NULL, &info, NULL) == MM_OK && info.orientation == 1 &&
           info.width == image->row.width && info.height == image->row.height;
}

static mm_status put_photograph(const mm_photographs *photographs, const mm_batch_image *image, const char *path,
                                const char *thumbnail, uint32_t side, mm_error *err)
{
    const mm_config *config = &photographs->config;
    const mm_jpeg_options options = {.ignore_orientation = config->image.ignore_orientation,
                                     .max_pixels = config->image.max_pixels};
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_image pixels = {0};
    if (image->row.image_id >= mm_manifest_count(photographs->manifest))
        return mm_fail(err, MM_ERR_FORMAT, "manifest.h5 has no image %" PRIu64, image->row.image_id);
    mm_status status =
        mm_corpus_read(photographs->manifest, image->row.image_id, config->image.max_bytes, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    const bool as_it_is = path && is_frame(bytes, size, image);
    if (thumbnail || (path && !as_it_is))
        status = mm_image_decode_jpeg(bytes, size, &options, &pixels, err);
    if (status == MM_OK && as_it_is)
        status = mm_file_commit(path, bytes, size, err);
    else if (status == MM_OK && path)
        status = put_resized(path, &pixels, image->row.width, image->row.height, PHOTOGRAPH_QUALITY, err);
    if (status == MM_OK && thumbnail)
        status = put_thumbnail(thumbnail, &pixels, side, err);
    mm_image_free(&pixels);
    free(bytes);
    return status;
}

static mm_status put_photographs(const mm_photographs *photographs, const mm_queue_export_options *options,
                                 const mm_batch *batch, mm_error *err)
{
    char path[PATH_MAX], thumbnail[PATH_MAX], name[MM_SHOWN_TEXT];
    mm_status status = MM_OK;
    for (int i = 0; i < 2 && status == MM_OK; i++) {
        if (i == 0 ? !options->images : !options->thumbnail_side)
            continue;
        const int length = snprintf(path, sizeof path, "%s/%s/batch_%06" PRIu64, options->folder,
                                    i == 0 ? "images" : "thumbnails", batch->number);
        status = length < 0 || length >= PATH_MAX - MM_SHOWN_TEXT
                     ? mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", options->folder)
                     : mm_export_make_folder(path, err);
    }
    for (size_t i = 0; status == MM_OK && i < batch->count; i++) {
        mm_photograph_name(batch->images[i].row.image_id, name);
        (void)snprintf(path, sizeof path, "%.4000s/images/batch_%06" PRIu64 "/%s", options->folder, batch->number,
                       name);
        (void)snprintf(thumbnail, sizeof thumbnail, "%.4000s/thumbnails/batch_%06" PRIu64 "/%s", options->folder,
                       batch->number, name); /* both fit, as was seen above */
        status = put_photograph(photographs, &batch->images[i], options->images ? path : NULL,
                                options->thumbnail_side ? thumbnail : NULL, options->thumbnail_side, err);
        if (status != MM_OK && err && status != MM_ERR_NOMEM)
            (void)mm_error_prefix(
                err, "the photographs must be there (--corpus FOLDER if they were moved): image %" PRIu64 ", %.100s",
                batch->images[i].row.image_id, batch->images[i].file_name);
    }
    return status;
}

/* --- batches --- */

static void free_batch(mm_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        mm_shown_free(&batch->images[i].shown);
        mm_record_free(&batch->images[i].record);
        free(batch->images[i].file_name);
    }
    free(batch->images);
    *batch = (mm_batch){0};
}

static int by_row(const void *a, const void *b)
{
    const mm_batch_image *x = *(mm_batch_image *const *)a, *y = *(mm_batch_image *const *)b;
    return x->row.row < y->row.row ? -1 : x->row.row > y->row.row;
}

static mm_status load_image(const mm_queue *queue, mm_batch_image *image, mm_error *err)
{
    mm_status status = mm_dataset_read(queue->dataset, image->row.row, &image->record, &image->file_name, err);
    if (status == MM_OK && (image->record.image_id != image->row.image_id || image->record.status != MM_IMAGE_DONE ||
                            image->record.width != image->row.width || image->record.height != image->row.height))
        status = mm_fail(err, MM_ERR_FORMAT,
                         "row %" PRIu64 " of the dataset is not the image that the queue has for it", image->row.row);
    return status == MM_OK ? mm_shown_load(&image->record, queue->origin.prefill, &image->shown, err) : status;
}

/* Read in the order of the dataset, since a shard is opened for each image that follows one of another shard. */
static mm_status load_batch(const mm_queue *queue, uint64_t number, mm_batch *batch, mm_error *err)
{
    const uint64_t size = queue->origin.batch_size, first = number * size, left = queue->rows.count - first;
    *batch = (mm_batch){.number = number, .count = (size_t)(left < size ? left : size)};
    batch->images = calloc(batch->count + 1, sizeof *batch->images);
    mm_batch_image **order = calloc(batch->count + 1, sizeof(mm_batch_image *));
    mm_status status = MM_OK;
    if (!batch->images || !order) {
        batch->count = 0;
        status = mm_fail_memory(err, "a batch");
    }
    for (size_t i = 0; i < batch->count; i++) {
        batch->images[i].row = queue->rows.items[first + i];
        order[i] = &batch->images[i];
    }
    if (batch->count > 0)
        qsort(order, batch->count, sizeof *order, by_row);
    for (size_t i = 0; status == MM_OK && i < batch->count; i++)
        status = load_image(queue, order[i], err);
    free(order);
    if (status != MM_OK)
        free_batch(batch);
    return status;
}

static mm_status check_batches(const mm_queue *queue, const mm_queue_export_options *options, uint64_t *first,
                               uint64_t *last, mm_error *err)
{
    const uint64_t batches = mm_queue_batches(queue);
    *first = options->some_batches ? options->first_batch : 0;
    *last = options->some_batches ? options->last_batch : batches - 1;
    if (batches > 0 && *first <= *last && *last < batches)
        return MM_OK;
    return mm_fail(err, MM_ERR_USAGE, "batches %" PRIu64 " to %" PRIu64 ": the queue has batches 0 to %" PRIu64, *first,
                   *last, batches ? batches - 1 : 0);
}

mm_status mm_queue_export(const mm_queue *queue, const mm_queue_export_options *options, mm_write_batch *write,
                          uint64_t *written, mm_error *err)
{
    uint64_t first, last;
    mm_photographs photographs = {0};
    const bool pictures = options->images || options->thumbnail_side;
    *written = 0;
    mm_status status = check_batches(queue, options, &first, &last, err);
    if (status == MM_OK)
        status = mm_export_make_folder(options->folder, err);
    if (status == MM_OK && pictures)
        status = mm_photographs_open(queue->dataset, options->corpus, &photographs, err);
    for (uint64_t number = first; status == MM_OK && number <= last; number++) {
        mm_batch batch;
        status = load_batch(queue, number, &batch, err);
        if (status != MM_OK)
            break;
        if (pictures)
            status = put_photographs(&photographs, options, &batch, err);
        if (status == MM_OK)
            status = write(options, &batch, err);
        *written += status == MM_OK ? batch.count : 0;
        free_batch(&batch);
    }
    mm_photographs_close(&photographs);
    return status;
}
