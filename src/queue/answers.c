#include "queue/answers.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_stream.h"
#include "queue/queue.h"

enum { MOST_ANNOTATORS = 65535 };

mm_status mm_answers_new(const mm_queue *queue, mm_answers *answers, mm_error *err)
{
    *answers = (mm_answers){0};
    answers->of_image = calloc((size_t)mm_queue_images(queue) + 1, sizeof *answers->of_image);
    return answers->of_image ? MM_OK : mm_fail_memory(err, "answers");
}

void mm_answers_free(mm_answers *answers)
{
    for (size_t i = 0; i < answers->count; i++) {
        for (size_t k = 0; k < answers->items[i].count; k++)
            free(answers->items[i].masks[k].counts);
        free(answers->items[i].masks);
    }
    for (size_t i = 0; i < answers->annotator_count; i++)
        free(answers->annotators[i]);
    free(answers->annotators);
    free(answers->items);
    free(answers->of_image);
    *answers = (mm_answers){0};
}

/* --- lines --- */

static void tell(mm_answer_reader *reader, const char *format, va_list arguments, char line[512])
{
    const int used = snprintf(line, 512, "%.200s: ", reader->path);
    if (used > 0 && used < 512 && vsnprintf(line + used, 512 - (size_t)used, format, arguments) < 0)
        line[used] = '\0';
    for (char *c = line; *c; c++) /* a name from a file may hold anything, the line stays one */
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    if (reader->faults->out)
        (void)fprintf(reader->faults->out, "%s\n", line);
}

void mm_answer_refuse(mm_answer_reader *reader, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    tell(reader, format, arguments, line);
    va_end(arguments);
    if (reader->faults->refused++ == 0)
        memcpy(reader->faults->first, line, sizeof line);
}

void mm_answer_repair(mm_answer_reader *reader, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    tell(reader, format, arguments, line);
    va_end(arguments);
    reader->faults->repaired++;
}

/* --- images and people --- */

bool mm_answer_find_image(mm_answer_reader *reader, const char *path, uint64_t *index)
{
    uint64_t image_id;
    char manifest[PATH_MAX];
    if (mm_photograph_number(path, &image_id))
        return mm_queue_find(reader->queue, image_id, index);
    if (!reader->manifest_tried) {
        reader->manifest_tried = true;
        const int length = snprintf(manifest, sizeof manifest, "%s/manifest.h5", reader->queue->dataset_path);
        if (length < 0 || length >= PATH_MAX || mm_manifest_open(manifest, &reader->manifest, NULL) != MM_OK)
            reader->manifest = NULL; /* then its names are of no use, and the image is unknown */
    }
    if (!reader->manifest || (*path >= '0' && *path <= '9' && strspn(path, "0123456789") == strlen(path)))
        return false; /* a bare number is no name */
    image_id = mm_manifest_find(reader->manifest, path);
    return image_id < mm_manifest_count(reader->manifest) && mm_queue_find(reader->queue, image_id, index);
}

mm_status mm_answer_annotator(mm_answers *answers, const char *name, uint16_t *number, mm_error *err)
{
    for (size_t i = 0; i < answers->annotator_count; i++)
        if (strcmp(answers->annotators[i], name) == 0) {
            *number = (uint16_t)(i + 1);
            return MM_OK;
        }
    if (answers->annotator_count == MOST_ANNOTATORS)
        return mm_fail(err, MM_ERR_LIMIT, "there are more than %d annotators", MOST_ANNOTATORS);
    char **more = reallocarray(answers->annotators, answers->annotator_count + 1, sizeof *more);
    if (!more)
        return mm_fail_memory(err, "annotators");
    answers->annotators = more;
    more[answers->annotator_count] = strdup(name);
    if (!more[answers->annotator_count])
        return mm_fail_memory(err, "annotators");
    *number = (uint16_t)++answers->annotator_count;
    return MM_OK;
}

/* --- answers --- */

mm_status mm_answer_begin(mm_answer_reader *reader, uint64_t index, mm_answer **answer, mm_error *err)
{
    mm_answers *answers = reader->answers;
    if (answers->of_image[index])
        return mm_fail(err, MM_ERR_USAGE, "it was answered before; the first answer counts");
    if (answers->count == answers->room) {
        const size_t room = answers->room ? 2 * answers->room : 64;
        mm_answer *more = reallocarray(answers->items, room, sizeof *more);
        if (!more)
            return mm_fail_memory(err, "answers");
        answers->items = more;
        answers->room = room;
    }
    *answer = &answers->items[answers->count++];
    **answer = (mm_answer){.index = index, .annotator = reader->annotator};
    answers->of_image[index] = (uint32_t)answers->count;
    return MM_OK;
}

mm_status mm_answer_add(mm_answer *answer, const mm_answer_mask *mask, const mm_rle *rle, mm_error *err)
{
    if (!rle && (!mask->named || mask->is_hint))
        return MM_OK;
    if (answer->count == answer->room) {
        const size_t room = answer->room ? 2 * answer->room : 16;
        mm_answer_mask *more = reallocarray(answer->masks, room, sizeof *more);
        if (!more)
            return mm_fail_memory(err, "answers");
        answer->masks = more;
        answer->room = room;
    }
    mm_answer_mask *added = &answer->masks[answer->count];
    *added = *mask;
    added->broken = !rle;
    const mm_status status = rle ? mm_rle_to_counts(rle, &added->counts, &added->size, err) : MM_OK;
    answer->count += status == MM_OK;
    return status;
}

/* --- files --- */

/* By content: Label Studio writes a list of tasks, COCO an object, and an answers journal begins with a CRC. */
static mm_status read_any(mm_answer_reader *reader, mm_error *err)
{
    mm_json_stream stream;
    mm_status status = mm_json_stream_open(reader->path, &stream, err);
    if (status != MM_OK)
        return status;
    const int first = mm_json_stream_peek(&stream);
    mm_json_stream_close(&stream);
    if (first == '[')
        return mm_answers_read_labelstudio(reader, err);
    if (first == '{')
        return mm_answers_read_coco(reader, err);
    if ((first >= '0' && first <= '9') || (first >= 'a' && first <= 'f'))
        return mm_answers_read_journal(reader, err);
    return mm_fail(err, MM_ERR_FORMAT, "%s is neither COCO's JSON (an object) nor Label Studio's (a list of tasks), and no "
                   "answers journal", reader->path);
}

mm_status mm_answers_read(const mm_queue *queue, const char *path, const char *annotator, mm_answers *answers,
                          mm_answer_faults *faults, mm_error *err)
{
    mm_answer_reader reader = {.queue = queue, .path = path, .answers = answers, .faults = faults};
    mm_status status = MM_OK;
    if (annotator)
        status = mm_answer_annotator(answers, annotator, &reader.annotator, err);
    if (status == MM_OK)
        status = read_any(&reader, err);
    mm_manifest_free(reader.manifest);
    return status;
}
