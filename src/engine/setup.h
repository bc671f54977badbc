/* Before any work: everything a run depends on is found, checked, and made the same on all ranks. */
#ifndef MM_ENGINE_SETUP_H
#define MM_ENGINE_SETUP_H

#include <limits.h>

#include "engine/base.h"
#include "engine/begun.h"
#include "engine/lock.h"
#include "maskmill/corpus.h"
#include "maskmill/engine.h"

typedef struct mm_setup {
    mm_config config;
    char *config_yaml;
    mm_manifest *manifest;
    mm_scan_report scan; /* rank 0 */
    mm_kernels kernels;  /* the same on all ranks */
    char model_path[PATH_MAX];
    char model_config[PATH_MAX]; /* --model-config, or empty */
    char model_sha256[65];
    mm_model *model;
    mm_embedding *embedding;
    char detector_path[PATH_MAX]; /* empty where none is wanted, and so are the next three */
    char detector_sha256[65];
    mm_detector *detector;
    mm_detect_params detect;
    char base_path[PATH_MAX]; /* the dataset whose masks are kept, or empty */
    mm_dataset *base;
    uint64_t base_digest;     /* rank 0 */
    uint64_t first, end; /* the images that OUT is to hold: first begins a shard, and end ends one, or is the last */
    bool resumes;        /* an earlier attempt has left something in OUT */
    bool was_done;       /* the dataset in OUT is complete: nothing else but `finished` is filled */
    mm_run_summary finished;
    uint8_t run[16];     /* mm_begun_digest */
    mm_begun begun;      /* rank 0 */
    mm_lock *lock;       /* rank 0 */
} mm_setup;

/* Collective. Rank 0 checks config, output folder and model; all ranks list the corpus, open the model with the kernels
 * that all have, and look for near-duplicates if they are asked to; then, with nothing left that could be wrong, rank 0
 * takes OUT's lock, prepares it and writes OUT/manifest.h5, and the ranks of a host share it in memory. To resume, the
 * manifest in OUT is taken, and config, model, kernels, sources and range must be those that OUT was begun with. The
 * caller closes *setup, also after a failure. */
MM_RESULT_USED mm_status mm_setup_open(mm_comm *comm, const mm_run_options *options, mm_setup *setup, mm_error *err);
void mm_setup_close(mm_setup *setup);

/* The detector and the dataset that the setup names, if any, with model, config and embedding known. */
MM_RESULT_USED mm_status mm_setup_open_further(mm_setup *setup, mm_error *err);

/* What all ranks can do: per choice the least of `count` resolved sets. Threads are each rank's own (of all[0]). */
mm_kernels mm_kernels_in_common(const mm_kernels *all, size_t count);

#endif
