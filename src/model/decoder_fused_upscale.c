/* The fused decoder's way from weights to low-res logits, 32 cells at a time: first transposed convolution, norm, GELU, second
 * one, GELU, and the product with each mask's vector, without leaving the L1 cache. */
#include "model/decoder_fused_pass.h"

#ifdef __AVX512BF16__

#include <string.h>

enum { HALF = MM_FUSED_HALF, ROWS = MM_FUSED_ROWS };

/* One step: cells from `cell` on. */
typedef struct step {
    const mm_fused_sizes *sizes;
    const mm_fused_image *image;
    const mm_fused_prompt *prompt;
    const mm_fused_upscaling *up;
    const mm_fused_weights *weights;
    size_t cell;
    float *first;    /* [D / 4][32]: one sub-pixel after the first convolution */
    mm_pair *packed; /* [D / 8][32]: the same after norm and GELU */
    float *logits;   /* [masks][16][32] */
} step;

/* Wup keys_2 + bup = r_2 (r_1 (Wup G_2 u' + l_1's + row . a_1) + c's and l_2's + row . a_2) + Wup B_2 + bup, for 8 outputs from
 * `out` on */
static void upscale_rows(const step *s, size_t out, float *to)
{
    const size_t pairs = s->sizes->pairs;
    const mm_bf16 *shared = s->image->up + (s->cell * s->sizes->channels + out * HALF);
    const mm_pair *a1 = s->prompt->weights1 + s->cell * pairs, *a2 = s->prompt->weights2 + s->cell * pairs;
    __m512 sums[ROWS][2];
    for (size_t r = 0; r < ROWS; r++)
        for (size_t v = 0; v < 2; v++)
            sums[r][v] = _mm512_add_ps(mm_load_bf16(shared + r * HALF + 16 * v, 0xffff), _mm512_set1_ps(s->up->up_l[out + r]));
    mm_fused_multiply_add(ROWS, s->up->up_1 + out * pairs, pairs, a1, pairs, sums);
    for (size_t v = 0; v < 2; v++) {
        const __m512 r1 = _mm512_loadu_ps(s->prompt->inverse1 + s->cell + 16 * v);
        for (size_t r = 0; r < ROWS; r++)
            sums[r][v] = _mm512_fmadd_ps(sums[r][v], r1, _mm512_set1_ps(s->up->up_c[out + r]));
    }
    mm_fused_multiply_add(ROWS, s->up->up_2 + out * pairs, pairs, a2, pairs, sums);
    for (size_t v = 0; v < 2; v++) {
        const __m512 r2 = _mm512_loadu_ps(s->prompt->inverse2 + s->cell + 16 * v);
        for (size_t r = 0; r < ROWS; r++)
            _mm512_storeu_ps(to + r * HALF + 16 * v,
                             _mm512_fmadd_ps(sums[r][v], r2, _mm512_set1_ps(s->weights->up_bias[out + r])));
    }
}

/* packed = gelu(norm(first)) over the channels of each cell */
static void norm_and_pack(const step *s, size_t channels)
{
    const mm_norm *norm = &s->up->decoder->upscale_norm;
    for (size_t i = 0; i < HALF; i += 16) {
        __m512 total = _mm512_setzero_ps(), square = _mm512_setzero_ps();
        for (size_t o = 0; o < channels; o++)
            total = _mm512_add_ps(total, _mm512_loadu_ps(s->first + o * HALF + i));
        const __m512 mean = _mm512_mul_ps(total, _mm512_set1_ps(1.0f / (float)channels));
        for (size_t o = 0; o < channels; o++) {
            const __m512 d = _mm512_sub_ps(_mm512_loadu_ps(s->first + o * HALF + i), mean);
            square = _mm512_fmadd_ps(d, d, square);
        }
        const __m512 variance =
            _mm512_fmadd_ps(square, _mm512_set1_ps(1.0f / (float)channels), _mm512_set1_ps(norm->eps));
        const __m512 inverse = _mm512_div_ps(_mm512_set1_ps(1), _mm512_sqrt_ps(variance));
        for (size_t o = 0; o < channels; o += 2) {
            __m512 x[2];
            for (size_t k = 0; k < 2; k++) {
                const __m512 d = _mm512_sub_ps(_mm512_loadu_ps(s->first + (o + k) * HALF + i), mean);
                x[k] = mm_gelu(_mm512_fmadd_ps(_mm512_mul_ps(d, inverse), _mm512_set1_ps(norm->weight[o + k]),
                                               _mm512_set1_ps(norm->bias[o + k])));
            }
            _mm512_storeu_si512(s->packed + o / 2 * HALF + i, mm_interleave_bf16(x[0], x[1]));
        }
    }
}

/* Sub-pixel `sub` of the second convolution, and its products with the masks' vectors, to logits. */
static void finish_subpixel(const step *s, size_t sub, size_t channels, float *to)
{
    const size_t pairs = s->sizes->channels / 8;
    for (size_t m = 0; m < s->up->masks; m++)
        memset(to + m * 16 * HALF, 0, HALF * sizeof *to);
    for (size_t o = 0; o < channels; o += ROWS) {
        const size_t row = sub * channels + o;
        __m512 sums[ROWS][2];
        for (size_t r = 0; r < ROWS; r++)
            sums[r][0] = sums[r][1] = _mm512_set1_ps(s->up->decoder->upscale2.bias[row + r]);
        mm_fused_multiply_add(ROWS, s->weights->up2 + row * pairs, pairs, s->packed, pairs, sums);
        for (size_t r = 0; r < ROWS; r++)
            for (size_t v = 0; v < 2; v++)
                sums[r][v] = mm_gelu(sums[r][v]);
        for (size_t m = 0; m < s->up->masks; m++)
            for (size_t v = 0; v < 2; v++) {
                float *at = to + m * 16 * HALF + 16 * v;
                __m512 sum = _mm512_loadu_ps(at);
                for (size_t r = 0; r < ROWS; r++)
                    sum = _mm512_fmadd_ps(sums[r][v], _mm512_set1_ps(s->up->hyper[m * channels + o + r]), sum);
                _mm512_storeu_ps(at, sum);
            }
    }
}

/* Four columns of 16 cells, x[column], to a row of 64 logits. */
static void place_row(const float *x, float *to)
{
    const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + HALF);
    const __m512 x2 = _mm512_loadu_ps(x + 4 * HALF), x3 = _mm512_loadu_ps(x + 5 * HALF);
    const __m512d low01 = (__m512d)_mm512_unpacklo_ps(x0, x1), high01 = (__m512d)_mm512_unpackhi_ps(x0, x1);
    const __m512d low23 = (__m512d)_mm512_unpacklo_ps(x2, x3), high23 = (__m512d)_mm512_unpackhi_ps(x2, x3);
    /* 128-bit lane l of cell[k] holds the four columns of cell 4 l + k. */
    const __m512 cell0 = (__m512)_mm512_unpacklo_pd(low01, low23), cell1 = (__m512)_mm512_unpackhi_pd(low01, low23);
    const __m512 cell2 = (__m512)_mm512_unpacklo_pd(high01, high23), cell3 = (__m512)_mm512_unpackhi_pd(high01, high23);
    const __m512 a = _mm512_shuffle_f32x4(cell0, cell1, 0x44), b = _mm512_shuffle_f32x4(cell2, cell3, 0x44);
    const __m512 c = _mm512_shuffle_f32x4(cell0, cell1, 0xee), d = _mm512_shuffle_f32x4(cell2, cell3, 0xee);
    _mm512_storeu_ps(to, _mm512_shuffle_f32x4(a, b, 0x88));
    _mm512_storeu_ps(to + 16, _mm512_shuffle_f32x4(a, b, 0xdd));
    _mm512_storeu_ps(to + 32, _mm512_shuffle_f32x4(c, d, 0x88));
    _mm512_storeu_ps(to + 48, _mm512_shuffle_f32x4(c, d, 0xdd));
}

/* values[16][32], sub-pixels of the first and the second convolution, to their places in logits[L][L]. */
static void place(const float *values, size_t first, size_t cells, size_t side, float *logits)
{
    const size_t low_res = 4 * side;
    if (side % HALF == 0) {
        float *at = logits + first / side * 4 * low_res + first % side * 4;
        for (size_t row = 0; row < 4; row++) /* of the first convolution's two rows, and of the second's in each */
            for (size_t i = 0; i < HALF; i += 16)
                place_row(values + (8 * (row / 2) + 2 * (row % 2)) * HALF + i, at + row * low_res + 4 * i);
        return;
    }
    for (size_t i = 0; i < cells; i++) {
        float *at = logits + (first + i) / side * 4 * low_res + (first + i) % side * 4;
        for (size_t a = 0; a < 4; a++)
            for (size_t b = 0; b < 4; b++)
                at[(2 * (a / 2) + b / 2) * low_res + 2 * (a % 2) + b % 2] = values[(4 * a + b) * HALF + i];
    }
}

size_t mm_fused_upscale_work(const mm_fused_sizes *sizes)
{
    return HALF * (sizes->channels / 4 + sizes->channels / 8 + 16 * MM_MAX_MASK_TOKENS);
}

void mm_fused_upscale(const mm_fused_sizes *sizes, const mm_fused_image *image, const mm_fused_prompt *prompt,
                      const mm_fused_upscaling *up, float *work)
{
    const size_t quarter = sizes->channels / 4, eighth = sizes->channels / 8;
    step s = {.sizes = sizes, .image = image, .prompt = prompt, .up = up, .weights = up->decoder->fused, .first = work};
    s.packed = (mm_pair *)(work + HALF * quarter);
    s.logits = work + HALF * (quarter + eighth);
    const size_t side = up->decoder->arch->embedding_side, cells = up->grid_rows * side;
    for (s.cell = 0; s.cell < cells; s.cell += HALF) {
        for (size_t a = 0; a < 4; a++) {
            for (size_t o = 0; o < quarter; o += ROWS)
                upscale_rows(&s, a * quarter + o, s.first + o * HALF);
            norm_and_pack(&s, quarter);
            for (size_t b = 0; b < 4; b++)
                finish_subpixel(&s, b, eighth, s.logits + (4 * a + b) * HALF);
        }
        const size_t left = cells - s.cell;
        for (size_t m = 0; m < up->masks; m++)
            place(s.logits + m * 16 * HALF, s.cell, left < HALF ? left : HALF, side, up->logits[m]);
    }
}

#endif
