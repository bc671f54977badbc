/* Golden files of tests/data, and masks compared with the counts that stand in them. */
#ifndef MM_TESTS_GOLDEN_FILE_H
#define MM_TESTS_GOLDEN_FILE_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maskmill/mask.h"

#define MAX_COUNTS 65536

/* `name` counts from tests/data. */
static inline FILE *open_golden(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", MM_TEST_DATA, name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    return file;
}

static inline void assert_counts_are(const mm_rle *rle, const char *expected)
{
    uint8_t *counts;
    size_t size;
    ck_assert_int_eq(mm_rle_to_counts(rle, &counts, &size, NULL), MM_OK);
    ck_assert_uint_eq(size, strlen(expected));
    ck_assert_mem_eq(counts, expected, size);
    free(counts);
}

#endif
