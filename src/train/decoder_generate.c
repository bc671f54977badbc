/* Which of a dataset's masks the grid finds: the engine's own way from a photograph to masks. */
#include <inttypes.h>
#include <stdlib.h>

#include "train/decoder_training.h"
#include "train/gradient_sum.h"

/* More masks than any image has. */
enum { ALL_MASKS = 1 << 20 };

/* Masks are compared in the frame of the dataset's. */
static mm_status generate(mm_decoder_training *t, mm_embedding *embedding, const mm_amg_params *params,
                          const mm_sample *sample, mm_annotations *annotations, mm_error *err)
{
    const char *name = t->samples.text + sample->path;
    const mm_jpeg_options options = {.ignore_orientation =
                                         sample->source != MM_SAMPLE_FILE && t->samples.unturned[sample->source]};
    mm_amg_params own = *params;
    mm_image image = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_status status = mm_samples_read(&t->samples, sample, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    status = mm_image_decode_jpeg(bytes, size, &options, &image, err);
    free(bytes);
    if (status != MM_OK)
        return err ? mm_error_prefix(err, "%s", name) : status;
    const uint32_t shorter = sample->width < sample->height ? sample->width : sample->height;
    own.short_side = shorter < (image.width < image.height ? image.width : image.height) ? shorter : 0;
    status = mm_amg_generate(t->model, embedding, &own, mm_image_whole(&image), annotations, err);
    mm_image_free(&image);
    if (status == MM_OK && (annotations->width != sample->width || annotations->height != sample->height)) {
        status = mm_fail(err, MM_ERR_FORMAT,
                         "%s gives masks of %" PRIu32 " x %" PRIu32 " pixels, and its dataset's are %" PRIu32 " x %" PRIu32
                         ": another photograph of that name?",
                         name, annotations->width, annotations->height, sample->width, sample->height);
        mm_annotations_free(annotations);
    }
    return status;
}

/* Adds to reached[MM_EVALUATE_IOUS]. */
static void reach(double best, double *reached)
{
    for (int i = 0; i < MM_EVALUATE_IOUS; i++)
        reached[i] += best >= mm_evaluation_iou(i);
}

static mm_status count(const mm_annotations *made, const mm_picked_masks *sought, mm_generated_sums *sums, mm_error *err)
{
    double *found = calloc(sought->count + 1, sizeof *found); /* the best IoU of each that is sought */
    if (!found)
        return mm_fail_memory(err, "the overlaps of masks");
    for (size_t j = 0; j < made->count; j++) {
        double met = 0;
        for (size_t k = 0; k < sought->count; k++) {
            const double iou = mm_rle_iou(&made->items[j].rle, &sought->masks[k]);
            met = iou > met ? iou : met;
            found[k] = iou > found[k] ? iou : found[k];
        }
        reach(met, sums->met);
    }
    for (size_t k = 0; k < sought->count; k++) {
        mm_generated_part *part = &sums->parts[mm_evaluate_part(&sought->masks[k], sought->sources[k])];
        part->sought += 1;
        reach(found[k], part->found);
    }
    sums->images += 1;
    sums->made += (double)made->count;
    free(found);
    return MM_OK;
}

static mm_status add_image(mm_decoder_training *t, mm_embedding *embedding, const mm_amg_params *params, uint64_t number,
                           mm_generated_sums *sums, mm_error *err)
{
    static const double alike[MM_MASK_SOURCES] = {1, 1, 1};
    const mm_sample *sample = &t->samples.items[number];
    mm_annotations made;
    mm_picked_masks sought;
    mm_draw draw = {mm_mix(0, number), 0};
    mm_status status = mm_mask_source_pick(&t->masks, sample, ALL_MASKS, false, alike, &draw, &sought, err);
    if (status != MM_OK)
        return status;
    status = generate(t, embedding, params, sample, &made, err);
    if (status == MM_OK) {
        status = count(&made, &sought, sums, err);
        mm_annotations_free(&made);
    }
    mm_picked_masks_free(&sought);
    return status;
}

mm_status mm_decoder_training_generate(mm_decoder_training *t, const mm_amg_params *params, uint32_t wanted,
                                       mm_generated_sums *sums, mm_error *err)
{
    mm_embedding *embedding = NULL;
    const mm_prepared *p = &t->prepared;
    const size_t images = wanted < p->validation_count ? wanted : p->validation_count;
    mm_status status = mm_embedding_new(t->model, &embedding, err);
    for (size_t i = t->rank; status == MM_OK && i < images; i += t->ranks)
        status = add_image(t, embedding, params, p->validation[i * p->validation_count / images], sums, err);
    mm_embedding_free(embedding);
    status = mm_comm_agree(t->comm, status, err);
    float nothing = 0;
    if (status == MM_OK)
        status = mm_sum_over_ranks(t->comm, &nothing, 1, (double *)(void *)sums, sizeof *sums / sizeof(double), err);
    return status;
}
