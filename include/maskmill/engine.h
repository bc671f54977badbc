/* The run: a corpus in, a dataset out, on any number of MPI ranks; and the configuration that decides it. What a
 * run has made is never lost: killed at any moment, it goes on with `resume` (docs/run.md).
 *
 * The configuration is YAML; every key has the reference's name and default. Unknown keys and values out of range
 * are errors that name file, line and key. `--set section.key=value` changes one key after the file is read. */
#ifndef MASKMILL_ENGINE_H
#define MASKMILL_ENGINE_H

#include "maskmill/amg.h"
#include "maskmill/comm.h"

typedef enum mm_duplicate_policy {
    MM_DUPLICATES_KEEP = 0, /* not looked for */
    MM_DUPLICATES_FLAG,     /* found, and told in the manifest */
    MM_DUPLICATES_SKIP      /* the same, and no masks are made of them */
} mm_duplicate_policy;

typedef struct mm_config {
    mm_amg_params amg; /* section `amg`, but short_side stands in section `output` */
    struct {
        uint32_t duplicates;         /* mm_duplicate_policy; keep */
        uint32_t duplicate_distance; /* 3: of 64 bits, at most these differ between near-duplicates */
    } corpus;
    struct {
        uint32_t images_per_shard; /* 1000 */
    } output;
    struct {
        bool ignore_orientation;  /* image.orientation: apply | ignore */
        uint64_t max_pixels;      /* image.max_pixels, 268435456; larger images are set aside */
        uint64_t max_bytes;       /* image.max_bytes, 1 GiB; longer files are set aside */
    } image;
    struct {
        double sync_seconds; /* journal.sync_seconds, 5: how long a record may wait for the disk. Not in shards */
    } journal;
} mm_config;

mm_config mm_config_defaults(void);
/* `path` may be NULL (the reference's defaults); sets[] are "section.key=value". */
MM_RESULT_USED mm_status mm_config_load(const char *path, const char *const *sets, size_t set_count,
                                        mm_config *config, mm_error *err);
/* For a model: in between stand the thresholds that its file brings along, "maskmill.thresholds" in a safetensors file's
 * metadata, a JSON object with pred_iou_thresh, stability_score_thresh and stability_score_offset, each if it wants: they
 * take the place of the reference's defaults, and `config` (a path, a preset's name, or NULL) and sets[] that of both.
 * *own (may be NULL) tells whether there are any. MM_ERR_FORMAT for thresholds that are none. */
MM_RESULT_USED mm_status mm_config_load_for(const char *model_path, const char *config, const char *const *sets,
                                            size_t set_count, mm_config *loaded, bool *own, mm_error *err);
/* Where `-c` looks: an existing file is taken as it is; else a preset's name ("default", "sa1b", "fast") is looked up beside the program (../share/maskmill/configs) and in the source tree it was built from.
 * `path` takes up to `size` bytes; MM_ERR_USAGE if there is none. */
MM_RESULT_USED mm_status mm_config_locate(const char *name_or_path, char *path, size_t size, mm_error *err);
/* From the text that mm_config_to_yaml gave; messages call it "config". */
MM_RESULT_USED mm_status mm_config_from_yaml(const char *yaml, mm_config *config, mm_error *err);
/* Every key that decides the masks, with its value, in a fixed order: what a shard's `config` attribute holds. The
 * caller frees *yaml. */
MM_RESULT_USED mm_status mm_config_to_yaml(const mm_config *config, char **yaml, mm_error *err);

typedef struct mm_run_options {
    const char *const *sources; /* CORPUS... */
    size_t source_count;
    const char *out;
    const char *config_path;    /* -c, or NULL */
    const char *const *sets;    /* --set */
    size_t set_count;
    const char *model;          /* -m: a path or a name; NULL for "default" */
    const char *model_config;   /* --model-config, or NULL */
    mm_kernels kernels;
    bool only_shards;           /* make shards first_shard .. last_shard only, both included; `out` holds a part then, to */
    uint64_t first_shard, last_shard; /* be joined with others by mm_engine_merge */
    bool overwrite;             /* remove an earlier dataset in `out` first */
    bool resume;                /* go on with what is in `out`; from the start if there is nothing */
    const char *program;        /* what to execute for an image that may kill the process (mm_engine_suspect); NULL: none,
                                   and such images are made like all others */
    bool quiet;                 /* no progress */
    int argc;                   /* for run.json: the command as it was typed */
    char *const *argv;
} mm_run_options;

typedef struct mm_run_summary {
    uint64_t images_done, images_set_aside, images_skipped, masks, shards;
    double seconds;
    bool was_done; /* `resume`: the dataset was complete already, nothing was done */
    uint64_t nothing_from; /* if not 0: first_shard is beyond the corpus's shards, of which there are so many; nothing was
                              done or written */
} mm_run_summary;

/* Before MPI is started, if signals are to stop a run in an orderly way: holds SIGUSR1, SIGTERM and SIGINT back in this
 * thread and those that it starts. mm_engine_run then receives them: on SIGUSR1 the images in hand are finished; on the
 * others journals are flushed at once, and the process may be ended with status 3 by mm_engine_run itself. */
MM_RESULT_USED mm_status mm_engine_hold_signals(mm_error *err);

/* Collective: every rank calls it with equal options. All ranks return the same status and text; rank 0 alone should
 * print it, and the summary is complete on rank 0 only. Nothing is written before sources, config, model and output
 * folder have been found good. */
MM_RESULT_USED mm_status mm_engine_run(mm_comm *comm, const mm_run_options *options, mm_run_summary *summary,
                                       mm_error *err);

/* What a process does that mm_engine_run starts, as `program suspect ARGUMENTS...`, for one image that was in hand
 * when an earlier attempt died: make it, without MPI, and send the record to the parent. `arguments` are those
 * behind "suspect". A failure was told to the parent already. */
MM_RESULT_USED mm_status mm_engine_suspect(int count, char *const *arguments, mm_error *err);

/* Joining the parts that runs over ranges of shards have left. */
typedef struct mm_merge_options {
    const char *const *parts; /* their folders, in any order; none: out/part-* */
    size_t part_count;
    const char *out;          /* the whole dataset's folder: not there, empty, or of an earlier merge of these parts */
    bool mixed_kernels;       /* take parts that were computed with different kernels */
    int argc;                 /* for run.json */
    char *const *argv;
} mm_merge_options;

/* The files of `out` are those that one run over everything would have written. Shards are hard-linked, or copied where
 * that cannot be, so the parts stay as they are and a merge that was interrupted is simply done again. MM_ERR_USAGE if
 * parts are missing, unfinished, overlap, or were made with another configuration, model, manifest or kernels; nothing
 * is written then. */
MM_RESULT_USED mm_status mm_engine_merge(const mm_merge_options *options, mm_run_summary *summary, mm_error *err);

#endif
