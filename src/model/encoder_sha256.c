/* What identifies an image encoder: SHA-256 over its tensors, by OpenSSL's libcrypto. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch_internal.h"
#include "checkpoint_values.h"

enum { CHUNK = 16384 }; /* elements converted at a time */

typedef struct encoder_list {
    const mm_checkpoint *checkpoint;
    const mm_tensor **tensors;
    size_t count;
} encoder_list;

static mm_status list_tensor(void *user, const char *name, uint32_t dims, const uint64_t *shape, mm_error *err)
{
    (void)dims; /* the architecture was recognised by these */
    (void)shape;
    encoder_list *list = user;
    if (strncmp(name, "image_encoder.", 14) != 0)
        return MM_OK;
    const mm_tensor *tensor = mm_checkpoint_find(list->checkpoint, name);
    if (!tensor || tensor->dtype == MM_I64 || list->count == mm_checkpoint_count(list->checkpoint))
        return mm_fail(err, MM_ERR_INTERNAL, "tensor %s does not fit the architecture it was recognised as", name);
    list->tensors[list->count++] = tensor;
    return MM_OK;
}

static int by_name(const void *a, const void *b)
{
    const mm_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static bool digest_values(EVP_MD_CTX *context, const mm_tensor *tensor, float *values)
{
    const size_t size = tensor->dtype == MM_F32 ? 4 : 2;
    uint16_t rounded[CHUNK];
    for (uint64_t done = 0; done < tensor->elements;) {
        const uint64_t left = tensor->elements - done;
        const size_t n = left < CHUNK ? (size_t)left : CHUNK;
        const void *bytes = values;
        size_t length = n * sizeof *values;
        mm_values_to_f32(tensor->dtype, (const unsigned char *)tensor->data + done * size, n, values);
        if (tensor->dims >= 2) {
            mm_values_f32_to_bf16(values, n, rounded);
            bytes = rounded;
            length = n * sizeof rounded[0];
        }
        if (EVP_DigestUpdate(context, bytes, length) != 1)
            return false;
        done += n;
    }
    return true;
}

static bool digest_tensor(EVP_MD_CTX *context, const mm_tensor *tensor, float *values)
{
    return EVP_DigestUpdate(context, tensor->name, strlen(tensor->name) + 1) == 1 &&
           EVP_DigestUpdate(context, &tensor->dims, sizeof tensor->dims) == 1 &&
           EVP_DigestUpdate(context, tensor->shape, tensor->dims * sizeof tensor->shape[0]) == 1 &&
           digest_values(context, tensor, values);
}

static bool digest_encoder(EVP_MD_CTX *context, const encoder_list *list, const mm_arch *arch, float *values)
{
    char line[256];
    const float *mean = arch->pixel_mean, *std = arch->pixel_std;
    const int length = snprintf(line, sizeof line, "encoder 1 %" PRIu32 " %" PRIu32 " %.9g %.9g %.9g %.9g %.9g %.9g\n",
                                arch->embedding_side, arch->image_size, (double)mean[0], (double)mean[1],
                                (double)mean[2], (double)std[0], (double)std[1], (double)std[2]);
    bool good = length > 0 && (size_t)length < sizeof line && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, line, (size_t)length) == 1;
    for (size_t i = 0; good && i < list->count; i++)
        good = digest_tensor(context, list->tensors[i], values);
    return good;
}

mm_status mm_checkpoint_encoder_sha256(const mm_checkpoint *checkpoint, const mm_arch *arch, char hex[65],
                                       mm_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    encoder_list list = {.checkpoint = checkpoint};
    list.tensors = calloc(mm_checkpoint_count(checkpoint) + 1, sizeof list.tensors[0]);
    float *values = malloc(CHUNK * sizeof *values);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    mm_status status = list.tensors && values && context ? MM_OK : mm_fail_memory(err, "a checksum");
    if (status == MM_OK)
        status = mm_arch_each_tensor(arch, list_tensor, &list, err);
    if (status == MM_OK) {
        qsort(list.tensors, list.count, sizeof list.tensors[0], by_name);
        if (!digest_encoder(context, &list, arch, values) || EVP_DigestFinal_ex(context, digest, &length) != 1 ||
            length != 32)
            status = mm_fail(err, MM_ERR_INTERNAL, "libcrypto fails at SHA-256");
    }
    for (unsigned i = 0; status == MM_OK && i < length; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]); /* always fits */
    EVP_MD_CTX_free(context);
    free(values);
    free(list.tensors);
    return status;
}
