/* SAM's mask decoder and prompt encoder [SAM appendix A] as a thing that learns: forward as src/model computes them in
 * f32, and back to the gradient of every weight. The image's embedding is given and has no gradient.
 *
 * A batch is some prompts of one image, alike in their number of tokens. The token side of all of them goes through the
 * layers together; the image side prompt by prompt, except in the first layer of prompts without a mask input, whose
 * image is one and the same. A prompt's logits are judged, and their gradient goes back through the upscaling, before
 * the next prompt's are made, so that only one prompt's large activations exist at a time.
 *
 * Letters: D channels, N cells (S * S), T tokens of a prompt, P prompts, R = P * T, K mask tokens. Logits are
 * [N][4][4], in the order of cells (upscaling.h). */
#ifndef MM_TRAIN_DECODER_H
#define MM_TRAIN_DECODER_H

#include "model/prompt_encoder.h"
#include "train/image_attention.h"
#include "train/mask_input.h"
#include "train/parameters.h"
#include "tensor/memory.h"
#include "train/upscaling.h"

enum { MM_TRAINED_DEPTH = 16 };

typedef struct mm_trained_layer {
    mm_trained_attention self, token_to_image, image_to_token;
    mm_trained_norm norm1, norm2, norm3, norm4;
    mm_trained_mlp mlp;
} mm_trained_layer;

/* A learnt vector, or a few. */
typedef struct mm_trained_table {
    const float *values;
    float *dvalues;
} mm_trained_table;

typedef struct mm_trained_decoder {
    mm_arch arch;
    size_t cells; /* N */
    mm_trained_layer layers[MM_TRAINED_DEPTH];
    mm_trained_attention final; /* token to image */
    mm_trained_norm norm_final;
    mm_trained_table iou_token, mask_tokens;
    mm_trained_table point_embeddings[4], not_a_point, no_mask;
    mm_trained_mask_input mask_input;
    mm_trained_mlp iou_head, hyper[MM_MAX_MASK_TOKENS];
    mm_trained_upscaling upscaling;
    mm_prompt_encoder prompts; /* positions, and the same tables; used for its points only */
    mm_arena arena;            /* what the positions take */
} mm_trained_decoder;

/* Views into values[floats] and gradients[floats], which must outlive the decoder, as must `checkpoint`, where the
 * fixed positional matrix is. The decoder must not be moved. */
MM_RESULT_USED mm_status mm_trained_decoder_make(const mm_arch *arch, const mm_parameters *parameters,
                                                 const float *values, float *gradients, const mm_checkpoint *checkpoint,
                                                 mm_trained_decoder *decoder, mm_error *err);
void mm_trained_decoder_free(mm_trained_decoder *decoder);

typedef struct mm_training_batch {
    const float *embedding; /* [N][D] */
    const mm_frame *frame;  /* of its image */
    const mm_prompt *prompts; /* [P]; their own mask_input is not looked at */
    const float *const *mask_input; /* [P] logits [N][4][4], or NULL: no prompt has one */
    size_t count;           /* P */
} mm_training_batch;

/* What is said about one prompt's answer: gradients of the loss. */
typedef struct mm_verdict {
    size_t count;                        /* of masks whose logits have one */
    uint32_t masks[MM_MAX_MASK_TOKENS];  /* which those are */
    float *dlogits;                      /* [count][16 N], filled by the judge; room for K */
    float diou[MM_MAX_MASK_TOKENS];      /* [K], zeros before */
} mm_verdict;

typedef struct mm_judge {
    void *user;
    /* logits[K][16 N] and iou[K] of prompt number `prompt` of the batch. */
    void (*judge)(void *user, size_t prompt, const float *logits, const float *iou, mm_verdict *verdict);
} mm_judge;

/* Floats of working memory for a batch of P prompts of T tokens (output tokens included). */
size_t mm_trained_decoder_memory(const mm_trained_decoder *decoder, size_t prompts, size_t tokens, bool masks);
/* Tokens of a prompt, output tokens included. */
size_t mm_trained_decoder_tokens(const mm_trained_decoder *decoder, const mm_prompt *prompt);

/* Forward, judgement, and with `back` the way back: gradients are added to. Failures stick in `learner`. */
void mm_trained_decoder_run(mm_learner *learner, const mm_trained_decoder *decoder, const mm_training_batch *batch,
                            const mm_judge *judge, bool back, float *memory);

#endif
