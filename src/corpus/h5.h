/* HDF5 for maskmill's own files (manifest, shard, dataset): what is written is sealed, what is read is checked.
 *
 * A file is made in memory (a draft) and written by us, because HDF5 1.10 crashes at close when a write of its own
 * fails, as it does on a full disk. Its first 512 bytes, HDF5's user block, hold the seal: kind, format, size and
 * XXH3 of all that follows. Opening reads the file once through and compares, so that the library never parses bytes
 * that were damaged on the way: its heap of variable-length strings carries no checksum of its own.
 *
 * Everything here prints nothing: a public function that calls HDF5 holds an mm_h5_silence while it does. */
#ifndef MM_CORPUS_H5_H
#define MM_CORPUS_H5_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "maskmill/status.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "digests are taken over little-endian columns in memory");

enum { MM_SEAL_BYTES = 512, MM_FORMAT_VERSION = 1 };

/* --- silence and errors ---------------------------------------------------------------------------------------- */

typedef struct mm_h5_silence {
    H5E_auto2_t report;
    void *context;
} mm_h5_silence;

/* Switch off HDF5's own printing of errors, and switch it back to what it was. */
mm_h5_silence mm_h5_silence_begin(void);
void mm_h5_silence_end(mm_h5_silence before);

/* mm_fail with ": " and what HDF5 said last. */
mm_status mm_h5_fail(mm_error *err, mm_status status, const char *format, ...) MM_PRINTF(3, 4);

/* --- the seal -------------------------------------------------------------------------------------------------- */

typedef struct mm_seal {
    char kind[16];   /* "manifest", "shard", "dataset" */
    uint64_t bytes;  /* of the whole file */
    uint64_t digest; /* XXH3-64 of everything after the user block */
    /* For a file too large to be read at each opening: the byte up to which everything stands that opening needs, and
     * the XXH3-64 of what is between the user block and it. 0: there is no such part. */
    uint64_t head, head_digest;
} mm_seal;

/* Read the seal and compare it with the file's size; the content is not read. MM_ERR_FORMAT if there is none. */
MM_RESULT_USED mm_status mm_seal_read(const char *path, mm_seal *seal, mm_error *err);
/* The same, then the digest of the content: reads the whole file. */
MM_RESULT_USED mm_status mm_seal_check(const char *path, mm_seal *seal, mm_error *err);
/* The same, but where the seal has a head, only its digest. */
MM_RESULT_USED mm_status mm_seal_check_head(const char *path, mm_seal *seal, mm_error *err);
/* The user block that says `seal`. */
void mm_seal_block(const mm_seal *seal, uint8_t block[MM_SEAL_BYTES]);
/* Fill the user block of a file image of `bytes` bytes. */
void mm_seal_stamp(const char *kind, uint8_t *image, uint64_t bytes, mm_seal *seal);

/* --- drafts ---------------------------------------------------------------------------------------------------- */

typedef struct mm_h5_draft {
    hid_t file;
    struct mm_h5_image *image; /* what HDF5 has written so far */
} mm_h5_draft;

MM_RESULT_USED mm_status mm_h5_draft_begin(mm_h5_draft *draft, mm_error *err);
/* Close, seal, write to `path`.tmp, fsync, rename to `path`, fsync the folder. The draft is gone afterwards, whether it
 * worked or not, and no file is left behind on failure. `seal` may be NULL. */
MM_RESULT_USED mm_status mm_h5_draft_commit(mm_h5_draft *draft, const char *kind, const char *path, mm_seal *seal,
                                            mm_error *err);
void mm_h5_draft_abandon(mm_h5_draft *draft);

/* --- reading --------------------------------------------------------------------------------------------------- */

/* Open for reading after mm_seal_check; `kind` is what it must be. A manifest made by another tool has no seal:
 * `unsealed` allows that (HDF5's signature at byte 0). */
MM_RESULT_USED mm_status mm_h5_open(const char *path, const char *kind, bool unsealed, hid_t *file, mm_error *err);

/* --- columns --------------------------------------------------------------------------------------------------- */

typedef enum mm_h5_type { MM_H5_U8, MM_H5_U16, MM_H5_U32, MM_H5_U64, MM_H5_F32, MM_H5_STRING } mm_h5_type;

/* Bytes of one value in memory: 1, 2, 4, 8, 4, and a char * for strings. */
size_t mm_h5_type_size(mm_h5_type type);

/* A dataset [rows] (width 0) or [rows, width], chunked, shuffle + deflate, no times. */
typedef struct mm_h5_column {
    const char *name; /* from the file or group it is made in */
    mm_h5_type type;
    uint32_t width;
} mm_h5_column;

MM_RESULT_USED mm_status mm_h5_group_create(hid_t parent, const char *name, hid_t *group, mm_error *err);
/* The type as it rests in the file; the caller closes *type. */
MM_RESULT_USED mm_status mm_h5_file_type(mm_h5_type type, hid_t *id, mm_error *err);
MM_RESULT_USED mm_status mm_h5_column_create(hid_t parent, const mm_h5_column *column, uint64_t rows, hid_t *dataset,
                                             mm_error *err);
/* One row long, to be made longer with H5Dset_extent. */
MM_RESULT_USED mm_status mm_h5_column_create_growing(hid_t parent, const mm_h5_column *column, hid_t *dataset,
                                                     mm_error *err);
MM_RESULT_USED mm_status mm_h5_column_write(hid_t dataset, const mm_h5_column *column, uint64_t start, uint64_t count,
                                            const void *values, mm_error *err);
/* create + write + close. */
MM_RESULT_USED mm_status mm_h5_column_put(hid_t parent, const mm_h5_column *column, uint64_t rows, const void *values,
                                          mm_error *err);

/* Open a dataset and see that it is what `column` says; *rows is its length. */
MM_RESULT_USED mm_status mm_h5_column_open(hid_t parent, const mm_h5_column *column, hid_t *dataset, uint64_t *rows,
                                           mm_error *err);
/* Rows start .. start + count - 1, which the caller has found to be there. Strings come as char * that
 * mm_h5_strings_free gives back; an absent string is an error. */
MM_RESULT_USED mm_status mm_h5_column_read(hid_t dataset, const mm_h5_column *column, uint64_t start, uint64_t count,
                                           void *values, mm_error *err);
void mm_h5_strings_free(char **strings, size_t count);

/* --- attributes of the root ------------------------------------------------------------------------------------- */

MM_RESULT_USED mm_status mm_h5_put_u64(hid_t file, const char *name, uint64_t value, mm_error *err);
MM_RESULT_USED mm_status mm_h5_get_u64(hid_t file, const char *name, uint64_t *value, mm_error *err);
/* Lists of utf-8 strings; count 1 with `scalar` is one string. The getters' strings are given back with
 * mm_h5_strings_free and free (list) or free alone (text). */
MM_RESULT_USED mm_status mm_h5_put_text(hid_t file, const char *name, const char *text, mm_error *err);
MM_RESULT_USED mm_status mm_h5_get_text(hid_t file, const char *name, char **text, mm_error *err);
MM_RESULT_USED mm_status mm_h5_put_list(hid_t file, const char *name, const char *const *texts, size_t count,
                                        mm_error *err);
MM_RESULT_USED mm_status mm_h5_get_list(hid_t file, const char *name, size_t max_count, char ***texts, size_t *count,
                                        mm_error *err);

#endif
