#include "train/mask_loss.h"

#include <math.h>

/* One output against what is meant; `truth` is its IoU with that, or with another mask under the click. */
typedef struct scored {
    mm_mask_sums sums;
    double loss, iou, truth;
} scored;

static double cells_that_count(const float *target, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += target[i] >= 0;
    return count ? (double)count : 1;
}

static double iou_of(const mm_mask_sums *sums)
{
    const double joint = sums->hard + sums->hard_target - sums->hard_both;
    return sums->hard_both / (joint > 1 ? joint : 1);
}

/* The focal loss is a mean over cells; dice is 1 - (2 sum p t + 1) / (sum p + sum t + 1). */
static scored score(const mm_gradient_ops *ops, const mm_loss_weights *weights, const float *logits,
                    const mm_meant *meant, size_t n, double counting)
{
    scored s = {0};
    ops->mask_sums(logits, meant->target, n, &s.sums);
    const double dice = 1 - (2 * s.sums.both + 1) / (s.sums.p + s.sums.target + 1);
    s.loss = weights->focal * s.sums.focal / counting + weights->dice * dice;
    s.iou = s.truth = iou_of(&s.sums);
    for (size_t i = 0; meant->ambiguous && i < meant->also_count; i++) {
        mm_mask_sums other = {0};
        ops->mask_sums(logits, meant->also[i], n, &other);
        s.truth = fmax(s.truth, iou_of(&other));
    }
    return s;
}

/* The gradient of share * loss by an output's logits, as the verdict's next one. */
static void learn(const mm_gradient_ops *ops, const mm_loss_weights *weights, const scored *s, const float *logits,
                  const float *target, size_t n, double counting, double share, uint32_t mask, mm_verdict *verdict)
{
    /* dice = 1 - (2 b + 1) / u with u = p + t + 1: its derivatives by the sums p and b. */
    const double joint = s->sums.p + s->sums.target + 1;
    const double by_p = (2 * s->sums.both + 1) / (joint * joint), by_both = -2 / joint;
    ops->mask_sums_back(logits, target, n, (float)(share * weights->focal / counting),
                        (float)(share * weights->dice * by_p),
                        (float)(share * weights->dice * by_both), verdict->dlogits + verdict->count * n);
    verdict->masks[verdict->count++] = mask;
}

mm_mask_loss mm_mask_loss_judge(const mm_gradient_ops *ops, const mm_loss_weights *weights, size_t masks, size_t cells,
                                const float *logits, const float *iou, const mm_meant *meant, mm_verdict *verdict)
{
    const size_t n = 16 * cells;
    const double counting = cells_that_count(meant->target, n);
    const bool multimask = meant->ambiguous || weights->multimask > 0, single = !meant->ambiguous;
    scored all[MM_MAX_MASK_TOKENS];
    mm_mask_loss loss = {.chosen = 1};
    size_t least = 1, first = single ? 0 : 1, last = multimask ? masks : 1;
    for (size_t k = 0; k < masks; k++)
        all[k] = score(ops, weights, logits + k * n, meant, n, counting);
    for (size_t k = 1; k < masks; k++) {
        least = all[k].loss < all[least].loss ? k : least;
        loss.chosen = iou[k] > iou[loss.chosen] ? (uint32_t)k : loss.chosen;
        loss.best_iou = all[k].iou > loss.best_iou ? all[k].iou : loss.best_iou;
        loss.iou_error += fabs((double)iou[k] - all[k].truth) / (double)(masks - 1);
    }
    if (!multimask)
        loss.chosen = 0;
    loss.chosen_iou = all[loss.chosen].iou;
    loss.truth = all[loss.chosen].truth;
    loss.predicted = iou[loss.chosen];
    if (single) {
        loss.mask += all[0].loss;
        learn(ops, weights, &all[0], logits, meant->target, n, counting, meant->share, 0, verdict);
    }
    if (multimask) {
        const double part = meant->ambiguous ? 1 : weights->multimask;
        loss.mask += part * all[least].loss;
        learn(ops, weights, &all[least], logits + least * n, meant->target, n, counting, part * meant->share,
              (uint32_t)least, verdict);
    }
    for (size_t k = first; k < last; k++) {
        const double error = iou[k] - all[k].truth, each = 1.0 / (double)(last - first);
        loss.iou += each * error * error;
        verdict->diou[k] = (float)(meant->share * weights->iou * each * 2 * error);
    }
    loss.finite = isfinite(loss.mask) && isfinite(loss.iou);
    return loss;
}
