/* Files of lines that lose nothing, and answers as such lines. */
#include "check_main.h"
#include "corpus/scratch.h"

#include "journal/answer.h"
#include "journal/lines.h"
#include "maskmill/journal.h"

static mm_error err;

typedef struct seen {
    char text[32][64];
    uint64_t offset[32];
    size_t count;
} seen;

static mm_status see(void *user, const char *text, size_t size, uint64_t offset, mm_error *error)
{
    seen *s = user;
    (void)error;
    ck_assert_uint_lt(s->count, 32);
    ck_assert_uint_eq(strlen(text), size);
    (void)snprintf(s->text[s->count], sizeof s->text[0], "%s", text);
    s->offset[s->count++] = offset;
    return MM_OK;
}

static const char *journal(void)
{
    return at("answers.mma");
}

/* A head and three lines. */
static void put_three(void)
{
    mm_lines *lines;
    ck_assert_int_eq(mm_lines_open(journal(), "head", NULL, &lines, NULL, &err), MM_OK);
    for (int i = 0; i < 3; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "line %d", i);
        ck_assert_int_eq(mm_lines_append(lines, text, strlen(text), NULL, &err), MM_OK);
    }
    mm_lines_close(lines);
}

START_TEST(lines_come_back_in_order)
{
    mm_lines *lines;
    seen s = {0};
    char *text;
    size_t size;
    uint64_t cut = 7, offset;
    const mm_lines_visitor visitor = {&s, see};
    put_three();
    ck_assert_int_eq(mm_lines_open(journal(), "head", &visitor, &lines, &cut, &err), MM_OK);
    ck_assert_uint_eq(cut, 0);
    ck_assert_uint_eq(s.count, 3);
    ck_assert_str_eq(s.text[2], "line 2");
    ck_assert_int_eq(mm_lines_append(lines, "more", 4, &offset, &err), MM_OK);
    ck_assert_int_eq(mm_lines_at(lines, offset, &text, &size, &err), MM_OK);
    ck_assert_str_eq(text, "more");
    free(text);
    ck_assert_int_eq(mm_lines_at(lines, s.offset[1], &text, &size, &err), MM_OK);
    ck_assert_str_eq(text, "line 1");
    free(text);
    ck_assert_int_eq(mm_lines_at(lines, offset + 1, &text, &size, &err), MM_ERR_IO);
    ck_assert_int_eq(mm_lines_append(lines, "a\nb", 3, NULL, &err), MM_ERR_INTERNAL);
    mm_lines_close(lines);
}
END_TEST

/* Cut anywhere: the lines before are there, the file goes on behind them. */
START_TEST(a_torn_end_is_cut)
{
    size_t size;
    put_three();
    uint8_t *bytes = get_bytes(journal(), &size);
    for (size_t length = 0; length < size; length++) {
        mm_lines *lines;
        seen s = {0}, again = {0};
        uint64_t cut;
        const mm_lines_visitor visitor = {&s, see}, second = {&again, see};
        put_bytes(journal(), bytes, length);
        ck_assert_int_eq(mm_lines_open(journal(), "head", &visitor, &lines, &cut, &err), MM_OK);
        size_t newlines = 0, whole = 0;
        for (size_t i = 0; i < length; i++)
            if (bytes[i] == '\n') {
                newlines++;
                whole = i + 1;
            }
        ck_assert_uint_eq(s.count, newlines ? newlines - 1 : 0);
        ck_assert_uint_eq(cut, length - whole);
        ck_assert_int_eq(mm_lines_append(lines, "new", 3, NULL, &err), MM_OK);
        mm_lines_close(lines);
        ck_assert_int_eq(mm_lines_read(journal(), &second, NULL, &cut, &err), MM_OK);
        ck_assert_uint_eq(again.count, s.count + 1);
        ck_assert_str_eq(again.text[again.count - 1], "new");
        ck_assert_uint_eq(cut, 0);
    }
    free(bytes);
}
END_TEST

/* A machine that dies can leave zeros where the last line was to be. */
START_TEST(zeros_at_the_end_are_cut)
{
    static const uint8_t zeros[4096];
    mm_lines *lines;
    uint64_t cut;
    put_three();
    FILE *file = fopen(journal(), "ab");
    ck_assert_uint_eq(fwrite(zeros, 1, sizeof zeros, file), sizeof zeros);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(mm_lines_open(journal(), "head", NULL, &lines, &cut, &err), MM_OK);
    ck_assert_uint_eq(cut, sizeof zeros);
    mm_lines_close(lines);
}
END_TEST

START_TEST(damage_before_the_end_is_refused_and_nothing_is_cut)
{
    size_t size, after;
    put_three();
    free(get_bytes(journal(), &size));
    for (size_t i = 0; i < size - 16; i++) { /* every byte of the lines before the last */
        mm_lines *lines;
        flip_byte(journal(), i, 4);
        ck_assert_int_ne(mm_lines_open(journal(), "head", NULL, &lines, NULL, &err), MM_OK);
        ck_assert_int_eq(err.status, MM_ERR_FORMAT);
        flip_byte(journal(), i, 4);
        free(get_bytes(journal(), &after));
        ck_assert_uint_eq(after, size);
    }
}
END_TEST

START_TEST(one_process_writes_and_others_read)
{
    mm_lines *lines, *second;
    seen s = {0};
    const mm_lines_visitor visitor = {&s, see};
    put_three();
    ck_assert_int_eq(mm_lines_open(journal(), "head", NULL, &lines, NULL, &err), MM_OK);
    ck_assert_int_eq(mm_lines_open(journal(), "head", NULL, &second, NULL, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_lines_open_read(journal(), "head", &visitor, &second, &err), MM_OK);
    ck_assert_uint_eq(s.count, 3);
    ck_assert_int_eq(mm_lines_append(second, "x", 1, NULL, &err), MM_ERR_IO);
    mm_lines_close(second);
    mm_lines_close(lines);
    ck_assert_int_eq(mm_lines_open(journal(), "other head", NULL, &second, NULL, &err), MM_ERR_USAGE);
    put_text("answers.mma", "a text of somebody's, longer than a head would be\n");
    ck_assert_int_eq(mm_lines_open(journal(), "head", NULL, &second, NULL, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(mm_lines_open(at("no/folder"), "head", NULL, &second, NULL, &err), MM_ERR_IO);
}
END_TEST

START_TEST(a_full_disk_leaves_the_file_as_it_was)
{
    mm_lines *lines;
    size_t size, after;
    char text[512];
    memset(text, 'x', sizeof text);
    put_three();
    free(get_bytes(journal(), &size));
    ck_assert_int_eq(mm_lines_open(journal(), "head", NULL, &lines, NULL, &err), MM_OK);
    limit_files(size + 100);
    const mm_status status = mm_lines_append(lines, text, sizeof text, NULL, &err);
    unlimit_files();
    ck_assert_int_eq(status, MM_ERR_IO);
    free(get_bytes(journal(), &after));
    ck_assert_uint_eq(after, size);
    ck_assert_int_eq(mm_lines_append(lines, text, sizeof text, NULL, &err), MM_OK);
    mm_lines_close(lines);
}
END_TEST

/* --- answers --- */

#define ID "00112233445566778899aabbccddeeff"

static mm_status parse(const char *text, mm_person_answer *answer)
{
    return mm_answer_parse(text, strlen(text), answer, &err);
}

START_TEST(answers_go_and_come_back)
{
    mm_person_answer answer, again;
    char *text;
    /* 2 x 3 pixels, the runs 1 2 3. */
    ck_assert_int_eq(parse("{\"do\":\"accept\",\"id\":\"" ID "\",\"image\":17,\"annotator\":\"Ad\u00e4\","
                           "\"seconds\":1.25,"
                           "\"clicks\":3,\"mask\":\"mm-17-c3\",\"size\":[2,3],\"counts\":\"123\",\"new\":[1]}",
                               &answer),
                     MM_OK);
    ck_assert_int_eq(mm_answer_print(&answer, &text, &err), MM_OK);
    ck_assert_int_eq(parse(text, &again), MM_OK);
    ck_assert_int_eq(again.kind, MM_ANSWER_ACCEPT);
    ck_assert_str_eq(again.id, ID);
    ck_assert_str_eq(again.annotator, "Ad\u00e4");
    ck_assert_str_eq(again.mask, "mm-17-c3");
    ck_assert_uint_eq(again.image, 17);
    ck_assert_uint_eq(again.clicks, 3);
    ck_assert_double_eq(again.seconds, 1.25);
    ck_assert_uint_eq(again.height, 2);
    ck_assert_uint_eq(again.width, 3);
    ck_assert_uint_eq(again.size, 3);
    ck_assert_int_eq(memcmp(again.counts, "123", 3), 0);
    free(text);
    mm_answer_free(&answer);
    mm_answer_free(&again);
}
END_TEST

START_TEST(bad_answers_are_refused)
{
#define REST "\"id\":\"" ID "\",\"image\":1,\"annotator\":\"A\""
#define MASK "\"size\":[2,3],\"counts\":\"123\""
    static const char *const texts[] = {
        "", "[]", "null", "{", "{\"do\":\"done\"}", "{\"do\":\"eat\"," REST "}", "{\"do\":\"done\"," REST "} x",
        "{\"do\":\"done\",\"do\":\"done\"," REST "}",
        "{\"do\":\"done\",\"id\":\"00112233445566778899AABBCCDDEEFF\",\"image\":1,\"annotator\":\"A\"}",
        "{\"do\":\"done\",\"id\":\"../../../../../../../../etc/passwd\",\"image\":1,\"annotator\":\"A\"}",
        "{\"do\":\"done\",\"id\":\"" ID "\",\"image\":-1,\"annotator\":\"A\"}",
        "{\"do\":\"done\",\"id\":\"" ID "\",\"image\":1.5,\"annotator\":\"A\"}",
        "{\"do\":\"done\",\"id\":\"" ID "\",\"image\":1,\"annotator\":\"\"}",
        "{\"do\":\"done\",\"id\":\"" ID "\",\"image\":1,\"annotator\":\"a\\nb\"}",
        "{\"do\":\"done\",\"id\":\"" ID "\",\"image\":1,\"annotator\":\"a\\u0000b\"}",
        "{\"do\":\"done\"," REST ",\"seconds\":-1}", "{\"do\":\"done\"," REST ",\"seconds\":\"1\"}",
        "{\"do\":\"done\"," REST ",\"seconds\":1e300}", "{\"do\":\"done\"," REST ",\"clicks\":65536}",
        "{\"do\":\"delete\"," REST "}", "{\"do\":\"delete\"," REST ",\"mask\":\"a/b\"}",
        "{\"do\":\"delete\"," REST ",\"mask\":\"\"}", "{\"do\":\"accept\"," REST "}",
        "{\"do\":\"accept\"," REST ",\"size\":[2,3]}", "{\"do\":\"accept\"," REST ",\"size\":[2],\"counts\":\"123\"}",
        "{\"do\":\"accept\"," REST ",\"size\":[0,3],\"counts\":\"123\"}",
        "{\"do\":\"accept\"," REST ",\"size\":[2,4],\"counts\":\"123\"}",
        "{\"do\":\"accept\"," REST ",\"size\":[4294967296,1],\"counts\":\"123\"}",
        "{\"do\":\"accept\"," REST ",\"size\":[2,3],\"counts\":\"6\"}", /* no pixel */
        "{\"do\":\"accept\"," REST ",\"size\":[2,3],\"counts\":[1,2,3]}",
        "{\"do\":\"accept\"," REST "," MASK ",\"mask\":7}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        mm_person_answer answer;
        ck_assert_msg(parse(texts[i], &answer) == MM_ERR_FORMAT, "taken: %s", texts[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal lines");
    TCase *tests = tcase_create("lines");
    tcase_add_checked_fixture(tests, scratch_make, scratch_remove);
    tcase_set_timeout(tests, 300); /* every line waits for the disk */
    tcase_add_test(tests, lines_come_back_in_order);
    tcase_add_test(tests, a_torn_end_is_cut);
    tcase_add_test(tests, zeros_at_the_end_are_cut);
    tcase_add_test(tests, damage_before_the_end_is_refused_and_nothing_is_cut);
    tcase_add_test(tests, one_process_writes_and_others_read);
    tcase_add_test(tests, a_full_disk_leaves_the_file_as_it_was);
    tcase_add_test(tests, answers_go_and_come_back);
    tcase_add_test(tests, bad_answers_are_refused);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
