/* What the fused decoder's passes read of an image, made once for all prompts. */
#include <string.h>

#include "model/decoder_fused.h"

static size_t padded_cells(const mm_arch *arch)
{
    const size_t cells = (size_t)arch->embedding_side * arch->embedding_side;
    return (cells + MM_FUSED_CELLS - 1) / MM_FUSED_CELLS * MM_FUSED_CELLS;
}

bool mm_fused_image_new(mm_fused_image *image, const mm_arch *arch, mm_arena *arena)
{
    const size_t cells = padded_cells(arch), channels = arch->prompt_embed_dim, inner = arch->decoder.cross_dim;
    mm_pair **const halves[] = {&image->key1,   &image->query1, &image->norm1,  &image->key2,   &image->query2, &image->norm11,
                                &image->norm12, &image->key3,   &image->value1, &image->value2, &image->value3};
    bool good = true;
    for (size_t i = 0; i < sizeof halves / sizeof halves[0] && good; i++)
        good = (*halves[i] = (mm_pair *)mm_arena_floats(arena, cells * inner / 2)) != NULL;
    mm_fused_means *m = &image->means;
    float **const means[] = {&m->key1,   &m->query1, &m->norm1,  &m->key2,   &m->query2, &m->norm11,
                             &m->norm12, &m->key3,   &m->value1, &m->value2, &m->value3, &m->up};
    for (size_t i = 0; i < sizeof means / sizeof means[0] && good; i++)
        good = (*means[i] = mm_arena_floats(arena, means[i] == &m->up ? channels : inner)) != NULL;
    good = good && (image->up = (mm_bf16 *)mm_arena_floats(arena, cells * channels / 2));
    float **const norms[] = {&image->u_norm, &image->u1_norm, &image->u1_c};
    for (size_t i = 0; i < 3 && good; i++) {
        good = (*norms[i] = mm_arena_floats(arena, cells)) != NULL;
        if (good)
            memset(*norms[i], 0, cells * sizeof(float));
    }
    return good && (image->u = mm_arena_floats(arena, cells * channels)) &&
           (image->projected = mm_arena_floats(arena, cells * (4 * inner + channels)));
}

static mm_pair pair_of(float even, float odd)
{
    return (mm_pair)mm_bf16_from(even) | (mm_pair)mm_bf16_from(odd) << 16;
}

/* One projection of the image, and its packed form. */
typedef struct packing {
    const float *x; /* f32, `row` from cell to cell */
    size_t row, cells, channels;
    float *mean;             /* [channels], made and taken away; NULL for none */
    mm_pair *plane, *values; /* one of them, */
    mm_bf16 *up;             /* or this */
} packing;

static float value_at(const packing *p, size_t cell, size_t channel)
{
    return cell < p->cells ? p->x[cell * p->row + channel] - (p->mean ? p->mean[channel] : 0) : 0;
}

static void pack_plane(const packing *p, size_t first)
{
    for (size_t half = first; half < first + MM_FUSED_CELLS; half += MM_FUSED_HALF)
        for (size_t i = 0; i < MM_FUSED_HALF; i++)
            for (size_t c = 0; c < p->channels; c += 2)
                p->plane[half * p->channels / 2 + c / 2 * MM_FUSED_HALF + i] =
                    pair_of(value_at(p, half + i, c), value_at(p, half + i, c + 1));
}

static void pack_values(const packing *p, size_t first)
{
    mm_pair *to = p->values + first * p->channels / 2;
    for (size_t i = first; i < first + MM_FUSED_CELLS; i += 2)
        for (size_t c = 0; c < p->channels; c++)
            *to++ = pair_of(value_at(p, i, c), value_at(p, i + 1, c));
}

static void pack_up(const packing *p, size_t first)
{
    for (size_t half = first; half < first + MM_FUSED_CELLS; half += MM_FUSED_HALF)
        for (size_t i = 0; i < MM_FUSED_HALF; i++)
            for (size_t c = 0; c < p->channels; c++)
                p->up[half * p->channels + c * MM_FUSED_HALF + i] = mm_bf16_from(value_at(p, half + i, c));
}

void mm_fused_pack_plane(const float *x, size_t row, size_t cells, size_t channels, size_t first, mm_pair *plane)
{
    pack_plane(&(packing){.x = x, .row = row, .cells = cells, .channels = channels, .plane = plane}, first);
}

/* It need not be exact: what is taken away here is what is added there. */
static void make_mean(const packing *p)
{
    memset(p->mean, 0, p->channels * sizeof *p->mean);
    for (size_t n = 0; n < p->cells; n++)
        for (size_t c = 0; c < p->channels; c++)
            p->mean[c] += p->x[n * p->row + c];
    for (size_t c = 0; c < p->channels; c++)
        p->mean[c] /= (float)p->cells;
}

static void pack_all(const mm_context *context, const packing *packings, size_t count)
{
    const size_t steps = (packings[0].cells + MM_FUSED_CELLS - 1) / MM_FUSED_CELLS;
#pragma omp parallel for num_threads((int)context->kernels->threads)
    for (size_t i = 0; i < count; i++)
        make_mean(&packings[i]);
#pragma omp parallel for num_threads((int)context->kernels->threads) collapse(2)
    for (size_t i = 0; i < count; i++)
        for (size_t s = 0; s < steps; s++) {
            if (packings[i].plane)
                pack_plane(&packings[i], s * MM_FUSED_CELLS);
            else if (packings[i].values)
                pack_values(&packings[i], s * MM_FUSED_CELLS);
            else
                pack_up(&packings[i], s * MM_FUSED_CELLS);
        }
}

/* u = P x_0 + centre of each cell, and its |u|^2. */
static void make_u(const mm_fused_weights *fused, const float *keys, size_t cells, size_t channels, mm_fused_image *image)
{
    for (size_t n = 0; n < cells; n++) {
        const float *x = keys + n * channels;
        float *u = image->u + n * channels;
        double total = 0, square = 0;
        for (size_t d = 0; d < channels; d++)
            total += (double)x[d];
        for (size_t d = 0; d < channels; d++) {
            u[d] = x[d] - (float)(total / (double)channels) + fused->centre[d];
            square += (double)u[d] * (double)u[d];
        }
        image->u_norm[n] = (float)square;
    }
}

/* u becomes u' = P G_1 u in its place, with |u'|^2 and 2 u' . c. */
static void make_u1(const mm_fused_weights *fused, size_t cells, size_t channels, mm_fused_image *image)
{
    for (size_t n = 0; n < cells; n++) {
        float *u = image->u + n * channels;
        double total = 0, square = 0, along = 0;
        for (size_t d = 0; d < channels; d++)
            total += (double)(u[d] *= fused->gain1[d]);
        for (size_t d = 0; d < channels; d++) {
            u[d] -= (float)(total / (double)channels);
            square += (double)u[d] * (double)u[d];
            along += (double)u[d] * (double)fused->c[d];
        }
        image->u1_norm[n] = (float)square;
        image->u1_c[n] = (float)(2 * along);
    }
}

mm_status mm_fused_image_prepare(const mm_mask_decoder *decoder, const mm_context *context, const mm_image_side *side,
                                 mm_fused_image *image, mm_error *err)
{
    const mm_fused_weights *fused = decoder->fused;
    const size_t channels = decoder->arch->prompt_embed_dim, inner = decoder->arch->decoder.cross_dim;
    const size_t cells = (size_t)decoder->arch->embedding_side * decoder->arch->embedding_side;
    mm_fused_means *m = &image->means;
    const packing first[] = {{side->key, inner, cells, inner, m->key1, .plane = image->key1},
                             {side->query, inner, cells, inner, m->query1, .plane = image->query1},
                             {side->value, inner, cells, inner, m->value1, .values = image->value1}};
    pack_all(context, first, 3);

    const size_t row = 4 * inner, row1 = 4 * inner + channels;
    const float *x = image->projected;
    make_u(fused, side->keys, cells, channels, image);
    mm_status status = mm_layer_product(context, &fused->from_u, image->u, cells, image->projected, err);
    if (status != MM_OK)
        return status;
    const packing second[] = {{x, row, cells, inner, m->norm1, .plane = image->norm1},
                              {x + inner, row, cells, inner, m->key2, .plane = image->key2},
                              {x + 2 * inner, row, cells, inner, m->value2, .values = image->value2},
                              {x + 3 * inner, row, cells, inner, m->query2, .plane = image->query2}};
    pack_all(context, second, 4);

    make_u1(fused, cells, channels, image);
    status = mm_layer_product(context, &fused->from_u1, image->u, cells, image->projected, err);
    if (status != MM_OK)
        return status;
    const packing third[] = {{x, row1, cells, inner, m->norm11, .plane = image->norm11},
                             {x + inner, row1, cells, inner, m->norm12, .plane = image->norm12},
                             {x + 2 * inner, row1, cells, inner, m->key3, .plane = image->key3},
                             {x + 3 * inner, row1, cells, inner, m->value3, .values = image->value3},
                             {x + 4 * inner, row1, cells, channels, m->up, .up = image->up}};
    pack_all(context, third, 5);
    return MM_OK;
}
