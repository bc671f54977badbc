#include "check_main.h"

#include <stdint.h>
#include <string.h>

#include "engine/scheduler.h"

static mm_scheduler *new_scheduler(uint64_t images, int ranks)
{
    mm_error err = {0};
    mm_scheduler *scheduler = NULL;
    ck_assert_int_eq(mm_scheduler_new(images, ranks, &scheduler, &err), MM_OK);
    return scheduler;
}

/* A small linear congruential generator, so that the order of ranks is mixed and the test repeatable. */
static uint32_t mixed(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

/* Ranks ask in mixed order, ahead or not, with mixed speeds: every id is handed out once, in rising order. */
START_TEST(every_image_is_handed_out_once)
{
    static const uint64_t totals[] = {1, 2, 3, 7, 100, 4097, 100000};
    static const int sizes[] = {1, 2, 5, 64};
    for (size_t t = 0; t < sizeof totals / sizeof totals[0]; t++)
        for (size_t r = 0; r < sizeof sizes / sizeof sizes[0]; r++) {
            mm_scheduler *scheduler = new_scheduler(totals[t], sizes[r]);
            uint32_t state = (uint32_t)_i + 7;
            uint64_t expected = 0;
            for (;;) {
                const int rank = (int)(mixed(&state) % (uint32_t)sizes[r]);
                const bool ahead = mixed(&state) % 2;
                mm_batch batch = {0, 0};
                const mm_turn turn = mm_scheduler_next(scheduler, rank, ahead, &batch);
                if (turn == MM_TURN_OVER)
                    break;
                if (turn == MM_TURN_LATER) {
                    ck_assert(ahead);
                    continue;
                }
                ck_assert_uint_ge(batch.count, 1);
                ck_assert_uint_eq(batch.first, expected);
                expected += batch.count;
                mm_scheduler_measured(scheduler, rank, batch.count, (double)(mixed(&state) % 1000) * 1e-3);
            }
            ck_assert_uint_eq(expected, totals[t]);
            mm_scheduler_free(scheduler);
        }
}
END_TEST

START_TEST(batches_are_small_until_something_is_measured)
{
    mm_scheduler *scheduler = new_scheduler(1000000, 4);
    mm_batch batch;
    for (int rank = 0; rank < 4; rank++) {
        ck_assert_int_eq(mm_scheduler_next(scheduler, rank, false, &batch), MM_TURN_BATCH);
        ck_assert_uint_eq(batch.count, 1);
    }
    /* 0.1 s an image: four seconds are 40 images, also for a rank of which nothing is known yet. */
    mm_scheduler_measured(scheduler, 1, 1, 0.1);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 1, true, &batch), MM_TURN_BATCH);
    ck_assert_uint_ge(batch.count, 39);
    ck_assert_uint_le(batch.count, 40);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, true, &batch), MM_TURN_BATCH);
    ck_assert_uint_ge(batch.count, 39);
    ck_assert_uint_le(batch.count, 40);
    /* A slow rank gets less than a fast one. */
    mm_scheduler_measured(scheduler, 2, 1, 10.0);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 2, true, &batch), MM_TURN_BATCH);
    ck_assert_uint_eq(batch.count, 1);
    mm_scheduler_free(scheduler);
}
END_TEST

/* However fast the images are, no batch is more than a quarter of a fair share, and the last are single images. */
START_TEST(batches_shrink_towards_the_end)
{
    enum { IMAGES = 10000, RANKS = 3 };
    mm_scheduler *scheduler = new_scheduler(IMAGES, RANKS);
    mm_scheduler_measured(scheduler, 0, 1000, 0.001);
    uint64_t left = IMAGES, before = IMAGES;
    mm_batch batch;
    while (mm_scheduler_next(scheduler, (int)(left % RANKS), false, &batch) == MM_TURN_BATCH) {
        ck_assert_uint_le(batch.count, before);
        ck_assert(batch.count == 1 || batch.count <= left / (RANKS * 4));
        before = batch.count;
        left -= batch.count;
    }
    ck_assert_uint_eq(left, 0);
    ck_assert_uint_eq(before, 1);
    mm_scheduler_free(scheduler);
}
END_TEST

/* The last image a rank is not given ahead: another may be free sooner. */
START_TEST(the_last_images_go_to_who_is_free)
{
    mm_scheduler *scheduler = new_scheduler(4, 2);
    mm_batch batch;
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_BATCH);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 1, false, &batch), MM_TURN_BATCH);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, true, &batch), MM_TURN_LATER);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 1, false, &batch), MM_TURN_BATCH);
    ck_assert_uint_eq(batch.first, 2);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 1, true, &batch), MM_TURN_LATER);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 1, false, &batch), MM_TURN_BATCH);
    ck_assert_uint_eq(batch.first, 3);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, true, &batch), MM_TURN_OVER);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_OVER);
    mm_scheduler_free(scheduler);
}
END_TEST

START_TEST(nonsense_is_ignored)
{
    mm_error err = {0};
    mm_scheduler *scheduler = NULL;
    ck_assert_int_eq(mm_scheduler_new(4, 0, &scheduler, &err), MM_ERR_INTERNAL);
    scheduler = new_scheduler(1000, 2);
    mm_batch batch;
    mm_scheduler_measured(scheduler, 5, 1, 0.001); /* no such rank */
    mm_scheduler_measured(scheduler, 0, 1, -1.0);
    mm_scheduler_measured(scheduler, 0, 0, 0.0);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_BATCH);
    ck_assert_uint_eq(batch.count, 1);
    ck_assert_int_eq(mm_scheduler_next(scheduler, -1, false, &batch), MM_TURN_OVER);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 2, false, &batch), MM_TURN_OVER);
    mm_scheduler_free(scheduler);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/scheduler");
    TCase *tests = tcase_create("batches");
    tcase_add_loop_test(tests, every_image_is_handed_out_once, 0, 4);
    tcase_add_test(tests, batches_are_small_until_something_is_measured);
    tcase_add_test(tests, batches_shrink_towards_the_end);
    tcase_add_test(tests, the_last_images_go_to_who_is_free);
    tcase_add_test(tests, nonsense_is_ignored);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
