/* Gradients and ten steps of AdamW against PyTorch's, whose numbers tests/data/train/make_decoder_golden.py wrote. */
#include <math.h>

#include "learner.h"
#include "train/adamw.h"
#include "train/mask_loss.h"

enum { SIDE = 16, CELLS = SIDE * SIDE, PLANE = 16 * CELLS, STEPS = 10, PROMPTS = 5, SINGLE = 3 };

static const mm_point clicks[] = {{60, 70, 1}, {200, 40, 1}, {128, 128, 1}};
static const mm_point corrected[] = {{60, 70, 1}, {90, 100, 0}, {30, 220, 1}, {40, 200, 1}};
static const double discs[PROMPTS][3] = {
    {0.25, 0.25, 0.2}, {0.75, 0.2, 0.15}, {0.5, 0.5, 0.4}, {0.25, 0.25, 0.12}, {0.15, 0.8, 0.1}};
static const mm_loss_weights weights = {.focal = 20, .dice = 1, .iou = 1, .multimask = 0.5};

typedef struct lesson {
    learner learner;
    mm_prompt prompts[PROMPTS];
    float *targets, *masks; /* [PROMPTS][16 N], [2][16 N] */
    size_t first;           /* of the batch that runs */
    double loss;
} lesson;

static void fill_noise(float *out, size_t n, uint32_t seed, float scale)
{
    for (size_t i = 0; i < n; i++)
        out[i] = scale * learner_noise(&seed);
}

static void draw_disc(const double disc[3], float *target)
{
    float grid[PLANE];
    for (size_t y = 0; y < 4 * SIDE; y++)
        for (size_t x = 0; x < 4 * SIDE; x++) {
            const double dx = ((double)x + 0.5) / (4 * SIDE) - disc[0], dy = ((double)y + 0.5) / (4 * SIDE) - disc[1];
            const double share = (disc[2] - sqrt(dx * dx + dy * dy)) * 4 * SIDE + 0.5;
            grid[y * 4 * SIDE + x] = (float)fmin(1, fmax(0, share));
        }
    mm_grid_to_cells(grid, SIDE, target);
}

static void lesson_open(lesson *s)
{
    learner_open("tiny.prompts.json", MM_BACKEND_AUTO, &s->learner);
    ck_assert_uint_eq(s->learner.arch.embedding_side, SIDE);
    s->learner.frame = (mm_frame){256, 256, 256, 256, 256, 4 * SIDE};
    fill_noise(s->learner.embedding, CELLS * s->learner.arch.prompt_embed_dim, 11, 1);
    s->targets = mm_floats(PROMPTS * PLANE);
    s->masks = mm_floats(2 * PLANE);
    ck_assert(s->targets && s->masks);
    fill_noise(s->masks, 2 * PLANE, 12, 8);
    for (size_t i = 0; i < PROMPTS; i++) {
        draw_disc(discs[i], s->targets + i * PLANE);
        s->prompts[i] = i < SINGLE ? (mm_prompt){.points = clicks + i, .point_count = 1}
                                   : (mm_prompt){.points = corrected + 2 * (i - SINGLE), .point_count = 2};
    }
}

static void lesson_close(lesson *s)
{
    free(s->targets);
    free(s->masks);
    learner_close(&s->learner);
}

static void judge(void *user, size_t prompt, const float *logits, const float *iou, mm_verdict *verdict)
{
    lesson *s = user;
    const size_t at = s->first + prompt;
    const mm_meant meant = {.target = s->targets + at * PLANE, .ambiguous = at < SINGLE, .share = 1.0 / PROMPTS};
    const mm_mask_loss loss = mm_mask_loss_judge(s->learner.maths.gradient, &weights,
                                                 s->learner.arch.decoder.mask_tokens,
                                                 CELLS, logits, iou, &meant, verdict);
    ck_assert(loss.finite);
    s->loss += meant.share * (loss.mask + loss.iou);
}

/* Gradients and loss of both batches. */
static double pass(lesson *s)
{
    const float *const masks[] = {s->masks, s->masks + PLANE};
    mm_prompt *own = s->learner.list.prompts;
    memset(s->learner.gradients, 0, s->learner.parameters.floats * sizeof(float));
    s->loss = 0;
    s->learner.list.prompts = s->prompts;
    s->first = 0;
    learner_run(&s->learner, 0, SINGLE, NULL, &(mm_judge){s, judge}, true);
    s->first = SINGLE;
    learner_run(&s->learner, SINGLE, PROMPTS - SINGLE, masks, &(mm_judge){s, judge}, true);
    s->learner.list.prompts = own;
    return s->loss;
}

static json_t *read_golden(float **gradients, size_t *count)
{
    json_error_t where;
    mm_error err = {0};
    json_t *golden = json_load_file(MM_TEST_DATA "/train/decoder.json", 0, &where);
    ck_assert_msg(golden != NULL, "%s", where.text);
    *gradients = read_floats(MM_TEST_DATA "/train", "decoder.gradients.f32", count, &err);
    ck_assert_msg(*gradients != NULL, "%s", err.text);
    return golden;
}

START_TEST(test_gradients_are_pytorchs)
{
    static lesson s;
    lesson_open(&s);
    float *expected;
    size_t count, seen = 0;
    json_t *golden = read_golden(&expected, &count);
    const size_t stride = (size_t)json_integer_value(json_object_get(golden, "stride"));
    const double loss = pass(&s);
    ck_assert_double_lt(fabs(loss / json_number_value(json_array_get(json_object_get(golden, "losses"), 0)) - 1), 1e-4);
    for (size_t i = 0; i < s.learner.parameters.count; i++) {
        const mm_parameter *parameter = &s.learner.parameters.list[i];
        const json_t *tensor = json_object_get(json_object_get(golden, "tensors"), parameter->name);
        ck_assert_msg(tensor != NULL, "%s", parameter->name);
        const size_t at = (size_t)json_integer_value(json_object_get(tensor, "at"));
        float *got = mm_floats(parameter->elements);
        ck_assert_ptr_nonnull(got);
        mm_parameter_to_file(parameter, s.learner.gradients, got);
        double error = 0, size = 0;
        for (size_t k = 0; k * stride < parameter->elements; k++, seen++) {
            ck_assert_uint_lt(at + k, count);
            error += pow((double)got[k * stride] - expected[at + k], 2);
            size += pow((double)expected[at + k], 2);
        }
        /* Biases of keys have no gradient but rounding. */
        if (!strstr(parameter->name, ".k_proj.bias"))
            ck_assert_msg(sqrt(error) <= 1e-3 * sqrt(size), "%s: off by %g of %g", parameter->name, sqrt(error),
                          sqrt(size));
        free(got);
    }
    ck_assert_uint_eq(seen, count);
    free(expected);
    json_decref(golden);
    lesson_close(&s);
}
END_TEST

START_TEST(test_ten_steps_follow_pytorch)
{
    static lesson s;
    lesson_open(&s);
    float *unused;
    size_t count;
    json_t *golden = read_golden(&unused, &count);
    free(unused);
    const json_t *losses = json_object_get(golden, "losses");
    ck_assert_uint_eq(json_array_size(losses), STEPS + 1);
    mm_adamw optimiser;
    float *decay = mm_floats(s.learner.parameters.floats);
    ck_assert_ptr_nonnull(decay);
    mm_parameters_decay(&s.learner.parameters, decay);
    const float strength = (float)json_number_value(json_object_get(golden, "decay"));
    for (size_t i = 0; i < s.learner.parameters.floats; i++)
        decay[i] *= strength;
    ck_assert(mm_adamw_new(s.learner.values, s.learner.parameters.floats, &optimiser, &s.learner.err) == MM_OK);
    for (size_t step = 0; step <= STEPS; step++) {
        const double loss = pass(&s), expected = json_number_value(json_array_get(losses, step));
        ck_assert_msg(fabs(loss / expected - 1) < 0.01, "step %zu: loss %g, PyTorch's %g", step, loss, expected);
        mm_adamw_step(&optimiser, s.learner.gradients, decay, json_number_value(json_object_get(golden, "rate")));
    }
    mm_adamw_free(&optimiser);
    free(decay);
    json_decref(golden);
    lesson_close(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train/decoder_golden");
    TCase *tcase = tcase_create("golden");
    tcase_add_test(tcase, test_gradients_are_pytorchs);
    tcase_add_test(tcase, test_ten_steps_follow_pytorch);
    suite_add_tcase(suite, tcase);
    return mm_check_main(suite);
}
