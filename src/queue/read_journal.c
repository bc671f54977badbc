/* Answers journals, as `maskmill annotate` writes them (journal/lines.h, journal/answer.h): what people did, one step a
 * line. What stands of an image in the end is its answer: masks that were shown and left alone, and masks that were
 * accepted. An accepted mask that replaced one of those shown has its name, however often it was replaced in turn. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "journal/answer.h"
#include "journal/lines.h"
#include "queue/answers.h"
#include "queue/id_set.h"
#include "queue/queue.h"
#include "queue/shown.h"

typedef struct accepted {
    mm_person_answer answer;
    mm_shown_name root; /* the mask shown that it stands for */
    bool has_root, gone;
} accepted;

/* What was done about an image. */
typedef struct story {
    accepted *masks;
    size_t count, room;
    mm_shown_name *gone; /* of those shown */
    size_t gone_count, gone_room;
    bool answered; /* not only skipped */
    double seconds;
    char annotator[MM_ANSWER_PERSON + 1];
} story;

typedef struct journal {
    mm_answer_reader *reader;
    story *stories; /* [images of the queue] */
    mm_id_set ids;
} journal;

static void *one_more(void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    const size_t more = *room ? 2 * *room : 8;
    void *grown = reallocarray(items, more, size);
    if (grown)
        *room = more;
    return grown;
}

/* --- lines --- */

/* The mask that `name` names is no more. If it was one of those shown, or stood for one, that one's name in *root. */
static mm_status take_away(story *s, const char *name, mm_shown_name *root, bool *has_root, mm_error *err)
{
    *has_root = false;
    if (mm_answer_is_id(name)) {
        for (size_t i = 0; i < s->count; i++)
            if (strcmp(s->masks[i].answer.id, name) == 0 && !s->masks[i].gone) {
                s->masks[i].gone = true;
                *has_root = s->masks[i].has_root;
                *root = s->masks[i].root;
                return MM_OK;
            }
        return mm_fail(err, MM_ERR_USAGE, "it names the mask %s, which is not there", name);
    }
    if (!mm_shown_from_text(name, root))
        return mm_fail(err, MM_ERR_USAGE, "it names the mask %s, which was never shown", name);
    mm_shown_name *more = one_more(s->gone, s->gone_count, &s->gone_room, sizeof *more);
    if (!more)
        return mm_fail_memory(err, "answers");
    s->gone = more;
    s->gone[s->gone_count++] = *root;
    *has_root = true;
    return MM_OK;
}

/* Takes the answer over, also on failure. */
static mm_status add_step(story *s, mm_person_answer *answer, mm_error *err)
{
    accepted mask = {.answer = *answer};
    mm_status status = MM_OK;
    bool has_root = false;
    *answer = (mm_person_answer){0};
    if (mask.answer.mask[0])
        status = take_away(s, mask.answer.mask, &mask.root, &has_root, err);
    if (status == MM_OK && mask.answer.kind != MM_ANSWER_SKIP)
        s->answered = true;
    memcpy(s->annotator, mask.answer.annotator, sizeof s->annotator);
    if (mask.answer.kind == MM_ANSWER_DONE)
        s->seconds += mask.answer.seconds;
    mask.has_root = has_root;
    if (status == MM_OK && mask.answer.kind == MM_ANSWER_ACCEPT) {
        accepted *more = one_more(s->masks, s->count, &s->room, sizeof *more);
        if (more) {
            s->masks = more;
            s->masks[s->count++] = mask;
            return MM_OK;
        }
        status = mm_fail_memory(err, "answers");
    }
    mm_answer_free(&mask.answer);
    return status;
}

static uint64_t half_of(const char *digits)
{
    char half[17];
    memcpy(half, digits, 16);
    half[16] = '\0';
    return strtoull(half, NULL, 16);
}

static mm_status take_line(void *user, const char *text, size_t size, uint64_t offset, mm_error *err)
{
    journal *j = user;
    mm_person_answer answer;
    mm_error why = {0};
    uint64_t index;
    bool fresh = true;
    if (mm_answer_parse(text, size, &answer, &why) != MM_OK) {
        mm_answer_refuse(j->reader, "byte %" PRIu64 ": %s", offset, why.text);
        return MM_OK;
    }
    mm_status status = mm_id_set_add(&j->ids, half_of(answer.id) ^ half_of(answer.id + 16), &fresh, err);
    if (status == MM_OK && !fresh) {
        mm_answer_refuse(j->reader, "byte %" PRIu64 ": the answer %s is there twice", offset, answer.id);
    } else if (status == MM_OK && !mm_queue_find(j->reader->queue, answer.image, &index)) {
        mm_answer_refuse(j->reader, "byte %" PRIu64 ": image %" PRIu64 " is not in the queue", offset, answer.image);
    } else if (status == MM_OK) {
        const mm_queue_image image = mm_queue_at(j->reader->queue, index);
        char id[MM_ANSWER_ID + 1];
        memcpy(id, answer.id, sizeof id);
        if (answer.kind == MM_ANSWER_ACCEPT && (answer.width != image.width || answer.height != image.height))
            mm_answer_refuse(j->reader, "answer %s: its mask has another size than image %" PRIu64, id, image.image_id);
        else if (add_step(&j->stories[index], &answer, &why) != MM_OK && why.status == MM_ERR_NOMEM)
            status = mm_fail_memory(err, "answers");
        else if (why.status != MM_OK)
            mm_answer_refuse(j->reader, "answer %s: %s", id, why.text);
    }
    mm_answer_free(&answer);
    return status;
}

/* --- images --- */

static bool is_same_name(const mm_shown_name *a, const mm_shown_name *b)
{
    return a->image_id == b->image_id && a->kind == b->kind && a->index == b->index;
}

/* Masks that were filled in, and that nobody touched. */
static mm_status add_untouched(journal *j, const story *s, mm_answer *answer, mm_error *err)
{
    const mm_queue *queue = j->reader->queue;
    mm_record record = {0};
    mm_shown shown = {0};
    char *name = NULL;
    mm_status status = mm_dataset_read(queue->dataset, queue->rows.items[answer->index].row, &record, &name, err);
    if (status == MM_OK)
        status = mm_shown_load(&record, queue->origin.prefill, &shown, err);
    for (size_t i = 0; status == MM_OK && i < shown.prefilled; i++) {
        bool gone = false;
        for (size_t k = 0; k < s->gone_count && !gone; k++)
            gone = is_same_name(&s->gone[k], &shown.masks[i].name);
        const mm_answer_mask mask = {.named = true, .name = shown.masks[i].name, .exact = true,
                                     .annotator = answer->annotator};
        if (!gone)
            status = mm_answer_add(answer, &mask, &shown.masks[i].rle, err);
    }
    mm_shown_free(&shown);
    mm_record_free(&record);
    free(name);
    return status;
}

static mm_status add_accepted(journal *j, const story *s, mm_answer *answer, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < s->count; i++) {
        const mm_person_answer *person = &s->masks[i].answer;
        mm_rle rle;
        if (s->masks[i].gone)
            continue;
        mm_answer_mask mask = {.named = s->masks[i].has_root, .name = s->masks[i].root, .exact = true,
                               .clicks = (uint16_t)person->clicks, .seconds = (float)person->seconds};
        status = mm_answer_annotator(j->reader->answers, person->annotator, &mask.annotator, err);
        if (status == MM_OK)
            status = mm_rle_from_counts(person->counts, person->size, person->height, person->width, &rle, err);
        if (status != MM_OK)
            return status;
        status = mm_answer_add(answer, &mask, &rle, err);
        mm_rle_free(&rle);
    }
    return status;
}

static mm_status add_image(journal *j, uint64_t index, mm_error *err)
{
    const story *s = &j->stories[index];
    mm_answer *answer;
    mm_error why = {0};
    if (!s->answered)
        return MM_OK;
    mm_status status = mm_answer_begin(j->reader, index, &answer, &why);
    if (status == MM_ERR_USAGE) {
        mm_answer_refuse(j->reader, "image %" PRIu64 ": %s", mm_queue_at(j->reader->queue, index).image_id, why.text);
        return MM_OK;
    }
    if (status != MM_OK)
        return mm_fail(err, why.status, "%s", why.text);
    answer->seconds = s->seconds;
    status = mm_answer_annotator(j->reader->answers, s->annotator, &answer->annotator, err);
    if (status == MM_OK)
        status = add_untouched(j, s, answer, err);
    return status == MM_OK ? add_accepted(j, s, answer, err) : status;
}

mm_status mm_answers_read_journal(mm_answer_reader *reader, mm_error *err)
{
    journal j = {.reader = reader};
    const uint64_t images = mm_queue_images(reader->queue);
    uint64_t torn = 0;
    char *head = NULL;
    j.stories = calloc((size_t)images + 1, sizeof *j.stories);
    if (!j.stories)
        return mm_fail_memory(err, "answers");
    const mm_lines_visitor visitor = {.user = &j, .line = take_line};
    mm_status status = mm_lines_read(reader->path, &visitor, &head, &torn, err);
    if (status == MM_OK && !strstr(head, "\"maskmill\":\"answers\""))
        status = mm_fail(err, MM_ERR_FORMAT, "%s is no journal of answers", reader->path);
    if (status == MM_OK && torn > 0)
        mm_answer_repair(reader, "%" PRIu64 " bytes of an answer at the end that was never confirmed were left out",
                         torn);
    for (uint64_t i = 0; status == MM_OK && i < images; i++)
        status = add_image(&j, i, err);
    for (uint64_t i = 0; i < images; i++) {
        for (size_t k = 0; k < j.stories[i].count; k++)
            mm_answer_free(&j.stories[i].masks[k].answer);
        free(j.stories[i].masks);
        free(j.stories[i].gone);
    }
    mm_id_set_free(&j.ids);
    free(j.stories);
    free(head);
    return status;
}
