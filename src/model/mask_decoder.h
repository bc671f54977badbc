/* SAM's mask decoder [SAM appendix A]: a two-way transformer between a few tokens and the image, then masks.
 *
 * Letters: D prompt_embed_dim, N = S * S image cells, T tokens of a prompt, H heads, c inner width of the token-image
 * attentions, d = c / H, P prompts of a batch, R = P * T token rows, K mask tokens.
 *
 * The image side is what costs, so projections are moved to the token side, which is small:
 *   token to image: q_h . (Wk_h x_n + bk_h) = (Wk_h^T q_h) . x_n + const; the constant cancels in the softmax. The
 *     values fold the same way: sum_n a_n (Wv_h x_n + bv_h) = Wv_h (sum_n a_n x_n) + bv_h, since sum_n a_n = 1.
 *   image to token: (Wq_h x_n + bq_h) . k_h = (Wq_h^T k_h) . x_n + bq_h . k_h, and the output projection is applied to
 *     the T * H values instead of to N sums.
 * So T * H vectors of width D meet the image in plain products, and no N x c projection is made for a prompt. In the
 * first layer the image is the same for all prompts without a mask input: its projections are made once an image. */
#ifndef MM_MODEL_MASK_DECODER_H
#define MM_MODEL_MASK_DECODER_H

#include "model/layers.h"
#include "model/prompt_encoder.h"

typedef struct mm_decoder_attention {
    mm_linear q, k, v, out;
} mm_decoder_attention;

typedef struct mm_decoder_layer {
    mm_decoder_attention self, token_to_image, image_to_token;
    mm_norm norm1, norm2, norm3, norm4;
    mm_linear mlp1, mlp2;
} mm_decoder_layer;

#define MM_DECODER_MAX_DEPTH 16
#define MM_DECODER_MAX_HEAD_LAYERS 8

typedef struct mm_fused_weights mm_fused_weights; /* decoder_fused.h */

typedef struct mm_mask_decoder {
    const mm_arch *arch;
    const mm_prompt_encoder *prompts;
    mm_decoder_layer layers[MM_DECODER_MAX_DEPTH];
    mm_decoder_attention final; /* token to image */
    mm_norm norm_final;
    const float *iou_token, *mask_tokens;
    mm_linear iou_head[MM_DECODER_MAX_HEAD_LAYERS];
    mm_linear hyper[MM_MAX_MASK_TOKENS][MM_DECODER_MAX_HEAD_LAYERS];
    /* The two transposed 2x2 convolutions as products: out = 4 * channels, sub-pixel (dy, dx) major. */
    mm_linear upscale1, upscale2;
    mm_norm upscale_norm;
    const mm_fused_weights *fused; /* what the bf16 decoder has besides; NULL: this one is f32 */
} mm_mask_decoder;

/* Failures stick in `weights`. */
void mm_mask_decoder_load(mm_mask_decoder *decoder, const mm_arch *arch, const mm_prompt_encoder *prompts,
                          mm_weights *weights);

/* In bf16, the layers of the token side that the fused decoder computes so; the heads of predicted IoU stay f32. */
void mm_mask_decoder_pack(mm_mask_decoder *decoder, mm_weights *weights);

/* One image as the first layer sees it; made once, shared by all prompts without a mask input. */
typedef struct mm_image_side {
    float *embedding; /* [N][D], as the encoder left it */
    float *keys;      /* [N][D]: embedding + "no mask" */
    float *key;       /* [N][c]: (keys + pe) Wk of the first token-to-image attention (no bias: it cancels) */
    float *value;     /* [N][c]: keys Wv + bv of the same */
    float *query;     /* [N][c]: (keys + pe) Wq + bq of the first image-to-token attention */
} mm_image_side;

/* Everything but `embedding` from `embedding`; scratch: N * D floats. */
MM_RESULT_USED mm_status mm_image_side_prepare(const mm_mask_decoder *decoder, const mm_context *context,
                                               mm_image_side *side, float *scratch, mm_error *err);

/* Prompts that go through the decoder together: alike in their number of tokens, all on the shared image side, or a
 * single one with a mask input. */
typedef struct mm_prompt_batch {
    const mm_prompt *prompts;
    size_t first; /* number of prompts[0] for the sink */
    size_t count; /* P, at most MM_DECODER_BATCH */
    size_t tokens; /* T, output tokens included */
} mm_prompt_batch;

enum { MM_DECODER_BATCH = 4 };

/* Decode a batch on the calling thread and hand the results to the sink. `scratch` holds
 * mm_decoder_scratch(decoder, tokens) floats. The time taken is added to times->to_iou and times->upscale. */
MM_RESULT_USED mm_status mm_decoder_run(const mm_mask_decoder *decoder, const mm_context *context,
                                        const mm_image_side *side, const mm_frame *frame, const mm_prompt_batch *batch,
                                        const mm_mask_sink *sink, float *scratch, mm_model_times *times, mm_error *err);
size_t mm_decoder_scratch(const mm_mask_decoder *decoder, size_t tokens);

#endif
