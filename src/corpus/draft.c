/* Drafts: an HDF5 file made in memory, then sealed and put in its place in one step. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "corpus/h5.h"

/* The memory that HDF5's core driver asks for through the callbacks below. It lets go of it when the file is closed,
 * after its last flush; that is when the bytes are complete, so that is when we keep them. */
struct mm_h5_image {
    uint8_t *bytes;
    size_t room;
    int users; /* HDF5 copies and frees its handle on us with its property lists */
};

static void *image_malloc(size_t size, H5FD_file_image_op_t operation, void *context)
{
    (void)operation;
    struct mm_h5_image *image = context;
    uint8_t *bytes = calloc(size ? size : 1, 1);
    if (bytes) {
        free(image->bytes);
        image->bytes = bytes;
        image->room = size;
    }
    return bytes;
}

static void *image_realloc(void *old, size_t size, H5FD_file_image_op_t operation, void *context)
{
    (void)operation;
    (void)old; /* the driver has only the one block, image->bytes */
    struct mm_h5_image *image = context;
    uint8_t *bytes = realloc(image->bytes, size ? size : 1);
    if (bytes) {
        if (size > image->room)
            memset(bytes + image->room, 0, size - image->room);
        image->bytes = bytes;
        image->room = size;
    }
    return bytes;
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t operation, void *context)
{
    (void)operation;
    (void)context;
    return memcpy(to, from, size);
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t operation, void *context)
{
    (void)bytes;
    (void)operation;
    (void)context;
    return 0;
}

static void image_release(struct mm_h5_image *image)
{
    if (--image->users > 0)
        return;
    free(image->bytes);
    free(image);
}

static void *context_copy(void *context)
{
    struct mm_h5_image *image = context;
    image->users++;
    return image;
}

static herr_t context_free(void *context)
{
    image_release(context);
    return 0;
}

static herr_t access_properties(hid_t list, struct mm_h5_image *image)
{
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_memcpy, image_realloc, image_free,
                                             context_copy, context_free, image};
    const size_t growth = 1u << 20;
    if (H5Pset_fapl_core(list, growth, false) < 0 || H5Pset_file_image_callbacks(list, &callbacks) < 0 ||
        H5Pset_libver_bounds(list, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0)
        return -1;
    return H5Pset_fclose_degree(list, H5F_CLOSE_STRONG);
}

mm_status mm_h5_draft_begin(mm_h5_draft *draft, mm_error *err)
{
    *draft = (mm_h5_draft){.file = H5I_INVALID_HID, .image = calloc(1, sizeof *draft->image)};
    if (!draft->image)
        return mm_fail_memory(err, "an HDF5 file");
    draft->image->users = 1;
    const hid_t creation = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
    if (creation >= 0 && access >= 0 && H5Pset_userblock(creation, MM_SEAL_BYTES) >= 0 &&
        H5Pset_obj_track_times(creation, false) >= 0 && access_properties(access, draft->image) >= 0)
        draft->file = H5Fcreate("maskmill-draft", H5F_ACC_TRUNC, creation, access);
    mm_status status = MM_OK;
    if (draft->file < 0)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "HDF5 cannot make a file in memory");
    if (creation >= 0)
        (void)H5Pclose(creation);
    if (access >= 0)
        (void)H5Pclose(access);
    if (status != MM_OK)
        mm_h5_draft_abandon(draft);
    return status;
}

void mm_h5_draft_abandon(mm_h5_draft *draft)
{
    if (draft->file >= 0)
        (void)H5Fclose(draft->file); /* nothing of it is wanted */
    if (draft->image)
        image_release(draft->image);
    *draft = (mm_h5_draft){.file = H5I_INVALID_HID};
}

/* The end of the file as the superblock (version 2 or 3, which our format bounds ask for) states it. */
static uint64_t end_of_file(const struct mm_h5_image *image)
{
    const size_t at = MM_SEAL_BYTES + 28; /* signature 8, versions and flags 4, base and extension addresses 16 */
    uint64_t end;
    if (image->room < at + sizeof end)
        return 0;
    memcpy(&end, image->bytes + at, sizeof end);
    return end > image->room ? 0 : end;
}

mm_status mm_h5_draft_commit(mm_h5_draft *draft, const char *kind, const char *path, mm_seal *seal, mm_error *err)
{
    mm_status status = MM_OK;
    const herr_t closed = H5Fclose(draft->file);
    draft->file = H5I_INVALID_HID;
    const uint64_t size = closed < 0 ? 0 : end_of_file(draft->image);
    if (size <= MM_SEAL_BYTES)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "HDF5 cannot finish %s", path);
    if (status == MM_OK) {
        mm_seal_stamp(kind, draft->image->bytes, size, seal);
        status = mm_file_commit(path, draft->image->bytes, (size_t)size, err);
    }
    mm_h5_draft_abandon(draft);
    return status;
}
