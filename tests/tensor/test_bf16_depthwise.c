/* The bf16 kernels of convolutional encoders against plain loops in double: convolutions over images with a margin, and
 * depthwise ones. Tolerances allow the rounding to bf16 and GELU's pieces. */
#include "tensor/bf16_testing.h"

static const mm_bf16_ops *ops; /* of this CPU; tests of them return at once where there are none */

static const double gelu_error = 1.3e-4;

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

/* The kernel's sum is within `error` of `sum`. */
static void assert_gelu(mm_bf16 y, double sum, double error)
{
    ck_assert_double_eq_tol(value(y), gelu(sum), 1.13 * error + gelu_error + half_ulp * fabs(gelu(sum)));
}

/* What a convolution gives, at [rows][columns][n] of an image whose rows stand apart. */
static void check_convolution(size_t rows, size_t columns, size_t channels, size_t stride, size_t n, mm_epilogue epilogue)
{
    const size_t in_row = ((columns - 1) * stride + 3) * channels + 2, k = 9 * channels, out_row = columns * n + 5;
    const size_t size = epilogue == MM_TO_F32 ? sizeof(float) : sizeof(mm_bf16);
    mm_bf16 *in = random_bf16(((rows - 1) * stride + 3) * in_row, 1, 1), *b = new_bf16(mm_packed_count(n, k));
    float *w = random_floats(n * k, 0.5f, 2), *bias = random_floats(n, 1, 3);
    unsigned char *out = (unsigned char *)mm_floats(rows * out_row);
    ck_assert_ptr_nonnull(out);
    memset(out, CANARY, rows * out_row * size);
    mm_pack_weight(w, k, n, k, b);
    const mm_bf16_convolution convolution = {.in = in, .in_row = in_row, .channels = channels, .stride = stride,
                                             .rows = rows, .columns = columns, .b = {n, k, b}, .bias = bias,
                                             .epilogue = epilogue, .out = out, .out_row = out_row};
    ops->convolution(&convolution);
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++)
            for (size_t o = 0; o < n; o++) {
                double sum = (double)bias[o];
                for (size_t i = 0; i < k; i++) {
                    const size_t ky = i / channels / 3, kx = i / channels % 3, c = i % channels;
                    sum += value(mm_bf16_from(w[o * k + i])) *
                           value(in[(y * stride + ky) * in_row + (x * stride + kx) * channels + c]);
                }
                const size_t at = y * out_row + x * n + o;
                if (epilogue == MM_TO_F32)
                    ck_assert_double_eq_tol(((float *)out)[at], sum, 1e-4);
                else
                    assert_gelu(((mm_bf16 *)out)[at], sum, 1e-4);
            }
    for (size_t y = 0; y < rows; y++)
        ck_assert(untouched(out + (y * out_row + columns * n) * size, 5 * size));
    free(in);
    free(b);
    free(w);
    free(bias);
    free(out);
}

START_TEST(convolutions_equal_plain_loops)
{
    if (!ops)
        return;
    for (mm_epilogue epilogue = MM_TO_F32; epilogue <= MM_GELU_TO_BF16; epilogue += MM_GELU_TO_BF16) {
        check_convolution(3, 14, 4, 2, 32, epilogue);
        check_convolution(2, 7, 32, 2, 64, epilogue);
        check_convolution(4, 5, 6, 1, 17, epilogue);
        check_convolution(1, 1, 2, 2, 1, epilogue);
        check_convolution(2, 13, 130, 1, 100, epilogue); /* more than one panel, the last one narrow */
    }
}
END_TEST

static void check_depthwise(size_t columns, size_t channels, size_t stride)
{
    const size_t row = ((columns - 1) * stride + 3) * channels;
    mm_bf16 *rows[3], *out = new_bf16(columns * channels + 40);
    float *w = random_floats(10 * channels, 1, 2), *packed = mm_floats(mm_packed_depthwise_count(channels));
    ck_assert_ptr_nonnull(packed);
    for (size_t ky = 0; ky < 3; ky++)
        rows[ky] = random_bf16(row, 2, 7 + (uint32_t)ky);
    memset(out, CANARY, (columns * channels + 40) * sizeof *out);
    mm_pack_depthwise(w, w + 9 * channels, channels, packed);
    const mm_bf16_depthwise depthwise = {.rows = {rows[0], rows[1], rows[2]}, .packed = packed, .channels = channels,
                                         .stride = stride, .columns = columns, .out = out};
    ops->depthwise(&depthwise);
    for (size_t x = 0; x < columns; x++)
        for (size_t c = 0; c < channels; c++) {
            double sum = (double)w[9 * channels + c];
            for (size_t k = 0; k < 9; k++)
                sum += (double)w[k * channels + c] * value(rows[k / 3][(x * stride + k % 3) * channels + c]);
            assert_gelu(out[x * channels + c], sum, 1e-5);
        }
    ck_assert(untouched(out + columns * channels, 40 * sizeof *out));
    for (size_t ky = 0; ky < 3; ky++)
        free(rows[ky]);
    free(out);
    free(w);
    free(packed);
}

START_TEST(depthwise_rows_equal_plain_loops)
{
    if (!ops)
        return;
    for (size_t stride = 1; stride <= 2; stride++)
        for (size_t columns = 1; columns <= 9; columns++) {
            check_depthwise(columns, 64, stride);
            check_depthwise(columns, columns, stride);
            check_depthwise(columns, 32 + 4 * columns + 1, stride);
        }
}
END_TEST

/* Norms take several rows at once; each must come out as it does alone. */
START_TEST(rows_of_a_block_are_normed_as_if_alone)
{
    if (!ops)
        return;
    enum { ROWS = 11, MOST = 130 };
    for (size_t n = 1; n <= MOST; n += 43) {
        float *x = random_floats(ROWS * n, 3, 4), *w = random_floats(2 * n, 1, 5);
        mm_bf16 together[ROWS * MOST], alone[MOST];
        ops->norm(x, w, w + n, 1e-5f, together, ROWS, n);
        for (size_t r = 0; r < ROWS; r++) {
            ops->norm(x + r * n, w, w + n, 1e-5f, alone, 1, n);
            ck_assert_mem_eq(together + r * n, alone, n * sizeof *alone);
        }
        free(x);
        free(w);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/bf16 convolutions");
    TCase *tests = tcase_create("bf16 convolutions");
    ops = mm_bf16_get();
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, convolutions_equal_plain_loops);
    tcase_add_test(tests, depthwise_rows_equal_plain_loops);
    tcase_add_test(tests, rows_of_a_block_are_normed_as_if_alone);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
