/* maskmill eval */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "base/file.h"
#include "cli.h"
#include "maskmill/train.h"
#include "ranks.h"

enum { KEY_MODEL_CONFIG = 1, KEY_EMBEDDINGS, KEY_CLICKS, KEY_MASKS, KEY_GENERATE, KEY_JSON };

typedef struct eval_arguments {
    mm_cli_input base;
    mm_evaluate_options options;
    const char *models[MM_EVALUATE_MODELS];
    size_t model_count;
    const char **sources, **earlier; /* datasets, and files of evaluations that were made before */
    size_t earlier_count;
    const char *page;
    bool json;
} eval_arguments;

static const struct argp_option rows[] = {
    {"model", 'm', "MODEL", 0, "the model: a file or a name (default: default); give several to compare them", 0},
    {"model-config", KEY_MODEL_CONFIG, "FILE", 0, "JSON with what the checkpoint does not tell of its shape", 0},
    {"embeddings", KEY_EMBEDDINGS, "FOLDER", 0, "where embeddings are kept (default: DATASET.embeddings)", 0},
    {"clicks", KEY_CLICKS, "N", 0, "up to so many clicks for a mask (default: 5)", 0},
    {"masks", KEY_MASKS, "N", 0, "masks of an image, at most (default: 64)", 0},
    {"generate", KEY_GENERATE, "N", 0, "generate the masks of N images from the grid and see which of the dataset's are "
                                       "among them (default: 0)", 0},
    {"html", 'o', "PAGE.html", 0, "write a page with tables and curves", 0},
    {"json", KEY_JSON, NULL, 0, "the figures as JSON", 0},
    {"quiet", 'q', NULL, 0, "no progress, only errors", 0},
    {0},
};

static bool is_json(const char *word)
{
    const size_t length = strlen(word);
    return length > 5 && strcmp(word + length - 5, ".json") == 0;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    eval_arguments *a = state->input;
    mm_evaluate_options *o = &a->options;
    switch (key) {
    case ARGP_KEY_INIT:
        a->sources = calloc((size_t)state->argc + 1, sizeof a->sources[0]);
        a->earlier = calloc((size_t)state->argc + 1, sizeof a->earlier[0]);
        return a->sources && a->earlier ? 0 : ENOMEM;
    case 'm':
        if (a->model_count == MM_EVALUATE_MODELS)
            return mm_cli_refuse(state, "more than %d models cannot be compared", MM_EVALUATE_MODELS);
        a->models[a->model_count++] = word;
        return 0;
    case 'o':
        return mm_cli_keep_once(state, &a->page, word);
    case KEY_MODEL_CONFIG:
        return mm_cli_keep_once(state, &o->model_config, word);
    case KEY_EMBEDDINGS:
        return mm_cli_keep_once(state, &o->embeddings, word);
    case KEY_CLICKS:
        return mm_cli_whole(state, "clicks", word, 1, MM_EVALUATE_CLICKS, &o->clicks);
    case KEY_MASKS:
        return mm_cli_whole(state, "masks", word, 1, 4096, &o->masks);
    case KEY_GENERATE:
        return mm_cli_whole(state, "generate", word, 0, 1e6, &o->generate);
    case KEY_JSON:
        a->json = true;
        return 0;
    case 'q':
        o->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        if (is_json(word))
            a->earlier[a->earlier_count++] = word; /* fewer than argc */
        else
            a->sources[o->source_count++] = word;
        return 0;
    case ARGP_KEY_END:
        if (a->model_count && !o->source_count && a->earlier_count)
            return mm_cli_refuse(state, "has a model and no dataset to ask it about");
        if (!o->source_count && !a->earlier_count)
            return mm_cli_refuse(state, "needs a dataset: the folder that `maskmill run` wrote");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_parts(const mm_evaluation_part *parts, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (parts[i].masks > 0)
            printf("  %-10s %7.0f masks: one click %.4f, a box %.4f\n", names[i], parts[i].masks, parts[i].clicks[0],
                   parts[i].box);
}

static void print_generated(const mm_evaluation_result *r)
{
    printf("from the grid of %" PRIu64 " images: %.1f masks an image; of %.0f masks %.1f %% are found at IoU 0.5, %.1f %% at "
           "0.75\n", r->generated.images, r->generated.made / (double)r->generated.images, r->generated.sought,
           100 * r->generated.recall[0], 100 * r->generated.recall[5]);
    for (int i = 0; i < MM_EVALUATE_SIZES; i++)
        if (r->sizes[i].sought > 0)
            printf("  %-10s %7.0f masks: %.1f %% and %.1f %%\n", mm_evaluation_size_names[i], r->sizes[i].sought,
                   100 * r->sizes[i].recall[0], 100 * r->sizes[i].recall[5]);
}

static void print_text(const mm_evaluation_result *r)
{
    const uint32_t clicks = r->click_count;
    printf("%s: %.0f masks of %" PRIu64 " images\nmean IoU       of the answer   of the best output\n", r->model,
           r->masks, r->images);
    for (uint32_t i = 0; i < clicks; i++)
        printf("%2u click%s       %.4f          %.4f\n", i + 1, i ? "s" : " ", r->clicks[i], r->best[i]);
    printf("a box           %.4f          %.4f\n", r->box, r->box_best);
    printf("predicted IoU after one click: off by %.4f in the mean\n", r->iou_error);
    for (int i = 0; i < MM_EVALUATE_BINS; i++)
        if (r->calibration[i].count > 0)
            printf("  %.1f to %.1f: %6.0f answers, predicted %.3f, true %.3f\n", i / 10.0, (i + 1) / 10.0,
                   r->calibration[i].count, r->calibration[i].predicted, r->calibration[i].truth);
    print_parts(r->sizes, mm_evaluation_size_names, MM_EVALUATE_SIZES);
    print_parts(r->sources, mm_evaluation_source_names, MM_EVALUATE_SOURCES);
    if (r->generated.images)
        print_generated(r);
}

static mm_status write_page(const char *path, const mm_evaluation_result *results, size_t count, mm_error *err)
{
    mm_file_draft draft;
    const mm_status status = mm_file_begin(path, &draft, err);
    if (status != MM_OK)
        return status;
    mm_evaluation_page(results, count, draft.stream);
    return mm_file_finish(&draft, MM_OK, err);
}

static mm_status tell(const eval_arguments *a, const mm_evaluation_result *results, size_t count, mm_error *err)
{
    mm_status status = a->json ? mm_evaluation_write(results, count, stdout, err) : MM_OK;
    for (size_t i = 0; !a->json && i < count; i++)
        print_text(&results[i]);
    return status == MM_OK && a->page ? write_page(a->page, results, count, err) : status;
}

/* Collective. */
static mm_status ask_model(const eval_arguments *a, const char *name, mm_comm *comm, mm_evaluation_result *result,
                           mm_error *err)
{
    char path[4096];
    mm_status status = mm_comm_agree(comm, mm_checkpoint_locate(name, path, sizeof path, err), err);
    mm_evaluate_options options = a->options;
    options.sources = a->sources;
    options.model = path;
    if (status == MM_OK)
        status = mm_evaluate_decoder(comm, &options, result, err);
    if (status == MM_OK) /* as it was given, not where it was found */
        (void)snprintf(result->model, sizeof result->model, "%s", name);
    return status;
}

/* Earlier evaluations first. */
static mm_status evaluate(eval_arguments *a, mm_evaluation_result *results, mm_error *err)
{
    size_t count = 0;
    mm_comm *comm = NULL;
    mm_status status = mm_cli_join_ranks(&comm, err);
    if (status != MM_OK)
        return status;
    for (size_t i = 0; i < a->earlier_count && status == MM_OK; i++)
        status = mm_evaluation_read(a->earlier[i], results, MM_EVALUATE_MODELS, &count, err);
    if (!a->model_count)
        a->models[a->model_count++] = "default";
    if (status == MM_OK && a->options.source_count && count + a->model_count > MM_EVALUATE_MODELS)
        status = mm_fail(err, MM_ERR_USAGE, "more than %d evaluations cannot be compared", MM_EVALUATE_MODELS);
    status = mm_comm_agree(comm, status, err);
    for (size_t i = 0; a->options.source_count && i < a->model_count && status == MM_OK; i++)
        status = ask_model(a, a->models[i], comm, &results[count++], err);
    if (status == MM_OK && mm_cli_speaks(comm))
        status = tell(a, results, count, err);
    return mm_cli_leave_ranks(comm, status);
}

mm_status mm_cli_eval(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET...\nEVALUATION.json... -o PAGE.html",
        .doc = "How good a model is on the masks of datasets: mean IoU after 1, 2, ... clicks and by a box, and what "
               "its "
               "predicted IoU is worth; alone or under mpirun.\vClicks and boxes follow from the masks alone, so that "
               "models can be compared. What --json printed earlier can be given in place of a dataset, or beside it: it "
               "stands before the models on the page. docs/training.md says how all is made.",
    };
    eval_arguments arguments = {.options = {.clicks = 5, .masks = 64}};
    mm_evaluation_result *results = calloc(MM_EVALUATE_MODELS, sizeof *results);
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "eval", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK)
        status = mm_cli_first_rank() ? status : MM_OK;
    else if (!help)
        status = results ? evaluate(&arguments, results, err) : mm_fail_memory(err, "evaluations");
    free(results);
    free(arguments.sources);
    free(arguments.earlier);
    return status;
}
