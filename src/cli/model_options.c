#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "maskmill/engine.h"

enum { KEY_MODEL_CONFIG = 1000, KEY_SET, KEY_THREADS, KEY_PRECISION, KEY_BACKEND };

static const struct argp_option rows[] = {
    {"model", 'm', "MODEL", 0, "checkpoint file, or a name that `maskmill model list` shows (default: default)", 0},
    {"model-config", KEY_MODEL_CONFIG, "FILE", 0, "JSON with what the checkpoint does not tell of its shape", 0},
    {"config", 'c', "CONFIG", 0,
     "YAML file, or a preset: default, sa1b, fast (default: the reference's values, with the model's own thresholds "
     "if its file has any)", 0},
    {"set", KEY_SET, "KEY=VALUE", 0, "change one key of the config, as in amg.points_per_side=16; repeatable", 0},
    {"threads", KEY_THREADS, "N", 0, "threads of this process or of each rank (default: 1)", 0},
    {"precision", KEY_PRECISION, "P", 0, "f32, bf16 or auto (default: auto)", 0},
    {"backend", KEY_BACKEND, "B", 0, "dense kernels: dnnl, blas or auto (default: auto)", 0},
    {"quiet", 'q', NULL, 0, "no progress and no notes, only errors", 0},
    {0},
};

/* The index of `word` in words[], or -1. */
static int choose(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

error_t mm_cli_backend(struct argp_state *state, const char *word, mm_kernels *kernels)
{
    const int choice = choose(word, mm_backend_names, MM_BACKENDS);
    if (choice < 0)
        return mm_cli_refuse(state, "--backend %.40s: give dnnl, blas or auto", word);
    kernels->backend = (mm_backend)choice;
    return 0;
}

error_t mm_cli_precision(struct argp_state *state, const char *word, mm_kernels *kernels)
{
    const int choice = choose(word, mm_precision_names, MM_PRECISIONS);
    if (choice < 0)
        return mm_cli_refuse(state, "--precision %.40s: give f32, bf16 or auto", word);
    kernels->precision = (mm_precision)choice;
    return 0;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
    mm_cli_model_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        options->sets = calloc((size_t)state->argc + 1, sizeof options->sets[0]);
        return options->sets ? 0 : ENOMEM;
    case 'm':
        return mm_cli_keep_once(state, &options->model, word);
    case 'c':
        return mm_cli_keep_once(state, &options->config, word);
    case KEY_MODEL_CONFIG:
        return mm_cli_keep_once(state, &options->model_config, word);
    case KEY_SET:
        options->sets[options->set_count++] = word; /* fewer than argc */
        return 0;
    case KEY_THREADS:
        return mm_cli_whole(state, "threads", word, 1, 1024, &options->kernels.threads);
    case KEY_PRECISION:
        return mm_cli_precision(state, word, &options->kernels);
    case KEY_BACKEND:
        return mm_cli_backend(state, word, &options->kernels);
    case 'q':
        options->quiet = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp mm_cli_model_argp = {.options = rows, .parser = parse};

void mm_cli_model_options_free(mm_cli_model_options *options)
{
    free(options->sets);
    options->sets = NULL;
}

void mm_cli_tell_thresholds(const mm_cli_model_options *options)
{
    char path[4096];
    mm_config config;
    bool own = false;
    /* What fails here fails again where it counts, and is told there. */
    if (!options->quiet &&
        mm_checkpoint_locate(options->model ? options->model : "default", path, sizeof path, NULL) == MM_OK &&
        mm_config_load_for(path, options->config, options->sets, options->set_count, &config, &own, NULL) == MM_OK && own)
        (void)fprintf(stderr, "maskmill: the model brings thresholds along (-c and --set go before them); now: predicted "
                      "IoU > %g, stability >= %g at offset %g\n", (double)config.amg.pred_iou_thresh,
                      (double)config.amg.stability_score_thresh, (double)config.amg.stability_score_offset);
}
