/* The training's pieces against PyTorch and pycocotools (tests/data/train/make_golden.py): targets, outputs, losses,
 * gradient, optimiser, measures. On both backends. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check_main.h"
#include "detect/head.h"
#include "tensor/memory.h"
#include "train/adamw.h"
#include "train/detector_loss.h"
#include "train/evaluate.h"
#include "train/head_backward.h"
#include "train/targets.h"

enum { EMBEDDING, PARAMETERS, OUTPUTS, GRADIENT, STEPPED, ARRAYS, BOXES = 9 };

static json_t *golden;
static float *floats[ARRAYS];
static size_t sizes[ARRAYS];
static mm_head head;
static mm_frame frame;
static float boxes[BOXES][4];
static int32_t *target;
static mm_error err;

static uint32_t whole(const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(golden, key));
}

static double loss_of(const char *key)
{
    return json_number_value(json_object_get(json_object_get(golden, "losses"), key));
}

static void setup(void)
{
    golden = json_load_file(MM_TEST_DATA "/train/golden.json", 0, NULL);
    FILE *file = fopen(MM_TEST_DATA "/train/golden.f32", "rb");
    ck_assert(golden && file);
    for (int i = 0; i < ARRAYS; i++) {
        sizes[i] = (size_t)json_integer_value(json_array_get(json_object_get(golden, "floats"), (size_t)i));
        floats[i] = mm_floats(sizes[i]);
        ck_assert_uint_eq(fread(floats[i], sizeof(float), sizes[i], file), sizes[i]);
    }
    fclose(file);
    const mm_detector_shape shape = {whole("embed_dim"), whole("embedding_side"), whole("width"), whole("depth")};
    ck_assert_int_eq(mm_head_plan(&shape, &head, &err), MM_OK);
    ck_assert_uint_eq(head.parameters, sizes[PARAMETERS]);
    const json_t *image = json_object_get(golden, "image");
    frame = (mm_frame){.width = (uint32_t)json_integer_value(json_array_get(image, 0)),
                       .height = (uint32_t)json_integer_value(json_array_get(image, 1)),
                       .image_size = whole("image_size")};
    frame.input_width = frame.image_size;
    frame.input_height = (uint32_t)((double)frame.height * frame.image_size / frame.width + 0.5);
    ck_assert_uint_eq(json_array_size(json_object_get(golden, "boxes")), BOXES);
    for (size_t i = 0; i < BOXES; i++)
        for (size_t k = 0; k < 4; k++)
            boxes[i][k] = (float)json_number_value(
                json_array_get(json_array_get(json_object_get(golden, "boxes"), i), k));
    target = calloc(head.cells, sizeof *target);
    (void)mm_targets_assign(&head, &frame, (const float(*)[4])boxes, BOXES, target);
}

static void teardown(void)
{
    for (int i = 0; i < ARRAYS; i++)
        free(floats[i]);
    free(target);
    json_decref(golden);
}

static mm_kernels kernels_of(int backend)
{
    mm_kernels kernels = {.backend = backend ? MM_BACKEND_BLAS : MM_BACKEND_AUTO, .threads = 1};
    ck_assert_int_eq(mm_kernels_resolve(&kernels, &err), MM_OK);
    return kernels;
}

/* The largest difference, as a share of the largest value. */
static double difference(const float *a, const float *b, size_t n)
{
    double most = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        scale = fmax(scale, fabs((double)b[i]));
    }
    return most / scale;
}

START_TEST(cells_have_the_same_targets)
{
    const json_t *list = json_object_get(golden, "targets");
    size_t positive = 0;
    ck_assert_uint_eq(json_array_size(list), head.cells);
    for (size_t i = 0; i < head.cells; i++) {
        ck_assert_int_eq(target[i], json_integer_value(json_array_get(list, i)));
        positive += target[i] >= 0;
    }
    ck_assert_uint_eq(mm_targets_assign(&head, &frame, (const float(*)[4])boxes, BOXES, target), positive);
    ck_assert_uint_gt(positive, 20);
}
END_TEST

/* One pass; adds the gradient to sums. */
static mm_detector_loss pass(const mm_kernels *kernels, const float *parameters, float *sums, float *outputs)
{
    mm_head_state state;
    mm_head_gradients gradients;
    mm_detector_loss loss = {0};
    ck_assert_int_eq(mm_head_state_new(&head, true, &state, &err), MM_OK);
    ck_assert_int_eq(mm_head_gradients_new(&head, &gradients, &err), MM_OK);
    ck_assert_msg(mm_head_forward(&head, parameters, kernels, floats[EMBEDDING], &state, &err) == MM_OK, "%s",
                  err.text);
    mm_detector_loss_add(&head, parameters, state.outputs, &frame, (const float(*)[4])boxes, target, &loss,
                         gradients.outputs, sums + head.scale);
    ck_assert_int_eq(mm_head_backward(&head, parameters, kernels, &state, &gradients, sums, &err), MM_OK);
    if (outputs)
        memcpy(outputs, state.outputs, sizes[OUTPUTS] * sizeof *outputs);
    mm_head_gradients_free(&gradients);
    mm_head_state_free(&state);
    return loss;
}

START_TEST(outputs_losses_and_gradient_are_torchs)
{
    const mm_kernels kernels = kernels_of(_i);
    float *sums = calloc(head.parameters, sizeof *sums), *outputs = calloc(sizes[OUTPUTS], sizeof *outputs);
    const mm_detector_loss loss = pass(&kernels, floats[PARAMETERS], sums, outputs);
    ck_assert_double_lt(difference(outputs, floats[OUTPUTS], sizes[OUTPUTS]), 1e-5);
    ck_assert_double_eq_tol(loss.object, loss_of("object"), 1e-4 * loss_of("object"));
    ck_assert_double_eq_tol(loss.box, loss_of("box"), 1e-4 * loss_of("box"));
    ck_assert_double_eq_tol(loss.quality, loss_of("quality"), 1e-4 * loss_of("quality"));
    ck_assert_double_eq_tol(loss.iou, loss_of("iou"), 1e-4 * loss_of("iou"));
    ck_assert_double_eq(loss.positive, loss_of("positive"));
    for (size_t i = 0; i < head.tensor_count; i++) {
        const mm_head_tensor *t = &head.tensors[i];
        const double apart = difference(sums + t->first, floats[GRADIENT] + t->first, t->count);
        ck_assert_msg(apart < 2e-4, "%s: %g", t->name, apart);
    }
    free(sums);
    free(outputs);
}
END_TEST

START_TEST(without_keeping_the_outputs_are_the_same_bits)
{
    const mm_kernels kernels = kernels_of(_i);
    mm_head_state kept, bare;
    ck_assert_int_eq(mm_head_state_new(&head, true, &kept, &err), MM_OK);
    ck_assert_int_eq(mm_head_state_new(&head, false, &bare, &err), MM_OK);
    ck_assert_int_eq(mm_head_forward(&head, floats[PARAMETERS], &kernels, floats[EMBEDDING], &kept, &err), MM_OK);
    ck_assert_int_eq(mm_head_forward(&head, floats[PARAMETERS], &kernels, floats[EMBEDDING], &bare, &err), MM_OK);
    ck_assert_mem_eq(kept.outputs, bare.outputs, sizes[OUTPUTS] * sizeof(float));
    mm_head_state_free(&kept);
    mm_head_state_free(&bare);
}
END_TEST

START_TEST(the_optimiser_makes_torchs_steps)
{
    const mm_kernels kernels = kernels_of(0);
    mm_adamw optimiser;
    const size_t n = head.parameters;
    float *parameters = mm_floats(n), *sums = mm_floats(n), *decay = mm_floats(n);
    memcpy(parameters, floats[PARAMETERS], n * sizeof *parameters);
    for (size_t i = 0; i < head.tensor_count; i++)
        for (size_t k = 0; k < head.tensors[i].count; k++)
            decay[head.tensors[i].first + k] =
                head.tensors[i].decays ? (float)json_number_value(json_object_get(golden, "weight_decay")) : 0.0f;
    ck_assert_int_eq(mm_adamw_new(parameters, n, &optimiser, &err), MM_OK);
    for (uint32_t step = 0; step < whole("steps"); step++) {
        memset(sums, 0, n * sizeof *sums);
        (void)pass(&kernels, parameters, sums, NULL);
        mm_adamw_step(&optimiser, sums, decay, json_number_value(json_object_get(golden, "learning_rate")));
    }
    /* A first step goes by the sign of the gradient: where that is all but 0, rounding decides. */
    size_t apart = 0;
    for (size_t i = 0; i < n; i++)
        apart += fabsf(parameters[i] - floats[STEPPED][i]) > 1e-4f;
    ck_assert_uint_le(apart, n / 500);
    mm_adamw_free(&optimiser);
    free(parameters);
    free(sums);
    free(decay);
}
END_TEST

START_TEST(measures_are_cocos)
{
    const json_t *coco = json_object_get(golden, "coco"), *images = json_object_get(coco, "images");
    mm_evaluation evaluation = {0};
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *image = json_array_get(images, i), *list = json_object_get(image, "boxes");
        const json_t *truths = json_object_get(image, "truths");
        mm_detection items[128];
        float truth[32][4];
        const mm_detections found = {items, json_array_size(list)};
        ck_assert(found.count <= 128 && json_array_size(truths) <= 32);
        for (size_t d = 0; d < found.count; d++) {
            for (size_t k = 0; k < 4; k++)
                items[d].box[k] = (float)json_number_value(json_array_get(json_array_get(list, d), k));
            items[d].score = (float)json_number_value(json_array_get(json_object_get(image, "scores"), d));
        }
        for (size_t t = 0; t < json_array_size(truths); t++)
            for (size_t k = 0; k < 4; k++)
                truth[t][k] = (float)json_number_value(json_array_get(json_array_get(truths, t), k));
        ck_assert_int_eq(mm_evaluation_add(&evaluation, (uint32_t)i, &found, (const float(*)[4])truth,
                                           json_array_size(truths), &err),
                         MM_OK);
    }
    ck_assert_double_eq_tol(mm_evaluation_recall(&evaluation), json_number_value(json_object_get(coco, "recall")),
                            1e-9);
    ck_assert_double_eq_tol(mm_evaluation_precision(&evaluation),
                            json_number_value(json_object_get(coco, "precision50")), 1e-9);
    mm_evaluation_free(&evaluation);
}
END_TEST

START_TEST(nothing_found_or_nothing_to_find_counts_as_nothing)
{
    mm_evaluation evaluation = {0};
    mm_detection item = {{0, 0, 1, 1}, 1};
    ck_assert_double_eq(mm_evaluation_recall(&evaluation), 0);
    ck_assert_double_eq(mm_evaluation_precision(&evaluation), 0);
    ck_assert_int_eq(mm_evaluation_add(&evaluation, 0, &(mm_detections){&item, 1}, NULL, 0, &err), MM_OK);
    ck_assert_double_eq(mm_evaluation_precision(&evaluation), 0);
    ck_assert_int_eq(mm_evaluation_add(&evaluation, 1, &(mm_detections){NULL, 0}, (const float[1][4]){{0, 0, 1, 1}}, 1,
                                       &err),
                     MM_OK);
    ck_assert_double_eq(mm_evaluation_recall(&evaluation), 0);
    mm_evaluation_free(&evaluation);
}
END_TEST

START_TEST(the_rate_rises_then_falls_to_nothing)
{
    ck_assert_double_eq_tol(mm_cosine_rate(2, 0, 4, 100), 0.5, 1e-12);
    ck_assert_double_eq_tol(mm_cosine_rate(2, 3, 4, 100), 2, 1e-12);
    ck_assert_double_eq_tol(mm_cosine_rate(2, 52, 4, 100), 1, 1e-12);
    ck_assert_double_lt(mm_cosine_rate(2, 99, 4, 100), 1e-3);
    ck_assert_double_eq(mm_cosine_rate(2, 100, 4, 100), 0);
    ck_assert_double_eq_tol(mm_cosine_rate(2, 0, 0, 1), 2, 1e-12);
    float gradient[2] = {3, 4};
    ck_assert_double_eq_tol(mm_clip_norm(gradient, 2, 10), 5, 1e-6);
    ck_assert_float_eq(gradient[0], 3);
    ck_assert_double_eq_tol(mm_clip_norm(gradient, 2, 1), 5, 1e-6);
    ck_assert_float_eq_tol(gradient[1], 0.8f, 1e-6f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train/golden");
    TCase *tc = tcase_create("golden");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, cells_have_the_same_targets);
    tcase_add_loop_test(tc, outputs_losses_and_gradient_are_torchs, 0, 2);
    tcase_add_loop_test(tc, without_keeping_the_outputs_are_the_same_bits, 0, 2);
    tcase_add_test(tc, the_optimiser_makes_torchs_steps);
    tcase_add_test(tc, measures_are_cocos);
    tcase_add_test(tc, nothing_found_or_nothing_to_find_counts_as_nothing);
    tcase_add_test(tc, the_rate_rises_then_falls_to_nothing);
    suite_add_tcase(suite, tc);
    return mm_check_main(suite);
}
