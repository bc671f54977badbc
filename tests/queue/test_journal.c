/* Journals of `annotate` as answers: what was left, corrected, deleted, accepted and drawn, step by step. */
#include "check_main.h"
#include "corpus/scratch.h"
#include "image_fixture.h"

#include "journal/answer.h"
#include "journal/lines.h"
#include "queue/answers.h"
#include "queue/queue.h"

/* One image of 40 x 40 with two confident masks and a hint, in a shard of its own. */
static const box confident[] = {{0, 0, 10, 10}, {20, 20, 30, 30}}, hints[] = {{0, 30, 8, 38}};
static const scene shown_scene = {.confident = confident, .confident_count = 2, .hints = hints, .hint_count = 1,
                                  .hint_iou = 0.8f};
static mm_queue_image image = {.image_id = IMAGE, .row = 0, .width = SIDE, .height = SIDE};
static uint32_t by_id[1];
static mm_queue queue = {.folder = (char *)"queue", .rows = {.items = &image, .count = 1}, .by_id = by_id};

typedef struct reading {
    mm_answers answers;
    mm_answer_faults faults;
    mm_status status;
    mm_error err;
} reading;

static mm_error err;
static char path[512];
static mm_lines *lines;
static unsigned number;

static void set_up(void)
{
    const mm_shard_origin origin = {.config_yaml = "amg:\n  points_per_side: 32\n", .model_name = "tiny",
                                    .model_sha256 = "0000000000000000000000000000000000000000000000000000000000000000",
                                    .confident = true, .hints = true};
    const char *name = "a.jpg";
    mm_record record = record_of(&shown_scene);
    char shard[512];
    scratch_make();
    ck_assert_int_eq(mkdir(at("shards"), 0755), 0);
    ck_assert_msg(mm_shard_write(scratch, 0, IMAGE, &record, &name, 1, &origin, &err) == MM_OK, "%s", err.text);
    mm_record_free(&record);
    ck_assert_int_eq(mm_shard_path(scratch, 0, shard, sizeof shard, &err), MM_OK);
    ck_assert_int_eq(mm_dataset_open(shard, &queue.dataset, &err), MM_OK);
    (void)snprintf(path, sizeof path, "%s/answers.mma", scratch);
    ck_assert_int_eq(mm_lines_open(path, "{\"maskmill\":\"answers\",\"format\":1}", NULL, &lines, NULL, &err), MM_OK);
    number = 0;
}

static void tear_down(void)
{
    mm_lines_close(lines);
    mm_dataset_close(queue.dataset);
    scratch_remove();
}

/* A step, with a box for a mask if it has one; returns its id. */
static const char *put(const char *what, const char *mask, const box *drawn, uint64_t of)
{
    static char ids[8][MM_ANSWER_ID + 1];
    char *id = ids[number % 8], *text;
    mm_person_answer answer = {.image = of, .annotator = "Ada", .seconds = 3, .clicks = 2};
    (void)snprintf(id, sizeof ids[0], "%032x", ++number);
    memcpy(answer.id, id, sizeof answer.id);
    while (strcmp(mm_answer_kind_name(answer.kind), what) != 0)
        answer.kind++;
    if (mask)
        (void)snprintf(answer.mask, sizeof answer.mask, "%s", mask);
    if (drawn) {
        mm_rle rle = box_mask(*drawn);
        ck_assert_int_eq(mm_rle_to_counts(&rle, &answer.counts, &answer.size, &err), MM_OK);
        answer.height = answer.width = SIDE;
        mm_rle_free(&rle);
    }
    ck_assert_int_eq(mm_answer_print(&answer, &text, &err), MM_OK);
    ck_assert_int_eq(mm_lines_append(lines, text, strlen(text), NULL, &err), MM_OK);
    free(text);
    mm_answer_free(&answer);
    return id;
}

static reading read_all(void)
{
    reading r = {0};
    ck_assert_int_eq(mm_answers_new(&queue, &r.answers, &r.err), MM_OK);
    r.status = mm_answers_read(&queue, path, NULL, &r.answers, &r.faults, &r.err);
    return r;
}

static bool is_box(const mm_answer_mask *mask, box b)
{
    mm_rle rle = box_mask(b);
    uint8_t *counts;
    size_t size;
    ck_assert_int_eq(mm_rle_to_counts(&rle, &counts, &size, &err), MM_OK);
    const bool same = size == mask->size && memcmp(counts, mask->counts, size) == 0;
    free(counts);
    mm_rle_free(&rle);
    return same;
}

static bool is_named(const mm_answer_mask *mask, mm_shown_kind kind, uint32_t index)
{
    return mask->named && mask->name.image_id == IMAGE && mask->name.kind == kind && mask->name.index == index;
}

START_TEST(masks_that_were_left_alone_stay)
{
    (void)put("done", NULL, NULL, IMAGE);
    reading r = read_all();
    ck_assert_msg(r.status == MM_OK && r.faults.refused == 0, "%s %s", r.err.text, r.faults.first);
    ck_assert_uint_eq(r.answers.count, 1);
    ck_assert_uint_eq(r.answers.items[0].count, 2); /* the hint is none */
    ck_assert(is_named(&r.answers.items[0].masks[0], MM_SHOWN_CONFIDENT, 0));
    ck_assert(is_box(&r.answers.items[0].masks[1], confident[1]));
    ck_assert_double_eq(r.answers.items[0].seconds, 3);
    mm_answers_free(&r.answers);
}
END_TEST

START_TEST(steps_add_up)
{
    const box drawn = {12, 2, 18, 9}, better = {0, 0, 11, 10}, best = {0, 0, 12, 10}, wrong = {1, 1, 2, 2};
    (void)put("delete", "mm-17-c1", NULL, IMAGE);
    (void)put("accept", NULL, &drawn, IMAGE);
    const char *corrected = put("accept", "mm-17-c0", &better, IMAGE);
    (void)put("accept", corrected, &best, IMAGE); /* once more: it still stands for the first */
    (void)put("accept", "mm-17-h0", &hints[0], IMAGE);
    const char *mistake = put("accept", NULL, &wrong, IMAGE);
    (void)put("delete", mistake, NULL, IMAGE);
    reading r = read_all();
    ck_assert_msg(r.status == MM_OK && r.faults.refused == 0, "%s %s", r.err.text, r.faults.first);
    ck_assert_uint_eq(r.answers.count, 1);
    const mm_answer *answer = &r.answers.items[0];
    ck_assert_uint_eq(answer->count, 3);
    ck_assert(is_box(&answer->masks[0], drawn) && !answer->masks[0].named);
    ck_assert(is_box(&answer->masks[1], best) && is_named(&answer->masks[1], MM_SHOWN_CONFIDENT, 0));
    ck_assert(is_box(&answer->masks[2], hints[0]) && is_named(&answer->masks[2], MM_SHOWN_HINT, 0));
    for (size_t i = 0; i < 3; i++) {
        ck_assert(answer->masks[i].exact && !answer->masks[i].is_hint);
        ck_assert_str_eq(r.answers.annotators[answer->masks[i].annotator - 1], "Ada");
        ck_assert_uint_eq(answer->masks[i].clicks, 2);
        ck_assert_float_eq(answer->masks[i].seconds, 3);
    }
    mm_answers_free(&r.answers);
}
END_TEST

START_TEST(what_was_only_skipped_is_no_answer)
{
    (void)put("skip", NULL, NULL, IMAGE);
    reading r = read_all();
    ck_assert_int_eq(r.status, MM_OK);
    ck_assert_uint_eq(r.answers.count, 0);
    mm_answers_free(&r.answers);
}
END_TEST

START_TEST(bad_steps_are_told_and_left_out)
{
    const box drawn = {12, 2, 18, 9};
    (void)put("done", NULL, NULL, 99);                /* of no image of the queue */
    (void)put("delete", "mm-17", NULL, IMAGE);        /* no name */
    (void)put("accept", "0123456789abcdef0123456789abcdef", &drawn, IMAGE); /* no such mask */
    ck_assert_int_eq(mm_lines_append(lines, "{\"do\":\"done\"}", 13, NULL, &err), MM_OK);
    (void)put("done", NULL, NULL, IMAGE);
    number--;
    (void)put("done", NULL, NULL, IMAGE); /* an id that is there */
    reading r = read_all();
    ck_assert_int_eq(r.status, MM_OK);
    ck_assert_uint_eq(r.faults.refused, 5);
    ck_assert_uint_eq(r.answers.items[0].count, 2);
    mm_answers_free(&r.answers);
}
END_TEST

START_TEST(files_that_are_none)
{
    put_text("answers.mma", "00000000 {}\n");
    reading r = read_all();
    ck_assert_int_eq(r.status, MM_ERR_FORMAT);
    mm_answers_free(&r.answers);
    put_text("answers.mma", "deadbeef");
    r = read_all();
    ck_assert_int_eq(r.status, MM_ERR_FORMAT);
    mm_answers_free(&r.answers);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue journal");
    TCase *tests = tcase_create("journal");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, masks_that_were_left_alone_stay);
    tcase_add_test(tests, steps_add_up);
    tcase_add_test(tests, what_was_only_skipped_is_no_answer);
    tcase_add_test(tests, bad_steps_are_told_and_left_out);
    tcase_add_test(tests, files_that_are_none);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
