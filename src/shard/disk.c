/* Drafts on disk: made through our driver, then read once through for the seal, and put in their place in one step. */
#include "shard/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "shard/disk_driver.h"

static mm_status create(mm_disk_draft *draft, mm_error *err)
{
    const hid_t driver = mm_disk_driver();
    const hid_t creation = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
    if (driver >= 0 && creation >= 0 && access >= 0 && H5Pset_userblock(creation, MM_SEAL_BYTES) >= 0 &&
        H5Pset_obj_track_times(creation, false) >= 0 && mm_disk_use(access, driver, draft->disk) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
        H5Pset_evict_on_close(access, true) >= 0) /* or the mappings of all virtual columns stay in memory */
        draft->file = H5Fcreate(draft->place.temporary, H5F_ACC_TRUNC, creation, access);
    const mm_status status =
        draft->file < 0 ? mm_h5_fail(err, MM_ERR_INTERNAL, "HDF5 cannot make %s", draft->place.path) : MM_OK;
    if (creation >= 0)
        (void)H5Pclose(creation);
    if (access >= 0)
        (void)H5Pclose(access);
    if (driver >= 0)
        (void)H5FDunregister(driver); /* an open file keeps it */
    return status;
}

/* Everything of the draft but what mm_file_finish does. */
static void let_go(mm_disk_draft *draft)
{
    if (draft->file >= 0)
        (void)H5Fclose(draft->file); /* a failure of ours is in `failed`; HDF5 has none of its own to tell */
    draft->file = H5I_INVALID_HID;
    if (draft->disk && draft->disk->fd >= 0)
        (void)close(draft->disk->fd); /* what was written is synced by mm_file_finish */
    free(draft->disk);
    draft->disk = NULL;
}

mm_status mm_disk_draft_begin(const char *path, mm_disk_draft *draft, mm_error *err)
{
    *draft = (mm_disk_draft){.file = H5I_INVALID_HID};
    mm_status status = mm_file_begin(path, &draft->place, err);
    if (status != MM_OK)
        return status;
    draft->disk = calloc(1, sizeof *draft->disk);
    if (!draft->disk) {
        status = mm_fail_memory(err, "an HDF5 file");
    } else {
        draft->disk->fd = open(draft->place.temporary, O_RDWR | O_CLOEXEC);
        if (draft->disk->fd < 0)
            status = mm_fail_errno(err, "cannot open %s", draft->place.temporary);
    }
    if (status == MM_OK)
        status = create(draft, err);
    if (status == MM_OK)
        return MM_OK;
    let_go(draft);
    return mm_file_finish(&draft->place, status, err);
}

mm_status mm_disk_draft_check(const mm_disk_draft *draft, mm_error *err)
{
    if (!draft->disk->failed)
        return MM_OK;
    errno = draft->disk->failed;
    return mm_fail_errno(err, "cannot write %s; make room or choose another folder", draft->place.path);
}

mm_status mm_disk_draft_end_head(mm_disk_draft *draft, mm_error *err)
{
    if (H5Fflush(draft->file, H5F_SCOPE_LOCAL) < 0)
        return mm_h5_fail(err, MM_ERR_INTERNAL, "HDF5 cannot write %s", draft->place.path);
    draft->disk->head = draft->disk->end;
    return mm_disk_draft_check(draft, err);
}

/* Add the bytes from `at` to `end`. */
static mm_status digest_bytes(const mm_disk_draft *draft, XXH3_state_t *state, uint8_t *block, size_t room, uint64_t at,
                              uint64_t end, mm_error *err)
{
    while (at < end) {
        const size_t wanted = end - at < room ? (size_t)(end - at) : room;
        const ssize_t got = pread(draft->disk->fd, block, wanted, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mm_fail_errno(err, "cannot read %s back", draft->place.path);
        if (got == 0)
            return mm_fail(err, MM_ERR_IO, "%s is shorter than what was written; another program changed it",
                           draft->place.path);
        if (XXH3_64bits_update(state, block, (size_t)got) != XXH_OK)
            return mm_fail(err, MM_ERR_INTERNAL, "xxHash refused to go on with %s", draft->place.path);
        at += (uint64_t)got;
    }
    return MM_OK;
}

static mm_status digest_content(const mm_disk_draft *draft, mm_seal *seal, mm_error *err)
{
    const size_t room = 1u << 20;
    uint8_t *block = malloc(room);
    XXH3_state_t *state = XXH3_createState();
    mm_status status = MM_OK;
    if (!block || !state || XXH3_64bits_reset(state) != XXH_OK)
        status = mm_fail_memory(err, "sealing a file");
    if (status == MM_OK && seal->head) {
        status = digest_bytes(draft, state, block, room, MM_SEAL_BYTES, seal->head, err);
        seal->head_digest = XXH3_64bits_digest(state);
    }
    if (status == MM_OK)
        status = digest_bytes(draft, state, block, room, seal->head ? seal->head : MM_SEAL_BYTES, seal->bytes, err);
    if (status == MM_OK)
        seal->digest = XXH3_64bits_digest(state);
    (void)XXH3_freeState(state);
    free(block);
    return status;
}

static mm_status put_seal(const mm_disk_draft *draft, const char *kind, mm_error *err)
{
    /* A small file's tail fits into what HDF5 had allocated for the head: then there is no such part. */
    const bool parted = draft->disk->head < draft->disk->end;
    mm_seal seal = {.bytes = draft->disk->end, .head = parted ? draft->disk->head : 0};
    uint8_t block[MM_SEAL_BYTES];
    (void)snprintf(seal.kind, sizeof seal.kind, "%s", kind);
    const mm_status status = digest_content(draft, &seal, err);
    if (status != MM_OK)
        return status;
    mm_seal_block(&seal, block);
    errno = 0;
    return pwrite(draft->disk->fd, block, sizeof block, 0) == (ssize_t)sizeof block
               ? MM_OK
               : mm_fail_errno(err, "cannot write %s; make room or choose another folder", draft->place.path);
}

mm_status mm_disk_draft_finish(mm_disk_draft *draft, const char *kind, mm_status so_far, mm_error *err)
{
    mm_status status = so_far;
    const herr_t closed = H5Fclose(draft->file);
    draft->file = H5I_INVALID_HID;
    if (status == MM_OK && closed < 0)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "HDF5 cannot finish %s", draft->place.path);
    if (status == MM_OK)
        status = mm_disk_draft_check(draft, err);
    if (status == MM_OK)
        status = put_seal(draft, kind, err);
    let_go(draft);
    return mm_file_finish(&draft->place, status, err);
}
