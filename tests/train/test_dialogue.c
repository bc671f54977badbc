/* Dialogues: equal seeds give equal bits, prompts together give what prompts alone give, rounds are as the options say, and a
 * decoder learns from them. */
#include <math.h>

#include "learner.h"
#include "train/adamw.h"
#include "train/dialogue.h"

enum { MASKS = 5, WIDTH = 200, HEIGHT = 120 };

typedef struct class_room {
    learner learner;
    mm_rle masks[MASKS];
    mm_dialogue_image image;
    mm_dialogue_memory memory;
} class_room;

/* Discs of several sizes; the last mask is a single pixel, far too small for the grid. */
static void open_room(class_room *c)
{
    *c = (class_room){0};
    learner_open("tiny.prompts.json", MM_BACKEND_AUTO, &c->learner);
    uint8_t bits[WIDTH * HEIGHT];
    for (int i = 0; i < MASKS; i++) {
        for (int k = 0; k < WIDTH * HEIGHT; k++) {
            const double x = k % WIDTH - 30 - 35 * i, y = k / (double)WIDTH - 60;
            bits[k] = i == MASKS - 1 ? k == 7 : x * x + y * y < 100 * (i + 1);
        }
        ck_assert(mm_rle_from_bits(bits, HEIGHT, WIDTH, &c->masks[i], NULL) == MM_OK);
    }
    c->image = (mm_dialogue_image){.embedding = c->learner.embedding, .masks = c->masks, .count = MASKS};
    c->image.frame = mm_model_frame(c->learner.golden.model, WIDTH, HEIGHT);
}

static void close_room(class_room *c)
{
    for (int i = 0; i < MASKS; i++)
        mm_rle_free(&c->masks[i]);
    mm_dialogue_memory_free(&c->memory);
    learner_close(&c->learner);
}

static mm_dialogue_options options_of(uint32_t rounds)
{
    return (mm_dialogue_options){.rounds = rounds, .box_share = 0.4, .pauses = true, .weights = {20, 1, 1, 0.5}};
}

static mm_dialogue_sums talk(class_room *c, const mm_dialogue_options *options, uint64_t seed, bool back)
{
    mm_dialogue_sums sums = {0};
    learner *l = &c->learner;
    memset(l->gradients, 0, l->parameters.floats * sizeof *l->gradients);
    ck_assert_msg(mm_dialogue_run(&l->maths, &l->decoder, options, &c->image, seed, back, &c->memory, &sums, &l->err) ==
                      MM_OK, "%s", l->err.text);
    return sums;
}

START_TEST(test_equal_seeds)
{
    static class_room c;
    open_room(&c);
    const size_t floats = c.learner.parameters.floats;
    float *first = mm_floats(floats);
    ck_assert_ptr_nonnull(first);
    const mm_dialogue_options options = options_of(5);
    const mm_dialogue_sums one = talk(&c, &options, 3, true);
    memcpy(first, c.learner.gradients, floats * sizeof *first);
    const mm_dialogue_sums two = talk(&c, &options, 3, true);
    ck_assert_mem_eq(&one, &two, sizeof one);
    ck_assert_mem_eq(first, c.learner.gradients, floats * sizeof *first);
    const mm_dialogue_sums other = talk(&c, &options, 4, true);
    ck_assert_double_ne(one.loss, other.loss);
    /* Without the way back the figures are the same, and nothing is learnt. */
    const mm_dialogue_sums looked = talk(&c, &options, 3, false);
    ck_assert_mem_eq(&one, &looked, sizeof one);
    for (size_t i = 0; i < floats; i++)
        ck_assert_float_eq(c.learner.gradients[i], 0);
    free(first);
    close_room(&c);
}
END_TEST

/* Little memory: one prompt at a time. Sums are made in another order then, and logits may differ in the last bit, so that a
 * click can fall elsewhere: one round only. */
START_TEST(test_together_and_alone)
{
    static class_room c;
    open_room(&c);
    const size_t floats = c.learner.parameters.floats;
    float *together = mm_floats(floats);
    ck_assert_ptr_nonnull(together);
    mm_dialogue_options options = options_of(1);
    const mm_dialogue_sums one = talk(&c, &options, 3, true);
    memcpy(together, c.learner.gradients, floats * sizeof *together);
    options.memory = 1;
    const mm_dialogue_sums two = talk(&c, &options, 3, true);
    ck_assert_double_eq_tol(one.loss, two.loss, 1e-4 * one.loss);
    double error = 0, size = 0;
    for (size_t i = 0; i < floats; i++) {
        error += pow((double)together[i] - c.learner.gradients[i], 2);
        size += pow((double)together[i], 2);
    }
    ck_assert_double_gt(size, 0);
    ck_assert_double_lt(sqrt(error / size), 1e-4);
    free(together);
    close_room(&c);
}
END_TEST

START_TEST(test_rounds)
{
    static class_room c;
    open_room(&c);
    for (uint32_t rounds = 1; rounds <= 11; rounds += 5) {
        const mm_dialogue_options options = options_of(rounds);
        const mm_dialogue_sums sums = talk(&c, &options, 1, true);
        ck_assert_double_eq(sums.prompts, MASKS);
        ck_assert_double_eq(sums.broken, 0);
        for (uint32_t i = 0; i < MM_MOST_ROUNDS; i++) {
            ck_assert_double_eq(sums.rounds[i].prompts, i < rounds ? MASKS : 0);
            ck_assert_double_le(sums.rounds[i].chosen_iou, sums.rounds[i].prompts);
        }
    }
    close_room(&c);
}
END_TEST

/* In f32, and with large products in bf16 where there are instructions. */
START_TEST(test_learning)
{
    static class_room c;
    open_room(&c);
    learner *l = &c.learner;
    const mm_kernels kernels = {.precision = _i ? MM_PRECISION_BF16 : MM_PRECISION_F32};
    l->maths.rounded = mm_bf16_gemm_get(&kernels);
    const mm_dialogue_options options = options_of(3);
    mm_adamw optimiser;
    float *decay = mm_floats(l->parameters.floats);
    ck_assert_ptr_nonnull(decay);
    memset(decay, 0, l->parameters.floats * sizeof *decay);
    ck_assert(mm_adamw_new(l->values, l->parameters.floats, &optimiser, &l->err) == MM_OK);
    const double before = talk(&c, &options, 1000, false).loss;
    for (uint64_t step = 0; step < 60; step++) {
        (void)talk(&c, &options, step, true);
        (void)mm_clip_norm(l->gradients, l->parameters.floats, 1);
        mm_adamw_step(&optimiser, l->gradients, decay, 2e-3);
    }
    const double after = talk(&c, &options, 1000, false).loss;
    ck_assert_msg(after < 0.3 * before, "the loss was %g and is %g", before, after);
    mm_adamw_free(&optimiser);
    free(decay);
    close_room(&c);
}
END_TEST

/* A disc within the picture's left half, and that half beside it as one that may be meant as well: what a click's predicted IoU should
 * have said grows by it, and nothing else changes. Boxes leave no doubt. */
START_TEST(test_nested)
{
    static class_room c;
    open_room(&c);
    mm_rle masks[2];
    uint8_t bits[WIDTH * HEIGHT];
    for (int k = 0; k < WIDTH * HEIGHT; k++)
        bits[k] = k % WIDTH < WIDTH / 2;
    masks[0] = c.masks[0];
    ck_assert(mm_rle_from_bits(bits, HEIGHT, WIDTH, &masks[1], NULL) == MM_OK);
    c.image.masks = masks;
    c.image.count = 1;
    c.image.others = 1;
    for (int boxes = 0; boxes < 2; boxes++) {
        mm_dialogue_options options = options_of(1);
        options.box_share = boxes;
        const mm_dialogue_sums plain = talk(&c, &options, 3, true);
        options.nested = true;
        const mm_dialogue_sums nested = talk(&c, &options, 3, true);
        double plain_truth = 0, nested_truth = 0;
        for (int i = 0; i < MM_CALIBRATION_BINS; i++) {
            plain_truth += plain.calibration[i].truth;
            nested_truth += nested.calibration[i].truth;
        }
        ck_assert_double_eq(plain.rounds[0].mask_loss, nested.rounds[0].mask_loss);
        ck_assert_double_eq(plain.rounds[0].chosen_iou, nested.rounds[0].chosen_iou);
        if (boxes)
            ck_assert_mem_eq(&plain, &nested, sizeof plain);
        else
            ck_assert_double_gt(nested_truth, plain_truth);
    }
    mm_rle_free(&masks[1]);
    close_room(&c);
}
END_TEST

/* In bf16 the gradient is nearly that of f32, and equal seeds give equal bits. */
START_TEST(test_bf16)
{
    static class_room c;
    open_room(&c);
    learner *l = &c.learner;
    const size_t floats = l->parameters.floats;
    const mm_dialogue_options options = options_of(1);
    const mm_kernels kernels = {.precision = MM_PRECISION_BF16};
    float *plain = mm_floats(floats), *first = mm_floats(floats);
    ck_assert(plain && first);
    const mm_dialogue_sums exact = talk(&c, &options, 3, true);
    memcpy(plain, l->gradients, floats * sizeof *plain);
    l->maths.rounded = mm_bf16_gemm_get(&kernels);
    const mm_dialogue_sums sums = talk(&c, &options, 3, true);
    memcpy(first, l->gradients, floats * sizeof *first);
    if (l->maths.rounded) { /* this CPU has the instructions */
        ck_assert_double_ne(sums.loss, exact.loss);
        ck_assert_double_eq_tol(sums.loss, exact.loss, 0.1 * exact.loss); /* random weights give large logits */
    }
    double error = 0, size = 0;
    for (size_t i = 0; i < floats; i++) {
        error += pow((double)plain[i] - first[i], 2);
        size += pow((double)plain[i], 2);
    }
    ck_assert_msg(sqrt(error / size) < 0.05, "the gradient is off by %g", sqrt(error / size));
    const mm_dialogue_sums again = talk(&c, &options, 3, true);
    ck_assert_mem_eq(&again, &sums, sizeof sums);
    ck_assert_mem_eq(first, l->gradients, floats * sizeof *first);
    free(plain);
    free(first);
    close_room(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train/dialogue");
    TCase *tcase = tcase_create("dialogue");
    tcase_add_test(tcase, test_equal_seeds);
    tcase_add_test(tcase, test_together_and_alone);
    tcase_add_test(tcase, test_rounds);
    tcase_add_loop_test(tcase, test_learning, 0, 2);
    tcase_add_test(tcase, test_nested);
    tcase_add_test(tcase, test_bf16);
    suite_add_tcase(suite, tcase);
    return mm_check_main(suite);
}
