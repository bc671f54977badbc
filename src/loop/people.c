/* Where people are needed: what they have answered so far, what they are told to do, and the import. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/output.h"
#include "loop/loop.h"
#include "queue/answered.h"
#include "queue/answers.h"
#include "queue/queue.h"
#include "report/run_json.h"

enum { MOST_FILES = 100000 };

/* Where a round's things are. */
typedef struct people {
    char queue[PATH_MAX], answers[PATH_MAX], dataset[PATH_MAX];
} people;

static mm_status find(const mm_loop *loop, size_t k, people *p, mm_error *err)
{
    mm_status status = mm_loop_place(loop, k, "queue", p->queue, err);
    if (status == MM_OK)
        status = mm_loop_place(loop, k, "answers", p->answers, err);
    return status == MM_OK ? mm_loop_place(loop, k, "dataset", p->dataset, err) : status;
}

/* --- the files of answers --- */

typedef struct answer_files {
    char **paths; /* sorted, so that of two answers for one image always the same counts */
    size_t count;
} answer_files;

static void free_files(answer_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (answer_files){0};
}

/* Not those that are hidden, or drafts such as answers.json.tmp. */
static bool is_answer(const char *name)
{
    const char *dot = strrchr(name, '.');
    return name[0] != '.' && dot && (strcmp(dot, ".json") == 0 || strcmp(dot, ".mma") == 0);
}

static mm_status add_file(answer_files *files, const char *folder, const char *name, mm_error *err)
{
    char **more = files->count < MOST_FILES ? reallocarray(files->paths, files->count + 1, sizeof *more) : NULL;
    if (!more)
        return files->count < MOST_FILES ? mm_fail_memory(err, "the list of answers")
                                         : mm_fail(err, MM_ERR_LIMIT, "%s has more than %d files", folder, MOST_FILES);
    files->paths = more;
    if (asprintf(&more[files->count], "%s/%s", folder, name) < 0)
        return mm_fail_memory(err, "the list of answers");
    files->count++;
    return MM_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static mm_status list_files(const char *folder, answer_files *files, mm_error *err)
{
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    mm_status status = MM_OK;
    if (!entries)
        return mm_fail_errno(err, "cannot read %s", folder);
    while (status == MM_OK && (errno = 0, entry = readdir(entries)))
        if (is_answer(entry->d_name))
            status = add_file(files, folder, entry->d_name, err);
    if (status == MM_OK && errno)
        status = mm_fail_errno(err, "cannot read %s", folder);
    (void)closedir(entries); /* only read */
    if (files->count > 0)
        qsort(files->paths, files->count, sizeof *files->paths, by_name);
    return status;
}

/* Rank 0's list, to all: names with a zero byte behind each. */
static mm_status share_files(mm_comm *comm, bool first, answer_files *files, mm_error *err)
{
    uint64_t size = 0;
    for (size_t i = 0; i < files->count; i++)
        size += strlen(files->paths[i]) + 1;
    mm_status status = mm_comm_broadcast(comm, 0, &size, sizeof size, err);
    if (status != MM_OK)
        return status;
    char *text = malloc((size_t)size + 1), *at = text;
    for (size_t i = 0; text && first && i < files->count; i++)
        at = stpcpy(at, files->paths[i]) + 1;
    status = mm_comm_agree(comm, text ? MM_OK : mm_fail_memory(err, "the list of answers"), err);
    if (status == MM_OK)
        status = mm_comm_broadcast(comm, 0, text, (size_t)size, err);
    for (at = text; status == MM_OK && !first && at < text + size; at += strlen(at) + 1) {
        char **more = reallocarray(files->paths, files->count + 1, sizeof *more);
        char *copy = strdup(at);
        if (more)
            files->paths = more;
        if (more && copy)
            more[files->count++] = copy;
        else
            free(copy);
        if (!more || !copy)
            status = mm_fail_memory(err, "the list of answers");
    }
    free(text);
    return mm_comm_agree(comm, status, err);
}

/* Images of the queue, and how many of them the files answer. What is wrong with single answers is told when they are
 * imported. */
static mm_status count_answered(const people *p, const answer_files *files, uint64_t *images, uint64_t *answered,
                                mm_error *err)
{
    mm_queue *queue = NULL;
    mm_answers answers = {0};
    mm_answer_faults silent = {0};
    mm_status status = mm_queue_open(p->queue, NULL, &queue, err);
    *images = *answered = 0;
    if (status == MM_OK)
        status = mm_answers_new(queue, &answers, err);
    for (size_t i = 0; status == MM_OK && i < files->count; i++)
        status = mm_answers_read(queue, files->paths[i], NULL, &answers, &silent, err);
    if (status == MM_OK) {
        *images = mm_queue_images(queue);
        for (uint64_t i = 0; i < *images; i++)
            *answered += answers.of_image[i] != 0;
    }
    mm_answers_free(&answers);
    mm_queue_close(queue);
    return status;
}

/* --- what people are told --- */

static mm_status ask_people(mm_loop *loop, size_t k, const people *p, uint64_t images, uint64_t answered, mm_error *err)
{
    char model[PATH_MAX];
    mm_status status = mm_loop_model(loop, k, false, model, err);
    if (status == MM_OK)
        status = mm_loop_set_status(loop, k, "waits for answers", err);
    if (status != MM_OK)
        return status;
    /* A file may have been named as seen from the configuration's folder; a name is good everywhere. */
    const bool named = strcmp(model, loop->config.model_path) == 0 && !strpbrk(loop->config.model, "/.");
    const char *name = named ? loop->config.model : model;
    const char *shape = mm_loop_model_config(loop, model);
    return mm_fail(err, MM_ERR_STOPPED, "round %zu waits for people: %" PRIu64 " of %" PRIu64 " images of %.100s are "
                   "answered; `maskmill annotate %.100s -m %.100s%s%.60s --answers %.100s/answers.mma`, or `maskmill queue "
                   "export` and their files into %.100s; then --resume", k + 1, answered, images, p->queue, p->queue,
                   name, shape ? " --model-config " : "", shape ? shape : "", p->answers, p->answers);
}

/* Rank 0: whether files are to be imported now. MM_ERR_STOPPED if people are needed. *there: the version is there, made
 * by us or by hand. */
static mm_status look(mm_loop *loop, size_t k, const people *p, answer_files *files, bool *there, mm_error *err)
{
    uint64_t images, answered;
    struct stat info;
    *there = stat(p->dataset, &info) == 0;
    if (*there)
        return MM_OK;
    mm_status status = mm_output_make(p->answers, NULL, err);
    if (status == MM_OK)
        status = list_files(p->answers, files, err);
    if (status == MM_OK)
        status = count_answered(p, files, &images, &answered, err);
    if (status != MM_OK)
        return status;
    const double needed = ceil(loop->config.rounds[k].queue.answered * (double)images);
    return answered > 0 && (double)answered >= needed ? MM_OK : ask_people(loop, k, p, images, answered, err);
}

/* --- the import --- */

static mm_status import_files(mm_loop *loop, size_t k, const people *p, const answer_files *files, mm_error *err)
{
    const mm_loop_round *round = &loop->config.rounds[k];
    mm_answer_faults faults = {.out = stderr};
    mm_answer_counts counts;
    const mm_import_options options = {.queue = p->queue,
                                       .answers = (const char *const *)files->paths,
                                       .answer_count = files->count,
                                       .out = p->dataset,
                                       .keep_automatic = round->queue.keep_automatic,
                                       .skip_unchanged = round->queue.skip_unchanged,
                                       .argc = loop->options->argc,
                                       .argv = loop->options->argv};
    mm_loop_tell(loop, k, "answers are imported");
    return mm_queue_import(loop->comm, &options, &faults, &counts, err);
}

/* How many answers were refused, as the version's run.json says. */
static mm_status read_refused(const char *dataset, uint64_t *refused, mm_error *err)
{
    char path[PATH_MAX];
    json_t *object = NULL;
    *refused = 0;
    mm_status status = mm_output_path(dataset, "run.json", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_run_json_read(path, &object, err);
    const double number = mm_run_json_number(json_object_get(object, "answers"), "refused");
    if (number >= 0 && number < 1e15)
        *refused = (uint64_t)number;
    json_decref(object);
    return status;
}

/* What the version says, whoever imported it: it must be of this round's queue. */
static json_t *answers_fields(const people *p, mm_error *err)
{
    mm_answered_list list = {0};
    mm_queue *queue = NULL;
    uint64_t sums[5] = {0}, refused = 0;
    bool there;
    json_t *fields = NULL;
    mm_status status = mm_queue_open(p->queue, NULL, &queue, err);
    if (status == MM_OK)
        status = mm_answered_read(p->dataset, &there, &list, err);
    if (status == MM_OK && (!there || list.queue.bytes != queue->mark.bytes || list.queue.digest != queue->mark.digest))
        status = mm_fail(err, MM_ERR_USAGE, "%.200s holds no answers to %.200s; `maskmill queue import` makes it of them",
                         p->dataset, p->queue);
    if (status == MM_OK)
        status = read_refused(p->dataset, &refused, err);
    json_t *counts = status == MM_OK ? mm_loop_counts(p->dataset, err) : NULL;
    for (size_t i = 0; counts && i < list.count; i++) {
        const mm_answered *one = &list.items[i];
        const uint32_t values[5] = {one->kept, one->corrected, one->deleted, one->added, one->accepted};
        for (int j = 0; j < 5; j++)
            sums[j] += values[j];
    }
    if (counts)
        fields = json_pack("{s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "dataset", counts, "answers", "images",
                           (json_int_t)list.count, "left", (json_int_t)sums[0], "corrected", (json_int_t)sums[1],
                           "deleted", (json_int_t)sums[2], "added", (json_int_t)sums[3], "hints_accepted",
                           (json_int_t)sums[4], "refused", (json_int_t)refused);
    free(list.items);
    mm_queue_close(queue);
    return fields;
}

static mm_status take_answers(mm_loop *loop, size_t k, mm_error *err)
{
    people p;
    answer_files files = {0};
    bool there = false;
    mm_error why = {0};
    mm_status status = find(loop, k, &p, err);
    if (status == MM_OK && loop->first)
        status = look(loop, k, &p, &files, &there, err);
    status = mm_comm_agree(loop->comm, status, err);
    if (status == MM_OK)
        status = mm_loop_decide(loop, there, &there, err);
    if (status == MM_OK && !there) {
        status = share_files(loop->comm, loop->first, &files, err);
        if (status == MM_OK)
            status = import_files(loop, k, &p, &files, err);
    }
    free_files(&files);
    if (status != MM_OK)
        return status;
    return mm_loop_finish_if(loop, k, "answers", loop->first ? answers_fields(&p, &why) : NULL, &why, err);
}

mm_status mm_loop_step_answers(mm_loop *loop, size_t k, mm_error *err)
{
    bool done;
    const mm_status status = mm_loop_is_done(loop, k, "answers", &done, err);
    if (status != MM_OK || done)
        return status;
    return mm_loop_leaving(loop, k, take_answers, err);
}
