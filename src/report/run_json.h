/* run.json as the report shows it. */
#ifndef MM_REPORT_RUN_JSON_H
#define MM_REPORT_RUN_JSON_H

#include <jansson.h>

#include "maskmill/status.h"

/* From an untrusted file; *object is NULL if there is none. MM_ERR_FORMAT if it is no JSON object. The caller calls
 * json_decref. Values are got by the functions below, which take whatever is there. */
MM_RESULT_USED mm_status mm_run_json_read(const char *path, json_t **object, mm_error *err);

/* A string, or NULL; a number, or -1 if it is missing, negative or not finite. */
const char *mm_run_json_text(const json_t *object, const char *key);
double mm_run_json_number(const json_t *object, const char *key);

#endif
