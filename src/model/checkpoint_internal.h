/* What the readers of checkpoint files share: the table of tensors that they fill, and the steps of opening a file. */
#ifndef MM_MODEL_CHECKPOINT_INTERNAL_H
#define MM_MODEL_CHECKPOINT_INTERNAL_H

#include "maskmill/checkpoint.h"

/* ViT-H has 594 tensors; a training checkpoint with its optimiser state some thousands. */
#define MM_CHECKPOINT_MAX_TENSORS 16384u
#define MM_CHECKPOINT_MAX_NAME 256u

typedef struct mm_checkpoint_text {
    const char *key, *text;
} mm_checkpoint_text;

struct mm_checkpoint {
    const unsigned char *map; /* the whole file, read-only and shared */
    size_t map_size;
    mm_tensor *tensors;
    size_t count, capacity;
    struct mm_checkpoint_block *blocks; /* names and copies, freed with the checkpoint */
    mm_checkpoint_text *metadata;       /* of a safetensors file; keys and texts lie in blocks */
    size_t metadata_count;
};

size_t mm_dtype_size(mm_dtype dtype);
const char *mm_dtype_name(mm_dtype dtype); /* as safetensors spells it: "F32" */

/* shape[0] * ... * shape[dims - 1]; false if the product overflows or exceeds INT64_MAX. */
bool mm_shape_elements(const uint64_t *shape, uint32_t dims, uint64_t *elements);

/* Memory that lives as long as the checkpoint; NULL if there is none. */
void *mm_checkpoint_alloc(mm_checkpoint *checkpoint, size_t size);

/* Give back the memory of the mapped file; it may still be read. */
void mm_checkpoint_release_pages(const mm_checkpoint *checkpoint);

/* A name must be printable, not empty, not overlong; checked before it appears in any other message. */
MM_RESULT_USED mm_status mm_checkpoint_check_name(const char *name, size_t length, mm_error *err);

/* Append one tensor; copies the (checked) name, takes `data` as it is. */
MM_RESULT_USED mm_status mm_checkpoint_add(mm_checkpoint *checkpoint, const char *name, size_t name_length,
                                           mm_dtype dtype, uint32_t dims, const uint64_t *shape, const void *data,
                                           mm_error *err);

/* Fill the table from the mapped file. */
MM_RESULT_USED mm_status mm_safetensors_read(mm_checkpoint *checkpoint, mm_error *err);
MM_RESULT_USED mm_status mm_zip_torch_read(mm_checkpoint *checkpoint, mm_error *err);

/* Rename all tensors to the public SAM names, and merge the copies that transformers keeps. */
MM_RESULT_USED mm_status mm_names_canonicalise(mm_checkpoint *checkpoint, mm_error *err);

#endif
