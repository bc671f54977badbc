#include "model/attention.h"

#include <float.h>
#include <omp.h>
#include <string.h>

/* Queries and keys of one tile of scores: 128 x 512 floats are a quarter of a usual L2 cache. */
enum { TILE_QUERIES = 128, TILE_KEYS = 512 };

static size_t minimum(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Grid rows that make about `tokens` tokens. */
static size_t grid_rows(size_t side, size_t tokens)
{
    return minimum(side, tokens > side ? tokens / side : 1);
}

static bool is_tiled(const mm_attention *attention)
{
    /* A per-pair bias exists only for small windows; without one, a large grid goes in tiles. A window larger than the grid
     * holds tokens outside it, which are gathered. */
    return attention->window == attention->side && !attention->bias && attention->side * attention->side > TILE_KEYS;
}

size_t mm_attention_scratch(const mm_attention *attention)
{
    const size_t side = attention->side, dim = attention->dim;
    if (is_tiled(attention)) {
        const size_t queries = grid_rows(side, TILE_QUERIES) * side, keys = grid_rows(side, TILE_KEYS) * side;
        return 2 * side * side * side + queries * (keys + dim + 3);
    }
    const size_t tokens = attention->window * attention->window;
    return tokens * (4 * dim + 2 * attention->window + tokens);
}

/* Query x relative position for each key row and key column [ViTDet, "decomposed"]: rel_h[q][ky], rel_w[q][kx] for
 * the queries of `rows` grid rows of a window. Query (y, x) is at q + (y * window + x) * row. */
static mm_status relative_terms(const mm_context *context, const mm_attention *attention, const float *q, size_t row,
                                size_t window, size_t rows, float *rel_h, float *rel_w, mm_error *err)
{
    const size_t dim = attention->dim;
    mm_status status = MM_OK;
    for (size_t y = 0; y < rows && status == MM_OK; y++)
        status = mm_gemm(context->kernels, false, true, window, window, dim, 1, q + y * window * row, row,
                         attention->rel_h + (window - 1 - y) * dim, dim, 0, rel_h + y * window * window, window, err);
    for (size_t x = 0; x < window && status == MM_OK; x++)
        status = mm_gemm(context->kernels, false, true, rows, window, dim, 1, q + x * row, window * row,
                         attention->rel_w + (window - 1 - x) * dim, dim, 0, rel_w + x * window, window * window, err);
    return status;
}

/* One head over the whole grid: for each tile of queries the keys pass by in tiles, with a running softmax. */
static mm_status attend_tiled(const mm_context *context, const mm_attention *attention, const float *qkv, size_t head,
                              float *scratch, float *out, mm_error *err)
{
    const size_t side = attention->side, dim = attention->dim, row = attention->row, out_row = attention->heads * dim;
    const size_t query_rows = grid_rows(side, TILE_QUERIES), key_rows = grid_rows(side, TILE_KEYS);
    const float *q = qkv + head * attention->head_step, *k = q + attention->key, *v = q + attention->value;
    float *rel_h = scratch, *rel_w = rel_h + side * side * side, *scores = rel_w + side * side * side;
    float *sum = scores + query_rows * side * key_rows * side, *maximum = sum + query_rows * side;
    float *rescale = maximum + query_rows * side;
    mm_status status = MM_OK;
    if (attention->rel_h)
        status = relative_terms(context, attention, q, row, side, side, rel_h, rel_w, err);
    for (size_t qy = 0; qy < side && status == MM_OK; qy += query_rows) {
        const size_t queries = minimum(query_rows, side - qy) * side, first = qy * side;
        float *result = out + first * out_row + head * dim;
        for (size_t i = 0; i < queries; i++) {
            maximum[i] = -FLT_MAX;
            sum[i] = 0;
        }
        for (size_t ky = 0; ky < side && status == MM_OK; ky += key_rows) {
            const size_t rows = minimum(key_rows, side - ky), keys = rows * side;
            status = mm_gemm(context->kernels, false, true, queries, keys, dim, attention->scale, q + first * row, row,
                             k + ky * side * row, row, 0, scores, keys, err);
            if (status != MM_OK)
                break;
            if (attention->rel_h)
                for (size_t i = 0; i < queries; i++)
                    context->ops->add_outer(scores + i * keys, rel_h + (first + i) * side + ky,
                                            rel_w + (first + i) * side, rows, side);
            context->ops->softmax_step(scores, queries, keys, keys, maximum, sum, rescale);
            if (ky)
                context->ops->scale_rows(result, rescale, queries, dim, out_row);
            status = mm_gemm(context->kernels, false, false, queries, dim, keys, 1, scores, keys, v + ky * side * row,
                             row, ky ? 1 : 0, result, out_row, err);
        }
        for (size_t i = 0; i < queries; i++)
            rescale[i] = 1.0f / sum[i];
        context->ops->scale_rows(result, rescale, queries, dim, out_row);
    }
    return status;
}

/* The rows of one head of one window, those outside the grid filled in: gathered[window^2][3][dim]. */
static void gather_window(const mm_attention *attention, const float *qkv, size_t head, size_t y0, size_t x0,
                          float *gathered)
{
    const size_t side = attention->side, dim = attention->dim, window = attention->window;
    const size_t parts[3] = {0, attention->key, attention->value};
    for (size_t y = y0; y < y0 + window; y++)
        for (size_t x = x0; x < x0 + window; x++)
            for (size_t part = 0; part < 3; part++, gathered += dim) {
                const size_t at = head * attention->head_step + parts[part];
                if (y < side && x < side)
                    memcpy(gathered, qkv + (y * side + x) * attention->row + at, dim * sizeof *gathered);
                else if (attention->outside)
                    memcpy(gathered, attention->outside + at, dim * sizeof *gathered);
                else
                    memset(gathered, 0, dim * sizeof *gathered);
            }
}

/* One head of one window. Queries below the grid's lower edge are not computed. */
static mm_status attend_window(const mm_context *context, const mm_attention *attention, const float *qkv, size_t head,
                               size_t y0, size_t x0, float *scratch, float *out, mm_error *err)
{
    const size_t side = attention->side, dim = attention->dim, window = attention->window, tokens = window * window;
    const size_t rows = minimum(window, side - y0), columns = minimum(window, side - x0), queries = rows * window;
    float *gathered = scratch, *rel_h = gathered + tokens * 3 * dim, *rel_w = rel_h + tokens * window;
    float *scores = rel_w + tokens * window, *result = scores + tokens * tokens;
    gather_window(attention, qkv, head, y0, x0, gathered);
    mm_status status = mm_gemm(context->kernels, false, true, queries, tokens, dim, attention->scale, gathered, 3 * dim,
                               gathered + dim, 3 * dim, 0, scores, tokens, err);
    if (status != MM_OK)
        return status;
    if (attention->bias)
        context->ops->add(scores, attention->bias + head * tokens * tokens, queries * tokens);
    if (attention->rel_h) {
        status = relative_terms(context, attention, gathered, 3 * dim, window, rows, rel_h, rel_w, err);
        for (size_t i = 0; i < queries; i++)
            context->ops->add_outer(scores + i * tokens, rel_h + i * window, rel_w + i * window, window, window);
    }
    context->ops->softmax(scores, queries, tokens, tokens);
    if (status == MM_OK)
        status = mm_gemm(context->kernels, false, false, queries, dim, tokens, 1, scores, tokens, gathered + 2 * dim,
                         3 * dim, 0, result, dim, err);
    if (status != MM_OK)
        return status;
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++)
            memcpy(out + ((y0 + y) * side + x0 + x) * attention->heads * dim + head * dim,
                   result + (y * window + x) * dim, dim * sizeof *out);
    return MM_OK;
}

mm_status mm_attention_run(const mm_context *context, const mm_attention *attention, const float *qkv, float *out,
                           mm_error *err)
{
    const bool tiled = is_tiled(attention);
    const size_t windows = tiled ? 1 : (attention->side + attention->window - 1) / attention->window;
    const size_t jobs = windows * windows * attention->heads;
    mm_status result = MM_OK;
#pragma omp parallel for num_threads((int)context->kernels->threads) schedule(dynamic)
    for (size_t job = 0; job < jobs; job++) {
        const size_t head = job % attention->heads, place = job / attention->heads;
        float *scratch = context->scratch[omp_get_thread_num()];
        mm_error own = {0};
        const mm_status status =
            tiled ? attend_tiled(context, attention, qkv, head, scratch, out, &own)
                  : attend_window(context, attention, qkv, head, place / windows * attention->window,
                                  place % windows * attention->window, scratch, out, &own);
        if (status != MM_OK)
#pragma omp critical(mm_attention_failure)
            result = mm_fail(err, status, "%s", own.text);
    }
    return result;
}
