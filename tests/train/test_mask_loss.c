/* Losses of masks: against their definition in double, gradients against differences, on every instruction set. */
#include <math.h>

#include "check_main.h"
#include "tensor/vector.h"
#include "train/mask_loss.h"

enum { CELLS = 5, N = 16 * CELLS, MASKS = 4 };

static const mm_isa isas[] = {MM_ISA_PORTABLE, MM_ISA_AVX2, MM_ISA_AVX512};
static const mm_loss_weights weights = {.focal = 20, .dice = 1, .iou = 2, .multimask = 0.25};

static float noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(int32_t)*seed / 2147483648.0f;
}

/* Some targets are shares, some whole, some do not count. */
static void fill(float *logits, float *target, float *iou)
{
    uint32_t seed = 9;
    for (size_t i = 0; i < MASKS * N; i++)
        logits[i] = (i % 7 ? 3.0f : 60.0f) * noise(&seed);
    for (size_t i = 0; i < N; i++)
        target[i] = i % 11 == 3 ? -1 : i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : 0.5f + 0.5f * noise(&seed);
    for (size_t k = 0; k < MASKS; k++)
        iou[k] = 0.5f + 0.3f * noise(&seed);
}

typedef struct plain {
    double loss, iou;
} plain;

/* By the paper's formulas, in double. */
static plain plainly(const double *logits, const float *target)
{
    double focal = 0, p_sum = 0, t_sum = 0, both = 0, hard = 0, meant = 0, hard_both = 0, count = 0;
    for (size_t i = 0; i < N; i++) {
        if (target[i] < 0)
            continue;
        const double p = 1 / (1 + exp(-logits[i])), q = 1 / (1 + exp(logits[i])), t = target[i];
        const double on = log1p(exp(-fabs(logits[i]))) + (logits[i] > 0 ? 0 : -logits[i]);
        const double off = on + logits[i];
        focal += t * q * q * on + (1 - t) * p * p * off;
        p_sum += p;
        t_sum += t;
        both += p * t;
        hard += logits[i] > 0;
        meant += t > 0.5;
        hard_both += logits[i] > 0 && t > 0.5;
        count++;
    }
    return (plain){20 * focal / count + 1 - (2 * both + 1) / (p_sum + t_sum + 1),
                   hard_both / (hard + meant - hard_both)};
}

/* share * loss. also: another target that predicted IoUs may be true of, or NULL. */
static double total(const double *logits, const double *iou, const float *target, const float *also, bool ambiguous,
                    double share)
{
    plain all[MASKS];
    size_t least = 1;
    double squares = 0;
    for (size_t k = 0; k < MASKS; k++) {
        all[k] = plainly(logits + k * N, target);
        if (k && all[k].loss < all[least].loss)
            least = k;
        if (k || !ambiguous)
            squares += pow(iou[k] - fmax(all[k].iou, also && ambiguous ? plainly(logits + k * N, also).iou : 0), 2) /
                       (ambiguous ? MASKS - 1 : MASKS);
    }
    const double masks = ambiguous ? all[least].loss : all[0].loss + weights.multimask * all[least].loss;
    return share * (masks + weights.iou * squares);
}

static void check(mm_isa isa, bool ambiguous, const float *also)
{
    if (!mm_vector_supports(isa))
        return;
    const mm_gradient_ops *ops = mm_gradient_get(&(mm_kernels){.isa = isa});
    float logits[MASKS * N], target[N], iou[MASKS], dlogits[MASKS * N];
    double wide[MASKS * N], wide_iou[MASKS], gradient[MASKS * N] = {0};
    fill(logits, target, iou);
    for (size_t i = 0; i < MASKS * N; i++)
        wide[i] = logits[i];
    for (size_t k = 0; k < MASKS; k++)
        wide_iou[k] = iou[k];
    const mm_meant meant = {.target = target, .ambiguous = ambiguous, .also = &also, .also_count = also != NULL,
                            .share = 0.3};
    mm_verdict verdict = {.dlogits = dlogits};
    const mm_mask_loss loss = mm_mask_loss_judge(ops, &weights, MASKS, CELLS, logits, iou, &meant, &verdict);
    ck_assert(loss.finite);
    ck_assert_double_eq_tol(0.3 * (loss.mask + weights.iou * loss.iou), total(wide, wide_iou, target, also, ambiguous, 0.3),
                            1e-5);
    ck_assert_uint_eq(verdict.count, ambiguous ? 1 : 2);
    for (size_t m = 0; m < verdict.count; m++)
        for (size_t i = 0; i < N; i++)
            gradient[verdict.masks[m] * N + i] += dlogits[m * N + i];
    for (size_t i = 0; i < MASKS * N; i++) {
        const double at = wide[i], step = 1e-5;
        wide[i] = at + step;
        double slope = total(wide, wide_iou, target, also, ambiguous, 0.3);
        wide[i] = at - step;
        slope = (slope - total(wide, wide_iou, target, also, ambiguous, 0.3)) / (2 * step);
        wide[i] = at;
        ck_assert_msg(fabs(slope - gradient[i]) <= 1e-3 * fabs(slope) + 1e-7, "logit %zu (%g): %g, not %g", i, at,
                      gradient[i], slope);
    }
    for (size_t k = 0; k < MASKS; k++) {
        const double at = wide_iou[k], step = 1e-4;
        wide_iou[k] = at + step;
        double slope = total(wide, wide_iou, target, also, ambiguous, 0.3);
        wide_iou[k] = at - step;
        slope = (slope - total(wide, wide_iou, target, also, ambiguous, 0.3)) / (2 * step);
        wide_iou[k] = at;
        ck_assert_double_eq_tol(verdict.diou[k], slope, 1e-5);
    }
}

START_TEST(test_a_click)
{
    check(isas[_i], true, NULL);
}
END_TEST

START_TEST(test_more_than_a_click)
{
    check(isas[_i], false, NULL);
}
END_TEST

/* Another mask under the click: predicted IoUs may be true of it, masks do not learn it, and more than a click rules it
 * out. */
START_TEST(test_nested)
{
    float also[N];
    for (size_t i = 0; i < N; i++)
        also[i] = i % 11 == 3 ? -1 : i < N / 2;
    for (int ambiguous = 0; ambiguous < 2; ambiguous++)
        check(isas[_i], ambiguous, also);
    /* One that an output meets exactly. */
    float logits[MASKS * N], target[N], iou[MASKS], dlogits[MASKS * N];
    fill(logits, target, iou);
    for (size_t i = 0; i < N; i++)
        logits[2 * N + i] = also[i] > 0 ? 1 : -1;
    iou[2] = 0.9f;
    const float *list[] = {target, also};
    mm_verdict verdict = {.dlogits = dlogits};
    const mm_mask_loss loss =
        mm_mask_loss_judge(&mm_gradient_portable, &weights, MASKS, CELLS, logits, iou,
                           &(mm_meant){.target = target, .ambiguous = true, .also = list, .also_count = 2, .share = 1},
                           &verdict);
    ck_assert_uint_eq(loss.chosen, 2);
    ck_assert_double_eq_tol(loss.truth, 1, 1e-9);
    ck_assert_double_lt(loss.chosen_iou, 0.7);
}
END_TEST

/* The paper's way: nothing but output 0 learns of more than a click. */
START_TEST(test_the_papers_way)
{
    float logits[MASKS * N], target[N], iou[MASKS], dlogits[MASKS * N];
    fill(logits, target, iou);
    mm_verdict verdict = {.dlogits = dlogits};
    const mm_meant meant = {.target = target, .share = 1};
    (void)mm_mask_loss_judge(&mm_gradient_portable, &(mm_loss_weights){20, 1, 1, 0}, MASKS, CELLS, logits, iou, &meant,
                             &verdict);
    ck_assert_uint_eq(verdict.count, 1);
    ck_assert_uint_eq(verdict.masks[0], 0);
    ck_assert_float_ne(verdict.diou[0], 0);
    for (size_t k = 1; k < MASKS; k++)
        ck_assert_float_eq(verdict.diou[k], 0);
}
END_TEST

START_TEST(test_nan_is_told)
{
    float logits[MASKS * N], target[N], iou[MASKS], dlogits[MASKS * N];
    const mm_meant meant = {.target = target, .ambiguous = true, .share = 1};
    for (int what = 0; what < 2; what++) {
        fill(logits, target, iou);
        if (what)
            iou[2] = NAN;
        else
            for (size_t k = 0; k < MASKS; k++)
                logits[k * N] = NAN;
        mm_verdict verdict = {.dlogits = dlogits};
        ck_assert(!mm_mask_loss_judge(&mm_gradient_portable, &weights, MASKS, CELLS, logits, iou, &meant,
                                      &verdict).finite);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train/mask_loss");
    TCase *tcase = tcase_create("mask_loss");
    const int count = (int)(sizeof isas / sizeof isas[0]);
    tcase_add_loop_test(tcase, test_a_click, 0, count);
    tcase_add_loop_test(tcase, test_more_than_a_click, 0, count);
    tcase_add_loop_test(tcase, test_nested, 0, count);
    tcase_add_test(tcase, test_the_papers_way);
    tcase_add_test(tcase, test_nan_is_told);
    suite_add_tcase(suite, tcase);
    return mm_check_main(suite);
}
