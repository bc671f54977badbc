/* The book of answers: what stands, what counts once, and what a restart finds. */
#include "check_main.h"
#include "corpus/scratch.h"

#include "annotate/book.h"

static mm_error err;
static mm_book *book;
static const mm_book_head head = {.kind = "corpus", .images = 100, .digest = 0x1234};

static void open_book(void)
{
    uint64_t cut;
    ck_assert_int_eq(mm_book_open(at("answers.mma"), &head, false, &book, &cut, &err), MM_OK);
}

/* An answer numbered so; `mask` may be NULL. Masks are 2 x 3 pixels, the runs 1 2 3. */
static mm_status add(unsigned number, mm_answer_kind kind, uint64_t image, const char *mask, bool *again)
{
    uint8_t counts[] = "123";
    mm_person_answer answer = {.kind = kind, .image = image, .annotator = "Ada", .seconds = 2, .clicks = 1};
    (void)snprintf(answer.id, sizeof answer.id, "%032x", number);
    if (mask)
        (void)snprintf(answer.mask, sizeof answer.mask, "%s", mask);
    if (kind == MM_ANSWER_ACCEPT) {
        answer.height = 2;
        answer.width = 3;
        answer.counts = counts;
        answer.size = 3;
    }
    return mm_book_add(book, &answer, again, &err);
}

static mm_status count_mask(void *user, const mm_person_answer *answer, mm_error *error)
{
    (void)error;
    ck_assert_str_eq(answer->annotator, "Ada");
    ck_assert_uint_eq(answer->size, 3);
    ++*(size_t *)user;
    return MM_OK;
}

static size_t standing(uint64_t image)
{
    size_t count = 0;
    ck_assert_int_eq(mm_book_masks(book, image, count_mask, &count, &err), MM_OK);
    return count;
}

static const char *id_of(unsigned number)
{
    static char id[MM_ANSWER_ID + 1];
    (void)snprintf(id, sizeof id, "%032x", number);
    return id;
}

static void check_all(void)
{
    ck_assert_uint_eq(standing(5), 2);
    ck_assert_uint_eq(standing(6), 0);
    ck_assert_uint_eq(standing(99), 0);
    ck_assert_uint_eq(mm_book_accepted(book), 2);
    ck_assert(mm_book_gone(book, 5, "mm-5-c1"));
    ck_assert(!mm_book_gone(book, 5, "mm-5-c2"));
    ck_assert(!mm_book_gone(book, 6, "mm-5-c1"));
    ck_assert(mm_book_has(book, id_of(1)));
    ck_assert(!mm_book_has(book, id_of(70)));
    ck_assert_int_eq(mm_book_verdict(book, 5), MM_ANSWER_DONE);
    ck_assert_int_eq(mm_book_verdict(book, 6), MM_ANSWER_SKIP);
    ck_assert_int_eq(mm_book_verdict(book, 7), MM_ANSWER_KINDS);
    ck_assert(mm_book_answered(book, 5));
    ck_assert(!mm_book_answered(book, 6));
    ck_assert_uint_eq(mm_book_images(book), 2);
}

START_TEST(what_stands_and_what_counts_once)
{
    bool again;
    open_book();
    ck_assert_int_eq(add(1, MM_ANSWER_ACCEPT, 5, NULL, &again), MM_OK);
    ck_assert(!again);
    ck_assert_int_eq(add(1, MM_ANSWER_ACCEPT, 5, NULL, &again), MM_OK);
    ck_assert(again);
    ck_assert_int_eq(add(1, MM_ANSWER_ACCEPT, 6, NULL, &again), MM_ERR_USAGE); /* another answer with its id */
    ck_assert_int_eq(add(1, MM_ANSWER_DONE, 5, NULL, &again), MM_ERR_USAGE);
    ck_assert_uint_eq(standing(5), 1);
    ck_assert_int_eq(add(2, MM_ANSWER_ACCEPT, 5, "mm-5-c1", &again), MM_OK);   /* corrects one that was shown */
    ck_assert_int_eq(add(3, MM_ANSWER_ACCEPT, 5, "mm-5-c1", &again), MM_ERR_USAGE);
    ck_assert_int_eq(add(4, MM_ANSWER_ACCEPT, 5, id_of(2), &again), MM_OK);    /* and once more */
    ck_assert_int_eq(add(5, MM_ANSWER_DELETE, 5, id_of(2), &again), MM_ERR_USAGE);
    ck_assert_int_eq(add(5, MM_ANSWER_DELETE, 6, id_of(4), &again), MM_ERR_USAGE); /* of another image */
    ck_assert_int_eq(add(5, MM_ANSWER_DELETE, 5, id_of(77), &again), MM_ERR_USAGE); /* of none */
    ck_assert_int_eq(add(6, MM_ANSWER_ACCEPT, 5, NULL, &again), MM_OK);
    ck_assert_int_eq(add(7, MM_ANSWER_DELETE, 5, id_of(1), &again), MM_OK);
    ck_assert_int_eq(add(7, MM_ANSWER_DELETE, 5, id_of(1), &again), MM_OK); /* sent again */
    ck_assert(again);
    ck_assert_int_eq(add(8, MM_ANSWER_SKIP, 5, NULL, &again), MM_OK);
    ck_assert_int_eq(add(9, MM_ANSWER_DONE, 5, NULL, &again), MM_OK);
    ck_assert_int_eq(add(10, MM_ANSWER_SKIP, 6, NULL, &again), MM_OK);
    check_all();
    mm_book_close(book);
    open_book(); /* a restart finds the same */
    check_all();
    ck_assert_int_eq(add(6, MM_ANSWER_ACCEPT, 5, NULL, &again), MM_OK);
    ck_assert(again);
    check_all();
    mm_book_close(book);
}
END_TEST

START_TEST(many_answers)
{
    enum { MANY = 900 };
    bool again;
    open_book();
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_eq(add(i, i % 3 ? MM_ANSWER_DONE : MM_ANSWER_ACCEPT, i % 200, NULL, &again), MM_OK);
    mm_book_close(book);
    open_book();
    ck_assert_uint_eq(mm_book_images(book), 200);
    ck_assert_uint_eq(mm_book_accepted(book), MANY / 3);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert(mm_book_has(book, id_of(i)));
    ck_assert(!mm_book_has(book, id_of(MANY)));
    mm_book_close(book);
}
END_TEST

START_TEST(answers_about_other_images_are_not_gone_on_with)
{
    mm_book_head other = head;
    uint64_t cut;
    open_book();
    mm_book_close(book);
    other.digest++;
    ck_assert_int_eq(mm_book_open(at("answers.mma"), &other, false, &book, &cut, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_book_open(at("answers.mma"), &other, true, &book, &cut, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_book_open(at("none.mma"), &head, true, &book, &cut, &err), MM_ERR_IO);
    ck_assert_ptr_null(book);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("annotate book");
    TCase *tests = tcase_create("book");
    tcase_add_checked_fixture(tests, scratch_make, scratch_remove);
    tcase_set_timeout(tests, 300); /* every line waits for the disk */
    tcase_add_test(tests, what_stands_and_what_counts_once);
    tcase_add_test(tests, many_answers);
    tcase_add_test(tests, answers_about_other_images_are_not_gone_on_with);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
