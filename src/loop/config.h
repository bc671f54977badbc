/* What a loop is to do: the YAML file of `maskmill engine`. docs/engine.md lists the keys. */
#ifndef MM_LOOP_CONFIG_H
#define MM_LOOP_CONFIG_H

#include <limits.h>

#include "maskmill/engine.h"
#include "maskmill/queue.h"
#include "maskmill/train.h"

typedef enum mm_loop_stage { MM_LOOP_ASSISTED = 0, MM_LOOP_SEMI_AUTOMATIC, MM_LOOP_AUTOMATIC } mm_loop_stage;
const char *mm_loop_stage_name(uint32_t stage); /* "assisted", "semi-automatic", "automatic" */

typedef enum mm_loop_when { MM_LOOP_NEVER = 0, MM_LOOP_BEFORE, MM_LOOP_AFTER } mm_loop_when;
typedef enum mm_loop_learn { MM_LOOP_LEARN_ALL = 0, MM_LOOP_LEARN_ROUND } mm_loop_learn;

/* Texts of the configuration belong to it. */
typedef struct mm_loop_list {
    const char **items;
    size_t count;
} mm_loop_list;

typedef struct mm_loop_named {
    const char *name;
    mm_loop_list paths; /* a validation dataset has one */
} mm_loop_named;

typedef struct mm_loop_round {
    size_t line;               /* where it stands in the file */
    uint32_t stage;            /* mm_loop_stage */
    const char *corpus;        /* a name of the section corpora */
    const mm_loop_list *paths; /* what that is */
    bool train_decoder;
    uint32_t train_detector; /* mm_loop_when: before the round's run, after its answers */
    uint32_t learn_from;     /* mm_loop_learn: all rounds so far or this one; replay in any case */
    struct {
        const char *config; /* a path, a preset's name, or NULL */
        mm_loop_list set;   /* "section.key=value" */
    } run;
    struct {
        uint32_t images;   /* at most; 0: all */
        uint32_t batch;    /* 200 */
        uint32_t prefill;  /* mm_prefill_mode; of semi-automatic rounds */
        bool keep_automatic, skip_unchanged;
        double answered;   /* 1: share of the queue's images that must be answered before the round goes on */
    } queue;
    mm_train_decoder_options decoder;   /* sources, out, model and the like are filled in when it is trained */
    mm_train_detector_options detector;
} mm_loop_round;

typedef struct mm_loop_config {
    const char *model;  /* as it stands there */
    const char *model_config;
    const char *head;   /* the first detector's path; NULL: none, or the one beside the model */
    char model_path[PATH_MAX], head_path[PATH_MAX]; /* head_path: empty if there is no detector to begin with */
    mm_kernels kernels;
    mm_loop_list replay;
    mm_loop_named *corpora, *validation;
    size_t corpus_count, validation_count;
    struct {
        uint32_t clicks, masks, generate; /* 5, 64, 0; see mm_evaluate_options */
    } evaluate;
    mm_loop_round *rounds;
    size_t round_count;
    char **owned; /* every text above */
    size_t owned_count;
} mm_loop_config;

/* Read and check, paths included: relative ones are seen from the file's own folder. MM_ERR_USAGE with file, line and
 * key. The caller frees with mm_loop_config_free in every case. */
MM_RESULT_USED mm_status mm_loop_config_load(const char *path, mm_loop_config *config, mm_error *err);
void mm_loop_config_free(mm_loop_config *config);

/* --- for its reader --- */

/* A copy of `text` that the configuration owns; NULL without memory. */
const char *mm_loop_own(mm_loop_config *config, const char *text);
/* What no single key can say. `file` is for messages. */
MM_RESULT_USED mm_status mm_loop_config_check(const char *file, mm_loop_config *config, mm_error *err);
/* The round's configuration of its run, checked; `head` may be NULL. The strings of sets[] (at most
 * round->run.set.count + MM_LOOP_STAGE_SETS) live as long as the configuration and `head_set`. */
enum { MM_LOOP_STAGE_SETS = 8, MM_LOOP_HEAD_SET = PATH_MAX + 32 };
size_t mm_loop_run_sets(const mm_loop_round *round, const char *head, char head_set[MM_LOOP_HEAD_SET],
                        const char **sets);

#endif
