/* maskmill bench */
#include "arguments.h"
#include "cli.h"
#include "maskmill/bench.h"

enum { KEY_JSON = 1, KEY_RUNS, KEY_KEEP };
enum { DEFAULT_RUNS = 3, MOST_RUNS = 1000 };

typedef struct bench_arguments {
    mm_cli_input base;
    mm_cli_model_options model;
    const char *image;
    uint32_t runs;
    double keep;
    bool json;
} bench_arguments;

static const struct argp_option rows[] = {
    {"runs", KEY_RUNS, "N", 0, "runs that count, after one that does not (default: 3)", 0},
    {"keep", KEY_KEEP, "SHARE", 0,
     "choose pred_iou_thresh so that this share of the prompts keeps a mask, as in 0.4 (default: the config's)", 0},
    {"json", KEY_JSON, NULL, 0, "one JSON object instead of a page of text", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    bench_arguments *arguments = state->input;
    double number;
    size_t count;
    switch (key) {
    case ARGP_KEY_INIT:
        arguments->model.base = arguments->base;
        arguments->runs = DEFAULT_RUNS;
        state->child_inputs[0] = &arguments->model;
        return 0;
    case KEY_RUNS:
        if (!mm_cli_numbers(word, &number, 1, 1, &count) || !(number >= 1 && number <= MOST_RUNS) ||
            number != (uint32_t)number)
            return mm_cli_refuse(state, "--runs %.40s: give a whole number from 1 to %d", word, MOST_RUNS);
        arguments->runs = (uint32_t)number;
        return 0;
    case KEY_KEEP:
        if (!mm_cli_numbers(word, &number, 1, 1, &count) || !(number > 0 && number <= 1))
            return mm_cli_refuse(state, "--keep %.40s: give a share above 0 and up to 1", word);
        arguments->keep = number;
        return 0;
    case KEY_JSON:
        arguments->json = true;
        return 0;
    case ARGP_KEY_ARG:
        return mm_cli_positional(key, word, state, &arguments->image, 1, "one image or none");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static mm_status measure(const bench_arguments *arguments, mm_error *err)
{
    const mm_cli_model_options *model = &arguments->model;
    const mm_bench_options options = {.image = arguments->image,
                                      .config_path = model->config,
                                      .sets = model->sets,
                                      .set_count = model->set_count,
                                      .model = model->model,
                                      .model_config = model->model_config,
                                      .kernels = model->kernels,
                                      .runs = arguments->runs,
                                      .keep = arguments->keep};
    mm_bench bench;
    mm_cli_tell_thresholds(model);
    const mm_status status = mm_bench_run(&options, &bench, err);
    if (status != MM_OK)
        return status;
    return arguments->json ? mm_bench_print_json(&bench, stdout, err) : mm_bench_print_text(&bench, stdout, err);
}

mm_status mm_cli_bench(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp_child children[] = {{&mm_cli_model_argp, 0, "Model and config:", 1}, {0}};
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "[IMAGE]",
        .doc = "Measure the masks of one JPEG on this machine.\vPrints seconds by stage, arithmetic rates beside what "
               "the machine reaches in a large matrix product, prompts, masks and images a second, and memory. Without "
               "IMAGE a picture of 1800x1200 is drawn in memory. Opening the model is not timed.",
        .children = children,
    };
    bench_arguments arguments = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "bench", 1, argc, argv, &arguments.base, &help, err);
    if (status == MM_OK && !help)
        status = measure(&arguments, err);
    mm_cli_model_options_free(&arguments.model);
    return status;
}
