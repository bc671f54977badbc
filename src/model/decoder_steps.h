/* The decoder's steps, private to src/model: token side, image side, upscaling. Letters as in mask_decoder.h. */
#ifndef MM_MODEL_DECODER_STEPS_H
#define MM_MODEL_DECODER_STEPS_H

#include "model/mask_decoder.h"

/* Working memory of one batch on one thread; all blocks of one allocation. */
typedef struct mm_decoder_state {
    size_t prompts, tokens; /* P, T */
    float *queries;         /* [R][D] */
    float *query_pe;        /* [R][D]: the tokens as they began */
    float *work[5];         /* [R][max(D, mlp_dim)] each */
    /* Against the shared projections of mm_image_side the first two and `gathered` are [R][c] instead, and the softmax
     * state is [H][R]. */
    float *fold_key;        /* [P][T][H][D]: what the image is multiplied by to give token-to-image logits */
    float *fold_query;      /* [P][T][H][D]: the same for image-to-token logits */
    float *fold_bias;       /* [P][T][H]: and their constant part */
    float *fold_value;      /* [P][T][H][D]: what image-to-token weights sum up */
    float *gathered;        /* [P][T][H][D]: sums over the image of token-to-image weights x image */
    float *maximum, *sum, *rescale; /* [P][T][H]: running softmax over the image */
    float *keys;                    /* [P][N][D]: each prompt's own image */
    float *piece_keys;              /* [piece][D]: keys + pe of a piece of the image */
    float *piece_logits;            /* [T][H][piece], or [R][piece] of one head */
    float *upscaled1, *upscaled2;   /* a few grid rows at 2x and 4x */
    float *rows;                    /* [K][...]: their logits */
    float *logits;                  /* [K][L][L] */
    float *iou;                     /* [P][K] */
} mm_decoder_state;

/* Cells of the image that are worked on together: their keys, logits and sums stay in the L2 cache. */
enum { MM_DECODER_PIECE = 256 };

/* Lay the state out in `memory`; returns the floats it takes (memory may be NULL to ask). */
size_t mm_decoder_layout(const mm_mask_decoder *decoder, size_t prompts, size_t tokens, float *memory,
                         mm_decoder_state *state);

/* Rounds `floats` up to cache lines, adds them to *total, and moves *memory on unless it is NULL. Returns where it was. */
float *mm_decoder_take(float **memory, size_t *total, size_t floats);

/* queries and query_pe: IoU token, mask tokens, prompt tokens. */
void mm_decoder_begin_tokens(const mm_mask_decoder *decoder, const mm_frame *frame, const mm_prompt_batch *batch,
                             mm_decoder_state *state);

/* queries = LN1(self attention), with residual and positions except in the first layer. */
MM_RESULT_USED mm_status mm_decoder_self_attention(const mm_mask_decoder *decoder, const mm_context *context,
                                                   size_t layer, mm_decoder_state *state, mm_error *err);
/* fold_key for a token-to-image attention; `shared`: against the c-wide projections of mm_image_side. */
MM_RESULT_USED mm_status mm_decoder_fold_keys(const mm_mask_decoder *decoder, const mm_context *context,
                                              const mm_decoder_attention *attention, bool shared,
                                              mm_decoder_state *state, mm_error *err);
/* queries = LN(queries + attention output) from what was gathered. */
MM_RESULT_USED mm_status mm_decoder_unfold(const mm_mask_decoder *decoder, const mm_context *context,
                                           const mm_decoder_attention *attention, const mm_norm *norm, bool shared,
                                           mm_decoder_state *state, mm_error *err);
/* queries = LN(queries + out(mixed[R][c])); mixed is state->work[0]. */
MM_RESULT_USED mm_status mm_decoder_add_attention(const mm_context *context, const mm_decoder_attention *attention,
                                                  const mm_norm *norm, size_t channels, mm_decoder_state *state,
                                                  mm_error *err);
/* out = queries + query_pe */
void mm_decoder_add_positions(const mm_context *context, const mm_decoder_state *state, size_t channels, float *out);
/* 1 / sqrt(d): what logits of token-image attentions are multiplied by. */
float mm_decoder_logit_scale(const mm_arch *arch);
/* state->iou[P][K] from the IoU token of each prompt. */
MM_RESULT_USED mm_status mm_decoder_predict_iou(const mm_mask_decoder *decoder, const mm_context *context,
                                                mm_decoder_state *state, mm_error *err);
/* queries = LN3(queries + MLP(queries)). */
MM_RESULT_USED mm_status mm_decoder_mlp(const mm_context *context, const mm_decoder_layer *layer, size_t channels,
                                        mm_decoder_state *state, mm_error *err);
/* fold_query, fold_bias and fold_value for an image-to-token attention. */
MM_RESULT_USED mm_status mm_decoder_fold_queries(const mm_mask_decoder *decoder, const mm_context *context,
                                                 const mm_decoder_attention *attention, bool shared,
                                                 mm_decoder_state *state, mm_error *err);
/* rows through an MLP with ReLUs between: x[rows][layers[0].in] to out[rows][layers[depth - 1].out]. x is lost. */
MM_RESULT_USED mm_status mm_decoder_head(const mm_context *context, const mm_linear *layers, size_t depth, float *x,
                                         float *other, size_t rows, float *out, mm_error *err);

/* The first token-to-image attention, over the whole image of each prompt: fills `gathered`. */
MM_RESULT_USED mm_status mm_decoder_gather(const mm_mask_decoder *decoder, const mm_context *context,
                                           const mm_image_side *side, bool shared, mm_decoder_state *state,
                                           mm_error *err);
/* One pass over each prompt's image: image-to-token attention of `layer` and its norm, and at once the token-to-image
 * attention that follows it (folded keys in fold_key): fills `gathered` and updates `keys`. */
MM_RESULT_USED mm_status mm_decoder_image_pass(const mm_mask_decoder *decoder, const mm_context *context,
                                               const mm_decoder_layer *layer, const mm_image_side *side, bool shared,
                                               mm_decoder_state *state, mm_error *err);

/* Grid rows whose logits are needed: all, or those that masks of the image are interpolated from. */
size_t mm_decoder_grid_rows(const mm_frame *frame, bool padding);
/* logits[L][L] beyond so many grid rows become -infinity. */
void mm_decoder_clear_padding(const mm_frame *frame, size_t grid_rows, float *logits);

/* Logits of the masks in the set `wanted` of prompt p, into the first grid rows of state->logits[mask][L][L]. */
MM_RESULT_USED mm_status mm_decoder_upscale(const mm_mask_decoder *decoder, const mm_context *context, size_t prompt,
                                            uint32_t wanted, size_t grid_rows, mm_decoder_state *state, mm_error *err);
/* Grid rows that are upscaled together. */
size_t mm_decoder_upscale_rows(size_t side);

#endif
