#include "check_main.h"

#include "engine/setup.h"

/* The least that all ranks have; the threads are the first's. */
START_TEST(kernels_in_common)
{
    mm_kernels all[3] = {{.backend = MM_BACKEND_DNNL, .precision = MM_PRECISION_BF16, .isa = MM_ISA_AVX512, .threads = 2},
                         {.backend = MM_BACKEND_DNNL, .precision = MM_PRECISION_BF16, .isa = MM_ISA_AVX512, .threads = 1},
                         {.backend = MM_BACKEND_DNNL, .precision = MM_PRECISION_BF16, .isa = MM_ISA_AVX512, .threads = 1}};
    mm_kernels common = mm_kernels_in_common(all, 3);
    ck_assert(common.backend == MM_BACKEND_DNNL && common.precision == MM_PRECISION_BF16);
    ck_assert(common.isa == MM_ISA_AVX512 && common.threads == 2);
    all[1].isa = MM_ISA_AVX2;
    all[2].precision = MM_PRECISION_F32;
    common = mm_kernels_in_common(all, 3);
    ck_assert(common.backend == MM_BACKEND_DNNL && common.precision == MM_PRECISION_F32);
    ck_assert(common.isa == MM_ISA_AVX2);
    all[2].backend = MM_BACKEND_BLAS;
    all[2].isa = MM_ISA_PORTABLE;
    common = mm_kernels_in_common(all, 3);
    ck_assert(common.backend == MM_BACKEND_BLAS && common.isa == MM_ISA_PORTABLE);
    common = mm_kernels_in_common(all, 1);
    ck_assert(common.backend == MM_BACKEND_DNNL && common.precision == MM_PRECISION_BF16);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/setup");
    TCase *tests = tcase_create("agreement");
    tcase_add_test(tests, kernels_in_common);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
