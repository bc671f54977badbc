/* maskmill report */
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/report.h"

enum { KEY_CORPUS = 1, KEY_SAMPLES };

typedef struct report_arguments {
    mm_cli_input base;
    const char *dataset, *out, *corpus, *samples;
} report_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "REPORT.html", 0, "the page to write (- for standard output)", 0},
    {"corpus", KEY_CORPUS, "FOLDER", 0, "where the photographs are now, if they were moved since the run", 0},
    {"samples", KEY_SAMPLES, "N", 0, "how many photographs to show with their masks (12; 0 for none)", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    report_arguments *arguments = state->input;
    switch (key) {
    case 'o':
        return mm_cli_keep_once(state, &arguments->out, word);
    case KEY_CORPUS:
        return mm_cli_keep_once(state, &arguments->corpus, word);
    case KEY_SAMPLES:
        return mm_cli_keep_once(state, &arguments->samples, word);
    case ARGP_KEY_END:
        if (!arguments->out)
            return mm_cli_refuse(state, "needs -o REPORT.html");
        break;
    default:
        break;
    }
    return mm_cli_positional(key, word, state, &arguments->dataset, 1, "a dataset");
}

static mm_status read_samples(const char *text, uint32_t *samples, mm_error *err)
{
    double number = 0;
    size_t count = 0;
    if (!mm_cli_numbers(text, &number, 1, 1, &count) || number < 0 || number > MM_REPORT_MOST_SAMPLES ||
        number != (double)(uint32_t)number)
        return mm_fail(err, MM_ERR_USAGE, "report: --samples %.40s: give a whole number from 0 to %d", text,
                       MM_REPORT_MOST_SAMPLES);
    *samples = (uint32_t)number;
    return MM_OK;
}

/* Made in memory first: a dataset that cannot be read costs no earlier report. */
static mm_status write_report(const report_arguments *arguments, const mm_report_options *options, mm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size), *out = NULL;
    if (!memory)
        return mm_fail_memory(err, "a report");
    mm_status status = mm_report_html(arguments->dataset, options, memory, err);
    const bool bad = ferror(memory) != 0;
    const bool unclosed = fclose(memory) != 0;
    if (status == MM_OK && (bad || unclosed))
        status = mm_fail_memory(err, "a report");
    const char *path = strcmp(arguments->out, "-") == 0 ? NULL : arguments->out;
    if (status == MM_OK)
        status = mm_cli_open_output(path, &out, err);
    if (status == MM_OK) {
        if (fwrite(text, 1, size, out) != size)
            status = mm_fail_errno(err, "%s", path ? path : "standard output");
        status = mm_cli_close_output(path, out, status, err);
    }
    free(text);
    return status;
}

mm_status mm_cli_report(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET -o REPORT.html",
        .doc = "One HTML page about a dataset, which needs no other file: distributions, filters, times, images set "
               "aside, "
               "a sample with masks.\vDATASET is the folder that `run` wrote, its dataset.h5, or one shard.",
    };
    report_arguments arguments = {0};
    bool help = false;
    mm_report_options options = {.samples = MM_REPORT_SAMPLES};
    mm_status status = mm_cli_parse(&argp, "report", 1, argc, argv, &arguments.base, &help, err);
    if (status == MM_OK && !help && arguments.samples)
        status = read_samples(arguments.samples, &options.samples, err);
    if (status != MM_OK || help)
        return status;
    options.corpus = arguments.corpus;
    return write_report(&arguments, &options, err);
}
