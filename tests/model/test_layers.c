/* The encoders' layers against the plainest code that does the same: full score matrices, loops over every weight. */
#include <math.h>
#include <string.h>

#include "model/attention_f32.h"
#include "model/mbconv.h"
#include "model/setting.h"

/* Element `part` + i of token (y, x)'s head; outside the grid, what padding gives. */
static float element(const mm_attention *a, const float *qkv, size_t y, size_t x, size_t head, size_t part, size_t i)
{
    const size_t at = head * a->head_step + part + i;
    if (y < a->side && x < a->side)
        return qkv[(y * a->side + x) * a->row + at];
    return a->outside ? a->outside[at] : 0;
}

/* One query of one head, over all tokens of its window, in double. */
static void plain_query(const mm_attention *a, const float *qkv, size_t head, size_t qy, size_t qx, double *out)
{
    const size_t w = a->window;
    const size_t y0 = qy / w * w, x0 = qx / w * w, tokens = w * w;
    double *score = calloc(tokens, sizeof *score), top = -1e300, sum = 0;
    ck_assert_ptr_nonnull(score);
    for (size_t k = 0; k < tokens; k++) {
        const size_t ky = y0 + k / w, kx = x0 + k % w;
        for (size_t i = 0; i < a->dim; i++) {
            const double q = (double)element(a, qkv, qy, qx, head, 0, i);
            score[k] += (double)a->scale * q * (double)element(a, qkv, ky, kx, head, a->key, i);
            if (a->rel_h)
                score[k] += q * ((double)a->rel_h[(w - 1 - (qy - y0) + (ky - y0)) * a->dim + i] +
                                 (double)a->rel_w[(w - 1 - (qx - x0) + (kx - x0)) * a->dim + i]);
        }
        if (a->bias)
            score[k] += (double)a->bias[(head * tokens + (qy - y0) * w + (qx - x0)) * tokens + k];
        top = fmax(top, score[k]);
    }
    for (size_t k = 0; k < tokens; k++)
        sum += score[k] = exp(score[k] - top);
    for (size_t i = 0; i < a->dim; i++) {
        out[i] = 0;
        for (size_t k = 0; k < tokens; k++)
            out[i] += score[k] / sum * (double)element(a, qkv, y0 + k / w, x0 + k % w, head, a->value, i);
    }
    free(score);
}

static void assert_attention(const mm_attention *a, const float *qkv, const float *out)
{
    const size_t cells = a->side * a->side, width = a->heads * a->dim;
    double expected[64];
    ck_assert_uint_le(a->dim, 64);
    for (size_t n = 0; n < cells; n += cells > 600 ? 13 : 1)
        for (size_t head = 0; head < a->heads; head++) {
            plain_query(a, qkv, head, n / a->side, n % a->side, expected);
            for (size_t i = 0; i < a->dim; i++)
                ck_assert_double_eq_tol(out[n * width + head * a->dim + i], expected[i], 1e-5);
        }
}

/* By the kernels of this program, where the set has them; one thread and several give the same bits. */
static void check_attention_f32(const mm_attention *a, mm_backend backend, uint32_t threads)
{
    const size_t cells = a->side * a->side, width = a->heads * a->dim;
    float *qkv = random_floats(cells * a->row, 2, 11), *out[2] = {0};
    for (uint32_t i = 0; i < 2; i++) {
        setting *s = setting_new(backend, i ? threads : 1, mm_attention_f32_scratch(a));
        out[i] = random_floats(cells * width, 1, 12);
        s->context.f32 = mm_f32_get(&s->kernels);
        if (s->context.f32) {
            mm_error err = {0};
            mm_arena arena = {0};
            mm_weights weights = {.arena = &arena, .err = &err};
            const mm_attention_f32 attention = mm_attention_f32_load(&weights, a);
            ck_assert_msg(weights.status == MM_OK, "%s", err.text);
            mm_attention_f32_run(&s->context, &attention, qkv, out[i]);
            assert_attention(a, qkv, out[i]);
            mm_arena_free(&arena);
        }
        setting_free(s);
    }
    ck_assert_mem_eq(out[0], out[1], cells * width * sizeof(float));
    free(qkv);
    free(out[0]);
    free(out[1]);
}

static void check_attention(const mm_attention *a, mm_backend backend, uint32_t threads)
{
    const size_t cells = a->side * a->side, width = a->heads * a->dim;
    float *qkv = random_floats(cells * a->row, 2, 11), *out = random_floats(cells * width, 1, 12);
    setting *s = setting_new(backend, threads, mm_attention_scratch(a));
    mm_error err = {0};
    ck_assert_msg(mm_attention_run(&s->context, a, qkv, out, &err) == MM_OK, "%s", err.text);
    assert_attention(a, qkv, out);
    setting_free(s);
    free(qkv);
    free(out);
    check_attention_f32(a, backend, threads);
}

/* ViT's layout: all queries, all keys, all values. */
static mm_attention vit_attention(size_t side, size_t window, size_t heads, size_t dim)
{
    return (mm_attention){.side = side, .window = window, .heads = heads, .dim = dim, .row = 3 * heads * dim,
                          .head_step = dim, .key = heads * dim, .value = 2 * heads * dim, .scale = 0.3f};
}

START_TEST(windows_and_tiles_equal_full_matrices)
{
    float *rel_h = random_floats(2 * 64 * 64, 1, 1), *rel_w = random_floats(2 * 64 * 64, 1, 2);
    float *outside = random_floats(3 * 3 * 16, 1, 3), *bias = random_floats(2 * 49 * 49, 1, 4);
    for (int backend = MM_BACKEND_AUTO; backend <= MM_BACKEND_BLAS; backend += MM_BACKEND_BLAS)
        for (uint32_t threads = 1; threads <= 2; threads++) {
            /* 40 x 40: more than one tile of queries and of keys, and a last one that is not full. */
            mm_attention a = vit_attention(40, 40, 1, 8);
            a.rel_h = rel_h;
            a.rel_w = rel_w;
            check_attention(&a, (mm_backend)backend, threads);
            a.rel_h = a.rel_w = NULL;
            check_attention(&a, (mm_backend)backend, threads);
            /* Windows that reach over the edge, padded with the bias or with zeros. */
            a = vit_attention(16, 7, 3, 16);
            a.rel_h = rel_h;
            a.rel_w = rel_w;
            check_attention(&a, (mm_backend)backend, threads);
            a.outside = outside;
            check_attention(&a, (mm_backend)backend, threads);
            /* A window that is larger than the grid, all the same full of tokens. */
            a.window = 20;
            check_attention(&a, (mm_backend)backend, threads);
            a.window = 7;
            a.side = 5;
            check_attention(&a, (mm_backend)backend, threads);
            /* One window that is the whole grid, small enough for one matrix. */
            a = vit_attention(8, 8, 2, 16);
            a.rel_h = rel_h;
            a.rel_w = rel_w;
            check_attention(&a, (mm_backend)backend, threads);
            /* TinyViT's layout, with a bias for each pair; window 7 on grids of 7 and of 10. */
            for (size_t side = 7; side <= 10; side += 3) {
                a = (mm_attention){.side = side, .window = 7, .heads = 2, .dim = 8, .row = 48, .head_step = 24,
                                   .key = 8, .value = 16, .scale = 0.35f, .bias = bias, .outside = outside};
                check_attention(&a, (mm_backend)backend, threads);
            }
        }
    free(rel_h);
    free(rel_w);
    free(outside);
    free(bias);
}
END_TEST

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

/* A context whose f32 products are the library's or, where there are any, made by the kernels of this program. */
static setting *setting_of(uint32_t threads, bool own_kernels, size_t scratch)
{
    setting *s = setting_new(MM_BACKEND_AUTO, threads, scratch);
    s->context.f32 = own_kernels ? mm_f32_get(&s->kernels) : NULL;
    return s;
}

/* expand, depthwise, project by definition. */
static void check_mbconv_in(setting *s, size_t side, size_t in, size_t hidden, size_t out, size_t stride, bool residual)
{
    float *w1 = random_floats(hidden * (in + 1), 0.5f, 21), *w2 = random_floats(10 * hidden, 0.5f, 22);
    float *w3 = random_floats(out * (hidden + 1), 0.3f, 23), *x = random_floats(side * side * in, 1, 24);
    const size_t out_side = (side - 1) / stride + 1;
    float *y = random_floats(out_side * out_side * out, 1, 25);
    const mm_mbconv block = {.expand = {.weight = w1, .bias = w1 + hidden * in, .in = in, .out = hidden},
                             .project = {.weight = w3, .bias = w3 + out * hidden, .in = hidden, .out = out},
                             .depthwise = w2, .depthwise_bias = w2 + 9 * hidden, .stride = stride, .residual = residual};
    mm_error err = {0};
    ck_assert_msg(mm_mbconv_run(&s->context, &block, x, side, y, &err) == MM_OK, "%s", err.text);
    double *inner = calloc(side * side * hidden, sizeof *inner), *middle = calloc(hidden, sizeof *middle);
    ck_assert(inner && middle);
    for (size_t n = 0; n < side * side; n++)
        for (size_t h = 0; h < hidden; h++) {
            double total = (double)block.expand.bias[h];
            for (size_t i = 0; i < in; i++)
                total += (double)w1[h * in + i] * (double)x[n * in + i];
            inner[n * hidden + h] = gelu(total);
        }
    for (size_t oy = 0; oy < out_side; oy++)
        for (size_t ox = 0; ox < out_side; ox++) {
            for (size_t h = 0; h < hidden; h++) {
                double total = (double)block.depthwise_bias[h];
                for (long ky = -1; ky <= 1; ky++)
                    for (long kx = -1; kx <= 1; kx++) {
                        const long sy = (long)(oy * stride) + ky, sx = (long)(ox * stride) + kx;
                        if (sy >= 0 && sx >= 0 && sy < (long)side && sx < (long)side)
                            total += (double)w2[(size_t)((ky + 1) * 3 + kx + 1) * hidden + h] *
                                     inner[((size_t)sy * side + (size_t)sx) * hidden + h];
                    }
                middle[h] = gelu(total);
            }
            for (size_t o = 0; o < out; o++) {
                double total = (double)block.project.bias[o];
                for (size_t h = 0; h < hidden; h++)
                    total += (double)w3[o * hidden + h] * middle[h];
                if (residual)
                    total = gelu(total + (double)x[(oy * side + ox) * in + o]);
                ck_assert_double_eq_tol(y[(oy * out_side + ox) * out + o], total, 2e-5);
            }
        }
    free(inner);
    free(middle);
    free(w1);
    free(w2);
    free(w3);
    free(x);
    free(y);
}

static void check_mbconv(size_t side, size_t in, size_t hidden, size_t out, size_t stride, bool residual)
{
    for (uint32_t kind = 0; kind < 4; kind++) {
        setting *s = setting_of(1 + kind % 2, kind / 2, mm_mbconv_scratch(side, hidden, stride));
        check_mbconv_in(s, side, in, hidden, out, stride, residual);
        setting_free(s);
    }
}

START_TEST(strips_equal_whole_convolutions)
{
    check_mbconv(35, 8, 20, 8, 1, true); /* three strips, the last not full */
    check_mbconv(37, 8, 12, 12, 2, false);
    check_mbconv(34, 4, 16, 6, 2, false);
    check_mbconv(5, 4, 6, 4, 1, true);
    check_mbconv(1, 4, 6, 5, 2, false);
}
END_TEST

static void check_conv3x3_in(setting *s, size_t ih, size_t iw, size_t in, size_t out, size_t stride, bool with_gelu)
{
    float *x = random_floats(ih * iw * in, 1, 31), *w = random_floats(out * (9 * in + 1), 0.3f, 32);
    const size_t oh = (ih - 1) / stride + 1, ow = (iw - 1) / stride + 1;
    float *y = random_floats(oh * ow * out, 1, 33);
    const mm_linear linear = {.weight = w, .bias = w + out * 9 * in, .in = 9 * in, .out = out};
    mm_error err = {0};
    ck_assert_msg(mm_layer_conv3x3(&s->context, &linear, x, ih, iw, in, stride, with_gelu, y, &err) == MM_OK, "%s",
                  err.text);
    for (size_t oy = 0; oy < oh; oy++)
        for (size_t ox = 0; ox < ow; ox++)
            for (size_t o = 0; o < out; o++) {
                double total = (double)linear.bias[o];
                for (size_t k = 0; k < 9; k++) {
                    const size_t sy = oy * stride + k / 3, sx = ox * stride + k % 3; /* one more than read */
                    if (sy >= 1 && sx >= 1 && sy <= ih && sx <= iw)
                        for (size_t i = 0; i < in; i++)
                            total += (double)w[(o * 9 + k) * in + i] * (double)x[((sy - 1) * iw + sx - 1) * in + i];
                }
                ck_assert_double_eq_tol(y[(oy * ow + ox) * out + o], with_gelu ? gelu(total) : total, 1e-5);
            }
    free(x);
    free(w);
    free(y);
}

static void check_conv3x3(size_t ih, size_t iw, size_t in, size_t out, size_t stride, bool with_gelu)
{
    for (uint32_t kind = 0; kind < 4; kind++) {
        setting *s = setting_of(1 + kind % 2, kind / 2, mm_layer_conv3x3_scratch(in, (iw - 1) / stride + 1));
        check_conv3x3_in(s, ih, iw, in, out, stride, with_gelu);
        setting_free(s);
    }
}

START_TEST(gathered_convolutions_equal_plain_ones)
{
    check_conv3x3(20, 30, 3, 5, 2, true);
    check_conv3x3(17, 300, 4, 6, 1, false);
    check_conv3x3(1, 1, 2, 3, 1, false);
    check_conv3x3(7, 6, 8, 4, 2, false);
}
END_TEST

static void check_mlp(bool own_kernels)
{
    enum { ROWS = 1100, CHANNELS = 24, HIDDEN = 40 };
    float *w = random_floats(2 * CHANNELS + HIDDEN * (CHANNELS + 1) + CHANNELS * (HIDDEN + 1), 0.4f, 41);
    float *x = random_floats(ROWS * CHANNELS, 1, 42), *before = random_floats(ROWS * CHANNELS, 1, 42);
    const mm_norm norm = {w, w + CHANNELS, 1e-6f};
    const float *w1 = w + 2 * CHANNELS, *w2 = w1 + HIDDEN * (CHANNELS + 1);
    const mm_linear fc1 = {.weight = w1, .bias = w1 + HIDDEN * CHANNELS, .in = CHANNELS, .out = HIDDEN};
    const mm_linear fc2 = {.weight = w2, .bias = w2 + CHANNELS * HIDDEN, .in = HIDDEN, .out = CHANNELS};
    setting *s = setting_of(2, own_kernels, mm_layer_mlp_scratch(CHANNELS, HIDDEN));
    mm_error err = {0};
    ck_assert_msg(mm_layer_mlp(&s->context, &norm, &fc1, &fc2, x, ROWS, &err) == MM_OK, "%s", err.text);
    for (size_t r = 0; r < ROWS; r++) {
        const float *row = before + r * CHANNELS;
        double mean = 0, variance = 0, inner[HIDDEN];
        for (size_t i = 0; i < CHANNELS; i++)
            mean += (double)row[i] / CHANNELS;
        for (size_t i = 0; i < CHANNELS; i++)
            variance += ((double)row[i] - mean) * ((double)row[i] - mean) / CHANNELS;
        for (size_t h = 0; h < HIDDEN; h++) {
            inner[h] = (double)fc1.bias[h];
            for (size_t i = 0; i < CHANNELS; i++)
                inner[h] += (double)w1[h * CHANNELS + i] * (((double)row[i] - mean) / sqrt(variance + 1e-6) * (double)w[i] +
                                                            (double)w[CHANNELS + i]);
            inner[h] = gelu(inner[h]);
        }
        for (size_t i = 0; i < CHANNELS; i++) {
            double total = (double)row[i] + (double)fc2.bias[i];
            for (size_t h = 0; h < HIDDEN; h++)
                total += (double)w2[i * HIDDEN + h] * inner[h];
            ck_assert_double_eq_tol(x[r * CHANNELS + i], total, 2e-5);
        }
    }
    setting_free(s);
    free(w);
    free(x);
    free(before);
}

START_TEST(the_mlp_in_pieces_equals_the_whole)
{
    check_mlp(false);
    check_mlp(true);
}
END_TEST

/* y = W norm(x) + b, then y += V x + c, over an odd number of pieces, against the same products of whole matrices. */
START_TEST(fused_f32_layers_equal_the_library)
{
    enum { ROWS = 2500, IN = 40, OUT = 70 };
    for (uint32_t threads = 1; threads <= 2; threads++) {
        setting *s = setting_new(MM_BACKEND_AUTO, threads, mm_layer_mlp_scratch(IN, OUT));
        float *x = random_floats(ROWS * IN, 1, 51), *w = random_floats(2 * IN + OUT * (IN + 1), 0.4f, 52);
        float *normed = random_floats(ROWS * IN, 1, 53), *y = random_floats(ROWS * OUT, 1, 54);
        float *expected = random_floats(ROWS * OUT, 1, 55), *more = random_floats(ROWS * OUT, 1, 56);
        const mm_norm norm = {w, w + IN, 1e-6f};
        const mm_linear linear = {.weight = w + 2 * IN, .bias = w + 2 * IN + OUT * IN, .in = IN, .out = OUT};
        mm_error err = {0};
        mm_layer_norm(&s->context, &norm, x, ROWS, IN, normed);
        ck_assert_msg(mm_layer_linear(&s->context, &linear, normed, ROWS, expected, &err) == MM_OK, "%s", err.text);
        ck_assert_msg(mm_layer_linear(&s->context, &linear, x, ROWS, more, &err) == MM_OK, "%s", err.text);
        s->context.f32 = mm_f32_get(&s->kernels);
        if (s->context.f32) {
            mm_layer_norm_linear_f32(&s->context, &norm, &linear, x, ROWS, y);
            for (size_t i = 0; i < ROWS * OUT; i++)
                ck_assert_float_eq_tol(y[i], expected[i], 1e-5f);
            mm_layer_add_linear_f32(&s->context, &linear, x, ROWS, y);
            for (size_t i = 0; i < ROWS * OUT; i++)
                ck_assert_float_eq_tol(y[i], expected[i] + more[i], 2e-5f);
        }
        setting_free(s);
        free(x);
        free(w);
        free(normed);
        free(y);
        free(expected);
        free(more);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/layers");
    TCase *tests = tcase_create("layers");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, windows_and_tiles_equal_full_matrices);
    tcase_add_test(tests, strips_equal_whole_convolutions);
    tcase_add_test(tests, gathered_convolutions_equal_plain_ones);
    tcase_add_test(tests, the_mlp_in_pieces_equals_the_whole);
    tcase_add_test(tests, fused_f32_layers_equal_the_library);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
