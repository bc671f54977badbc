/* Writing safetensors: the tensors that an architecture uses, with the architecture as metadata; or any others. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch_internal.h"
#include "base/file.h"
#include "checkpoint_internal.h"
#include "checkpoint_values.h"

#define CHUNK 16384u /* elements converted at a time */

typedef struct item {
    const mm_tensor *tensor;
    mm_dtype dtype; /* as written */
} item;

typedef struct plan {
    const mm_checkpoint *checkpoint;
    bool bf16, as_stored; /* matrices in bf16; those that are bf16 in the file stay so */
    const mm_tensor *replaced; /* written instead of the checkpoint's of the same name */
    size_t replaced_count;
    item *items;
    size_t count;
} plan;

/* Rounding pays for matrices only. Vectors (biases, norms, batch statistics) are small and sensitive, and the
 * positional matrix in bf16 would move points by whole pixels: these stay f32. */
static bool keeps_f32(const mm_tensor *tensor)
{
    return tensor->dims < 2 ||
           strcmp(tensor->name, "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix") == 0;
}

static mm_status plan_tensor(void *user, const char *name, uint32_t dims, const uint64_t *shape, mm_error *err)
{
    plan *p = user;
    const mm_tensor *tensor = mm_checkpoint_find(p->checkpoint, name);
    if (!tensor || tensor->dtype == MM_I64 || tensor->dims != dims ||
        memcmp(tensor->shape, shape, dims * sizeof *shape) != 0 || p->count == mm_checkpoint_count(p->checkpoint))
        return mm_fail(err, MM_ERR_INTERNAL, "tensor %s does not fit the architecture it was recognised as", name);
    const bool stays = p->as_stored && tensor->dtype == MM_BF16;
    item *planned = &p->items[p->count++];
    *planned = (item){tensor, (p->bf16 && !keeps_f32(tensor)) || stays ? MM_BF16 : MM_F32};
    for (size_t i = 0; i < p->replaced_count; i++)
        if (strcmp(p->replaced[i].name, name) == 0)
            *planned = (item){&p->replaced[i], MM_F32};
    return planned->tensor->elements == tensor->elements
               ? MM_OK
               : mm_fail(err, MM_ERR_INTERNAL, "tensor %s is to be replaced by one of another size", name);
}

/* f32 first, so that every tensor is aligned to its type; within a type by name. */
static int compare_items(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->dtype != y->dtype)
        return x->dtype == MM_F32 ? -1 : 1;
    return strcmp(x->tensor->name, y->tensor->name);
}

static json_t *entry_json(const item *it, uint64_t begin, uint64_t end)
{
    json_t *shape = json_array();
    for (uint32_t d = 0; shape && d < it->tensor->dims; d++)
        if (json_array_append_new(shape, json_integer((json_int_t)it->tensor->shape[d])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s,s:o,s:[I,I]}", "dtype", mm_dtype_name(it->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

/* The header's text, padded with spaces so that the data begin at a multiple of 8. The caller frees it. */
static mm_status make_header(const plan *p, const char *const (*texts)[2], size_t text_count, char **header,
                             size_t *length, mm_error *err)
{
    uint64_t at = 0;
    json_t *root = json_pack("{s:{}}", "__metadata__");
    bool ok = root != NULL;
    for (size_t i = 0; ok && i < text_count; i++)
        ok = json_object_set_new(json_object_get(root, "__metadata__"), texts[i][0], json_string(texts[i][1])) == 0;
    for (size_t i = 0; ok && i < p->count; i++) {
        const uint64_t end = at + p->items[i].tensor->elements * mm_dtype_size(p->items[i].dtype);
        ok = json_object_set_new(root, p->items[i].tensor->name, entry_json(&p->items[i], at, end)) == 0;
        at = end;
    }
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    const size_t used = text ? strlen(text) : 0;
    *length = (used + 7) / 8 * 8;
    *header = text ? malloc(*length + 1) : NULL;
    if (*header) {
        memcpy(*header, text, used);
        memset(*header + used, ' ', *length - used);
    }
    free(text);
    return *header ? MM_OK : mm_fail_memory(err, "a checkpoint's header");
}

static bool write_tensor(FILE *file, const item *it)
{
    float values[CHUNK];
    uint16_t rounded[CHUNK];
    const size_t size = mm_dtype_size(it->tensor->dtype);
    for (uint64_t done = 0; done < it->tensor->elements;) {
        const uint64_t left = it->tensor->elements - done;
        const size_t n = left < CHUNK ? (size_t)left : CHUNK;
        mm_values_to_f32(it->tensor->dtype, (const unsigned char *)it->tensor->data + done * size, n, values);
        const void *bytes = values;
        if (it->dtype == MM_BF16) {
            mm_values_f32_to_bf16(values, n, rounded);
            bytes = rounded;
        }
        if (fwrite(bytes, mm_dtype_size(it->dtype), n, file) != n)
            return false;
        done += n;
    }
    return true;
}

static bool write_all(FILE *file, const plan *p, const char *header, uint64_t length)
{
    bool ok = fwrite(&length, sizeof length, 1, file) == 1 && fwrite(header, 1, length, file) == length;
    for (size_t i = 0; ok && i < p->count; i++)
        ok = write_tensor(file, &p->items[i]);
    return ok;
}

static mm_status write_file(const plan *p, const char *header, size_t length, const char *path, mm_error *err)
{
    mm_file_draft draft;
    mm_status status = mm_file_begin(path, &draft, err);
    if (status != MM_OK)
        return status;
    if (!write_all(draft.stream, p, header, length))
        status = mm_fail_errno(err, "cannot write %s; make room or choose another folder", path);
    return mm_file_finish(&draft, status, err);
}

/* The texts of a checkpoint's metadata, with the architecture as it was recognised. The caller frees *texts. */
static mm_status list_texts(const mm_checkpoint *checkpoint, const char *config, const char *(**texts)[2],
                            size_t *count, mm_error *err)
{
    *texts = calloc(checkpoint->metadata_count + 1, sizeof **texts);
    if (!*texts)
        return mm_fail_memory(err, "a checkpoint's header");
    (*texts)[0][0] = "maskmill.config";
    (*texts)[0][1] = config;
    *count = 1;
    for (size_t i = 0; i < checkpoint->metadata_count; i++) {
        const mm_checkpoint_text *said = &checkpoint->metadata[i];
        if (strcmp(said->key, "maskmill.config") == 0)
            continue;
        (*texts)[*count][0] = said->key;
        (*texts)[(*count)++][1] = said->text;
    }
    return MM_OK;
}

static mm_status write_model(plan *p, const mm_arch *arch, const char *out_path, mm_error *err)
{
    char *config = NULL, *header = NULL;
    const char *(*texts)[2] = NULL;
    size_t length = 0, text_count = 0;
    p->items = calloc(mm_checkpoint_count(p->checkpoint) + 1, sizeof *p->items);
    if (!p->items)
        return mm_fail_memory(err, "a checkpoint's header");
    mm_status status = mm_arch_each_tensor(arch, plan_tensor, p, err);
    if (status == MM_OK) {
        qsort(p->items, p->count, sizeof *p->items, compare_items);
        status = mm_arch_to_json(arch, &config, err);
    }
    if (status == MM_OK)
        status = list_texts(p->checkpoint, config, &texts, &text_count, err);
    if (status == MM_OK)
        status = make_header(p, (const char *const(*)[2])texts, text_count, &header, &length, err);
    if (status == MM_OK)
        status = write_file(p, header, length, out_path, err);
    free(header);
    free(texts);
    free(config);
    free(p->items);
    return status;
}

mm_status mm_checkpoint_convert(const mm_checkpoint *checkpoint, const mm_arch *arch, bool bf16, const char *out_path,
                                mm_error *err)
{
    return write_model(&(plan){.checkpoint = checkpoint, .bf16 = bf16}, arch, out_path, err);
}

mm_status mm_checkpoint_replace(const mm_checkpoint *checkpoint, const mm_arch *arch, const mm_tensor *tensors,
                                size_t count, const char *out_path, mm_error *err)
{
    return write_model(&(plan){.checkpoint = checkpoint, .as_stored = true, .replaced = tensors,
                               .replaced_count = count}, arch,
                       out_path, err);
}

mm_status mm_checkpoint_write(const char *path, const mm_tensor *tensors, size_t count, const char *const (*texts)[2],
                              size_t text_count, mm_error *err)
{
    plan p = {.count = count};
    char *header = NULL;
    size_t length = 0;
    p.items = calloc(count + 1, sizeof *p.items);
    if (!p.items)
        return mm_fail_memory(err, "a checkpoint's header");
    for (size_t i = 0; i < count; i++)
        p.items[i] = (item){&tensors[i], MM_F32};
    mm_status status = make_header(&p, texts, text_count, &header, &length, err);
    if (status == MM_OK)
        status = write_file(&p, header, length, path, err);
    free(header);
    free(p.items);
    return status;
}
