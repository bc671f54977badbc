/* What a function writes, as a string. */
#ifndef MM_TESTS_REPORT_TEXT_OF_H
#define MM_TESTS_REPORT_TEXT_OF_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct written {
    char *text;
    size_t size;
    FILE *out;
} written;

static inline FILE *begin_text(written *w)
{
    w->out = open_memstream(&w->text, &w->size);
    ck_assert_ptr_nonnull(w->out);
    return w->out;
}

/* The caller frees w->text. */
static inline const char *end_text(written *w)
{
    ck_assert_int_eq(fclose(w->out), 0);
    return w->text;
}

static inline size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    return count;
}

#endif
