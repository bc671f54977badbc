/* The bf16 kernels against the plainest code that does the same, in double. Where a kernel rounds to bf16, the tolerance
 * allows that rounding and no other. */
#include "tensor/bf16_testing.h"

static const mm_bf16_ops *ops; /* of this CPU; tests of them return at once where there are none */

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* An f32, and its bf16 by the definition: nearest, ties to even, and a NaN stays one. */
static const struct special {
    uint32_t from;
    mm_bf16 to;
} specials[] = {
    {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3f800000, 0x3f80}, {0xbf800000, 0xbf80},
    {0x3f807fff, 0x3f80}, /* just under a tie */
    {0x3f808000, 0x3f80}, /* ties, the even neighbour below and above */
    {0x3f818000, 0x3f82}, {0xbf808000, 0xbf80}, {0xbf818000, 0xbf82},
    {0x3f808001, 0x3f81}, /* just over a tie */
    {0x3fffffff, 0x4000}, /* into the next power of two */
    {0x7f7f7fff, 0x7f7f}, /* the largest finite bf16 */
    {0x7f7f8000, 0x7f80}, {0x7f7fffff, 0x7f80}, {0xff7fffff, 0xff80}, /* beyond it: infinity */
    {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, /* infinities */
    {0x7fc00000, 0x7fc0}, {0xffc00001, 0xffc0}, {0x7fffffff, 0x7fff},
    {0x7f800001, 0x7fc0}, {0xff80ffff, 0xffc0}, /* NaNs whose first bits alone are an infinity's */
    {0x00800000, 0x0080}, {0x80800000, 0x8080}, /* the smallest normal numbers */
};

enum { SPECIALS = sizeof specials / sizeof specials[0] };

START_TEST(conversions_round_to_nearest_even)
{
    for (size_t i = 0; i < SPECIALS; i++)
        ck_assert_uint_eq(mm_bf16_from(float_of(specials[i].from)), specials[i].to);
    ck_assert_uint_eq(mm_bf16_from(float_of(0x00018000)), 0x0002); /* denormals round as others do */
    for (uint32_t x = 0; x <= 0xffff; x++) {
        ck_assert_uint_eq(bits_of(mm_bf16_to_float((mm_bf16)x)), x << 16);
        const bool signalling = (x & 0x7f80) == 0x7f80 && (x & 0x7f) && !(x & 0x40);
        ck_assert_uint_eq(mm_bf16_from(mm_bf16_to_float((mm_bf16)x)), signalling ? x | 0x40 : x);
    }
}
END_TEST

START_TEST(converted_rows_equal_single_values)
{
    if (!ops)
        return;
    enum { N = 67 };
    float x[N] = {0};
    mm_bf16 y[N + 16];
    for (size_t n = 0; n <= N; n++) {
        uint32_t seed = 5 + (uint32_t)n;
        for (size_t i = 0; i < n; i++)
            x[i] = i < SPECIALS ? float_of(specials[(i + n) % SPECIALS].from) : noise(&seed);
        memset(y, CANARY, sizeof y);
        ops->convert(x, y, n);
        for (size_t i = 0; i < n; i++)
            ck_assert_uint_eq(y[i], mm_bf16_from(x[i]));
        ck_assert(untouched(y + n, sizeof y - n * sizeof *y));
    }
    /* The instruction reads denormals as zeros of their sign. */
    const float denormal[3] = {float_of(0x00018000), float_of(0x807fffff), float_of(0x007fffff)};
    ops->convert(denormal, y, 3);
    ck_assert_uint_eq(y[0], 0);
    ck_assert_uint_eq(y[1], 0x8000);
    ck_assert_uint_eq(y[2], 0);
}
END_TEST

/* Element (i, j) of B[k][n] packed at `values`, by the words of bf16.h; zero padding is asked for as well. */
static mm_bf16 packed_at(const mm_bf16 *values, size_t n, size_t k, size_t i, size_t j)
{
    const size_t panel = j / 64, left = n - 64 * panel, width = left < 64 ? (left + 15) / 16 * 16 : 64;
    return values[64 * panel * ((k + 1) / 2 * 2) + i / 2 * 2 * width + j % 64 * 2 + i % 2];
}

/* `packed` is B[k][n] with B[i][j] = from[i * step_k + j * step_n], and zeros where it is padded. */
static void check_packed(const mm_bf16 *packed, size_t n, size_t k, const mm_bf16 *from, size_t step_k, size_t step_n)
{
    const size_t all_n = (n + 15) / 16 * 16, all_k = (k + 1) / 2 * 2;
    ck_assert_uint_eq(mm_packed_count(n, k), all_n * all_k);
    for (size_t i = 0; i < all_k; i++)
        for (size_t j = 0; j < all_n; j++)
            ck_assert_uint_eq(packed_at(packed, n, k, i, j), i < k && j < n ? from[i * step_k + j * step_n] : 0);
    ck_assert(untouched(packed + mm_packed_count(n, k), 64));
}

static mm_bf16 *new_packed(size_t n, size_t k)
{
    mm_bf16 *packed = new_bf16(mm_packed_count(n, k) + 32);
    memset(packed, CANARY, (mm_packed_count(n, k) + 32) * sizeof *packed);
    return packed;
}

static void check_packing(size_t n, size_t k)
{
    const size_t row = k + 3;
    float *w = random_floats(n * row, 3, (uint32_t)(n + k));
    mm_bf16 *rounded = new_bf16(n * row), *packed = new_packed(n, k);
    for (size_t i = 0; i < n * row; i++)
        rounded[i] = mm_bf16_from(w[i]);
    mm_pack_weight(w, row, n, k, packed);
    check_packed(packed, n, k, rounded, 1, row);
    if (ops) {
        memset(packed, CANARY, mm_packed_count(n, k) * sizeof *packed);
        ops->pack_keys(rounded, row, n, k, packed);
        check_packed(packed, n, k, rounded, 1, row);
        /* The same numbers as [n] values of width k: B = v is [n][k]. */
        mm_bf16 *values = new_packed(k, n);
        ops->pack_values(rounded, row, n, k, values);
        check_packed(values, k, n, rounded, row, 1);
        free(values);
    }
    free(w);
    free(rounded);
    free(packed);
}

START_TEST(packing_follows_the_header)
{
    static const size_t sizes[] = {1, 2, 15, 16, 17, 63, 64, 65, 80, 130};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++)
            check_packing(sizes[i], sizes[j]);
}
END_TEST

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

/* What an epilogue makes of sum + bias, and how far a kernel may be from it when the sum is off by `error`. */
static double expected_of(mm_epilogue epilogue, double before, double sum, double *error)
{
    switch (epilogue) {
    case MM_TO_F32:
        return sum;
    case MM_ADD_TO_F32:
        *error += half_ulp_f32 * fabs(before);
        return before + sum;
    case MM_TO_BF16:
        *error += half_ulp * fabs(sum);
        return sum;
    case MM_GELU_TO_BF16:
        /* GELU's slope stays below 1.13; its pieces are good to 3e-4. */
        *error = 1.13 * *error + 3e-4 + half_ulp * fabs(gelu(sum));
        return gelu(sum);
    case MM_ADD_GELU_TO_BF16:
        *error += half_ulp_f32 * fabs(before);
        return expected_of(MM_GELU_TO_BF16, 0, before + sum, error);
    }
    return 0;
}

typedef struct shape {
    size_t rows, n, k, more_a, more_out; /* more: what rows are longer than they need be */
} shape;

/* One product; every byte of `out` that is not part of the result must stay. */
static void check_product(const shape *s, mm_epilogue epilogue, bool with_bias)
{
    const size_t lda = (s->k + 1) / 2 * 2 + s->more_a, ldout = s->n + s->more_out;
    const bool to_f32 = epilogue == MM_TO_F32 || epilogue == MM_ADD_TO_F32;
    const size_t size = to_f32 ? sizeof(float) : sizeof(mm_bf16), bytes = (s->rows + 1) * ldout * size;
    /* What pads a row of A is finite, not zero: the packed zeros must cancel it. */
    mm_bf16 *a = random_bf16(s->rows * lda, 1, 1), *b = new_packed(s->n, s->k);
    float *w = random_floats(s->n * s->k, 1, 2), *bias = random_floats(s->n, 2, 3), *before = random_floats(s->rows * s->n, 4, 4);
    unsigned char *out = (unsigned char *)mm_floats(bytes / sizeof(float) + 1);
    ck_assert_ptr_nonnull(out);
    mm_pack_weight(w, s->k, s->n, s->k, b);
    memset(out, CANARY, bytes);
    mm_bf16 *residual = (mm_bf16 *)mm_floats(s->rows * ldout);
    ck_assert_ptr_nonnull(residual);
    for (size_t r = 0; r < s->rows && epilogue == MM_ADD_GELU_TO_BF16; r++)
        for (size_t j = 0; j < s->n; j++) {
            residual[r * ldout + j] = mm_bf16_from(before[r * s->n + j]);
            before[r * s->n + j] = mm_bf16_to_float(residual[r * ldout + j]);
        }
    for (size_t r = 0; r < s->rows && epilogue == MM_ADD_TO_F32; r++)
        memcpy(out + r * ldout * size, before + r * s->n, s->n * size);
    const mm_bf16_product product = {.a = a, .lda = lda, .rows = s->rows, .b = {s->n, s->k, b},
                                     .bias = with_bias ? bias : NULL, .epilogue = epilogue, .residual = residual,
                                     .out = out, .ldout = ldout};
    ops->product(&product);
    for (size_t r = 0; r < s->rows; r++)
        for (size_t j = 0; j < s->n; j++) {
            double sum = with_bias ? (double)bias[j] : 0, scale = fabs(sum);
            for (size_t i = 0; i < s->k; i++) {
                const double term = value(a[r * lda + i]) * value(mm_bf16_from(w[j * s->k + i]));
                sum += term;
                scale += fabs(term);
            }
            /* Products of two bf16 are exact in f32; each of the k + 1 sums is rounded. */
            double error = (double)(s->k + 2) * half_ulp_f32 * scale;
            const double expected = expected_of(epilogue, (double)before[r * s->n + j], sum, &error);
            const void *at = out + (r * ldout + j) * size;
            ck_assert_double_eq_tol(to_f32 ? (double)*(const float *)at : value(*(const mm_bf16 *)at), expected, error);
        }
    for (size_t r = 0; r < s->rows; r++)
        ck_assert(untouched(out + (r * ldout + s->n) * size, s->more_out * size));
    ck_assert(untouched(out + s->rows * ldout * size, ldout * size));
    free(a);
    free(b);
    free(w);
    free(bias);
    free(before);
    free(residual);
    free(out);
}

START_TEST(products_equal_plain_loops)
{
    if (!ops)
        return;
    for (mm_epilogue epilogue = MM_TO_F32; epilogue <= MM_ADD_GELU_TO_BF16; epilogue++)
        for (int with_bias = 0; with_bias <= 1; with_bias++) {
            for (size_t rows = 1; rows <= 13; rows++) {
                const shape s = {rows, 64 + 5 * rows, 2 * rows + 1, 0, rows};
                check_product(&s, epilogue, with_bias);
            }
            for (size_t n = 1; n <= 64; n += n % 16 == 15 || n % 16 == 0 ? 1 : 7) {
                const shape s = {7, n, 20, 6, 1};
                check_product(&s, epilogue, with_bias);
            }
            static const shape longer[] = {
                {3, 100, 1024, 2, 3},  /* k just in one step, */
                {8, 130, 1026, 0, 9},  /* in two, the second of a single pair, */
                {7, 17, 2049, 4, 1},   /* in three, the last odd */
                {13, 256, 1537, 0, 0},
                {1, 1, 1, 0, 0},       {2, 16, 2, 0, 0}, {96, 128, 31, 2, 16},
            };
            for (size_t i = 0; i < sizeof longer / sizeof longer[0]; i++)
                check_product(&longer[i], epilogue, with_bias);
        }
}
END_TEST

START_TEST(gelu_equals_erf)
{
    if (!ops)
        return;
    /* Where A is zero the bias is what goes through GELU. */
    enum { N = 8000 };
    const mm_bf16 zeros[2] = {0, 0};
    mm_bf16 *b = new_packed(N, 2), *y = new_bf16(N);
    float *w = random_floats(2 * N, 1, 1), *x = mm_floats(N);
    ck_assert_ptr_nonnull(x);
    mm_pack_weight(w, 2, N, 2, b);
    for (float reach = 5; reach < 2000; reach *= 10) {
        for (size_t i = 0; i < N; i++)
            x[i] = reach * (2 * (float)i / (N - 1) - 1);
        const mm_bf16_product product = {.a = zeros, .lda = 2, .rows = 1, .b = {N, 2, b}, .bias = x,
                                         .epilogue = MM_GELU_TO_BF16, .out = y, .ldout = N};
        ops->product(&product);
        for (size_t i = 0; i < N; i++)
            ck_assert_double_eq_tol(value(y[i]), gelu((double)x[i]), 3e-4 + half_ulp * fabs(gelu((double)x[i])));
    }
    free(b);
    free(y);
    free(w);
    free(x);
}
END_TEST

static void check_norm(size_t rows, size_t n, float offset)
{
    float *x = random_floats(rows * n, 3, 4), *w = random_floats(2 * n, 1, 5);
    mm_bf16 *y = new_bf16((rows + 1) * n + 16);
    memset(y, CANARY, ((rows + 1) * n + 16) * sizeof *y);
    for (size_t i = 0; i < rows * n; i++)
        x[i] += offset;
    ops->norm(x, w, w + n, 1e-6f, y, rows, n);
    for (size_t r = 0; r < rows; r++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < n; i++)
            mean += (double)x[r * n + i] / (double)n;
        for (size_t i = 0; i < n; i++)
            variance += ((double)x[r * n + i] - mean) * ((double)x[r * n + i] - mean) / (double)n;
        for (size_t i = 0; i < n; i++) {
            const double normed = ((double)x[r * n + i] - mean) / sqrt(variance + 1e-6);
            const double expected = normed * (double)w[i] + (double)w[n + i];
            /* The mean is rounded in proportion to the values, the rest in f32, and the end to bf16. */
            const double error = 2e-5 * (1 + (double)fabsf(offset) / 3);
            ck_assert_double_eq_tol(value(y[r * n + i]), expected, error + half_ulp * fabs(expected));
        }
    }
    ck_assert(untouched(y + rows * n, (n + 16) * sizeof *y));
    free(x);
    free(w);
    free(y);
}

START_TEST(norms_equal_plain_loops)
{
    if (!ops)
        return;
    for (size_t n = 2; n < 70; n += 5)
        check_norm(3, n, 0);
    check_norm(2, 768, 0);
    check_norm(2, 1280, 40);
    /* Without variance only eps and the bias are left. */
    const float x[20] = {0}, w[20] = {1}, bias[20] = {[3] = 0.5f};
    mm_bf16 y[20];
    ops->norm(x, w, bias, 1e-6f, y, 1, 20);
    for (size_t i = 0; i < 20; i++)
        ck_assert_double_eq(value(y[i]), i == 3 ? 0.5 : 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/bf16");
    TCase *tests = tcase_create("bf16");
    ops = mm_bf16_get();
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, conversions_round_to_nearest_even);
    tcase_add_test(tests, converted_rows_equal_single_values);
    tcase_add_test(tests, packing_follows_the_header);
    tcase_add_test(tests, products_equal_plain_loops);
    tcase_add_test(tests, gelu_equals_erf);
    tcase_add_test(tests, norms_equal_plain_loops);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
