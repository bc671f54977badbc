/* Records with more than the seven columns, and with further masks. */
#include "check_main.h"

#include <math.h>
#include <string.h>

#include "journal/columns.h"

static mm_error err;

enum { WIDTH = 4, HEIGHT = 3 };

/* `count` masks, each the first i + 1 rows. */
static mm_annotations make_annotations(size_t count)
{
    mm_annotations a = {.width = WIDTH, .height = HEIGHT, .count = count, .funnel = {12, 11, 10, 9, 8, 7, 6, count}};
    a.items = calloc(count + 1, sizeof *a.items);
    for (size_t i = 0; i < count; i++) {
        uint8_t bits[WIDTH * HEIGHT] = {0};
        memset(bits, 1, WIDTH * (i + 1));
        a.items[i] = (mm_annotation){.bbox = {0, 0, WIDTH - 1, (float)i}, .area = (uint32_t)(WIDTH * (i + 1)),
                                     .predicted_iou = 0.5f + 0.1f * (float)i, .stability_score = 0.9f};
        ck_assert_int_eq(mm_rle_from_bits(bits, HEIGHT, WIDTH, &a.items[i].rle, &err), MM_OK);
    }
    return a;
}

static mm_record make_record(void)
{
    static const float scores[2] = {0.75f, 0.5f};
    mm_annotations masks = make_annotations(1), confident = make_annotations(2), hints = make_annotations(3);
    mm_record record;
    ck_assert_int_eq(mm_record_from_annotations(7, &masks, &record, &err), MM_OK);
    ck_assert_int_eq(mm_record_make_human(&record, &err), MM_OK);
    record.annotator[0] = 2;
    record.seconds[0] = 34.5f;
    record.clicks[0] = 5;
    ck_assert_int_eq(mm_record_set_confident(&record, &confident, scores, &err), MM_OK);
    ck_assert_int_eq(mm_record_set_confident(&record, &confident, scores, &err), MM_OK); /* in place of the first */
    ck_assert_int_eq(mm_record_set_hints(&record, &hints, &err), MM_OK);
    mm_annotations_free(&masks);
    mm_annotations_free(&confident);
    mm_annotations_free(&hints);
    return record;
}

static mm_status unpack_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* on the heap, so that reading past its end is seen */
    memcpy(copy, bytes, size);
    mm_record record;
    const mm_status status = mm_record_unpack(copy, size, &record, &err);
    if (status == MM_OK)
        mm_record_free(&record);
    else
        ck_assert(!record.rle && !record.confident && !record.hints);
    free(copy);
    return status;
}

START_TEST(further_masks_travel)
{
    mm_record record = make_record(), again;
    uint8_t *bytes, *twice;
    size_t size, size_twice;
    ck_assert_int_eq(mm_record_pack(&record, &bytes, &size, &err), MM_OK);
    ck_assert_uint_eq(bytes[26], 1 + 4 + 8);
    ck_assert_msg(mm_record_unpack(bytes, size, &again, &err) == MM_OK, "%s", err.text);
    ck_assert(again.annotator[0] == 2 && again.seconds[0] == 34.5f && again.clicks[0] == 5);
    ck_assert_ptr_null(again.detector_score);
    ck_assert_uint_eq(again.funnel.candidates, 12);
    ck_assert_uint_eq(again.confident->mask_count, 2);
    ck_assert_uint_eq(again.confident->image_id, 7);
    ck_assert(again.confident->detector_score[1] == 0.5f && again.confident->source[1] == 1);
    ck_assert(!again.confident->annotator && again.confident->funnel.candidates == 0);
    ck_assert_uint_eq(again.hints->mask_count, 3);
    ck_assert_uint_eq(again.hints->area[2], 12);
    ck_assert(!again.hints->detector_score && again.hints->source[2] == 0);
    ck_assert_int_eq(mm_record_pack(&again, &twice, &size_twice, &err), MM_OK);
    ck_assert_uint_eq(size, size_twice);
    ck_assert_mem_eq(bytes, twice, size);
    free(bytes);
    free(twice);
    mm_record_free(&again);
    mm_record_free(&record);
    ck_assert(!record.confident && !record.annotator);
}
END_TEST

/* The bytes as docs/formats.md puts them: sizes of the parts. */
START_TEST(the_packed_form_is_as_documented)
{
    mm_record record = make_record();
    uint8_t *bytes;
    size_t size;
    uint64_t length;
    ck_assert_int_eq(mm_record_pack(&record, &bytes, &size, &err), MM_OK);
    const size_t own = 112 + (53 + 8) + 8 + 8 + (size_t)record.rle_offset[1];
    memcpy(&length, bytes + own, sizeof length);
    ck_assert_uint_eq(length, 112 + 2 * (53 + 4) + 3 * 8 + record.confident->rle_offset[2]);
    ck_assert_mem_eq(bytes + own + 8, "MMR1", 4);
    ck_assert_uint_eq(bytes[own + 8 + 26], 2);
    const size_t at = own + 8 + (size_t)length;
    memcpy(&length, bytes + at, sizeof length);
    ck_assert_uint_eq(length, 112 + 3 * 53 + 4 * 8 + record.hints->rle_offset[3]);
    ck_assert_uint_eq(bytes[at + 8 + 26], 0);
    ck_assert_uint_eq(at + 8 + length, size);
    free(bytes);
    mm_record_free(&record);
}
END_TEST

START_TEST(damage_is_refused_or_harmless)
{
    mm_record record = make_record();
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(mm_record_pack(&record, &bytes, &size, &err), MM_OK);
    for (size_t length = 0; length < size; length++)
        ck_assert_int_eq(unpack_copy(bytes, length), MM_ERR_FORMAT);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1u << bit);
            const mm_status status = unpack_copy(bytes, size);
            ck_assert(status == MM_OK || status == MM_ERR_FORMAT || status == MM_ERR_LIMIT);
            if (i == 26)
                ck_assert_msg(status == MM_ERR_FORMAT, "flag %d", bit);
            bytes[i] ^= (uint8_t)(1u << bit);
        }
    uint8_t *longer = calloc(1, size + 1);
    memcpy(longer, bytes, size);
    ck_assert_int_eq(unpack_copy(longer, size + 1), MM_ERR_FORMAT);
    free(longer);
    /* Lengths of the further masks that lie. */
    const size_t own = 112 + (53 + 8) + 8 + 8 + (size_t)record.rle_offset[1];
    static const uint64_t lies[] = {0, 1, 119, UINT64_MAX, UINT64_MAX - 7, 1ull << 40};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        memcpy(bytes + own, &lies[i], sizeof lies[i]);
        ck_assert_int_eq(unpack_copy(bytes, size), MM_ERR_FORMAT);
    }
    free(bytes);
    mm_record_free(&record);
}
END_TEST

/* Pack as it is, which is refused. */
static void expect_refused(mm_record *record, const char *word)
{
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(mm_record_pack(record, &bytes, &size, &err), MM_ERR_FORMAT);
    ck_assert_msg(strstr(err.text, word) != NULL, "%s", err.text);
    ck_assert_ptr_null(bytes);
    mm_record_free(record);
}

START_TEST(further_masks_belong_to_their_image)
{
    mm_record record = make_record();
    record.confident->image_id = 8;
    expect_refused(&record, "confident masks of another image");
    record = make_record();
    record.hints->width = 5;
    expect_refused(&record, "hints of another image");
    record = make_record();
    free(record.confident->detector_score);
    record.confident->detector_score = NULL;
    expect_refused(&record, "confident masks are not of their kind");
    record = make_record();
    ck_assert_int_eq(mm_record_make_human(record.hints, &err), MM_OK);
    expect_refused(&record, "hints are not of their kind");
    record = make_record();
    record.status = MM_IMAGE_SET_ASIDE;
    expect_refused(&record, "is not done but has");
    record = make_record();
    record.detector_score = calloc(1, sizeof *record.detector_score);
    expect_refused(&record, "masks that are not confident ones have scores");

    /* Frames must be the same, and scores there. */
    mm_annotations other = make_annotations(1);
    other.width = 9;
    record = make_record();
    ck_assert_int_eq(mm_record_set_hints(&record, &other, &err), MM_ERR_INTERNAL);
    other.width = WIDTH;
    ck_assert_int_eq(mm_record_set_confident(&record, &other, NULL, &err), MM_ERR_INTERNAL);
    ck_assert_uint_eq(record.confident->mask_count, 2);
    mm_annotations_free(&other);
    other = make_annotations(0);
    ck_assert_int_eq(mm_record_set_confident(&record, &other, NULL, &err), MM_OK);
    ck_assert(record.confident->mask_count == 0 && record.confident->detector_score);
    mm_annotations_free(&other);
    mm_record_free(&record);
}
END_TEST

START_TEST(values_that_cannot_be_are_refused)
{
    static const float bad_scores[] = {-0.1f, 1.1f, NAN, INFINITY}, bad_seconds[] = {-1, NAN, INFINITY};
    mm_record record = make_record();
    uint8_t *bytes;
    size_t size;
    for (size_t i = 0; i < sizeof bad_scores / sizeof bad_scores[0]; i++) {
        record.confident->detector_score[1] = bad_scores[i];
        ck_assert_int_eq(mm_record_pack(&record, &bytes, &size, &err), MM_OK);
        ck_assert_int_eq(unpack_copy(bytes, size), MM_ERR_FORMAT);
        free(bytes);
    }
    record.confident->detector_score[1] = 1;
    for (size_t i = 0; i < sizeof bad_seconds / sizeof bad_seconds[0]; i++) {
        record.seconds[0] = bad_seconds[i];
        ck_assert_int_eq(mm_record_pack(&record, &bytes, &size, &err), MM_OK);
        ck_assert_int_eq(unpack_copy(bytes, size), MM_ERR_FORMAT);
        free(bytes);
    }
    mm_record_free(&record);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal/further");
    TCase *tests = tcase_create("further");
    tcase_add_test(tests, further_masks_travel);
    tcase_add_test(tests, the_packed_form_is_as_documented);
    tcase_add_test(tests, damage_is_refused_or_harmless);
    tcase_add_test(tests, further_masks_belong_to_their_image);
    tcase_add_test(tests, values_that_cannot_be_are_refused);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
