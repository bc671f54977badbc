/* Layers one by one: forward against a plain twin in double, and all gradients, those of inputs too, against
 * differences of it. */
#include <math.h>

#include "check_main.h"
#include "tensor/memory.h"
#include "train/image_attention.h"
#include "train/mask_input.h"
#include "train/upscaling.h"

enum { MOST_INPUTS = 12, ROWS = 6, CHANNELS = 16, HEADS = 2, TOKENS = 3, CELLS = 9 };

/* What a layer's result depends on, in f32 and in double, and the gradients that the layer gave; the loss is the sum of
 * the opinions times the results. */
typedef struct subject {
    size_t count, sizes[MOST_INPUTS];
    const char *names[MOST_INPUTS];
    float *values[MOST_INPUTS], *gradients[MOST_INPUTS];
    double *wide[MOST_INPUTS];
    float opinions[2048];
    uint32_t seed;
    mm_learner learner;
    mm_error err;
} subject;

static float noise(subject *s)
{
    s->seed = s->seed * 1664525u + 1013904223u;
    return (float)(int32_t)s->seed / 2147483648.0f;
}

static subject *subject_new(mm_backend backend)
{
    subject *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    s->seed = 21;
    s->learner.kernels = (mm_kernels){.backend = backend, .precision = MM_PRECISION_F32, .threads = 1};
    ck_assert(mm_kernels_resolve(&s->learner.kernels, &s->err) == MM_OK);
    s->learner.ops = mm_vector_get(&s->learner.kernels);
    s->learner.gradient = mm_gradient_get(&s->learner.kernels);
    s->learner.err = &s->err;
    for (size_t i = 0; i < sizeof s->opinions / sizeof s->opinions[0]; i++)
        s->opinions[i] = noise(s);
    return s;
}

static void subject_free(subject *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->values[i]);
        free(s->gradients[i]);
        free(s->wide[i]);
    }
    free(s);
}

/* One more input of noise; returns its number. */
static size_t input(subject *s, const char *name, size_t n)
{
    const size_t i = s->count++;
    s->names[i] = name;
    s->sizes[i] = n;
    s->values[i] = mm_floats(n);
    s->gradients[i] = mm_floats(n);
    s->wide[i] = calloc(n, sizeof(double));
    ck_assert(s->values[i] && s->gradients[i] && s->wide[i]);
    for (size_t k = 0; k < n; k++) {
        s->values[i][k] = noise(s);
        s->gradients[i][k] = 0;
        s->wide[i][k] = s->values[i][k];
    }
    return i;
}

typedef double plain_loss(const subject *s);

static double opine(const subject *s, const double *results, size_t n)
{
    double loss = 0;
    for (size_t i = 0; i < n; i++)
        loss += s->opinions[i] * results[i];
    return loss;
}

/* The layer's loss is the twin's, and so is each gradient. */
static void check(subject *s, const float *results, size_t n, plain_loss *loss)
{
    double got = 0;
    ck_assert_msg(s->learner.status == MM_OK, "%s", s->err.text);
    for (size_t i = 0; i < n; i++)
        got += (double)s->opinions[i] * results[i];
    ck_assert_double_eq_tol(got, loss(s), 1e-4);
    for (size_t i = 0; i < s->count; i++) {
        double error = 0, size = 0;
        for (size_t k = 0; k < s->sizes[i]; k++) {
            const double at = s->wide[i][k], step = 1e-5;
            s->wide[i][k] = at + step;
            double slope = loss(s);
            s->wide[i][k] = at - step;
            slope = (slope - loss(s)) / (2 * step);
            s->wide[i][k] = at;
            error += (slope - s->gradients[i][k]) * (slope - s->gradients[i][k]);
            size += slope * slope;
        }
        ck_assert_msg(size > 0 && sqrt(error) <= 1e-3 * sqrt(size), "%s: gradient off by %g of %g", s->names[i],
                      sqrt(error), sqrt(size));
    }
}

static mm_trained_linear linear_of(subject *s, size_t weight, size_t in, size_t out)
{
    return (mm_trained_linear){s->values[weight], s->values[weight + 1], s->gradients[weight], s->gradients[weight + 1],
                               in, out};
}

static void plain_linear(const double *x, const double *w, const double *b, size_t rows, size_t in, size_t out,
                         double *y)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            y[r * out + o] = b ? b[o] : 0;
            for (size_t i = 0; i < in; i++)
                y[r * out + o] += w[o * in + i] * x[r * in + i];
        }
}

static void plain_norm(const double *x, const double *w, const double *b, double eps, size_t rows, size_t n, double *y)
{
    for (size_t r = 0; r < rows; r++) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < n; i++)
            mean += x[r * n + i] / (double)n;
        for (size_t i = 0; i < n; i++)
            square += pow(x[r * n + i] - mean, 2) / (double)n;
        for (size_t i = 0; i < n; i++)
            y[r * n + i] = (x[r * n + i] - mean) / sqrt(square + eps) * w[i] + b[i];
    }
}

static void plain_gelu(double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= 0.5 * (1 + erf(x[i] * M_SQRT1_2));
}

/* Inputs of the MLP: x, and weight and bias of two layers. */
static double mlp_loss(const subject *s)
{
    double hidden[ROWS * 20], y[ROWS * 5];
    plain_linear(s->wide[0], s->wide[1], s->wide[2], ROWS, CHANNELS, 20, hidden);
    for (size_t i = 0; i < ROWS * 20; i++)
        hidden[i] = hidden[i] > 0 ? hidden[i] : 0;
    plain_linear(hidden, s->wide[3], s->wide[4], ROWS, 20, 5, y);
    return opine(s, y, ROWS * 5);
}

START_TEST(test_mlp)
{
    subject *s = subject_new(_i ? MM_BACKEND_BLAS : MM_BACKEND_AUTO);
    input(s, "x", ROWS * CHANNELS);
    input(s, "weight1", 20 * CHANNELS);
    input(s, "bias1", 20);
    input(s, "weight2", 5 * 20);
    input(s, "bias2", 5);
    const mm_trained_mlp mlp = {{linear_of(s, 1, CHANNELS, 20), linear_of(s, 3, 20, 5)}, 2};
    float hidden[ROWS * 20], y[ROWS * 5], scratch[2][ROWS * 20];
    float *const hiddens[] = {hidden}, *const blocks[2] = {scratch[0], scratch[1]};
    mm_mlp_forward(&s->learner, &mlp, s->values[0], ROWS, hiddens, y);
    mm_mlp_back(&s->learner, &mlp, s->values[0], hiddens, s->opinions, ROWS, blocks, MM_SET, s->gradients[0]);
    check(s, y, ROWS * 5, mlp_loss);
    subject_free(s);
}
END_TEST

/* Attention of prompts' tokens: where, what, and q, k, v, out. */
static double attention_loss(const subject *s)
{
    const size_t dim = CHANNELS / HEADS;
    double q[ROWS * CHANNELS], k[ROWS * CHANNELS], v[ROWS * CHANNELS], mixed[ROWS * CHANNELS] = {0}, y[ROWS * CHANNELS];
    plain_linear(s->wide[0], s->wide[2], s->wide[3], ROWS, CHANNELS, CHANNELS, q);
    plain_linear(s->wide[0], s->wide[4], s->wide[5], ROWS, CHANNELS, CHANNELS, k);
    plain_linear(s->wide[1], s->wide[6], s->wide[7], ROWS, CHANNELS, CHANNELS, v);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t h = 0; h < HEADS; h++) {
            double weights[TOKENS], sum = 0;
            const size_t first = r / TOKENS * TOKENS;
            for (size_t j = 0; j < TOKENS; j++) {
                double dot = 0;
                for (size_t i = 0; i < dim; i++)
                    dot += q[r * CHANNELS + h * dim + i] * k[(first + j) * CHANNELS + h * dim + i];
                sum += weights[j] = exp(dot / sqrt((double)dim));
            }
            for (size_t j = 0; j < TOKENS; j++)
                for (size_t i = 0; i < dim; i++)
                    mixed[r * CHANNELS + h * dim + i] += weights[j] / sum * v[(first + j) * CHANNELS + h * dim + i];
        }
    plain_linear(mixed, s->wide[8], s->wide[9], ROWS, CHANNELS, CHANNELS, y);
    return opine(s, y, ROWS * CHANNELS) + 1e-3 * s->wide[5][0]; /* a bias of keys has no gradient of its own */
}

START_TEST(test_token_attention)
{
    subject *s = subject_new(_i ? MM_BACKEND_BLAS : MM_BACKEND_AUTO);
    static const char *const names[] = {"q", "q bias", "k", "k bias", "v", "v bias", "out", "out bias"};
    input(s, "where", ROWS * CHANNELS);
    input(s, "what", ROWS * CHANNELS);
    for (size_t i = 0; i < 8; i++)
        input(s, names[i], i % 2 ? CHANNELS : CHANNELS * CHANNELS);
    const mm_trained_attention attention = {linear_of(s, 2, CHANNELS, CHANNELS), linear_of(s, 4, CHANNELS, CHANNELS),
                                            linear_of(s, 6, CHANNELS, CHANNELS), linear_of(s, 8, CHANNELS, CHANNELS)};
    const mm_token_sizes sizes = {ROWS / TOKENS, TOKENS, HEADS, CHANNELS};
    float memory[10][ROWS * CHANNELS];
    mm_token_attention_state state = {memory[0], memory[1], memory[2], memory[3], memory[4]};
    float *const scratch[4] = {memory[5], memory[6], memory[7], memory[8]};
    mm_token_attention_forward(&s->learner, &attention, &sizes, s->values[0], s->values[1], &state, memory[9]);
    mm_token_attention_back(&s->learner, &attention, &sizes, s->values[0], s->values[1], &state, s->opinions, scratch,
                            s->gradients[0], s->gradients[1]);
    for (size_t i = 0; i < CHANNELS; i++)
        ck_assert_double_eq_tol(s->gradients[5][i], 0, 1e-5);
    memset(s->gradients[5], 0, CHANNELS * sizeof(float));
    s->gradients[5][0] = 1e-3f;
    memory[9][0] += 1e-3f * s->values[5][0] / s->opinions[0];
    check(s, memory[9], ROWS * CHANNELS, attention_loss);
    subject_free(s);
}
END_TEST

/* Vectors look at an image: key vectors alone; of the image, the scores' gradient is made into it by the decoder. */
static double look_loss(const subject *s)
{
    const double *vectors = s->wide[0];
    double y[ROWS * CHANNELS] = {0};
    for (size_t r = 0; r < ROWS; r++) {
        double weights[CELLS], sum = 0;
        for (size_t n = 0; n < CELLS; n++) {
            double dot = 0;
            for (size_t c = 0; c < CHANNELS; c++)
                dot += vectors[r * CHANNELS + c] * (s->wide[1][n * CHANNELS + c] + 0.25 * (double)(c % 3));
            sum += weights[n] = exp(dot);
        }
        for (size_t n = 0; n < CELLS; n++)
            for (size_t c = 0; c < CHANNELS; c++)
                y[r * CHANNELS + c] += weights[n] / sum * s->wide[1][n * CHANNELS + c];
    }
    return opine(s, y, ROWS * CHANNELS);
}

START_TEST(test_look)
{
    subject *s = subject_new(_i ? MM_BACKEND_BLAS : MM_BACKEND_AUTO);
    input(s, "key vectors", ROWS * CHANNELS);
    input(s, "image", CELLS * CHANNELS);
    float keys[CELLS * CHANNELS], weights[ROWS * CELLS], dscores[ROWS * CELLS], y[ROWS * CHANNELS];
    for (size_t i = 0; i < CELLS * CHANNELS; i++)
        keys[i] = s->values[1][i] + 0.25f * (float)(i % CHANNELS % 3);
    const mm_image_level image = {s->values[1], keys, CELLS, CHANNELS};
    mm_look_forward(&s->learner, &image, ROWS, s->values[0], weights, y);
    mm_look_back(&s->learner, &image, ROWS, weights, s->opinions, dscores, s->gradients[0]);
    mm_multiply(&s->learner, true, false, CELLS, CHANNELS, ROWS, 1, weights, CELLS, s->opinions, CHANNELS, 0,
                s->gradients[1], CHANNELS);
    mm_multiply(&s->learner, true, false, CELLS, CHANNELS, ROWS, 1, dscores, CELLS, s->values[0], CHANNELS, 1,
                s->gradients[1], CHANNELS);
    check(s, y, ROWS * CHANNELS, look_loss);
    subject_free(s);
}
END_TEST

/* The image looks at vectors: query vectors, their bias, value vectors, out bias, norm, image. */
static double update_loss(const subject *s)
{
    enum { VECTORS = TOKENS * HEADS };
    double y[CELLS * CHANNELS], out[CELLS * CHANNELS];
    for (size_t n = 0; n < CELLS; n++) {
        double weights[VECTORS], sums[HEADS] = {0};
        for (size_t v = 0; v < VECTORS; v++) {
            double dot = s->wide[1][v];
            for (size_t c = 0; c < CHANNELS; c++)
                dot += s->wide[0][v * CHANNELS + c] * (s->wide[6][n * CHANNELS + c] + 0.25 * (double)(c % 3));
            sums[v % HEADS] += weights[v] = exp(dot);
        }
        for (size_t c = 0; c < CHANNELS; c++) {
            y[n * CHANNELS + c] = s->wide[6][n * CHANNELS + c] + s->wide[3][c];
            for (size_t v = 0; v < VECTORS; v++)
                y[n * CHANNELS + c] += weights[v] / sums[v % HEADS] * s->wide[2][v * CHANNELS + c];
        }
    }
    plain_norm(y, s->wide[4], s->wide[5], 1e-5, CELLS, CHANNELS, out);
    return opine(s, out, CELLS * CHANNELS);
}

START_TEST(test_update)
{
    enum { VECTORS = TOKENS * HEADS };
    subject *s = subject_new(_i ? MM_BACKEND_BLAS : MM_BACKEND_AUTO);
    input(s, "query vectors", VECTORS * CHANNELS);
    input(s, "query bias", VECTORS);
    input(s, "value vectors", VECTORS * CHANNELS);
    input(s, "out bias", CHANNELS);
    input(s, "norm weight", CHANNELS);
    input(s, "norm bias", CHANNELS);
    input(s, "image", CELLS * CHANNELS);
    float positions[CELLS * CHANNELS], keys[CELLS * CHANNELS], weights[VECTORS * CELLS], dscores[VECTORS * CELLS];
    float normal[CELLS * CHANNELS], inverse[CELLS], values[CELLS * CHANNELS], after[CELLS * CHANNELS];
    for (size_t i = 0; i < CELLS * CHANNELS; i++) {
        positions[i] = 0.25f * (float)(i % CHANNELS % 3);
        keys[i] = s->values[6][i] + positions[i];
    }
    const mm_trained_norm norm = {s->values[4], s->values[5], s->gradients[4], s->gradients[5], 1e-5f, CHANNELS};
    const mm_image_level before = {s->values[6], keys, CELLS, CHANNELS};
    const mm_update update = {TOKENS, HEADS, s->values[0], s->values[1], s->values[2], s->values[3], weights};
    mm_norm_state state = {normal, inverse};
    mm_update_forward(&s->learner, &before, &update, &norm, positions, &state, values, after);
    for (size_t i = 0; i < CELLS * CHANNELS; i++)
        ck_assert_float_eq(after[i], values[i] + positions[i]);
    float *dimage = s->gradients[6];
    memcpy(dimage, s->opinions, CELLS * CHANNELS * sizeof *dimage);
    mm_update_back(&s->learner, &before, &update, &norm, &state, dimage, dscores, s->gradients[0], s->gradients[1],
                   s->gradients[2], s->gradients[3]);
    mm_multiply(&s->learner, true, false, CELLS, CHANNELS, VECTORS, 1, dscores, CELLS, s->values[0], CHANNELS, 1,
                dimage, CHANNELS);
    check(s, values, CELLS * CHANNELS, update_loss);
    subject_free(s);
}
END_TEST

/* Upscaling: image, two convolutions, the norm between, the masks' vectors. */
static double upscaling_loss(const subject *s)
{
    enum { QUARTER = CHANNELS / 4, EIGHTH = CHANNELS / 8 };
    double half[CELLS * CHANNELS], normal[CELLS * CHANNELS], full[2 * CELLS * CHANNELS], logits[2 * 16 * CELLS];
    plain_linear(s->wide[0], s->wide[1], NULL, CELLS, CHANNELS, CHANNELS, half);
    for (size_t i = 0; i < CELLS * CHANNELS; i++)
        half[i] += s->wide[2][i % QUARTER];
    plain_norm(half, s->wide[3], s->wide[4], 1e-6, 4 * CELLS, QUARTER, normal);
    plain_gelu(normal, CELLS * CHANNELS);
    plain_linear(normal, s->wide[5], NULL, 4 * CELLS, QUARTER, 4 * EIGHTH, full);
    for (size_t i = 0; i < 2 * CELLS * CHANNELS; i++)
        full[i] += s->wide[6][i % EIGHTH];
    plain_gelu(full, 2 * CELLS * CHANNELS);
    plain_linear(s->wide[7], full, NULL, 2, EIGHTH, 16 * CELLS, logits);
    return opine(s, logits, 2 * 16 * CELLS);
}

START_TEST(test_upscaling)
{
    enum { QUARTER = CHANNELS / 4, EIGHTH = CHANNELS / 8 };
    subject *s = subject_new(_i ? MM_BACKEND_BLAS : MM_BACKEND_AUTO);
    input(s, "image", CELLS * CHANNELS);
    input(s, "weight1", CHANNELS * CHANNELS);
    input(s, "bias1", QUARTER);
    input(s, "norm weight", QUARTER);
    input(s, "norm bias", QUARTER);
    input(s, "weight2", 4 * EIGHTH * QUARTER);
    input(s, "bias2", EIGHTH);
    input(s, "masks' vectors", 2 * EIGHTH);
    const mm_trained_upscaling upscaling = {s->values[1], s->values[2], s->values[5], s->values[6], s->gradients[1],
                                            s->gradients[2], s->gradients[5], s->gradients[6],
                                            {s->values[3], s->values[4], s->gradients[3], s->gradients[4], 1e-6f,
                                             QUARTER},
                                            CHANNELS};
    float normal[CELLS * CHANNELS], inverse[4 * CELLS], half[CELLS * CHANNELS], slope1[CELLS * CHANNELS];
    float full[2 * CELLS * CHANNELS], slope2[2 * CELLS * CHANNELS], scratch[CELLS * CHANNELS], logits[2 * 16 * CELLS];
    mm_upscaling_state state = {{normal, inverse}, half, slope1, full, slope2};
    mm_upscaling_forward(&s->learner, &upscaling, s->values[0], CELLS, s->values[7], 2, &state, logits);
    mm_upscaling_back(&s->learner, &upscaling, s->values[0], CELLS, s->values[7], 2, s->opinions, &state, scratch,
                      s->gradients[7], s->gradients[0]);
    check(s, logits, 2 * 16 * CELLS, upscaling_loss);
    subject_free(s);
}
END_TEST

/* The way of a mask: weights and biases of three convolutions, two norms. The logits have no gradient. */
static float mask_logits[16 * CELLS];

static double mask_loss(const subject *s)
{
    enum { WIDE = 16, NARROW = 4 };
    double x[16 * CELLS], half[4 * CELLS * NARROW], normal[4 * CELLS * NARROW], quarter[CELLS * WIDE],
        wide[CELLS * WIDE];
    double dense[CELLS * CHANNELS];
    for (size_t i = 0; i < 16 * CELLS; i++)
        x[i] = mask_logits[i];
    plain_linear(x, s->wide[0], s->wide[1], 4 * CELLS, 4, NARROW, half);
    plain_norm(half, s->wide[6], s->wide[7], 1e-6, 4 * CELLS, NARROW, normal);
    plain_gelu(normal, 4 * CELLS * NARROW);
    plain_linear(normal, s->wide[2], s->wide[3], CELLS, 4 * NARROW, WIDE, quarter);
    plain_norm(quarter, s->wide[8], s->wide[9], 1e-6, CELLS, WIDE, wide);
    plain_gelu(wide, CELLS * WIDE);
    plain_linear(wide, s->wide[4], s->wide[5], CELLS, WIDE, CHANNELS, dense);
    return opine(s, dense, CELLS * CHANNELS);
}

START_TEST(test_mask_input)
{
    enum { WIDE = 16, NARROW = 4 };
    subject *s = subject_new(_i ? MM_BACKEND_BLAS : MM_BACKEND_AUTO);
    input(s, "weight1", NARROW * 4);
    input(s, "bias1", NARROW);
    input(s, "weight2", WIDE * 4 * NARROW);
    input(s, "bias2", WIDE);
    input(s, "weight3", CHANNELS * WIDE);
    input(s, "bias3", CHANNELS);
    input(s, "norm1 weight", NARROW);
    input(s, "norm1 bias", NARROW);
    input(s, "norm2 weight", WIDE);
    input(s, "norm2 bias", WIDE);
    for (size_t i = 0; i < 16 * CELLS; i++)
        mask_logits[i] = 4 * noise(s);
    const mm_trained_mask_input encoder = {
        linear_of(s, 0, 4, NARROW), linear_of(s, 2, 4 * NARROW, WIDE), linear_of(s, 4, WIDE, CHANNELS),
        {s->values[6], s->values[7], s->gradients[6], s->gradients[7], 1e-6f, NARROW},
        {s->values[8], s->values[9], s->gradients[8], s->gradients[9], 1e-6f, WIDE}};
    float memory[6][4 * CELLS * NARROW], inverse1[4 * CELLS], inverse2[CELLS], scratch[4 * CELLS * NARROW];
    float dense[CELLS * CHANNELS];
    mm_mask_input_state state = {{memory[0], inverse1}, {memory[1], inverse2}, memory[2], memory[3], memory[4],
                                 memory[5]};
    mm_mask_input_forward(&s->learner, &encoder, mask_logits, CELLS, &state, dense);
    mm_mask_input_back(&s->learner, &encoder, mask_logits, CELLS, s->opinions, &state, scratch);
    check(s, dense, CELLS * CHANNELS, mask_loss);
    subject_free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train/layers");
    TCase *tcase = tcase_create("layers");
    tcase_add_loop_test(tcase, test_mlp, 0, 2);
    tcase_add_loop_test(tcase, test_token_attention, 0, 2);
    tcase_add_loop_test(tcase, test_look, 0, 2);
    tcase_add_loop_test(tcase, test_update, 0, 2);
    tcase_add_loop_test(tcase, test_upscaling, 0, 2);
    tcase_add_loop_test(tcase, test_mask_input, 0, 2);
    suite_add_tcase(suite, tcase);
    return mm_check_main(suite);
}
