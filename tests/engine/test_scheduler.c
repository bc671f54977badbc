#include "check_main.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/scheduler.h"

enum { PER_SHARD = 50 };

static mm_scheduler *new_from(const mm_scheduler_plan *plan)
{
    mm_error err = {0};
    mm_scheduler *scheduler = NULL;
    ck_assert_int_eq(mm_scheduler_new(plan, &scheduler, &err), MM_OK);
    return scheduler;
}

static mm_scheduler *new_scheduler(uint64_t images, int ranks)
{
    return new_from(&(mm_scheduler_plan){.end = images, .images_per_shard = PER_SHARD, .ranks = ranks});
}

/* A small linear congruential generator, so that the order of ranks is mixed and the test repeatable. */
static uint32_t mixed(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

static uint64_t cost(void *user, uint64_t image_id)
{
    (void)user;
    return image_id * 7919 % 1000 + 1;
}

static bool skip_thirds(void *user, uint64_t image_id)
{
    (void)user;
    return image_id % 3 == 0;
}

/* Ranks ask in mixed order, ahead or not, with mixed speeds, until all is over; times[i] is how often id i came. */
static void exhaust(mm_scheduler *scheduler, int ranks, uint32_t seed, uint8_t *times, uint64_t *last_ids)
{
    uint32_t state = seed;
    uint64_t handed = 0;
    for (;;) {
        const int rank = (int)(mixed(&state) % (uint32_t)ranks);
        const bool ahead = mixed(&state) % 2;
        mm_batch batch;
        const mm_turn turn = mm_scheduler_next(scheduler, rank, ahead, &batch);
        if (turn == MM_TURN_OVER)
            break;
        if (turn == MM_TURN_LATER) {
            ck_assert(ahead);
            continue;
        }
        ck_assert_uint_ge(batch.count, 1);
        ck_assert_uint_le(batch.count, MM_BATCH_MAX);
        for (uint32_t i = 0; i < batch.count; i++) {
            times[batch.image_ids[i]]++;
            if (last_ids)
                last_ids[handed] = batch.image_ids[i];
            handed++;
        }
        if (batch.suspect)
            ck_assert(!ahead && batch.count == 1);
        mm_scheduler_measured(scheduler, rank, batch.count, (double)(mixed(&state) % 1000) * 1e-3);
    }
    ck_assert_uint_eq(handed, mm_scheduler_total(scheduler));
}

START_TEST(every_image_is_handed_out_once)
{
    static const uint64_t totals[] = {1, 2, 3, 7, 100, 4097, 30000};
    static const int sizes[] = {1, 2, 5, 64};
    for (size_t t = 0; t < sizeof totals / sizeof totals[0]; t++)
        for (size_t r = 0; r < sizeof sizes / sizeof sizes[0]; r++) {
            const mm_scheduler_plan plan = {.end = totals[t], .images_per_shard = PER_SHARD, .ranks = sizes[r],
                                            .cost = _i % 2 ? cost : NULL};
            mm_scheduler *scheduler = new_from(&plan);
            uint8_t *times = calloc(totals[t], 1);
            ck_assert_ptr_nonnull(times);
            exhaust(scheduler, sizes[r], (uint32_t)_i + 7, times, NULL);
            for (uint64_t id = 0; id < totals[t]; id++)
                ck_assert_uint_eq(times[id], 1);
            free(times);
            mm_scheduler_free(scheduler);
        }
}
END_TEST

/* A range that begins and ends within shards, of which a third is there already, and with suspects of all kinds. */
START_TEST(ranges_skips_and_suspects)
{
    enum { FIRST = 130, END = 1777, ALL = 2000 };
    static const uint64_t suspects[] = {1000, 131, 131, 132, 129, 1777, 1776, 5000, 500}; /* 132, 1776: to be skipped */
    const mm_scheduler_plan plan = {.first = FIRST, .end = END, .images_per_shard = PER_SHARD, .ranks = 3,
                                    .skip = skip_thirds, .cost = cost, .suspects = suspects, .suspect_count = 9};
    mm_scheduler *scheduler = new_from(&plan);
    uint8_t times[ALL] = {0};
    uint64_t order[ALL];
    exhaust(scheduler, 3, 99 + (uint32_t)_i, times, order);
    uint64_t wanted = 0;
    for (uint64_t id = 0; id < ALL; id++) {
        const bool mine = id >= FIRST && id < END && id % 3 != 0;
        ck_assert_uint_eq(times[id], mine);
        wanted += mine;
    }
    ck_assert_uint_eq(mm_scheduler_total(scheduler), wanted);
    /* The suspects come last. */
    ck_assert_uint_eq(order[wanted - 3], 131);
    ck_assert_uint_eq(order[wanted - 2], 500);
    ck_assert_uint_eq(order[wanted - 1], 1000);
    mm_scheduler_free(scheduler);
}
END_TEST

static bool skip_all_but_two(void *user, uint64_t image_id)
{
    (void)user;
    return image_id != 7 && image_id != 999999;
}

START_TEST(little_is_left_of_much)
{
    const mm_scheduler_plan plan = {.end = 1000000, .images_per_shard = 1000, .ranks = 1, .skip = skip_all_but_two};
    mm_scheduler *scheduler = new_from(&plan);
    mm_batch batch;
    ck_assert_uint_eq(mm_scheduler_total(scheduler), 2);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_BATCH);
    ck_assert(batch.count == 1 && batch.image_ids[0] == 7);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_BATCH);
    ck_assert(batch.count == 1 && batch.image_ids[0] == 999999);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_OVER);
    mm_scheduler_free(scheduler);
}
END_TEST

/* One by one (nothing is ever measured): costs fall within a window, and a window is whole shards, one after the other. */
START_TEST(costly_images_come_first_within_a_window)
{
    enum { IMAGES = 1000, RANKS = 10, SPAN = 200 }; /* 16 images a rank, rounded up to four shards */
    const mm_scheduler_plan plan = {.end = IMAGES, .images_per_shard = PER_SHARD, .ranks = RANKS, .cost = cost};
    mm_scheduler *scheduler = new_from(&plan);
    mm_batch batch;
    uint64_t before = 0;
    for (uint64_t i = 0; i < IMAGES; i++) {
        ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_BATCH);
        ck_assert_uint_eq(batch.count, 1);
        ck_assert_uint_eq(batch.image_ids[0] / SPAN, i / SPAN);
        if (i % SPAN != 0)
            ck_assert_uint_le(cost(NULL, batch.image_ids[0]), before);
        before = cost(NULL, batch.image_ids[0]);
    }
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_OVER);
    mm_scheduler_free(scheduler);
}
END_TEST

/* What would be a window of a few images at the end belongs to the one before, or the largest would come last. */
START_TEST(the_last_window_is_no_rest)
{
    enum { IMAGES = 390, RANKS = 10 }; /* two windows of 200, nearly */
    const mm_scheduler_plan plan = {.end = IMAGES, .images_per_shard = PER_SHARD, .ranks = RANKS, .cost = cost};
    mm_scheduler *scheduler = new_from(&plan);
    mm_batch batch;
    uint64_t before = UINT64_MAX;
    for (uint64_t i = 0; i < IMAGES; i++) {
        ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_BATCH);
        ck_assert_uint_le(cost(NULL, batch.image_ids[0]), before);
        before = cost(NULL, batch.image_ids[0]);
    }
    mm_scheduler_free(scheduler);
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
    ck_assert_uint_le(batch.count, 41);
    mm_scheduler_free(scheduler);
    scheduler = new_scheduler(1000000, 4);
    for (int round = 0; round < 100; round++) { /* rank 2 is five times slower */
        for (int rank = 0; rank < 4; rank++)
            mm_scheduler_measured(scheduler, rank, 10, rank == 2 ? 5.0 : 1.0);
    }
    uint32_t counts[4];
    for (int rank = 0; rank < 4; rank++) {
        do { /* a batch ends with its window */
            ck_assert_int_eq(mm_scheduler_next(scheduler, rank, true, &batch), MM_TURN_BATCH);
        } while (batch.image_ids[0] % PER_SHARD != 0);
        counts[rank] = batch.count;
    }
    ck_assert(counts[0] >= 36 && counts[0] <= 44);
    ck_assert(counts[2] >= 7 && counts[2] <= 9);
    ck_assert(counts[1] >= 36 && counts[1] <= 44);
    ck_assert(counts[3] >= 36 && counts[3] <= 44);
    mm_scheduler_free(scheduler);
}
END_TEST

/* Seconds are 0.02 + cost / 1000: once that is learnt, batches of costly images are smaller, as their times are to be. */
START_TEST(batches_go_by_cost)
{
    enum { IMAGES = 100000, SHARD = 1000 };
    const mm_scheduler_plan plan = {.end = IMAGES, .images_per_shard = SHARD, .ranks = 2, .cost = cost};
    mm_scheduler *scheduler = new_from(&plan);
    uint64_t handed = 0;
    mm_batch batch;
    while (handed < IMAGES / 2) {
        ck_assert_int_eq(mm_scheduler_next(scheduler, 0, true, &batch), MM_TURN_BATCH);
        double seconds = 0;
        for (uint32_t i = 0; i < batch.count; i++)
            seconds += 0.02 + (double)cost(NULL, batch.image_ids[i]) * 1e-3;
        const bool ends_window = (handed + batch.count) % SHARD == 0;
        if (handed > SHARD && !ends_window && batch.count < MM_BATCH_MAX) {
            ck_assert_double_le(seconds, 4.2);
            ck_assert_double_ge(seconds, 2.8); /* one image more would have been over */
        }
        handed += batch.count;
        mm_scheduler_measured(scheduler, 0, batch.count, seconds);
    }
    mm_scheduler_free(scheduler);
}
END_TEST

/* However fast the images are, no batch is more than a quarter of a fair share, and the last are single images. */
START_TEST(batches_shrink_towards_the_end)
{
    enum { IMAGES = 10000, RANKS = 3 };
    mm_scheduler *scheduler = new_scheduler(IMAGES, RANKS);
    mm_scheduler_measured(scheduler, 0, 1000, 0.001);
    uint64_t left = IMAGES;
    uint32_t last = 0;
    mm_batch batch;
    while (mm_scheduler_next(scheduler, (int)(left % RANKS), false, &batch) == MM_TURN_BATCH) {
        ck_assert(batch.count == 1 || batch.count <= left / (RANKS * 4));
        left -= batch.count;
        last = batch.count;
    }
    ck_assert_uint_eq(left, 0);
    ck_assert_uint_eq(last, 1);
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
    ck_assert_uint_eq(batch.image_ids[0], 2);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 1, true, &batch), MM_TURN_LATER);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 1, false, &batch), MM_TURN_BATCH);
    ck_assert_uint_eq(batch.image_ids[0], 3);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, true, &batch), MM_TURN_OVER);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_OVER);
    mm_scheduler_free(scheduler);
}
END_TEST

START_TEST(nonsense_is_ignored)
{
    mm_error err = {0};
    mm_scheduler *scheduler = NULL;
    ck_assert_int_eq(mm_scheduler_new(&(mm_scheduler_plan){.end = 4, .images_per_shard = 1}, &scheduler, &err),
                     MM_ERR_INTERNAL);
    ck_assert_int_eq(mm_scheduler_new(&(mm_scheduler_plan){.end = 4, .ranks = 1}, &scheduler, &err), MM_ERR_INTERNAL);
    const mm_scheduler_plan backwards = {.first = 5, .end = 4, .images_per_shard = 1, .ranks = 1};
    ck_assert_int_eq(mm_scheduler_new(&backwards, &scheduler, &err), MM_ERR_INTERNAL);
    mm_batch batch;
    scheduler = new_scheduler(0, 1);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_OVER);
    mm_scheduler_free(scheduler);
    scheduler = new_scheduler(1000, 2);
    mm_scheduler_measured(scheduler, 5, 1, 0.001); /* no such rank */
    mm_scheduler_measured(scheduler, 0, 1, -1.0);
    mm_scheduler_measured(scheduler, 0, 0, 0.0);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 0, false, &batch), MM_TURN_BATCH);
    ck_assert_uint_eq(batch.count, 1);
    ck_assert_int_eq(mm_scheduler_next(scheduler, -1, false, &batch), MM_TURN_OVER);
    ck_assert_int_eq(mm_scheduler_next(scheduler, 2, false, &batch), MM_TURN_OVER);
    mm_scheduler_free(scheduler);
    mm_scheduler_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/scheduler");
    TCase *tests = tcase_create("batches");
    tcase_set_timeout(tests, 60); /* sanitizers on a busy machine */
    tcase_add_loop_test(tests, every_image_is_handed_out_once, 0, 4);
    tcase_add_loop_test(tests, ranges_skips_and_suspects, 0, 8);
    tcase_add_test(tests, little_is_left_of_much);
    tcase_add_test(tests, costly_images_come_first_within_a_window);
    tcase_add_test(tests, the_last_window_is_no_rest);
    tcase_add_test(tests, batches_are_small_until_something_is_measured);
    tcase_add_test(tests, batches_go_by_cost);
    tcase_add_test(tests, batches_shrink_towards_the_end);
    tcase_add_test(tests, the_last_images_go_to_who_is_free);
    tcase_add_test(tests, nonsense_is_ignored);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
