/* Reading the golden files of tests/data/mask. */
#ifndef MM_TESTS_MASK_GOLDEN_H
#define MM_TESTS_MASK_GOLDEN_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_file.h"

static inline mm_rle rle_of_text(const char *counts, uint32_t height, uint32_t width)
{
    mm_rle rle;
    mm_error err = {0};
    ck_assert_msg(!mm_rle_from_counts((const uint8_t *)counts, strlen(counts), height, width, &rle, &err), "%s",
                  err.text);
    return rle;
}

#endif
