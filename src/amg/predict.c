/* Steps 3 to 6 for one crop: the grid's points go to the decoder, and what it gives is filtered at once, so that
 * logits live no longer than a call and runs are kept only for masks that stay. */
#include <omp.h>
#include <stdlib.h>

#include "amg/steps.h"
#include "amg/upsample.h"

/* Scan memory that no thread is using. A decoder with several threads calls from all of them. */
typedef struct scratch {
    struct scratch *next;
} scratch;

#define SCRATCH_HEADER 64 /* keeps what follows aligned */

/* The masks of one prompt have slots of their own, so that threads never meet and order does not depend on them. */
typedef struct slot {
    bool selected, kept, hint; /* before step 5 `hint` says that the mask fell short at step 4 */
    mm_candidate candidate;
} slot;

typedef struct prompts {
    const mm_prediction *prediction;
    uint32_t outputs; /* multimask outputs of a prompt */
    slot *slots;      /* [prompt][output] */
    scratch *unused;
    size_t scratch_count;
    size_t parked; /* bytes */
    double scan_seconds; /* summed over threads */
    size_t kept;         /* prompts that keep a mask at step 4 */
} prompts;

static size_t scratch_size(const mm_prediction *prediction)
{
    const size_t scan = mm_upsampler_scratch(prediction->upsampler);
    const size_t judge = prediction->judge ? mm_judge_scratch(prediction->judge) : 0;
    return scan > judge ? scan : judge;
}

static scratch *borrow_scratch(prompts *p)
{
    scratch *block;
#pragma omp critical(mm_amg_scratch)
    {
        block = p->unused;
        if (block)
            p->unused = block->next;
        else
            p->scratch_count++;
    }
    return block ? block : malloc(SCRATCH_HEADER + scratch_size(p->prediction));
}

static void return_scratch(prompts *p, scratch *block, double seconds)
{
#pragma omp critical(mm_amg_scratch)
    {
        block->next = p->unused;
        p->unused = block;
        p->scan_seconds += seconds;
    }
}

/* Step 4, before the masks themselves are computed. */
static uint32_t select_masks(void *user, size_t prompt, const float *predicted_iou)
{
    prompts *p = user;
    uint32_t wanted = 0;
    bool kept = false;
    for (uint32_t output = 0; output < p->outputs; output++) {
        const float iou = predicted_iou[output + 1];
        const bool keeps = mm_amg_keeps_iou(p->prediction->params, iou);
        if (!keeps && !mm_amg_hints_iou(p->prediction, iou))
            continue;
        slot *s = &p->slots[prompt * p->outputs + output];
        s->selected = keeps;
        s->hint = !keeps;
        s->candidate.predicted_iou = iou;
        wanted |= UINT32_C(1) << (output + 1);
        kept = kept || keeps;
    }
#pragma omp atomic
    p->kept += kept;
    return wanted;
}

/* Of a crop's masks no more bytes of logits than this wait for NMS. */
#define MOST_PARKED (64u << 20)

/* Step 5, and the box, by the low-res logits alone, if they decide it. Step 6 then waits until it is known that the mask stays. */
static mm_judge_verdict judge_mask(prompts *p, mm_candidate *c, const float *logits, void *memory)
{
    const mm_judge *judge = p->prediction->judge;
    const mm_amg_params *params = p->prediction->params;
    if (!judge)
        return MM_JUDGE_OPEN;
    mm_low_window window;
    const mm_judge_verdict verdict = mm_judge_mask(judge, logits, params->stability_score_offset,
                                                   params->stability_score_thresh, memory, c->box, &window);
    if (verdict != MM_JUDGE_STABLE)
        return verdict;
    size_t size, parked;
    c->parked = mm_judge_park(judge, logits, &window, memory, &size);
    if (!c->parked)
        return MM_JUDGE_OPEN; /* without memory it is scanned now */
#pragma omp atomic capture
    parked = p->parked += size;
    if (parked <= MOST_PARKED)
        return MM_JUDGE_STABLE;
    free(c->parked);
    c->parked = NULL;
    return MM_JUDGE_OPEN;
}

/* Steps 5 and 6. Masks that cannot become stable end half-way, without runs. */
static mm_status take_mask(void *user, size_t prompt, uint32_t mask, const float *logits, mm_error *err)
{
    prompts *p = user;
    const mm_amg_params *params = p->prediction->params;
    slot *s = &p->slots[prompt * p->outputs + mask - 1];
    mm_candidate *c = &s->candidate;
    scratch *block = borrow_scratch(p);
    if (!block)
        return mm_fail_memory(err, "scanning a mask");
    const double start = omp_get_wtime();
    void *memory = (char *)block + SCRATCH_HEADER;
    mm_mask_scan scan;
    mm_status status = MM_OK;
    const mm_judge_verdict verdict = judge_mask(p, c, logits, memory);
    s->kept = verdict == MM_JUDGE_STABLE;
    if (verdict == MM_JUDGE_OPEN)
        status = mm_upsampler_scan_stable(p->prediction->upsampler, logits, params->stability_score_offset,
                                          mm_amg_least_stability(p->prediction), memory, &scan, &c->rle, err);
    return_scratch(p, block, omp_get_wtime() - start);
    if (status || !c->rle.runs)
        return status;
    c->stability_score = mm_amg_stability(&scan);
    c->area = (uint32_t)scan.area;
    for (int side = 0; side < 4; side++)
        c->box[side] = scan.box[side];
    const bool stable = mm_amg_keeps_stability(params, c->stability_score);
    s->kept = s->selected && stable;
    s->hint = (s->hint && stable) || (!s->kept && mm_amg_hints_stability(p->prediction, c->stability_score));
    if (!s->kept && !s->hint)
        mm_rle_free(&c->rle);
    return MM_OK;
}

/* The grid's points, y outer, x inner: coords[i] in pixels of the crop, points[i] the same place in the encoded image,
 * and prompts[i], which refers to points[i]. */
typedef struct grid {
    size_t count;
    double (*coords)[2];
    mm_point *points;
    mm_prompt *prompts;
} grid;

static void free_grid(grid *g)
{
    free(g->coords);
    free(g->points);
    free(g->prompts);
}

static mm_status lay_grid(const mm_prediction *prediction, grid *g, mm_error *err)
{
    *g = (grid){0};
    uint32_t side;
    mm_status status = mm_amg_grid_side(prediction->params, prediction->crop->layer, &side, err);
    if (status)
        return status;
    g->count = (size_t)side * side;
    g->coords = reallocarray(NULL, g->count, sizeof *g->coords);
    g->points = reallocarray(NULL, g->count, sizeof *g->points);
    g->prompts = reallocarray(NULL, g->count, sizeof *g->prompts);
    if (!g->coords || !g->points || !g->prompts) {
        free_grid(g);
        return mm_fail_memory(err, "the grid of prompts");
    }
    const uint32_t *box = prediction->crop->box;
    const double width = box[2] - box[0], height = box[3] - box[1];
    size_t i = 0;
    for (uint32_t row = 0; row < side; row++) {
        for (uint32_t column = 0; column < side; column++, i++) {
            const double x = mm_amg_grid_coordinate(side, column) * width;
            const double y = mm_amg_grid_coordinate(side, row) * height;
            g->coords[i][0] = x;
            g->coords[i][1] = y;
            g->points[i] = (mm_point){x * (prediction->encoded_width / width),
                                      y * (prediction->encoded_height / height), 1};
            g->prompts[i] = (mm_prompt){.points = &g->points[i], .point_count = 1};
        }
    }
    return MM_OK;
}

/* What was kept, in the order of prompts and outputs, and likewise the hints. */
static mm_status collect(prompts *p, const grid *g, mm_candidates *out, mm_error *err)
{
    mm_funnel *funnel = p->prediction->funnel;
    mm_candidates *hints = p->prediction->hints;
    const size_t slots = g->count * p->outputs;
    size_t kept = 0, short_of = 0;
    for (size_t i = 0; i < slots; i++) {
        funnel->after_iou += p->slots[i].selected;
        kept += p->slots[i].kept;
        short_of += p->slots[i].hint;
    }
    funnel->candidates += slots;
    funnel->after_stability += kept;
    mm_status status = mm_candidates_reserve(out, kept, err);
    if (!status && short_of)
        status = mm_candidates_reserve(hints, short_of, err);
    if (status)
        return status;
    for (size_t i = 0; i < slots; i++) {
        if (!p->slots[i].kept && !p->slots[i].hint)
            continue;
        mm_candidates *list = p->slots[i].kept ? out : hints;
        mm_candidate *c = &list->items[list->count++];
        *c = p->slots[i].candidate;
        p->slots[i].candidate.rle = (mm_rle){0};
        p->slots[i].candidate.parked = NULL;
        for (int axis = 0; axis < 2; axis++)
            c->point[axis] = g->coords[i / p->outputs][axis];
        for (int side = 0; side < 4; side++)
            c->crop[side] = p->prediction->crop->box[side];
    }
    return MM_OK;
}

static void free_prompts(prompts *p, size_t count)
{
    for (size_t i = 0; p->slots && i < count * p->outputs; i++) {
        mm_rle_free(&p->slots[i].candidate.rle);
        free(p->slots[i].candidate.parked);
    }
    free(p->slots);
    while (p->unused) {
        scratch *next = p->unused->next;
        free(p->unused);
        p->unused = next;
    }
}

mm_status mm_amg_predict(mm_prediction *prediction, mm_candidates *out, mm_error *err)
{
    const mm_predictor *predictor = prediction->predictor;
    grid g;
    mm_status status = lay_grid(prediction, &g, err);
    if (status)
        return status;
    prompts p = {.prediction = prediction, .outputs = predictor->mask_tokens - 1};
    p.slots = calloc(g.count, p.outputs * sizeof *p.slots);
    if (!p.slots)
        status = mm_fail_memory(err, "the masks of a crop");
    const mm_mask_sink sink = {.user = &p, .select = select_masks, .take = take_mask};
    const double start = omp_get_wtime();
    if (!status)
        status = predictor->decode(predictor->user, g.prompts, g.count, &sink, err);
    const double seconds = omp_get_wtime() - start;
    prediction->seconds_masks = p.scratch_count ? p.scan_seconds / (double)p.scratch_count : 0;
    prediction->seconds_decode = seconds - prediction->seconds_masks;
    prediction->prompts = g.count;
    prediction->prompts_kept = p.kept;
    if (!status)
        status = collect(&p, &g, out, err);
    free_prompts(&p, g.count);
    free_grid(&g);
    return status;
}

mm_status mm_amg_unpark(const mm_prediction *prediction, mm_candidates *list, mm_error *err)
{
    if (!prediction->judge)
        return MM_OK;
    const size_t side = mm_judge_low_res(prediction->judge);
    float *logits = malloc(side * side * sizeof *logits);
    void *memory = malloc(mm_upsampler_scratch(prediction->upsampler));
    mm_status status = logits && memory ? MM_OK : mm_fail_memory(err, "scanning a mask");
    for (size_t i = 0; i < list->count && !status; i++) {
        mm_candidate *c = &list->items[i];
        if (!c->parked)
            continue;
        mm_judge_unpark(prediction->judge, c->parked, logits);
        free(c->parked);
        c->parked = NULL;
        mm_mask_scan scan;
        status = mm_upsampler_scan(prediction->upsampler, logits, prediction->params->stability_score_offset, memory,
                                   &scan, &c->rle, err);
        c->stability_score = mm_amg_stability(&scan);
        c->area = (uint32_t)scan.area;
    }
    free(memory);
    free(logits);
    return status;
}
