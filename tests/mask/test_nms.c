#include "check_main.h"

#include <math.h>

#include "maskmill/mask.h"

static size_t run_nms(const float (*boxes)[4], const float *scores, size_t count, double threshold, size_t *keep)
{
    size_t kept = 99;
    ck_assert_int_eq(mm_mask_nms(boxes, scores, count, threshold, keep, &kept, NULL), MM_OK);
    return kept;
}

static bool suppresses(const float first[4], const float second[4], double threshold)
{
    float boxes[2][4];
    memcpy(boxes[0], first, sizeof boxes[0]);
    memcpy(boxes[1], second, sizeof boxes[1]);
    size_t keep[2];
    return run_nms((const float(*)[4])boxes, (float[]){2, 1}, 2, threshold, keep) == 1;
}

START_TEST(ties_keep_their_order_and_nan_scores_come_first)
{
    const float boxes[5][4] = {{0, 0, 9, 9}, {20, 0, 29, 9}, {40, 0, 49, 9}, {60, 0, 69, 9}, {80, 0, 89, 9}};
    const float scores[5] = {0.5f, 0.9f, 0.5f, NAN, 0.9f};
    size_t keep[5];
    ck_assert_uint_eq(run_nms(boxes, scores, 5, 0.7, keep), 5);
    const size_t expected[5] = {3, 1, 4, 0, 2};
    ck_assert_mem_eq(keep, expected, sizeof keep);
    ck_assert_uint_eq(run_nms(boxes, scores, 0, 0.7, keep), 0);
}
END_TEST

/* IoU 7/10, 4/5 and 9/10 against those very thresholds. 0.7f and 0.9f lie below the decimal number, 0.8f above. */
START_TEST(the_float_iou_is_compared_with_a_double)
{
    const float whole[4] = {0, 0, 10, 10};
    ck_assert(!suppresses(whole, (float[]){0, 0, 10, 7}, 0.7));
    ck_assert(suppresses(whole, (float[]){0, 0, 10, 8}, 0.8));
    ck_assert(!suppresses(whole, (float[]){0, 0, 10, 8}, 0.8f));
    ck_assert(!suppresses(whole, (float[]){0, 0, 10, 9}, 0.9));
    ck_assert(!suppresses(whole, (float[]){10, 0, 20, 10}, 0));
    ck_assert(suppresses(whole, whole, 0.999));
    ck_assert(!suppresses(whole, whole, 1));
}
END_TEST

START_TEST(boxes_without_area_have_nan_iou_and_stay)
{
    const float point[4] = {3, 3, 3, 3};
    ck_assert(!suppresses(point, point, 0));
    ck_assert(!suppresses(point, (float[]){0, 0, 9, 9}, 0));
}
END_TEST

enum { MANY = 700 };

static float overlap(const float a[4], const float b[4])
{
    const float w = fminf(a[2], b[2]) - fmaxf(a[0], b[0]), h = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    const float inter = (w > 0 ? w : 0) * (h > 0 ? h : 0);
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter);
}

/* The kernel as torchvision has it: every box that is still there suppresses those behind it. */
static size_t plain_nms(const float (*boxes)[4], const float *scores, size_t count, double threshold, size_t *keep)
{
    size_t order[MANY], kept = 0;
    bool gone[MANY] = {false};
    for (size_t i = 0; i < count; i++) { /* insertion keeps ties in order */
        size_t at = i;
        for (; at > 0 && scores[order[at - 1]] < scores[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (size_t i = 0; i < count; i++) {
        if (gone[i])
            continue;
        const float *a = boxes[order[i]];
        keep[kept++] = order[i];
        for (size_t j = i + 1; j < count; j++) {
            const float iou = overlap(a, boxes[order[j]]);
            if ((double)iou > threshold)
                gone[j] = true;
        }
    }
    return kept;
}

static unsigned draw(uint32_t *state, unsigned n)
{
    return ((*state = *state * 1664525u + 1013904223u) >> 8) % n;
}

static float unit(uint32_t *state)
{
    return (float)draw(state, 1 << 24) / (float)(1 << 24);
}

static void place(float box[4], float x, float y, float w, float h)
{
    box[0] = x;
    box[1] = y;
    box[2] = x + w;
    box[3] = y + h;
}

/* Small whole numbers: many equal boxes, exact fractions as IoU, some without area. */
static void crowded(uint32_t *state, float box[4])
{
    place(box, (float)draw(state, 24), (float)draw(state, 24), (float)draw(state, 20), (float)draw(state, 20));
}

/* Like the masks of a photograph: a few things of all sizes, each found many times. */
static void clustered(uint32_t *state, float box[4])
{
    uint32_t thing = draw(state, 20) * 7919 + 13;
    const float w = 4 * exp2f(8 * unit(&thing)), h = w * (0.5f + unit(&thing));
    const float x = 1500 * unit(&thing), y = 1000 * unit(&thing);
    place(box, x + 0.2f * w * unit(state), y + 0.2f * h * unit(state), w * (0.8f + 0.3f * unit(state)), h);
}

static void scattered(uint32_t *state, float box[4])
{
    place(box, 1800 * unit(state), 1200 * unit(state), 300 * unit(state), 300 * unit(state));
}

static void nested(uint32_t *state, float box[4])
{
    const float margin = (float)draw(state, 500);
    place(box, margin, margin, 1000 - 2 * margin, 1000 - 2 * margin);
}

/* Parts of one box, at all its sides: corners are as far from each other as an IoU allows. */
static void sliced(uint32_t *state, float box[4])
{
    const float part = 1000 * (draw(state, 3) ? unit(state) : 1);
    const float start = draw(state, 2) ? 1000 - part : 0;
    if (draw(state, 2))
        place(box, start, 0, part, 100);
    else
        place(box, 5000, start, 100, part);
}

/* So small that areas underflow, or so large that they overflow. */
static void extreme(uint32_t *state, float box[4])
{
    const float scale = exp2f((float)draw(state, 250) - 125.0f);
    scattered(state, box);
    for (int side = 0; side < 4; side++)
        box[side] *= draw(state, 2) ? scale : exp2f(60);
}

static void scaled(uint32_t *state, float box[4], float scale)
{
    clustered(state, box);
    for (int side = 0; side < 4; side++)
        box[side] *= scale;
}

/* Areas of a few times the least float: any IoU may come out. */
static void denormal(uint32_t *state, float box[4])
{
    scaled(state, box, 0x1p-81f);
}

/* Areas about 1e30 and 1e-30. */
static void large_or_small(uint32_t *state, float box[4])
{
    scaled(state, box, draw(state, 2) ? 0x1p42f : 0x1p-58f);
}

static void broken(uint32_t *state, float box[4])
{
    static const float values[] = {NAN, INFINITY, -INFINITY, 0, 3e38f, -3e38f, 50, -50};
    if (draw(state, 2))
        crowded(state, box);
    else
        place(box, (float)draw(state, 50), (float)draw(state, 50), 20 - (float)draw(state, 40),
              20 - (float)draw(state, 40));
    if (draw(state, 3) == 0)
        box[draw(state, 4)] = values[draw(state, 8)];
}

START_TEST(random_boxes_match_a_plain_loop)
{
    static void (*const distributions[])(uint32_t *, float[4]) = {
        crowded, clustered, scattered, nested, sliced, extreme, denormal, large_or_small, broken};
    static const double thresholds[] = {0.7, 0.5, 0.3, 0.9, 0.1, 0.05, 0.02, 0, -1, 0.999999, 1, 1.5, INFINITY, NAN};
    enum { DISTRIBUTIONS = sizeof distributions / sizeof distributions[0] };
    static float boxes[MANY][4], scores[MANY];
    static size_t keep[MANY], expected[MANY];
    uint32_t state = 1;
    for (size_t t = 0; t < sizeof thresholds / sizeof thresholds[0]; t++)
        for (size_t d = 0; d <= DISTRIBUTIONS; d++)
            for (size_t round = 0; round < 12; round++) {
                const size_t count = round == 0 ? MANY : 1 + draw(&state, 300);
                for (size_t i = 0; i < count; i++) {
                    distributions[d < DISTRIBUTIONS ? d : draw(&state, DISTRIBUTIONS)](&state, boxes[i]);
                    scores[i] = (float)draw(&state, 100) / 100;
                }
                const float(*drawn)[4] = (const float(*)[4])boxes;
                const size_t kept = run_nms(drawn, scores, count, thresholds[t], keep);
                ck_assert_msg(kept == plain_nms(drawn, scores, count, thresholds[t], expected),
                              "threshold %g, distribution %zu: %zu kept", thresholds[t], d, kept);
                ck_assert_mem_eq(keep, expected, kept * sizeof *keep);
            }
}
END_TEST

/* What is left of a box's score after these better ones. */
static double left_of(const float (*boxes)[4], const float *scores, size_t box, const size_t *better, size_t count,
                      const mm_soft_nms *how)
{
    double score = (double)scores[box];
    for (size_t i = 0; i < count; i++) {
        const double iou = (double)overlap(boxes[better[i]], boxes[box]);
        score *= iou > how->from ? exp(-(iou - how->from) * (iou - how->from) / how->sigma) : 1;
    }
    return score;
}

START_TEST(soft_nms_takes_the_best_of_what_is_left)
{
    static void (*const distributions[])(uint32_t *, float[4]) = {clustered, scattered, nested, crowded};
    static const mm_soft_nms ways[] = {{0.4, 0.2, 0.05f, 100}, {0, 0.5, 0.2f, 1000}, {0.7, 0.01, 0.001f, 10}, {0.5, 0.1, 0.6f, 5}};
    static float boxes[MANY][4], scores[MANY], after[MANY];
    static size_t keep[MANY];
    uint32_t state = 7;
    for (size_t round = 0; round < 64; round++) {
        const mm_soft_nms *how = &ways[round / 4 % 4];
        const size_t count = 1 + draw(&state, 200);
        bool taken[MANY] = {false};
        for (size_t i = 0; i < count; i++) {
            distributions[round % 4](&state, boxes[i]);
            after[i] = scores[i] = unit(&state);
        }
        size_t kept;
        const float(*drawn)[4] = (const float(*)[4])boxes;
        ck_assert_int_eq(mm_mask_soft_nms(drawn, after, count, how, keep, &kept, NULL), MM_OK);
        ck_assert_uint_le(kept, how->most);
        double last = 1;
        for (size_t i = 0; i < kept; i++) {
            const double score = left_of(drawn, scores, keep[i], keep, i, how);
            ck_assert(!taken[keep[i]]);
            taken[keep[i]] = true;
            ck_assert_double_eq_tol((double)after[keep[i]], score, 1e-5);
            ck_assert(score <= last + 1e-5 && score >= (double)how->least - 1e-5);
            last = score;
        }
        for (size_t i = 0; i < count; i++)
            ck_assert(taken[i] || left_of(drawn, scores, i, keep, kept, how) <=
                                      (kept == how->most ? last : (double)how->least) + 1e-5);
    }
}
END_TEST

START_TEST(soft_nms_without_sigma_is_nms)
{
    static float boxes[MANY][4], scores[MANY];
    static size_t keep[MANY], expected[MANY];
    uint32_t state = 3;
    for (size_t round = 0; round < 40; round++) {
        const size_t count = draw(&state, 300);
        for (size_t i = 0; i < count; i++) {
            (round % 2 ? crowded : clustered)(&state, boxes[i]);
            scores[i] = (float)(1 + draw(&state, 100)) / 100;
        }
        const float(*drawn)[4] = (const float(*)[4])boxes;
        const size_t wanted = run_nms(drawn, scores, count, 0.6, expected);
        size_t kept;
        ck_assert_int_eq(mm_mask_soft_nms(drawn, scores, count, &(mm_soft_nms){0.6, 0, 0.001f, MANY}, keep, &kept, NULL), MM_OK);
        ck_assert_uint_eq(kept, wanted);
        ck_assert_mem_eq(keep, expected, kept * sizeof *keep);
    }
    scores[0] = NAN;
    size_t kept;
    ck_assert_int_eq(mm_mask_soft_nms((const float(*)[4])boxes, scores, 1, &(mm_soft_nms){0.6, 0, 0, 9}, keep, &kept, NULL), MM_OK);
    ck_assert_uint_eq(kept, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mask/nms");
    TCase *tests = tcase_create("nms");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, ties_keep_their_order_and_nan_scores_come_first);
    tcase_add_test(tests, the_float_iou_is_compared_with_a_double);
    tcase_add_test(tests, boxes_without_area_have_nan_iou_and_stay);
    tcase_add_test(tests, random_boxes_match_a_plain_loop);
    tcase_add_test(tests, soft_nms_takes_the_best_of_what_is_left);
    tcase_add_test(tests, soft_nms_without_sigma_is_nms);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
