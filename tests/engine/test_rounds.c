/* engine.json: rounds are added, written, read back; and what is no such file is refused. */
#include "check_main.h"

#include "base/file.h"
#include "engine/rounds.h"
#include "shard/dataset_fixture.h"

static mm_round a_round(const char *stage, const char *detector)
{
    return (mm_round){.stage = (char *)stage,
                      .model = (char *)"tiny",
                      .model_sha256 = (char *)"ab12",
                      .detector_sha256 = (char *)detector,
                      .images = 5,
                      .masks = {10, 2, 3},
                      .confident = 7,
                      .hints = 9};
}

START_TEST(rounds_are_numbered_by_stage)
{
    mm_rounds rounds = {0}, back;
    mm_error err = {0};
    bool there = false;
    const mm_round automatic = a_round("automatic", NULL), semi = a_round("semi-automatic", "cd34");
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(mm_rounds_add(&rounds, &automatic, &err), MM_OK);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(mm_rounds_add(&rounds, &semi, &err), MM_OK);
    ck_assert_int_eq(mkdir(at("data"), 0777), 0);
    ck_assert_int_eq(mkdir(at("before"), 0777), 0);
    ck_assert_int_eq(mm_rounds_set_parent(&rounds, at("data"), at("before"), UINT64_C(0xf00000000000001a), &err),
                     MM_OK);
    ck_assert_msg(mm_rounds_write(at("data"), &rounds, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_rounds_read(at("data"), &there, &back, &err) == MM_OK, "%s", err.text);
    ck_assert(there);
    ck_assert_uint_eq(back.count, 11);
    ck_assert_str_eq(back.items[5].stage, "automatic");
    ck_assert_uint_eq(back.items[5].number, 6);
    ck_assert_ptr_null(back.items[5].detector_sha256);
    ck_assert_str_eq(back.items[10].stage, "semi-automatic");
    ck_assert_uint_eq(back.items[10].number, 5);
    ck_assert_str_eq(back.items[10].detector_sha256, "cd34");
    ck_assert_uint_eq(back.items[10].images, 5);
    ck_assert_mem_eq(back.items[10].masks, semi.masks, sizeof semi.masks);
    ck_assert(back.items[10].confident == 7 && back.items[10].hints == 9);
    ck_assert_str_eq(back.parent, "../before");
    ck_assert(back.parent_digest == UINT64_C(0xf00000000000001a));
    mm_rounds_free(&rounds);
    mm_rounds_free(&back);
}
END_TEST

START_TEST(a_run_follows_the_rounds_of_another_dataset)
{
    mm_rounds rounds;
    mm_error err = {0};
    bool there;
    const mm_round round = a_round("automatic", NULL);
    ck_assert_int_eq(mkdir(at("one"), 0777) + mkdir(at("two"), 0777), 0);
    put_dataset(at("one"), 1);
    put_dataset(at("two"), 2);
    ck_assert_int_eq(mm_rounds_check(NULL, &err), MM_OK);
    ck_assert_int_eq(mm_rounds_check(at("one"), &err), MM_ERR_USAGE);
    ck_assert_msg(mm_rounds_follow(at("one"), NULL, &round, &err) == MM_OK, "%s", err.text);
    ck_assert_int_eq(mm_rounds_check(at("one"), &err), MM_OK);
    for (int again = 0; again < 2; again++) /* a run that is resumed at its very end says it again */
        ck_assert_msg(mm_rounds_follow(at("two"), at("one"), &round, &err) == MM_OK, "%s", err.text);
    ck_assert_int_eq(mm_rounds_read(at("two"), &there, &rounds, &err), MM_OK);
    ck_assert_uint_eq(rounds.count, 2);
    ck_assert_ptr_null(rounds.parent);
    ck_assert_uint_eq(rounds.items[0].images, 3);
    ck_assert_uint_eq(rounds.items[0].masks[0], 15);
    ck_assert_uint_eq(rounds.items[1].number, 2);
    ck_assert_uint_eq(rounds.items[1].images, 6);
    ck_assert_uint_eq(rounds.items[1].masks[0], 30);
    ck_assert_uint_eq(rounds.items[1].masks[1] + rounds.items[1].masks[2], 0);
    mm_rounds_free(&rounds);
    /* Parts of one run: their round is the whole's. */
    ck_assert_msg(mm_rounds_join(at("one"), at("two"), &err) == MM_OK, "%s", err.text);
    ck_assert_int_eq(mm_rounds_read(at("one"), &there, &rounds, &err), MM_OK);
    ck_assert_uint_eq(rounds.count, 2);
    ck_assert_uint_eq(rounds.items[1].images, 3);
    mm_rounds_free(&rounds);
}
END_TEST

START_TEST(what_is_no_engine_json_is_refused)
{
    static const char round[] = "{\"stage\": \"a\", \"round\": 1, \"model\": {\"name\": \"m\", \"sha256\": \"s\"}, "
                                "\"detector\": null, "
                                "\"images\": 1, \"masks\": {\"automatic\": 1, \"confident\": 0, \"human\": 0}, "
                                "\"confident_masks\": 0, \"hint_masks\": 0}";
    static const struct {
        const char *before, *find, *replace, *after;
        mm_status status;
    } cases[] = {
        {"{\"format\": 1, \"parent\": null, \"rounds\": [", "", "", "]}", MM_OK},
        {"{\"format\": 1, \"rounds\": [", "", "", "]}", MM_OK},
        {"{\"format\": 2, \"rounds\": [", "", "", "]}", MM_ERR_UNSUPPORTED},
        {"{\"format\": 1, \"rounds\": [", "", "", "]", MM_ERR_FORMAT},
        {"{\"format\": 1, \"rounds\": {\"a\": ", "", "", "}}", MM_ERR_FORMAT},
        {"[", "", "", "]", MM_ERR_FORMAT},
        {"{\"format\": 1, \"rounds\": [", "\"a\"", "7", "]}", MM_ERR_FORMAT},
        {"{\"format\": 1, \"rounds\": [", "\"a\"", "\"\\n\"", "]}", MM_ERR_FORMAT},
        {"{\"format\": 1, \"rounds\": [", "\"round\": 1", "\"round\": -1", "]}", MM_ERR_FORMAT},
        {"{\"format\": 1, \"rounds\": [", "\"human\"", "\"humane\"", "]}", MM_ERR_FORMAT},
        {"{\"format\": 1, \"rounds\": [", "\"images\": 1", "\"images\": 1.5", "]}", MM_ERR_FORMAT},
        {"{\"format\": 1, \"rounds\": [", "null", "{}", "]}", MM_ERR_FORMAT},
        {"{\"format\": 1, \"parent\": {\"dataset\": \"x\", \"xxh3\": \"12\"}, \"rounds\": [", "", "", "]}",
         MM_ERR_FORMAT},
        {"{\"format\": 1, \"parent\": 3, \"rounds\": [", "", "", "]}", MM_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        mm_rounds rounds;
        mm_error err = {0};
        bool there;
        const char *found = strstr(round, cases[i].find);
        ck_assert_ptr_nonnull(found);
        (void)snprintf(text, sizeof text, "%s%.*s%s%s%s", cases[i].before, (int)(found - round), round,
                       cases[i].replace, found + strlen(cases[i].find), cases[i].after);
        ck_assert_int_eq(mm_file_commit(at("engine.json"), text, strlen(text), &err), MM_OK);
        const mm_status status = mm_rounds_read(scratch, &there, &rounds, &err);
        ck_assert_msg(status == cases[i].status, "case %zu: %d, %s", i, status, err.text);
        ck_assert(there == (status == MM_OK));
        mm_rounds_free(&rounds);
    }
}
END_TEST

START_TEST(no_file_is_no_rounds)
{
    mm_rounds rounds;
    mm_error err = {0};
    bool there = true;
    ck_assert_int_eq(mm_rounds_read(scratch, &there, &rounds, &err), MM_OK);
    ck_assert(!there);
    ck_assert_uint_eq(rounds.count, 0);
    mm_rounds_free(&rounds);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rounds");
    TCase *tests = tcase_create("rounds");
    tcase_add_checked_fixture(tests, scratch_make, scratch_remove);
    tcase_add_test(tests, rounds_are_numbered_by_stage);
    tcase_add_test(tests, a_run_follows_the_rounds_of_another_dataset);
    tcase_add_test(tests, what_is_no_engine_json_is_refused);
    tcase_add_test(tests, no_file_is_no_rounds);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
