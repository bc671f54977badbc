/* Prompts as a user gives them: --point and --box make one object, --prompts a file of many. */
#ifndef MM_CLI_PROMPTS_H
#define MM_CLI_PROMPTS_H

#include "maskmill/model.h"

typedef struct mm_cli_prompts {
    mm_prompt *items; /* points and boxes lie in the arrays below */
    size_t count;
    mm_point *points;
    double (*boxes)[4];
} mm_cli_prompts;

/* X,Y or X,Y,LABEL; X0,Y0,X1,Y1. False if the text is neither. */
bool mm_cli_parse_point(const char *text, mm_point *point);
bool mm_cli_parse_box(const char *text, double box[4]);

/* One object. `box` may be NULL. The caller frees *prompts. */
MM_RESULT_USED mm_status mm_cli_prompts_from_options(const mm_point *points, size_t count, const double *box,
                                                     mm_cli_prompts *prompts, mm_error *err);
/* A JSON list of {"points": [[x, y], [x, y, label], ...], "box": [x0, y0, x1, y1]}, one an object; each has points, a
 * box, or both. From an untrusted file. The caller frees *prompts. */
MM_RESULT_USED mm_status mm_cli_prompts_read(const char *path, mm_cli_prompts *prompts, mm_error *err);
void mm_cli_prompts_free(mm_cli_prompts *prompts);

#endif
