#include "engine/make.h"

#include <inttypes.h>
#include <stdlib.h>

#include "amg/steps.h"
#include "base/clock.h"
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

/* What the image's masks may come with. */
typedef struct further {
    mm_maker *maker;
    mm_annotations hints;
    mm_confident confident;
} further;

static mm_status find_confident(void *user, mm_embedding *embedding, mm_error *err)
{
    further *f = user;
    const mm_setup *setup = f->maker->setup;
    const mm_status status =
        mm_detect_confident(setup->model, embedding, setup->detector, &setup->detect, &f->confident, err);
    if (status == MM_OK) {
        f->maker->seconds[MM_STAGE_DECODE] += f->confident.seconds_detect;
        f->maker->seconds[MM_STAGE_MASKS] += f->confident.seconds_masks;
    }
    return status;
}

static void free_further(further *f)
{
    mm_annotations_free(&f->hints);
    mm_confident_free(&f->confident);
}

/* On a record that is done. */
static mm_status add_further(const further *f, mm_record *record, mm_error *err)
{
    const mm_setup *setup = f->maker->setup;
    mm_status status = MM_OK;
    if (setup->config.hints.enabled && !setup->base)
        status = mm_record_set_hints(record, &f->hints, err);
    if (status == MM_OK && setup->config.detect.enabled)
        status = mm_record_set_confident(record, &f->confident.annotations, f->confident.scores, err);
    return status;
}

static mm_status generate(mm_maker *m, mm_image_view image, further *f, mm_annotations *annotations, mm_error *err)
{
    const mm_setup *setup = m->setup;
    const mm_config *config = &setup->config;
    const mm_amg_observer observer = {.user = f, .whole_image = config->detect.enabled ? find_confident : NULL,
                                      .hint_params = config->hints.enabled ? &config->hints.params : NULL,
                                      .hints = &f->hints};
    return mm_amg_generate_observed(setup->model, setup->embedding, &config->amg, image, &observer, annotations, err);
}

/* Masks of the grid, and what is wanted beside them. */
static mm_status annotate(mm_maker *m, uint64_t image_id, mm_record *record, mm_error *err)
{
    mm_image image = {0};
    mm_annotations annotations = {0};
    further f = {.maker = m};
    mm_status status = load_image(m, image_id, &image, err);
    if (status != MM_OK)
        return status;
    if (m->stand_in)
        status = m->stand_in->annotate(m->stand_in->user, image_id, &image, &annotations, err);
    else
        status = generate(m, mm_image_whole(&image), &f, &annotations, err);
    mm_image_free(&image);
    if (status == MM_OK) {
        m->seconds[MM_STAGE_ENCODE] += annotations.seconds_frame + annotations.seconds_encode;
        m->seconds[MM_STAGE_DECODE] += annotations.seconds_decode;
        m->seconds[MM_STAGE_MASKS] += annotations.seconds_masks + annotations.seconds_filter;
        status = mm_record_from_annotations(image_id, &annotations, record, err);
        mm_annotations_free(&annotations);
    }
    if (status == MM_OK && !m->stand_in) {
        status = add_further(&f, record, err);
        if (status != MM_OK)
            mm_record_free(record);
    }
    free_further(&f);
    return status;
}

/* --- an image whose masks are there --- */

/* Encode the frame that the masks are in. */
static mm_status encode_frame(mm_maker *m, const mm_image *image, const mm_record *record, mm_error *err)
{
    const double start = mm_seconds_now();
    const mm_setup *setup = m->setup;
    uint32_t width, height;
    mm_amg_frame_size(image->width, image->height, setup->config.amg.short_side, &width, &height);
    if (width != record->width || height != record->height)
        return mm_fail(err, MM_ERR_FORMAT, "its masks are in a frame of %" PRIu32 "x%" PRIu32 ", and the photograph now "
                       "gives one of %" PRIu32 "x%" PRIu32 "; it was changed since", record->width, record->height,
                       width, height);
    const mm_status status = mm_amg_encode_frame(setup->model, setup->embedding, setup->config.amg.short_side,
                                                 mm_image_whole(image), err);
    m->seconds[MM_STAGE_ENCODE] += mm_seconds_now() - start;
    return status;
}

/* The masks of the dataset that this one is made from, with confident ones found for them. */
static mm_status complete(mm_maker *m, uint64_t image_id, mm_record *record, mm_error *err)
{
    mm_image image = {0};
    further f = {.maker = m};
    mm_status status = mm_base_read(m->setup->base, m->hdf5, image_id, record, err);
    if (status != MM_OK || record->status == MM_IMAGE_SKIPPED)
        return status;
    if (record->status != MM_IMAGE_DONE)
        status = mm_fail(err, MM_ERR_FORMAT, "it was set aside in %s; the quarantine.tsv there says why",
                         m->setup->base_path);
    if (status == MM_OK)
        status = load_image(m, image_id, &image, err);
    if (status == MM_OK)
        status = encode_frame(m, &image, record, err);
    mm_image_free(&image);
    if (status == MM_OK)
        status = find_confident(&f, m->setup->embedding, err);
    if (status == MM_OK)
        status = add_further(&f, record, err);
    free_further(&f);
    if (status != MM_OK)
        mm_record_free(record);
    return status;
}

mm_status mm_make_image(mm_maker *maker, uint64_t image_id, mm_record *record, mm_status *why, mm_error *err)
{
    mm_error reason = {0};
    mm_status status = (maker->setup->base ? complete : annotate)(maker, image_id, record, &reason);
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
