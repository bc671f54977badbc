/* What a prompt's vectors make of a checkpoint's constants: small dense loops over lanes, compiled for AVX-512 and used by
 * the fused decoder only. decoder_fused.h says what each of them gives. */
#include <string.h>

#include "model/decoder_fused.h"

static mm_pair pair_of(float even, float odd)
{
    return (mm_pair)mm_bf16_from(even) | (mm_pair)mm_bf16_from(odd) << 16;
}

/* out[n] += factor * x[n] */
static void add_scaled(const float *restrict x, float factor, size_t n, float *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] += factor * x[i];
}

void mm_fused_expand(const mm_fused_sizes *sizes, const float *y, const float *constant, size_t n, float *expanded)
{
    const size_t dim = sizes->dim;
    memset(expanded, 0, sizes->vectors * n * sizeof *expanded);
    for (size_t j = 0; j < sizes->vectors; j++)
        for (size_t i = 0; i < dim; i++)
            add_scaled(constant + (j / sizes->tokens * dim + i) * n, y[j * dim + i], n, expanded + j * n);
}

void mm_fused_vectors(const mm_fused_sizes *sizes, const float *x, mm_pair *vectors)
{
    for (size_t i = 0; i < sizes->vectors * sizes->dim / 2; i++)
        vectors[i] = pair_of(x[2 * i], x[2 * i + 1]);
}

void mm_fused_matrix(const mm_fused_sizes *sizes, const float *x, const float *expanded, float *work, mm_pair *matrix)
{
    const size_t vectors = sizes->vectors, dim = sizes->dim, inner = sizes->inner, width = 2 * sizes->pairs;
    float *turned = work, *row = work + inner * width; /* [c][2 pairs], [2 pairs] */
    for (size_t j = 0; j < width; j++)
        for (size_t i = 0; i < inner; i++)
            turned[i * width + j] = j < vectors ? expanded[j * inner + i] : 0;
    for (size_t j = 0; j < vectors; j++) {
        memset(row, 0, width * sizeof *row);
        for (size_t i = 0; i < dim; i++)
            add_scaled(turned + (j / sizes->tokens * dim + i) * width, x[j * dim + i], width, row);
        for (size_t p = 0; p < sizes->pairs; p++)
            matrix[j * sizes->pairs + p] = pair_of(row[2 * p], row[2 * p + 1]);
    }
}

void mm_fused_columns(const mm_fused_sizes *sizes, const float *expanded, size_t n, mm_pair *matrix)
{
    for (size_t p = 0; p < sizes->pairs; p++)
        for (size_t o = 0; o < n; o++)
            matrix[o * sizes->pairs + p] = pair_of(
                expanded[2 * p * n + o], 2 * p + 1 < sizes->vectors ? expanded[(2 * p + 1) * n + o] : 0);
}

void mm_fused_add_outer(const mm_fused_sizes *sizes, const float *outer, const float *expanded, float *out)
{
    const size_t dim = sizes->dim;
    for (size_t j = 0; j < sizes->vectors; j++)
        for (size_t i = 0; i < sizes->vectors; i++)
            add_scaled(expanded + i * sizes->inner + j / sizes->tokens * dim, outer[j * sizes->wide + i], dim,
                       out + j * dim);
}
