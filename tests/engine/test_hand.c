#include "check_main.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/hand.h"

static char folder[64];
static mm_error err;

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/maskmill_hand_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static mm_hand *open_hand(int rank)
{
    mm_hand *hand = NULL;
    ck_assert_int_eq(mm_hand_open(folder, rank, &hand, &err), MM_OK);
    return hand;
}

static mm_hands read_all(void)
{
    mm_hands hands;
    ck_assert_msg(mm_hands_read(folder, &hands, &err) == MM_OK, "%s", err.text);
    return hands;
}

START_TEST(notes_say_what_is_in_hand)
{
    mm_hand *first = open_hand(0), *second = open_hand(11), *idle = open_hand(2);
    ck_assert_int_eq(mm_hand_begin(first, 5, 0, &err), MM_OK);
    ck_assert_int_eq(mm_hand_begin(first, 12345678901, 1, &err), MM_OK);
    ck_assert_int_eq(mm_hand_begin(second, 0, 0, &err), MM_OK);
    mm_hands hands = read_all();
    ck_assert_uint_eq(hands.count, 2);
    ck_assert_uint_eq(hands.begun, 3);
    ck_assert_uint_eq(hands.in_hand, 3); /* both that are being made, and one that waits */
    ck_assert_uint_eq(hands.images[0] + hands.images[1], 12345678901);
    free(hands.images);

    /* Finished; and given up, which is in hand and no suspect. */
    mm_hand_put_down(second, 0);
    mm_hand_give_up(first);
    ck_assert_int_eq(mm_hand_begin(first, 9, 0, &err), MM_OK); /* too late for a note */
    mm_hand_put_down(first, 0);
    hands = read_all();
    ck_assert_uint_eq(hands.count, 0);
    ck_assert_uint_eq(hands.begun, 3);
    ck_assert_uint_eq(hands.in_hand, 2);
    free(hands.images);
    ck_assert_uint_eq(mm_hand_begun(first), 3);
    mm_hand_close(first);
    mm_hand_close(second);
    mm_hand_close(idle);
    mm_hand_close(NULL);
    ck_assert_int_eq(mm_hands_remove(folder, &err), MM_OK);
    ck_assert_int_eq(rmdir(folder), 0);
    hands = read_all(); /* no folder, no notes */
    ck_assert_uint_eq(hands.count, 0);
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    ck_assert(mkdtemp(folder) == folder);
}
END_TEST

START_TEST(notes_that_make_no_sense_are_passed_over)
{
    static const char *const texts[] = {"", "image 5 begun 1 waiting 0", "image x begun 1 waiting 0 ",
                                        "image 5 begun 1 waiting 2 ",
                                        "image 99999999999999999999999 begun -1 waiting 0 ", "nonsense"};
    mm_hand *good = open_hand(0);
    ck_assert_int_eq(mm_hand_begin(good, 7, 0, &err), MM_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (int padded = 0; padded < 2; padded++) {
            char path[128], note[97];
            (void)snprintf(path, sizeof path, "%s/hand_000001", folder);
            (void)snprintf(note, sizeof note, padded && *texts[i] ? "%-96s" : "%s", texts[i]);
            if (padded && i == 1)
                continue; /* that one is whole */
            FILE *file = fopen(path, "w");
            ck_assert_ptr_nonnull(file);
            ck_assert_int_ge(fputs(note, file), 0);
            ck_assert_int_eq(fclose(file), 0);
            const mm_hands hands = read_all();
            ck_assert_uint_eq(hands.count, 1);
            ck_assert_uint_eq(hands.begun, 1);
            free(hands.images);
        }
    mm_hand_close(good);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/hand");
    TCase *tests = tcase_create("notes");
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, notes_say_what_is_in_hand);
    tcase_add_test(tests, notes_that_make_no_sense_are_passed_over);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
