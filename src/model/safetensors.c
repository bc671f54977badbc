/* Safetensors: u64 little-endian length N, N bytes of JSON, then the tensors' bytes.
 *
 * JSON: {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ..., "__metadata__": {"k": "text"}}
 * with offsets from the end of the JSON. As the format demands, the tensors cover the bytes without gap or overlap. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint_internal.h"

#define MAX_HEADER (16u << 20) /* 16384 tensors need some 3 MB */

typedef struct span {
    uint64_t begin, end;
    const char *name;
} span;

static bool read_dtype(const json_t *entry, mm_dtype *dtype)
{
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    for (int d = MM_F32; text && d <= MM_I64; d++)
        if (strcmp(text, mm_dtype_name((mm_dtype)d)) == 0) {
            *dtype = (mm_dtype)d;
            return true;
        }
    return false;
}

/* An array of up to `room` integers that are not negative. */
static bool read_integers(const json_t *array, uint64_t *out, size_t room, size_t *count)
{
    if (!json_is_array(array) || json_array_size(array) > room)
        return false;
    *count = json_array_size(array);
    for (size_t i = 0; i < *count; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return false;
        out[i] = (uint64_t)json_integer_value(value);
    }
    return true;
}

static mm_status read_entry(mm_checkpoint *checkpoint, const char *name, const json_t *entry,
                            const unsigned char *data, uint64_t data_size, span *where, mm_error *err)
{
    mm_dtype dtype;
    uint64_t shape[MM_MAX_DIMS] = {0}, offsets[2] = {0}, elements = 0, bytes = 0;
    size_t dims = 0, ends = 0;
    mm_status status = mm_checkpoint_check_name(name, strlen(name), err);
    if (status != MM_OK)
        return status;
    if (!json_is_object(entry) || !json_is_string(json_object_get(entry, "dtype")))
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s has no dtype", name);
    if (!read_dtype(entry, &dtype))
        return mm_fail(err, MM_ERR_UNSUPPORTED, "tensor %s is of type %s; F32, F16, BF16 and I64 can be read", name,
                       json_string_value(json_object_get(entry, "dtype")));
    if (!read_integers(json_object_get(entry, "shape"), shape, MM_MAX_DIMS, &dims) ||
        !mm_shape_elements(shape, (uint32_t)dims, &elements))
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s: its shape is not a list of up to %d sizes", name, MM_MAX_DIMS);
    if (!read_integers(json_object_get(entry, "data_offsets"), offsets, 2, &ends) || ends != 2 ||
        offsets[0] > offsets[1])
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s: its data_offsets are not a begin and an end", name);
    if (offsets[1] > data_size)
        return mm_fail(err, MM_ERR_FORMAT,
                       "tensor %s ends at byte %" PRIu64 " of %" PRIu64 ": the file was cut; fetch it again", name,
                       offsets[1], data_size);
    if (__builtin_mul_overflow(elements, mm_dtype_size(dtype), &bytes) || bytes != offsets[1] - offsets[0])
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s: %" PRIu64 " bytes do not fit its shape and type", name,
                       offsets[1] - offsets[0]);
    status = mm_checkpoint_add(checkpoint, name, strlen(name), dtype, (uint32_t)dims, shape, data + offsets[0], err);
    if (status == MM_OK)
        *where = (span){offsets[0], offsets[1], checkpoint->tensors[checkpoint->count - 1].name};
    return status;
}

/* A copy that lives as long as the checkpoint. */
static const char *keep_text(mm_checkpoint *checkpoint, const char *text, size_t length)
{
    char *copy = mm_checkpoint_alloc(checkpoint, length + 1);
    if (copy)
        memcpy(copy, text, length + 1);
    return copy;
}

static mm_status keep_metadata(mm_checkpoint *checkpoint, json_t *metadata, mm_error *err)
{
    if (!json_is_object(metadata))
        return mm_fail(err, MM_ERR_FORMAT, "__metadata__ is not a table of texts");
    checkpoint->metadata = mm_checkpoint_alloc(checkpoint, json_object_size(metadata) * sizeof *checkpoint->metadata);
    if (!checkpoint->metadata)
        return mm_fail_memory(err, "the checkpoint's metadata");
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return mm_fail(err, MM_ERR_FORMAT, "__metadata__ is not a table of texts");
        mm_checkpoint_text *kept = &checkpoint->metadata[checkpoint->metadata_count];
        kept->key = keep_text(checkpoint, key, strlen(key));
        kept->text = keep_text(checkpoint, json_string_value(value), json_string_length(value));
        if (!kept->key || !kept->text)
            return mm_fail_memory(err, "the checkpoint's metadata");
        checkpoint->metadata_count++;
    }
    return MM_OK;
}

static int compare_spans(const void *a, const void *b)
{
    const span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static mm_status check_cover(span *spans, size_t count, uint64_t data_size, mm_error *err)
{
    qsort(spans, count, sizeof *spans, compare_spans);
    uint64_t covered = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].begin < covered)
            return mm_fail(err, MM_ERR_FORMAT, "tensors %s and %s overlap", spans[i - 1].name, spans[i].name);
        if (spans[i].begin > covered)
            return mm_fail(err, MM_ERR_FORMAT, "bytes %" PRIu64 " to %" PRIu64 " before tensor %s belong to no tensor",
                           covered, spans[i].begin, spans[i].name);
        covered = spans[i].end;
    }
    if (covered != data_size)
        return mm_fail(err, MM_ERR_FORMAT, "%" PRIu64 " bytes after the last tensor belong to no tensor",
                       data_size - covered);
    return MM_OK;
}

static mm_status read_entries(mm_checkpoint *checkpoint, json_t *root, const unsigned char *data, uint64_t data_size,
                              mm_error *err)
{
    span *spans = calloc(json_object_size(root) + 1, sizeof *spans);
    if (!spans)
        return mm_fail_memory(err, "the table of tensors");
    mm_status status = MM_OK;
    const char *name;
    json_t *entry;
    json_object_foreach(root, name, entry) {
        if (strcmp(name, "__metadata__") == 0)
            status = keep_metadata(checkpoint, entry, err);
        else
            status = read_entry(checkpoint, name, entry, data, data_size, &spans[checkpoint->count], err);
        if (status != MM_OK)
            break;
    }
    if (status == MM_OK)
        status = check_cover(spans, checkpoint->count, data_size, err);
    free(spans);
    return status;
}

mm_status mm_safetensors_read(mm_checkpoint *checkpoint, mm_error *err)
{
    uint64_t length;
    memcpy(&length, checkpoint->map, sizeof length);
    const uint64_t rest = checkpoint->map_size - sizeof length;
    if (length > rest)
        return mm_fail(err, MM_ERR_FORMAT,
                       "its safetensors header should have %" PRIu64 " bytes, but %" PRIu64
                       " follow: the file was cut, or is none; fetch it again",
                       length, rest);
    if (length > MAX_HEADER)
        return mm_fail(err, MM_ERR_LIMIT, "its safetensors header of %" PRIu64 " bytes exceeds %u", length, MAX_HEADER);
    json_error_t where;
    const char *text = (const char *)checkpoint->map + sizeof length;
    json_t *root = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return mm_fail(err, MM_ERR_FORMAT, "its safetensors header is damaged at byte %zu: %s",
                       sizeof length + (size_t)where.position, where.text);
    mm_status status;
    if (!json_is_object(root))
        status = mm_fail(err, MM_ERR_FORMAT, "its safetensors header is not a JSON object");
    else
        status = read_entries(checkpoint, root, checkpoint->map + sizeof length + length, rest - length, err);
    json_decref(root);
    return status;
}
