/* Attention between a prompt's tokens and its image, both ways, with the projections of the image moved to the tokens
 * (src/model/mask_decoder.h has the algebra): T * H vectors of D channels meet N cells in plain products, and so do
 * their gradients. No weight has a gradient that needs the image: it comes through those vectors.
 *
 * Letters: N cells, D channels, c inner width, H heads, d = c / H, T tokens, V = T * H vectors of a prompt, R = P *
 * T. */
#ifndef MM_TRAIN_IMAGE_ATTENTION_H
#define MM_TRAIN_IMAGE_ATTENTION_H

#include "train/token_attention.h"

/* The image, as several vectors at once look at it: values [N][D], keys = values + positions. */
typedef struct mm_image_level {
    const float *values, *keys;
    size_t cells, channels;
} mm_image_level;

/* vectors[rows][H][D] from x[rows][c]: head h's part of a row times that head's rows of weight[c][D], times `scale`. */
void mm_fold_forward(mm_learner *learner, const float *weight, float scale, size_t rows, size_t heads, size_t inner,
                     size_t channels, const float *x, float *vectors);
/* dx is set; dweight is added to. */
void mm_fold_back(mm_learner *learner, const float *weight, float *dweight, float scale, size_t rows, size_t heads,
                  size_t inner, size_t channels, const float *x, const float *dvectors, float *dx);
/* The way from D channels to c: y[rows][c], head h by its own rows of weight[c][D]. */
void mm_unfold_forward(mm_learner *learner, const float *weight, size_t rows, size_t heads, size_t inner,
                       size_t channels, const float *vectors, float *y);
void mm_unfold_back(mm_learner *learner, const float *weight, float *dweight, size_t rows, size_t heads, size_t inner,
                    size_t channels, const float *vectors, const float *dy, float *dvectors);
/* As fold, with weight[D][c] of an output projection, head h by its columns: what a token's value becomes in the
 * image. */
void mm_fold_out_forward(mm_learner *learner, const float *weight, size_t rows, size_t heads, size_t inner,
                         size_t channels, const float *x, float *vectors);
void mm_fold_out_back(mm_learner *learner, const float *weight, float *dweight, size_t rows, size_t heads, size_t inner,
                      size_t channels, const float *x, const float *dvectors, float *dx);

/* Tokens look at the image: weights[vectors][N] = softmax over cells of key vectors x keys; gathered[vectors][D] =
 * weights x values. */
void mm_look_forward(mm_learner *learner, const mm_image_level *image, size_t vectors, const float *key_vectors,
                     float *weights, float *gathered);
/* dscores[vectors][N] and the gradient of key_vectors from that of what was gathered. */
void mm_look_back(mm_learner *learner, const mm_image_level *image, size_t vectors, const float *weights,
                  const float *dgathered, float *dscores, float *dkey_vectors);

/* The image looks at the tokens of one prompt. */
typedef struct mm_update {
    size_t tokens, heads;
    const float *query_vectors; /* [V][D] */
    const float *query_bias;    /* [V]: the constant part of a vector's scores */
    const float *value_vectors; /* [V][D] */
    const float *out_bias;      /* [D] */
    float *weights;             /* [V][N]: softmax over the tokens */
} mm_update;

/* values[N][D] = norm of (before's values + weights^T x value vectors + out_bias), keys = values + positions. */
void mm_update_forward(mm_learner *learner, const mm_image_level *before, const mm_update *update,
                       const mm_trained_norm *norm, const float *positions, mm_norm_state *state, float *values,
                       float *keys);
/* On entry dimage[N][D] is the gradient of the new values; on return that of the sum before the norm, which is the
 * residual's part of the gradient of `before`. dscores[V][N], dquery_vectors, dquery_bias and dvalue_vectors are set;
 * dout_bias[D] is added to. */
void mm_update_back(mm_learner *learner, const mm_image_level *before, const mm_update *update,
                    const mm_trained_norm *norm, const mm_norm_state *state, float *dimage, float *dscores,
                    float *dquery_vectors, float *dquery_bias, float *dvalue_vectors, float *dout_bias);

#endif
