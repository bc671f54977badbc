/* The mask decoder in bf16 for a two-layer transformer, without ever making a prompt's image.
 *
 * mask_decoder.h moves projections to the token side. This goes one step further. Letters as there, and: J = H * T vectors
 * of a prompt, j = (h, t). What the image-to-token attention of layer i gives a cell before its output projection is the mean
 * of the T values of each head with weights that add up to 1, so that the last token's weight need not be told: with l_i in
 * R^c the last token's value in each head's d channels, v_ij the values of the others less that one, and a_i in R^F their
 * weights, F = H (T - 1), it is l_i + v_i a_i. With P the removal of the mean over channels, G_i and B_i gain and bias of layer
 * i's norm4, b_i and Wo_i the output projection, a prompt's image after each layer is
 *
 *   x_1 = P (x_0 + b_1 + Wo_1 (l_1 + v_1 a_1)) = u + A_1 (l_1 + v_1 a_1)         keys_1 = r_1 G_1 x_1 + B_1
 *   x_2 = P (keys_1 + b_2 + Wo_2 (l_2 + v_2 a_2))                                keys_2 = r_2 G_2 x_2 + B_2
 *       = r_1 (u' + X_1 (l_1 + v_1 a_1)) + c + A_2 (l_2 + v_2 a_2)
 *
 *   u = P (x_0 + b_1), u' = P G_1 u: the same for all prompts; A_i = P Wo_i, X_1 = P G_1 A_1, c = P (B_1 + b_2): constants
 *   r_i = 1 / sqrt(|x_i|^2 / D + eps)
 *
 * Whatever is asked of the keys is linear in u, a_1, u', a_2, but for r_i. So for a logit q_j . Wk_h keys_1: q_j meets
 * Wk_h G_1 u, a projection made once an image, in d channels instead of D, and a_1 by one row of a J x F matrix,
 * q_j . (Wk_h G_1 A_1)_h' v_1j', made once a prompt from a c x c constant; l_1 gives a number. |x_i|^2 are quadratic forms of
 * the same kind. Sums over the image with weights w go back likewise: E = sum_n w a^T and sums of shared values are all that is
 * kept. A pass costs some J F and c instead of J D multiply-adds a cell.
 *
 * Arrays for the passes have cells side by side (lanes), 32 at a time; two neighbours of the summed-up dimension make a pair
 * of bf16 in 32 bits, `mm_pair`, as the instruction takes them. */
#ifndef MM_MODEL_DECODER_FUSED_H
#define MM_MODEL_DECODER_FUSED_H

#include "model/decoder_steps.h"

typedef uint32_t mm_pair;

/* Cells of a pass's step, and of a half of it, which is what the registers hold. Tokens of a prompt, prompts of a batch. */
enum { MM_FUSED_CELLS = 64, MM_FUSED_HALF = 32, MM_FUSED_MAX_TOKENS = 16, MM_FUSED_BATCH = 8 };

/* Constants of a checkpoint, made at load. Matrices that meet values or queries are f32 and transposed: row i is what
 * channel i of the c channels of values is worth. */
struct mm_fused_weights {
    /* For u: [4 c][D] and bias [4 c]; rows: norm1, key2, value2, query2. For u': [4 c + D][D]: norm11, norm12, key3, value3,
     * and what the first upscaling makes of it. 3 is the final attention. */
    mm_linear from_u, from_u1;
    float *centre; /* b_1 - mean(b_1), [D]: u = P x_0 + centre */
    const float *gain1; /* [D]: G_1 */
    float *c;      /* [D] */
    float c_norm;  /* |c|^2 */
    /* Of positions alone, for each cell: Wk_2 pe, Wq_2 (pe + B_1) + bq_2, Wk_3 pe: in the form of planes */
    mm_pair *key2_pe, *query2_pe, *key3_pe;
    /* [c][c], transposed */
    float *norm_11, *key2_1, *query2_1, *value2_1; /* A_1' A_1; Wk_2 G_1 A_1; Wq_2 G_1 A_1; Wv_2 G_1 A_1 */
    float *norm1_11, *norm1_12, *norm_22;          /* X_1' X_1; 2 A_2' X_1; A_2' A_2 */
    float *norm1_21;                               /* 2 X_1' A_2: what channels of layer 2's values are worth */
    float *key3_1, *key3_2, *value3_1, *value3_2;  /* W G_2 X_1 and W G_2 A_2 for Wk_3 and Wv_3 */
    float *up_1, *up_2;                            /* [c][D]: the same for the first upscaling */
    float *c_1, *c_2;                              /* [c]: 2 X_1' c; 2 A_2' c */
    float *key3_c, *value3_c;                      /* [c]: W_3 G_2 c */
    float *value2_bias, *value3_bias;              /* [c]: Wv_2 B_1 + bv_2; Wv_3 B_2 + bv_3 */
    float *up_c, *up_bias;                         /* [D]: Wup G_2 c; Wup B_2 + bup */
    mm_pair *up2;                                  /* second upscaling, [D / 2 outputs][D / 8] pairs */
};

/* Means over the cells, [c] each and [D] for up. What cells have in common is most of what they are, so arrays hold what is left
 * when it is taken away, which rounding to bf16 harms less; a prompt's vectors meet the means in f32. That of key1 is not
 * asked for: it is the same for all cells, and cancels in their softmax. */
typedef struct mm_fused_means {
    float *key1, *query1, *norm1, *key2, *query2, *norm11, *norm12, *key3, *value1, *value2, *value3, *up;
} mm_fused_means;

/* Planes: [cells / 32][c / 2][32] pairs of neighbouring channels. Values: [cells / 64][32][c] pairs of neighbouring cells.
 * Cells are rounded up to MM_FUSED_CELLS; those that do not exist are zero. */
typedef struct mm_fused_image {
    mm_fused_means means; /* already taken from the following */
    size_t cells; /* rounded up */
    mm_pair *key1, *query1, *norm1, *key2, *query2, *norm11, *norm12, *key3;
    mm_pair *value1, *value2, *value3;
    mm_bf16 *up;                   /* [cells / 32][D][32] */
    float *u_norm, *u1_norm, *u1_c; /* [cells]: |u|^2, |u'|^2, 2 u' . c */
    float *u, *projected; /* f32 on the way: [N][D], [N][4 c + D] */
} mm_fused_image;

/* What a softmax over the image has gathered so far, for each of J vectors. */
typedef struct mm_fused_gathering {
    float *maximum; /* [J] */
    float *sum;     /* [J][16] parts of the sum of weights */
    float *share1, *share2; /* [J][16] parts of the sums of what a_1 and a_2 are weighted with */
    float *values;          /* [J][d] */
    float *outer1, *outer2; /* [J][wide]: E with a_1 and with a_2 */
} mm_fused_gathering;

/* One prompt in a batch. Vectors are [J][d / 2] pairs, matrices [J][pairs]; those of values have F rows instead. */
typedef struct mm_fused_prompt {
    mm_pair *query1, *key1, *query2, *key2, *query3;
    mm_pair *key2_1, *query2_1, *key3_1, *key3_2;
    mm_pair *value1, *value2;                       /* F rows: v_1, v_2 */
    mm_pair *norm_11, *norm1_11, *norm1_12, *norm_22; /* F rows */
    mm_pair *last1, *last2;                         /* [c / 2]: l_1, l_2 */
    float *value1_f32, *value2_f32;                 /* [F][d] */
    float *last1_f32, *last2_f32;                   /* [c] */
    float *scaled_query; /* [J][d]: the latest query or key, times scale and log2(e) */
    /* What means and l_1 (with r_1), and c and l_2 (without), add to each row of logits, [J], and of norms, [F] */
    float *query1_l, *key2_l, *query2_l, *key3_l, *key3_c;
    float *norm_l, *norm1_l, *norm1_c, *norm2_l, *norm2_c;
    /* And to the norms themselves: |A_1 l_1|^2; |X_1 l_1|^2; 2 X_1 l_1 . (c + A_2 l_2); |c + A_2 l_2|^2; with the means of
     * what l_1, l_1 and l_2 meet */
    float square1, square11, along, square2;
    mm_pair *weights1, *weights2;   /* [cells / 32][pairs][32]: a_1, a_2 */
    mm_pair *low2;                  /* [2][pairs][32]: what rounding took from a_2 in the latest step */
    float *inverse1, *inverse2;     /* [cells]: r_1, r_2 */
    mm_fused_gathering gathering;
} mm_fused_prompt;

typedef struct mm_fused_sizes {
    size_t tokens, heads, dim, inner;  /* T, H, d, c */
    size_t outputs;                    /* the first tokens of T, which the final attention is for: IoU and masks */
    size_t vectors, coordinates;       /* J, F */
    size_t pairs, wide;                /* ceil(F / 2); F rounded up to 16 */
    size_t channels, cells, padded;    /* D; N, and N rounded up to MM_FUSED_CELLS */
    float eps1, eps2;
} mm_fused_sizes;

/* Whether a decoder of this shape is computed this way; others are computed in f32. */
bool mm_fused_supports(const mm_arch *arch);
mm_fused_sizes mm_fused_sizes_of(const mm_mask_decoder *decoder, size_t tokens);

/* Failures stick in `weights`. */
void mm_fused_load(mm_fused_weights *fused, const mm_mask_decoder *decoder, const mm_kernels *kernels,
                   mm_weights *weights);

/* Buffers of an image side in the arena; false if there is no memory. */
bool mm_fused_image_new(mm_fused_image *image, const mm_arch *arch, mm_arena *arena);
/* From `side`, which mm_image_side_prepare has filled. */
MM_RESULT_USED mm_status mm_fused_image_prepare(const mm_mask_decoder *decoder, const mm_context *context,
                                                const mm_image_side *side, mm_fused_image *image, mm_error *err);

/* As mm_decoder_run, for a batch of prompts without mask inputs. */
MM_RESULT_USED mm_status mm_fused_run(const mm_mask_decoder *decoder, const mm_context *context,
                                      const mm_fused_image *image, const mm_frame *frame, const mm_prompt_batch *batch,
                                      const mm_mask_sink *sink, float *scratch, mm_model_times *times, mm_error *err);
size_t mm_fused_scratch(const mm_mask_decoder *decoder, size_t tokens);

/* The passes, one step of MM_FUSED_CELLS cells for one prompt each. `work`: mm_fused_pass_work floats. */
size_t mm_fused_pass_work(const mm_fused_sizes *sizes);
void mm_fused_begin_gathering(const mm_fused_sizes *sizes, mm_fused_gathering *gathering);
/* Layer 1, token to image. */
void mm_fused_pass1(const mm_fused_sizes *sizes, const mm_fused_image *image, mm_fused_prompt *prompt, size_t first,
                    float *work);
/* Layer 1, image to token: a_1, r_1; and layer 2, token to image. */
void mm_fused_pass2(const mm_fused_sizes *sizes, const mm_fused_weights *weights, const mm_fused_image *image,
                    mm_fused_prompt *prompt, size_t first, float *work);
/* Layer 2, image to token: a_2, r_2; and the final attention. */
void mm_fused_pass3(const mm_fused_sizes *sizes, const mm_fused_weights *weights, const mm_fused_image *image,
                    mm_fused_prompt *prompt, size_t first, float *work);

/* A plane of `channels` from f32 rows `row` apart, for cells first .. first + MM_FUSED_CELLS; zeros beyond `cells`. */
void mm_fused_pack_plane(const float *x, size_t row, size_t cells, size_t channels, size_t first, mm_pair *plane);

/* What a prompt's vectors make of a checkpoint's constants, [c][n]. Values y[F][d], and x[rows][d] with `tokens` rows a head,
 * are f32.
 * expanded[F][n]: row f is sum_i y_f[i] constant[h d + i]. */
void mm_fused_expand(const mm_fused_sizes *sizes, const float *y, const float *constant, size_t n, float *expanded);
/* out[n] = sum_i last[i] constant[i], over c channels */
void mm_fused_expand_last(const mm_fused_sizes *sizes, const float *last, const float *constant, size_t n, float *out);
/* matrix[rows][pairs]: x_j . expanded_f in the channels of j's head, for n = c. Of a symmetric one that is only used in a
 * quadratic form, `triangle` takes what stands before j's head to the other side. `work`: (c + 1) 2 pairs floats. */
void mm_fused_matrix(const mm_fused_sizes *sizes, const float *x, size_t tokens, const float *expanded, bool triangle,
                     float *work, mm_pair *matrix);
/* matrix[n][pairs]: expanded transposed. */
void mm_fused_columns(const mm_fused_sizes *sizes, const float *expanded, size_t n, mm_pair *matrix);
/* pairs[n / 2] of x[n]. */
void mm_fused_pack(const float *x, size_t n, mm_pair *pairs);
/* out[J][d] += outer[J][wide] x expanded[F][c], in the channels of j's head. */
void mm_fused_add_outer(const mm_fused_sizes *sizes, const float *outer, const float *expanded, float *out);

/* Low-res logits of some masks of one prompt: hyper[masks][D / 8]; logits[i] is [L][L]. */
typedef struct mm_fused_upscaling {
    const mm_mask_decoder *decoder;
    const mm_pair *up_1, *up_2; /* [D][pairs]: of this prompt's values */
    const float *up_l, *up_c;   /* [D]: what the mean and l_1 add (with r_1), and c and l_2 */
    const float *hyper;
    size_t masks;
    size_t grid_rows; /* that are wanted */
    float *const *logits;
} mm_fused_upscaling;
void mm_fused_upscale(const mm_fused_sizes *sizes, const mm_fused_image *image, const mm_fused_prompt *prompt,
                      const mm_fused_upscaling *up, float *work);
size_t mm_fused_upscale_work(const mm_fused_sizes *sizes);

#endif
