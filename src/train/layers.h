/* Layers that learn: each has a forward step and its way back, which adds to the gradients of its weights.
 *
 * Activations are [rows][channels], a row a token, a cell or a prompt. dx means the gradient of the loss by x. Weights
 * and their gradients are views into two vectors of one layout (parameters.h). Everything runs on the calling
 * thread. */
#ifndef MM_TRAIN_LAYERS_H
#define MM_TRAIN_LAYERS_H

#include "tensor/gradient.h"
#include "tensor/bf16_gemm.h"
#include "tensor/vector.h"

/* What layers compute with. The first failure of a product sticks in `status`; later steps do nothing, and the caller
 * looks once at the end. */
typedef struct mm_learner {
    mm_kernels kernels; /* resolved, one thread; its precision is that of large products */
    const mm_vector *ops;
    const mm_gradient_ops *gradient;
    mm_bf16_gemm *rounded; /* for large products; NULL: all are f32 */
    mm_error *err;
    mm_status status;
} mm_learner;

/* A learner of resolved kernels; in bf16 the operands of large products are rounded to it. */
mm_learner mm_learner_of(const mm_kernels *kernels, mm_error *err);

/* C[m][n] = alpha op(A) op(B) + beta C, as mm_gemm has it. */
void mm_multiply(mm_learner *learner, bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, float alpha,
                 const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* y = W x + b: weight[out][in], bias[out]. */
typedef struct mm_trained_linear {
    const float *weight, *bias;
    float *dweight, *dbias;
    size_t in, out;
} mm_trained_linear;

void mm_linear_forward(mm_learner *learner, const mm_trained_linear *linear, const float *x, size_t rows, float *y);
/* dx = or += W^T dy; dx NULL: not wanted. */
typedef enum mm_into { MM_SET, MM_ADD } mm_into;
void mm_linear_back(mm_learner *learner, const mm_trained_linear *linear, const float *x, const float *dy, size_t rows,
                    mm_into into, float *dx);

typedef struct mm_trained_norm {
    const float *weight, *bias;
    float *dweight, *dbias;
    float eps;
    size_t channels;
} mm_trained_norm;

/* What a norm's way back needs: the input, normalised, and what it was divided by, inverted. */
typedef struct mm_norm_state {
    float *normal;  /* [rows][channels] */
    float *inverse; /* [rows] */
} mm_norm_state;

/* y = norm of (x + residual); residual may be NULL. */
void mm_norm_forward(mm_learner *learner, const mm_trained_norm *norm, const float *x, const float *residual,
                     size_t rows, mm_norm_state *state, float *y);
/* dx of the sum; may be dy. */
void mm_norm_back(mm_learner *learner, const mm_trained_norm *norm, const mm_norm_state *state, const float *dy,
                  size_t rows, float *dx);

/* Linear layers with ReLUs between them; as many as SAM's heads and feed-forward nets have. */
enum { MM_TRAINED_LAYERS = 16 };

typedef struct mm_trained_mlp {
    mm_trained_linear layers[MM_TRAINED_LAYERS];
    size_t depth;
} mm_trained_mlp;

/* hidden[i][rows][layers[i].out] for i < depth - 1: the ReLUs' results. */
void mm_mlp_forward(mm_learner *learner, const mm_trained_mlp *mlp, const float *x, size_t rows, float *const *hidden,
                    float *y);
/* scratch[0], scratch[1]: [rows][widest hidden layer] each. */
void mm_mlp_back(mm_learner *learner, const mm_trained_mlp *mlp, const float *x, float *const *hidden, const float *dy,
                 size_t rows, float *const scratch[2], mm_into into, float *dx);

#endif
