/* The decoder that learns against the engine's (the same numbers), against a plain twin in double, and its gradients
 * against differences of that twin. */
#include "learner.h"
#include "twin.h"

static const char *const cases[] = {"vit.prompts.json", "tiny.prompts.json", "default.prompts.json"};

typedef struct answers {
    size_t masks, cells, first;
    float *logits, *iou; /* [prompts][K][16 N] in rows of a grid, [prompts][K] */
    size_t side;
} answers;

static void keep(void *user, size_t prompt, const float *logits, const float *iou, mm_verdict *verdict)
{
    (void)verdict;
    const answers *a = user;
    for (size_t k = 0; k < a->masks; k++)
        mm_cells_to_grid(logits + k * 16 * a->cells, a->side,
                         a->logits + ((a->first + prompt) * a->masks + k) * 16 * a->cells);
    memcpy(a->iou + (a->first + prompt) * a->masks, iou, a->masks * sizeof *iou);
}

static double relative(const float *got, const float *expected, size_t n)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)got[i] - expected[i]) * ((double)got[i] - expected[i]);
        size += (double)expected[i] * expected[i];
    }
    return sqrt(error / size);
}

/* Prompts that can stand in one batch from `first` on. */
static size_t alike(const learner *l, size_t first)
{
    const mm_prompt *prompts = l->list.prompts;
    size_t count = 1;
    while (first + count < l->list.count && !prompts[first].mask_input == !prompts[first + count].mask_input &&
           mm_prompt_tokens(&prompts[first]) == mm_prompt_tokens(&prompts[first + count]))
        count++;
    return count;
}

START_TEST(test_forward_is_the_engines)
{
    learner l;
    learner_open(cases[_i], MM_BACKEND_AUTO, &l);
    decoded expected;
    ck_assert(decode_all(l.golden.model, l.golden.embedding, &l.list, &expected, &l.err) == MM_OK);
    const size_t masks = expected.masks, plane = expected.plane, side = l.arch.embedding_side;
    answers a = {.masks = masks, .cells = side * side, .side = side, .logits = mm_floats(l.list.count * masks * plane),
                 .iou = mm_floats(l.list.count * masks)};
    float *mask = mm_floats(plane);
    ck_assert(a.logits && a.iou && mask);
    size_t batches = 0;
    for (size_t first = 0, count; first < l.list.count; first += count, batches++) {
        const float *const masks_in[1] = {mask};
        count = alike(&l, first);
        if (l.list.prompts[first].mask_input) {
            count = 1;
            mm_grid_to_cells(l.list.prompts[first].mask_input, side, mask);
        }
        a.first = first;
        learner_run(&l, first, count, l.list.prompts[first].mask_input ? masks_in : NULL, &(mm_judge){&a, keep}, false);
    }
    ck_assert_uint_lt(batches, l.list.count);
    for (size_t p = 0; p < l.list.count; p++) {
        const double error = relative(a.logits + p * masks * plane, expected.logits + p * masks * plane, masks * plane);
        ck_assert_msg(error < 1e-4, "logits of prompt %zu differ by %g of their size", p, error);
        ck_assert_double_lt(relative(a.iou + p * masks, expected.predicted_iou + p * masks, masks), 1e-4);
    }
    free(mask);
    free(a.logits);
    free(a.iou);
    free(expected.logits);
    free(expected.predicted_iou);
    learner_close(&l);
}
END_TEST

/* A judge whose loss is linear in what it sees: opinions[P][K][16 N] and [P][K]; each mask of a prompt in turn may be
 * left out. */
typedef struct opinions {
    size_t masks, cells;
    float *logits, *iou;
    float *seen; /* [P][K][16 N] */
} opinions;

static bool is_judged(size_t prompt, size_t mask)
{
    return (prompt + mask) % 3 != 0;
}

static void judge_linearly(void *user, size_t prompt, const float *logits, const float *iou, mm_verdict *verdict)
{
    const opinions *o = user;
    const size_t plane = 16 * o->cells;
    (void)iou;
    memcpy(o->seen + prompt * o->masks * plane, logits, o->masks * plane * sizeof *logits);
    for (size_t k = 0; k < o->masks; k++) {
        verdict->diou[k] = o->iou[prompt * o->masks + k];
        if (!is_judged(prompt, k))
            continue;
        memcpy(verdict->dlogits + verdict->count * plane, o->logits + (prompt * o->masks + k) * plane,
               plane * sizeof *logits);
        verdict->masks[verdict->count++] = (uint32_t)k;
    }
}

/* The same loss by the twin. */
static double twin_loss(twin *t, const learner *l, size_t first, size_t count, const float *const *masks,
                        const opinions *o)
{
    double loss = 0;
    for (size_t p = 0; p < count; p++) {
        double *logits, *iou;
        twin_decode(t, &l->frame, &l->list.prompts[first + p], masks ? masks[p] : NULL, &logits, &iou);
        for (size_t k = 0; k < o->masks; k++) {
            const size_t at = (p * o->masks + k) * 16 * o->cells;
            loss += o->iou[p * o->masks + k] * iou[k];
            for (size_t i = 0; i < 16 * o->cells && is_judged(p, k); i++)
                loss += o->logits[at + i] * logits[k * 16 * o->cells + i];
        }
        twin_clear(t);
    }
    return loss;
}

/* Along random signs, the difference quotient of the twin against the gradient; returns the error relative to the norm
 * of the gradient times that of the direction, which is what a wrong element of any size would show in. */
static double slope_error(twin *t, const learner *l, const mm_parameter *parameter, size_t first, size_t count,
                          const float *const *masks, const opinions *o, uint32_t seed)
{
    const double step = 1e-6;
    const float *gradient = l->gradients + parameter->offset;
    double *values = t->values + parameter->offset, expected = 0, size = 0, total[2];
    for (int side = 0; side < 2; side++) {
        uint32_t own = seed;
        for (size_t i = 0; i < parameter->elements; i++)
            values[i] = l->values[parameter->offset + i] + (side ? -step : step) * (learner_noise(&own) > 0 ? 1 : -1);
        total[side] = twin_loss(t, l, first, count, masks, o);
    }
    for (size_t i = 0; i < parameter->elements; i++) {
        values[i] = l->values[parameter->offset + i];
        expected += gradient[i] * (learner_noise(&seed) > 0 ? 1.0 : -1.0);
        size += (double)gradient[i] * gradient[i];
    }
    const double slope = (total[0] - total[1]) / (2 * step);
    return fabs(slope - expected) / fmax(sqrt(size), 1e-9);
}

static double norm_of(const learner *l, const mm_parameter *parameter)
{
    double size = 0;
    for (size_t k = 0; k < parameter->elements; k++)
        size += (double)l->gradients[parameter->offset + k] * l->gradients[parameter->offset + k];
    return sqrt(size);
}

/* A bias of keys adds the same to all scores that a softmax compares: its gradient is zero but for rounding. The
 * parameter before it is its weight. */
static bool is_key_bias(const mm_parameter *parameter)
{
    return strstr(parameter->name, ".k_proj.bias") != NULL;
}

/* What every batch of two points teaches; tables depend on the prompts' kinds. */
static bool is_reached(const char *name, bool masks)
{
    return strstr(name, "mask_decoder.") != NULL || (masks && strstr(name, "mask_downscaling") != NULL);
}

/* Two prompts of the golden cases at a time, so that sums over prompts are in it; masks: with mask inputs of noise. */
static void check_gradients(const char *name, mm_backend backend, size_t first, size_t count, bool masks)
{
    learner l;
    learner_open(name, backend, &l);
    const size_t side = l.arch.embedding_side, cells = side * side, kinds = l.arch.decoder.mask_tokens;
    opinions o = {.masks = kinds, .cells = cells, .logits = mm_floats(count * kinds * 16 * cells),
                  .iou = mm_floats(count * kinds), .seen = mm_floats(count * kinds * 16 * cells)};
    float *input = mm_floats(count * 16 * cells);
    ck_assert(o.logits && o.iou && o.seen && input);
    uint32_t seed = 5;
    for (size_t i = 0; i < count * kinds * 16 * cells; i++)
        o.logits[i] = 0.01f * learner_noise(&seed);
    for (size_t i = 0; i < count * kinds; i++)
        o.iou[i] = learner_noise(&seed);
    for (size_t i = 0; i < count * 16 * cells; i++)
        input[i] = 8 * learner_noise(&seed);
    const float *inputs[4];
    for (size_t p = 0; p < count; p++)
        inputs[p] = input + p * 16 * cells;
    learner_run(&l, first, count, masks ? inputs : NULL, &(mm_judge){&o, judge_linearly}, true);
    twin *t = calloc(1, sizeof *t);
    ck_assert_ptr_nonnull(t);
    *t = (twin){.arch = &l.arch, .parameters = &l.parameters, .gaussian = l.decoder.prompts.gaussian,
                .embedding = l.embedding, .values = calloc(l.parameters.floats, sizeof(double))};
    ck_assert_ptr_nonnull(t->values);
    for (size_t i = 0; i < l.parameters.floats; i++)
        t->values[i] = l.values[i];
    for (size_t i = 0; i < l.parameters.count; i++) {
        const mm_parameter *parameter = &l.parameters.list[i];
        const double size = norm_of(&l, parameter);
        if (is_key_bias(parameter)) {
            ck_assert_double_lt(size, 1e-4 * norm_of(&l, parameter - 1));
            continue;
        }
        ck_assert_msg(size > 0 || count == 1 || !is_reached(parameter->name, masks), "%s has no gradient",
                      parameter->name);
        const double error = slope_error(t, &l, parameter, first, count, masks ? inputs : NULL, &o, (uint32_t)i + 1);
        ck_assert_msg(error < 1e-3, "%s: gradient is off by %g of its norm %g", parameter->name, error, size);
    }
    free(t->values);
    free(t);
    free(input);
    free(o.logits);
    free(o.iou);
    free(o.seen);
    learner_close(&l);
}

START_TEST(test_gradients_of_points)
{
    check_gradients("tiny.prompts.json", MM_BACKEND_AUTO, 0, 2, false);
}
END_TEST

START_TEST(test_gradients_of_masks)
{
    check_gradients("tiny.prompts.json", MM_BACKEND_BLAS, 0, 2, true);
}
END_TEST

START_TEST(test_gradients_of_boxes)
{
    learner l;
    learner_open("vit.prompts.json", MM_BACKEND_AUTO, &l);
    size_t box = 0;
    while (box < l.list.count && (!l.list.prompts[box].box || !l.list.prompts[box].point_count))
        box++;
    ck_assert_uint_lt(box, l.list.count); /* one with a box and points */
    learner_close(&l);
    check_gradients("vit.prompts.json", MM_BACKEND_AUTO, box, 1, true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train/decoder");
    TCase *tcase = tcase_create("decoder");
    tcase_add_loop_test(tcase, test_forward_is_the_engines, 0, 3);
    tcase_add_test(tcase, test_gradients_of_points);
    tcase_add_test(tcase, test_gradients_of_masks);
    tcase_add_test(tcase, test_gradients_of_boxes);
    suite_add_tcase(suite, tcase);
    return mm_check_main(suite);
}
