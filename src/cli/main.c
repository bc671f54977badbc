/* maskmill: Segment Anything's data engine. This file finds the command and speaks for it when it fails. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

static const struct {
    const char *name;
    mm_cli_command *run;
    const char *what; /* NULL: not for people */
} commands[] = {
    {"run", mm_cli_run, "make masks of a corpus of photographs: alone, or on many ranks under mpirun or srun"},
    {"segment", mm_cli_segment, "make masks of one image, from a grid of points or from prompts"},
    {"detect", mm_cli_detect, "find objects, and keep the masks that are sure: of an image, a corpus or a dataset"},
    {"scan", mm_cli_scan, "list a corpus into a manifest"},
    {"stats", mm_cli_stats, "counts and histograms of a dataset"},
    {"status", mm_cli_status, "how far a run is, from any machine that sees its folder"},
    {"report", mm_cli_report, "one HTML page about a dataset: distributions, times, failures, pictures"},
    {"show", mm_cli_show, "draw an image of a dataset with its masks"},
    {"verify", mm_cli_verify, "check a dataset, every mask of it"},
    {"export", mm_cli_export, "write a dataset as JSON: one file an image (SA-1B), one file (COCO), or SA-1B's tars"},
    {"queue", mm_cli_queue, "images for people to annotate, and the way of their answers back into a dataset"},
    {"merge", mm_cli_merge, "join the parts that runs over ranges of shards have made"},
    {"model", mm_cli_model, "what a checkpoint holds; convert it; list models"},
    {"bench", mm_cli_bench, "measure one image on this machine: seconds by stage, rates, memory"},
    {"embed", mm_cli_embed, "encode images ahead of annotation and training, on many ranks"},
    {"annotate", mm_cli_annotate, "draw masks in a browser, with the model's help"},
    {"train", mm_cli_train, "train a detector of objects, or a model's mask decoder, on datasets"},
    {"eval", mm_cli_eval, "how good a model is on the masks of datasets: clicks, boxes, predicted IoU"},
    {"engine", mm_cli_engine, "the whole loop by a configuration: masks, people's answers, a better model, again"},
    {"suspect", mm_cli_suspect, NULL},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

bool mm_cli_first_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *rank = getenv(names[i]);
        if (rank)
            return strcmp(rank, "0") == 0;
    }
    return true;
}

mm_status mm_cli_open_output(const char *path, FILE **out, mm_error *err)
{
    *out = path ? fopen(path, "we") : stdout;
    return *out ? MM_OK : mm_fail_errno(err, "%s", path);
}

mm_status mm_cli_close_output(const char *path, FILE *out, mm_status status, mm_error *err)
{
    errno = 0;
    const bool failed = ferror(out) != 0;
    const bool unfinished = (path ? fclose(out) : fflush(out)) != 0;
    if (status == MM_OK && (failed || unfinished))
        status = errno ? mm_fail_errno(err, "%s", path ? path : "standard output")
                       : mm_fail(err, MM_ERR_IO, "%s: could not be written", path ? path : "standard output");
    struct stat info;
    if (status != MM_OK && path && stat(path, &info) == 0 && S_ISREG(info.st_mode))
        (void)remove(path); /* half a result looks like a whole one; a device or pipe is not ours to remove */
    return status;
}

static void print_help(void)
{
    printf("Usage: maskmill COMMAND ...\n"
           "Photographs in, a dataset of masks out.\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i].what)
            printf("  %-8s  %s\n", commands[i].name, commands[i].what);
    printf("\n`maskmill COMMAND --help` says more. Exit status: 0 done; 1 done, but some images were set aside;\n"
           "2 wrong usage or config; 3 stopped early, can be resumed; 4 a fault of input or system.\n");
}

static mm_status dispatch(int argc, char **argv, int *exit_status, mm_error *err)
{
    if (argc < 2)
        return mm_fail(err, MM_ERR_USAGE, "no command given; `maskmill --help` lists them");
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return MM_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("maskmill %s\n", MM_VERSION);
        return MM_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc, argv, exit_status, err);
    return mm_fail(err, MM_ERR_USAGE, "%.80s: unknown command; `maskmill --help` lists them", name);
}

int main(int argc, char **argv)
{
    /* A file-size limit and a reader that went away are errors of a write, with a line and an exit status. */
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);

    mm_error err = {0};
    int exit_status = MM_EXIT_DONE;
    mm_status status = dispatch(argc, argv, &exit_status, &err);
    status = mm_cli_close_output(NULL, stdout, status, &err);
    if (status == MM_OK)
        return exit_status;
    (void)fprintf(stderr, "maskmill: %s\n", err.text);
    return status == MM_ERR_USAGE     ? MM_EXIT_USAGE
           : status == MM_ERR_STOPPED ? MM_EXIT_STOPPED
                                      : MM_EXIT_FAULT;
}
