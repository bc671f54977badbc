/* The manifest in memory: one blob of names and a column per number, so that 11 million rows stay near 1 GB. */
#ifndef MM_CORPUS_MANIFEST_H
#define MM_CORPUS_MANIFEST_H

#include "corpus/buffer.h"
#include "maskmill/corpus.h"

struct mm_manifest {
    char **roots;
    size_t root_count;
    char *text; /* names end to end, each terminated */
    size_t text_used, text_room;
    size_t count, room;
    uint64_t *name; /* where row i's name starts in text */
    uint64_t *offset, *length, *phash;
    uint32_t *width, *height;
    uint64_t *duplicate_of; /* NULL where groups were not looked for */
    uint64_t duplicate_distance;
    void *mapping; /* where text and columns lie, when they are shared with other ranks: read-only, not ours to free */
    size_t mapping_size;
};

MM_RESULT_USED mm_status mm_manifest_new(mm_manifest **manifest, mm_error *err);
/* One that is there already is not added again. */
MM_RESULT_USED mm_status mm_manifest_add_root(mm_manifest *manifest, const char *root, mm_error *err);
/* Adds a row; row->image_id is not used, row->path is copied. */
MM_RESULT_USED mm_status mm_manifest_add(mm_manifest *manifest, const mm_manifest_entry *row, mm_error *err);
/* Sort by (path, offset), bytewise, and drop rows that are there already; *duplicates counts those. Groups of
 * near-duplicates are forgotten, since ids change. */
MM_RESULT_USED mm_status mm_manifest_sort(mm_manifest *manifest, uint64_t *duplicates, mm_error *err);
/* Where a row's path is on this machine: itself if absolute, else under the only root. The caller frees *full. */
MM_RESULT_USED mm_status mm_manifest_locate(const mm_manifest *manifest, const char *path, char **full, mm_error *err);

/* The bytes of a file, or of `length` bytes at `offset` (not 0) of the archive that `path` goes through. */
MM_RESULT_USED mm_status mm_corpus_read_at(char *path, uint64_t offset, uint64_t length, uint64_t max_bytes,
                                           uint8_t **bytes, size_t *size, mm_error *err);

#endif
