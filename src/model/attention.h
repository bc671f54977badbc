/* Multi-head attention over a square grid, in windows or over all of it, never with a full score matrix.
 *
 * Queries, keys and values of all heads stand in one matrix qkv[S * S][row]; where a head's parts begin in a row is a
 * matter of the encoder (ViT: all queries, then all keys; TinyViT: query, key, value of head 0, of head 1, ...). */
#ifndef MM_MODEL_ATTENTION_H
#define MM_MODEL_ATTENTION_H

#include "model/layers.h"

typedef struct mm_attention {
    size_t side;       /* S: the grid is side x side tokens */
    size_t window;     /* side of a window in tokens; side: one window, the whole grid */
    size_t heads, dim; /* dim: of one head */
    size_t row;        /* floats in a row of qkv */
    size_t head_step;  /* from one head's query to the next one's */
    size_t key, value; /* from a head's query to its key and to its value */
    float scale;       /* of query x key */
    /* What tokens outside the grid have as their row of qkv, where windows reach over the edge; NULL: zeros. */
    const float *outside;
    /* Decomposed relative positions [ViTDet], one table for each axis, reversed: rel[2 * window - 1][dim], where row
     * (window - 1) - q + k belongs to a query at q and a key at k. Or NULL. */
    const float *rel_h, *rel_w;
    /* Or a bias for each pair of tokens of a window: [heads][window^2][window^2]; NULL for none. */
    const float *bias;
} mm_attention;

/* out[S * S][heads * dim] from qkv. */
MM_RESULT_USED mm_status mm_attention_run(const mm_context *context, const mm_attention *attention, const float *qkv,
                                          float *out, mm_error *err);
/* Scratch floats a thread. */
size_t mm_attention_scratch(const mm_attention *attention);

#endif
