/* OUT/begun.json: what a run was begun with. Shards depend on it and on nothing else, so a run may be resumed only with
 * the same. Like the shards, it holds no times and no machines. */
#ifndef MM_ENGINE_BEGUN_H
#define MM_ENGINE_BEGUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/tensor.h"

typedef struct mm_begun {
    char *config;        /* YAML, every key */
    char *model_name;
    char model_sha256[65];
    mm_kernels kernels;  /* resolved; threads do not matter */
    uint64_t images;     /* of the manifest ... */
    uint64_t manifest;   /* ... and its seal's digest */
    uint64_t first, end; /* the images that this folder is to hold */
    char detector_sha256[65]; /* empty: none */
    uint64_t dataset;         /* digest of the dataset whose masks these are; 0: none */
    char **sources;      /* [source_count]: CORPUS..., as absolute paths */
    size_t source_count;
} mm_begun;

void mm_begun_free(mm_begun *begun);
/* sources as they were typed, made absolute; those that are not there stay as they are. */
MM_RESULT_USED mm_status mm_begun_set_sources(mm_begun *begun, const char *const *sources, size_t count, mm_error *err);

MM_RESULT_USED mm_status mm_begun_write(const mm_begun *begun, const char *out, mm_error *err);
/* *there is false, and *begun empty, if there is no such file. The caller frees *begun. */
MM_RESULT_USED mm_status mm_begun_read(const char *out, bool *there, mm_begun *begun, mm_error *err);

/* Each is MM_ERR_USAGE with a line that names what differs: keys of the configuration with both values, the model,
 * kernels, corpus, range. What `now` does not know yet (NULL, AUTO, no sources) is not compared. */
MM_RESULT_USED mm_status mm_begun_compare(const mm_begun *then, const mm_begun *now, const char *out, mm_error *err);

/* Of all but the sources: what journals carry. */
MM_RESULT_USED mm_status mm_begun_digest(const mm_begun *begun, uint8_t digest[16], mm_error *err);

#endif
