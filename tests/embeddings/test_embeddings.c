/* Embeddings on the disk: kept, found again, and never taken for another's. */
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_main.h"
#include "corpus/scratch.h"
#include "maskmill/embeddings.h"
#include "tensor/memory.h"
#include "tools/golden_case.h"

static mm_error err;
static golden_case tiny;
static size_t values; /* of an embedding */

static void setup(void)
{
    scratch_make();
    ck_assert(golden_open("tiny_whole.masks.json", &(mm_kernels){.threads = 1, .precision = MM_PRECISION_F32}, &tiny));
    const mm_arch *arch = mm_model_arch(tiny.model);
    values = (size_t)arch->embedding_side * arch->embedding_side * arch->prompt_embed_dim;
    ck_assert_int_eq(mm_model_encode(tiny.model, mm_image_whole(&tiny.image), tiny.embedding, &err), MM_OK);
}

static void teardown(void)
{
    golden_close(&tiny);
    scratch_remove();
}

static mm_embeddings *open_folder(void)
{
    mm_embeddings *embeddings;
    ck_assert_msg(mm_embeddings_open(at("kept"), tiny.model, &embeddings, &err) == MM_OK, "%s", err.text);
    return embeddings;
}

static void put(mm_embeddings *embeddings, const char *bytes, uint32_t variant)
{
    const mm_embedding_key key = mm_embeddings_key(bytes, strlen(bytes), variant);
    ck_assert_msg(mm_embeddings_put(embeddings, &key, "a name", tiny.embedding, &err) == MM_OK, "%s", err.text);
}

static bool has(const mm_embeddings *embeddings, const char *bytes, uint32_t variant)
{
    size_t index;
    const mm_embedding_key key = mm_embeddings_key(bytes, strlen(bytes), variant);
    return mm_embeddings_find(embeddings, &key, &index);
}

/* The only part's path. */
static const char *part_path(void)
{
    static char path[4096];
    char command[4096];
    (void)snprintf(command, sizeof command, "ls %s/kept/*/e_*.h5", scratch);
    FILE *list = popen(command, "r");
    ck_assert_ptr_nonnull(fgets(path, sizeof path, list));
    pclose(list);
    path[strcspn(path, "\n")] = '\0';
    return path;
}

START_TEST(what_was_kept_comes_back_in_bf16)
{
    mm_embeddings *embeddings = open_folder();
    ck_assert_uint_eq(mm_embeddings_count(embeddings), 0);
    for (int i = 0; i < 300; i++) { /* more than one part */
        char name[8];
        (void)snprintf(name, sizeof name, "i%d", i);
        put(embeddings, name, (uint32_t)i % 2);
    }
    ck_assert(!has(embeddings, "i0", 0)); /* not before a refresh */
    ck_assert_int_eq(mm_embeddings_flush(embeddings, &err), MM_OK);
    ck_assert_int_eq(mm_embeddings_flush(embeddings, &err), MM_OK); /* of nothing */
    ck_assert_int_eq(mm_embeddings_refresh(embeddings, &err), MM_OK);
    ck_assert_uint_eq(mm_embeddings_count(embeddings), 300);
    mm_embeddings_close(embeddings);

    embeddings = open_folder();
    ck_assert(has(embeddings, "i4", 0) && has(embeddings, "i5", 1));
    ck_assert(!has(embeddings, "i4", 1) && !has(embeddings, "x", 0));
    float *cells = mm_floats(values);
    const mm_embedding_key key = mm_embeddings_key("i299", 4, 1);
    size_t index;
    uint32_t width, height;
    ck_assert(mm_embeddings_find(embeddings, &key, &index));
    ck_assert_int_eq(mm_embeddings_read(embeddings, index, &width, &height, cells, &err), MM_OK);
    ck_assert_uint_eq(width, tiny.image.width);
    ck_assert_uint_eq(height, tiny.image.height);
    const float *exact = mm_embedding_cells(tiny.embedding);
    for (size_t i = 0; i < values; i++)
        ck_assert_float_le(fabsf(cells[i] - exact[i]), fabsf(exact[i]) / 256);
    free(cells);
    mm_embeddings_close(embeddings);
}
END_TEST

/* The predicted IoU of every prompt. */
static uint32_t hear(void *user, size_t prompt, const float *predicted_iou)
{
    ((float *)user)[prompt] = predicted_iou[1];
    return 0;
}

START_TEST(prompts_work_on_what_was_kept)
{
    const mm_point points[2] = {{20, 30, 1}, {70, 40, 1}};
    const mm_prompt prompts[2] = {{.points = &points[0], .point_count = 1}, {.points = &points[1], .point_count = 1}};
    float before[2], after[2], *cells = mm_floats(values);
    uint32_t width, height;
    mm_embeddings *embeddings = open_folder();
    mm_embedding *restored;
    ck_assert_int_eq(mm_model_decode(tiny.model, tiny.embedding, prompts, 2, &(mm_mask_sink){.user = before,
                                     .select = hear},
                                     &err),
                     MM_OK);
    put(embeddings, "x", 0);
    ck_assert_int_eq(mm_embeddings_flush(embeddings, &err), MM_OK);
    ck_assert_int_eq(mm_embeddings_refresh(embeddings, &err), MM_OK);
    ck_assert_int_eq(mm_embeddings_read(embeddings, 0, &width, &height, cells, &err), MM_OK);
    ck_assert_int_eq(mm_embedding_new(tiny.model, &restored, &err), MM_OK);
    ck_assert_int_eq(mm_model_restore(tiny.model, cells, width, height, restored, &err), MM_OK);
    ck_assert_int_eq(mm_model_decode(tiny.model, restored, prompts, 2, &(mm_mask_sink){.user = after, .select = hear},
                                     &err),
                     MM_OK);
    for (int i = 0; i < 2; i++)
        ck_assert_float_eq_tol(after[i], before[i], 0.02f);
    ck_assert_int_eq(mm_model_restore(tiny.model, cells, 0, 5, restored, &err), MM_ERR_FORMAT);
    /* Exactly, from the exact cells. */
    ck_assert_int_eq(mm_model_restore(tiny.model, mm_embedding_cells(tiny.embedding), width, height, restored, &err),
                     MM_OK);
    ck_assert_int_eq(mm_model_decode(tiny.model, restored, prompts, 2, &(mm_mask_sink){.user = after, .select = hear},
                                     &err),
                     MM_OK);
    ck_assert_mem_eq(after, before, sizeof after);
    mm_embedding_free(restored);
    mm_embeddings_close(embeddings);
    free(cells);
}
END_TEST

START_TEST(another_encoder_has_a_folder_of_its_own)
{
    golden_case vit;
    mm_embeddings *embeddings = open_folder(), *other;
    put(embeddings, "x", 0);
    ck_assert_int_eq(mm_embeddings_flush(embeddings, &err), MM_OK);
    ck_assert(golden_open("vit_whole.masks.json", &(mm_kernels){.threads = 1}, &vit));
    ck_assert_int_eq(mm_embeddings_open(at("kept"), vit.model, &other, &err), MM_OK);
    ck_assert_uint_eq(mm_embeddings_count(other), 0);
    mm_embeddings_close(other);
    /* A part of one in the folder of the other is noticed. */
    char command[8192], encoder[65];
    ck_assert_int_eq(mm_model_encoder_sha256(vit.model, encoder, &err), MM_OK);
    (void)snprintf(command, sizeof command, "cp %s %s/kept/%.16s/", part_path(), scratch, encoder);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(mm_embeddings_open(at("kept"), vit.model, &other, &err), MM_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "another encoder"));
    golden_close(&vit);
    mm_embeddings_close(embeddings);
}
END_TEST

START_TEST(a_damaged_part_is_named)
{
    mm_embeddings *embeddings = open_folder(), *again;
    put(embeddings, "x", 0);
    ck_assert_int_eq(mm_embeddings_flush(embeddings, &err), MM_OK);
    mm_embeddings_close(embeddings);
    const char *path = part_path();
    flip_byte(path, 3000, 4);
    ck_assert_int_eq(mm_embeddings_open(at("kept"), tiny.model, &again, &err), MM_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "e_"));
    ck_assert_ptr_nonnull(strstr(err.text, "remove it"));
    flip_byte(path, 3000, 4);
    ck_assert_int_eq(truncate(path, 2000), 0);
    ck_assert_int_eq(mm_embeddings_open(at("kept"), tiny.model, &again, &err), MM_ERR_FORMAT);
    ck_assert_int_eq(remove(path), 0);
    again = open_folder();
    ck_assert_uint_eq(mm_embeddings_count(again), 0);
    mm_embeddings_close(again);
}
END_TEST

START_TEST(a_full_disk_leaves_nothing_behind)
{
    mm_embeddings *embeddings = open_folder();
    put(embeddings, "x", 0);
    limit_files(4096);
    const mm_status status = mm_embeddings_flush(embeddings, &err);
    unlimit_files();
    ck_assert_int_eq(status, MM_ERR_IO);
    ck_assert_int_eq(mm_embeddings_refresh(embeddings, &err), MM_OK);
    ck_assert_uint_eq(mm_embeddings_count(embeddings), 0);
    ck_assert_int_eq(mm_embeddings_flush(embeddings, &err), MM_OK); /* it still waits */
    ck_assert_int_eq(mm_embeddings_refresh(embeddings, &err), MM_OK);
    ck_assert(has(embeddings, "x", 0));
    mm_embeddings_close(embeddings);
    put_text("file", "x");
    ck_assert_int_eq(mm_embeddings_open(at("file"), tiny.model, &embeddings, &err), MM_ERR_IO);
}
END_TEST

/* As two commands do that want embeddings of the same dataset. */
START_TEST(many_write_the_same_part_at_once)
{
    enum { WRITERS = 6, IMAGES = 60 };
    pid_t writers[WRITERS];
    int start[2];
    ck_assert_int_eq(pipe(start), 0);
    for (int w = 0; w < WRITERS; w++) {
        writers[w] = fork();
        ck_assert_int_ge(writers[w], 0);
        if (writers[w] == 0) {
            mm_embeddings *embeddings = open_folder();
            char name[8], byte;
            for (int i = 0; i < IMAGES; i++) {
                (void)snprintf(name, sizeof name, "i%d", i);
                put(embeddings, name, 0);
            }
            (void)close(start[1]);
            (void)!read(start[0], &byte, 1); /* the end of this pipe starts them all */
            const bool good = mm_embeddings_flush(embeddings, &err) == MM_OK &&
                              mm_embeddings_refresh(embeddings, &err) == MM_OK && mm_embeddings_count(embeddings) == IMAGES;
            if (!good)
                (void)fprintf(stderr, "%s\n", err.text);
            _exit(!good);
        }
    }
    (void)close(start[0]);
    (void)close(start[1]);
    for (int w = 0; w < WRITERS; w++) {
        int status = 0;
        ck_assert_int_eq(waitpid(writers[w], &status, 0), writers[w]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_ptr_nonnull(part_path());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("embeddings/embeddings");
    TCase *tc = tcase_create("embeddings");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_was_kept_comes_back_in_bf16);
    tcase_add_test(tc, prompts_work_on_what_was_kept);
    tcase_add_test(tc, another_encoder_has_a_folder_of_its_own);
    tcase_add_loop_test(tc, many_write_the_same_part_at_once, 0, 10);
    tcase_add_test(tc, a_damaged_part_is_named);
    tcase_add_test(tc, a_full_disk_leaves_nothing_behind);
    suite_add_tcase(suite, tc);
    return mm_check_main(suite);
}
