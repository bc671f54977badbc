/* MobileSAM's image encoder [MobileSAM, TinyViT]: a convolutional stage, then three stages of windowed attention with
 * learnt biases, each but the last ending in a merge that may halve the grid. */
#ifndef MM_MODEL_TINY_VIT_H
#define MM_MODEL_TINY_VIT_H

#include "maskmill/image.h"
#include "model/attention_bf16.h"
#include "model/attention_f32.h"

/* 1x1 (GELU), depthwise 3x3 (GELU), 1x1: the shape of both MBConv blocks and merges; batch norms folded in. */
typedef struct mm_mbconv {
    mm_linear expand, project;
    const float *depthwise, *depthwise_bias; /* [9][hidden], [hidden] */
    const float *depthwise_packed;           /* both, see mm_pack_depthwise; NULL in f32 */
    size_t stride;
    bool residual; /* MBConv: gelu(x + y); a merge has neither */
} mm_mbconv;

typedef struct mm_tiny_block {
    mm_norm attention_norm, mlp_norm;
    mm_linear qkv, proj, fc1, fc2;
    mm_attention_bf16 attention;     /* in f32 its shape alone is filled in */
    mm_attention_f32 attention_f32;  /* for the f32 kernels */
    const float *local_conv, *local_conv_bias;
} mm_tiny_block;

#define MM_TINY_MAX_BLOCKS 32

/* Channels of a pixel in bf16, a multiple of two: red, green, blue and a zero. */
enum { MM_TINY_STEM_CHANNELS = 4 };

typedef struct mm_tiny_vit {
    const mm_arch *arch;
    bool in_bf16; /* all layers are packed */
    mm_linear stem1, stem2; /* 3x3, stride 2, channels last; in bf16 stem1 takes MM_TINY_STEM_CHANNELS */
    mm_mbconv mbconv[MM_TINY_MAX_BLOCKS];
    mm_tiny_block blocks[4][MM_TINY_MAX_BLOCKS]; /* stage 0 has none */
    mm_mbconv merge[3];
    mm_neck neck;
} mm_tiny_vit;

/* Failures stick in `weights`. `arch` must outlive the encoder. */
void mm_tiny_vit_load(mm_tiny_vit *tiny, const mm_arch *arch, mm_weights *weights);

/* The embedding [S * S][D], channels last, of an image already resized to at most image_size x image_size.
 * `memory` holds mm_tiny_vit_memory floats. */
MM_RESULT_USED mm_status mm_tiny_vit_encode(const mm_tiny_vit *tiny, const mm_context *context, mm_image_view image,
                                            float *memory, float *out, mm_error *err);
size_t mm_tiny_vit_memory(const mm_arch *arch);
size_t mm_tiny_vit_scratch(const mm_arch *arch);

#endif
