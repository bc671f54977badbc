#include "check_main.h"

#include <math.h>

#include "amg/judge.h"
#include "amg/taps.h"
#include "amg/upsample.h"
#include "fields.h"
#include "tensor/vector.h"

/* A mask by the plain way: both steps for every pixel, in the order of the taps, nothing left out. */
typedef struct plain_mask {
    mm_mask_scan scan;
    mm_rle rle;
} plain_mask;

static void add_pixel(mm_mask_scan *scan, uint32_t x, uint32_t y, float v, float offset)
{
    scan->above_low += v > -offset;
    scan->above_high += v > offset;
    if (!(v > 0))
        return;
    const bool first = scan->area++ == 0;
    scan->box[0] = first || x < scan->box[0] ? x : scan->box[0];
    scan->box[1] = first || y < scan->box[1] ? y : scan->box[1];
    scan->box[2] = first || x > scan->box[2] ? x : scan->box[2];
    scan->box[3] = first || y > scan->box[3] ? y : scan->box[3];
}

static plain_mask scan_plainly(const mm_frame *f, const float *logits, float offset)
{
    mm_taps *rows, *columns;
    ck_assert(!mm_taps_compose(f->low_res, f->image_size, f->input_height, f->height, &rows, NULL));
    ck_assert(!mm_taps_compose(f->low_res, f->image_size, f->input_width, f->width, &columns, NULL));
    float *resized = malloc((size_t)f->height * f->low_res * sizeof *resized);
    uint8_t *bits = malloc((size_t)f->height * f->width);
    for (uint32_t y = 0; y < f->height; y++)
        for (uint32_t x = 0; x < f->low_res; x++) {
            float sum = rows[y].weight[0] * logits[rows[y].index[0] * f->low_res + x];
            for (uint32_t k = 1; k < rows[y].count; k++)
                sum += rows[y].weight[k] * logits[rows[y].index[k] * f->low_res + x];
            resized[y * f->low_res + x] = sum;
        }
    plain_mask mask = {0};
    for (uint32_t y = 0; y < f->height; y++)
        for (uint32_t x = 0; x < f->width; x++) {
            const float *row = resized + y * f->low_res;
            float v = columns[x].weight[0] * row[columns[x].index[0]];
            for (uint32_t k = 1; k < columns[x].count; k++)
                v += columns[x].weight[k] * row[columns[x].index[k]];
            bits[y * f->width + x] = v > 0;
            add_pixel(&mask.scan, x, y, v, offset);
        }
    ck_assert_int_eq(mm_rle_from_bits(bits, f->height, f->width, &mask.rle, NULL), MM_OK);
    free(bits);
    free(resized);
    free(rows);
    free(columns);
    return mask;
}

static void assert_runs_are(const mm_rle *rle, const mm_rle *expected)
{
    ck_assert_uint_eq(rle->count, expected->count);
    ck_assert_mem_eq(rle->runs, expected->runs, rle->count * sizeof *rle->runs);
}

/* A scan is given up only if the score is below what is asked for, and is whole otherwise. Returns how many were. */
static int assert_stable_masks_are_whole(const mm_upsampler *upsampler, const float *logits, float offset,
                                         void *scratch, const plain_mask *plain)
{
    const float score = (float)plain->scan.above_high / (float)plain->scan.above_low;
    const float asked[] = {score, nextafterf(score, INFINITY), score + 0.01f, score + 0.5f, 0.95f, 0, -1, NAN};
    int given_up = 0;
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        mm_mask_scan scan;
        mm_rle rle;
        ck_assert(!mm_upsampler_scan_stable(upsampler, logits, offset, asked[i], scratch, &scan, &rle, NULL));
        if (!rle.runs) {
            ck_assert_msg(score < asked[i], "given up at %.9g, asked %.9g", (double)score, (double)asked[i]);
            given_up++;
            continue;
        }
        ck_assert_mem_eq(&scan, &plain->scan, sizeof scan);
        assert_runs_are(&rle, &plain->rle);
        mm_rle_free(&rle);
    }
    return given_up;
}

/* How often masks were judged. */
typedef struct verdicts {
    int stable, unstable;
} verdicts;

/* A mask that is judged to be stable is, its box is the plain one's, and what is parked is scanned to the same mask; one that is
 * judged not to be is not. Every instruction set judges alike. */
static void assert_judged_as_plain(const mm_frame *f, const mm_upsampler *upsampler, const float *logits, float offset,
                                   void *scratch, mm_isa isa, const plain_mask *plain, verdicts *judged)
{
    const float score = (float)plain->scan.above_high / (float)plain->scan.above_low;
    const float asked[] = {score / 4, score / 2, score, nextafterf(score, INFINITY), 0.95f, score * 2, 0, -1, NAN};
    mm_judge *judge, *portable;
    ck_assert(!mm_judge_new_for(f, isa, &judge, NULL) && !mm_judge_new_for(f, MM_ISA_PORTABLE, &portable, NULL));
    const size_t size = mm_judge_scratch(judge);
    void *memory = malloc(size);
    float *again = malloc((size_t)f->low_res * f->low_res * sizeof *again);
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        uint32_t box[4], other[4];
        mm_low_window window;
        memset(memory, 0x7f, size);
        const mm_judge_verdict other_verdict = mm_judge_mask(portable, logits, offset, asked[i], memory, other, &window);
        memset(memory, 0x7f, size);
        const mm_judge_verdict verdict = mm_judge_mask(judge, logits, offset, asked[i], memory, box, &window);
        ck_assert_int_eq(verdict, other_verdict);
        judged->unstable += verdict == MM_JUDGE_UNSTABLE;
        if (verdict == MM_JUDGE_UNSTABLE)
            ck_assert_msg(!(score >= asked[i]), "judged unstable at %.9g, asked %.9g", (double)score, (double)asked[i]);
        if (verdict != MM_JUDGE_STABLE)
            continue;
        judged->stable++;
        ck_assert_msg(score >= asked[i], "judged stable at %.9g, asked %.9g", (double)score, (double)asked[i]);
        ck_assert_mem_eq(box, plain->scan.box, sizeof box);
        ck_assert_mem_eq(other, box, sizeof box);
        size_t bytes;
        mm_parked *parked = mm_judge_park(judge, logits, &window, memory, &bytes);
        mm_judge_unpark(judge, parked, again);
        mm_mask_scan scan;
        mm_rle rle;
        ck_assert(!mm_upsampler_scan(upsampler, again, offset, scratch, &scan, &rle, NULL));
        ck_assert_mem_eq(&scan, &plain->scan, sizeof scan);
        assert_runs_are(&rle, &plain->rle);
        mm_rle_free(&rle);
        free(parked);
    }
    free(again);
    free(memory);
    mm_judge_free(judge);
    mm_judge_free(portable);
}

/* Every instruction set that the CPU has finds the plain mask, with runs and without. Returns how often one gave up
 * where it may; *judged is added to. */
static int assert_scans_are_plain(const mm_frame *f, const float *logits, float offset, const char *field, verdicts *judged)
{
    int given_up = 0;
    plain_mask plain = scan_plainly(f, logits, offset);
    for (int isa = MM_ISA_PORTABLE; isa <= MM_ISA_AVX512; isa++) {
        if (!mm_vector_supports((mm_isa)isa))
            continue;
        mm_upsampler *upsampler;
        ck_assert_int_eq(mm_upsampler_new_for(f, (mm_isa)isa, &upsampler, NULL), MM_OK);
        const size_t size = mm_upsampler_scratch(upsampler);
        void *scratch = malloc(size);
        memset(scratch, 0x7f, size); /* what an earlier mask left there does not matter */
        for (int with_runs = 0; with_runs < 2; with_runs++) {
            mm_mask_scan scan;
            mm_rle rle = {0};
            mm_rle *wanted = with_runs ? &rle : NULL;
            ck_assert_int_eq(mm_upsampler_scan(upsampler, logits, offset, scratch, &scan, wanted, NULL), MM_OK);
            ck_assert_msg(memcmp(&scan, &plain.scan, sizeof scan) == 0,
                          "%s, offset %g, %u x %u from %u, instruction set %d: %lu > low, %lu > high, area %lu, "
                          "not %lu, %lu, %lu",
                          field, (double)offset, f->width, f->height, f->low_res, isa, scan.above_low, scan.above_high,
                          scan.area, plain.scan.above_low, plain.scan.above_high, plain.scan.area);
            if (!with_runs)
                continue;
            assert_runs_are(&rle, &plain.rle);
            mm_rle_free(&rle);
        }
        given_up += assert_stable_masks_are_whole(upsampler, logits, offset, scratch, &plain);
        assert_judged_as_plain(f, upsampler, logits, offset, scratch, (mm_isa)isa, &plain, judged);
        free(scratch);
        mm_upsampler_free(upsampler);
    }
    mm_rle_free(&plain.rle);
    return given_up;
}

/* Enlarged and reduced (so far that some samples are part of no pixel), wide and tall, with last cells, words and tiles that are
 * full and that are not. */
static const mm_frame frames[] = {
    {40, 30, 512, 384, 512, 128}, {5, 19, 67, 256, 256, 64},
    {97, 131, 190, 256, 256, 64}, {225, 150, 256, 171, 256, 64}, {64, 128, 32, 64, 64, 16},
    {200, 63, 80, 25, 80, 20},    {70, 65, 64, 60, 64, 3},       {129, 1, 64, 1, 64, 16},
    {1, 300, 1, 64, 64, 16},      {256, 256, 64, 64, 64, 64},    {40, 50, 205, 256, 256, 64},
    {33, 16, 64, 31, 64, 33},     {90, 97, 16, 16, 16, 40},      {1, 1, 1, 1, 1, 1},
    {700, 47, 16, 2, 16, 1},      {150, 200, 192, 256, 256, 50},
};

static const float offsets[] = {1, 0, 0.25f, -1, 1e-40f, 3e38f, INFINITY, NAN};

static uint32_t next(uint32_t *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

static float unit(uint32_t *state)
{
    return (float)(next(state) >> 8) / 16777216.0f;
}

/* The state does not move, so all samples of a field are equal. */
static float constant_field(uint32_t *state, float offset)
{
    static const float levels[] = {-1, -0.0f, 0, 1, 50, -50, INFINITY, -INFINITY, NAN, 1e-42f};
    (void)offset;
    return levels[*state % (sizeof levels / sizeof levels[0])];
}

static float noise(uint32_t *state, float offset)
{
    (void)offset;
    return 6 * (unit(state) - 0.5f);
}

/* A few roundings away from one of the thresholds, the same one for long stretches. */
static float hovering(uint32_t *state, float offset)
{
    const uint32_t r = next(state);
    const float threshold = (float)((int)(*state >> 30) % 3 - 1) * offset;
    return threshold + (float)((int)(r >> 10 & 15) - 8) * 3e-8f * fmaxf(fabsf(threshold), 1e-32f);
}

static float at_one_threshold(uint32_t *state, float offset)
{
    const uint32_t r = next(state);
    return offset * (1 + (float)((int)(r >> 10 & 15) - 8) * 6e-8f);
}

static float huge(uint32_t *state, float offset)
{
    (void)offset;
    return (next(state) >> 31 ? 3.4e38f : -3.4e38f) * unit(state);
}

static float tiny(uint32_t *state, float offset)
{
    (void)offset;
    return (unit(state) - 0.3f) * 1e-38f;
}

START_TEST(any_field_gives_the_plain_mask)
{
    static const struct {
        const char *name;
        float (*sample)(uint32_t *, float);
    } fields[] = {{"constant", constant_field}, {"noise", noise}, {"hovering", hovering},
                  {"at one threshold", at_one_threshold}, {"huge", huge}, {"tiny", tiny}};
    uint32_t state = 11;
    verdicts judged = {0};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        for (size_t o = 0; o < sizeof offsets / sizeof offsets[0]; o++)
            for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++) {
                const size_t samples = (size_t)frames[i].low_res * frames[i].low_res;
                float *logits = malloc(samples * sizeof *logits);
                state = next(&state) >> 4;
                for (size_t k = 0; k < samples; k++)
                    logits[k] = fields[f].sample(&state, offsets[o]);
                assert_scans_are_plain(&frames[i], logits, offsets[o], fields[f].name, &judged);
                free(logits);
            }
}
END_TEST

/* Random blobs from sharp to so soft that most of the mask lies between the thresholds, some with samples in them that
 * are no number or infinite. */
START_TEST(blobs_give_the_plain_mask)
{
    uint32_t state = 3;
    int given_up = 0;
    verdicts judged = {0};
    for (int round = 0; round < 150; round++) {
        const mm_frame *f = &frames[(size_t)round % 11];
        const uint32_t low = f->low_res;
        const float offset = offsets[next(&state) % 4];
        const float cx = unit(&state) * (float)low, cy = unit(&state) * (float)low, r = unit(&state) * (float)low / 2;
        const float slope = exp2f(8 * unit(&state) - 5), grain = unit(&state) * slope;
        float *logits = malloc((size_t)low * low * sizeof *logits);
        for (uint32_t i = 0; i < low * low; i++) {
            const float d = hypotf((float)(i % low) - cx, (float)(i / low) - cy);
            logits[i] = slope * (r - d) + grain * (unit(&state) - 0.5f);
        }
        static const float special[] = {NAN, INFINITY, -INFINITY, -NAN};
        for (int k = 0; k < round % 4 * 3; k++)
            logits[next(&state) % (low * low)] = special[k % 4];
        given_up += assert_scans_are_plain(f, logits, offset, "blob", &judged);
        free(logits);
    }
    ck_assert_int_gt(given_up, 150); /* not by chance */
    ck_assert_int_gt(judged.stable, 20); /* with one instruction set, too */
    ck_assert_int_gt(judged.unstable, 150);
}
END_TEST

/* One sample stands out, at every place in turn: what is next to a skipped cell is not skipped with it. */
START_TEST(lonely_samples_are_found)
{
    const mm_frame f = {75, 110, 44, 64, 64, 16};
    static const float levels[][2] = {{-5, 8}, {5, -8}, {-5, NAN}, {5, NAN}, {-0.5f, INFINITY}, {0.5f, -INFINITY}};
    float logits[256];
    verdicts judged = {0};
    for (size_t level = 0; level < sizeof levels / sizeof levels[0]; level++)
        for (int at = 0; at < 256; at += 1 + (int)level) {
            for (int i = 0; i < 256; i++)
                logits[i] = levels[level][i == at];
            assert_scans_are_plain(&f, logits, 1, "lonely", &judged);
        }
}
END_TEST

/* An image much smaller than the logits: edges lie at samples that are part of no pixel, too. */
START_TEST(edges_between_pixels_are_found)
{
    enum { LOW = 128 };
    const mm_frame f = {40, 30, 512, 384, 512, LOW};
    static float logits[LOW * LOW];
    verdicts judged = {0};
    for (int edge = 4; edge < 90; edge++)
        for (int side = 0; side < 4; side++) {
            for (int i = 0; i < LOW * LOW; i++) {
                const int at = side < 2 ? i % LOW : i / LOW;
                logits[i] = (side % 2 ? at >= edge : at < edge) ? 5 : -5;
            }
            assert_scans_are_plain(&f, logits, 1, "edge", &judged);
        }
    ck_assert_int_gt(judged.stable, 4 * 86);
}
END_TEST

/* Where pixels are the samples themselves, a mask can begin and end at any row. */
START_TEST(edges_are_found_at_every_row)
{
    enum { SIDE = 260 };
    const mm_frame f = {3, SIDE, 3, SIDE, SIDE, SIDE};
    verdicts judged = {0};
    float *logits = malloc((size_t)SIDE * SIDE * sizeof *logits);
    for (int edge = 0; edge <= SIDE; edge++)
        for (int sign = -1; sign <= 1; sign += 2) {
            for (int i = 0; i < SIDE * SIDE; i++)
                logits[i] = (i / SIDE < edge) == (sign > 0) ? (i % SIDE == 1 ? 5.0f : 0.5f) : -5.0f;
            assert_scans_are_plain(&f, logits, 1, "edge", &judged);
        }
    ck_assert_int_gt(judged.stable, SIDE);
    free(logits);
}
END_TEST

/* A column that changes at every row, from set to set, and empty ones behind it: the most runs that there can be. */
START_TEST(the_longest_runs_fit)
{
    for (uint32_t height = 1; height <= 67; height++) {
        const mm_frame f = {3, height, 3, height, 68, 68};
        static float logits[68 * 68];
        verdicts judged = {0};
        for (uint32_t i = 0; i < 68 * 68; i++)
            logits[i] = i % 68 == 0 && i / 68 % 2 == 0 ? 5 : -5;
        assert_scans_are_plain(&f, logits, 1, "comb", &judged);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("amg/scan");
    TCase *tests = tcase_create("scan");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, any_field_gives_the_plain_mask);
    tcase_add_test(tests, blobs_give_the_plain_mask);
    tcase_add_test(tests, lonely_samples_are_found);
    tcase_add_test(tests, edges_between_pixels_are_found);
    tcase_add_test(tests, edges_are_found_at_every_row);
    tcase_add_test(tests, the_longest_runs_fit);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
