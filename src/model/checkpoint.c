/* model: checkpoints, the architectures they hold, and the computation of embeddings and masks.
 *
 * This file opens checkpoints of every kind and reads their tensors. */
#include "checkpoint_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct mm_checkpoint_block {
    struct mm_checkpoint_block *next;
    _Alignas(16) unsigned char data[];
} mm_checkpoint_block;

size_t mm_dtype_size(mm_dtype dtype)
{
    static const unsigned char sizes[] = {[MM_F32] = 4, [MM_F16] = 2, [MM_BF16] = 2, [MM_I64] = 8};
    return sizes[dtype];
}

const char *mm_dtype_name(mm_dtype dtype)
{
    static const char *const names[] = {[MM_F32] = "F32", [MM_F16] = "F16", [MM_BF16] = "BF16", [MM_I64] = "I64"};
    return names[dtype];
}

bool mm_shape_elements(const uint64_t *shape, uint32_t dims, uint64_t *elements)
{
    uint64_t product = 1;
    for (uint32_t d = 0; d < dims; d++)
        if (__builtin_mul_overflow(product, shape[d], &product) || product > INT64_MAX)
            return false;
    *elements = product;
    return true;
}

void *mm_checkpoint_alloc(mm_checkpoint *checkpoint, size_t size)
{
    size_t total;
    if (__builtin_add_overflow(sizeof(mm_checkpoint_block), size, &total))
        return NULL;
    mm_checkpoint_block *block = malloc(total);
    if (!block)
        return NULL;
    block->next = checkpoint->blocks;
    checkpoint->blocks = block;
    return block->data;
}

mm_status mm_checkpoint_check_name(const char *name, size_t length, mm_error *err)
{
    bool printable = length > 0 && length <= MM_CHECKPOINT_MAX_NAME;
    for (size_t i = 0; printable && i < length; i++)
        printable = (unsigned char)name[i] > 0x20 && (unsigned char)name[i] != 0x7f;
    if (!printable)
        return mm_fail(err, MM_ERR_FORMAT, "a tensor has an empty, overlong or unprintable name");
    return MM_OK;
}

mm_status mm_checkpoint_add(mm_checkpoint *checkpoint, const char *name, size_t name_length, mm_dtype dtype,
                            uint32_t dims, const uint64_t *shape, const void *data, mm_error *err)
{
    if (checkpoint->count == MM_CHECKPOINT_MAX_TENSORS)
        return mm_fail(err, MM_ERR_LIMIT, "more than %u tensors; no Segment Anything model has so many",
                       MM_CHECKPOINT_MAX_TENSORS);
    uint64_t elements = 0;
    if (dims > MM_MAX_DIMS || !mm_shape_elements(shape, dims, &elements))
        return mm_fail(err, MM_ERR_LIMIT, "tensor %.*s has more than %d dimensions or too many elements",
                       (int)name_length, name, MM_MAX_DIMS);
    if (checkpoint->count == checkpoint->capacity) {
        const size_t capacity = checkpoint->capacity ? 2 * checkpoint->capacity : 256;
        mm_tensor *tensors = realloc(checkpoint->tensors, capacity * sizeof *tensors);
        if (!tensors)
            return mm_fail_memory(err, "the table of tensors");
        checkpoint->tensors = tensors;
        checkpoint->capacity = capacity;
    }
    char *copy = mm_checkpoint_alloc(checkpoint, name_length + 1);
    if (!copy)
        return mm_fail_memory(err, "the table of tensors");
    memcpy(copy, name, name_length);
    copy[name_length] = '\0';

    mm_tensor *tensor = &checkpoint->tensors[checkpoint->count++];
    *tensor = (mm_tensor){.name = copy, .dtype = dtype, .dims = dims, .elements = elements, .data = data};
    for (uint32_t d = 0; d < dims; d++)
        tensor->shape[d] = shape[d];
    return MM_OK;
}

static mm_status map_file(mm_checkpoint *checkpoint, const char *path, mm_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not hold us up */
    if (fd < 0)
        return mm_fail_errno(err, "cannot open the checkpoint");
    struct stat info;
    mm_status status = MM_OK;
    if (fstat(fd, &info) != 0)
        status = mm_fail_errno(err, "cannot stat the checkpoint");
    else if (!S_ISREG(info.st_mode))
        status = mm_fail(err, MM_ERR_USAGE, "is not a file; give a .safetensors, .pth or .pt checkpoint");
    else if (info.st_size < 8)
        status = mm_fail(err, MM_ERR_FORMAT, "has %lld bytes, which is no checkpoint; fetch it again",
                         (long long)info.st_size);
    if (status == MM_OK) {
        void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            status = mm_fail_errno(err, "cannot map the checkpoint");
        } else {
            checkpoint->map = map;
            checkpoint->map_size = (size_t)info.st_size;
        }
    }
    (void)close(fd); /* it was only read; the mapping holds the file */
    return status;
}

static mm_status read_tensors(mm_checkpoint *checkpoint, mm_error *err)
{
    const unsigned char *map = checkpoint->map;
    if (memcmp(map, "PK\003\004", 4) == 0)
        return mm_zip_torch_read(checkpoint, err);
    if (checkpoint->map_size > 8 && map[8] == '{')
        return mm_safetensors_read(checkpoint, err);
    if (map[0] == 0x80) /* a bare pickle: torch.save before PyTorch 1.6 */
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "is in PyTorch's legacy format; re-save it with torch.save(torch.load(FILE, weights_only=True), "
                       "NEW_FILE) in PyTorch 1.6 or later");
    return mm_fail(err, MM_ERR_FORMAT, "is neither a safetensors nor a PyTorch (.pth, .pt) file");
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const mm_tensor *)a)->name, ((const mm_tensor *)b)->name);
}

static mm_status sort_and_refuse_duplicates(mm_checkpoint *checkpoint, mm_error *err)
{
    if (checkpoint->count == 0)
        return mm_fail(err, MM_ERR_FORMAT, "holds no tensors");
    qsort(checkpoint->tensors, checkpoint->count, sizeof *checkpoint->tensors, compare_names);
    for (size_t i = 1; i < checkpoint->count; i++)
        if (strcmp(checkpoint->tensors[i - 1].name, checkpoint->tensors[i].name) == 0)
            return mm_fail(err, MM_ERR_FORMAT, "holds two tensors named %s", checkpoint->tensors[i].name);
    return MM_OK;
}

mm_status mm_checkpoint_open(const char *path, mm_checkpoint **checkpoint, mm_error *err)
{
    *checkpoint = NULL;
    mm_error local;
    if (!err)
        err = &local;
    mm_checkpoint *opened = calloc(1, sizeof *opened);
    if (!opened)
        return mm_fail_memory(err, "a checkpoint");
    mm_status status = map_file(opened, path, err);
    if (status == MM_OK)
        status = read_tensors(opened, err);
    if (status == MM_OK)
        status = mm_names_canonicalise(opened, err);
    if (status == MM_OK)
        status = sort_and_refuse_duplicates(opened, err);
    if (status != MM_OK) {
        mm_checkpoint_close(opened);
        return mm_error_prefix(err, "%s", path);
    }
    *checkpoint = opened;
    return MM_OK;
}

mm_status mm_checkpoint_peek(const char *path, mm_checkpoint **checkpoint, mm_error *err)
{
    char start[4] = {0};
    *checkpoint = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        const bool zip = pread(fd, start, sizeof start, 0) == sizeof start && memcmp(start, "PK\003\004", 4) == 0;
        (void)close(fd); /* only read */
        if (zip)
            return MM_OK;
    }
    return mm_checkpoint_open(path, checkpoint, err); /* says what is wrong with a file that cannot be opened */
}

void mm_checkpoint_close(mm_checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    for (mm_checkpoint_block *block = checkpoint->blocks; block;) {
        mm_checkpoint_block *next = block->next;
        free(block);
        block = next;
    }
    if (checkpoint->map)
        (void)munmap((void *)checkpoint->map, checkpoint->map_size); /* cannot fail for a mapping we made */
    free(checkpoint->tensors);
    free(checkpoint);
}

void mm_checkpoint_release_pages(const mm_checkpoint *checkpoint)
{
    /* Advice: where it is not taken, nothing is wrong. The pages come back from the file when they are read. */
    (void)madvise((void *)checkpoint->map, checkpoint->map_size, MADV_DONTNEED);
}

size_t mm_checkpoint_count(const mm_checkpoint *checkpoint)
{
    return checkpoint->count;
}

const mm_tensor *mm_checkpoint_at(const mm_checkpoint *checkpoint, size_t index)
{
    return &checkpoint->tensors[index];
}

const mm_tensor *mm_checkpoint_find(const mm_checkpoint *checkpoint, const char *name)
{
    const mm_tensor key = {.name = name};
    return bsearch(&key, checkpoint->tensors, checkpoint->count, sizeof key, compare_names);
}

const char *mm_checkpoint_metadata(const mm_checkpoint *checkpoint, const char *key)
{
    for (size_t i = 0; i < checkpoint->metadata_count; i++)
        if (strcmp(checkpoint->metadata[i].key, key) == 0)
            return checkpoint->metadata[i].text;
    return NULL;
}
