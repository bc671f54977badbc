/* maskmill show */
#include <stdlib.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/shard.h"
#include "report/overlay.h"
#include "report/photograph.h"

typedef struct show_arguments {
    mm_cli_input base;
    const char *words[2]; /* DATASET IMAGE */
    const char *out, *corpus;
} show_arguments;

enum { KEY_CORPUS = 1 };

static const struct argp_option rows[] = {
    {"output", 'o', "OUT.png", 0, "the picture to write", 0},
    {"corpus", KEY_CORPUS, "FOLDER", 0, "where the photographs are now, if they were moved since the run", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    show_arguments *arguments = state->input;
    if (key == 'o')
        return mm_cli_keep_once(state, &arguments->out, word);
    if (key == KEY_CORPUS)
        return mm_cli_keep_once(state, &arguments->corpus, word);
    if (key == ARGP_KEY_END && !arguments->out)
        return mm_cli_refuse(state, "needs -o OUT.png");
    return mm_cli_positional(key, word, state, arguments->words, 2, "a dataset and an image (name or number)");
}

static mm_status read_photograph(const mm_dataset *dataset, const char *corpus, uint64_t image_id, mm_image *image,
                                 mm_error *err)
{
    mm_photographs photographs;
    mm_status status = mm_photographs_open(dataset, corpus, &photographs, err);
    if (status != MM_OK)
        return status;
    status = mm_photographs_read(&photographs, image_id, image, err);
    mm_photographs_close(&photographs);
    return status;
}

static mm_status show(const mm_dataset *dataset, const show_arguments *arguments, mm_error *err)
{
    uint64_t row = 0;
    mm_record record = {0};
    char *name = NULL;
    mm_image image = {0};
    mm_rle *masks = NULL;
    mm_status status = mm_dataset_find(dataset, arguments->words[1], &row, err);
    if (status == MM_OK)
        status = mm_dataset_read(dataset, row, &record, &name, err);
    if (status == MM_OK && record.status == MM_IMAGE_SKIPPED)
        status = mm_fail(err, MM_ERR_USAGE, "%s: was skipped as a near-duplicate; duplicate_of in manifest.h5 names its "
                         "original", name);
    if (status == MM_OK && record.status != MM_IMAGE_DONE)
        status = mm_fail(err, MM_ERR_USAGE, "%s: was set aside and has no masks; quarantine.tsv says why", name);
    if (status == MM_OK) {
        status = read_photograph(dataset, arguments->corpus, record.image_id, &image, err);
        if (status != MM_OK && !arguments->corpus)
            status = mm_error_prefix(err, "--corpus FOLDER tells where the photographs are now");
    }
    if (status == MM_OK)
        status = mm_photograph_masks(&record, &masks, err);
    if (status == MM_OK)
        status = mm_overlay_write(&image, record.width, record.height, masks, (size_t)record.mask_count, arguments->out,
                                err);
    mm_photograph_masks_free(&record, masks);
    mm_image_free(&image);
    mm_record_free(&record);
    free(name);
    return status;
}

mm_status mm_cli_show(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "DATASET IMAGE -o OUT.png",
        .doc = "Draw an image of a dataset with its masks.\vDATASET is the folder that `run` wrote. IMAGE is a file's "
               "name (with or without its folders), ARCHIVE.tar/MEMBER, or an image's number.",
    };
    show_arguments arguments = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "show", 1, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return status;
    mm_dataset *dataset = NULL;
    status = mm_dataset_open(arguments.words[0], &dataset, err);
    if (status == MM_OK)
        status = show(dataset, &arguments, err);
    mm_dataset_close(dataset);
    return status;
}
