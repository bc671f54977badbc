#include "check_main.h"

#include <stdint.h>
#include <string.h>

#include "engine/owner.h"

static mm_owner *new_owner(uint64_t images, uint32_t per_shard, int rank, int ranks)
{
    mm_error err = {0};
    mm_owner *owner = NULL;
    ck_assert_int_eq(mm_owner_new(images, per_shard, rank, ranks, &owner, &err), MM_OK);
    return owner;
}

static uint8_t *some_bytes(uint64_t image_id)
{
    uint8_t *bytes = malloc(sizeof image_id);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, &image_id, sizeof image_id);
    return bytes;
}

static mm_gathering *put(mm_owner *owner, uint64_t image_id)
{
    mm_error err = {0};
    mm_gathering *whole = NULL;
    ck_assert_int_eq(mm_owner_put(owner, image_id, some_bytes(image_id), sizeof image_id, &whole, &err), MM_OK);
    return whole;
}

static void refuse(mm_owner *owner, uint64_t image_id)
{
    mm_error err = {0};
    mm_gathering *whole = NULL;
    ck_assert_int_eq(mm_owner_put(owner, image_id, some_bytes(image_id), 8, &whole, &err), MM_ERR_INTERNAL);
    ck_assert_ptr_null(whole);
    ck_assert_ptr_nonnull(strstr(err.text, "image "));
}

static void check_and_free(mm_gathering *whole, uint64_t shard, uint64_t first, size_t count)
{
    ck_assert_ptr_nonnull(whole);
    ck_assert_uint_eq(whole->shard, shard);
    ck_assert_uint_eq(whole->first_image, first);
    ck_assert_uint_eq(whole->count, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t id;
        ck_assert_uint_eq(whole->records[i].size, sizeof id);
        memcpy(&id, whole->records[i].bytes, sizeof id);
        ck_assert_uint_eq(id, first + i);
    }
    mm_gathering_free(whole);
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

/* 8 images in shards of 3 on two ranks: rank 0 owns shards 0 (0..2) and 2 (6, 7). Any order will do. */
START_TEST(a_shard_is_whole_with_its_last_record)
{
    mm_owner *owner = new_owner(8, 3, 0, 2);
    ck_assert_ptr_null(put(owner, 7));
    ck_assert_ptr_null(put(owner, 2));
    ck_assert_ptr_null(put(owner, 0));
    check_and_free(put(owner, 6), 2, 6, 2);
    check_and_free(put(owner, 1), 0, 0, 3);
    mm_owner_free(owner);
}
END_TEST

START_TEST(foreign_images_are_refused)
{
    mm_owner *owner = new_owner(8, 3, 0, 2);
    refuse(owner, 3); /* rank 1's */
    refuse(owner, 5);
    refuse(owner, 8); /* no such image */
    refuse(owner, UINT64_MAX);
    ck_assert_ptr_null(put(owner, 0));
    mm_owner_free(owner);
    owner = new_owner(8, 3, 1, 2);
    refuse(owner, 0);
    refuse(owner, 6);
    ck_assert_ptr_null(put(owner, 3));
    mm_owner_free(owner);
}
END_TEST

START_TEST(duplicates_are_refused_before_and_after_the_shard_is_whole)
{
    mm_owner *owner = new_owner(4, 2, 0, 1);
    ck_assert_ptr_null(put(owner, 1));
    refuse(owner, 1);
    check_and_free(put(owner, 0), 0, 0, 2);
    refuse(owner, 0);
    refuse(owner, 1);
    ck_assert_ptr_null(put(owner, 3));
    check_and_free(put(owner, 2), 1, 2, 2);
    refuse(owner, 3);
    mm_owner_free(owner);
}
END_TEST

START_TEST(a_record_without_bytes_is_refused)
{
    mm_owner *owner = new_owner(4, 2, 0, 1);
    mm_error err = {0};
    mm_gathering *whole = NULL;
    ck_assert_int_eq(mm_owner_put(owner, 0, NULL, 0, &whole, &err), MM_ERR_INTERNAL);
    ck_assert_ptr_null(put(owner, 0));
    mm_owner_free(owner);
    mm_owner_free(NULL);
    ck_assert_int_eq(mm_owner_new(4, 0, 0, 1, &owner, &err), MM_ERR_INTERNAL);
    ck_assert_int_eq(mm_owner_new(4, 1, 1, 1, &owner, &err), MM_ERR_INTERNAL);
}
END_TEST

/* 1000 images, 7 ranks, ids in an order that visits each once: every shard comes out whole, at its owner only. */
START_TEST(many_shards_on_many_ranks)
{
    enum { IMAGES = 1000, PER_SHARD = 13, RANKS = 7, STEP = 337 };
    mm_owner *owners[RANKS];
    for (int rank = 0; rank < RANKS; rank++)
        owners[rank] = new_owner(IMAGES, PER_SHARD, rank, RANKS);
    uint64_t shards = 0;
    for (uint64_t i = 0; i < IMAGES; i++) {
        const uint64_t image_id = i * STEP % IMAGES; /* 337 and 1000 have no common factor */
        const int rank = mm_owner_rank(image_id, PER_SHARD, RANKS);
        mm_gathering *whole = put(owners[rank], image_id);
        if (!whole)
            continue;
        shards++;
        const uint64_t shard = image_id / PER_SHARD, first = shard * PER_SHARD;
        check_and_free(whole, shard, first, first + PER_SHARD <= IMAGES ? PER_SHARD : IMAGES - first);
    }
    ck_assert_uint_eq(shards, mm_shard_total(IMAGES, PER_SHARD));
    for (int rank = 0; rank < RANKS; rank++)
        mm_owner_free(owners[rank]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/owner");
    TCase *tests = tcase_create("records");
    tcase_add_test(tests, shards_belong_to_ranks_in_turn);
    tcase_add_test(tests, a_shard_is_whole_with_its_last_record);
    tcase_add_test(tests, foreign_images_are_refused);
    tcase_add_test(tests, duplicates_are_refused_before_and_after_the_shard_is_whole);
    tcase_add_test(tests, a_record_without_bytes_is_refused);
    tcase_add_test(tests, many_shards_on_many_ranks);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
