/* Choosing pred_iou_thresh by how many prompts shall keep a mask: listen to every prompt's best predicted IoU, then put
 * the threshold where that many lie above it. Speed is compared at such a share, because scores differ between models. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "amg/steps.h"

/* A predictor in front of another one, which hears the scores and lets no mask be made. */
typedef struct listener {
    const mm_predictor *inner;
    float *best; /* of all crops so far */
    size_t count;
    size_t first; /* of the crop at hand */
} listener;

static mm_status set_image(void *user, mm_image_view image, mm_frame *frame, mm_error *err)
{
    const listener *l = user;
    return l->inner->set_image(l->inner->user, image, frame, err);
}

static uint32_t hear(void *user, size_t prompt, const float *predicted_iou)
{
    listener *l = user;
    float best = -INFINITY;
    for (uint32_t mask = 1; mask < l->inner->mask_tokens; mask++)
        if (predicted_iou[mask] > best)
            best = predicted_iou[mask];
    l->best[l->first + prompt] = best;
    return 0;
}

static mm_status take_none(void *user, size_t prompt, uint32_t mask, const float *logits, mm_error *err)
{
    (void)user;
    (void)logits;
    return mm_fail(err, MM_ERR_INTERNAL, "mask %u of prompt %zu was made though nobody asked for it", mask, prompt);
}

static mm_status decode(void *user, const mm_prompt *prompts, size_t count, const mm_mask_sink *sink, mm_error *err)
{
    (void)sink;
    listener *l = user;
    float *grown = reallocarray(l->best, l->count + count, sizeof *grown);
    if (!grown)
        return mm_fail_memory(err, "the scores of the prompts");
    l->best = grown;
    l->first = l->count;
    l->count += count;
    const mm_mask_sink own = {.user = l, .select = hear, .take = take_none};
    return l->inner->decode(l->inner->user, prompts, count, &own, err);
}

mm_status mm_amg_listen(const mm_predictor *predictor, const mm_amg_params *params, mm_image_view image, float **best,
                        size_t *count, mm_error *err)
{
    listener l = {.inner = predictor};
    const mm_predictor listening = {.user = &l, .mask_tokens = predictor->mask_tokens, .set_image = set_image, .decode = decode};
    mm_annotations none;
    *best = NULL;
    *count = 0;
    const mm_status status = mm_amg_run(&listening, params, image, &none, err);
    if (status) {
        free(l.best);
        return status;
    }
    mm_annotations_free(&none);
    *best = l.best;
    *count = l.count;
    return MM_OK;
}

static int descending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

float mm_amg_keep_threshold(float *best, size_t count, double share)
{
    const size_t kept = (size_t)(share * (double)count + 0.5);
    if (kept >= count) /* of none, too */
        return 0;
    qsort(best, count, sizeof *best, descending);
    const float dropped = best[kept];
    /* Half way to the last one that is kept, so that rounding differently elsewhere keeps the same prompts; at the one
     * below it where there is no number between. */
    float threshold = dropped;
    if (kept > 0 && isfinite(dropped)) {
        const float middle = dropped + (best[kept - 1] - dropped) / 2;
        if (middle < best[kept - 1])
            threshold = middle;
    }
    return threshold > 0 ? threshold : FLT_MIN; /* 0 would switch the filter off */
}
