/* What the golden tests share: a case's JSON under tests/data/golden, its model on a given kernel set, its picture. */
#ifndef MM_TESTS_GOLDEN_CASE_H
#define MM_TESTS_GOLDEN_CASE_H

#include <check.h>

#include "tools/prompt_file.h"

#define GOLDEN_FOLDER MM_TEST_DATA "/golden"

typedef struct golden_case {
    json_t *json;
    mm_model *model;
    mm_embedding *embedding;
    mm_image image;
} golden_case;

/* What tests run on: the first two have both backends and both numbers of threads between them. */
static const mm_kernels golden_kernels[] = {
    {.backend = MM_BACKEND_DNNL, .precision = MM_PRECISION_F32, .threads = 1},
    {.backend = MM_BACKEND_BLAS, .precision = MM_PRECISION_F32, .threads = 2},
    {.backend = MM_BACKEND_BLAS, .precision = MM_PRECISION_F32, .threads = 1},
    {.backend = MM_BACKEND_DNNL, .precision = MM_PRECISION_F32, .threads = 2},
};

enum { GOLDEN_KERNEL_SETS = sizeof golden_kernels / sizeof golden_kernels[0] };

/* The path of a file that the case names, or NULL if it names none. */
static inline const char *golden_path(const json_t *json, const char *key, char *path, size_t size)
{
    const char *name = json_string_value(json_object_get(json, key));
    if (!name)
        return NULL;
    (void)snprintf(path, size, "%s/%s", GOLDEN_FOLDER, name);
    return path;
}

/* False if this build lacks the backend; every other trouble fails the test. */
static inline bool golden_open(const char *file, const mm_kernels *kernels, golden_case *golden)
{
    char path[4096], config[4096];
    mm_error err = {0};
    json_error_t where;
    mm_kernels resolved = *kernels;
    *golden = (golden_case){0};
    if (mm_kernels_resolve(&resolved, &err) == MM_ERR_UNSUPPORTED)
        return false;
    (void)snprintf(path, sizeof path, "%s/%s", GOLDEN_FOLDER, file);
    golden->json = json_load_file(path, 0, &where);
    ck_assert_msg(golden->json != NULL, "%s:%d: %s", path, where.line, where.text);
    const mm_model_options options = {.config_path = golden_path(golden->json, "model_config", config, sizeof config),
                                      .kernels = resolved};
    ck_assert_ptr_nonnull(golden_path(golden->json, "checkpoint", path, sizeof path));
    ck_assert_msg(mm_model_open(path, &options, &golden->model, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_embedding_new(golden->model, &golden->embedding, &err) == MM_OK, "%s", err.text);
    ck_assert_ptr_nonnull(golden_path(golden->json, "image", path, sizeof path));
    ck_assert_msg(read_picture(path, &golden->image, &err) == MM_OK, "%s", err.text);
    return true;
}

static inline void golden_close(golden_case *golden)
{
    mm_image_free(&golden->image);
    mm_embedding_free(golden->embedding);
    mm_model_close(golden->model);
    json_decref(golden->json);
}

#endif
