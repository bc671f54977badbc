/* Tokens, names, rates; leases. */
#include "check_main.h"
#include "corpus/scratch.h"

#include "annotate/guard.h"
#include "annotate/lease.h"

static mm_error err;

START_TEST(a_token_is_kept_for_its_owner_alone)
{
    char first[MM_TOKEN + 1], second[MM_TOKEN + 1], other[MM_TOKEN + 1];
    struct stat info;
    ck_assert_int_eq(mm_token_keep(at("a.token"), first, &err), MM_OK);
    ck_assert_uint_eq(strlen(first), MM_TOKEN);
    ck_assert_int_eq(stat(at("a.token"), &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0600);
    ck_assert_int_eq(mm_token_keep(at("a.token"), second, &err), MM_OK);
    ck_assert_str_eq(first, second);
    ck_assert_int_eq(mm_token_keep(at("b.token"), other, &err), MM_OK);
    ck_assert_str_ne(first, other);
    put_text("c.token", "something else\n");
    ck_assert_int_eq(chmod(at("c.token"), 0600), 0);
    ck_assert_int_eq(mm_token_keep(at("c.token"), other, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(mm_token_keep(at("no/d.token"), other, &err), MM_ERR_IO);
    /* One that others can read, or have put there. */
    ck_assert_int_eq(chmod(at("a.token"), 0640), 0);
    ck_assert_int_eq(mm_token_keep(at("a.token"), other, &err), MM_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "others"));
    ck_assert_int_eq(symlink("b.token", at("e.token")), 0);
    ck_assert_int_eq(mm_token_keep(at("e.token"), other, &err), MM_ERR_IO);
}
END_TEST

START_TEST(only_the_token_is_the_token)
{
    static const char token[] = "00112233445566778899aabbccddeeff";
    char wrong[MM_TOKEN + 1];
    ck_assert(mm_token_equal(token, "00112233445566778899aabbccddeeff"));
    ck_assert(!mm_token_equal(token, NULL));
    ck_assert(!mm_token_equal(token, ""));
    ck_assert(!mm_token_equal(token, "00112233445566778899aabbccddeef"));
    ck_assert(!mm_token_equal(token, "00112233445566778899aabbccddeeff0"));
    for (size_t i = 0; i < MM_TOKEN; i++) {
        memcpy(wrong, token, sizeof wrong);
        wrong[i] ^= 1;
        ck_assert(!mm_token_equal(token, wrong));
    }
}
END_TEST

START_TEST(names_are_ours_or_not)
{
    mm_own_names names;
    ck_assert_int_eq(mm_own_names_make("10.0.0.7", 81, "https://masks.example.org", &names, &err), MM_OK);
    static const char *const ours[] = {"127.0.0.1:81", "localhost:81", "LOCALHOST:81", "[::1]:81", "10.0.0.7:81",
                                       "masks.example.org"};
    static const char *const not_ours[] = {"127.0.0.1", "127.0.0.1:82", "evil.org", "evil.org:81", "",
                                           "localhost:81.evil.org",
                                           "masks.example.org:81", "127.0.0.1:81@evil.org"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        ck_assert_msg(mm_own_host(&names, ours[i]), "%s", ours[i]);
    for (size_t i = 0; i < sizeof not_ours / sizeof not_ours[0]; i++)
        ck_assert_msg(!mm_own_host(&names, not_ours[i]), "%s", not_ours[i]);
    ck_assert(!mm_own_host(&names, NULL));
    ck_assert(mm_own_origin(&names, NULL));
    ck_assert(mm_own_origin(&names, "http://127.0.0.1:81"));
    ck_assert(mm_own_origin(&names, "https://masks.example.org"));
    ck_assert(!mm_own_origin(&names, "http://masks.example.org"));
    ck_assert(!mm_own_origin(&names, "https://127.0.0.1:81"));
    ck_assert(!mm_own_origin(&names, "null"));
    ck_assert(!mm_own_origin(&names, "http://evil.org"));
    ck_assert_int_eq(mm_own_names_make("::1", 81, NULL, &names, &err), MM_OK);
    ck_assert(mm_own_host(&names, "[::1]:81"));
    static const char *const bad[] = {"masks.example.org", "ftp://a", "https://", "https://a/b", "https://A",
                                      "https://a b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(mm_own_names_make("::1", 81, bad[i], &names, &err), MM_ERR_USAGE);
}
END_TEST

START_TEST(a_bucket_gives_what_came_in)
{
    mm_bucket bucket;
    mm_bucket_fill(&bucket, 3, 100);
    for (int i = 0; i < 3; i++)
        ck_assert(mm_bucket_take(&bucket, 2, 3, 100));
    ck_assert(!mm_bucket_take(&bucket, 2, 3, 100));
    ck_assert(mm_bucket_take(&bucket, 2, 3, 100.5));
    ck_assert(!mm_bucket_take(&bucket, 2, 3, 100.5));
    ck_assert(!mm_bucket_take(&bucket, 2, 3, 50)); /* a clock that went back gives nothing */
    int got = 0;
    for (int i = 0; i < 100; i++)
        got += mm_bucket_take(&bucket, 2, 3, 1000);
    ck_assert_int_eq(got, 3);
}
END_TEST

/* --- leases --- */

static mm_leases *leases;

static uint32_t person(char c, double now)
{
    char name[MM_SESSION + 1];
    uint32_t number;
    memset(name, c, MM_SESSION);
    name[MM_SESSION] = '\0';
    ck_assert_int_eq(mm_session_find(leases, name, now, &number, &err), MM_OK);
    return number;
}

START_TEST(an_image_is_lent_to_one)
{
    uint64_t image;
    ck_assert_int_eq(mm_leases_new(3, 10, &leases, &err), MM_OK);
    const uint32_t a = person('a', 0), b = person('b', 0), c = person('c', 0), d = person('d', 0);
    ck_assert(mm_lease_next(leases, a, 0, 0, &image) && image == 0);
    ck_assert(mm_lease_next(leases, b, 0, 0, &image) && image == 1);
    ck_assert(mm_lease_next(leases, a, 0, 1, &image) && image == 0); /* its own again */
    ck_assert(mm_lease_next(leases, c, 0, 1, &image) && image == 2);
    ck_assert(!mm_lease_next(leases, d, 0, 1, &image));
    ck_assert(!mm_lease_take(leases, d, 0, 5));
    ck_assert(!mm_lease_take(leases, d, 3, 5)); /* there is none such */
    mm_lease_give_back(leases, d, 1);           /* not his to give */
    ck_assert(!mm_lease_take(leases, d, 1, 5));
    mm_lease_give_back(leases, b, 1);
    ck_assert(mm_lease_next(leases, d, 2, 5, &image) && image == 1); /* round to the first */
    ck_assert(mm_lease_take(leases, a, 0, 10)); /* lengthened to 20 */
    ck_assert(!mm_lease_take(leases, d, 0, 19.5));
    ck_assert(mm_lease_take(leases, d, 0, 20.5)); /* it ended */
    ck_assert(!mm_lease_take(leases, a, 0, 21));
    mm_leases_free(leases);
}
END_TEST

START_TEST(finished_images_are_not_lent_but_can_be_taken)
{
    uint64_t image, ahead[4];
    ck_assert_int_eq(mm_leases_new(5, 10, &leases, &err), MM_OK);
    const uint32_t a = person('a', 0), b = person('b', 0);
    mm_task_set(leases, 0, MM_TASK_DONE);
    mm_task_set(leases, 2, MM_TASK_SKIPPED);
    mm_task_set(leases, 3, MM_TASK_UNUSABLE);
    ck_assert(mm_lease_next(leases, a, 0, 0, &image) && image == 1);
    ck_assert_uint_eq(mm_lease_peek(leases, a, 1, 0, ahead, 4), 1);
    ck_assert_uint_eq(ahead[0], 4);
    ck_assert(mm_lease_take(leases, b, 0, 0));
    mm_task_set(leases, 1, MM_TASK_DONE);
    mm_task_set(leases, 4, MM_TASK_DONE);
    ck_assert(!mm_lease_next(leases, a, 0, 0, &image));
    const mm_task_counts counts = mm_tasks_count(leases, 0);
    ck_assert_uint_eq(counts.done, 3);
    ck_assert_uint_eq(counts.skipped, 1);
    ck_assert_uint_eq(counts.unusable, 1);
    ck_assert_uint_eq(counts.people, 2);
    mm_task_set(leases, 0, MM_TASK_OPEN);
    mm_lease_give_back(leases, b, 0);
    ck_assert(mm_lease_next(leases, a, 3, 0, &image) && image == 0);
    mm_leases_free(leases);
}
END_TEST

/* The table of sessions does not grow; whoever was silent makes room, and loses what he had. */
START_TEST(sessions_make_room)
{
    char name[MM_SESSION + 1];
    uint32_t number, first;
    ck_assert_int_eq(mm_leases_new(2, 10, &leases, &err), MM_OK);
    for (int i = 0; i < MM_SESSIONS; i++) {
        (void)snprintf(name, sizeof name, "%032x", (unsigned)i);
        ck_assert_int_eq(mm_session_find(leases, name, 0, &number, &err), MM_OK);
        if (i == 0) {
            first = number;
            ck_assert(mm_lease_take(leases, first, 0, 0));
            mm_bucket_fill(mm_session_bucket(leases, first), 5, 0);
        }
    }
    (void)snprintf(name, sizeof name, "%032x", 0xffffu);
    ck_assert_int_eq(mm_session_find(leases, name, 5, &number, &err), MM_ERR_LIMIT);
    ck_assert_int_eq(mm_session_find(leases, name, 11, &number, &err), MM_OK);
    ck_assert_uint_eq(number, first);                                  /* the same place, */
    ck_assert(mm_session_bucket(leases, number)->tokens == 0);         /* but nothing in it */
    ck_assert(mm_lease_take(leases, number, 0, 9)); /* even where the clock of that lease has not run out */
    ck_assert_int_eq(mm_session_find(leases, NULL, 0, &number, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_session_find(leases, "short", 0, &number, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_session_find(leases, "ZZ112233445566778899aabbccddeeff", 0, &number, &err), MM_ERR_USAGE);
    mm_leases_free(leases);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("annotate guard");
    TCase *tests = tcase_create("guard");
    tcase_add_checked_fixture(tests, scratch_make, scratch_remove);
    tcase_add_test(tests, a_token_is_kept_for_its_owner_alone);
    tcase_add_test(tests, only_the_token_is_the_token);
    tcase_add_test(tests, names_are_ours_or_not);
    tcase_add_test(tests, a_bucket_gives_what_came_in);
    tcase_add_test(tests, an_image_is_lent_to_one);
    tcase_add_test(tests, finished_images_are_not_lent_but_can_be_taken);
    tcase_add_test(tests, sessions_make_room);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
