#include "train/evaluate.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RECALLS = 101 };

static double iou_of(const float a[4], const float b[4])
{
    const double w = fmin((double)a[2], (double)b[2]) - fmax((double)a[0], (double)b[0]);
    const double h = fmin((double)a[3], (double)b[3]) - fmax((double)a[1], (double)b[1]);
    if (w <= 0 || h <= 0)
        return 0;
    const double area_a = (double)(a[2] - a[0]) * (double)(a[3] - a[1]);
    const double area_b = (double)(b[2] - b[0]) * (double)(b[3] - b[1]);
    return w * h / (area_a + area_b - w * h);
}

/* Each detection in turn takes the free truth that it overlaps most, if that is at least the threshold; of equal ones
 * the last. Returns how many did; hit[] (may be NULL) says which. */
static size_t match(const double *ious, size_t found, size_t truths, double threshold, bool *taken, uint32_t *hit)
{
    size_t matched = 0;
    memset(taken, 0, truths * sizeof *taken);
    for (size_t d = 0; d < found; d++) {
        double best = fmin(threshold, 1 - 1e-10);
        size_t which = truths;
        for (size_t t = 0; t < truths; t++)
            if (!taken[t] && ious[d * truths + t] >= best) {
                best = ious[d * truths + t];
                which = t;
            }
        if (hit)
            hit[d] = which < truths;
        if (which < truths) {
            taken[which] = true;
            matched++;
        }
    }
    return matched;
}

mm_status mm_evaluation_add(mm_evaluation *evaluation, uint32_t number, const mm_detections *found,
                            const float (*truths)[4], size_t truth_count, mm_error *err)
{
    if (evaluation->room - evaluation->count < found->count) {
        const size_t room = 2 * (evaluation->count + found->count);
        mm_evaluated_box *grown = reallocarray(evaluation->boxes, room, sizeof *grown);
        if (!grown)
            return mm_fail_memory(err, "an evaluation");
        evaluation->boxes = grown;
        evaluation->room = room;
    }
    double *ious = malloc((found->count * truth_count + 1) * sizeof *ious);
    bool *taken = malloc((truth_count + 1) * sizeof *taken);
    uint32_t *hit = malloc((found->count + 1) * sizeof *hit);
    const bool good = ious && taken && hit;
    for (size_t d = 0; good && d < found->count; d++)
        for (size_t t = 0; t < truth_count; t++)
            ious[d * truth_count + t] = iou_of(found->items[d].box, truths[t]);
    for (int i = 0; good && i < MM_EVALUATION_IOUS; i++)
        evaluation->matched[i] += match(ious, found->count, truth_count, 0.5 + 0.05 * i, taken, i ? NULL : hit);
    for (size_t d = 0; good && d < found->count; d++)
        evaluation->boxes[evaluation->count++] =
            (mm_evaluated_box){found->items[d].score, hit[d], (uint64_t)number << 32 | d};
    evaluation->truths += good ? truth_count : 0;
    free(ious);
    free(taken);
    free(hit);
    return good ? MM_OK : mm_fail_memory(err, "an evaluation");
}

/* Boxes of all ranks behind one another. */
static mm_status join(mm_evaluation *evaluation, const mm_parcel *parcels, int ranks, mm_error *err)
{
    size_t total = 0;
    for (int r = 0; r < ranks; r++)
        total += parcels[r].size / sizeof(mm_evaluated_box);
    mm_evaluated_box *all = malloc((total + 1) * sizeof *all);
    if (!all)
        return mm_fail_memory(err, "an evaluation");
    size_t at = 0;
    for (int r = 0; r < ranks; r++) {
        const size_t count = parcels[r].size / sizeof *all;
        if (count > 0)
            memcpy(all + at, parcels[r].bytes, count * sizeof *all);
        at += count;
    }
    free(evaluation->boxes);
    evaluation->boxes = all;
    evaluation->count = evaluation->room = total;
    return MM_OK;
}

mm_status mm_evaluation_gather(mm_comm *comm, mm_evaluation *evaluation, mm_error *err)
{
    if (!comm)
        return MM_OK;
    const size_t ranks = (size_t)mm_comm_size(comm);
    mm_status status = mm_comm_sum(comm, &evaluation->truths, 1, err);
    if (status == MM_OK)
        status = mm_comm_sum(comm, evaluation->matched, MM_EVALUATION_IOUS, err);
    mm_parcel *parcels = calloc(2 * ranks, sizeof *parcels);
    if (status == MM_OK)
        status = mm_comm_agree(comm, parcels ? MM_OK : mm_fail_memory(err, "an evaluation"), err);
    if (status == MM_OK) {
        parcels[0] = (mm_parcel){(uint8_t *)evaluation->boxes, evaluation->count * sizeof *evaluation->boxes};
        status = mm_comm_exchange(comm, parcels, parcels + ranks, err);
    }
    if (status == MM_OK) {
        if (mm_comm_rank(comm) == 0)
            status = join(evaluation, parcels + ranks, (int)ranks, err);
        for (size_t r = 0; r < ranks; r++)
            free(parcels[ranks + r].bytes);
        status = mm_comm_agree(comm, status, err);
    }
    free(parcels);
    return status;
}

double mm_evaluation_recall(const mm_evaluation *evaluation)
{
    double sum = 0;
    for (int i = 0; i < MM_EVALUATION_IOUS; i++)
        sum += evaluation->truths ? (double)evaluation->matched[i] / (double)evaluation->truths : 0;
    return sum / MM_EVALUATION_IOUS;
}

static int by_score(const void *a, const void *b)
{
    const mm_evaluated_box *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

double mm_evaluation_precision(mm_evaluation *evaluation)
{
    const size_t count = evaluation->count;
    double best[RECALLS] = {0};
    uint64_t hits = 0;
    if (count == 0 || evaluation->truths == 0)
        return 0;
    qsort(evaluation->boxes, count, sizeof evaluation->boxes[0], by_score);
    for (size_t i = 0; i < count; i++)
        hits += evaluation->boxes[i].hit;
    /* From the worst on: the best precision so far is that of its recall or above. */
    double precision = 0;
    for (size_t i = count; i-- > 0;) {
        const double recall = (double)hits / (double)evaluation->truths;
        const double here = (double)hits / ((double)(i + 1) + DBL_EPSILON);
        precision = precision > here ? precision : here;
        for (int r = 0; r < RECALLS; r++)
            if (recall >= r / 100.0)
                best[r] = precision;
        hits -= evaluation->boxes[i].hit;
    }
    double sum = 0;
    for (int r = 0; r < RECALLS; r++)
        sum += best[r];
    return sum / RECALLS;
}

void mm_evaluation_free(mm_evaluation *evaluation)
{
    free(evaluation->boxes);
    *evaluation = (mm_evaluation){0};
}
