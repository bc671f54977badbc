/* What a bench needs beside the program's work, and its JSON. What it measures is seen in tests/integration/bench.sh. */
#include "check_main.h"

#include <jansson.h>
#include <string.h>

#include "engine/bench_parts.h"

START_TEST(medians_lie_in_the_middle)
{
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2}, one[] = {5};
    mm_spread spread = mm_bench_spread(odd, 3);
    ck_assert(spread.min == 1 && spread.median == 2 && spread.max == 3);
    spread = mm_bench_spread(even, 4);
    ck_assert(spread.min == 1 && spread.median == 2.5 && spread.max == 4);
    spread = mm_bench_spread(one, 1);
    ck_assert(spread.min == 5 && spread.median == 5 && spread.max == 5);
}
END_TEST

/* A change of the picture changes every figure that was measured on it. */
START_TEST(the_picture_is_the_same_everywhere)
{
    mm_image picture;
    ck_assert_int_eq(mm_bench_picture(1800, 1200, &picture, NULL), MM_OK);
    ck_assert(picture.width == 1800 && picture.height == 1200);
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < (size_t)1800 * 1200 * 3; i++)
        hash = (hash ^ picture.pixels[i]) * 16777619u;
    ck_assert_uint_eq(hash, 2252134090u);
    mm_image_free(&picture);
    ck_assert_int_eq(mm_bench_picture(3, 2, &picture, NULL), MM_OK);
    mm_image_free(&picture);
    ck_assert_int_ne(mm_bench_picture(0, 2, &picture, NULL), MM_OK);
}
END_TEST

START_TEST(memory_is_told)
{
    uint64_t peak, own, mapped;
    mm_bench_memory(&peak, &own, &mapped);
    ck_assert_uint_gt(peak, 1000000);
    ck_assert_uint_gt(own, 0);
    ck_assert_uint_le(mapped, peak);
}
END_TEST

START_TEST(senseless_options_are_refused)
{
    mm_bench bench;
    mm_error err = {0};
    const mm_bench_options bad[] = {{.runs = 0}, {.runs = 1, .keep = -0.1}, {.runs = 1, .keep = 1.1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(mm_bench_run(&bad[i], &bench, &err), MM_ERR_USAGE);
}
END_TEST

/* Lines of a detection are there with a detector only. */
START_TEST(the_page_tells_of_a_detection)
{
    for (int detects = 0; detects < 2; detects++) {
        mm_bench bench = {.detects = detects, .boxes = 9, .confident = 3};
        bench.seconds[MM_BENCH_DETECT].median = detects ? 0.8 : 0;
        bench.seconds[MM_BENCH_HEAD].median = detects ? 0.5 : 0;
        bench.seconds[MM_BENCH_TOTAL].median = 4;
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);
        ck_assert_ptr_nonnull(stream);
        ck_assert_int_eq(mm_bench_print_text(&bench, stream, NULL), MM_OK);
        ck_assert_int_eq(fclose(stream), 0);
        ck_assert_int_eq(strstr(text, "\n  detection  ") != NULL, detects);
        ck_assert_int_eq(strstr(text, "detection adds 25.0 %: 0.5000 s for boxes, 0.3000 s for masks of 9 of them, of which "
                                      "3 are confident") != NULL, detects);
        free(text);
    }
}
END_TEST

START_TEST(json_is_read_back)
{
    mm_bench bench = {.model = "ViT", .kernels_text = "kernels", .kernels = {.threads = 2}, .width = 3, .height = 2,
                      .runs = 4, .pred_iou_thresh = 0.1f, .crops = 1, .prompts = 10, .prompts_kept = 5,
                      .masks_scanned = 7, .masks = 6, .detects = true, .boxes = 9, .confident = 3, .peak_gflops = 100, .gflops = {50, 25, 20, 30},
                      .peak_bytes = 1u << 31, .mapped_bytes = 12};
    bench.seconds[MM_BENCH_ENCODE] = (mm_spread){.median = 1, .min = 0.5, .max = 1.5};
    bench.seconds[MM_BENCH_DETECT] = (mm_spread){.median = 0.8, .min = 0.7, .max = 0.9};
    bench.seconds[MM_BENCH_HEAD] = (mm_spread){.median = 0.5, .min = 0.4, .max = 0.6};
    bench.seconds[MM_BENCH_TOTAL] = (mm_spread){.median = 4, .min = 3, .max = 5};
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(mm_bench_print_json(&bench, stream, NULL), MM_OK);
    ck_assert_int_eq(fclose(stream), 0);
    json_t *object = json_loads(text, 0, NULL);
    const char *precision;
    double threshold, median, share, rate, part;
    json_int_t bytes;
    ck_assert_int_eq(json_unpack(object, "{s:s, s:F, s:{s:{s:F}}, s:{s:F}, s:{s:F}, s:{s:F}, s:{s:I}}", "precision",
                                 &precision, "pred_iou_thresh", &threshold, "seconds", "encode", "median", &median,
                                 "share", "encode", &share, "gflops", "decode", &rate, "peak_share", "decode", &part,
                                 "memory", "peak_bytes", &bytes), 0);
    ck_assert_str_eq(precision, "f32");
    ck_assert((float)threshold == 0.1f); /* to the last bit: --set can take it */
    ck_assert(median == 1 && share == 0.25 && rate == 25 && part == 0.25 && bytes == 1LL << 31);
    json_int_t boxes, confident;
    double added, detect, head;
    ck_assert_int_eq(json_unpack(object, "{s:{s:I, s:I, s:F}, s:{s:{s:F}}, s:{s:F}}", "detection", "boxes", &boxes,
                                 "confident", &confident, "added", &added, "seconds", "head", "median", &head, "share",
                                 "detect", &detect), 0);
    ck_assert(boxes == 9 && confident == 3 && head == 0.5);
    ck_assert_double_eq_tol(added, 0.25, 1e-9); /* 0.8 s beside the 3.2 s without it */
    ck_assert_double_eq_tol(detect, 0.2, 1e-9);
    json_decref(object);
    free(text);
    FILE *full = fopen("/dev/full", "w");
    ck_assert_ptr_nonnull(full);
    ck_assert_int_eq(mm_bench_print_json(&bench, full, NULL), MM_ERR_IO);
    ck_assert_int_eq(mm_bench_print_text(&bench, full, NULL), MM_ERR_IO);
    (void)fclose(full);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/bench");
    TCase *tests = tcase_create("bench");
    tcase_add_test(tests, medians_lie_in_the_middle);
    tcase_add_test(tests, the_picture_is_the_same_everywhere);
    tcase_add_test(tests, memory_is_told);
    tcase_add_test(tests, senseless_options_are_refused);
    tcase_add_test(tests, the_page_tells_of_a_detection);
    tcase_add_test(tests, json_is_read_back);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
