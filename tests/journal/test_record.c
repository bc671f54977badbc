#include "check_main.h"

#include <math.h>
#include <string.h>

#include "maskmill/journal.h"

static mm_error err;

/* Two masks of 3 x 4 pixels: one pixel at (1, 0), and the right half. */
static mm_record make_record(void)
{
    static const uint8_t pixel[12] = {0, 1}, half[12] = {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1};
    mm_annotation items[2] = {
        {.bbox = {1, 0, 0, 0},
         .area = 1,
         .predicted_iou = 0.9f,
         .stability_score = NAN,
         .point_coords = {1.5f, 0.5f},
         .crop_box = {0, 0, 4, 3}},
        {.bbox = {2, 0, 1, 2},
         .area = 6,
         .predicted_iou = 0.95f,
         .stability_score = 0.97f,
         .point_coords = {3.5f, 1.5f},
         .crop_box = {0, 0, 4, 3}},
    };
    ck_assert_int_eq(mm_rle_from_bits(pixel, 3, 4, &items[0].rle, &err), MM_OK);
    ck_assert_int_eq(mm_rle_from_bits(half, 3, 4, &items[1].rle, &err), MM_OK);
    const mm_annotations annotations = {
        .width = 4, .height = 3, .items = items, .count = 2, .funnel = {12, 11, 10, 9, 8, 7, 6, 2}};
    mm_record record;
    ck_assert_int_eq(mm_record_from_annotations(0x0102030405060708u, &annotations, &record, &err), MM_OK);
    mm_rle_free(&items[0].rle);
    mm_rle_free(&items[1].rle);
    return record;
}

/* The wire form written out by hand; counts as pycocotools encodes the runs 3 1 8 and 6 6. */
static const uint8_t wire[] = {
    'M', 'M', 'R', '1', 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 4, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    12, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0,
    8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
    2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
    /* bbox */ 0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40,
    /* area */ 1, 0, 0, 0, 6, 0, 0, 0,
    /* predicted_iou */ 0x66, 0x66, 0x66, 0x3f, 0x33, 0x33, 0x73, 0x3f,
    /* stability_score */ 0, 0, 0xc0, 0x7f, 0xec, 0x51, 0x78, 0x3f,
    /* point_coords */ 0, 0, 0xc0, 0x3f, 0, 0, 0, 0x3f, 0, 0, 0x60, 0x40, 0, 0, 0xc0, 0x3f,
    /* crop_box */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x40, 0, 0, 0x40, 0x40,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x40, 0, 0, 0x40, 0x40,
    /* source */ 0, 0,
    /* rle_offset */ 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
    /* rle */ '3', '1', '8', '6', '6',
};

START_TEST(the_packed_form_is_as_documented)
{
    mm_record record = make_record();
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(mm_record_pack(&record, &bytes, &size, &err), MM_OK);
    ck_assert_uint_eq(size, sizeof wire);
    ck_assert_mem_eq(bytes, wire, size);
    free(bytes);
    mm_record_free(&record);
    ck_assert_ptr_null(record.rle);
    mm_record_free(&record); /* again does no harm */
}
END_TEST

START_TEST(what_is_packed_is_unpacked)
{
    mm_record record;
    ck_assert_msg(mm_record_unpack(wire, sizeof wire, &record, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(record.image_id, 0x0102030405060708u);
    ck_assert_uint_eq(record.width, 4);
    ck_assert_uint_eq(record.height, 3);
    ck_assert_uint_eq(record.status, MM_IMAGE_DONE);
    ck_assert_ptr_null(record.reason);
    ck_assert_uint_eq(record.funnel.candidates, 12);
    ck_assert_uint_eq(record.funnel.kept, 2);
    ck_assert_uint_eq(record.mask_count, 2);
    ck_assert(record.bbox[1][0] == 2 && record.bbox[1][3] == 2);
    ck_assert(isnan(record.stability_score[0]) && record.stability_score[1] == 0.97f);
    ck_assert(record.point_coords[1][0] == 3.5f && record.crop_box[1][2] == 4);
    ck_assert_uint_eq(record.rle_offset[2], 5);
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(mm_record_pack(&record, &bytes, &size, &err), MM_OK);
    ck_assert_mem_eq(bytes, wire, sizeof wire);
    free(bytes);
    mm_record_free(&record);
}
END_TEST

START_TEST(images_set_aside_keep_their_reason)
{
    mm_record record, again;
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(mm_record_set_aside(9, 0, 0, "cut short at byte 70", &record, &err), MM_OK);
    ck_assert_int_eq(mm_record_pack(&record, &bytes, &size, &err), MM_OK);
    mm_record_free(&record);
    ck_assert_int_eq(mm_record_unpack(bytes, size, &again, &err), MM_OK);
    ck_assert_uint_eq(again.image_id, 9);
    ck_assert_uint_eq(again.status, MM_IMAGE_SET_ASIDE);
    ck_assert_uint_eq(again.mask_count, 0);
    ck_assert_str_eq(again.reason, "cut short at byte 70");
    mm_record_free(&again);
    for (size_t length = 0; length < size; length++)
        ck_assert_int_eq(mm_record_unpack(bytes, length, &again, &err), MM_ERR_FORMAT);
    bytes[112] = '\0'; /* inside the reason */
    ck_assert_int_eq(mm_record_unpack(bytes, size, &again, &err), MM_ERR_FORMAT);
    free(bytes);
}
END_TEST

START_TEST(an_image_without_masks_is_a_record)
{
    const mm_annotations none = {.width = 4, .height = 3, .funnel = {.candidates = 3072}};
    mm_record record, again;
    uint8_t *bytes;
    size_t size;
    ck_assert_int_eq(mm_record_from_annotations(1, &none, &record, &err), MM_OK);
    ck_assert_int_eq(mm_record_pack(&record, &bytes, &size, &err), MM_OK);
    ck_assert_int_eq(mm_record_unpack(bytes, size, &again, &err), MM_OK);
    ck_assert_uint_eq(again.mask_count, 0);
    ck_assert_uint_eq(again.funnel.candidates, 3072);
    free(bytes);
    mm_record_free(&record);
    mm_record_free(&again);
}
END_TEST

/* A copy on the heap, so that reading past its end is seen. */
static mm_status unpack_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    mm_record record;
    const mm_status status = mm_record_unpack(copy, size, &record, &err);
    if (status == MM_OK)
        mm_record_free(&record);
    else
        ck_assert_ptr_null(record.rle);
    free(copy);
    return status;
}

START_TEST(records_cut_anywhere_are_refused)
{
    for (size_t length = 0; length < sizeof wire; length++)
        ck_assert_int_eq(unpack_copy(wire, length), MM_ERR_FORMAT);
    uint8_t longer[sizeof wire + 1] = {0};
    memcpy(longer, wire, sizeof wire);
    ck_assert_int_eq(unpack_copy(longer, sizeof longer), MM_ERR_FORMAT);
}
END_TEST

START_TEST(flipped_bits_are_refused_or_harmless)
{
    uint8_t bytes[sizeof wire];
    for (size_t i = 0; i < sizeof wire; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bytes, wire, sizeof wire);
            bytes[i] ^= (uint8_t)(1u << bit);
            const mm_status status = unpack_copy(bytes, sizeof bytes);
            /* Scores, boxes and points are any float; ids and the funnel any number. The rest must hang together. */
            const bool free_field = (i >= 8 && i < 16) || (i >= 32 && i < 96) || (i >= 112 && i < 144) ||
                                    (i >= 152 && i < 216) || i == 216 || i == 217;
            if (!free_field)
                ck_assert_msg(status == MM_ERR_FORMAT || status == MM_ERR_LIMIT, "byte %zu, bit %d: %d", i, bit,
                              status);
        }
}
END_TEST

START_TEST(lengths_that_lie_take_no_memory)
{
    uint8_t bytes[sizeof wire];
    static const size_t fields[] = {4, 96, 104}; /* reason, masks, rle */
    static const uint64_t lies[] = {UINT64_MAX, UINT64_MAX / 61, (UINT64_MAX / 61) + 1, 1ull << 40, 1ull << 63, 3};
    for (size_t f = 0; f < 3; f++)
        for (size_t l = 0; l < sizeof lies / sizeof lies[0]; l++) {
            memcpy(bytes, wire, sizeof wire);
            memcpy(bytes + fields[f], &lies[l], f == 0 ? 4 : 8);
            if (memcmp(bytes, wire, sizeof wire) != 0) /* a lie whose low half is the truth */
                ck_assert_int_eq(unpack_copy(bytes, sizeof bytes), MM_ERR_FORMAT);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal/record");
    TCase *tests = tcase_create("record");
    tcase_add_test(tests, the_packed_form_is_as_documented);
    tcase_add_test(tests, what_is_packed_is_unpacked);
    tcase_add_test(tests, images_set_aside_keep_their_reason);
    tcase_add_test(tests, an_image_without_masks_is_a_record);
    tcase_add_test(tests, records_cut_anywhere_are_refused);
    tcase_add_test(tests, flipped_bits_are_refused_or_harmless);
    tcase_add_test(tests, lengths_that_lie_take_no_memory);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
