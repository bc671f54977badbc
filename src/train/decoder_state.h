/* A batch on its way through the decoder: everything that the way back needs. Letters as in decoder.h; V = T * H
 * vectors of a prompt, c the inner width of the image attentions, Q = D / 4, E = D / 8. */
#ifndef MM_TRAIN_DECODER_STATE_H
#define MM_TRAIN_DECODER_STATE_H

#include "train/decoder.h"

/* The token side of one layer. */
typedef struct mm_layer_state {
    const float *in;       /* [R][D]: the tokens that came in */
    const float *in_where; /* [R][D]: the same with positions, but for the first layer, which has none */
    mm_token_attention_state self;
    mm_norm_state norm1, norm2, norm3;
    float *out1, *out1_where;  /* [R][D]: after the first norm, with positions as well */
    float *query, *gathered, *mixed; /* token to image: [R][c], [R][H][D], [R][c] */
    float *out2;               /* [R][D] */
    float *hidden;             /* [R][mlp_dim] */
    float *out3, *out3_where;  /* [R][D] */
    float *key, *value;        /* image to token: [R][c] each */
    float *query_vectors, *query_bias, *value_vectors; /* [R][H][D], [R][H], [R][H][D] */
} mm_layer_state;

/* The image before layer j (or, at the end, before the last look), and what has to do with it. */
typedef struct mm_level_state {
    bool shared;         /* one image for all prompts */
    float *values, *keys; /* [P or 1][N][D] */
    mm_norm_state norm;  /* of the step that made it: [P][N][D] and [P][N]; none for the first */
    float *key_vectors;  /* [R][H][D]: what tokens look for in it */
    /* Weights of tokens looking at it, their scores' gradient, the same of it looking at tokens, and those weights:
     * four blocks [V][N] a prompt. Of a shared image the prompts' blocks of a kind stand side by side, else those of a
     * prompt, so that products over all prompts, or over all kinds, are one. */
    float *blocks;
    size_t kind_step, prompt_step;
} mm_level_state;

enum { MM_LOOK = 0, MM_DLOOK, MM_DUPDATE, MM_UPDATE, MM_KINDS };

typedef struct mm_decoder_run_state {
    size_t prompts, tokens, rows, vectors; /* P, T, R, V */
    float *tokens_in; /* [R][D]: as they began, which is also their position */
    mm_layer_state layers[MM_TRAINED_DEPTH];
    mm_level_state levels[MM_TRAINED_DEPTH + 1];
    /* The last look, and the tokens in the end. */
    float *last_query, *last_gathered, *last_mixed, *tokens_out;
    mm_norm_state last_norm;
    /* Heads: [P][D] rows of a token, hidden layers [depth][P][widest], the masks' vectors [P][K][E], IoU [P][K]. */
    float *iou_row, *mask_rows[MM_MAX_MASK_TOKENS];
    float *iou_hidden[MM_TRAINED_LAYERS], *hyper_hidden[MM_MAX_MASK_TOKENS][MM_TRAINED_LAYERS];
    float *hyper_out, *hyper, *iou;
    /* Of one prompt at a time. */
    mm_upscaling_state upscaling;
    mm_mask_input_state mask_input;
    float *mask_scratch;     /* [4 N][M / 4] */
    float *logits, *dlogits; /* [K][16 N] each */
    float *large;            /* [N][D] */
    float *stack;            /* [3 V][D] */
    /* Gradients. */
    float *dimage;                 /* [P][N][D] */
    float *dtokens, *dwhere;       /* [R][D]: of the tokens, and of their positions */
    float *dhyper, *diou;          /* [P][K][E], [P][K] */
    float *dvectors[2];            /* [R][H][D] each */
    float *dgathered;              /* [R][H][D] */
    float *dbias;                  /* [R][H] */
    float *work[5];                /* [R][widest] each */
    float *columns;                /* [D] */
} mm_decoder_run_state;

/* Lay the state out in `memory` (NULL: only count); returns the floats it takes. */
size_t mm_decoder_state_layout(const mm_trained_decoder *decoder, size_t prompts, size_t tokens, bool masks,
                               float *memory, mm_decoder_run_state *state);

/* 1 / sqrt(c / H): what scores between tokens and image are multiplied by. */
float mm_trained_scale(const mm_arch *arch);

void mm_decoder_forward(mm_learner *learner, const mm_trained_decoder *decoder, const mm_training_batch *batch,
                        mm_decoder_run_state *state);
/* The upscaling, the judge, and with `back` the way from the logits to dimage, dhyper and diou. */
void mm_decoder_judge(mm_learner *learner, const mm_trained_decoder *decoder, const mm_judge *judge, bool back,
                      mm_decoder_run_state *state);
/* From there to the weights. */
void mm_decoder_back(mm_learner *learner, const mm_trained_decoder *decoder, const mm_training_batch *batch,
                     mm_decoder_run_state *state);

/* The image of level j as prompt p sees it. */
static inline mm_image_level mm_level_of(const mm_trained_decoder *decoder, const mm_level_state *level, size_t prompt)
{
    const size_t channels = decoder->arch.prompt_embed_dim, at = level->shared ? 0 : prompt * decoder->cells * channels;
    return (mm_image_level){level->values + at, level->keys + at, decoder->cells, channels};
}

static inline float *mm_block_of(const mm_level_state *level, size_t kind, size_t prompt)
{
    return level->blocks + kind * level->kind_step + prompt * level->prompt_step;
}

#endif
