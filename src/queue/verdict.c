#include "queue/verdict.h"

#include <stdlib.h>

void mm_verdict_free(mm_verdict *verdict)
{
    for (size_t i = 0; verdict->rles && i < verdict->count; i++)
        mm_rle_free(&verdict->rles[i]);
    free(verdict->rles);
    free(verdict->of_shown);
    free(verdict->of_answer);
    free(verdict->same);
    *verdict = (mm_verdict){0};
}

bool mm_verdict_changes(const mm_verdict *verdict)
{
    return verdict->counts.corrected || verdict->counts.deleted || verdict->counts.added;
}

static mm_status begin(const mm_shown *shown, const mm_answer *answer, mm_verdict *verdict, mm_error *err)
{
    const size_t masks = shown->prefilled + shown->hints;
    *verdict = (mm_verdict){.of_shown = malloc((masks + 1) * sizeof *verdict->of_shown),
                            .of_answer = malloc((answer->count + 1) * sizeof *verdict->of_answer),
                            .same = calloc(answer->count + 1, sizeof *verdict->same),
                            .rles = calloc(answer->count + 1, sizeof *verdict->rles),
                            .count = answer->count};
    if (!verdict->of_shown || !verdict->of_answer || !verdict->same || !verdict->rles)
        return mm_fail_memory(err, "an answer");
    for (size_t i = 0; i < masks; i++)
        verdict->of_shown[i] = MM_NO_PARTNER;
    mm_status status = MM_OK;
    for (size_t i = 0; i < answer->count; i++)
        verdict->of_answer[i] = MM_NO_PARTNER;
    for (size_t i = 0; status == MM_OK && i < answer->count; i++)
        if (!answer->masks[i].broken)
        status = mm_rle_from_counts(answer->masks[i].counts, answer->masks[i].size, shown->height, shown->width,
                                        &verdict->rles[i], err);
    return status;
}

static void pair(mm_verdict *verdict, size_t shown, size_t answer, bool same)
{
    verdict->of_shown[shown] = answer;
    verdict->of_answer[answer] = shown;
    verdict->same[answer] = same;
}

/* An id is believed if the image is the same and the masks touch: tools that number anew could hit one by chance. A
 * brush that differs was changed by hand; a polygon of a mask never is quite that mask. */
static void pair_by_name(const mm_shown *shown, const mm_answer *answer, mm_verdict *verdict)
{
    for (size_t a = 0; a < answer->count; a++) {
        const mm_answer_mask *mask = &answer->masks[a];
        if (!mask->named || mask->is_hint)
            continue;
        for (size_t s = 0; s < shown->prefilled + shown->hints; s++) {
            const mm_shown_name *name = &shown->masks[s].name;
            if (name->image_id != mask->name.image_id || name->kind != mask->name.kind ||
                name->index != mask->name.index)
                continue;
            if (mask->broken) {
                if (verdict->of_shown[s] == MM_NO_PARTNER && s < shown->prefilled)
                    pair(verdict, s, a, true);
                continue;
            }
            const double iou = mm_rle_iou(&shown->masks[s].rle, &verdict->rles[a]);
            if (verdict->of_shown[s] == MM_NO_PARTNER && iou > 0)
                pair(verdict, s, a, mask->exact ? mm_rle_equal(&shown->masks[s].rle, &verdict->rles[a])
                                                : iou >= MM_SAME_IOU);
        }
    }
}

typedef struct likeness {
    double iou;
    size_t shown, answer;
} likeness;

static int by_falling_iou(const void *a, const void *b)
{
    const likeness *x = a, *y = b;
    if (x->iou != y->iou)
        return x->iou > y->iou ? -1 : 1;
    if (x->shown != y->shown)
        return x->shown < y->shown ? -1 : 1;
    return x->answer < y->answer ? -1 : x->answer > y->answer;
}

/* What has no partner yet, the most alike first. A hint has to be the same; a mask that was filled in may have been
 * corrected. */
static mm_status pair_by_likeness(const mm_shown *shown, const mm_answer *answer, mm_verdict *verdict, mm_error *err)
{
    likeness *all = NULL;
    size_t count = 0, room = 0;
    for (size_t s = 0; s < shown->prefilled + shown->hints; s++)
        for (size_t a = 0; a < answer->count; a++) {
            if (verdict->of_shown[s] != MM_NO_PARTNER || verdict->of_answer[a] != MM_NO_PARTNER ||
                !mm_answer_mask_counts(&answer->masks[a]))
                continue;
            const double iou = mm_rle_iou(&shown->masks[s].rle, &verdict->rles[a]);
            if (iou < (s < shown->prefilled ? MM_CORRECTED_IOU : MM_SAME_IOU))
                continue;
            if (count == room) {
                room = room ? 2 * room : 64;
                likeness *more = reallocarray(all, room, sizeof *more);
                if (!more) {
                    free(all);
                    return mm_fail_memory(err, "an answer");
                }
                all = more;
            }
            all[count++] = (likeness){iou, s, a};
        }
    if (count > 0)
        qsort(all, count, sizeof *all, by_falling_iou);
    for (size_t i = 0; i < count; i++)
        if (verdict->of_shown[all[i].shown] == MM_NO_PARTNER && verdict->of_answer[all[i].answer] == MM_NO_PARTNER)
            pair(verdict, all[i].shown, all[i].answer, all[i].iou >= MM_SAME_IOU);
    free(all);
    return MM_OK;
}

static void count(const mm_shown *shown, const mm_answer *answer, mm_verdict *verdict)
{
    mm_answer_counts *counts = &verdict->counts;
    *counts = (mm_answer_counts){.images = 1, .seconds = answer->seconds};
    double of_masks = 0;
    for (size_t s = 0; s < shown->prefilled; s++) {
        const size_t a = verdict->of_shown[s];
        counts->deleted += a == MM_NO_PARTNER;
        counts->kept += a != MM_NO_PARTNER && verdict->same[a];
        counts->corrected += a != MM_NO_PARTNER && !verdict->same[a];
    }
    for (size_t a = 0; a < answer->count; a++) {
        const size_t s = verdict->of_answer[a];
        of_masks += (double)answer->masks[a].seconds;
        if (!mm_answer_mask_counts(&answer->masks[a]) || (s != MM_NO_PARTNER && s < shown->prefilled))
            continue;
        counts->added++;
        counts->accepted += s != MM_NO_PARTNER;
    }
    if (counts->seconds <= 0)
        counts->seconds = of_masks;
}

mm_status mm_verdict_of(const mm_shown *shown, const mm_answer *answer, mm_verdict *verdict, mm_error *err)
{
    *verdict = (mm_verdict){0};
    mm_status status = begin(shown, answer, verdict, err);
    if (status == MM_OK)
        pair_by_name(shown, answer, verdict);
    if (status == MM_OK)
        status = pair_by_likeness(shown, answer, verdict, err);
    if (status == MM_OK)
        count(shown, answer, verdict);
    return status;
}
