/* One answer of a person about an image, as a line of an answers journal has it: a JSON object. docs/formats.md has the
 * keys. The same reader serves `annotate`, which goes on where it was, and `queue import`. */
#ifndef MM_JOURNAL_ANSWER_H
#define MM_JOURNAL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

enum { MM_ANSWER_ID = 32, MM_ANSWER_NAME = 47, MM_ANSWER_PERSON = 64 };

typedef enum mm_answer_kind {
    MM_ANSWER_ACCEPT = 0, /* a mask; in place of another if `mask` names one */
    MM_ANSWER_DELETE,     /* `mask` is no object */
    MM_ANSWER_DONE,       /* nothing more is to be drawn in this image */
    MM_ANSWER_SKIP,       /* it is to be left as it is */
    MM_ANSWER_KINDS
} mm_answer_kind;

/* Texts belong to the answer; freed with mm_answer_free. */
typedef struct mm_person_answer {
    mm_answer_kind kind;
    char id[MM_ANSWER_ID + 1]; /* 32 hex digits, made by the page; of an accepted mask also its name */
    uint64_t image;            /* number in the manifest */
    char mask[MM_ANSWER_NAME + 1]; /* "mm-17-c3", the id of an accepted mask, or empty */
    uint32_t height, width;    /* of the frame; for masks */
    uint8_t *counts;           /* [size]: COCO's compressed counts; for masks, else NULL */
    size_t size;
    char annotator[MM_ANSWER_PERSON + 1]; /* UTF-8 */
    double seconds;            /* spent; 0 unknown */
    uint32_t clicks;
    uint64_t unix_time;        /* seconds since 1970, by the server's clock */
} mm_person_answer;

const char *mm_answer_kind_name(mm_answer_kind kind); /* "accept", ... */
bool mm_answer_is_id(const char *text);               /* 32 digits and a to f */
bool mm_answer_is_name(const char *text);             /* 1 to 47 of a-z, 0-9 and '-' */
bool mm_answer_is_person(const char *text);           /* 1 to 64 bytes of UTF-8 without control characters */

/* From an untrusted line. Keys that are not known are left alone. MM_ERR_FORMAT says what is wrong; counts are checked
 * against the size. On failure there is nothing to free. */
MM_RESULT_USED mm_status mm_answer_parse(const char *text, size_t size, mm_person_answer *answer, mm_error *err);
/* The caller frees *text, which has no newline. */
MM_RESULT_USED mm_status mm_answer_print(const mm_person_answer *answer, char **text, mm_error *err);
void mm_answer_free(mm_person_answer *answer);

#endif
