/* Reads the pickle inside a PyTorch checkpoint as far as a state dict needs it, and executes nothing.
 *
 * A pickle is a program for a stack machine. This machine knows the opcodes that torch.save writes, and of all
 * callables only those that stand for tensors; everything else, by whatever name, is refused. */
#ifndef MM_MODEL_PICKLE_H
#define MM_MODEL_PICKLE_H

#include "maskmill/checkpoint.h"

/* One tensor of the state dict: a view of a storage, which is a file of its own in the archive. */
typedef struct mm_pickle_tensor {
    const char *name; /* in the pickle's bytes, not terminated */
    const char *key;  /* of the storage, likewise */
    size_t name_length, key_length;
    mm_dtype dtype;
    uint32_t dims;
    uint64_t storage_elements;
    uint64_t offset;              /* of the first element in the storage, elements */
    uint64_t shape[MM_MAX_DIMS];  /* shape and strides stay within the storage: checked */
    uint64_t stride[MM_MAX_DIMS]; /* elements */
} mm_pickle_tensor;

/* The tensors of the state dict in `data`: the outermost dict, or the one under "model", "state_dict" or
 * "model_state_dict" there. The caller frees *tensors; `data` must live as long as they do. */
MM_RESULT_USED mm_status mm_pickle_read(const unsigned char *data, size_t size, mm_pickle_tensor **tensors,
                                        size_t *count, mm_error *err);

#endif
