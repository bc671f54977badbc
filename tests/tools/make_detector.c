/* maskmill-make-detector MODEL MODEL_CONFIG OUT SEED: a detector of random weights for a model, for tests. What it finds is
 * nonsense, but much, and the same everywhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/head_file.h"
#include "maskmill/model.h"

static uint64_t state;

/* Uniform in [-1, 1): splitmix64's upper bits. */
static float next(void)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)((z ^ z >> 31) >> 40) / (float)(1 << 23) - 1;
}

static void fill(const mm_head *head, float *parameters)
{
    for (size_t i = 0; i < head->tensor_count; i++) {
        const mm_head_tensor *t = &head->tensors[i];
        const bool vector = t->dims == 1;
        for (size_t k = 0; k < t->count; k++)
            parameters[t->first + k] = vector ? 1 + 0.1f * next() : 0.3f * next();
    }
    for (size_t k = 0; k < MM_HEAD_OUTPUTS; k++)
        parameters[head->out_bias + k] = k < MM_HEAD_BOX ? 0.5f : 0.8f; /* boxes of some strides */
}

static mm_status make(char **argv, mm_error *err)
{
    const mm_model_options options = {.config_path = *argv[2] ? argv[2] : NULL, .kernels = {.threads = 1}};
    mm_model *model = NULL;
    char encoder[65];
    mm_status status = mm_model_open(argv[1], &options, &model, err);
    if (status != MM_OK)
        return status;
    const mm_arch *arch = mm_model_arch(model);
    const mm_detector_shape shape = {arch->prompt_embed_dim, arch->embedding_side, 16, 2};
    mm_head *head = calloc(1, sizeof *head);
    float *parameters = NULL;
    status = head ? mm_head_plan(&shape, head, err) : mm_fail_memory(err, "a detector");
    if (status == MM_OK) {
        parameters = calloc(head->parameters, sizeof *parameters);
        status = parameters ? mm_model_encoder_sha256(model, encoder, err) : mm_fail_memory(err, "a detector");
    }
    if (status == MM_OK) {
        mm_detect_params defaults = mm_detect_general_defaults();
        defaults.score_thresh = 0.05f;
        defaults.confident_score_thresh = 0.3f;
        defaults.confident_iou_thresh = 0;
        defaults.confident_stability_thresh = 0.01f;
        state = strtoull(argv[4], NULL, 10);
        fill(head, parameters);
        status = mm_head_file_write(argv[3], head, parameters, encoder, &defaults, NULL, err);
    }
    free(parameters);
    free(head);
    mm_model_close(model);
    return status;
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    if (argc != 5) {
        (void)fprintf(stderr, "maskmill-make-detector MODEL MODEL_CONFIG OUT SEED\n");
        return 2;
    }
    if (make(argv, &err) == MM_OK)
        return 0;
    (void)fprintf(stderr, "maskmill-make-detector: %s\n", err.text);
    return 4;
}
