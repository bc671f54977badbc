/* The pieces that both image encoders are made of. Activations are channels-last: [rows][channels], a row a cell or
 * pixel of a grid, so that every 1x1 convolution is a matrix product. */
#ifndef MM_MODEL_LAYERS_H
#define MM_MODEL_LAYERS_H

#include "model/weights.h"
#include "tensor/f32.h"
#include "tensor/vector.h"

/* What a computation runs with: kernels, loops, and one scratch block a thread. */
typedef struct mm_context {
    const mm_kernels *kernels;
    const mm_vector *ops;
    const mm_bf16_ops *bf16; /* NULL: all products are f32 */
    float *const *scratch;   /* [kernels->threads] blocks of the size the model asked for */
    /* [kernels->threads] blocks of MM_LAYER_PIECE rows of the widest packed layer's inputs; NULL without bf16 */
    mm_bf16 *const *converted;
    const mm_f32_ops *f32; /* NULL: f32 products go to the library */
    float *const *panels;  /* [kernels->threads] blocks of MM_F32_PRODUCT_SCRATCH floats; NULL without f32 */
} mm_context;

/* Rows that one thread takes at a time: enough for the products to be efficient, few enough for the cache. */
enum { MM_LAYER_PIECE = 256 };

/* y[rows][out] = x[rows][in] W^T; the bias is left to the caller, who mostly fuses it with what comes next. */
MM_RESULT_USED mm_status mm_layer_product(const mm_context *context, const mm_linear *linear, const float *x,
                                          size_t rows, float *y, mm_error *err);
/* The same with the bias. */
MM_RESULT_USED mm_status mm_layer_linear(const mm_context *context, const mm_linear *linear, const float *x,
                                         size_t rows, float *y, mm_error *err);

/* y = W x + b, and what `end` says, with a residual that is laid out as y and lies elsewhere; for a thread's own rows. */
MM_RESULT_USED mm_status mm_layer_piece(const mm_context *context, const mm_linear *linear, const float *x, size_t rows,
                                        mm_f32_end end, const float *residual, float *y, mm_error *err);

/* x += fc2(gelu(fc1(norm(x)))), in pieces of rows that stay in cache. Scratch: mm_layer_mlp_scratch floats. */
MM_RESULT_USED mm_status mm_layer_mlp(const mm_context *context, const mm_norm *norm, const mm_linear *fc1,
                                      const mm_linear *fc2, float *x, size_t rows, mm_error *err);
/* For packed layers: the same for at most MM_LAYER_PIECE rows, by the calling thread and in its scratch. */
void mm_layer_mlp_piece_bf16(const mm_context *context, const mm_norm *norm, const mm_linear *fc1, const mm_linear *fc2,
                             float *x, size_t rows, float *scratch);
size_t mm_layer_mlp_scratch(size_t channels, size_t hidden);

/* For packed layers: y = bf16(W norm(x) + b), rows shared among the threads. */
void mm_layer_norm_linear_bf16(const mm_context *context, const mm_norm *norm, const mm_linear *linear, const float *x,
                               size_t rows, mm_bf16 *y);
/* For packed layers: y += W x + b, rows shared among the threads. */
void mm_layer_add_linear_bf16(const mm_context *context, const mm_linear *linear, const mm_bf16 *x, size_t rows,
                              float *y);

/* The same two in f32, where the context has kernels for it. Scratch: mm_layer_mlp_scratch of the layer's inputs. */
void mm_layer_norm_linear_f32(const mm_context *context, const mm_norm *norm, const mm_linear *linear, const float *x,
                              size_t rows, float *y);
void mm_layer_add_linear_f32(const mm_context *context, const mm_linear *linear, const float *x, size_t rows, float *y);

/* out[n] = bf16(x[n]), shared among the threads. */
void mm_layer_convert_bf16(const mm_context *context, const float *x, size_t n, mm_bf16 *out);

/* out = norm(x), rows shared among the threads. */
void mm_layer_norm(const mm_context *context, const mm_norm *norm, const float *x, size_t rows, size_t channels,
                   float *out);

/* 3x3 convolution, zero padding 1: y[oh][ow][out] from x[ih][iw][in], oh = (ih - 1) / stride + 1;
 * linear->weight is [out][3][3][in]. gelu: y = gelu(y + bias); otherwise the bias, if there is one, is added.
 * Scratch: mm_layer_conv3x3_scratch floats. */
MM_RESULT_USED mm_status mm_layer_conv3x3(const mm_context *context, const mm_linear *linear, const float *x,
                                          size_t ih, size_t iw, size_t channels, size_t stride, bool gelu, float *y,
                                          mm_error *err);
size_t mm_layer_conv3x3_scratch(size_t channels, size_t ow);

/* SAM's neck: 1x1 convolution, LayerNorm2d, 3x3 convolution, LayerNorm2d; [S*S][in] to [S*S][D]. */
typedef struct mm_neck {
    mm_linear conv1, conv2;
    mm_norm norm1, norm2;
} mm_neck;

mm_neck mm_neck_load(mm_weights *weights, size_t in, size_t out);
/* `between` holds mm_neck_memory floats. Scratch: mm_layer_conv3x3_scratch floats. */
MM_RESULT_USED mm_status mm_neck_run(const mm_context *context, const mm_neck *neck, const float *x, size_t side,
                                     float *between, float *out, mm_error *err);
/* The same for packed layers; `between`: [S + 2][S + 2][D]. */
void mm_neck_run_bf16(const mm_context *context, const mm_neck *neck, const float *x, size_t side, mm_bf16 *between,
                      float *out);
size_t mm_neck_memory(size_t side, size_t channels);

#endif
