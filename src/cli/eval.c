/* maskmill eval */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/train.h"
#include "ranks.h"

enum { KEY_MODEL_CONFIG = 1, KEY_EMBEDDINGS, KEY_CLICKS, KEY_MASKS, KEY_JSON };

typedef struct eval_arguments {
    mm_cli_input base;
    mm_evaluate_options options;
    const char *model;
    const char **sources;
    bool json;
    char model_path[4096];
} eval_arguments;

static const struct argp_option rows[] = {
    {"model", 'm', "MODEL", 0, "the model: a file or a name (default: default)", 0},
    {"model-config", KEY_MODEL_CONFIG, "FILE", 0, "JSON with what the checkpoint does not tell of its shape", 0},
    {"embeddings", KEY_EMBEDDINGS, "FOLDER", 0, "where embeddings are kept (default: DATASET.embeddings)", 0},
    {"clicks", KEY_CLICKS, "N", 0, "up to so many clicks for a mask (default: 5)", 0},
    {"masks", KEY_MASKS, "N", 0, "masks of an image, at most (default: 64)", 0},
    {"json", KEY_JSON, NULL, 0, "the figures as JSON", 0},
    {"quiet", 'q', NULL, 0, "no progress, only errors", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    eval_arguments *a = state->input;
    mm_evaluate_options *o = &a->options;
    switch (key) {
    case ARGP_KEY_INIT:
        a->sources = calloc((size_t)state->argc + 1, sizeof a->sources[0]);
        return a->sources ? 0 : ENOMEM;
    case 'm':
        return mm_cli_keep_once(state, &a->model, word);
    case KEY_MODEL_CONFIG:
        return mm_cli_keep_once(state, &o->model_config, word);
    case KEY_EMBEDDINGS:
        return mm_cli_keep_once(state, &o->embeddings, word);
    case KEY_CLICKS:
        return mm_cli_whole(state, "clicks", word, 1, MM_EVALUATE_CLICKS, &o->clicks);
    case KEY_MASKS:
        return mm_cli_whole(state, "masks", word, 1, 4096, &o->masks);
    case KEY_JSON:
        a->json = true;
        return 0;
    case 'q':
        o->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        a->sources[o->source_count++] = word; /* fewer than argc */
        return 0;
    case ARGP_KEY_END:
        return o->source_count ? 0 : mm_cli_refuse(state, "needs a dataset: the folder that `maskmill run` wrote");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_list(const char *name, const double *values, uint32_t count)
{
    printf("  \"%s\": [", name);
    for (uint32_t i = 0; i < count; i++)
        printf("%s%.6f", i ? ", " : "", values[i]);
    printf("],\n");
}

static void print_json(const mm_evaluation_result *r, uint32_t clicks)
{
    printf("{\n  \"images\": %" PRIu64 ",\n  \"masks\": %.0f,\n", r->images, r->masks);
    print_list("clicks", r->clicks, clicks);
    print_list("clicks_best", r->best, clicks);
    printf("  \"box\": %.6f,\n  \"box_best\": %.6f,\n  \"iou_error\": %.6f,\n  \"calibration\": [\n", r->box,
           r->box_best, r->iou_error);
    for (int i = 0; i < MM_EVALUATE_BINS; i++)
        printf("    {\"from\": %.1f, \"answers\": %.0f, \"predicted\": %.6f, \"true\": %.6f}%s\n", i / 10.0,
               r->calibration[i].count, r->calibration[i].predicted, r->calibration[i].truth,
               i + 1 < MM_EVALUATE_BINS ? "," : "");
    printf("  ]\n}\n");
}

static void print_text(const mm_evaluation_result *r, uint32_t clicks)
{
    printf("%.0f masks of %" PRIu64 " images\nmean IoU       of the answer   of the best output\n", r->masks,
           r->images);
    for (uint32_t i = 0; i < clicks; i++)
        printf("%2u click%s       %.4f          %.4f\n", i + 1, i ? "s" : " ", r->clicks[i], r->best[i]);
    printf("a box           %.4f          %.4f\n", r->box, r->box_best);
    printf("predicted IoU after one click: off by %.4f in the mean\n", r->iou_error);
    for (int i = 0; i < MM_EVALUATE_BINS; i++)
        if (r->calibration[i].count > 0)
            printf("  %.1f to %.1f: %6.0f answers, predicted %.3f, true %.3f\n", i / 10.0, (i + 1) / 10.0,
                   r->calibration[i].count, r->calibration[i].predicted, r->calibration[i].truth);
}

static mm_status evaluate(eval_arguments *a, mm_error *err)
{
    mm_evaluation_result result;
    mm_comm *comm = NULL;
    mm_status status = mm_cli_join_ranks(&comm, err);
    if (status != MM_OK)
        return status;
    a->options.sources = a->sources;
    a->options.model = a->model_path;
    status = mm_comm_agree(comm, mm_checkpoint_locate(a->model ? a->model : "default", a->model_path,
                                                      sizeof a->model_path, err), err);
    if (status == MM_OK)
        status = mm_evaluate_decoder(comm, &a->options, &result, err);
    if (status == MM_OK && mm_cli_speaks(comm)) {
        if (a->json)
            print_json(&result, a->options.clicks);
        else
            print_text(&result, a->options.clicks);
    }
    return mm_cli_leave_ranks(comm, status);
}

mm_status mm_cli_eval(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET...",
        .doc = "How good a model is on the masks of datasets: mean IoU after 1, 2, ... clicks and by a box, and what "
               "its "
               "predicted IoU is worth; alone or under mpirun.\vClicks and boxes follow from the masks alone, so that "
               "models can be compared. docs/training.md says how they are made.",
    };
    eval_arguments arguments = {.options = {.clicks = 5, .masks = 64}};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "eval", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK)
        status = mm_cli_first_rank() ? status : MM_OK;
    else if (!help)
        status = evaluate(&arguments, err);
    free(arguments.sources);
    return status;
}
