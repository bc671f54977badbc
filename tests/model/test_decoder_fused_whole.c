/* The fused decoder from prompts to logits against the f32 one, for decoders whose every tensor is random: a term that were
 * missing or wrong anywhere between its parts would change logits by far more than bf16 does. */
#include "random_decoder.h"

#ifdef __x86_64__

#include "tools/prompt_file.h"

/* side, D, c, H, K */
static const decoder_shape shapes[] = {{16, 64, 64, 4, 4}, {9, 64, 48, 3, 3}, {32, 128, 64, 4, 4}, {7, 128, 128, 4, 8}, {16, 256, 128, 8, 4}};

enum { SHAPES = sizeof shapes / sizeof shapes[0], MOST_POINTS = 10 };

/* What of a prompt there is. */
typedef struct kind {
    size_t points;
    bool box;
} kind;

static const kind kinds[] = {{1, false}, {0, true}, {1, true}, {2, false}, {5, false}, {6, true}, {0, false}};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* Prompts of one kind, at random places. */
typedef struct prompts {
    mm_prompt list[MM_FUSED_BATCH];
    mm_point points[MM_FUSED_BATCH][MOST_POINTS];
    double boxes[MM_FUSED_BATCH][4];
} prompts;

static void prompts_make(random_decoder *r, kind what, prompts *made)
{
    const double half = r->arch.image_size / 2.0;
    for (size_t p = 0; p < MM_FUSED_BATCH; p++) {
        for (size_t i = 0; i < what.points; i++)
            made->points[p][i] = (mm_point){half * (1 + (double)noise(&r->pool)), half * (1 + (double)noise(&r->pool)), i % 2 == 0};
        for (size_t i = 0; i < 4; i++)
            made->boxes[p][i] = half * (1 + (double)noise(&r->pool));
        made->list[p] = (mm_prompt){.points = what.points ? made->points[p] : NULL,
                                    .point_count = what.points,
                                    .box = what.box ? made->boxes[p] : NULL};
    }
}

static mm_frame frame_of(const random_decoder *r)
{
    const uint32_t size = r->arch.image_size;
    return (mm_frame){.width = size, .height = size, .input_width = size, .input_height = size, .image_size = size,
                      .low_res = 4 * r->arch.embedding_side};
}

static uint32_t wanted_of(size_t prompt, uint32_t masks)
{
    return (uint32_t)(prompt * 5 + prompt / 2) & ((1u << masks) - 1);
}

/* Prompt 0 wants none of its masks, others some. */
static uint32_t select_some(void *user, size_t prompt, const float *predicted_iou)
{
    decoded *all = user;
    (void)decoded_select(user, prompt, predicted_iou);
    return wanted_of(prompt, all->masks);
}

typedef struct settings {
    mm_frame frame;
    size_t count;
    bool fused;
    bool some; /* of the masks, and no logits of the padding */
} settings;

/* A batch's logits [P][K][L][L] and predicted IoU [P][K], by either decoder; logits that nobody took are NaNs. */
static decoded run(random_decoder *r, const mm_prompt *list, settings how)
{
    const mm_frame frame = how.frame;
    const bool fused = how.fused;
    const mm_prompt_batch batch = {.prompts = list, .count = how.count,
                                   .tokens = 1 + r->arch.decoder.mask_tokens + mm_prompt_tokens(list)};
    decoded all = {.masks = r->arch.decoder.mask_tokens, .plane = (size_t)frame.low_res * frame.low_res};
    all.logits = pool_floats(&r->pool, how.count * all.masks * all.plane);
    all.predicted_iou = pool_floats(&r->pool, how.count * all.masks);
    const mm_mask_sink sink = {.user = &all, .select = how.some ? select_some : decoded_select, .take = decoded_take, .padding = !how.some};
    mm_model_times times = {0};
    mm_error err = {0};
    const size_t floats = fused ? mm_fused_scratch(&r->decoder, batch.tokens) : mm_decoder_scratch(&r->decoder, batch.tokens);
    float *scratch = mm_floats(floats);
    ck_assert_ptr_nonnull(scratch);
    memset(scratch, 0xff, floats * sizeof *scratch);
    const mm_status status =
        fused ? mm_fused_run(&r->decoder, &r->context, &r->fused, &frame, &batch, &sink, scratch, &times, &err)
              : mm_decoder_run(&r->decoder, &r->context, &r->image, &frame, &batch, &sink, scratch, &times, &err);
    ck_assert_msg(status == MM_OK, "%s", err.text);
    free(scratch);
    return all;
}

static double relative_error(const float *got, const float *expected, size_t n)
{
    double difference = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)got[i] - (double)expected[i];
        difference += d * d;
        square += (double)expected[i] * (double)expected[i];
    }
    return sqrt(difference / square);
}

/* T of a random decoder's prompts of this kind is one that the fused decoder takes. */
static bool takes(const random_decoder *r, kind what)
{
    const mm_prompt prompt = {.point_count = what.points, .box = what.box ? (const double[4]){0} : NULL};
    return 1 + r->arch.decoder.mask_tokens + mm_prompt_tokens(&prompt) <= MM_FUSED_MAX_TOKENS;
}

/* Measured at most: 0.0102 of logits, 0.0044 of predicted IoU whose spread is about 1. */
static const double most_of_logits = 0.02, most_of_iou = 0.01;

static void check_kind(random_decoder *r, kind what)
{
    prompts made;
    prompts_make(r, what, &made);
    settings how = {.frame = frame_of(r), .count = MM_DECODER_BATCH};
    const decoded expected = run(r, made.list, how);
    how.fused = true;
    const decoded got = run(r, made.list, how);
    for (size_t i = 0; i < MM_DECODER_BATCH * got.masks; i++) {
        const double error = relative_error(got.logits + i * got.plane, expected.logits + i * got.plane, got.plane);
        ck_assert_double_le(error, most_of_logits);
        assert_near((double)got.predicted_iou[i], (double)expected.predicted_iou[i], most_of_iou, "a predicted IoU");
    }
}

/* The token side stays f32 here, so that the bars are the image side's alone. */
START_TEST(whole_decoders_agree)
{
    if (!mm_bf16_get())
        return;
    random_decoder r;
    random_decoder_make(&r, shapes[_i], 8);
    random_decoder_fuse(&r, false);
    random_image(&r);
    for (size_t k = 0; k < KINDS; k++)
        if (takes(&r, kinds[k]))
            check_kind(&r, kinds[k]);
    random_decoder_free(&r);
}
END_TEST

/* A prompt's logits do not depend, bit for bit, on those that share its batch. Its predicted IoU is a product of the f32
 * library, whose order of sums depends on the number of rows. */
START_TEST(batches_do_not_matter)
{
    if (!mm_bf16_get())
        return;
    random_decoder r;
    prompts made;
    random_decoder_make(&r, shapes[_i], 9);
    random_decoder_fuse(&r, true);
    random_image(&r);
    prompts_make(&r, kinds[_i % KINDS], &made);
    settings how = {.frame = frame_of(&r), .count = MM_FUSED_BATCH, .fused = true};
    const decoded together = run(&r, made.list, how);
    const size_t masks = together.masks, plane = together.plane;
    how.count = 1;
    for (size_t p = 0; p < MM_FUSED_BATCH; p++) {
        const decoded alone = run(&r, made.list + p, how);
        ck_assert_mem_eq(alone.logits, together.logits + p * masks * plane, masks * plane * sizeof(float));
        for (size_t k = 0; k < masks; k++)
            assert_near((double)alone.predicted_iou[k], (double)together.predicted_iou[p * masks + k], 2e-6, "a predicted IoU");
    }
    random_decoder_free(&r);
}
END_TEST

static void check_mask(const random_decoder *r, const decoded *all, const decoded *some, size_t i, size_t rows, bool wanted)
{
    const size_t row = 4 * r->arch.embedding_side;
    const float *got = some->logits + i * some->plane, *expected = all->logits + i * all->plane;
    size_t wrong = 0;
    for (size_t k = 0; k < some->plane; k++)
        if (!wanted)
            wrong += !isnan(got[k]); /* as it was: nobody took it */
        else
            wrong += k < rows * row ? got[k] != expected[k] : got[k] != -INFINITY;
    ck_assert_uint_eq(wrong, 0);
}

/* Masks that are not wanted are not handed out, and logits of the padding are -infinity unless asked for: all else is as if
 * everything had been asked for. */
START_TEST(what_is_not_wanted_changes_nothing)
{
    if (!mm_bf16_get())
        return;
    random_decoder r;
    prompts made;
    random_decoder_make(&r, shapes[_i], 10);
    random_decoder_fuse(&r, true);
    random_image(&r);
    prompts_make(&r, kinds[0], &made);
    const decoded all = run(&r, made.list, (settings){.frame = frame_of(&r), .count = MM_FUSED_BATCH, .fused = true});
    for (uint32_t height = 1; height <= r.arch.image_size; height += r.arch.image_size / 3) {
        settings part = {.frame = frame_of(&r), .count = MM_FUSED_BATCH, .fused = true, .some = true};
        part.frame.input_height = part.frame.height = height;
        const size_t rows = 4 * mm_decoder_grid_rows(&part.frame, false);
        const decoded some = run(&r, made.list, part);
        for (size_t i = 0; i < MM_FUSED_BATCH * all.masks; i++)
            check_mask(&r, &all, &some, i, rows, wanted_of(i / all.masks, all.masks) >> i % all.masks & 1u);
        ck_assert_mem_eq(some.predicted_iou, all.predicted_iou, MM_FUSED_BATCH * all.masks * sizeof(float));
    }
    random_decoder_free(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model/fused decoder as a whole");
    TCase *tests = tcase_create("whole");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, whole_decoders_agree, 0, SHAPES);
    tcase_add_loop_test(tests, batches_do_not_matter, 0, SHAPES);
    tcase_add_loop_test(tests, what_is_not_wanted_changes_nothing, 0, SHAPES);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}

#else

int main(void)
{
    return 0; /* these kernels are there on x86-64 alone */
}

#endif
