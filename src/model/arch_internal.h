/* The steps of mm_arch_recognise: what the shapes tell, what a config adds, what published models are known to be, and
 * the list of tensors that follows from all of it. */
#ifndef MM_MODEL_ARCH_INTERNAL_H
#define MM_MODEL_ARCH_INTERNAL_H

#include "maskmill/checkpoint.h"

/* Beyond every public model (ViT-H: 1280 wide, 32 deep, MLP 5120, 64 cells a side), and small enough that the product
 * of any three stays far below 2^63. */
#define MM_ARCH_MAX_IMAGE 4096u
#define MM_ARCH_MAX_SIDE 256u
#define MM_ARCH_MAX_PATCH 64u
#define MM_ARCH_MAX_WIDTH 8192u
#define MM_ARCH_MAX_MLP 65536u
#define MM_ARCH_MAX_HEADS 256u
#define MM_ARCH_MAX_DECODER_DEPTH 16u
#define MM_ARCH_MAX_MLP_LAYERS 16u
#define MM_ARCH_MAX_WINDOW 64u

/* An architecture in the making: a number that is still 0 has not been told yet. */
typedef struct mm_arch_draft {
    mm_arch arch;
    bool halving_told; /* tiny.downsample_between */
    bool mean_said;    /* pixel_mean */
    /* The grid side that each block's relative positions span; compared with the embedding's once that is known. */
    uint32_t vit_spans[MM_MAX_DEPTH];
    /* What a config says of windows; shapes tell it too if there are relative positions. */
    bool window_said, global_said;
    uint32_t said_window;
    bool said_global[MM_MAX_DEPTH];
} mm_arch_draft;

/* Tensor `name` if it is there with `dims` dimensions, none of them 0 or beyond UINT32_MAX; else an error naming it. */
MM_RESULT_USED mm_status mm_arch_probe(const mm_checkpoint *checkpoint, const char *name, uint32_t dims,
                                       const mm_tensor **tensor, mm_error *err);
/* How many of BEFORE<i>AFTER for i = 0, 1, 2, ... are there; stops at `limit` + 1. */
uint32_t mm_arch_count(const mm_checkpoint *checkpoint, const char *before, const char *after, uint32_t limit);
/* value <= limit and not 0, or an error naming what it is. */
MM_RESULT_USED mm_status mm_arch_limit(const char *what, uint64_t value, uint64_t limit, mm_error *err);

/* What names and shapes tell (arch_vit.c, arch_tiny_vit.c, arch_decoder.c). */
MM_RESULT_USED mm_status mm_arch_probe_vit(const mm_checkpoint *checkpoint, mm_arch_draft *draft, mm_error *err);
MM_RESULT_USED mm_status mm_arch_probe_tiny_vit(const mm_checkpoint *checkpoint, mm_arch_draft *draft, mm_error *err);
MM_RESULT_USED mm_status mm_arch_probe_decoder(const mm_checkpoint *checkpoint, mm_arch_draft *draft, mm_error *err);

/* Fill in what `json` tells beyond the shapes; a value that contradicts them, and an unknown key, are errors that name
 * `source` and the key. */
MM_RESULT_USED mm_status mm_arch_apply_config(const char *json, size_t length, const char *source,
                                              mm_arch_draft *draft, mm_error *err);

/* Which blocks attend within windows, once image_size is known. */
MM_RESULT_USED mm_status mm_arch_tell_windows(mm_arch_draft *draft, mm_error *err);

/* Called for each tensor that the computation reads. */
typedef mm_status (*mm_arch_visitor)(void *user, const char *name, uint32_t dims, const uint64_t *shape,
                                     mm_error *err);
MM_RESULT_USED mm_status mm_arch_each_tensor(const mm_arch *arch, mm_arch_visitor visit, void *user, mm_error *err);

#endif
