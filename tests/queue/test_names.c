/* Names of masks and photographs, and sets of ids. */
#include "check_main.h"

#include <stdio.h>
#include <string.h>

#include "queue/id_set.h"
#include "queue/name.h"

START_TEST(masks_have_names_that_come_back)
{
    const uint64_t images[] = {0, 1, 17, 11000000, (UINT64_C(1) << 33) - 2};
    const uint32_t indices[] = {0, 1, 999, (1u << 18) - 1};
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++)
        for (size_t k = 0; k < sizeof indices / sizeof indices[0]; k++)
            for (int kind = 0; kind < MM_SHOWN_KINDS; kind++) {
                const mm_shown_name name = {images[i], (mm_shown_kind)kind, indices[k]};
                mm_shown_name back = {0};
                char text[MM_SHOWN_TEXT], more[MM_SHOWN_TEXT + 8];
                mm_error err = {0};
                ck_assert_msg(mm_shown_check(&name, &err) == MM_OK, "%s", err.text);
                ck_assert_uint_lt(mm_shown_number(&name), UINT64_C(1) << 53);
                ck_assert_uint_ge(mm_shown_number(&name), UINT64_C(1) << 20);
                ck_assert(mm_shown_from_number(mm_shown_number(&name), &back));
                ck_assert(back.image_id == name.image_id && back.kind == name.kind && back.index == name.index);
                mm_shown_text(&name, text);
                (void)snprintf(more, sizeof more, "%s#aQ3", text);
                ck_assert(mm_shown_from_text(text, &back) && mm_shown_from_text(more, &back));
                ck_assert(back.image_id == name.image_id && back.kind == name.kind && back.index == name.index);
            }
    const mm_shown_name far = {UINT64_C(1) << 33, MM_SHOWN_HINT, 0}, many = {1, MM_SHOWN_HINT, 1u << 18};
    ck_assert_int_eq(mm_shown_check(&far, NULL), MM_ERR_LIMIT);
    ck_assert_int_eq(mm_shown_check(&many, NULL), MM_ERR_LIMIT);
}
END_TEST

START_TEST(what_is_no_name_is_none)
{
    static const char *const texts[] = {"",
                                        "mm-",
                                        "mm-1",
                                        "mm-1-",
                                        "mm-1-c",
                                        "mm-1-x3",
                                        "mm-1-c3x",
                                        "mm--1-c3",
                                        "mm-1-c-3",
                                        "xm-1-c3",
                                        "mm-99999999999999999999-c1",
                                        "mm-1-c262144",
                                        "mm-1-c 3"};
    mm_shown_name name;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        ck_assert_msg(!mm_shown_from_text(texts[i], &name), "%s", texts[i]);
    ck_assert(!mm_shown_from_number(0, &name));
    ck_assert(!mm_shown_from_number(1048575, &name)); /* tools count from 1 */
    ck_assert(!mm_shown_from_number(UINT64_MAX, &name));
    ck_assert(!mm_shown_from_number((UINT64_C(1) << 20) | (UINT64_C(3) << 18), &name));
}
END_TEST

START_TEST(photographs_are_found_at_the_end_of_paths)
{
    static const struct {
        const char *path;
        int64_t number; /* -1: none */
    } cases[] = {
        {"sa_12.jpg", 12},
        {"/data/local-files/?d=images/batch_000000/sa_0.jpg", 0},
        {"/data/upload/1/4f2c-sa_7.JPG", 7},
        {"a\\sa_3.jpeg", 3},
        {"sa_1/sa_2.jpg", 2},
        {"nosa_12.jpg", -1},
        {"sa_12.png", -1},
        {"sa_12.jpg.txt", -1},
        {"sa_.jpg", -1},
        {"sa_-1.jpg", -1},
        {"sa_99999999999999999999.jpg", -1},
        {"photo.jpg", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t image = 0;
        ck_assert_msg(mm_photograph_number(cases[i].path, &image) == (cases[i].number >= 0), "%s", cases[i].path);
        if (cases[i].number >= 0)
            ck_assert_uint_eq(image, (uint64_t)cases[i].number);
    }
}
END_TEST

START_TEST(ids_that_come_twice_are_noticed)
{
    mm_id_set set = {0};
    bool fresh;
    for (int round = 0; round < 2; round++)
        for (uint64_t i = 0; i < 5000; i++) {
            const uint64_t ids[] = {i, i << 32, UINT64_MAX - i};
            for (int k = 0; k < 3; k++) {
                ck_assert_int_eq(mm_id_set_add(&set, ids[k], &fresh, NULL), MM_OK);
                ck_assert(fresh == (round == 0 && !(i == 0 && k == 1)));
            }
        }
    mm_id_set_free(&set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("names");
    TCase *tests = tcase_create("names");
    tcase_add_test(tests, masks_have_names_that_come_back);
    tcase_add_test(tests, what_is_no_name_is_none);
    tcase_add_test(tests, photographs_are_found_at_the_end_of_paths);
    tcase_add_test(tests, ids_that_come_twice_are_noticed);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
