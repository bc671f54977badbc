/* Reading the golden files of tests/data/mask. */
#ifndef MM_TESTS_MASK_GOLDEN_H
#define MM_TESTS_MASK_GOLDEN_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maskmill/mask.h"

#define MAX_COUNTS 65536

static inline FILE *open_golden(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/mask/%s", MM_TEST_DATA, name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    return file;
}

static inline mm_rle rle_of_text(const char *counts, uint32_t height, uint32_t width)
{
    mm_rle rle;
    mm_error err = {0};
    ck_assert_msg(!mm_rle_from_counts((const uint8_t *)counts, strlen(counts), height, width, &rle, &err), "%s",
                  err.text);
    return rle;
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
