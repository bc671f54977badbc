#include "check_main.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/crc32c.h"
#include "maskmill/journal.h"

enum { IMAGES = 5, FIRST = 40, HEADER = 56, AROUND = 16 };

static char folder[64], path[80];
static mm_error err;
static const mm_journal_origin origin = {.shard = 8, .first_image = FIRST, .images = IMAGES, .run = "0123456789abcde"};

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/maskmill_journal_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/sa_000008.mmj", folder);
}

static void remove_folder(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

/* --- CRC-32C --- */

START_TEST(crc32c_has_its_published_values)
{
    uint8_t bytes[48] = {0};
    ck_assert_uint_eq(mm_crc32c(0, "123456789", 9), 0xe3069283u);
    /* RFC 3720, B.4 */
    ck_assert_uint_eq(mm_crc32c(0, bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_uint_eq(mm_crc32c(0, bytes, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    ck_assert_uint_eq(mm_crc32c(0, bytes, 32), 0x46dd794eu);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    ck_assert_uint_eq(mm_crc32c(0, bytes, 32), 0x113fdb5cu);
    ck_assert_uint_eq(mm_crc32c(0, bytes, 0), 0);
}
END_TEST

START_TEST(both_ways_to_a_crc_are_equal_and_go_on_anywhere)
{
    uint8_t bytes[300];
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
    for (size_t start = 0; start < 9; start++)
        for (size_t size = 0; size + start <= sizeof bytes; size += 7) {
            const uint32_t whole = mm_crc32c_portable(0, bytes + start, size);
            if (mm_crc32c_has_instruction())
                ck_assert_uint_eq(mm_crc32c_instruction(0, bytes + start, size), whole);
            const size_t half = size / 3;
            ck_assert_uint_eq(mm_crc32c(mm_crc32c(0, bytes + start, half), bytes + start + half, size - half), whole);
        }
}
END_TEST

/* --- Journals --- */

typedef struct seen {
    uint64_t ids[IMAGES];
    size_t sizes[IMAGES], count;
    uint64_t refuse; /* an id that the visitor finds damaged */
    mm_status fail;  /* what it returns for any */
} seen;

static size_t size_of(uint64_t image_id)
{
    return (size_t)(image_id - FIRST) * 3; /* the first is empty */
}

static void fill(uint64_t image_id, uint8_t payload[3 * IMAGES])
{
    for (size_t i = 0; i < size_of(image_id); i++)
        payload[i] = (uint8_t)(image_id * 7 + i);
}

static mm_status visit(void *user, uint64_t image_id, const uint8_t *payload, size_t size, mm_error *why)
{
    seen *s = user;
    uint8_t expected[3 * IMAGES] = {0};
    if (s->fail != MM_OK)
        return mm_fail(why, s->fail, "the visitor's own");
    if (image_id == s->refuse)
        return MM_ERR_FORMAT;
    ck_assert_uint_lt(s->count, IMAGES);
    fill(image_id, expected);
    ck_assert_uint_eq(size, size_of(image_id));
    ck_assert(size == 0 || memcmp(payload, expected, size) == 0);
    s->ids[s->count] = image_id;
    s->sizes[s->count++] = size;
    return MM_OK;
}

static mm_journal *open_it(seen *s, uint64_t *cut)
{
    const mm_journal_visitor visitor = {s, visit};
    mm_journal *journal = NULL;
    *cut = 12345;
    ck_assert_msg(mm_journal_open(path, &origin, s ? &visitor : NULL, &journal, cut, &err) == MM_OK, "%s", err.text);
    return journal;
}

static void append(mm_journal *journal, uint64_t image_id)
{
    uint8_t payload[3 * IMAGES] = {0};
    fill(image_id, payload);
    ck_assert_msg(mm_journal_append(journal, image_id, payload, size_of(image_id), &err) == MM_OK, "%s", err.text);
}

static off_t file_size(void)
{
    struct stat about;
    ck_assert_int_eq(stat(path, &about), 0);
    return about.st_size;
}

static void expect_record(mm_journal *journal, uint64_t image_id)
{
    uint8_t expected[3 * IMAGES] = {0}, *payload = NULL;
    size_t size = 0;
    fill(image_id, expected);
    ck_assert(mm_journal_has(journal, image_id));
    ck_assert_int_eq(mm_journal_read(journal, image_id, &payload, &size, &err), MM_OK);
    ck_assert_uint_eq(size, size_of(image_id));
    ck_assert(size == 0 || memcmp(payload, expected, size) == 0);
    free(payload);
}

/* Records of 43, 40 and 44, in this order. */
static void write_three(void)
{
    uint64_t cut = 0;
    mm_journal *journal = open_it(NULL, &cut);
    ck_assert_uint_eq(cut, 0);
    append(journal, 43);
    append(journal, 40);
    append(journal, 44);
    ck_assert_int_eq(mm_journal_sync(journal, &err), MM_OK);
    mm_journal_close(journal);
}

START_TEST(what_was_written_is_read_in_any_order_and_after_opening_again)
{
    uint64_t cut = 0;
    write_three();
    ck_assert_int_eq(file_size(), HEADER + 3 * AROUND + 9 + 0 + 12);
    seen s = {.count = 0};
    mm_journal *journal = open_it(&s, &cut);
    ck_assert_uint_eq(cut, 0);
    ck_assert_uint_eq(s.count, 3);
    ck_assert(s.ids[0] == 43 && s.ids[1] == 40 && s.ids[2] == 44);
    ck_assert_uint_eq(mm_journal_records(journal), 3);
    ck_assert(!mm_journal_has(journal, 41) && !mm_journal_has(journal, 39) && !mm_journal_has(journal, 45));
    ck_assert_int_eq(mm_journal_rest(journal, &err), MM_OK);
    append(journal, 41); /* opens the file again */
    ck_assert_int_eq(mm_journal_rest(journal, &err), MM_OK);
    expect_record(journal, 44);
    expect_record(journal, 41);
    expect_record(journal, 40);
    uint8_t *payload = NULL;
    size_t size = 0;
    ck_assert_int_eq(mm_journal_read(journal, 42, &payload, &size, &err), MM_ERR_INTERNAL);
    mm_journal_close(journal);
    mm_journal_close(NULL);
}
END_TEST

/* The bytes, written out by hand as docs/formats.md has them. */
START_TEST(the_file_is_as_documented)
{
    static const uint8_t expected[] = {
        'M', 'M', 'J', '\r', '\n', 0x1a, '\n', 0, 1, 0, 0, 0, 56, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0,
        40, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 0,
        /* CRC-32C of these 52 */ 0, 0, 0, 0,
        3, 0, 0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 31, 32, 33, /* CRC-32C of these 15 */ 0, 0, 0, 0};
    uint8_t found[sizeof expected + 1], by_hand[sizeof expected];
    uint64_t cut = 0;
    mm_journal *journal = open_it(NULL, &cut);
    append(journal, 41);
    mm_journal_close(journal);
    memcpy(by_hand, expected, sizeof expected);
    const uint32_t header = mm_crc32c_portable(0, by_hand, 52), frame = mm_crc32c_portable(0, by_hand + 56, 15);
    memcpy(by_hand + 52, &header, 4);
    memcpy(by_hand + 71, &frame, 4);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(found, 1, sizeof found, file), sizeof by_hand);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_mem_eq(found, by_hand, sizeof by_hand);
}
END_TEST

/* Cut at every byte, from nothing to all: what is whole stays, the rest goes, and records can be added again. */
START_TEST(a_journal_cut_at_any_byte_keeps_what_is_whole)
{
    static const uint64_t order[] = {43, 40, 44};
    write_three();
    const off_t whole = file_size();
    for (off_t length = 0; length <= whole; length++) {
        off_t end = HEADER, kept = 0;
        ck_assert_int_eq(unlink(path), 0);
        write_three();
        ck_assert_int_eq(truncate(path, length), 0);
        for (size_t i = 0; i < 3 && length >= end + AROUND + (off_t)size_of(order[i]); i++, kept++)
            end += AROUND + (off_t)size_of(order[i]);
        seen s = {.count = 0};
        uint64_t cut = 0;
        mm_journal *journal = open_it(&s, &cut);
        ck_assert_uint_eq(s.count, (size_t)kept);
        ck_assert_uint_eq(cut, (uint64_t)(length >= HEADER ? length - end : length));
        ck_assert_int_eq(file_size(), end);
        for (size_t i = 0; i < 3; i++)
            ck_assert_int_eq(mm_journal_has(journal, order[i]), (off_t)i < kept);
        for (size_t i = (size_t)kept; i < 3; i++)
            append(journal, order[i]);
        ck_assert_int_eq(file_size(), whole);
        mm_journal_close(journal);
        s = (seen){.count = 0};
        journal = open_it(&s, &cut);
        ck_assert(cut == 0 && s.count == 3);
        mm_journal_close(journal);
    }
}
END_TEST

/* Every single byte turned over: never taken for whole, never a crash; records before it stay. */
START_TEST(a_damaged_byte_ends_the_journal_there)
{
    write_three();
    const off_t whole = file_size();
    const off_t starts[] = {HEADER, HEADER + AROUND + 9, HEADER + 2 * AROUND + 9, whole};
    for (off_t at = 0; at < whole; at++) {
        ck_assert_int_eq(unlink(path), 0);
        write_three();
        FILE *file = fopen(path, "r+b");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(fseek(file, at, SEEK_SET), 0);
        const int byte = fgetc(file);
        ck_assert_int_eq(fseek(file, at, SEEK_SET), 0);
        ck_assert_int_ne(fputc(byte ^ 0x10, file), EOF);
        ck_assert_int_eq(fclose(file), 0);
        size_t before = 0;
        while (at >= HEADER && at >= starts[before + 1])
            before++;
        seen s = {.count = 0};
        uint64_t cut = 0;
        mm_journal *journal = open_it(&s, &cut);
        ck_assert_uint_eq(s.count, before);
        ck_assert_uint_eq(cut, (uint64_t)(whole - (at < HEADER ? 0 : starts[before])));
        mm_journal_close(journal);
    }
}
END_TEST

START_TEST(a_visitor_may_call_a_record_damaged_or_fail)
{
    uint64_t cut = 0;
    write_three();
    seen s = {.fail = MM_ERR_NOMEM};
    const mm_journal_visitor visitor = {&s, visit};
    mm_journal *journal = NULL;
    const off_t whole = file_size();
    ck_assert_int_eq(mm_journal_open(path, &origin, &visitor, &journal, &cut, &err), MM_ERR_NOMEM);
    ck_assert_ptr_nonnull(strstr(err.text, "the visitor's own"));
    ck_assert_int_eq(file_size(), whole); /* nothing is cut for that */
    s = (seen){.refuse = 40};
    journal = open_it(&s, &cut);
    ck_assert_uint_eq(s.count, 1);
    ck_assert_uint_eq(mm_journal_records(journal), 1);
    ck_assert_uint_eq(cut, 2 * AROUND + 12);
    mm_journal_close(journal);
}
END_TEST

START_TEST(journals_of_other_runs_shards_and_versions_are_refused)
{
    uint64_t cut = 0;
    write_three();
    const off_t whole = file_size();
    mm_journal_origin others[] = {origin, origin, origin, origin};
    others[0].shard++;
    others[1].first_image++;
    others[2].images++;
    others[3].run[15]++;
    mm_journal *journal = NULL;
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(mm_journal_open(path, &others[i], NULL, &journal, &cut, &err), MM_ERR_FORMAT);
        ck_assert_ptr_nonnull(strstr(err.text, path));
    }
    /* Version 2, with a good checksum. */
    uint8_t header[HEADER];
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(header, 1, HEADER, file), HEADER);
    header[8] = 2;
    const uint32_t crc = mm_crc32c(0, header, HEADER - 4);
    memcpy(header + HEADER - 4, &crc, 4);
    rewind(file);
    ck_assert_uint_eq(fwrite(header, 1, HEADER, file), HEADER);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(mm_journal_open(path, &origin, NULL, &journal, &cut, &err), MM_ERR_UNSUPPORTED);
    ck_assert_int_eq(file_size(), whole); /* none of them was touched */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    ck_assert_int_ne(mm_journal_open(path, &origin, NULL, &journal, &cut, &err), MM_OK);
}
END_TEST

START_TEST(images_that_do_not_belong_or_come_twice_are_refused)
{
    uint64_t cut = 0;
    mm_journal *journal = open_it(NULL, &cut);
    append(journal, 42);
    const off_t before = file_size();
    ck_assert_int_eq(mm_journal_append(journal, 42, "x", 1, &err), MM_ERR_INTERNAL);
    ck_assert_ptr_nonnull(strstr(err.text, "twice"));
    ck_assert_int_eq(mm_journal_append(journal, 39, "x", 1, &err), MM_ERR_INTERNAL);
    ck_assert_int_eq(mm_journal_append(journal, 45, "x", 1, &err), MM_ERR_INTERNAL);
    ck_assert_int_eq(mm_journal_append(journal, UINT64_MAX, "x", 1, &err), MM_ERR_INTERNAL);
    ck_assert_int_eq(file_size(), before);
    mm_journal_close(journal);
}
END_TEST

START_TEST(a_reduced_journal_keeps_the_images_named)
{
    static const uint64_t kept[] = {40, 44};
    uint64_t cut = 0;
    write_three();
    mm_journal *journal = open_it(NULL, &cut);
    ck_assert_int_eq(mm_journal_reduce(journal, kept, 2, &err), MM_OK);
    mm_journal_close(journal);
    seen s = {.count = 0};
    journal = open_it(&s, &cut);
    ck_assert(cut == 0 && s.count == 2 && s.ids[0] == 40 && s.ids[1] == 44);
    ck_assert_int_eq(mm_journal_reduce(journal, NULL, 0, &err), MM_OK);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(mm_journal_reduce(journal, NULL, 0, &err), MM_OK); /* gone already */
    mm_journal_close(journal);
}
END_TEST

/* A disk that is full at every possible byte of a record: the line says so, the journal is as before, and takes the
 * record when there is room. */
START_TEST(a_full_disk_leaves_the_journal_as_it_was)
{
    uint64_t cut = 0;
    mm_journal *journal = open_it(NULL, &cut);
    append(journal, 43);
    const off_t before = file_size(), after = before + AROUND + 12;
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    uint8_t payload[3 * IMAGES] = {0};
    fill(44, payload);
    for (off_t room = before; room < after; room++) {
        const struct rlimit less = {(rlim_t)room, limit.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &less), 0);
        ck_assert_int_eq(mm_journal_append(journal, 44, payload, size_of(44), &err), MM_ERR_IO);
        ck_assert_ptr_nonnull(strstr(err.text, "make room"));
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        ck_assert_int_eq(file_size(), before);
        ck_assert_uint_eq(mm_journal_records(journal), 1);
    }
    append(journal, 44);
    mm_journal_close(journal);
    seen s = {.count = 0};
    journal = open_it(&s, &cut);
    ck_assert(cut == 0 && s.count == 2);
    mm_journal_close(journal);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal/journal");
    TCase *crc = tcase_create("CRC-32C");
    tcase_add_test(crc, crc32c_has_its_published_values);
    tcase_add_test(crc, both_ways_to_a_crc_are_equal_and_go_on_anywhere);
    suite_add_tcase(suite, crc);
    TCase *tests = tcase_create("journals");
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, what_was_written_is_read_in_any_order_and_after_opening_again);
    tcase_add_test(tests, the_file_is_as_documented);
    tcase_add_test(tests, a_journal_cut_at_any_byte_keeps_what_is_whole);
    tcase_add_test(tests, a_damaged_byte_ends_the_journal_there);
    tcase_add_test(tests, a_visitor_may_call_a_record_damaged_or_fail);
    tcase_add_test(tests, journals_of_other_runs_shards_and_versions_are_refused);
    tcase_add_test(tests, images_that_do_not_belong_or_come_twice_are_refused);
    tcase_add_test(tests, a_reduced_journal_keeps_the_images_named);
    tcase_add_test(tests, a_full_disk_leaves_the_journal_as_it_was);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
