#include "train/dialogue.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/memory.h"
#include "train/draw.h"
#include "train/mask_targets.h"

static const size_t usual_memory = (size_t)128 << 20;
/* Prompts of a batch: more do not make its products more efficient. */
enum { MOST_TOGETHER = 16 };
/* Masks under a click beside the one that is asked for; more are left out. */
enum { MOST_ALSO = 7 };
/* Logits go on to the next round within this. */
static const float most_of_a_logit = 32;
/* A box's sides are off by a tenth of its size, but by no more than a fiftieth of the image, as 20 of 1024 pixels. */
static const double box_noise = 0.1, most_box_noise = 20.0 / 1024;

typedef struct asked {
    mm_point points[MM_MOST_ROUNDS];
    double box[4];
    bool has_box;
    size_t point_count;
    mm_draw draw;
    const float *target;   /* [16 N], as the answers */
    const float *also[MOST_ALSO];
    size_t also_count;
    float *answer, *next; /* the answer is a mask input while the next one is made */
} asked;

typedef struct dialogue {
    const mm_trained_decoder *decoder;
    const mm_dialogue_options *options;
    const mm_gradient_ops *ops;
    const mm_dialogue_image *image;
    asked *prompts;
    float **targets; /* [count + others], made when they are needed */
    size_t first;    /* of the batch under way */
    uint32_t round;
    mm_dialogue_sums *sums;
} dialogue;

void mm_dialogue_memory_free(mm_dialogue_memory *memory)
{
    free(memory->block);
    *memory = (mm_dialogue_memory){0};
}

static double clamped(double x, double least, double most)
{
    return x < least ? least : x > most ? most : x;
}

static void ask_box(const mm_dialogue_image *image, const mm_rle *mask, asked *a)
{
    uint32_t box[4];
    mm_rle_box(mask, box);
    const double longer = fmax(image->frame.width, image->frame.height);
    for (int k = 0; k < 4; k++) {
        const double size = (double)box[k % 2 + 2] - box[k % 2], most = most_box_noise * longer;
        const double end = (k % 2 ? image->frame.height : image->frame.width) - 1.0;
        a->box[k] = clamped(box[k] + clamped(box_noise * size * mm_draw_normal(&a->draw), -most, most), 0, end);
    }
    a->has_box = true;
}

static void ask_first(const dialogue *d, const mm_rle *mask, asked *a)
{
    if (mm_draw_share(&a->draw) < d->options->box_share) {
        ask_box(d->image, mask, a);
        return;
    }
    uint32_t x, y;
    mm_mask_pixel(mask, mm_draw_below(&a->draw, mm_rle_area(mask)), &x, &y);
    a->points[a->point_count++] = (mm_point){x, y, 1};
}

/* Where low-res pixel i, in the order of cells, is in the image, at a random place within. */
static void place(const dialogue *d, size_t i, asked *a, mm_point *point)
{
    const size_t side = d->decoder->arch.embedding_side, cell = i / 16, sub = i % 16;
    const size_t row = 4 * (cell / side) + 2 * (sub / 8) + sub / 2 % 2;
    const size_t column = 4 * (cell % side) + 2 * (sub / 4 % 2) + sub % 2;
    const mm_frame *f = &d->image->frame;
    const double step = (double)f->image_size / (double)(4 * side); /* input pixels of a low-res one */
    const double x = ((double)column + mm_draw_share(&a->draw)) * step,
        y = ((double)row + mm_draw_share(&a->draw)) * step;
    point->x = clamped((x - 0.5) * f->width / f->input_width, 0, f->width - 1.0);
    point->y = clamped((y - 0.5) * f->height / f->input_height, 0, f->height - 1.0);
}

/* Whether a click may go there: where the answer is wrong, or, with `anywhere`, on the mask. */
static bool is_open(const asked *a, size_t i, bool anywhere)
{
    const float t = a->target[i];
    return anywhere ? t > 0 : t >= 0 && (a->answer[i] > 0) != (t > 0.5f);
}

/* A click where the answer is wrong; where nothing is, on the mask, and if that is too small for the grid, none on
 * purpose: the first low-res pixel that is in the image. */
static void ask_next(const dialogue *d, asked *a)
{
    const size_t n = 16 * d->decoder->cells;
    for (int anywhere = 0; anywhere < 2; anywhere++) {
        uint64_t count = 0;
        for (size_t i = 0; i < n; i++)
            count += is_open(a, i, anywhere);
        if (!count)
            continue;
        uint64_t left = mm_draw_below(&a->draw, count);
        for (size_t i = 0; i < n; i++) {
            if (!is_open(a, i, anywhere) || left--)
                continue;
            mm_point *point = &a->points[a->point_count++];
            point->label = anywhere || a->target[i] > 0.5f;
            place(d, i, a, point);
            return;
        }
    }
    a->points[a->point_count++] = (mm_point){0, 0, 0};
}

static void note(mm_dialogue_sums *sums, uint32_t round, const mm_mask_loss *loss, double total)
{
    mm_round_figures *figures = &sums->rounds[round];
    figures->prompts += 1;
    figures->mask_loss += loss->mask;
    figures->iou_loss += loss->iou;
    figures->chosen_iou += loss->chosen_iou;
    figures->best_iou += loss->best_iou;
    figures->iou_error += loss->iou_error;
    sums->loss += total;
    if (round)
        return;
    const double tenth = clamped(floor(loss->predicted * MM_CALIBRATION_BINS), 0, MM_CALIBRATION_BINS - 1);
    mm_calibration_bin *bin = &sums->calibration[(size_t)tenth];
    bin->count += 1;
    bin->predicted += loss->predicted;
    bin->truth += loss->truth;
}

static void judge(void *user, size_t prompt, const float *logits, const float *iou, mm_verdict *verdict)
{
    dialogue *d = user;
    asked *a = &d->prompts[d->first + prompt];
    const size_t n = 16 * d->decoder->cells;
    const mm_meant meant = {.target = a->target,
                            .ambiguous = a->point_count == 1 && !a->has_box,
                            .also = a->also,
                            .also_count = a->also_count,
                            .share = 1.0 / d->options->rounds};
    const mm_mask_loss loss = mm_mask_loss_judge(d->ops, &d->options->weights, d->decoder->arch.decoder.mask_tokens,
                                                 d->decoder->cells, logits, iou, &meant, verdict);
    if (loss.finite)
        note(d->sums, d->round, &loss, meant.share * (loss.mask + d->options->weights.iou * loss.iou));
    else
        d->sums->broken += 1;
    if (loss.finite && d->image->parts) {
        mm_dialogue_part *part = &d->image->parts[d->image->part[d->first + prompt]];
        part->masks += d->round == 0;
        part->chosen_iou[d->round] += loss.chosen_iou;
    }
    for (size_t i = 0; i < n; i++) {
        const float x = logits[loss.chosen * n + i];
        a->next[i] = x < -most_of_a_logit ? -most_of_a_logit : x > most_of_a_logit ? most_of_a_logit : x;
    }
}

/* How many prompts of T tokens fit into the memory, which grows to hold them. */
static mm_status make_room(const dialogue *d, size_t tokens, bool masks, mm_dialogue_memory *memory, size_t *together,
                           mm_error *err)
{
    const size_t most = (d->options->memory ? d->options->memory : usual_memory) / sizeof(float);
    *together = MOST_TOGETHER < d->image->count ? MOST_TOGETHER : d->image->count;
    while (*together > 1 && mm_trained_decoder_memory(d->decoder, *together, tokens, masks) > most)
        --*together;
    const size_t floats = mm_trained_decoder_memory(d->decoder, *together, tokens, masks);
    if (floats <= memory->floats)
        return MM_OK;
    mm_dialogue_memory_free(memory);
    memory->block = mm_floats(floats);
    memory->floats = memory->block ? floats : 0;
    return memory->block ? MM_OK : mm_fail_memory(err, "a batch of prompts");
}

static mm_prompt prompt_of(const asked *a)
{
    return (mm_prompt){.points = a->points, .point_count = a->point_count, .box = a->has_box ? a->box : NULL};
}

/* One round of all prompts; those of a round have the same number of tokens. */
static mm_status run_round(mm_learner *learner, dialogue *d, bool back, mm_dialogue_memory *memory, mm_error *err)
{
    const mm_judge judging = {d, judge};
    const mm_prompt sample = prompt_of(&d->prompts[0]);
    size_t together = 1;
    mm_status status = make_room(d, mm_trained_decoder_tokens(d->decoder, &sample), d->round > 0, memory, &together,
                                 err);
    for (d->first = 0; status == MM_OK && d->first < d->image->count; d->first += together) {
        mm_prompt prompts[MOST_TOGETHER];
        const float *masks[MOST_TOGETHER];
        const size_t left = d->image->count - d->first, count = left < together ? left : together;
        for (size_t i = 0; i < count; i++) {
            prompts[i] = prompt_of(&d->prompts[d->first + i]);
            masks[i] = d->prompts[d->first + i].answer;
        }
        const mm_training_batch batch = {.embedding = d->image->embedding, .frame = &d->image->frame,
                                         .prompts = prompts, .mask_input = d->round ? masks : NULL, .count = count};
        mm_trained_decoder_run(learner, d->decoder, &batch, &judging, back, memory->block);
        status = learner->status;
        for (size_t i = 0; i < count; i++) {
            asked *a = &d->prompts[d->first + i];
            float *swap = a->answer;
            a->answer = a->next;
            a->next = swap;
        }
    }
    return status;
}

/* The target of a mask of the image, made at its first use. */
static mm_status target_of(dialogue *d, size_t mask, float *scratch, const float **target, mm_error *err)
{
    mm_status status = MM_OK;
    if (!d->targets[mask]) {
        d->targets[mask] = mm_floats(16 * d->decoder->cells);
        status = d->targets[mask] ? mm_mask_target(&d->image->masks[mask], &d->image->frame,
                                                   d->decoder->arch.embedding_side, d->targets[mask], scratch, err)
                                  : mm_fail_memory(err, "a mask's target");
    }
    *target = d->targets[mask];
    return status;
}

/* What else the click on a mask may mean: the other masks that it lies on. */
static mm_status find_also(dialogue *d, size_t mask, asked *a, float *scratch, mm_error *err)
{
    mm_status status = MM_OK;
    if (!d->options->nested || a->has_box)
        return MM_OK;
    const uint32_t x = (uint32_t)a->points[0].x, y = (uint32_t)a->points[0].y;
    for (size_t i = 0; i < d->image->count + d->image->others && status == MM_OK && a->also_count < MOST_ALSO; i++)
        if (i != mask && mm_mask_has(&d->image->masks[i], x, y))
            status = target_of(d, i, scratch, &a->also[a->also_count++], err);
    return status;
}

/* Each prompt with its targets; its answers' places. */
static mm_status begin(dialogue *d, uint64_t seed, float *floats, mm_error *err)
{
    const size_t n = 16 * d->decoder->cells;
    float *scratch = floats + 2 * d->image->count * n;
    mm_status status = MM_OK;
    for (size_t i = 0; i < d->image->count && status == MM_OK; i++) {
        asked *a = &d->prompts[i];
        *a = (asked){.draw = {mm_mix(seed, i), 0}, .answer = floats + 2 * i * n, .next = floats + (2 * i + 1) * n};
        status = target_of(d, i, scratch, &a->target, err);
        if (status != MM_OK)
            break;
        ask_first(d, &d->image->masks[i], a);
        status = find_also(d, i, a, scratch, err);
    }
    return status;
}

mm_status mm_dialogue_run(mm_learner *learner, const mm_trained_decoder *decoder, const mm_dialogue_options *options,
                          const mm_dialogue_image *image, uint64_t seed, bool back, mm_dialogue_memory *memory,
                          mm_dialogue_sums *sums, mm_error *err)
{
    if (!image->count)
        return MM_OK;
    dialogue d = {.decoder = decoder, .options = options, .ops = learner->gradient, .image = image, .sums = sums};
    float *floats = mm_floats((2 * image->count + 1) * 16 * decoder->cells);
    d.prompts = calloc(image->count, sizeof *d.prompts);
    d.targets = calloc(image->count + image->others, sizeof *d.targets);
    mm_status status = floats && d.prompts && d.targets ? begin(&d, seed, floats, err)
                                                        : mm_fail_memory(err, "the prompts of an image");
    mm_draw draw = {mm_mix(seed, UINT64_MAX), 0};
    const uint32_t last = options->rounds - 1;
    const uint32_t pause = options->rounds >= 4 ? 1 + (uint32_t)mm_draw_below(&draw, last - 1) : 0;
    for (d.round = 0; status == MM_OK && d.round < options->rounds; d.round++) {
        const bool pausing = options->pauses && options->rounds >= 4 && (d.round == pause || d.round == last);
        for (size_t i = 0; d.round && !pausing && i < image->count; i++)
            ask_next(&d, &d.prompts[i]);
        status = run_round(learner, &d, back, memory, err);
    }
    if (status == MM_OK)
        sums->prompts += (double)image->count;
    for (size_t i = 0; d.targets && i < image->count + image->others; i++)
        free(d.targets[i]);
    free(d.targets);
    free(d.prompts);
    free(floats);
    return status;
}
