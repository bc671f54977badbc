/* The seal: what the first 512 bytes of each file say about the rest. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "corpus/h5.h"

static const uint8_t hdf5_signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

static void block_of(const mm_seal *seal, char block[MM_SEAL_BYTES])
{
    char head[64] = "";
    memset(block, 0, MM_SEAL_BYTES);
    if (seal->head)
        (void)snprintf(head, sizeof head, "head %" PRIu64 " %016" PRIx64 "\n", seal->head, seal->head_digest);
    (void)snprintf(block, MM_SEAL_BYTES,
                   "maskmill %s\nformat %d\nbytes %" PRIu64 "\nxxh3 %016" PRIx64 "\n%sHDF5 from byte 512 on\n",
                   seal->kind, MM_FORMAT_VERSION, seal->bytes, seal->digest, head);
}

void mm_seal_block(const mm_seal *seal, uint8_t block[MM_SEAL_BYTES])
{
    block_of(seal, (char *)block);
}

void mm_seal_stamp(const char *kind, uint8_t *image, uint64_t bytes, mm_seal *seal)
{
    mm_seal made = {.bytes = bytes, .digest = XXH3_64bits(image + MM_SEAL_BYTES, bytes - MM_SEAL_BYTES)};
    (void)snprintf(made.kind, sizeof made.kind, "%s", kind);
    block_of(&made, (char *)image);
    if (seal)
        *seal = made;
}

static bool read_block(int fd, char block[MM_SEAL_BYTES])
{
    size_t done = 0;
    while (done < MM_SEAL_BYTES) {
        const ssize_t got = pread(fd, block + done, MM_SEAL_BYTES - done, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* An open file whose seal is well formed and whose size is the sealed one. */
static mm_status open_sealed(const char *path, int *fd, mm_seal *seal, mm_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return mm_fail_errno(err, "cannot open %s", path);
    struct stat info;
    if (fstat(*fd, &info) != 0)
        return mm_fail_errno(err, "cannot look at %s", path);
    if (!S_ISREG(info.st_mode))
        return mm_fail(err, MM_ERR_FORMAT, "%s is not a regular file", path);
    char block[MM_SEAL_BYTES], again[MM_SEAL_BYTES], text[MM_SEAL_BYTES + 1];
    if (!read_block(*fd, block))
        return mm_fail(err, MM_ERR_FORMAT, "%s is too short (%jd bytes) to be a file of maskmill's; make it again",
                       path, (intmax_t)info.st_size);
    memcpy(text, block, sizeof block);
    text[sizeof block] = '\0';
    if (memcmp(block, hdf5_signature, sizeof hdf5_signature) == 0)
        return mm_fail(err, MM_ERR_FORMAT, "%s is an HDF5 file, but not one that maskmill wrote", path);
    int format = 0;
    seal->head = seal->head_digest = 0;
    const int fields = sscanf(text, "maskmill %15[a-z]\nformat %d\nbytes %" SCNu64 "\nxxh3 %" SCNx64
                              "\nhead %" SCNu64 " %" SCNx64, seal->kind, &format, &seal->bytes, &seal->digest,
                              &seal->head, &seal->head_digest);
    if (fields != 4 && (fields != 6 || seal->head <= MM_SEAL_BYTES || seal->head > seal->bytes))
        return mm_fail(err, MM_ERR_FORMAT, "%s is not a file of maskmill's, or its first bytes are damaged", path);
    if (format != MM_FORMAT_VERSION)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "%s has format %d, this maskmill reads format %d", path, format,
                       MM_FORMAT_VERSION);
    block_of(seal, again);
    if (memcmp(block, again, sizeof block) != 0)
        return mm_fail(err, MM_ERR_FORMAT, "the first bytes of %s are damaged; make it again or fetch it again", path);
    if ((uint64_t)info.st_size != seal->bytes)
        return mm_fail(err, MM_ERR_FORMAT,
                       "%s has %jd bytes but was written with %" PRIu64 "; make it again or fetch it again", path,
                       (intmax_t)info.st_size, seal->bytes);
    return MM_OK;
}

/* Bytes MM_SEAL_BYTES .. end - 1 have this digest. */
static mm_status check_content(const char *path, int fd, uint64_t end, uint64_t digest, mm_error *err)
{
    const size_t room = 1u << 20;
    uint8_t *buffer = malloc(room);
    XXH3_state_t *state = XXH3_createState();
    mm_status status = MM_OK;
    if (!buffer || !state || XXH3_64bits_reset(state) != XXH_OK)
        status = mm_fail_memory(err, "reading a file");
    off_t at = MM_SEAL_BYTES;
    while (status == MM_OK && (uint64_t)at < end) {
        const uint64_t left = end - (uint64_t)at;
        const ssize_t got = pread(fd, buffer, left < room ? (size_t)left : room, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = mm_fail_errno(err, "cannot read %s at byte %jd", path, (intmax_t)at);
        if (got <= 0)
            break;
        if (XXH3_64bits_update(state, buffer, (size_t)got) != XXH_OK)
            status = mm_fail(err, MM_ERR_INTERNAL, "xxHash refused to go on with %s", path);
        at += got;
    }
    if (status == MM_OK && XXH3_64bits_digest(state) != digest)
        status =
            mm_fail(err, MM_ERR_FORMAT,
                    "%s is damaged: its bytes are not those that were written; make it again or fetch it again", path);
    (void)XXH3_freeState(state);
    free(buffer);
    return status;
}

mm_status mm_seal_read(const char *path, mm_seal *seal, mm_error *err)
{
    int fd = -1;
    const mm_status status = open_sealed(path, &fd, seal, err);
    if (fd >= 0)
        (void)close(fd); /* only read from */
    return status;
}

mm_status mm_seal_check(const char *path, mm_seal *seal, mm_error *err)
{
    int fd = -1;
    mm_status status = open_sealed(path, &fd, seal, err);
    if (status == MM_OK)
        status = check_content(path, fd, seal->bytes, seal->digest, err);
    if (fd >= 0)
        (void)close(fd); /* only read from */
    return status;
}

mm_status mm_seal_check_head(const char *path, mm_seal *seal, mm_error *err)
{
    int fd = -1;
    mm_status status = open_sealed(path, &fd, seal, err);
    if (status == MM_OK && seal->head)
        status = check_content(path, fd, seal->head, seal->head_digest, err);
    else if (status == MM_OK)
        status = check_content(path, fd, seal->bytes, seal->digest, err);
    if (fd >= 0)
        (void)close(fd); /* only read from */
    return status;
}
