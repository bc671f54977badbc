/* Weights on their way from a checkpoint to the layers.
 *
 * Loading is a long list of tensors; the first failure sticks, later calls give NULL, and the caller looks once at
 * the end. f32 tensors that lie aligned in a mapped file are used where they are, so that ranks share their pages;
 * others are converted into the arena. */
#ifndef MM_MODEL_WEIGHTS_H
#define MM_MODEL_WEIGHTS_H

#include "maskmill/checkpoint.h"
#include "tensor/bf16.h"
#include "tensor/memory.h"

typedef struct mm_weights {
    const mm_checkpoint *checkpoint;
    mm_arena *arena;
    mm_error *err;
    bool bf16;        /* mm_weights_layer and mm_weights_pack make bf16 weights */
    bool f32_kernels; /* f32 layers are computed by tensor/f32.h */
    size_t widest;    /* inputs of the widest packed layer so far */
    mm_status status; /* the first failure */
} mm_weights;

/* The tensor with that name, which must have `elements` elements. */
const float *mm_weights_get(mm_weights *weights, uint64_t elements, const char *name_format, ...) MM_PRINTF(3, 4);
/* Uninitialised floats of the arena for derived weights. */
float *mm_weights_new(mm_weights *weights, uint64_t elements);

mm_bf16 *mm_weights_new_bf16(mm_weights *weights, uint64_t elements);

/* y = W x + b, as torch.nn.Linear has it: weight[out][in], bias[out]. A layer that computes in bf16 has its weights
 * packed instead, and `weight` may be NULL. */
typedef struct mm_linear {
    const float *weight, *bias;
    mm_packed packed; /* values NULL: f32 */
    size_t in, out;
} mm_linear;

/* prefix.weight and, if `bias`, prefix.bias. */
mm_linear mm_weights_linear(mm_weights *weights, size_t in, size_t out, bool bias, const char *prefix_format, ...)
    MM_PRINTF(5, 6);

/* The same for the large layers of an encoder: packed where the model computes in bf16, and then no f32 copy stays. */
mm_linear mm_weights_layer(mm_weights *weights, size_t in, size_t out, bool bias, const char *prefix_format, ...)
    MM_PRINTF(5, 6);
/* Pack a layer made of other tensors, where the model computes in bf16; otherwise nothing happens. */
void mm_weights_pack(mm_weights *weights, mm_linear *linear);

typedef struct mm_norm {
    const float *weight, *bias;
    float eps;
} mm_norm;

mm_norm mm_weights_norm(mm_weights *weights, size_t channels, float eps, const char *prefix_format, ...)
    MM_PRINTF(4, 5);

/* A convolution without bias and the batch norm behind it, folded into one: weight[out][per] (per = in / groups * kh *
 * kw, as stored) and bias[out]. eps 1e-5, PyTorch's default. Names: prefix.c.weight, prefix.bn.*. */
mm_linear mm_weights_conv_bn(mm_weights *weights, size_t per, size_t out, const char *prefix_format, ...)
    MM_PRINTF(4, 5);

/* A 3x3 convolution's weight [out][in][3][3] as [out][3][3][in], for channels-last patches. */
const float *mm_weights_channels_last(mm_weights *weights, const float *weight, size_t in, size_t out);

#endif
