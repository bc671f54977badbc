/* Models: an image becomes an embedding once; prompts on it become masks.
 *
 * An mm_model holds weights and is never changed after opening: any number of threads and embeddings may use it.
 * An mm_embedding holds one image's embedding with all working memory, and is used again for the next image.
 * Letters in shapes: D prompt_embed_dim, S embedding_side, L = 4 * S the side of low-res logits, K mask tokens. */
#ifndef MASKMILL_MODEL_H
#define MASKMILL_MODEL_H

#include "maskmill/checkpoint.h"
#include "maskmill/image.h"
#include "maskmill/tensor.h"

typedef struct mm_model mm_model;
typedef struct mm_embedding mm_embedding;

typedef struct mm_model_options {
    const char *config_path; /* --model-config, or NULL */
    mm_kernels kernels;      /* backend, precision, threads: see tensor.h */
} mm_model_options;

/* Open, recognise, check the kernels against a plain loop, lay the weights out for them. */
MM_RESULT_USED mm_status mm_model_open(const char *path, const mm_model_options *options, mm_model **model,
                                       mm_error *err);
void mm_model_close(mm_model *model);
const mm_arch *mm_model_arch(const mm_model *model);
/* What identifies the image encoder, 64 hex digits and a terminator: mm_checkpoint_encoder_sha256 of the model's file. */
MM_RESULT_USED mm_status mm_model_encoder_sha256(const mm_model *model, char hex[65], mm_error *err);
const mm_kernels *mm_model_kernels(const mm_model *model); /* resolved */

MM_RESULT_USED mm_status mm_embedding_new(const mm_model *model, mm_embedding **embedding, mm_error *err);
void mm_embedding_free(mm_embedding *embedding);

/* Resize so that the long side is image_size, normalise, pad, encode, and prepare the decoder's image side. */
MM_RESULT_USED mm_status mm_model_encode(const mm_model *model, mm_image_view image, mm_embedding *embedding,
                                         mm_error *err);

/* Put an embedding that was kept ([S][S][D], of an image of width x height pixels) where mm_model_encode would have put
 * it, and prepare the decoder's image side. */
MM_RESULT_USED mm_status mm_model_restore(const mm_model *model, const float *cells, uint32_t width, uint32_t height,
                                          mm_embedding *embedding, mm_error *err);

/* How the encoded image lies in the model's square; what logits need to come back to pixels. */
typedef struct mm_frame {
    uint32_t width, height;             /* of the image given to mm_model_encode */
    uint32_t input_width, input_height; /* after resizing, before padding: int(side * scale + 0.5) */
    uint32_t image_size;                /* the padded square's side */
    uint32_t low_res;                   /* L, the side of the low-res logits */
} mm_frame;

/* Of an image of this size, which need not be encoded; input sides of 0 where the model cannot take it. */
mm_frame mm_model_frame(const mm_model *model, uint32_t width, uint32_t height);
mm_frame mm_embedding_frame(const mm_embedding *embedding);
/* The embedding, [D][S][S] (channels first, as PyTorch has it), copied to out. */
void mm_embedding_copy(const mm_embedding *embedding, float *out);
/* The same where it lies: [S][S][D], channels last. It belongs to the embedding, until the next mm_model_encode. */
const float *mm_embedding_cells(const mm_embedding *embedding);

typedef struct mm_point {
    double x, y;   /* pixels of the image given to mm_model_encode (before the + 0.5) */
    int32_t label; /* 1 foreground, 0 background */
} mm_point;

typedef struct mm_prompt {
    const mm_point *points;
    size_t point_count;
    const double *box;       /* x0, y0, x1, y1 in pixels, or NULL */
    const float *mask_input; /* low-res logits [L][L], or NULL */
} mm_prompt;

/* Who receives the decoder's results. With more than one thread the callbacks of different prompts run at the same
 * time; those of one prompt come from one thread, in order: select, then take for each selected mask. */
typedef struct mm_mask_sink {
    void *user;
    /* predicted_iou[K] (mask 0 is the single-mask output, 1..K-1 the multimask outputs). Returns the set of masks
     * whose logits are wanted: bit k for mask k. What is not wanted is not computed. */
    uint32_t (*select)(void *user, size_t prompt, const float *predicted_iou);
    /* logits[L][L], valid during the call. Anything but MM_OK stops the decoding. */
    mm_status (*take)(void *user, size_t prompt, uint32_t mask, const float *logits, mm_error *err);
    /* Whether logits of the padding are wanted as well; else its rows, but for what interpolation reads, are -infinity. */
    bool padding;
} mm_mask_sink;

MM_RESULT_USED mm_status mm_model_decode(const mm_model *model, mm_embedding *embedding, const mm_prompt *prompts,
                                         size_t count, const mm_mask_sink *sink, mm_error *err);

/* Where the time since the last mm_model_encode began went, in seconds of the wall clock. The decoder's two are summed
 * over its threads and divided by their number, which is the wall clock as far as all of them were busy; the sink's
 * callbacks are in neither. */
typedef struct mm_model_times {
    double resize, encoder;
    double image_side; /* the decoder's, before any prompt */
    double to_iou;     /* prompts up to their predicted IoU */
    double upscale;    /* from there to the logits of the masks that were selected */
} mm_model_times;

mm_model_times mm_embedding_times(const mm_embedding *embedding);

#endif
