#include "check_main.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/owner.h"

static char folder[64];
static mm_error err;

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/maskmill_owner_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static mm_owner *new_owner(uint64_t first, uint64_t end, uint32_t per_shard, int rank, int ranks)
{
    const mm_owner_plan plan = {.first = first, .end = end, .images_per_shard = per_shard, .rank = rank, .ranks = ranks,
                                .folder = folder};
    mm_owner *owner = NULL;
    ck_assert_int_eq(mm_owner_new(&plan, &owner, &err), MM_OK);
    return owner;
}

static mm_journal *put(mm_owner *owner, uint64_t image_id)
{
    mm_journal *journal = NULL;
    ck_assert_int_eq(mm_owner_journal(owner, image_id, &journal, &err), MM_OK);
    ck_assert_int_eq(mm_journal_append(journal, image_id, &image_id, sizeof image_id, &err), MM_OK);
    return journal;
}

static void refuse(mm_owner *owner, uint64_t image_id)
{
    mm_journal *journal = NULL;
    ck_assert_int_eq(mm_owner_journal(owner, image_id, &journal, &err), MM_ERR_INTERNAL);
    ck_assert_ptr_nonnull(strstr(err.text, "image "));
}

START_TEST(shards_belong_to_ranks_in_turn)
{
    ck_assert_uint_eq(mm_shard_total(1, 3), 1);
    ck_assert_uint_eq(mm_shard_total(3, 3), 1);
    ck_assert_uint_eq(mm_shard_total(4, 3), 2);
    ck_assert_int_eq(mm_owner_rank(0, 3, 2), 0);
    ck_assert_int_eq(mm_owner_rank(2, 3, 2), 0);
    ck_assert_int_eq(mm_owner_rank(3, 3, 2), 1);
    ck_assert_int_eq(mm_owner_rank(6, 3, 2), 0);
    ck_assert_int_eq(mm_owner_rank(3, 3, 1), 0);
}
END_TEST

/* Every shard of a range is some rank's, once, and mm_owner_rank says whose. */
START_TEST(own_shards_cover_any_range)
{
    enum { PER_SHARD = 13, SHARDS = 40 };
    for (int ranks = 1; ranks <= 9; ranks++)
        for (uint64_t from = 0; from < 12; from++)
            for (uint64_t to = from; to < SHARDS; to += 3) {
                int seen[SHARDS] = {0};
                const uint64_t end = to * PER_SHARD + (to > from ? 5 : 0);
                for (int rank = 0; rank < ranks; rank++) {
                    mm_owner *owner = new_owner(from * PER_SHARD, end, PER_SHARD, rank, ranks);
                    for (size_t i = 0; i < mm_owner_count(owner); i++) {
                        const uint64_t shard = mm_owner_shard(owner, i);
                        const mm_journal_origin origin = mm_owner_origin(owner, shard);
                        ck_assert_uint_lt(shard, SHARDS);
                        seen[shard]++;
                        ck_assert_int_eq(mm_owner_rank(shard * PER_SHARD, PER_SHARD, ranks), rank);
                        ck_assert_uint_eq(origin.first_image, shard * PER_SHARD);
                        ck_assert_uint_eq(origin.images, shard == to ? 5 : PER_SHARD);
                    }
                    mm_owner_free(owner);
                }
                for (uint64_t shard = 0; shard < SHARDS; shard++)
                    ck_assert_int_eq(seen[shard], shard >= from && shard * PER_SHARD < end);
            }
}
END_TEST

/* 8 images in shards of 3 on two ranks: rank 0 owns shards 0 (0..2) and 2 (6, 7). Any order will do. */
START_TEST(a_shard_is_whole_with_its_last_record)
{
    mm_owner *owner = new_owner(0, 8, 3, 0, 2);
    (void)put(owner, 7);
    (void)put(owner, 2);
    (void)put(owner, 0);
    ck_assert(!mm_owner_has_all(owner, 0) && !mm_owner_has_all(owner, 2));
    (void)put(owner, 6);
    ck_assert(!mm_owner_has_all(owner, 0) && mm_owner_has_all(owner, 2));
    mm_journal *journal = mm_owner_release(owner, 2);
    ck_assert_uint_eq(mm_journal_records(journal), 2);
    mm_journal_close(journal);
    refuse(owner, 6); /* it would be made twice */
    ck_assert_ptr_null(mm_owner_release(owner, 2));
    (void)put(owner, 1);
    ck_assert(mm_owner_has_all(owner, 0));
    ck_assert_int_eq(mm_owner_sync(owner, &err), MM_OK);
    mm_owner_free(owner);
}
END_TEST

START_TEST(foreign_images_are_refused)
{
    mm_owner *owner = new_owner(0, 8, 3, 0, 2);
    refuse(owner, 3); /* rank 1's */
    refuse(owner, 5);
    refuse(owner, 8); /* no such image */
    refuse(owner, UINT64_MAX);
    mm_owner_finish(owner, 0);
    refuse(owner, 1);
    (void)put(owner, 6);
    mm_owner_free(owner);
    owner = new_owner(3, 8, 3, 1, 2);
    refuse(owner, 0); /* before the range */
    refuse(owner, 6);
    (void)put(owner, 3);
    mm_owner_free(owner);
    const mm_owner_plan wrong[] = {{.end = 4, .folder = folder, .ranks = 1},
                                   {.end = 4, .images_per_shard = 1, .folder = folder, .rank = 1, .ranks = 1},
                                   {.end = 4, .first = 5, .images_per_shard = 1, .folder = folder, .ranks = 1},
                                   {.end = 9, .first = 4, .images_per_shard = 3, .folder = folder, .ranks = 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_int_eq(mm_owner_new(&wrong[i], &owner, &err), MM_ERR_INTERNAL);
    mm_owner_free(NULL);
}
END_TEST

/* More shards are under way than files may be open; all records are there in the end. */
START_TEST(many_open_shards_need_few_files)
{
    enum { SHARDS = 60, PER_SHARD = 2 };
    mm_owner *owner = new_owner(0, SHARDS * PER_SHARD, PER_SHARD, 0, 1);
    const int before = dup(0);
    ck_assert_int_ge(before, 0);
    ck_assert_int_eq(close(before), 0);
    for (uint64_t i = 0; i < PER_SHARD; i++)
        for (uint64_t shard = 0; shard < SHARDS; shard++)
            (void)put(owner, shard * PER_SHARD + i);
    const int after = dup(0); /* the lowest number that is free */
    ck_assert_int_ge(after, 0);
    ck_assert_int_eq(close(after), 0);
    ck_assert_int_le(after - before, 40);
    for (uint64_t shard = 0; shard < SHARDS; shard++) {
        ck_assert(mm_owner_has_all(owner, shard));
        mm_journal *journal = mm_owner_release(owner, shard);
        for (uint64_t id = shard * PER_SHARD; id < (shard + 1) * PER_SHARD; id++) {
            uint8_t *bytes = NULL;
            size_t size = 0;
            ck_assert_int_eq(mm_journal_read(journal, id, &bytes, &size, &err), MM_OK);
            ck_assert_uint_eq(size, sizeof id);
            ck_assert_mem_eq(bytes, &id, sizeof id);
            free(bytes);
        }
        mm_journal_close(journal);
    }
    mm_owner_free(owner);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/owner");
    TCase *tests = tcase_create("shards");
    tcase_set_timeout(tests, 60); /* many files, on a busy machine */
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, shards_belong_to_ranks_in_turn);
    tcase_add_test(tests, own_shards_cover_any_range);
    tcase_add_test(tests, a_shard_is_whole_with_its_last_record);
    tcase_add_test(tests, foreign_images_are_refused);
    tcase_add_test(tests, many_open_shards_need_few_files);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
