/* The passes of the fused decoder over a prompt's image, 64 cells at a time: softmaxes, quadratic forms and sums from the
 * shared planes and the weights of the layers before, all in the L1 and L2 caches. decoder_fused.h has the formulas.
 *
 * Rows (vectors j of a prompt) are worked on in blocks of one head; a block and 32 cells are a register tile. */
#include "model/decoder_fused_pass.h"

#ifdef __AVX512BF16__

#include <string.h>

enum { CELLS = MM_FUSED_CELLS, HALF = MM_FUSED_HALF, ROWS = MM_FUSED_ROWS };

typedef struct tile {
    __m512 sums[ROWS][2];
} tile;

MM_INLINE void clear(size_t rows, tile *t)
{
    for (size_t r = 0; r < rows; r++)
        t->sums[r][0] = t->sums[r][1] = _mm512_setzero_ps();
}

/* sums of row r = value[r] */
MM_INLINE void begin(size_t rows, const float *value, tile *t)
{
    for (size_t r = 0; r < rows; r++)
        t->sums[r][0] = t->sums[r][1] = _mm512_set1_ps(value[r]);
}

MM_INLINE void scale(size_t rows, const float *by, tile *t)
{
    const __m512 by0 = _mm512_loadu_ps(by), by1 = _mm512_loadu_ps(by + 16);
    for (size_t r = 0; r < rows; r++) {
        t->sums[r][0] = _mm512_mul_ps(t->sums[r][0], by0);
        t->sums[r][1] = _mm512_mul_ps(t->sums[r][1], by1);
    }
}

/* sums of row r + addend[r] */
MM_INLINE void add_constant(size_t rows, const float *addend, tile *t)
{
    for (size_t r = 0; r < rows; r++) {
        const __m512 x = _mm512_set1_ps(addend[r]);
        t->sums[r][0] = _mm512_add_ps(t->sums[r][0], x);
        t->sums[r][1] = _mm512_add_ps(t->sums[r][1], x);
    }
}

MM_INLINE void store(size_t rows, const tile *t, float *out, size_t row)
{
    for (size_t r = 0; r < rows; r++) {
        _mm512_storeu_ps(out + r * row, t->sums[r][0]);
        _mm512_storeu_ps(out + r * row + 16, t->sums[r][1]);
    }
}

/* What a step of one half works on: everything of the 32 cells from `cell` on. */
typedef struct step {
    const mm_fused_sizes *sizes;
    const mm_fused_weights *weights;
    const mm_fused_image *image;
    mm_fused_prompt *prompt;
    size_t cell;
    mm_pair *a1, *a2; /* [pairs][32] */
    mm_pair *low2;    /* [pairs][32]: what rounding took from a_2 */
    float *exact;     /* [2 * pairs][32]: image-to-token logits, then weights, in f32 */
    float *logits;    /* [J][CELLS], at this half's column */
    float norm[HALF]; /* |x|^2 in the making */
} step;

static const mm_pair *plane_at(const step *s, const mm_pair *plane, size_t head)
{
    return plane + s->cell * s->sizes->inner / 2 + head * s->sizes->dim / 2 * HALF;
}

/* x_j . plane of the head */
MM_INLINE void meet_plane(size_t rows, const step *s, size_t head, size_t j, const mm_pair *x, const mm_pair *plane,
                          tile *t)
{
    const size_t half_dim = s->sizes->dim / 2;
    mm_fused_multiply_add(rows, x + j * half_dim, half_dim, plane_at(s, plane, head), half_dim, t->sums);
}

/* The same of a triangle: what stands before the head's own vectors is zero. */
MM_INLINE void meet_triangle(size_t rows, const step *s, size_t head, size_t j, const mm_pair *matrix, const mm_pair *a,
                             tile *t)
{
    const size_t pairs = s->sizes->pairs, skipped = head * (s->sizes->tokens - 1) / 2;
    mm_fused_multiply_add(rows, matrix + j * pairs + skipped, pairs, a + skipped * HALF, pairs - skipped, t->sums);
}

/* row j of a matrix . a */
MM_INLINE void meet_weights(size_t rows, const step *s, size_t j, const mm_pair *matrix, const mm_pair *a, tile *t)
{
    const size_t pairs = s->sizes->pairs;
    mm_fused_multiply_add(rows, matrix + j * pairs, pairs, a, pairs, t->sums);
}

/* Token-to-image logits of layer 1. */
MM_INLINE void image_logits1(size_t rows, const step *s, size_t head, size_t j)
{
    tile t;
    clear(rows, &t);
    meet_plane(rows, s, head, j, s->prompt->query1, s->image->key1, &t);
    store(rows, &t, s->logits + j * CELLS, CELLS);
}

/* Image-to-token logits of layer 1. */
MM_INLINE void token_logits1(size_t rows, const step *s, size_t head, size_t j)
{
    tile t;
    begin(rows, s->prompt->query1_l + j, &t);
    meet_plane(rows, s, head, j, s->prompt->key1, s->image->query1, &t);
    store(rows, &t, s->exact + j * HALF, HALF);
}

/* Of layer 2: k . Wq keys_1 = r_1 (k . Wq G_1 u + row . a_1 + l's) + k . (Wq (pe + B_1) + bq) */
MM_INLINE void token_logits2(size_t rows, const step *s, size_t head, size_t j)
{
    tile t;
    begin(rows, s->prompt->query2_l + j, &t);
    meet_plane(rows, s, head, j, s->prompt->key2, s->image->query2, &t);
    meet_weights(rows, s, j, s->prompt->query2_1, s->a1, &t);
    scale(rows, s->prompt->inverse1 + s->cell, &t);
    meet_plane(rows, s, head, j, s->prompt->key2, s->weights->query2_pe, &t);
    store(rows, &t, s->exact + j * HALF, HALF);
}

/* Token-to-image logits of layer 2: the same with q and Wk. B_1's part is the same for all cells, and cancels. */
MM_INLINE void image_logits2(size_t rows, const step *s, size_t head, size_t j)
{
    tile t;
    begin(rows, s->prompt->key2_l + j, &t);
    meet_plane(rows, s, head, j, s->prompt->query2, s->image->key2, &t);
    meet_weights(rows, s, j, s->prompt->key2_1, s->a1, &t);
    scale(rows, s->prompt->inverse1 + s->cell, &t);
    meet_plane(rows, s, head, j, s->prompt->query2, s->weights->key2_pe, &t);
    store(rows, &t, s->logits + j * CELLS, CELLS);
}

/* Of the final attention:
 * q . Wk keys_2 = r_2 (r_1 (q . Wk G_2 u' + row . a_1 + l_1's) + c's and l_2's + row . a_2) + q . Wk pe
 * These logits are the steepest, and most of what rounding did to predicted IoU was done to a_2 in them; so they take a_2, and
 * with it r_2, in two parts. */
MM_INLINE void image_logits3(size_t rows, const step *s, size_t head, size_t j)
{
    tile t;
    begin(rows, s->prompt->key3_l + j, &t);
    meet_plane(rows, s, head, j, s->prompt->query3, s->image->key3, &t);
    meet_weights(rows, s, j, s->prompt->key3_1, s->a1, &t);
    scale(rows, s->prompt->inverse1 + s->cell, &t);
    add_constant(rows, s->prompt->key3_c + j, &t);
    meet_weights(rows, s, j, s->prompt->key3_2, s->a2, &t);
    meet_weights(rows, s, j, s->prompt->key3_2, s->low2, &t);
    scale(rows, s->prompt->inverse2 + s->cell, &t);
    meet_plane(rows, s, head, j, s->prompt->query3, s->weights->key3_pe, &t);
    store(rows, &t, s->logits + j * CELLS, CELLS);
}

/* out[32] = what a vector of c channels has in common with a plane, all heads together */
static void dot_plane(const step *s, const mm_pair *x, const mm_pair *plane, float out[HALF])
{
    const mm_pair *at = plane_at(s, plane, 0);
    __m512 sums[4][2]; /* so many that no sum waits for the one before it */
    for (size_t k = 0; k < 4; k++)
        sums[k][0] = sums[k][1] = _mm512_setzero_ps();
    for (size_t c = 0; c < s->sizes->inner / 2; c += 4)
        for (size_t k = 0; k < 4; k++) {
            const __m512bh value = (__m512bh)_mm512_set1_epi32((int)x[c + k]);
            for (size_t v = 0; v < 2; v++)
                sums[k][v] = _mm512_dpbf16_ps(
                    sums[k][v], value, (__m512bh)_mm512_loadu_si512(at + (c + k) * HALF + 16 * v));
        }
    for (size_t v = 0; v < 2; v++)
        _mm512_storeu_ps(out + 16 * v, _mm512_add_ps(_mm512_add_ps(sums[0][v], sums[1][v]),
                                                     _mm512_add_ps(sums[2][v], sums[3][v])));
}

/* |x_1|^2 without the sums over f: |u|^2 + 2 u . A_1 l_1 + |A_1 l_1|^2 */
static void begin_norm1(step *s)
{
    dot_plane(s, s->prompt->last1, s->image->norm1, s->norm);
    for (size_t i = 0; i < HALF; i++)
        s->norm[i] += s->image->u_norm[s->cell + i] + s->prompt->square1;
}

/* norm += sum over the rows of a_f times what the tile holds for f; a_f in f32 at `a` [rows][32] */
MM_INLINE void add_to_norm(size_t rows, step *s, const float *a, const tile *t)
{
    __m512 n0 = _mm512_loadu_ps(s->norm), n1 = _mm512_loadu_ps(s->norm + 16);
    for (size_t r = 0; r < rows; r++) {
        n0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + r * HALF), t->sums[r][0], n0);
        n1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + r * HALF + 16), t->sums[r][1], n1);
    }
    _mm512_storeu_ps(s->norm, n0);
    _mm512_storeu_ps(s->norm + 16, n1);
}

/* Of |x_1|^2 what has a_1: sum_f a_1f (2 A_1' u . v_1f + 2 A_1 l_1 . A_1 v_1f + row . a_1) */
MM_INLINE void norm1(size_t rows, step *s, size_t head, size_t f)
{
    tile t;
    begin(rows, s->prompt->norm_l + f, &t);
    meet_plane(rows, s, head, f, s->prompt->value1, s->image->norm1, &t);
    meet_triangle(rows, s, head, f, s->prompt->norm_11, s->a1, &t);
    add_to_norm(rows, s, s->exact + f * HALF, &t);
}

/* Of |x_2|^2 what has a_1 alone: sum_f a_1f (r_1^2 (2 X_1' u' . v_1f + l_1's + row . a_1) + r_1 2 X_1 v_1f . (c + A_2 l_2)) */
MM_INLINE void norm2_first(size_t rows, step *s, size_t head, size_t f)
{
    tile t;
    begin(rows, s->prompt->norm1_l + f, &t);
    meet_plane(rows, s, head, f, s->prompt->value1, s->image->norm11, &t);
    meet_triangle(rows, s, head, f, s->prompt->norm1_11, s->a1, &t);
    scale(rows, s->prompt->inverse1 + s->cell, &t);
    add_constant(rows, s->prompt->norm1_c + f, &t);
    scale(rows, s->prompt->inverse1 + s->cell, &t);
    add_to_norm(rows, s, s->exact + f * HALF, &t);
}

/* And what has a_2: sum_f a_2f (r_1 (2 Wo_2' u' . v_2f + l_1's + row . a_1) + 2 A_2 v_2f . (c + A_2 l_2) + row . a_2) */
MM_INLINE void norm2_second(size_t rows, step *s, size_t head, size_t f)
{
    tile t;
    begin(rows, s->prompt->norm2_l + f, &t);
    meet_plane(rows, s, head, f, s->prompt->value2, s->image->norm12, &t);
    meet_weights(rows, s, f, s->prompt->norm1_12, s->a1, &t);
    scale(rows, s->prompt->inverse1 + s->cell, &t);
    add_constant(rows, s->prompt->norm2_c + f, &t);
    meet_triangle(rows, s, head, f, s->prompt->norm_22, s->a2, &t);
    meet_triangle(rows, s, head, f, s->prompt->norm_22, s->low2, &t);
    add_to_norm(rows, s, s->exact + f * HALF, &t);
}

/* Softmax over the tokens of each head, in `exact`; a prompt has few, and cells are side by side. Logits come times log2(e). */
static void softmax_tokens(const step *s)
{
    const size_t tokens = s->sizes->tokens;
    for (size_t head = 0; head < s->sizes->heads; head++)
        for (size_t half = 0; half < HALF; half += 16) {
            float *x = s->exact + head * tokens * HALF + half;
            __m512 top = _mm512_loadu_ps(x), total = _mm512_setzero_ps();
            for (size_t t = 1; t < tokens; t++)
                top = _mm512_max_ps(top, _mm512_loadu_ps(x + t * HALF));
            for (size_t t = 0; t < tokens; t++) {
                const __m512 e = mm_exp2(_mm512_sub_ps(_mm512_loadu_ps(x + t * HALF), top));
                total = _mm512_add_ps(total, e);
                _mm512_storeu_ps(x + t * HALF, e);
            }
            total = _mm512_div_ps(_mm512_set1_ps(1), total);
            for (size_t t = 0; t < tokens; t++)
                _mm512_storeu_ps(x + t * HALF, _mm512_mul_ps(_mm512_loadu_ps(x + t * HALF), total));
        }
}

MM_INLINE __m512 even_of(__m512i pairs)
{
    return (__m512)_mm512_slli_epi32(pairs, 16);
}

MM_INLINE __m512 odd_of(__m512i pairs)
{
    return (__m512)_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000));
}

/* All tokens' weights in `exact` to pairs of coordinates, [F], and what rounding took to `low` if it is not NULL; without it
 * `exact` takes over what was rounded, so that all that is made of a weight agrees. A coordinate's row is never before it: those
 * that are still to be read are not overwritten. */
static void pack_weights(const step *s, mm_pair *pairs, mm_pair *low)
{
    const size_t others = s->sizes->tokens - 1;
    size_t row = 0, token = 0; /* of the next coordinate */
    for (size_t f = 0; f < s->sizes->coordinates; f += 2) {
        const float *from[2] = {NULL, NULL};
        for (size_t k = 0; k < 2 && f + k < s->sizes->coordinates; k++) {
            from[k] = s->exact + row * HALF;
            token = token + 1 < others ? token + 1 : 0;
            row += token ? 1 : 2; /* the last token has none */
        }
        for (size_t i = 0; i < HALF; i += 16) {
            float *to = s->exact + f * HALF + i;
            const __m512 even = _mm512_loadu_ps(from[0] + i);
            const __m512 odd = from[1] ? _mm512_loadu_ps(from[1] + i) : _mm512_setzero_ps();
            const __m512i both = mm_interleave_bf16(even, odd);
            _mm512_storeu_si512(pairs + f / 2 * HALF + i, both);
            if (low)
                _mm512_storeu_si512(low + f / 2 * HALF + i, mm_interleave_bf16(_mm512_sub_ps(even, even_of(both)),
                                                                               _mm512_sub_ps(odd, odd_of(both))));
            _mm512_storeu_ps(to, low ? even : even_of(both));
            _mm512_storeu_ps(to + HALF, low ? odd : odd_of(both));
        }
    }
}

static void unpack_weights(const step *s, const mm_pair *pairs)
{
    for (size_t p = 0; p < s->sizes->pairs; p++)
        for (size_t i = 0; i < HALF; i += 16) {
            const __m512i both = _mm512_loadu_si512(pairs + p * HALF + i);
            _mm512_storeu_ps(s->exact + 2 * p * HALF + i, even_of(both));
            _mm512_storeu_ps(s->exact + (2 * p + 1) * HALF + i, odd_of(both));
        }
}

/* 1 / sqrt(norm / D + eps) */
static void invert_norm(const step *s, float eps, float *inverse)
{
    for (size_t i = 0; i < HALF; i += 16) {
        const __m512 norm = _mm512_max_ps(_mm512_loadu_ps(s->norm + i), _mm512_setzero_ps());
        const __m512 variance =
            _mm512_fmadd_ps(norm, _mm512_set1_ps(1.0f / (float)s->sizes->channels), _mm512_set1_ps(eps));
        _mm512_storeu_ps(inverse + i, _mm512_div_ps(_mm512_set1_ps(1), _mm512_sqrt_ps(variance)));
    }
}

/* The parts of a pass's working memory. */
typedef struct workspace {
    float *exact, *logits;
    mm_bf16 *out1, *out2;
    mm_pair *turned;
} workspace;

static workspace lay_out(const mm_fused_sizes *sizes, float *work)
{
    workspace w = {.exact = work};
    w.logits = w.exact + sizes->vectors * HALF;
    w.out1 = (mm_bf16 *)(w.logits + sizes->vectors * CELLS);
    w.out2 = w.out1 + sizes->vectors * CELLS;
    w.turned = (mm_pair *)(w.out2 + sizes->vectors * CELLS);
    return w;
}

size_t mm_fused_pass_work(const mm_fused_sizes *sizes)
{
    return sizes->vectors * HALF + 2 * sizes->vectors * CELLS + CELLS / 2 * sizes->wide;
}

static step begin_half(const mm_fused_sizes *sizes, const mm_fused_weights *weights, const mm_fused_image *image,
                       mm_fused_prompt *prompt, size_t cell, size_t half, const workspace *w)
{
    const size_t at = cell / HALF * sizes->pairs * HALF;
    return (step){.sizes = sizes, .weights = weights, .image = image, .prompt = prompt, .cell = cell,
                  .a1 = prompt->weights1 + at, .a2 = prompt->weights2 + at, .low2 = prompt->low2 + half * sizes->pairs,
                  .exact = w->exact, .logits = w->logits + half};
}

static size_t cells_left(const mm_fused_sizes *sizes, size_t first)
{
    return sizes->cells - first < CELLS ? sizes->cells - first : CELLS;
}

void mm_fused_pass1(const mm_fused_sizes *sizes, const mm_fused_image *image, mm_fused_prompt *prompt, size_t first,
                    float *work)
{
    const workspace w = lay_out(sizes, work);
    for (size_t half = 0; half < CELLS; half += HALF) {
        const step s = begin_half(sizes, NULL, image, prompt, first + half, half, &w);
        MM_FOR_BLOCKS(sizes->tokens, sizes->tokens, &s, image_logits1)
    }
    mm_fused_weigh(sizes, sizes->tokens, &prompt->gathering, w.logits, cells_left(sizes, first), NULL, NULL, w.out1, NULL);
    const mm_fused_summing values = {.sizes = sizes, .weights = (const mm_pair *)w.out1,
                            .values = image->value1 + first * sizes->inner / 2, .sums = prompt->gathering.values};
    mm_fused_sum(&values, sizes->tokens);
}

void mm_fused_pass2(const mm_fused_sizes *sizes, const mm_fused_weights *weights, const mm_fused_image *image,
                    mm_fused_prompt *prompt, size_t first, float *work)
{
    const workspace w = lay_out(sizes, work);
    mm_fused_gathering *g = &prompt->gathering;
    for (size_t half = 0; half < CELLS; half += HALF) {
        const size_t cell = first + half;
        step s = begin_half(sizes, weights, image, prompt, cell, half, &w);
        MM_FOR_BLOCKS(sizes->tokens, sizes->tokens, &s, token_logits1)
        softmax_tokens(&s);
        pack_weights(&s, s.a1, NULL);
        begin_norm1(&s);
        MM_FOR_BLOCKS(sizes->tokens - 1, sizes->tokens - 1, &s, norm1)
        invert_norm(&s, sizes->eps1, prompt->inverse1 + cell);
        MM_FOR_BLOCKS(sizes->tokens, sizes->tokens, &s, image_logits2)
    }
    mm_fused_weigh(sizes, sizes->tokens, g, w.logits, cells_left(sizes, first), prompt->inverse1 + first, NULL, w.out1, NULL);
    mm_fused_turn(sizes, prompt->weights1 + first * sizes->pairs, w.turned);
    const mm_fused_summing sums = {.sizes = sizes, .weights = (const mm_pair *)w.out1,
                          .values = image->value2 + first * sizes->inner / 2, .sums = g->values, .turned = w.turned,
                          .outer = g->outer1};
    mm_fused_sum(&sums, sizes->tokens);
}

/* |x_2|^2 without the sums over f: r_1^2 (|u'|^2 + 2 u' . X_1 l_1 + |X_1 l_1|^2)
 * + r_1 (2 u' . c + 2 u' . A_2 l_2 + 2 X_1 l_1 . (c + A_2 l_2)) + |c + A_2 l_2|^2 */
static void begin_norm2(step *s)
{
    const mm_fused_prompt *p = s->prompt;
    float square[HALF], along[HALF];
    dot_plane(s, p->last1, s->image->norm11, square);
    dot_plane(s, p->last2, s->image->norm12, along);
    for (size_t i = 0; i < HALF; i++) {
        const float r = p->inverse1[s->cell + i];
        square[i] += s->image->u1_norm[s->cell + i] + p->square11;
        along[i] += s->image->u1_c[s->cell + i] + p->along;
        s->norm[i] = r * (r * square[i] + along[i]) + p->square2;
    }
}

void mm_fused_pass3(const mm_fused_sizes *sizes, const mm_fused_weights *weights, const mm_fused_image *image,
                    mm_fused_prompt *prompt, size_t first, float *work)
{
    const workspace w = lay_out(sizes, work);
    mm_fused_gathering *g = &prompt->gathering;
    for (size_t half = 0; half < CELLS; half += HALF) {
        const size_t cell = first + half;
        step s = begin_half(sizes, weights, image, prompt, cell, half, &w);
        begin_norm2(&s);
        unpack_weights(&s, s.a1);
        MM_FOR_BLOCKS(sizes->tokens - 1, sizes->tokens - 1, &s, norm2_first)
        MM_FOR_BLOCKS(sizes->tokens, sizes->tokens, &s, token_logits2)
        softmax_tokens(&s);
        pack_weights(&s, s.a2, s.low2);
        MM_FOR_BLOCKS(sizes->tokens - 1, sizes->tokens - 1, &s, norm2_second)
        invert_norm(&s, sizes->eps2, prompt->inverse2 + cell);
        MM_FOR_BLOCKS(sizes->outputs, sizes->tokens, &s, image_logits3)
    }
    mm_fused_weigh(sizes, sizes->outputs, g, w.logits, cells_left(sizes, first), prompt->inverse1 + first,
                   prompt->inverse2 + first, w.out1, w.out2);
    mm_fused_turn(sizes, prompt->weights1 + first * sizes->pairs, w.turned);
    const mm_fused_summing with1 = {.sizes = sizes, .weights = (const mm_pair *)w.out1,
                           .values = image->value3 + first * sizes->inner / 2, .sums = g->values, .turned = w.turned,
                           .outer = g->outer1};
    mm_fused_sum(&with1, sizes->outputs);
    mm_fused_turn(sizes, prompt->weights2 + first * sizes->pairs, w.turned);
    const mm_fused_summing with2 = {.sizes = sizes, .weights = (const mm_pair *)w.out2, .turned = w.turned, .outer = g->outer2};
    mm_fused_sum(&with2, sizes->outputs);
}

#endif
