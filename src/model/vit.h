/* SAM's image encoder [SAM appendix A, ViTDet]: a plain ViT, most of whose blocks attend within windows. */
#ifndef MM_MODEL_VIT_H
#define MM_MODEL_VIT_H

#include "maskmill/image.h"
#include "model/attention_bf16.h"
#include "model/attention_f32.h"

typedef struct mm_vit_block {
    mm_norm norm1, norm2;
    mm_linear qkv, proj, fc1, fc2;
    mm_attention attention;
    mm_attention_bf16 attention_bf16; /* where the model computes in bf16 */
    mm_attention_f32 attention_f32;   /* where it computes in f32 by kernels of its own */
} mm_vit_block;

typedef struct mm_vit {
    const mm_arch *arch;
    mm_linear patch_embed;
    const float *pos_embed; /* [S * S][C] or NULL */
    mm_vit_block blocks[MM_MAX_DEPTH];
    mm_neck neck;
} mm_vit;

/* Failures stick in `weights`. `arch` must outlive the encoder. */
void mm_vit_load(mm_vit *vit, const mm_arch *arch, mm_weights *weights);

/* The embedding [S * S][D], channels last, of an image already resized to at most image_size x image_size.
 * `memory` holds mm_vit_memory floats. */
MM_RESULT_USED mm_status mm_vit_encode(const mm_vit *vit, const mm_context *context, mm_image_view image, float *memory,
                                       float *out, mm_error *err);
size_t mm_vit_memory(const mm_arch *arch);
size_t mm_vit_scratch(const mm_arch *arch);

#endif
