/* Between the files of the loop. */
#ifndef MM_LOOP_LOOP_H
#define MM_LOOP_LOOP_H

#include <jansson.h>

#include "engine/lock.h"
#include "loop/config.h"
#include "maskmill/loop.h"

typedef struct mm_loop {
    mm_comm *comm;
    const mm_loop_options *options;
    mm_loop_config config;
    bool first;     /* rank 0, which alone has what follows */
    json_t *state;  /* engine.json */
    mm_lock *lock;  /* of FOLDER */
    mm_loop_summary *summary;
} mm_loop;

/* --- places (places.c); rounds are counted from 0 here, from 1 in names --- */

/* FOLDER/round-01/NAME, or the round's folder for NULL. */
MM_RESULT_USED mm_status mm_loop_place(const mm_loop *loop, size_t k, const char *name, char path[PATH_MAX],
                                       mm_error *err);
/* The model that round k begins with; `after`: that it ends with. */
MM_RESULT_USED mm_status mm_loop_model(const mm_loop *loop, size_t k, bool after, char path[PATH_MAX], mm_error *err);
/* What its shape needs, if it is the model that all began with: those that were trained say it themselves. */
const char *mm_loop_model_config(const mm_loop *loop, const char *model);
/* The detector of the round's run, or the one that there is `after` the round; an empty path if there is none. */
MM_RESULT_USED mm_status mm_loop_head(const mm_loop *loop, size_t k, bool after, char path[PATH_MAX], mm_error *err);
/* The round's dataset in the end. */
MM_RESULT_USED mm_status mm_loop_version(const mm_loop *loop, size_t k, char path[PATH_MAX], mm_error *err);
bool mm_loop_has_people(const mm_loop *loop, size_t k);
/* What rounds `from` to `to` - 1 made, and replay. The caller frees with mm_loop_sources_free. */
typedef struct mm_loop_sources {
    char **items;
    size_t count;
} mm_loop_sources;
MM_RESULT_USED mm_status mm_loop_sources_of(const mm_loop *loop, size_t from, size_t to, mm_loop_sources *sources,
                                            mm_error *err);
void mm_loop_sources_free(mm_loop_sources *sources);

/* --- engine.json (state.c); rank 0 has it --- */

/* Collective. What is there already, or a new one; MM_ERR_USAGE if the configuration is not the one that it was begun
 * with. */
MM_RESULT_USED mm_status mm_loop_state_open(mm_loop *loop, mm_error *err);
/* Collective: whether a step was done, in round k, or before all rounds (MM_LOOP_BASELINE). */
#define MM_LOOP_BASELINE SIZE_MAX
MM_RESULT_USED mm_status mm_loop_is_done(mm_loop *loop, size_t k, const char *step, bool *done, mm_error *err);
/* Collective: it is. `fields` of rank 0 go into the round's object; they are taken, NULL there is MM_ERR_NOMEM. */
MM_RESULT_USED mm_status mm_loop_finish(mm_loop *loop, size_t k, const char *step, json_t *fields, mm_error *err);
/* The same, where making the fields may have failed for a reason other than memory, which is in `why` of rank 0 then. */
MM_RESULT_USED mm_status mm_loop_finish_if(mm_loop *loop, size_t k, const char *step, json_t *fields,
                                           const mm_error *why, mm_error *err);
/* Rank 0: set a round's status, and write. */
MM_RESULT_USED mm_status mm_loop_set_status(mm_loop *loop, size_t k, const char *status_text, mm_error *err);
/* Collective: the round has its object, with the settings it was begun with. */
MM_RESULT_USED mm_status mm_loop_begin_round(mm_loop *loop, size_t k, mm_error *err);

/* The round's settings, as far as they decide what comes out (settings.c); NULL without memory. */
json_t *mm_loop_settings(const mm_loop *loop, size_t k);
/* The name of the first that is another, or NULL; belongs to one of them. */
const char *mm_loop_settings_differ(const json_t *then, const json_t *now);

/* --- steps: collective, each of them does nothing if it is done --- */

MM_RESULT_USED mm_status mm_loop_step_run(mm_loop *loop, size_t k, mm_error *err);
MM_RESULT_USED mm_status mm_loop_step_queue(mm_loop *loop, size_t k, mm_error *err);
MM_RESULT_USED mm_status mm_loop_step_answers(mm_loop *loop, size_t k, mm_error *err);
MM_RESULT_USED mm_status mm_loop_step_detector(mm_loop *loop, size_t k, mm_loop_when when, mm_error *err);
MM_RESULT_USED mm_status mm_loop_step_decoder(mm_loop *loop, size_t k, mm_error *err);
MM_RESULT_USED mm_status mm_loop_step_figures(mm_loop *loop, size_t k, mm_error *err);

/* Images and masks of a dataset, and what made them; NULL if it cannot be read, as `err` says, or without memory. */
json_t *mm_loop_counts(const char *folder, mm_error *err);
/* What steps say on stderr while they work. */
void mm_loop_tell(const mm_loop *loop, size_t k, const char *what);
/* Run `work` so that signals end the process at once with status 3: for steps that nothing can be lost of. */
typedef mm_status mm_loop_work(mm_loop *loop, size_t k, mm_error *err);
MM_RESULT_USED mm_status mm_loop_leaving(mm_loop *loop, size_t k, mm_loop_work *work, mm_error *err);
/* Collective: rank 0's `yes`, on all ranks. */
MM_RESULT_USED mm_status mm_loop_decide(mm_loop *loop, bool yes, bool *decided, mm_error *err);

#endif
