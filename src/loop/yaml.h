/* A YAML document whose mistakes have a line: mappings, lists and values of a configuration. */
#ifndef MM_LOOP_YAML_H
#define MM_LOOP_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "maskmill/status.h"

typedef struct mm_yaml {
    const char *file; /* for messages */
    yaml_document_t document;
    bool loaded;
} mm_yaml;

/* One document of at most 1 MiB; *root is NULL if there is nothing in it. mm_yaml_close in every case. */
MM_RESULT_USED mm_status mm_yaml_open(const char *path, mm_yaml *yaml, yaml_node_t **root, mm_error *err);
void mm_yaml_close(mm_yaml *yaml);

/* "FILE:LINE: ..." with the line of `at`; returns MM_ERR_USAGE. */
mm_status mm_yaml_refuse(const mm_yaml *yaml, const yaml_node_t *at, mm_error *err, const char *format, ...)
    MM_PRINTF(4, 5);
/* The same in front of what `err` holds already. */
mm_status mm_yaml_locate(const mm_yaml *yaml, const yaml_node_t *at, mm_error *err);

/* A plain value as text, NULL for anything else (a list, a section, a text with a zero byte). */
const char *mm_yaml_text(const yaml_node_t *node);
/* An empty value, as of a section whose keys are all commented out. */
bool mm_yaml_is_empty(const yaml_node_t *node);

/* One key of a section; `where` is the section's name with a dot behind it, or "". */
typedef struct mm_yaml_key {
    const mm_yaml *yaml;
    const char *where, *name;
    yaml_node_t *node, *value; /* messages name the line of `node` */
} mm_yaml_key;
typedef mm_status mm_yaml_take(void *user, const mm_yaml_key *key, mm_error *err);

/* Each key of a section once, in the file's order; an empty section has none. */
MM_RESULT_USED mm_status mm_yaml_each(mm_yaml *yaml, yaml_node_t *section, const char *where, mm_yaml_take *take,
                                      void *user, mm_error *err);
/* The items of a list; a single value counts as a list of one. *count of them; item i by mm_yaml_item. */
size_t mm_yaml_items(const yaml_node_t *list);
yaml_node_t *mm_yaml_item(mm_yaml *yaml, yaml_node_t *list, size_t i);

/* "FILE:LINE: WHERE.NAME ..." for a key. */
mm_status mm_yaml_refuse_key(const mm_yaml_key *key, mm_error *err, const char *format, ...) MM_PRINTF(3, 4);
/* Values of their kinds; each says what is permitted. */
MM_RESULT_USED mm_status mm_yaml_number(const mm_yaml_key *key, double least, double most, bool whole, double *number,
                                        mm_error *err);
MM_RESULT_USED mm_status mm_yaml_u32(const mm_yaml_key *key, uint32_t least, uint32_t most, uint32_t *number,
                                     mm_error *err);
MM_RESULT_USED mm_status mm_yaml_switch(const mm_yaml_key *key, bool *on, mm_error *err);
/* One of words[count]; *choice is its place. */
MM_RESULT_USED mm_status mm_yaml_choice(const mm_yaml_key *key, const char *const *words, size_t count,
                                        uint32_t *choice, mm_error *err);

#endif
