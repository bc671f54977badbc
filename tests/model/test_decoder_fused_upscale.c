/* The fused decoder's upscaling against the plain steps in double: transposed convolution, norm over the channels, GELU by erf,
 * a second transposed convolution, GELU, and products with the masks' vectors; every logit in its place, and nothing beyond
 * the rows that were asked for. */
#include "fused_support.h"

#ifdef __x86_64__

/* Of one number between the convolutions: GELU's polynomial is good to 3e-4, and then it is rounded to bf16. */
static const double gelu_error = 3.5e-4, bf16_error = 1.0 / 256;

typedef struct upscale_case {
    pool pool;
    mm_fused_sizes sizes;
    size_t side, masks, grid_rows;
    mm_arch arch;
    mm_fused_weights weights;
    mm_mask_decoder decoder;
    mm_fused_image image;
    mm_fused_prompt prompt;
    mm_fused_upscaling up;
    const float *shared;      /* [N][D]: what image.up holds */
    const float *a1, *a2;     /* [N][F]: the prompt's weights */
    const float *up_1, *up_2; /* [D][F] */
    const float *up2;         /* [D / 2][D / 4] */
    float *logits[MM_MAX_MASK_TOKENS];
} upscale_case;

/* side, wanted rows, D, masks, T, H. A side of 32, 64 or 96 takes another way to the logits than others. */
static const size_t shapes[][6] = {
    {32, 32, 64, 4, 7, 8}, {32, 5, 256, 1, 8, 3}, {10, 10, 64, 3, 7, 3},  {10, 3, 128, 2, 6, 4}, {64, 3, 64, 4, 7, 8},
    {96, 2, 64, 2, 3, 1},  {4, 4, 256, 8, 11, 4}, {16, 13, 128, 4, 8, 4}, {33, 7, 64, 1, 6, 5},
};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* A layer's weights, [cells / 32][pairs][32], of a[N][F]. */
static mm_pair *pack_weights(pool *p, const mm_fused_sizes *sizes, const float *a)
{
    const size_t pairs = sizes->pairs, coordinates = sizes->coordinates;
    mm_pair *weights = pool_pairs(p, sizes->padded * pairs);
    for (size_t n = 0; n < sizes->padded; n++)
        for (size_t f = 0; f < coordinates; f += 2)
            weights[(n / 32 * pairs + f / 2) * 32 + n % 32] =
                n < sizes->cells ? pair_of(a[n * coordinates + f], f + 1 < coordinates ? a[n * coordinates + f + 1] : 0) : 0;
    return weights;
}

static mm_bf16 *pack_up(pool *p, const mm_fused_sizes *sizes, const float *x)
{
    mm_bf16 *up = pool_take(p, sizes->padded * sizes->channels * sizeof *up);
    for (size_t n = 0; n < sizes->padded; n++)
        for (size_t o = 0; o < sizes->channels; o++)
            up[(n / 32 * sizes->channels + o) * 32 + n % 32] =
                n < sizes->cells ? mm_bf16_from(x[n * sizes->channels + o]) : 0;
    return up;
}

static void make_layers(upscale_case *t)
{
    const size_t channels = t->sizes.channels, cells = t->sizes.cells, coordinates = t->sizes.coordinates;
    pool *p = &t->pool;
    t->shared = random_exact(p, cells * channels, 2);
    t->a1 = random_exact(p, cells * coordinates, 0.5f);
    t->a2 = random_exact(p, cells * coordinates, 0.5f);
    t->up_1 = random_exact(p, channels * coordinates, 0.5f);
    t->up_2 = random_exact(p, channels * coordinates, 0.5f);
    t->up2 = random_exact(p, channels / 2 * channels / 4, 0.4f);
    t->image.up = pack_up(p, &t->sizes, t->shared);
    t->prompt.weights1 = pack_weights(p, &t->sizes, t->a1);
    t->prompt.weights2 = pack_weights(p, &t->sizes, t->a2);
    t->prompt.inverse1 = random_floats(p, t->sizes.padded, 1, 0.5f);
    t->prompt.inverse2 = random_floats(p, t->sizes.padded, 1, 0.5f);
    t->weights.up_bias = random_floats(p, channels, 0, 1);
    t->weights.up2 = pack_rows(p, t->up2, channels / 2, channels / 4);
    t->decoder.upscale_norm = (mm_norm){random_floats(p, channels / 4, 0, 1.5f), random_floats(p, channels / 4, 0, 1), 0.1f};
    t->decoder.upscale2.bias = random_floats(p, channels / 2, 0, 1);
}

static void upscale_case_make(upscale_case *t, const size_t shape[6])
{
    *t = (upscale_case){.pool.seed = 9, .side = shape[0], .grid_rows = shape[1], .masks = shape[3],
                        .sizes = fused_sizes(shape[4], 3, shape[5], 16, shape[2], shape[0] * shape[0])};
    const size_t plane = 16 * t->sizes.cells;
    make_layers(t);
    t->arch.embedding_side = (uint32_t)t->side;
    t->decoder.arch = &t->arch;
    t->decoder.fused = &t->weights;
    for (size_t m = 0; m < t->masks; m++)
        t->logits[m] = random_floats(&t->pool, plane, 1e6f, 0);
    t->up = (mm_fused_upscaling){.decoder = &t->decoder,
                                 .up_1 = pack_rows(&t->pool, t->up_1, shape[2], t->sizes.coordinates),
                                 .up_2 = pack_rows(&t->pool, t->up_2, shape[2], t->sizes.coordinates),
                                 .up_l = random_floats(&t->pool, shape[2], 0, 1),
                                 .up_c = random_floats(&t->pool, shape[2], 0, 1),
                                 .hyper = random_floats(&t->pool, t->masks * shape[2] / 8, 0, 1),
                                 .masks = t->masks,
                                 .grid_rows = t->grid_rows,
                                 .logits = t->logits};
}

/* Output o of the first convolution, of cell n. */
static double first_output(const upscale_case *t, size_t n, size_t o)
{
    const size_t coordinates = t->sizes.coordinates;
    double of_first = (double)t->shared[n * t->sizes.channels + o] + (double)t->up.up_l[o], of_second = (double)t->up.up_c[o];
    for (size_t f = 0; f < coordinates; f++) {
        of_first += (double)t->up_1[o * coordinates + f] * (double)t->a1[n * coordinates + f];
        of_second += (double)t->up_2[o * coordinates + f] * (double)t->a2[n * coordinates + f];
    }
    return (double)t->prompt.inverse2[n] * ((double)t->prompt.inverse1[n] * of_first + of_second) +
           (double)t->weights.up_bias[o];
}

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

/* x[quarter]: a sub-pixel of the first convolution, after norm and GELU. */
static void first_subpixel(const upscale_case *t, size_t n, size_t sub, double *x)
{
    const size_t quarter = t->sizes.channels / 4;
    const mm_norm *norm = &t->decoder.upscale_norm;
    double mean = 0, variance = 0;
    for (size_t o = 0; o < quarter; o++) {
        x[o] = first_output(t, n, sub * quarter + o);
        mean += x[o] / (double)quarter;
    }
    for (size_t o = 0; o < quarter; o++)
        variance += (x[o] - mean) * (x[o] - mean) / (double)quarter;
    for (size_t o = 0; o < quarter; o++)
        x[o] = gelu((x[o] - mean) / sqrt(variance + (double)norm->eps) * (double)norm->weight[o] + (double)norm->bias[o]);
}

/* Sub-pixel `second` of the second convolution within x, times each mask's vector: logits[masks], and how far off they may be:
 * by the errors of all channels of x and of the second GELU at their worst (GELU's slope is at most 1.13). */
static void second_subpixel(const upscale_case *t, const double *x, size_t second, double *logits, double *bound)
{
    const size_t quarter = t->sizes.channels / 4, eighth = quarter / 2;
    for (size_t m = 0; m < t->masks; m++)
        logits[m] = bound[m] = 0;
    for (size_t o = 0; o < eighth; o++) {
        const size_t row = second * eighth + o;
        double total = (double)t->decoder.upscale2.bias[row], off = 0;
        for (size_t i = 0; i < quarter; i++) {
            const double w = (double)t->up2[row * quarter + i];
            total += w * x[i];
            off += fabs(w) * (gelu_error + bf16_error * fabs(x[i]));
        }
        for (size_t m = 0; m < t->masks; m++) {
            const double h = (double)t->up.hyper[m * eighth + o];
            logits[m] += h * gelu(total);
            bound[m] += fabs(h) * (1.13 * off + gelu_error);
        }
    }
}

/* Sums over all logits of the case, for the error as a whole: far below the worst case of each. */
typedef struct error_sums {
    double difference, square;
} error_sums;

static void check_cell(const upscale_case *t, size_t n, error_sums *sums)
{
    double x[64], expected[MM_MAX_MASK_TOKENS], bound[MM_MAX_MASK_TOKENS];
    ck_assert_uint_le(t->sizes.channels / 4, 64);
    for (size_t first = 0; first < 4; first++) {
        first_subpixel(t, n, first, x);
        for (size_t second = 0; second < 4; second++) {
            second_subpixel(t, x, second, expected, bound);
            const size_t row = 4 * (n / t->side) + 2 * (first / 2) + second / 2;
            const size_t column = 4 * (n % t->side) + 2 * (first % 2) + second % 2;
            for (size_t m = 0; m < t->masks; m++) {
                const double got = (double)t->logits[m][row * 4 * t->side + column];
                assert_near(got, expected[m], bound[m], "a logit");
                sums->difference += (got - expected[m]) * (got - expected[m]);
                sums->square += expected[m] * expected[m];
            }
        }
    }
}

START_TEST(upscaling_equals_plain_convolutions)
{
    if (!mm_bf16_get())
        return;
    upscale_case t;
    upscale_case_make(&t, shapes[_i]);
    mm_fused_upscale(&t.sizes, &t.image, &t.prompt, &t.up, pool_floats(&t.pool, mm_fused_upscale_work(&t.sizes)));
    error_sums sums = {0};
    for (size_t n = 0; n < t.grid_rows * t.side; n++)
        check_cell(&t, n, &sums);
    /* Measured: 0.0012 to 0.0021. */
    ck_assert_double_lt(sqrt(sums.difference / sums.square), 4e-3);
    size_t written = 0; /* beyond those rows */
    for (size_t m = 0; m < t.masks; m++)
        for (size_t i = 16 * t.grid_rows * t.side; i < 16 * t.sizes.cells; i++)
            written += t.logits[m][i] != 1e6f;
    ck_assert_uint_eq(written, 0);
    pool_free(&t.pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/fused decoder's upscaling");
    TCase *tests = tcase_create("upscaling");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, upscaling_equals_plain_convolutions, 0, SHAPES);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}

#else

int main(void)
{
    return 0; /* these kernels are there on x86-64 alone */
}

#endif
