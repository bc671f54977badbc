#include "train/layers.h"

/* Sides of products that bf16 makes faster: with fewer, rounding the operands takes longer than it saves. */
enum { WORTH_ROUNDING = 32 };

mm_learner mm_learner_of(const mm_kernels *kernels, mm_error *err)
{
    return (mm_learner){.kernels = *kernels, .ops = mm_vector_get(kernels), .gradient = mm_gradient_get(kernels),
                        .rounded = mm_bf16_gemm_get(kernels), .err = err};
}

void mm_multiply(mm_learner *learner, bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, float alpha,
                 const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    if (learner->status == MM_OK && learner->rounded && m >= WORTH_ROUNDING && n >= WORTH_ROUNDING && k >= WORTH_ROUNDING)
        learner->rounded(&(mm_gemm_call){transpose_a, transpose_b, m, n, k, alpha, beta, a, b, c, lda, ldb, ldc});
    else if (learner->status == MM_OK)
        learner->status = mm_gemm(&learner->kernels, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c,
                                  ldc, learner->err);
}

void mm_linear_forward(mm_learner *learner, const mm_trained_linear *linear, const float *x, size_t rows, float *y)
{
    mm_multiply(learner, false, true, rows, linear->out, linear->in, 1, x, linear->in, linear->weight, linear->in, 0, y,
                linear->out);
    learner->ops->add_bias(y, linear->bias, rows, linear->out);
}

void mm_linear_back(mm_learner *learner, const mm_trained_linear *linear, const float *x, const float *dy, size_t rows,
                    mm_into into, float *dx)
{
    const size_t in = linear->in, out = linear->out;
    mm_multiply(learner, true, false, out, in, rows, 1, dy, out, x, in, 1, linear->dweight, in);
    learner->gradient->add_columns(dy, linear->dbias, rows, out);
    if (dx)
        mm_multiply(learner, false, false, rows, in, out, 1, dy, out, linear->weight, in, into == MM_ADD ? 1 : 0, dx,
                    in);
}

void mm_norm_forward(mm_learner *learner, const mm_trained_norm *norm, const float *x, const float *residual,
                     size_t rows, mm_norm_state *state, float *y)
{
    learner->gradient->norm(x, residual, NULL, norm->weight, norm->bias, norm->eps, state->normal, state->inverse, y,
                            rows, norm->channels);
}

void mm_norm_back(mm_learner *learner, const mm_trained_norm *norm, const mm_norm_state *state, const float *dy,
                  size_t rows, float *dx)
{
    learner->gradient->norm_back(dy, state->normal, state->inverse, norm->weight, dx, norm->dweight, norm->dbias, rows,
                                 norm->channels);
}

void mm_mlp_forward(mm_learner *learner, const mm_trained_mlp *mlp, const float *x, size_t rows, float *const *hidden,
                    float *y)
{
    for (size_t i = 0; i + 1 < mlp->depth; i++) {
        const mm_trained_linear *layer = &mlp->layers[i];
        mm_multiply(learner, false, true, rows, layer->out, layer->in, 1, x, layer->in, layer->weight, layer->in, 0,
                    hidden[i], layer->out);
        learner->ops->bias_relu(hidden[i], layer->bias, rows, layer->out);
        x = hidden[i];
    }
    mm_linear_forward(learner, &mlp->layers[mlp->depth - 1], x, rows, y);
}

void mm_mlp_back(mm_learner *learner, const mm_trained_mlp *mlp, const float *x, float *const *hidden, const float *dy,
                 size_t rows, float *const scratch[2], mm_into into, float *dx)
{
    for (size_t i = mlp->depth; i-- > 0;) {
        const mm_trained_linear *layer = &mlp->layers[i];
        if (i == 0) {
            mm_linear_back(learner, layer, x, dy, rows, into, dx);
            break;
        }
        float *dhidden = scratch[i % 2];
        mm_linear_back(learner, layer, hidden[i - 1], dy, rows, MM_SET, dhidden);
        for (size_t k = 0; k < rows * layer->in; k++)
            dhidden[k] = hidden[i - 1][k] > 0 ? dhidden[k] : 0;
        dy = dhidden;
    }
}
