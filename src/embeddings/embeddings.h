/* What the files of this module share. */
#ifndef MM_EMBEDDINGS_EMBEDDINGS_H
#define MM_EMBEDDINGS_EMBEDDINGS_H

#include "corpus/h5.h"
#include "maskmill/embeddings.h"

/* Rows that wait to become a part. */
typedef struct mm_embedding_rows {
    size_t count, room;
    uint64_t (*keys)[2];
    uint32_t *variants;
    uint32_t (*sizes)[2];
    char **names;
    uint32_t *values; /* [room][words] */
} mm_embedding_rows;

/* A part that is there. */
typedef struct mm_embedding_part {
    char *path;
    hid_t file, values; /* open once the first row was read; else H5I_INVALID_HID */
} mm_embedding_part;

typedef struct mm_embedding_place {
    mm_embedding_key key;
    uint32_t part, row, size[2];
} mm_embedding_place;

struct mm_embeddings {
    char *folder; /* FOLDER/ENCODER */
    char encoder[65];
    uint32_t channels, side;
    size_t words; /* u32 values of an embedding */
    mm_embedding_part *parts;
    size_t part_count;
    mm_embedding_place *places; /* [place_count], by key */
    size_t place_count;
    mm_embedding_rows waiting;
};

mm_h5_column mm_embeddings_column(const mm_embeddings *embeddings);

/* part.c: write what waits; *path (the caller frees it) is where. */
MM_RESULT_USED mm_status mm_embeddings_write_part(const mm_embeddings *embeddings, char **path, mm_error *err);
/* Check a part and append its rows to the places; it stays closed. */
MM_RESULT_USED mm_status mm_embeddings_read_part(mm_embeddings *embeddings, uint32_t part, mm_error *err);

#endif
