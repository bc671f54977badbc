/* SHA-256 of a file, by OpenSSL's libcrypto. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "maskmill/checkpoint.h"

#define CHUNK (1u << 20)

static mm_status digest_file(int fd, const char *path, EVP_MD_CTX *context, unsigned char *chunk, mm_error *err)
{
    for (;;) {
        const ssize_t got = read(fd, chunk, CHUNK);
        if (got < 0)
            return mm_fail_errno(err, "cannot read %s", path);
        if (got == 0)
            return MM_OK;
        if (EVP_DigestUpdate(context, chunk, (size_t)got) != 1)
            return mm_fail(err, MM_ERR_INTERNAL, "libcrypto fails at SHA-256");
    }
}

mm_status mm_checkpoint_sha256(const char *path, char hex[65], mm_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mm_fail_errno(err, "cannot open %s", path);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char *chunk = malloc(CHUNK);
    mm_status status;
    if (!context || !chunk)
        status = mm_fail_memory(err, "a checksum");
    else if (EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        status = mm_fail(err, MM_ERR_INTERNAL, "libcrypto has no SHA-256");
    else
        status = digest_file(fd, path, context, chunk, err);
    if (status == MM_OK && (EVP_DigestFinal_ex(context, digest, &length) != 1 || length != 32))
        status = mm_fail(err, MM_ERR_INTERNAL, "libcrypto fails at SHA-256");
    for (unsigned i = 0; status == MM_OK && i < length; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]); /* always fits */
    EVP_MD_CTX_free(context);
    free(chunk);
    (void)close(fd); /* only read from */
    return status;
}
