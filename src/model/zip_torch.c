/* PyTorch's zip format: NAME/data.pkl describes the tensors, NAME/data/KEY holds the bytes of each storage,
 * NAME/byteorder (since PyTorch 2.1) says "little". torch.save stores entries uncompressed, so tensors are used where
 * they lie in the mapped file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_internal.h"
#include "pickle.h"
#include "zip_map.h"

#define MAX_PICKLE (16u << 20)
#define MAX_PREFIX 512u
#define MAX_EXPANSION 64u /* weights hardly compress; entries that overlap or expand beyond this are a bomb */

typedef struct archive {
    mm_checkpoint *checkpoint;
    mm_zip *zip;
    char prefix[MAX_PREFIX];        /* "NAME/" or "" */
    const unsigned char **storages; /* by zip index; NULL until read */
    uint64_t expanded;              /* bytes of entries that were compressed */
    uint64_t copied;                /* bytes of tensors that are no contiguous piece of their storage */
} archive;

/* The whole entry, in place or copied. */
static mm_status load_entry(archive *from, size_t index, uint64_t size, const unsigned char **data, mm_error *err)
{
    if (from->storages[index]) {
        *data = from->storages[index];
        return MM_OK;
    }
    unsigned char *copy = NULL;
    if (!mm_zip_is_stored(from->zip, index)) {
        from->expanded += size; /* each is below 1032 times the file: no overflow before the check */
        if (from->expanded / MAX_EXPANSION > from->checkpoint->map_size)
            return mm_fail(err, MM_ERR_LIMIT, "its compressed entries expand to more than %u times the file",
                           MAX_EXPANSION);
        copy = mm_checkpoint_alloc(from->checkpoint, (size_t)size + 1);
        if (!copy)
            return mm_fail_memory(err, "a compressed checkpoint");
    }
    const mm_status status = mm_zip_read(from->zip, index, copy, data, err);
    if (status != MM_OK)
        return status;
    if (copy)
        *data = copy;
    from->storages[index] = *data;
    return MM_OK;
}

static mm_status find_pickle(archive *from, size_t *index, mm_error *err)
{
    static const char suffix[] = "data.pkl";
    for (size_t i = 0; i < mm_zip_count(from->zip); i++) {
        const char *name = mm_zip_name(from->zip, i);
        const size_t length = name ? strlen(name) : 0;
        if (length < sizeof suffix - 1 || strcmp(name + length - (sizeof suffix - 1), suffix) != 0)
            continue;
        const size_t prefix = length - (sizeof suffix - 1);
        if (prefix >= MAX_PREFIX || (prefix > 0 && name[prefix - 1] != '/'))
            continue;
        memcpy(from->prefix, name, prefix);
        from->prefix[prefix] = '\0';
        *index = i;
        return MM_OK;
    }
    return mm_fail(err, MM_ERR_FORMAT, "is a zip archive without data.pkl, so not one of PyTorch's");
}

static mm_status check_byte_order(archive *from, mm_error *err)
{
    char name[MAX_PREFIX + 16];
    size_t index = 0;
    uint64_t size = 0;
    const unsigned char *text = NULL;
    (void)snprintf(name, sizeof name, "%sbyteorder", from->prefix); /* fits: the prefix is below MAX_PREFIX */
    if (!mm_zip_find(from->zip, name, &index))
        return MM_OK;
    mm_status status = mm_zip_size(from->zip, index, &size, err);
    if (status == MM_OK && size > 64)
        return mm_fail(err, MM_ERR_FORMAT, "its byteorder file is damaged");
    if (status == MM_OK)
        status = load_entry(from, index, size, &text, err);
    if (status == MM_OK && (size != 6 || memcmp(text, "little", 6) != 0))
        return mm_fail(err, MM_ERR_UNSUPPORTED, "was written in another byte order than little-endian; re-save it on a "
                                                "little-endian machine");
    return status;
}

static bool is_contiguous(const mm_pickle_tensor *tensor)
{
    uint64_t expected = 1;
    for (uint32_t d = tensor->dims; d-- > 0;) {
        if (tensor->shape[d] != 1 && tensor->stride[d] != expected)
            return false;
        expected *= tensor->shape[d];
    }
    return true;
}

/* Gather a strided view into memory of its own, outermost index slowest. */
static mm_status gather(archive *from, const mm_pickle_tensor *tensor, const unsigned char *storage,
                        uint64_t elements, const unsigned char **data, mm_error *err)
{
    const size_t size = mm_dtype_size(tensor->dtype);
    /* Views may share a storage; together they may not ask for more than a few times the file. */
    from->copied += elements * size;
    if (from->copied > 4 * (uint64_t)from->checkpoint->map_size)
        return mm_fail(err, MM_ERR_LIMIT, "its strided tensors overlap too often; re-save them with .contiguous()");
    unsigned char *copy = mm_checkpoint_alloc(from->checkpoint, (size_t)(elements * size));
    if (!copy)
        return mm_fail_memory(err, "a strided tensor");
    uint64_t index[MM_MAX_DIMS] = {0}, at = tensor->offset;
    for (uint64_t i = 0; i < elements; i++) {
        memcpy(copy + i * size, storage + at * size, size);
        for (uint32_t d = tensor->dims; d-- > 0;) {
            at += tensor->stride[d];
            if (++index[d] < tensor->shape[d])
                break;
            at -= index[d] * tensor->stride[d];
            index[d] = 0;
        }
    }
    *data = copy;
    return MM_OK;
}

static mm_status add_tensor(archive *from, const mm_pickle_tensor *tensor, mm_error *err)
{
    char name[MAX_PREFIX + 96];
    size_t index = 0;
    uint64_t size = 0, elements = 0;
    const unsigned char *storage = NULL, *data = NULL;
    const int length = (int)tensor->name_length;
    if (tensor->key_length > 64 || !mm_shape_elements(tensor->shape, tensor->dims, &elements))
        return mm_fail(err, MM_ERR_FORMAT, "tensor %.*s has a damaged storage", length, tensor->name);
    (void)snprintf(name, sizeof name, "%sdata/%.*s", from->prefix, (int)tensor->key_length, tensor->key); /* fits */
    if (!mm_zip_find(from->zip, name, &index))
        return mm_fail(err, MM_ERR_FORMAT, "the storage of tensor %.*s is not in the file", length, tensor->name);
    mm_status status = mm_zip_size(from->zip, index, &size, err);
    if (status != MM_OK)
        return status;
    const size_t item = mm_dtype_size(tensor->dtype);
    if (tensor->storage_elements > size / item || tensor->storage_elements * item != size)
        return mm_fail(err, MM_ERR_FORMAT,
                       "the storage of tensor %.*s should hold %" PRIu64 " elements, but has %" PRIu64 " bytes", length,
                       tensor->name, tensor->storage_elements, size);
    status = load_entry(from, index, size, &storage, err);
    if (status != MM_OK)
        return status;
    if (is_contiguous(tensor) || elements == 0)
        data = storage + tensor->offset * item;
    else
        status = gather(from, tensor, storage, elements, &data, err);
    if (status != MM_OK)
        return status;
    return mm_checkpoint_add(from->checkpoint, tensor->name, tensor->name_length, tensor->dtype, tensor->dims,
                             tensor->shape, data, err);
}

static mm_status read_archive(archive *from, mm_error *err)
{
    size_t index = 0, count = 0;
    uint64_t size = 0;
    const unsigned char *bytes = NULL;
    mm_pickle_tensor *tensors = NULL;
    mm_status status = find_pickle(from, &index, err);
    if (status == MM_OK)
        status = check_byte_order(from, err);
    if (status == MM_OK)
        status = mm_zip_size(from->zip, index, &size, err);
    if (status == MM_OK && size > MAX_PICKLE)
        status = mm_fail(err, MM_ERR_LIMIT, "its data.pkl has %" PRIu64 " bytes, beyond what a state dict needs", size);
    if (status == MM_OK)
        status = load_entry(from, index, size, &bytes, err);
    if (status != MM_OK)
        return status;
    status = mm_pickle_read(bytes, (size_t)size, &tensors, &count, err);
    if (status != MM_OK)
        return mm_error_prefix(err, "data.pkl");
    for (size_t i = 0; status == MM_OK && i < count; i++)
        status = add_tensor(from, &tensors[i], err);
    free(tensors);
    return status;
}

mm_status mm_zip_torch_read(mm_checkpoint *checkpoint, mm_error *err)
{
    archive from = {.checkpoint = checkpoint};
    mm_status status = mm_zip_open(checkpoint->map, checkpoint->map_size, &from.zip, err);
    if (status != MM_OK)
        return status;
    from.storages = calloc(mm_zip_count(from.zip) + 1, sizeof *from.storages);
    if (!from.storages)
        status = mm_fail_memory(err, "a checkpoint's table of contents");
    else
        status = read_archive(&from, err);
    free(from.storages);
    mm_zip_close(from.zip);
    return status;
}
