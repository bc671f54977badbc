/* The backward pass against finite differences of a plain twin in double. */
#include <math.h>
#include <string.h>

#include "check_main.h"
#include "tensor/memory.h"
#include "train/detector_loss.h"
#include "train/head_backward.h"
#include "train/head_twin.h"
#include "train/samples.h"
#include "train/targets.h"

enum { BOXES = 7, PROBES = 12 };

static mm_error err;

/* 0 .. 1, the same each time */
static double uniform(uint64_t number)
{
    return (double)(mm_mix(11, number) >> 11) / 9007199254740992.0;
}

typedef struct problem {
    mm_head head;
    mm_frame frame;
    float boxes[BOXES][4], *embedding, *parameters, *gradient;
    double *exact, *qualities;
    int32_t *target;
    mm_detector_loss loss;
    float *outputs;
} problem;

static void run_engine(problem *p)
{
    mm_kernels kernels = {.threads = 1};
    mm_head_state state;
    mm_head_gradients gradients;
    ck_assert_int_eq(mm_kernels_resolve(&kernels, &err), MM_OK);
    ck_assert_int_eq(mm_head_state_new(&p->head, true, &state, &err), MM_OK);
    ck_assert_int_eq(mm_head_gradients_new(&p->head, &gradients, &err), MM_OK);
    ck_assert_int_eq(mm_head_forward(&p->head, p->parameters, &kernels, p->embedding, &state, &err), MM_OK);
    memcpy(p->outputs, state.outputs, p->head.cells * MM_HEAD_OUTPUTS * sizeof *p->outputs);
    mm_detector_loss_add(&p->head, p->parameters, state.outputs, &p->frame, (const float(*)[4])p->boxes, p->target,
                         &p->loss, gradients.outputs, p->gradient + p->head.scale);
    ck_assert_int_eq(mm_head_backward(&p->head, p->parameters, &kernels, &state, &gradients, p->gradient, &err), MM_OK);
    mm_head_gradients_free(&gradients);
    mm_head_state_free(&state);
}

static void problem_new(problem *p, uint32_t depth, uint32_t width, uint32_t side)
{
    const mm_detector_shape shape = {8, side, width, depth};
    *p = (problem){.frame = {90, 120, 12 * side, 16 * side, 16 * side, 4 * side}};
    ck_assert_int_eq(mm_head_plan(&shape, &p->head, &err), MM_OK);
    const size_t n = p->head.parameters, cells = (size_t)side * side;
    p->embedding = mm_floats(cells * 8);
    p->parameters = mm_floats(n);
    p->gradient = mm_floats(n);
    p->outputs = mm_floats(p->head.cells * MM_HEAD_OUTPUTS);
    p->exact = calloc(n, sizeof *p->exact);
    p->qualities = calloc(p->head.cells, sizeof *p->qualities);
    p->target = calloc(p->head.cells, sizeof *p->target);
    memset(p->gradient, 0, n * sizeof *p->gradient);
    for (size_t i = 0; i < cells * 8; i++)
        p->embedding[i] = (float)(2 * uniform(1000 + i) - 1);
    for (size_t i = 0; i < p->head.tensor_count; i++) {
        const mm_head_tensor *t = &p->head.tensors[i];
        const bool near_one = strstr(t->name, "norm.weight") || strcmp(t->name, "scale") == 0;
        for (size_t k = t->first; k < t->first + t->count; k++)
            p->parameters[k] = (float)((near_one ? 1 : 0) + (t->decays ? 0.6 : 0.3) * (2 * uniform(90000 + k) - 1));
    }
    for (size_t i = 0; i < n; i++)
        p->exact[i] = (double)p->parameters[i];
    for (size_t i = 0; i < BOXES; i++) {
        const double w = 10 + 60 * uniform(10 * i), h = 10 + 80 * uniform(10 * i + 1);
        p->boxes[i][0] = (float)((90 - w) * uniform(10 * i + 2));
        p->boxes[i][1] = (float)((120 - h) * uniform(10 * i + 3));
        p->boxes[i][2] = p->boxes[i][0] + (float)w;
        p->boxes[i][3] = p->boxes[i][1] + (float)h;
    }
    ck_assert_uint_gt(mm_targets_assign(&p->head, &p->frame, (const float(*)[4])p->boxes, BOXES, p->target), 5);
    run_engine(p);
}

static void problem_free(problem *p)
{
    free(p->embedding);
    free(p->parameters);
    free(p->gradient);
    free(p->outputs);
    free(p->exact);
    free(p->qualities);
    free(p->target);
}

/* The twin's loss with parameter `at` moved by `step`. */
static double moved_loss(problem *p, twin *t, size_t at, double step)
{
    const double before = p->exact[at];
    p->exact[at] = before + step;
    twin_forward(t);
    const double loss = twin_loss(t, &p->frame, (const float(*)[4])p->boxes, p->target, p->qualities, true);
    p->exact[at] = before;
    return loss;
}

static const struct {
    uint32_t depth, width, side;
} shapes[] = {{1, 8, 4}, {2, 8, 4}, {1, 16, 8}, {3, 16, 4}};

START_TEST(the_engine_is_its_twin_and_its_gradient_the_slope)
{
    problem p;
    problem_new(&p, shapes[_i].depth, shapes[_i].width, shapes[_i].side);
    twin t = twin_new(&p.head, p.exact, p.embedding);
    twin_forward(&t);
    for (size_t i = 0; i < p.head.cells * MM_HEAD_OUTPUTS; i++)
        ck_assert_double_eq_tol((double)p.outputs[i], t.outputs[i], 2e-5);
    const double loss = twin_loss(&t, &p.frame, (const float(*)[4])p.boxes, p.target, p.qualities, false);
    ck_assert_double_eq_tol(p.loss.object + p.loss.box + p.loss.quality, loss, 1e-5 * loss);

    for (size_t i = 0; i < p.head.tensor_count; i++) {
        const mm_head_tensor *tensor = &p.head.tensors[i];
        double largest = 0;
        for (size_t k = 0; k < tensor->count; k++)
            largest = fmax(largest, fabs((double)p.gradient[tensor->first + k]));
        ck_assert_msg(largest > 0, "%s has no gradient", tensor->name);
        for (size_t probe = 0; probe < PROBES; probe++) {
            const size_t at = tensor->first + (size_t)(mm_mix(i, probe) % tensor->count);
            const double step = 1e-6, slope = (moved_loss(&p, &t, at, step) - moved_loss(&p, &t, at,
                                                                                         -step)) / (2 * step);
            ck_assert_msg(fabs(slope - (double)p.gradient[at]) < 1e-3 * largest + 1e-6, "%s[%zu]: %g instead of %g",
                          tensor->name, at - tensor->first, (double)p.gradient[at], slope);
        }
    }
    twin_free(&t);
    problem_free(&p);
}
END_TEST

START_TEST(gradients_of_images_add_up)
{
    problem p;
    problem_new(&p, 2, 8, 4);
    float *once = mm_floats(p.head.parameters);
    memcpy(once, p.gradient, p.head.parameters * sizeof *once);
    const mm_detector_loss before = p.loss;
    run_engine(&p);
    for (size_t i = 0; i < p.head.parameters; i++)
        ck_assert_float_eq_tol(p.gradient[i], 2 * once[i], 1e-5f * (1 + fabsf(once[i])));
    ck_assert_double_eq_tol(p.loss.box, 2 * before.box, 1e-9);
    ck_assert_double_eq(p.loss.positive, 2 * before.positive);
    free(once);
    problem_free(&p);
}
END_TEST

START_TEST(extreme_outputs_give_finite_losses)
{
    problem p;
    problem_new(&p, 1, 8, 4);
    const size_t n = p.head.cells * MM_HEAD_OUTPUTS;
    float *gradient = mm_floats(n), scale[4] = {0};
    for (int sign = -1; sign <= 1; sign += 2) {
        mm_detector_loss loss = {0};
        for (size_t i = 0; i < n; i++)
            p.outputs[i] = (float)(sign * 200);
        mm_detector_loss_add(&p.head, p.parameters, p.outputs, &p.frame, (const float(*)[4])p.boxes, p.target, &loss,
                             gradient, scale);
        ck_assert(isfinite(loss.object) && isfinite(loss.box) && isfinite(loss.quality));
        for (size_t i = 0; i < n; i++)
            ck_assert(isfinite(gradient[i]));
        /* A box beyond the cap is not pushed any further. */
        for (size_t cell = 0; sign > 0 && cell < p.head.cells; cell++)
            ck_assert_float_eq(gradient[cell * MM_HEAD_OUTPUTS + MM_HEAD_BOX], 0);
    }
    free(gradient);
    problem_free(&p);
}
END_TEST

START_TEST(inner_boxes_and_ranges_decide_who_finds_what)
{
    const mm_detector_shape shape = {8, 8, 8, 1};
    const mm_frame frame = {128, 128, 128, 128, 128, 32};
    mm_head head;
    ck_assert_int_eq(mm_head_plan(&shape, &head, &err), MM_OK);
    int32_t *target = calloc(head.cells, sizeof *target);
    /* Strides 8, 16, 32, 64: the inner box of 40 pixels and its hull of 80 share a centre, and both are level 0's. */
    const float boxes[2][4] = {{24, 24, 104, 104}, {44, 44, 84, 84}};
    (void)mm_targets_assign(&head, &frame, boxes, 2, target);
    size_t of[2][MM_HEAD_LEVELS] = {{0}};
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++)
        for (size_t i = 0; i < head.side[level] * head.side[level]; i++)
            if (target[head.first[level] + i] >= 0)
                of[target[head.first[level] + i]][level]++;
    ck_assert_uint_eq(of[1][0], 16); /* 12 pixels around 64: centres 52, 60, 68, 76 */
    ck_assert_uint_eq(of[0][0], 0);  /* the inner one has taken all */
    /* At level 1 the largest distance must be above 48: centres 40, 56, 72, 88, without those of 40 +- 8 alone. */
    ck_assert_uint_eq(of[1][1], 0);
    ck_assert_uint_gt(of[0][1], 0);
    ck_assert_uint_eq(of[0][2] + of[0][3] + of[1][2] + of[1][3], 0);
    /* The order of boxes does not matter. */
    const float swapped[2][4] = {{44, 44, 84, 84}, {24, 24, 104, 104}};
    int32_t *other = calloc(head.cells, sizeof *other);
    (void)mm_targets_assign(&head, &frame, swapped, 2, other);
    for (size_t i = 0; i < head.cells; i++)
        ck_assert_int_eq(other[i], target[i] < 0 ? target[i] : 1 - target[i]);
    free(target);
    free(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train/gradient");
    TCase *tc = tcase_create("gradient");
    tcase_add_loop_test(tc, the_engine_is_its_twin_and_its_gradient_the_slope, 0, sizeof shapes / sizeof shapes[0]);
    tcase_add_test(tc, gradients_of_images_add_up);
    tcase_add_test(tc, extreme_outputs_give_finite_losses);
    tcase_add_test(tc, inner_boxes_and_ranges_decide_who_finds_what);
    suite_add_tcase(suite, tc);
    return mm_check_main(suite);
}
