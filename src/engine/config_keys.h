/* The keys of the configuration as a table: where each value lives, its type and its permitted range. Reading a file,
 * --set, and writing all go through it, so a key is one row in config_keys.c and nothing else. */
#ifndef MM_ENGINE_CONFIG_KEYS_H
#define MM_ENGINE_CONFIG_KEYS_H

#include <stdio.h>

#include "maskmill/engine.h"

size_t mm_config_key_count(void);
const char *mm_config_key_section(size_t key);
const char *mm_config_key_name(size_t key);
/* Whether the dataset depends on it. What only says how a run goes is not written into shards. */
bool mm_config_key_decides(size_t key);
bool mm_config_has_section(const char *section);
/* The index of the key, or mm_config_key_count() if there is none. */
size_t mm_config_key_find(const char *section, const char *name);

/* Parse `text` and store it; MM_ERR_USAGE names the key, the text and what is permitted. */
MM_RESULT_USED mm_status mm_config_key_set(mm_config *config, size_t key, const char *text, mm_error *err);
/* The value as text that mm_config_key_set reads back as the same bits. */
void mm_config_key_get(const mm_config *config, size_t key, char text[40]);

/* What no single key can say: values that exclude each other. */
MM_RESULT_USED mm_status mm_config_check(const mm_config *config, mm_error *err);

/* The thresholds that the model's file brings along, if any, into the config. */
MM_RESULT_USED mm_status mm_config_take_thresholds(const char *model_path, mm_config *config, bool *found,
                                                   mm_error *err);

/* Read YAML bytes into the config; `file` is for messages only. */
MM_RESULT_USED mm_status mm_config_parse_yaml(const char *file, const unsigned char *bytes, size_t size,
                                              mm_config *config, mm_error *err);

#endif
