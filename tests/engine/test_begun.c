#include "check_main.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/begun.h"
#include "maskmill/engine.h"

static char folder[64];
static mm_error err;

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/maskmill_begun_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static mm_begun example(const char *const *sets, size_t count)
{
    static const char *const sources[] = {"/", "/nowhere/pictures \xff\xc3\xa4.tar"};
    mm_config config;
    mm_begun begun = {.kernels = {MM_BACKEND_BLAS, MM_PRECISION_F32, MM_ISA_AVX2, 4, false},
                      .images = 1000, .manifest = 0xfedcba9876543210u, .first = 0, .end = 1000};
    ck_assert_int_eq(mm_config_load(NULL, sets, count, &config, &err), MM_OK);
    ck_assert_int_eq(mm_config_to_yaml(&config, &begun.config, &err), MM_OK);
    begun.model_name = strdup("tiny");
    ck_assert_ptr_nonnull(begun.model_name);
    memset(begun.model_sha256, 'a', 64);
    ck_assert_int_eq(mm_begun_set_sources(&begun, sources, 2, &err), MM_OK);
    return begun;
}

START_TEST(what_is_written_is_read)
{
    mm_begun begun = example(NULL, 0), again;
    uint8_t one[16], two[16];
    bool there = true;
    ck_assert_int_eq(mm_begun_read(folder, &there, &again, &err), MM_OK);
    ck_assert(!there);
    ck_assert_int_eq(mm_begun_write(&begun, folder, &err), MM_OK);
    ck_assert_msg(mm_begun_read(folder, &there, &again, &err) == MM_OK, "%s", err.text);
    ck_assert(there);
    ck_assert_int_eq(mm_begun_compare(&again, &begun, folder, &err), MM_OK);
    ck_assert_str_eq(again.config, begun.config);
    ck_assert_str_eq(again.model_name, "tiny");
    ck_assert_uint_eq(again.manifest, begun.manifest);
    ck_assert_uint_eq(again.source_count, 2);
    ck_assert_str_eq(again.sources[0], "/");
    ck_assert_str_eq(again.sources[1], begun.sources[1]);
    ck_assert_int_eq(mm_begun_digest(&begun, one, &err), MM_OK);
    again.kernels.threads = 99; /* does not matter */
    ck_assert_int_eq(mm_begun_digest(&again, two, &err), MM_OK);
    ck_assert_mem_eq(one, two, 16);
    ck_assert(!again.detector_sha256[0] && !again.dataset);
    /* A detector and a dataset count as well, and are read back. */
    memset(again.detector_sha256, 'd', 64);
    ck_assert_int_eq(mm_begun_digest(&again, two, &err), MM_OK);
    ck_assert_mem_ne(one, two, 16);
    again.dataset = 0xfedcba9876543210u;
    ck_assert_int_eq(mm_begun_write(&again, folder, &err), MM_OK);
    mm_begun_free(&again);
    ck_assert_int_eq(mm_begun_read(folder, &there, &again, &err), MM_OK);
    ck_assert_uint_eq(again.dataset, 0xfedcba9876543210u);
    ck_assert_uint_eq(strspn(again.detector_sha256, "d"), 64);
    memset(again.detector_sha256, 0, 65);
    again.dataset = 0;
    again.end--;
    ck_assert_int_eq(mm_begun_digest(&again, two, &err), MM_OK);
    ck_assert_mem_ne(one, two, 16);
    mm_begun_free(&again);
    mm_begun_free(&begun);
}
END_TEST

static void expect_difference(const mm_begun *now, const char *text)
{
    mm_begun then = example(NULL, 0);
    const mm_status status = mm_begun_compare(&then, now, "OUT", &err);
    mm_begun_free(&then);
    if (!text) {
        ck_assert_msg(status == MM_OK, "%s", err.text);
        return;
    }
    ck_assert_int_eq(status, MM_ERR_USAGE);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
    ck_assert_ptr_nonnull(strstr(err.text, "OUT was begun otherwise"));
}

START_TEST(differences_are_named)
{
    mm_begun now = example(NULL, 0);
    expect_difference(&now, NULL);
    now.model_sha256[3] = 'b';
    expect_difference(&now, "the model was tiny with SHA-256 aaaaaaaaaaaa... and now has aaabaaaaaaaa...");
    now.model_sha256[3] = 'a';
    memset(now.detector_sha256, 'd', 64);
    expect_difference(&now, "the detector had SHA-256 none... and now has dddddddddddd...");
    memset(now.detector_sha256, 0, 65);
    now.dataset = 5;
    expect_difference(&now, "the dataset that masks are taken from was another");
    now.dataset = 0;
    now.kernels.isa = MM_ISA_AVX512;
    expect_difference(&now, "the instruction set was avx2 and is now avx512");
    now.kernels.isa = MM_ISA_AUTO;
    now.kernels.precision = MM_PRECISION_BF16;
    expect_difference(&now, "the precision was f32 and is now bf16");
    now.kernels.precision = MM_PRECISION_F32;
    now.kernels.backend = MM_BACKEND_DNNL;
    expect_difference(&now, "the backend was blas and is now dnnl");
    now.kernels.backend = MM_BACKEND_BLAS;
    now.manifest++;
    expect_difference(&now, "manifest.h5 had 1000 images and digest fedcba9876543210 and now has 1000 and");
    now.manifest--;
    now.first = 500;
    expect_difference(&now, "the images were 0 to 999 and are now 500 to 999");
    now.first = 0;
    now.sources[0][0] = '.';
    expect_difference(&now, "the corpus was / and is now .");
    now.sources[0][0] = '/';
    free(now.sources[1]);
    now.source_count = 1;
    expect_difference(&now, "the corpus was 2 sources and is now 1");
    mm_begun_free(&now);
    now = (mm_begun){0}; /* nothing known yet */
    expect_difference(&now, NULL);
}
END_TEST

START_TEST(keys_of_the_configuration_are_named_with_both_values)
{
    static const char *const sets[] = {"amg.points_per_side=16", "image.orientation=ignore",
                                       "amg.crop_overlap_ratio=0.5"};
    mm_begun now = example(sets, 1);
    expect_difference(&now, "amg.points_per_side was 32 and is now 16");
    mm_begun_free(&now);
    now = example(sets, 3);
    expect_difference(&now, "amg.points_per_side was 32 and is now 16; amg.crop_overlap_ratio was 0.3413333333333333 "
                            "and is now 0.5; image.orientation was apply and is now ignore");
    mm_begun_free(&now);
    /* How a run goes, not what comes out. */
    static const char *const aside[] = {"journal.sync_seconds=60"};
    now = example(aside, 1);
    expect_difference(&now, NULL);
    ck_assert_ptr_null(strstr(now.config, "journal"));
    mm_begun_free(&now);
}
END_TEST

START_TEST(damaged_files_are_told)
{
    static const char *const texts[] = {"", "{", "[]", "{\"format\": 1}", "nonsense"};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/begun.json", folder);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FILE *file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(texts[i], file), 0);
        ck_assert_int_eq(fclose(file), 0);
        mm_begun begun;
        bool there = false;
        ck_assert_int_eq(mm_begun_read(folder, &there, &begun, &err), MM_ERR_FORMAT);
        ck_assert_ptr_nonnull(strstr(err.text, path));
    }
    /* Every byte cut off: refused or, without the last blank, whole. */
    mm_begun begun = example(NULL, 0), again;
    ck_assert_int_eq(mm_begun_write(&begun, folder, &err), MM_OK);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    char bytes[4096];
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    ck_assert_int_eq(fclose(file), 0);
    for (size_t length = 0; length + 1 < size; length += 3) {
        bool there = false;
        ck_assert_int_eq(truncate(path, (off_t)length), 0);
        ck_assert_int_eq(mm_begun_read(folder, &there, &again, &err), MM_ERR_FORMAT);
        ck_assert_int_eq(mm_begun_write(&begun, folder, &err), MM_OK);
    }
    mm_begun_free(&begun);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/begun");
    TCase *tests = tcase_create("begun.json");
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, what_is_written_is_read);
    tcase_add_test(tests, differences_are_named);
    tcase_add_test(tests, keys_of_the_configuration_are_named_with_both_values);
    tcase_add_test(tests, damaged_files_are_told);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
