/* Counts of multiply-adds: the published models against the figures that docs/performance.md quotes (MobileSAM: its
 * layers added up by hand), and what a change of one block changes. */
#include "test_checkpoint_support.h"

#include <math.h>

#include "maskmill/work.h"

static mm_arch published(const char *model)
{
    static shape_list shapes;
    load_shapes(&shapes, model);
    const char *path = scratch_path("shapes.safetensors");
    write_shapes(&shapes, NULL, path);
    mm_checkpoint *checkpoint = opened(path);
    mm_arch arch;
    mm_error err = {0};
    ck_assert_msg(mm_arch_recognise(checkpoint, NULL, &arch, &err) == MM_OK, "%s", err.text);
    mm_checkpoint_close(checkpoint);
    return arch;
}

static void is_about(double count, double expected)
{
    ck_assert_msg(fabs(count / expected - 1) < 0.02, "%.4g instead of about %.4g", count, expected);
}

START_TEST(published_encoders)
{
    const mm_arch vit = published("vit_b"), mobile = published("mobile_sam");
    is_about(mm_arch_work(&vit).encode, 486e9);
    is_about(mm_arch_work(&mobile).encode, 38.8e9);
}
END_TEST

START_TEST(the_public_decoder)
{
    const mm_arch arch = published("vit_b");
    const mm_work work = mm_arch_work(&arch);
    is_about(work.prompt, 455e6);
    is_about(work.upscale, 409e6);
    is_about(work.prepare, 3.0 * 4096 * 256 * 128);
}
END_TEST

/* Each window block of ViT-B that becomes global trades 25 windows of 14 x 14 for one of 64 x 64. */
START_TEST(windows_count_with_their_padding)
{
    mm_arch arch = published("vit_b");
    const double before = mm_arch_work(&arch).encode;
    ck_assert(!arch.vit.global_attention[0]);
    arch.vit.global_attention[0] = true;
    const double tokens = 25 * 196, more = 4096 - tokens;
    const double scores = 2.0 * 768 * (4096.0 * 4096 - tokens * 196);
    const double positions = 2.0 * 768 * (4096.0 * 64 - tokens * 14);
    const double expected = more * 4 * 768 * 768 + scores + positions;
    ck_assert_double_eq_tol(mm_arch_work(&arch).encode - before, expected, 1);
    arch.vit.rel_pos = false;
    ck_assert_double_lt(mm_arch_work(&arch).encode, before + expected);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/work");
    TCase *tests = tcase_create("work");
    tcase_add_unchecked_fixture(tests, scratch_make, scratch_remove);
    tcase_add_test(tests, published_encoders);
    tcase_add_test(tests, the_public_decoder);
    tcase_add_test(tests, windows_count_with_their_padding);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
