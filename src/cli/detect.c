/* maskmill detect: confident masks of one image, of a corpus, or of a dataset's images. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "photograph.h"
#include "maskmill/corpus.h"
#include "maskmill/engine.h"
#include "maskmill/shard.h"
#include "report/overlay.h"
#include "run.h"

enum { KEY_OVERLAY = 2000 };

typedef struct detect_arguments {
    mm_cli_input base;
    mm_cli_run_arguments run;
    const char *overlay;
} detect_arguments;

static const struct argp_option rows[] = {
    {"overlay", KEY_OVERLAY, "OUT.png", 0, "of one image: draw the masks over it", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    detect_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        arguments->run.base = arguments->base;
        arguments->run.out_is_optional = true;
        state->child_inputs[0] = &arguments->run;
        return 0;
    case KEY_OVERLAY:
        return mm_cli_keep_once(state, &arguments->overlay, word);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- what is it? --- */

/* A folder with a dataset.h5 in it, or that file. */
static bool is_dataset(const char *path)
{
    char index[PATH_MAX];
    struct stat info;
    const char *slash = strrchr(path, '/');
    if (strcmp(slash ? slash + 1 : path, "dataset.h5") == 0)
        return true;
    const int length = snprintf(index, sizeof index, "%s/dataset.h5", path);
    return length > 0 && (size_t)length < sizeof index && stat(index, &info) == 0;
}

/* A file that starts as a JPEG does, or a member of an archive. */
static bool is_image(const char *path)
{
    struct stat info;
    unsigned char start[2] = {0};
    if (stat(path, &info) != 0)
        return strstr(path, ".tar/") != NULL;
    FILE *file = S_ISDIR(info.st_mode) ? NULL : fopen(path, "rbe");
    if (!file)
        return false;
    const bool jpeg = fread(start, 1, 2, file) == 2 && start[0] == 0xff && start[1] == 0xd8;
    (void)fclose(file); /* only read from */
    return jpeg;
}

/* --- one image --- */

typedef struct session {
    mm_config config;
    mm_model *model;
    mm_embedding *embedding;
    mm_detector *detector;
    mm_image image;
} session;

/* Cheap things first, so that mistakes show before the model is loaded. */
static mm_status open_session(const mm_cli_run_arguments *arguments, session *s, mm_error *err)
{
    const mm_cli_model_options *model = &arguments->model;
    char model_path[PATH_MAX], detector_path[PATH_MAX];
    const mm_model_options options = {.config_path = model->model_config, .kernels = model->kernels};
    mm_status status = mm_checkpoint_locate(model->model ? model->model : "default", model_path, sizeof model_path, err);
    if (status == MM_OK)
        status = mm_config_load_for(model_path, model->config, model->sets, model->set_count, &s->config, NULL, err);
    if (status == MM_OK)
        status = mm_config_find_detector(model_path, &s->config, detector_path, sizeof detector_path, err);
    if (status == MM_OK)
        status = mm_cli_read_image(arguments->sources[0], &s->config, &s->image, err);
    if (status == MM_OK)
        status = mm_model_open(model_path, &options, &s->model, err);
    if (status == MM_OK)
        status = mm_detector_open(detector_path, s->model, &s->detector, err);
    return status == MM_OK ? mm_embedding_new(s->model, &s->embedding, err) : status;
}

static void close_session(session *s)
{
    mm_image_free(&s->image);
    mm_embedding_free(s->embedding);
    mm_detector_close(s->detector);
    mm_model_close(s->model);
}

static mm_status draw(const char *path, mm_image *image, const mm_annotations *annotations, mm_error *err)
{
    mm_rle *masks = calloc(annotations->count + 1, sizeof masks[0]); /* + 1: never NULL for nothing */
    if (!masks)
        return mm_fail_memory(err, "an overlay");
    for (size_t i = 0; i < annotations->count; i++)
        masks[i] = annotations->items[i].rle; /* borrowed */
    const mm_status status =
        mm_overlay_write(image, annotations->width, annotations->height, masks, annotations->count, path, err);
    free(masks);
    return status;
}

static mm_status print_json(const char *path, const mm_confident *confident, mm_error *err)
{
    FILE *out = NULL;
    mm_status status = mm_cli_open_output(path, &out, err);
    if (status != MM_OK)
        return status;
    status = mm_confident_print_json(&confident->annotations, confident->scores, out, err);
    return mm_cli_close_output(path, out, status, err);
}

static mm_status detect_in_image(const detect_arguments *arguments, mm_error *err)
{
    session s = {0};
    mm_confident confident = {0};
    mm_status status = open_session(&arguments->run, &s, err);
    if (status == MM_OK)
        status = mm_amg_encode_frame(s.model, s.embedding, s.config.amg.short_side, mm_image_whole(&s.image), err);
    if (status == MM_OK) {
        const mm_detect_params params = mm_config_detect_params(&s.config, s.detector);
        status = mm_detect_confident(s.model, s.embedding, s.detector, &params, &confident, err);
    }
    if (status == MM_OK && arguments->overlay)
        status = draw(arguments->overlay, &s.image, &confident.annotations, err);
    if (status == MM_OK)
        status = print_json(arguments->run.out, &confident, err);
    mm_confident_free(&confident);
    close_session(&s);
    return status;
}

/* --- the command --- */

static mm_status detect(detect_arguments *arguments, int argc, char **argv, int *exit_status, mm_error *err)
{
    mm_cli_run_arguments *run = &arguments->run;
    const char *first = run->sources[0];
    const bool alone = run->source_count == 1;
    if (alone && is_image(first)) {
        if (run->shards || run->resume || run->overwrite)
            return mm_fail(err, MM_ERR_USAGE, "--shards, --resume and --overwrite are for a corpus or a dataset; %.80s is one "
                           "image", first);
        return mm_cli_first_rank() ? detect_in_image(arguments, err) : MM_OK;
    }
    if (arguments->overlay)
        return mm_fail(err, MM_ERR_USAGE, "--overlay is for one image; %.80s is none. `maskmill show` draws an image of a "
                       "dataset", first);
    if (!run->out)
        return mm_fail(err, MM_ERR_USAGE, "needs -o FOLDER, where the dataset goes; %.80s is not one image", first);
    run->dataset = alone && is_dataset(first) ? first : NULL;
    return mm_cli_run_images(run, argc, argv, exit_status, err);
}

/* What the user sets comes last, so that it decides. */
static mm_status enable(mm_cli_model_options *options, mm_error *err)
{
    const char **sets = calloc(options->set_count + 2, sizeof *sets);
    if (!sets)
        return mm_fail_memory(err, "the command line");
    sets[0] = "detect.enabled=true";
    for (size_t i = 0; i < options->set_count; i++)
        sets[i + 1] = options->sets[i];
    free(options->sets);
    options->sets = sets;
    options->set_count++;
    return MM_OK;
}

mm_status mm_cli_detect(int argc, char **argv, int *exit_status, mm_error *err)
{
    static const struct argp_child children[] = {{&mm_cli_run_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "IMAGE [-o MASKS.json]\nCORPUS... -o FOLDER\nDATASET -o FOLDER",
        .doc = "Find objects, and keep the masks that the model is sure of.\vOf one IMAGE the masks are written as `segment` "
               "writes them, with the detector's score. Of a CORPUS, this is `maskmill run` with detect.enabled: a dataset "
               "with masks of the grid and, in the group confident, those of the detector. Of a DATASET, a new dataset "
               "with the same masks and confident ones for each of its images, whose photographs must be where its "
               "manifest says. The detector is the one beside the model, or detect.head.",
        .children = children,
    };
    detect_arguments arguments = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "detect", 1, argc, argv, &arguments.base, &help, err);
    const bool works = status == MM_OK && !help;
    if (works)
        status = enable(&arguments.run.model, err);
    if (works && status == MM_OK)
        status = detect(&arguments, argc, argv, exit_status, err);
    mm_cli_model_options_free(&arguments.run.model);
    return status == MM_OK || mm_cli_first_rank() ? status : MM_OK; /* see mm_cli_run */
}
