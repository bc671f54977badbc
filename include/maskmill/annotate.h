/* The assisted-manual stage ([SAM] section 4): people click on objects in a page of their browser, the model answers at
 * once from embeddings, brush and eraser make the rest exact. Every accepted mask is on the disk, in an answers
 * journal, before the page says so. docs/annotate.md has the page and the server's interface, docs/formats.md the
 * journal; `queue import` reads it.
 *
 * SOURCE below is a corpus (a folder, a .tar, a list, a manifest), the folder of a dataset, or a queue. */
#ifndef MASKMILL_ANNOTATE_H
#define MASKMILL_ANNOTATE_H

#include <stdio.h>

#include "maskmill/comm.h"
#include "maskmill/model.h"

typedef struct mm_annotate_source {
    const char *path;      /* SOURCE */
    const char *corpus;    /* where the photographs of a dataset or queue are now, or NULL */
    const char *answers;   /* the journal; NULL: answers.mma, in a queue's own folder or else in the current one */
    const char *model;     /* a path or a name; NULL for "default" */
    const char *model_config;
    const char *config;    /* -c: for a corpus, how its images are read and shown */
    const char *const *sets;
    size_t set_count;
} mm_annotate_source;

typedef struct mm_annotate_options {
    mm_annotate_source source;
    mm_kernels kernels;
    const char *embeddings; /* folder of an embedding cache, or NULL */
    const char *address;    /* to bind; NULL: 127.0.0.1 */
    uint16_t port;          /* 0: the system chooses */
    const char *origin;     /* of a proxy in front, "https://masks.example.org"; or NULL */
    uint32_t workers;       /* 0: one a core, at least 2 */
    uint32_t images;        /* on hand at once; 0: 32 */
    double lease_seconds;   /* 0: 120 */
    double rate;            /* requests a second of one page; below 0: any number; 0: 40 */
    bool quiet;
} mm_annotate_options;

/* Serve until SIGINT, SIGTERM or SIGUSR1 (with which Slurm may warn). The URL, with its token, goes to `out`. Call it
 * before other threads are started; those that libraries start by themselves do not matter. */
MM_RESULT_USED mm_status mm_annotate(const mm_annotate_options *options, FILE *out, mm_error *err);

typedef struct mm_annotate_counts {
    uint64_t images, masks;
} mm_annotate_counts;

/* The answers so far as COCO's JSON, also while a server writes to the journal: images that were answered with the
 * masks that stand; what was shown and left alone has its name in attributes.maskmill. */
MM_RESULT_USED mm_status mm_annotate_export(const mm_annotate_source *source, const char *path,
                                            mm_annotate_counts *counts, mm_error *err);

typedef struct mm_embed_options {
    mm_annotate_source source; /* `answers` is not used */
    mm_kernels kernels;
    const char *out;           /* folder of the embedding cache */
    bool quiet;
} mm_embed_options;

typedef struct mm_embed_counts {
    uint64_t images, made, there, failed; /* `there`: before */
    double seconds;
} mm_embed_counts;

/* Put the embedding of every image that has none yet into the cache. Collective if `comm` is not NULL: ranks share the
 * images. What was made before a failure or a kill stays. Results on rank 0. */
MM_RESULT_USED mm_status mm_embed(mm_comm *comm, const mm_embed_options *options, mm_embed_counts *counts,
                                  mm_error *err);

#endif
