/* What is to be annotated: the images of a corpus, or those of a dataset or a queue with the masks that people find in
 * them. Images are counted in the order in which people shall see them. Thread-safe. */
#ifndef MM_ANNOTATE_SOURCE_H
#define MM_ANNOTATE_SOURCE_H

#include "annotate/book.h"
#include "maskmill/embeddings.h"
#include "maskmill/engine.h"
#include "maskmill/mask.h"
#include "maskmill/shard.h"

typedef struct mm_source mm_source;

/* `path`: a corpus (folder, .tar, list, manifest), the folder of a dataset, or a queue. `config` is for a corpus; a
 * dataset knows its own. `moved`: where the photographs are now, or NULL. */
MM_RESULT_USED mm_status mm_source_open(const char *path, const char *moved, const mm_config *config,
                                        mm_source **source, mm_error *err);
void mm_source_close(mm_source *source);

uint64_t mm_source_count(const mm_source *source);
mm_book_head mm_source_head(const mm_source *source);
const mm_config *mm_source_config(const mm_source *source);
uint64_t mm_source_image_id(const mm_source *source, uint64_t index);
const char *mm_source_name(const mm_source *source, uint64_t index); /* as in the manifest */
bool mm_source_find(const mm_source *source, uint64_t image_id, uint64_t *index);

typedef struct mm_shown_item {
    char name[MM_ANSWER_NAME + 1]; /* "mm-17-c3" */
    bool hint;                     /* not taken for a mask unless somebody accepts it */
    uint8_t *counts;               /* [size] */
    size_t size;
} mm_shown_item;

typedef struct mm_sourced {
    mm_image frame; /* as the model sees it; masks are in it */
    mm_embedding_key key;
    mm_shown_item *items;
    size_t count;
} mm_sourced;

/* The caller frees *sourced with mm_sourced_free. */
MM_RESULT_USED mm_status mm_source_load(mm_source *source, uint64_t index, mm_sourced *sourced, mm_error *err);
void mm_sourced_free(mm_sourced *sourced);
/* Held around everything that calls HDF5, such as an embedding cache. */
void mm_source_lock(mm_source *source);
void mm_source_unlock(mm_source *source);

#endif
