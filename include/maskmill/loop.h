/* The data engine's loop: rounds of a run, people's answers, a retrained model and its figures, as a configuration
 * says ([SAM] section 4; docs/engine.md). Everything of it lies in one folder:
 *   FOLDER/engine.json       what is done, which models there are, and what they reach
 *   FOLDER/embeddings/       of all trainings and measurements: the encoder stays as it is
 *   FOLDER/round-01/run/     the dataset that the round's model made
 *                   queue/, answers/, dataset/    of stages with people: images, what they answered, the version with it
 *                   detector.safetensors, model.safetensors    what was trained in the round
 * Each step comes into its place whole or goes on by itself, so a loop that was killed goes on with the step that it
 * was in. */
#ifndef MASKMILL_LOOP_H
#define MASKMILL_LOOP_H

#include <stdio.h>

#include "maskmill/comm.h"

typedef struct mm_loop_options {
    const char *config;  /* a YAML file */
    const char *out;     /* FOLDER */
    bool resume;         /* go on with what is in FOLDER; begin, if there is nothing */
    bool quiet;          /* no progress */
    const char *program; /* as in mm_run_options */
    int argc;            /* for the datasets' run.json */
    char *const *argv;
} mm_loop_options;

typedef struct mm_loop_summary {
    uint64_t set_aside; /* images, of all rounds */
    uint64_t refused;   /* answers */
} mm_loop_summary;

/* Collective, `comm` is not NULL: all ranks call it with equal options and return the same status and text; the summary
 * is complete on rank 0. MM_ERR_USAGE for a wrong configuration, with file, line and key, before any work; for another
 * one than a begun round was begun with; for a FOLDER that holds something else. MM_ERR_STOPPED where people are needed,
 * with a line that says what to do, and after a signal (mm_engine_hold_signals before MPI starts). */
MM_RESULT_USED mm_status mm_loop_run(mm_comm *comm, const mm_loop_options *options, mm_loop_summary *summary,
                                     mm_error *err);

/* A table of the rounds in FOLDER/engine.json, for people. */
MM_RESULT_USED mm_status mm_loop_print(const char *folder, FILE *out, mm_error *err);

#endif
