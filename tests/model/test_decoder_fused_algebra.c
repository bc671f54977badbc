/* The fused decoder's constants and what a prompt makes of them, against the transformer's definition in double.
 *
 * decoder_fused.h expands two layers of attention, residual and norm into linear and quadratic forms with some thirty constants.
 * Here the layers are computed as the paper has them, and the forms beside them in double from the stored f32 constants: both
 * are the same numbers, so they agree to a few roundings of f32. In a decoder whose every tensor is random, biases and gains
 * too, no term is small: one row of any constant that is 1 % off takes the forms beyond the bar of 2e-5. What is rounded to
 * bf16 afterwards is compared apart. */
#include "random_decoder.h"

#ifdef __x86_64__

static const double f32_error = 2e-5, bf16_error = 1.0 / 256;

/* side, D, c, H, K */
static const decoder_shape shapes[] = {{8, 64, 64, 4, 4}, {5, 64, 48, 3, 3}, {6, 128, 64, 2, 4}, {4, 256, 128, 8, 4}};

enum { SHAPES = sizeof shapes / sizeof shapes[0], MAX_CHANNELS = 256 };

/* got[n] against expected[n], to `error` of the largest. */
static void assert_all_near(const double *got, const double *expected, size_t n, double error, const char *what)
{
    double scale = 0;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(expected[i]));
    ck_assert_double_gt(scale, 0);
    for (size_t i = 0; i < n; i++)
        assert_near(got[i], expected[i], error * scale, what);
}

/* ---- the definition ---- */

/* out[n] = W x + b; bias may be NULL */
static void apply(const mm_linear *linear, const double *x, bool bias, double *out)
{
    for (size_t o = 0; o < linear->out; o++) {
        out[o] = bias ? (double)linear->bias[o] : 0;
        for (size_t i = 0; i < linear->in; i++)
            out[o] += (double)linear->weight[o * linear->in + i] * x[i];
    }
}

/* One cell's way through both layers. */
typedef struct cell {
    double x0[MAX_CHANNELS], z1[MAX_CHANNELS], z2[MAX_CHANNELS]; /* z: what attention gives, before Wo */
    double keys1[MAX_CHANNELS], keys2[MAX_CHANNELS];
    double norm1, norm2; /* |x_1|^2, |x_2|^2, means removed */
    double r1, r2;
} cell;

/* keys = norm4(before + Wo z + b) */
static void add_attention(const mm_decoder_layer *layer, const double *before, const double *z, size_t channels, double *keys,
                          double *square, double *inverse)
{
    double mean = 0;
    apply(&layer->image_to_token.out, z, true, keys);
    for (size_t d = 0; d < channels; d++)
        mean += (keys[d] += before[d]) / (double)channels;
    *square = 0;
    for (size_t d = 0; d < channels; d++)
        *square += (keys[d] - mean) * (keys[d] - mean);
    *inverse = 1 / sqrt(*square / (double)channels + (double)layer->norm4.eps);
    for (size_t d = 0; d < channels; d++)
        keys[d] = (keys[d] - mean) * *inverse * (double)layer->norm4.weight[d] + (double)layer->norm4.bias[d];
}

static void cell_make(random_decoder *r, cell *c)
{
    const size_t channels = r->arch.prompt_embed_dim;
    for (size_t d = 0; d < channels; d++) {
        c->x0[d] = 2 * (double)noise(&r->pool);
        c->z1[d] = (double)noise(&r->pool);
        c->z2[d] = (double)noise(&r->pool);
    }
    add_attention(&r->decoder.layers[0], c->x0, c->z1, channels, c->keys1, &c->norm1, &c->r1);
    add_attention(&r->decoder.layers[1], c->keys1, c->z2, channels, c->keys2, &c->norm2, &c->r2);
}

/* ---- the forms ---- */

static void remove_mean(double *x, size_t channels)
{
    double mean = 0;
    for (size_t d = 0; d < channels; d++)
        mean += x[d] / (double)channels;
    for (size_t d = 0; d < channels; d++)
        x[d] -= mean;
}

static void make_u(const random_decoder *r, const cell *c, double *u, double *u1)
{
    const size_t channels = r->arch.prompt_embed_dim;
    memcpy(u, c->x0, channels * sizeof *u);
    remove_mean(u, channels);
    for (size_t d = 0; d < channels; d++) {
        u[d] += (double)r->constants.centre[d];
        u1[d] = u[d] * (double)r->constants.gain1[d];
    }
    remove_mean(u1, channels);
}

/* out[n] = scale (rows first .. of a linear layer x u + z constant[c][n]) */
static void form(const random_decoder *r, const mm_linear *from, size_t first, const double *u, const float *constant,
                 const double *z, size_t n, double scale, double *out)
{
    const size_t channels = r->arch.prompt_embed_dim, inner = r->arch.decoder.cross_dim;
    for (size_t o = 0; o < n; o++) {
        out[o] = 0;
        for (size_t d = 0; d < channels; d++)
            out[o] += (double)from->weight[(first + o) * channels + d] * u[d];
        for (size_t i = 0; i < inner; i++)
            out[o] += z[i] * (double)constant[i * n + o];
        out[o] *= scale;
    }
}

/* out[n] += scale (z constant[c][n] + addend[n]); either may be NULL */
static void add_form(const random_decoder *r, const float *constant, const double *z, const float *addend, size_t n,
                     double scale, double *out)
{
    for (size_t o = 0; o < n; o++) {
        out[o] += scale * (addend ? (double)addend[o] : 0);
        for (size_t i = 0; constant && i < r->arch.decoder.cross_dim; i++)
            out[o] += scale * z[i] * (double)constant[i * n + o];
    }
}

static double dot(const double *a, const double *b, size_t n)
{
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += a[i] * b[i];
    return total;
}

static double dot_f32(const float *a, const double *b, size_t n)
{
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += (double)a[i] * b[i];
    return total;
}

/* W (keys - B): without the bias of the norm, which the fused decoder has elsewhere or, where it is the same for all cells and
 * cancels in a softmax, nowhere. */
static void project_keys(const mm_linear *linear, const double *keys, const float *norm_bias, double *out)
{
    double x[MAX_CHANNELS];
    for (size_t d = 0; d < linear->in; d++)
        x[d] = keys[d] - (double)norm_bias[d];
    apply(linear, x, false, out);
}

static void check_first_layer(const random_decoder *r, const cell *c, const double *u)
{
    const mm_fused_weights *w = &r->constants;
    const mm_decoder_layer *second = &r->decoder.layers[1];
    const float *bias = r->decoder.layers[0].norm4.bias;
    const size_t inner = r->arch.decoder.cross_dim;
    double got[MAX_CHANNELS], expected[MAX_CHANNELS];

    form(r, &w->from_u, 0, u, w->norm_11, c->z1, inner, 1, got);
    assert_near(dot(u, u, r->arch.prompt_embed_dim) + dot(got, c->z1, inner), c->norm1, f32_error * c->norm1, "|x_1|^2");

    form(r, &w->from_u, inner, u, w->key2_1, c->z1, inner, c->r1, got);
    project_keys(&second->token_to_image.k, c->keys1, bias, expected);
    assert_all_near(got, expected, inner, f32_error, "keys of layer 2");

    form(r, &w->from_u, 2 * inner, u, w->value2_1, c->z1, inner, c->r1, got);
    add_form(r, NULL, NULL, w->value2_bias, inner, 1, got);
    apply(&second->token_to_image.v, c->keys1, true, expected);
    assert_all_near(got, expected, inner, f32_error, "values of layer 2");

    form(r, &w->from_u, 3 * inner, u, w->query2_1, c->z1, inner, c->r1, got);
    project_keys(&second->image_to_token.q, c->keys1, bias, expected);
    assert_all_near(got, expected, inner, f32_error, "queries of layer 2");
}

/* |x_2|^2, which everything of both layers goes into. */
static void check_second_norm(const random_decoder *r, const cell *c, const double *u1)
{
    const mm_fused_weights *w = &r->constants;
    const size_t inner = r->arch.decoder.cross_dim, channels = r->arch.prompt_embed_dim;
    double first[MAX_CHANNELS], both[MAX_CHANNELS], second[MAX_CHANNELS] = {0}, turned[MAX_CHANNELS] = {0};
    form(r, &w->from_u1, 0, u1, w->norm1_11, c->z1, inner, 1, first);
    form(r, &w->from_u1, inner, u1, w->norm1_12, c->z1, inner, 1, both);
    add_form(r, w->norm_22, c->z2, w->c_2, inner, 1, second);
    const double squared = dot(u1, u1, channels) + dot(first, c->z1, inner);
    const double once = 2 * dot_f32(w->c, u1, channels) + dot(both, c->z2, inner) + dot_f32(w->c_1, c->z1, inner);
    const double norm = c->r1 * c->r1 * squared + c->r1 * once + (double)w->c_norm + dot(second, c->z2, inner);
    assert_near(norm, c->norm2, f32_error * c->norm2, "|x_2|^2");

    /* norm1_21 is norm1_12 turned. */
    memset(first, 0, sizeof first);
    add_form(r, w->norm1_12, c->z1, NULL, inner, 1, first);
    add_form(r, w->norm1_21, c->z2, NULL, inner, 1, turned);
    assert_near(dot(turned, c->z1, inner), dot(first, c->z2, inner), f32_error * c->norm2, "2 X_1 z_1 . A_2 z_2");
}

/* W keys_2 without B_2, for the n rows of from_u1 from `first` on. */
static void second_form(const random_decoder *r, const cell *c, const double *u1, size_t first, const float *one,
                        const float *two, const float *constant, size_t n, double *out)
{
    form(r, &r->constants.from_u1, first, u1, one, c->z1, n, c->r1 * c->r2, out);
    add_form(r, two, c->z2, constant, n, c->r2, out);
}

static void check_second_layer(const random_decoder *r, const cell *c, const double *u1)
{
    const mm_fused_weights *w = &r->constants;
    const size_t inner = r->arch.decoder.cross_dim, channels = r->arch.prompt_embed_dim;
    double got[MAX_CHANNELS], expected[MAX_CHANNELS];

    second_form(r, c, u1, 2 * inner, w->key3_1, w->key3_2, w->key3_c, inner, got);
    project_keys(&r->decoder.final.k, c->keys2, r->decoder.layers[1].norm4.bias, expected);
    assert_all_near(got, expected, inner, f32_error, "keys of the final attention");

    second_form(r, c, u1, 3 * inner, w->value3_1, w->value3_2, w->value3_c, inner, got);
    add_form(r, NULL, NULL, w->value3_bias, inner, 1, got);
    apply(&r->decoder.final.v, c->keys2, true, expected);
    assert_all_near(got, expected, inner, f32_error, "values of the final attention");

    second_form(r, c, u1, 4 * inner, w->up_1, w->up_2, w->up_c, channels, got);
    add_form(r, NULL, NULL, w->up_bias, channels, 1, got);
    apply(&r->decoder.upscale1, c->keys2, true, expected);
    assert_all_near(got, expected, channels, f32_error, "the first upscaling");
}

START_TEST(forms_equal_the_definition)
{
    if (!mm_bf16_get())
        return;
    random_decoder r;
    random_decoder_make(&r, shapes[_i], 3);
    random_decoder_fuse(&r, false);
    for (int n = 0; n < 10; n++) {
        cell c;
        double u[MAX_CHANNELS], u1[MAX_CHANNELS];
        cell_make(&r, &c);
        make_u(&r, &c, u, u1);
        check_first_layer(&r, &c, u);
        check_second_norm(&r, &c, u1);
        check_second_layer(&r, &c, u1);
    }
    random_decoder_free(&r);
}
END_TEST

/* ---- planes of positions and of an image ---- */

/* A number of a packed array, from which a mean was taken, against what is expected with it: one rounding to bf16 off. */
static void check_packed(float got, float mean, double expected, const char *what)
{
    const double left = expected - (double)mean;
    assert_near((double)got, left, bf16_error * fabs(left) + 1e-5, what);
}

/* What a plane holds of cell n, against expected[c]; mean[c] may be NULL for 0. */
static void check_plane(const mm_fused_sizes *sizes, const mm_pair *plane, const float *mean, size_t n,
                        const double *expected, const char *what)
{
    for (size_t i = 0; i < sizes->inner; i++)
        check_packed(plane_at(sizes, plane, n, i), mean ? mean[i] : 0, expected[i], what);
}

static void check_values(const mm_fused_sizes *sizes, const mm_pair *values, const float *mean, size_t n,
                         const double *expected, const char *what)
{
    for (size_t i = 0; i < sizes->inner; i++)
        check_packed(half_of(values[n / 2 * sizes->inner + i], n % 2), mean ? mean[i] : 0, expected[i], what);
}

/* What is left of a plane adds up to nothing, up to rounding. */
static void check_centred(const mm_fused_sizes *sizes, const mm_pair *plane, const char *what)
{
    for (size_t i = 0; i < sizes->inner; i++) {
        double total = 0, size = 0;
        for (size_t n = 0; n < sizes->cells; n++) {
            total += (double)plane_at(sizes, plane, n, i);
            size += fabs((double)plane_at(sizes, plane, n, i));
        }
        assert_near(total, 0, bf16_error * size, what);
    }
}

static void check_positions(const random_decoder *r, const mm_fused_sizes *sizes, size_t n)
{
    const mm_decoder_layer *second = &r->decoder.layers[1];
    double pe[MAX_CHANNELS], expected[MAX_CHANNELS];
    for (size_t d = 0; d < sizes->channels; d++)
        pe[d] = (double)r->prompts.dense_pe[n * sizes->channels + d];
    apply(&second->token_to_image.k, pe, false, expected);
    check_plane(sizes, r->constants.key2_pe, NULL, n, expected, "Wk_2 pe");
    apply(&r->decoder.final.k, pe, false, expected);
    check_plane(sizes, r->constants.key3_pe, NULL, n, expected, "Wk_3 pe");
    for (size_t d = 0; d < sizes->channels; d++)
        pe[d] += (double)r->decoder.layers[0].norm4.bias[d];
    apply(&second->image_to_token.q, pe, true, expected);
    check_plane(sizes, r->constants.query2_pe, NULL, n, expected, "Wq_2 (pe + B_1) + bq_2");
}

static void check_cell_of_image(const random_decoder *r, const mm_fused_sizes *sizes, size_t n)
{
    const mm_fused_image *image = &r->fused;
    const mm_fused_weights *w = &r->constants;
    const mm_decoder_layer *first = &r->decoder.layers[0];
    const size_t inner = sizes->inner, channels = sizes->channels;
    cell c = {0};
    double u[MAX_CHANNELS], u1[MAX_CHANNELS], with_pe[MAX_CHANNELS], expected[5 * MAX_CHANNELS];
    for (size_t d = 0; d < channels; d++) {
        c.x0[d] = (double)r->image.embedding[n * channels + d] + (double)r->prompts.no_mask[d];
        with_pe[d] = c.x0[d] + (double)r->prompts.dense_pe[n * channels + d];
    }
    apply(&first->token_to_image.k, with_pe, false, expected);
    check_plane(sizes, image->key1, image->means.key1, n, expected, "keys of layer 1");
    apply(&first->image_to_token.q, with_pe, true, expected);
    check_plane(sizes, image->query1, image->means.query1, n, expected, "queries of layer 1");
    apply(&first->token_to_image.v, c.x0, true, expected);
    check_values(sizes, image->value1, image->means.value1, n, expected, "values of layer 1");

    make_u(r, &c, u, u1);
    apply(&w->from_u, u, false, expected);
    check_plane(sizes, image->norm1, image->means.norm1, n, expected, "2 A_1' u");
    check_plane(sizes, image->key2, image->means.key2, n, expected + inner, "keys of layer 2 from u");
    check_values(sizes, image->value2, image->means.value2, n, expected + 2 * inner, "values of layer 2 from u");
    check_plane(sizes, image->query2, image->means.query2, n, expected + 3 * inner, "queries of layer 2 from u");
    apply(&w->from_u1, u1, false, expected);
    check_plane(sizes, image->norm11, image->means.norm11, n, expected, "2 X_1' u'");
    check_plane(sizes, image->norm12, image->means.norm12, n, expected + inner, "2 A_2' u'");
    check_plane(sizes, image->key3, image->means.key3, n, expected + 2 * inner, "keys of the final attention from u'");
    check_values(sizes, image->value3, image->means.value3, n, expected + 3 * inner, "values of the final attention from u'");
    for (size_t o = 0; o < channels; o++)
        check_packed(mm_bf16_to_float(image->up[(n / 32 * channels + o) * 32 + n % 32]), image->means.up[o],
                     expected[4 * inner + o], "the first upscaling from u'");

    const double square = dot(u, u, channels), square1 = dot(u1, u1, channels);
    assert_near((double)image->u_norm[n], square, 1e-6 * square, "|u|^2");
    assert_near((double)image->u1_norm[n], square1, 1e-6 * square1, "|u'|^2");
    assert_near((double)image->u1_c[n], 2 * dot_f32(w->c, u1, channels), 1e-5 * square1, "2 u' . c");
}

START_TEST(planes_equal_the_definition)
{
    if (!mm_bf16_get())
        return;
    random_decoder r;
    random_decoder_make(&r, shapes[_i], 4);
    random_decoder_fuse(&r, false);
    random_image(&r);
    const mm_fused_sizes sizes = mm_fused_sizes_of(&r.decoder, 7);
    for (size_t n = 0; n < sizes.cells; n++) {
        check_positions(&r, &sizes, n);
        check_cell_of_image(&r, &sizes, n);
    }
    check_centred(&sizes, r.fused.key1, "keys of layer 1");
    check_centred(&sizes, r.fused.norm12, "2 A_2' u'");
    const double nothing[MAX_CHANNELS] = {0};
    for (size_t n = sizes.cells; n < sizes.padded; n++) {
        check_plane(&sizes, r.fused.key3, NULL, n, nothing, "a cell that does not exist");
        check_values(&sizes, r.fused.value3, NULL, n, nothing, "a cell that does not exist");
        ck_assert(r.fused.u_norm[n] == 0 && r.fused.u1_norm[n] == 0 && r.fused.u1_c[n] == 0);
    }
    random_decoder_free(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/fused decoder's algebra");
    TCase *tests = tcase_create("algebra");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, forms_equal_the_definition, 0, SHAPES);
    tcase_add_loop_test(tests, planes_equal_the_definition, 0, SHAPES);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}

#else

int main(void)
{
    return 0; /* these kernels are there on x86-64 alone */
}

#endif
