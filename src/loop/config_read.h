/* Between the two files that read a loop's YAML. */
#ifndef MM_LOOP_CONFIG_READ_H
#define MM_LOOP_CONFIG_READ_H

#include "loop/config.h"
#include "loop/yaml.h"

typedef struct loop_reading {
    mm_yaml *yaml;
    mm_loop_config *config;
    const char *folder;              /* of the file; empty for the current one */
    mm_loop_round defaults;          /* what the sections say that rounds can change */
    mm_yaml_key model, head, rounds; /* found, to be looked at in the end; `node` is NULL if they are not there */
} loop_reading;

/* A section of the whole, or of one round. */
typedef struct loop_section {
    loop_reading *reading;
    mm_loop_round *round;
    bool top;
} loop_section;

/* The sections run, queue, decoder and detector; *taken is false for another key. */
MM_RESULT_USED mm_status mm_loop_take_shared(loop_section *section, const mm_yaml_key *key, bool *taken, mm_error *err);
mm_yaml_take mm_loop_take_run; /* of a loop_section */
MM_RESULT_USED mm_status mm_loop_take_rounds(loop_reading *reading, mm_error *err);

#endif
