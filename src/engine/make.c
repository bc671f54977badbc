#include "engine/make.h"

#include <stdlib.h>

#include "engine/share.h"

/* A failure that lies in the image sets it aside; any other stops the run. */
static bool belongs_to_image(mm_status status)
{
    switch (status) {
    case MM_ERR_IO:
    case MM_ERR_FORMAT:
    case MM_ERR_LIMIT:
    case MM_ERR_UNSUPPORTED:
    case MM_ERR_NOMEM:
        return true;
    default:
        return false;
    }
}

static mm_status load_image(mm_maker *m, uint64_t image_id, mm_image *image, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    const double start = mm_seconds_now();
    const mm_config *config = &m->setup->config;
    mm_status status = mm_corpus_read(m->setup->manifest, image_id, config->image.max_bytes, &bytes, &size, err);
    const double read = mm_seconds_now();
    m->seconds[MM_STAGE_READ] += read - start;
    if (status != MM_OK)
        return status;
    const mm_jpeg_options jpeg = {.ignore_orientation = config->image.ignore_orientation,
                                  .max_pixels = config->image.max_pixels};
    status = mm_image_decode_jpeg(bytes, size, &jpeg, image, err);
    free(bytes);
    m->seconds[MM_STAGE_JPEG] += mm_seconds_now() - read;
    return status;
}

static mm_status annotate(mm_maker *m, uint64_t image_id, mm_record *record, mm_error *err)
{
    mm_image image = {0};
    mm_annotations annotations = {0};
    mm_status status = load_image(m, image_id, &image, err);
    if (status != MM_OK)
        return status;
    if (m->stand_in)
        status = m->stand_in->annotate(m->stand_in->user, image_id, &image, &annotations, err);
    else
        status = mm_amg_generate(m->setup->model, m->setup->embedding, &m->setup->config.amg, mm_image_whole(&image),
                                 &annotations, err);
    mm_image_free(&image);
    if (status != MM_OK)
        return status;
    m->seconds[MM_STAGE_ENCODE] += annotations.seconds_frame + annotations.seconds_encode;
    m->seconds[MM_STAGE_DECODE] += annotations.seconds_decode;
    m->seconds[MM_STAGE_MASKS] += annotations.seconds_masks + annotations.seconds_filter;
    status = mm_record_from_annotations(image_id, &annotations, record, err);
    mm_annotations_free(&annotations);
    return status;
}

mm_status mm_make_image(mm_maker *maker, uint64_t image_id, mm_record *record, mm_status *why, mm_error *err)
{
    mm_error reason = {0};
    mm_status status = annotate(maker, image_id, record, &reason);
    if (status == MM_OK)
        return MM_OK;
    const mm_manifest_entry entry = mm_manifest_at(maker->setup->manifest, image_id);
    if (!belongs_to_image(status))
        return mm_fail(err, status, "image %s: %s", entry.path, reason.text);
    *why = status;
    status = mm_record_set_aside(image_id, entry.width, entry.height, reason.text, record, err);
    record->why = (uint8_t)*why;
    return status;
}
