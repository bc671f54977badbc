/* Checkpoints: named tensors from a .safetensors file (mapped read-only, so that ranks share its pages) or from a
 * PyTorch .pth/.pt (zip + pickle, read by a machine that knows state dicts only and executes nothing).
 *
 * Names are those of the public SAM and MobileSAM checkpoints; files with the names of transformers' SamModel are
 * renamed on opening. The architecture follows from names and shapes; what those do not tell comes from the file's
 * metadata ("maskmill.config", JSON), from a --model-config file of the same form, or, for the public models, from
 * the published values. */
#ifndef MASKMILL_CHECKPOINT_H
#define MASKMILL_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef enum mm_dtype { MM_F32 = 0, MM_F16, MM_BF16, MM_I64 } mm_dtype;

#define MM_MAX_DIMS 6

typedef struct mm_tensor {
    const char *name; /* canonical (public SAM) name; owned by the checkpoint */
    mm_dtype dtype;
    uint32_t dims;
    uint64_t shape[MM_MAX_DIMS]; /* outermost first; contiguous */
    uint64_t elements; /* the product of shape; 1 for dims 0 */
    const void *data; /* elements * size of dtype bytes, little-endian, maybe unaligned; owned by the checkpoint */
} mm_tensor;

typedef struct mm_checkpoint mm_checkpoint;

/* Open and check a checkpoint; *checkpoint is NULL on failure. MM_ERR_FORMAT: cut or damaged (of a .pth every byte is
 * checked by its CRC-32; safetensors have none); MM_ERR_UNSUPPORTED: other types of numbers, the format of PyTorch before
 * 1.6, a pickle that would run something (named in the line). Tensors of an uncompressed .pth are used where they lie in
 * the mapped file, like those of safetensors; only strided and compressed ones are copied. A state dict may lie under
 * "model", "state_dict" or "model_state_dict". The file must not be changed while it is open: replace it by rename. */
MM_RESULT_USED mm_status mm_checkpoint_open(const char *path, mm_checkpoint **checkpoint, mm_error *err);
/* For what a file says of itself, before any work: the same for safetensors, whose header alone is read. A .pth says
 * nothing, and all of it would be read: MM_OK and NULL. */
MM_RESULT_USED mm_status mm_checkpoint_peek(const char *path, mm_checkpoint **checkpoint, mm_error *err);
void mm_checkpoint_close(mm_checkpoint *checkpoint);

size_t mm_checkpoint_count(const mm_checkpoint *checkpoint);
const mm_tensor *mm_checkpoint_at(const mm_checkpoint *checkpoint, size_t index); /* sorted by name */
const mm_tensor *mm_checkpoint_find(const mm_checkpoint *checkpoint, const char *name); /* NULL if absent */
/* What a safetensors file says of itself under `key` of its metadata, or NULL: "maskmill.config" (the architecture, JSON),
 * "maskmill.thresholds" (JSON, see mm_config_load_for), "maskmill.card" (a model card, text), "maskmill.detector" and
 * "maskmill.training" (JSON; docs/formats.md). Owned by the checkpoint. */
const char *mm_checkpoint_metadata(const mm_checkpoint *checkpoint, const char *key);

/* The named tensor as f32 into out[0 .. elements); f16 and bf16 become f32 exactly. MM_ERR_FORMAT if it is absent, holds
 * integers, or has another number of elements. */
MM_RESULT_USED mm_status mm_checkpoint_read_f32(const mm_checkpoint *checkpoint, const char *name, float *out,
                                                uint64_t elements, mm_error *err);

typedef enum mm_family { MM_FAMILY_VIT = 0, MM_FAMILY_TINY_VIT } mm_family;

#define MM_MAX_DEPTH 128
#define MM_MAX_MASK_TOKENS 8

/* Everything that fixes the computation; filled by mm_arch_recognise, which vouches that each tensor the
 * computation reads is there with the shape that follows from these numbers. */
typedef struct mm_arch {
    mm_family family;
    char name[64];           /* "SAM ViT-B", "MobileSAM", or "ViT 96x3" and the like */
    uint32_t image_size;     /* side of the padded input, pixels */
    uint32_t embedding_side; /* the embedding is embedding_side x embedding_side cells */
    uint32_t prompt_embed_dim;
    uint32_t mask_in_chans;
    float pixel_mean[3], pixel_std[3];
    struct {
        uint32_t patch_size, embed_dim, depth, num_heads, mlp_dim, window_size; /* window_size 0: all blocks global */
        bool global_attention[MM_MAX_DEPTH];
        bool qkv_bias, abs_pos, rel_pos;
    } vit; /* family VIT */
    struct {
        uint32_t embed_dims[4], depths[4];
        uint32_t num_heads[4], window_sizes[4]; /* [0] unused (stage 0 has no attention), and 0 if nothing tells it */
        uint32_t resolution[4];       /* side of each stage's grid in cells */
        uint32_t mbconv_hidden;       /* channels inside the MBConv blocks of stage 0 */
        uint32_t mlp_hidden[4];       /* of the transformer blocks; [0] unused */
        uint32_t local_conv_size;     /* of the depthwise convolution between attention and MLP */
        bool downsample_between[3];   /* whether the merge after stage i halves the grid */
    } tiny; /* family TINY_VIT */
    struct {
        uint32_t depth, num_heads, mlp_dim;
        uint32_t cross_dim;  /* inner width of the token-image attentions: prompt_embed_dim / downsample rate */
        uint32_t mask_tokens; /* num_multimask_outputs + 1 */
        uint32_t iou_head_depth, iou_head_hidden_dim;
        uint32_t hyper_depth; /* layers of the hypernetwork MLPs (3) */
    } decoder;
} mm_arch;

/* Recognise and check. Everything that shapes tell is taken from them; a config need only say the rest, and where it
 * says more it must agree (configs/models/README.md lists the keys). Without a config the published models' values stand
 * in: the decoder's 8 heads for its published widths, and MobileSAM's image_size and stages for its widths and depths.
 * MM_ERR_USAGE with a line that asks for --model-config if something is still open. `config_path` (--model-config) may
 * be NULL; given, it stands in place of the file's metadata. Missing, surplus and misshapen tensors are errors that name
 * the tensor; MobileSAM's head, norm_head and num_batches_tracked are accepted and ignored. */
MM_RESULT_USED mm_status mm_arch_recognise(const mm_checkpoint *checkpoint, const char *config_path, mm_arch *arch,
                                           mm_error *err);

/* The architecture as the JSON text that mm_arch_recognise reads from metadata. The caller frees *json. */
MM_RESULT_USED mm_status mm_arch_to_json(const mm_arch *arch, char **json, mm_error *err);

/* Write all tensors that the architecture uses as safetensors, with its metadata and whatever else the file said of
 * itself: f32, or with `bf16` the matrices and
 * convolutions rounded to nearest even bf16 (NaN stays NaN). Vectors and the positional matrix stay f32: they are small,
 * and rounding the latter would move points. Temporary name, fsync, rename. */
MM_RESULT_USED mm_status mm_checkpoint_convert(const mm_checkpoint *checkpoint, const mm_arch *arch, bool bf16,
                                               const char *out_path, mm_error *err);

/* Write tensors (f32; their `data` is the caller's) and texts {key, text} as safetensors, in the order given: other weights
 * than a model's. Temporary name, fsync, rename. */
MM_RESULT_USED mm_status mm_checkpoint_write(const char *path, const mm_tensor *tensors, size_t count,
                                             const char *const (*texts)[2], size_t text_count, mm_error *err);

/* As mm_checkpoint_convert, but tensors of tensors[count] (f32) stand in place of those of the same name, and the others are
 * written as they are stored (bf16 stays bf16; f16 becomes f32, which changes no value). */
MM_RESULT_USED mm_status mm_checkpoint_replace(const mm_checkpoint *checkpoint, const mm_arch *arch,
                                               const mm_tensor *tensors, size_t count, const char *out_path,
                                               mm_error *err);

/* SHA-256 of a file as 64 hex digits and a terminator. */
MM_RESULT_USED mm_status mm_checkpoint_sha256(const char *path, char hex[65], mm_error *err);

/* What identifies an image encoder, whatever decoder it is with and however its file stores it: SHA-256, as 64 hex digits
 * and a terminator, of one line of text ("encoder 1 S IMAGE_SIZE mean std") and then, in bytewise order of their names,
 * of the image_encoder.* tensors that the computation reads: name, zero byte, number of dimensions u32, shape u64[], and
 * values, little-endian, as mm_checkpoint_convert writes them in bf16 (matrices and convolutions rounded to bf16, vectors
 * f32). So a checkpoint and its conversions are one encoder, in f32 and in bf16. */
MM_RESULT_USED mm_status mm_checkpoint_encoder_sha256(const mm_checkpoint *checkpoint, const mm_arch *arch, char hex[65],
                                                      mm_error *err);

/* Where `-m` looks: an existing path is taken as it is; else a name ("vit_h", "mobile_sam", "default") is looked up
 * in $MASKMILL_MODELS, $XDG_DATA_HOME/maskmill/models (~/.local/share/...), beside the program
 * (../share/maskmill/models) and in the source tree it was built from. `path` takes up to `size` bytes. */
MM_RESULT_USED mm_status mm_checkpoint_locate(const char *name_or_path, char *path, size_t size, mm_error *err);

#endif
