/* Embeddings that are kept: what an encoder that does not change makes of images that do not change, so that training a
 * detector or a decoder, or a page where people click, encodes each image once.
 *
 * A folder holds, for each encoder (mm_model_encoder_sha256), a folder of parts: FOLDER/ENCODER/e_DIGEST.h5, ENCODER
 * and DIGEST of 16 hex digits. A part is a sealed HDF5 file that comes into its place in one step and never changes:
 *   key u64[n,2] (XXH3-128 of the image file's bytes), variant u32[n], size u32[n,2] (width, height in pixels),
 *   name vlen-utf8[n] (for people), embedding u32[n, S*S*D/2] ([S][S][D] in bf16, two in a number, low half
 *   first)
 *   attributes: format_version, encoder_sha256, channels u64 (D), side u64 (S)
 * Ranks write parts of their own; what one has written the others see after mm_embeddings_refresh.
 *
 * Like all that touches HDF5, this belongs to one thread. */
#ifndef MASKMILL_EMBEDDINGS_H
#define MASKMILL_EMBEDDINGS_H

#include "maskmill/model.h"

typedef struct mm_embeddings mm_embeddings;

/* How an image was brought before the encoder: bits of a key's variant. */
enum {
    MM_EMBEDDING_FLIPPED = 1,  /* left and right exchanged */
    MM_EMBEDDING_UNTURNED = 2, /* the EXIF orientation was ignored */
};

typedef struct mm_embedding_key {
    uint64_t hash[2];
    uint32_t variant;
} mm_embedding_key;

/* The key of an image file by its bytes. */
mm_embedding_key mm_embeddings_key(const void *bytes, size_t size, uint32_t variant);

/* Open the folder (made if it is not there) for the model's encoder. MM_ERR_FORMAT names a part that is damaged.
 * `model` must outlive it. */
MM_RESULT_USED mm_status mm_embeddings_open(const char *folder, const mm_model *model, mm_embeddings **embeddings,
                                            mm_error *err);
/* NULL is fine. What was not flushed is lost. */
void mm_embeddings_close(mm_embeddings *embeddings);

size_t mm_embeddings_count(const mm_embeddings *embeddings);
/* Whether it is there, on the disk; *index finds it until the next refresh or flush. */
bool mm_embeddings_find(const mm_embeddings *embeddings, const mm_embedding_key *key, size_t *index);
/* The size of the image that was encoded, in pixels. */
void mm_embeddings_size(const mm_embeddings *embeddings, size_t index, uint32_t *width, uint32_t *height);
/* That, and its embedding to cells[S][S][D]. */
MM_RESULT_USED mm_status mm_embeddings_read(mm_embeddings *embeddings, size_t index, uint32_t *width, uint32_t *height,
                                            float *cells, mm_error *err);

/* Keep what `embedding` holds. It is written when some tens of megabytes are together, or at the next flush. */
MM_RESULT_USED mm_status mm_embeddings_put(mm_embeddings *embeddings, const mm_embedding_key *key, const char *name,
                                           const mm_embedding *embedding, mm_error *err);
MM_RESULT_USED mm_status mm_embeddings_flush(mm_embeddings *embeddings, mm_error *err);
/* Take in the parts that have come since, of this process and of others. */
MM_RESULT_USED mm_status mm_embeddings_refresh(mm_embeddings *embeddings, mm_error *err);

#endif
