/* A queue in memory, without files or dataset, for reading answers to. */
#ifndef MM_TESTS_QUEUE_ANSWERS_FIXTURE_H
#define MM_TESTS_QUEUE_ANSWERS_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/scratch.h"
#include "queue/answers.h"
#include "queue/queue.h"

enum { FIXTURE_IMAGES = 3 };
static mm_queue_image fixture_images[FIXTURE_IMAGES] = {
    {.image_id = 17, .row = 17, .width = 20, .height = 10},
    {.image_id = 4, .row = 4, .width = 12, .height = 12},
    {.image_id = 9, .row = 9, .width = 7, .height = 30},
};
static uint32_t fixture_by_id[FIXTURE_IMAGES] = {1, 2, 0};
/* There is no dataset: images are known by our own names for them. */
static mm_queue fixture_queue = {
    .folder = (char *)"queue",
    .origin = {.batch_size = 2},
    .rows = {.items = fixture_images, .count = FIXTURE_IMAGES},
    .by_id = fixture_by_id,
    .dataset_path = (char *)"nowhere",
};

static inline void scratch_enter(void)
{
    scratch_make();
    ck_assert_int_eq(chdir(scratch), 0);
}

static inline void scratch_leave(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    scratch_remove();
}

typedef struct reading {
    mm_answers answers;
    mm_answer_faults faults;
    char *lines; /* what was told */
    size_t size;
    mm_status status;
    mm_error err;
    char path[512];
} reading;

/* Reads `text` as a file of answers. */
static inline void read_text(reading *r, const char *text)
{
    *r = (reading){0};
    (void)snprintf(r->path, sizeof r->path, "answers.json");
    FILE *file = fopen(r->path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    r->faults.out = open_memstream(&r->lines, &r->size);
    ck_assert_ptr_nonnull(r->faults.out);
    ck_assert_int_eq(mm_answers_new(&fixture_queue, &r->answers, &r->err), MM_OK);
    r->status = mm_answers_read(&fixture_queue, r->path, NULL, &r->answers, &r->faults, &r->err);
    ck_assert_int_eq(fclose(r->faults.out), 0);
}

static inline void forget(reading *r)
{
    mm_answers_free(&r->answers);
    free(r->lines);
}

static inline mm_rle mask_of(const mm_answer *answer, size_t i)
{
    const mm_queue_image image = mm_queue_at(&fixture_queue, answer->index);
    mm_rle rle;
    mm_error err = {0};
    ck_assert_msg(mm_rle_from_counts(answer->masks[i].counts, answer->masks[i].size, image.height, image.width, &rle,
                                     &err) == MM_OK,
                  "%s", err.text);
    return rle;
}

static inline uint64_t area_of(const mm_answer *answer, size_t i)
{
    mm_rle rle = mask_of(answer, i);
    const uint64_t area = mm_rle_area(&rle);
    mm_rle_free(&rle);
    return area;
}

#endif
