/* What suites of the encoders' layers share: fixed noise, and a context on a given kernel set. */
#ifndef MM_TESTS_SETTING_H
#define MM_TESTS_SETTING_H

#include "check_main.h"
#include "model/layers.h"

static inline float noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(int32_t)*seed / 2147483648.0f;
}

static inline float *random_floats(size_t n, float scale, uint32_t seed)
{
    float *x = mm_floats(n);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++)
        x[i] = scale * noise(&seed);
    return x;
}

/* A context for each backend and one or two threads, with scratch of the asked size. */
typedef struct setting {
    mm_kernels kernels;
    mm_context context;
    float *scratch[2], *panels[2];
} setting;

static inline setting *setting_new(mm_backend backend, uint32_t threads, size_t scratch)
{
    setting *made = calloc(1, sizeof *made);
    ck_assert_ptr_nonnull(made);
    made->kernels = (mm_kernels){.backend = backend, .threads = threads};
    mm_error err = {0};
    ck_assert_msg(mm_kernels_resolve(&made->kernels, &err) == MM_OK, "%s", err.text);
    for (uint32_t t = 0; t < threads; t++) {
        made->scratch[t] = random_floats(scratch, 1000, 77); /* nothing may depend on what is there */
        made->panels[t] = random_floats(MM_F32_PRODUCT_SCRATCH, 1000, 78);
    }
    made->context = (mm_context){.kernels = &made->kernels,
                                 .ops = mm_vector_get(&made->kernels),
                                 .scratch = made->scratch,
                                 .panels = made->panels};
    return made;
}

static inline void setting_free(setting *made)
{
    free(made->scratch[0]);
    free(made->scratch[1]);
    free(made->panels[0]);
    free(made->panels[1]);
    free(made);
}

#endif
