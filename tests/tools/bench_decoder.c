/* Processor seconds of one optimiser step of the decoder's training: forward, losses, backward of all rounds of an
 * image's prompts, and AdamW. `scripts/bench-train` compares it with PyTorch.
 * Usage: maskmill-bench-decoder MODEL PROMPTS ROUNDS STEPS [f32|bf16] [dnnl|blas] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "maskmill/model.h"
#include "tensor/memory.h"
#include "train/adamw.h"
#include "train/dialogue.h"
#include "train/draw.h"

typedef struct bench {
    mm_kernels kernels;
    mm_checkpoint *checkpoint;
    mm_arch arch;
    mm_parameters parameters;
    float *values, *gradients, *decay, *cells;
    mm_trained_decoder decoder;
    mm_adamw optimiser;
    mm_rle *masks;
    size_t prompts;
} bench;

static mm_status open_model(bench *b, const char *path, mm_error *err)
{
    mm_status status = mm_kernels_resolve(&b->kernels, err);
    if (status == MM_OK)
        status = mm_checkpoint_open(path, &b->checkpoint, err);
    if (status == MM_OK)
        status = mm_arch_recognise(b->checkpoint, NULL, &b->arch, err);
    if (status == MM_OK)
        status = mm_parameters_make(&b->arch, &b->parameters, err);
    if (status != MM_OK)
        return status;
    const size_t floats = b->parameters.floats, side = b->arch.embedding_side;
    b->values = mm_floats(floats);
    b->gradients = mm_floats(floats);
    b->decay = mm_floats(floats);
    b->cells = mm_floats(side * side * b->arch.prompt_embed_dim);
    if (!b->values || !b->gradients || !b->decay || !b->cells)
        return mm_fail_memory(err, "the benchmark");
    mm_parameters_decay(&b->parameters, b->decay);
    mm_draw draw = {1, 0};
    for (size_t i = 0; i < side * side * b->arch.prompt_embed_dim; i++)
        b->cells[i] = (float)mm_draw_normal(&draw);
    status = mm_parameters_read(&b->parameters, b->checkpoint, b->values, err);
    if (status == MM_OK)
        status = mm_trained_decoder_make(&b->arch, &b->parameters, b->values, b->gradients, b->checkpoint, &b->decoder,
                                         err);
    if (status == MM_OK)
        status = mm_adamw_new(b->values, floats, &b->optimiser, err);
    return status;
}

/* Discs of several sizes in a square image. */
static mm_status draw_masks(bench *b, mm_error *err)
{
    const uint32_t side = b->arch.image_size;
    uint8_t *bits = malloc((size_t)side * side);
    b->masks = calloc(b->prompts, sizeof *b->masks);
    mm_status status = bits && b->masks ? MM_OK : mm_fail_memory(err, "masks");
    for (size_t i = 0; status == MM_OK && i < b->prompts; i++) {
        const double cx = 0.2 + 0.6 * (double)(i * 37 % 100) / 100, cy = 0.2 + 0.6 * (double)(i * 61 % 100) / 100;
        const double radius = 0.05 + 0.15 * (double)(i % 4) / 4;
        for (uint32_t y = 0; y < side; y++)
            for (uint32_t x = 0; x < side; x++)
                bits[(size_t)y * side + x] = hypot(x / (double)side - cx, y / (double)side - cy) < radius;
        status = mm_rle_from_bits(bits, side, side, &b->masks[i], err);
    }
    free(bits);
    return status;
}

/* Of this process, so that others on the machine hardly matter. */
static double processor_seconds(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* cannot fail for this clock */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static mm_status measure(bench *b, uint32_t rounds, int steps, mm_error *err)
{
    const uint32_t side = b->arch.image_size;
    mm_learner learner = mm_learner_of(&b->kernels, err);
    const mm_dialogue_options options = {.rounds = rounds, .weights = {20, 1, 1, 0}};
    const mm_dialogue_image image = {.embedding = b->cells, .frame = {side, side, side, side, side,
                                                                      4 * b->arch.embedding_side},
                                     .masks = b->masks, .count = b->prompts};
    mm_dialogue_memory memory = {0};
    double best = 0;
    mm_status status = MM_OK;
    for (int i = 0; i <= steps && status == MM_OK; i++) {
        mm_dialogue_sums sums = {0};
        const double start = processor_seconds();
        memset(b->gradients, 0, b->parameters.floats * sizeof *b->gradients);
        status = mm_dialogue_run(&learner, &b->decoder, &options, &image, (uint64_t)i, true, &memory, &sums, err);
        (void)mm_clip_norm(b->gradients, b->parameters.floats, 1);
        mm_adamw_step(&b->optimiser, b->gradients, b->decay, 1e-6);
        const double seconds = processor_seconds() - start;
        if (i > 0 && (i == 1 || seconds < best)) /* the first one warms up */
            best = seconds;
    }
    mm_dialogue_memory_free(&memory);
    if (status == MM_OK)
        printf("%.6f\n", best);
    return status;
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    bench b = {.kernels = {.precision = MM_PRECISION_F32, .threads = 1}};
    if (argc < 5) {
        (void)fprintf(stderr, "usage: maskmill-bench-decoder MODEL PROMPTS ROUNDS STEPS [f32|bf16] [dnnl|blas]\n");
        return 2;
    }
    if (argc > 5 && strcmp(argv[5], "bf16") == 0)
        b.kernels.precision = MM_PRECISION_BF16;
    if (argc > 6)
        b.kernels.backend = strcmp(argv[6], "blas") == 0 ? MM_BACKEND_BLAS : MM_BACKEND_DNNL;
    b.prompts = (size_t)atoi(argv[2]);
    mm_status status = open_model(&b, argv[1], &err);
    if (status == MM_OK)
        status = draw_masks(&b, &err);
    if (status == MM_OK)
        status = measure(&b, (uint32_t)atoi(argv[3]), atoi(argv[4]), &err);
    if (status != MM_OK)
        (void)fprintf(stderr, "%s\n", err.text);
    for (size_t i = 0; b.masks && i < b.prompts; i++)
        mm_rle_free(&b.masks[i]);
    free(b.masks);
    mm_adamw_free(&b.optimiser);
    mm_trained_decoder_free(&b.decoder);
    mm_parameters_free(&b.parameters);
    mm_checkpoint_close(b.checkpoint);
    free(b.values);
    free(b.gradients);
    free(b.decay);
    free(b.cells);
    return status == MM_OK ? 0 : 1;
}
