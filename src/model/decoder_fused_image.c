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

static float value_at(const float *x, size_t row, size_t cells, size_t cell, size_t channel)
{
    return cell < cells ? x[cell * row + channel] : 0;
}

void mm_fused_pack_plane(const float *x, size_t row, size_t cells, size_t channels, size_t first, mm_pair *plane)
{
    for (size_t half = first; half < first + MM_FUSED_CELLS; half += MM_FUSED_HALF)
        for (size_t i = 0; i < MM_FUSED_HALF; i++)
            for (size_t c = 0; c < channels; c += 2)
                plane[half * channels / 2 + c / 2 * MM_FUSED_HALF + i] =
                    pair_of(value_at(x, row, cells, half + i, c), value_at(x, row, cells, half + i, c + 1));
}

static void pack_values(const float *x, size_t row, size_t cells, size_t channels, size_t first, mm_pair *values)
{
    mm_pair *to = values + first * channels / 2;
    for (size_t i = first; i < first + MM_FUSED_CELLS; i += 2)
        for (size_t c = 0; c < channels; c++)
            *to++ = pair_of(value_at(x, row, cells, i, c), value_at(x, row, cells, i + 1, c));
}

static void pack_up(const float *x, size_t row, size_t cells, size_t channels, size_t first, mm_bf16 *up)
{
    for (size_t half = first; half < first + MM_FUSED_CELLS; half += MM_FUSED_HALF)
        for (size_t i = 0; i < MM_FUSED_HALF; i++)
            for (size_t c = 0; c < channels; c++)
                up[half * channels + c * MM_FUSED_HALF + i] = mm_bf16_from(value_at(x, row, cells, half + i, c));
}

/* One projection of the image and its packed form. */
typedef struct packing {
    const float *x;
    size_t row;
    mm_pair *plane, *values; /* one of them */
    mm_bf16 *up;             /* or this, `channels` wide */
    size_t channels;
} packing;

static void pack_all(const mm_context *context, const packing *packings, size_t count, size_t cells)
{
    const size_t steps = (cells + MM_FUSED_CELLS - 1) / MM_FUSED_CELLS;
#pragma omp parallel for num_threads((int)context->kernels->threads) collapse(2)
    for (size_t i = 0; i < count; i++)
        for (size_t s = 0; s < steps; s++) {
            const packing *p = &packings[i];
            if (p->plane)
                mm_fused_pack_plane(p->x, p->row, cells, p->channels, s * MM_FUSED_CELLS, p->plane);
            else if (p->values)
                pack_values(p->x, p->row, cells, p->channels, s * MM_FUSED_CELLS, p->values);
            else
                pack_up(p->x, p->row, cells, p->channels, s * MM_FUSED_CELLS, p->up);
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
    const packing first[] = {{.x = side->key, .row = inner, .plane = image->key1, .channels = inner},
                             {.x = side->query, .row = inner, .plane = image->query1, .channels = inner},
                             {.x = side->value, .row = inner, .values = image->value1, .channels = inner}};
    pack_all(context, first, 3, cells);

    const size_t row = 4 * inner, row1 = 4 * inner + channels;
    const float *x = image->projected;
    make_u(fused, side->keys, cells, channels, image);
    mm_status status = mm_layer_product(context, &fused->from_u, image->u, cells, image->projected, err);
    if (status != MM_OK)
        return status;
    const packing second[] = {{.x = x, .row = row, .plane = image->norm1, .channels = inner},
                              {.x = x + inner, .row = row, .plane = image->key2, .channels = inner},
                              {.x = x + 2 * inner, .row = row, .values = image->value2, .channels = inner},
                              {.x = x + 3 * inner, .row = row, .plane = image->query2, .channels = inner}};
    pack_all(context, second, 4, cells);

    make_u1(fused, cells, channels, image);
    status = mm_layer_product(context, &fused->from_u1, image->u, cells, image->projected, err);
    if (status != MM_OK)
        return status;
    const packing third[] = {{.x = x, .row = row1, .plane = image->norm11, .channels = inner},
                             {.x = x + inner, .row = row1, .plane = image->norm12, .channels = inner},
                             {.x = x + 2 * inner, .row = row1, .plane = image->key3, .channels = inner},
                             {.x = x + 3 * inner, .row = row1, .values = image->value3, .channels = inner},
                             {.x = x + 4 * inner, .row = row1, .up = image->up, .channels = channels}};
    pack_all(context, third, 5, cells);
    return MM_OK;
}
