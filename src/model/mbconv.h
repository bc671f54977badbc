#ifndef MM_MODEL_MBCONV_H
#define MM_MODEL_MBCONV_H

#include "model/tiny_vit.h"

/* Load from PREFIX.conv1, .conv2, .conv3. */
mm_mbconv mm_mbconv_load(mm_weights *weights, size_t in, size_t hidden, size_t out, size_t stride, bool residual,
                         const char *prefix);
/* A depthwise convolution and its batch norm, PREFIX.c and PREFIX.bn: weight as [9][channels] and bias. */
void mm_depthwise_load(mm_weights *weights, size_t channels, const char *prefix, const float **weight,
                       const float **bias);
/* y[oh][ow][out] from x[side][side][in], oh = ow = (side - 1) / stride + 1. */
MM_RESULT_USED mm_status mm_mbconv_run(const mm_context *context, const mm_mbconv *block, const float *x, size_t side,
                                       float *y, mm_error *err);
size_t mm_mbconv_scratch(size_t side, size_t hidden, size_t stride);

/* Output rows that a thread takes at a time. */
size_t mm_mbconv_job(size_t out_side, size_t threads);

/* The same for packed layers: y is bf16 of a block with a residual, f32 of one without. */
void mm_mbconv_run_bf16(const mm_context *context, const mm_mbconv *block, const mm_bf16 *x, size_t side, void *y);
size_t mm_mbconv_scratch_bf16(size_t side, size_t hidden, size_t stride);

#endif
