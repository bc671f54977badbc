/* maskmill segment */
#include <errno.h>
#include <stdlib.h>

#include "arguments.h"
#include "cli.h"
#include "photograph.h"
#include "maskmill/corpus.h"
#include "maskmill/engine.h"
#include "maskmill/shard.h"
#include "prompts.h"
#include "report/overlay.h"

enum { KEY_OVERLAY = 1, KEY_POINT, KEY_BOX, KEY_PROMPTS };

typedef struct segment_arguments {
    mm_cli_input base;
    mm_cli_model_options model;
    const char *image, *out, *overlay, *prompts_file;
    mm_point *points;
    size_t point_count;
    double box[4];
    bool has_box;
} segment_arguments;

static const struct argp_option rows[] = {
    {"output", 'o', "MASKS.json", 0, "where the JSON goes (default: standard output)", 0},
    {"overlay", KEY_OVERLAY, "OUT.png", 0, "draw the masks over the image", 0},
    {"point", KEY_POINT, "X,Y[,LABEL]", 0,
     "a point on the object, in pixels; LABEL 0 marks what is not the object; repeatable", 0},
    {"box", KEY_BOX, "X0,Y0,X1,Y1", 0, "a box around the object", 0},
    {"prompts", KEY_PROMPTS, "FILE.json", 0,
     "many objects: a list of {\"points\": [[x, y, label], ...], \"box\": [x0, y0, x1, y1]}", 0},
    {0},
};

static error_t parse(int key, char *word, struct argp_state *state)
{
    segment_arguments *arguments = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        arguments->model.base = arguments->base;
        state->child_inputs[0] = &arguments->model;
        arguments->points = calloc((size_t)state->argc + 1, sizeof arguments->points[0]);
        return arguments->points ? 0 : ENOMEM;
    case 'o':
        return mm_cli_keep_once(state, &arguments->out, word);
    case KEY_OVERLAY:
        return mm_cli_keep_once(state, &arguments->overlay, word);
    case KEY_POINT:
        if (!mm_cli_parse_point(word, &arguments->points[arguments->point_count])) /* fewer than argc */
            return mm_cli_refuse(state, "--point %.60s: give X,Y or X,Y,LABEL with LABEL 0 or 1", word);
        arguments->point_count++;
        return 0;
    case KEY_BOX:
        if (arguments->has_box || !mm_cli_parse_box(word, arguments->box))
            return mm_cli_refuse(state, "--box %.60s: give one, as X0,Y0,X1,Y1", word);
        arguments->has_box = true;
        return 0;
    case KEY_PROMPTS:
        return mm_cli_keep_once(state, &arguments->prompts_file, word);
    case ARGP_KEY_END:
        if (arguments->prompts_file && (arguments->has_box || arguments->point_count > 0))
            return mm_cli_refuse(state, "give --prompts, or --point and --box, not both");
        break;
    default:
        break;
    }
    return mm_cli_positional(key, word, state, &arguments->image, 1, "an image");
}

/* What is opened before the image can be looked at. */
typedef struct segment_session {
    mm_config config;
    mm_model *model;
    mm_embedding *embedding;
    mm_cli_prompts prompts; /* empty for the grid */
    mm_image image;
} segment_session;

/* Cheap things first, so that mistakes show before the model is loaded. */
static mm_status open_session(const segment_arguments *arguments, segment_session *session, mm_error *err)
{
    const mm_cli_model_options *model = &arguments->model;
    char model_path[4096];
    const mm_model_options options = {.config_path = model->model_config, .kernels = model->kernels};
    mm_cli_tell_thresholds(model);
    mm_status status = mm_checkpoint_locate(model->model ? model->model : "default", model_path, sizeof model_path, err);
    if (status == MM_OK)
        status = mm_config_load_for(model_path, model->config, model->sets, model->set_count, &session->config, NULL,
                                    err);
    if (status == MM_OK && arguments->prompts_file)
        status = mm_cli_prompts_read(arguments->prompts_file, &session->prompts, err);
    else if (status == MM_OK && (arguments->has_box || arguments->point_count > 0))
        status = mm_cli_prompts_from_options(arguments->points, arguments->point_count,
                                             arguments->has_box ? arguments->box : NULL, &session->prompts, err);
    if (status == MM_OK)
        status = mm_cli_read_image(arguments->image, &session->config, &session->image, err);
    if (status == MM_OK)
        status = mm_model_open(model_path, &options, &session->model, err);
    if (status == MM_OK)
        status = mm_embedding_new(session->model, &session->embedding, err);
    return status;
}

static void close_session(segment_session *session)
{
    mm_image_free(&session->image);
    mm_cli_prompts_free(&session->prompts);
    mm_embedding_free(session->embedding);
    mm_model_close(session->model);
}

/* For prompts, a list with one list of masks an object; else the reference's list of annotations. */
static mm_status print_json(const char *path, const mm_annotations *annotations, size_t objects, mm_error *err)
{
    FILE *out = NULL;
    mm_status status = mm_cli_open_output(path, &out, err);
    if (status != MM_OK)
        return status;
    if (objects == 0)
        status = mm_annotations_print_json(annotations, out, err);
    for (size_t i = 0; status == MM_OK && i < objects; i++) {
        const size_t masks = annotations->count / objects;
        const mm_annotations object = {.width = annotations->width, .height = annotations->height,
                                       .items = annotations->items + i * masks, .count = masks};
        (void)fputs(i == 0 ? "[{\"masks\": " : ",\n {\"masks\": ", out); /* failed writes show when it is closed */
        status = mm_annotations_print_json(&object, out, err);
        (void)fputs(i + 1 < objects ? "}" : "}]\n", out);
    }
    return mm_cli_close_output(path, out, status, err);
}

/* All masks of the grid; of prompts, each object's best. */
static mm_status draw(const char *path, mm_image *image, const mm_annotations *annotations, size_t step, mm_error *err)
{
    mm_rle *masks = calloc(annotations->count + 1, sizeof masks[0]); /* + 1: never NULL for nothing */
    size_t count = 0;
    if (!masks)
        return mm_fail_memory(err, "an overlay");
    for (size_t i = 0; i < annotations->count; i += step)
        masks[count++] = annotations->items[i].rle; /* borrowed */
    const mm_status status = mm_overlay_write(image, annotations->width, annotations->height, masks, count, path, err);
    free(masks);
    return status;
}

static mm_status segment(const segment_arguments *arguments, segment_session *session, mm_error *err)
{
    mm_annotations annotations = {0};
    const mm_image_view view = mm_image_whole(&session->image);
    const size_t objects = session->prompts.count;
    size_t step = 1;
    mm_status status;
    if (objects > 0)
        status = mm_amg_prompt(session->model, session->embedding, session->config.amg.stability_score_offset,
                               session->prompts.items, objects, view, &annotations, &step, err);
    else
        status = mm_amg_generate(session->model, session->embedding, &session->config.amg, view, &annotations, err);
    if (status != MM_OK)
        return mm_error_prefix(err, "%s", arguments->image);
    if (arguments->overlay)
        status = draw(arguments->overlay, &session->image, &annotations, step, err);
    if (status == MM_OK)
        status = print_json(arguments->out, &annotations, objects, err);
    mm_annotations_free(&annotations);
    return status;
}

mm_status mm_cli_segment(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    static const struct argp_child children[] = {{&mm_cli_model_argp, 0, "Model and config:", 1}, {0}};
    static const struct argp argp = {
        .options = rows,
        .parser = parse,
        .args_doc = "IMAGE",
        .doc = "Make masks of one JPEG.\vWithout prompts a grid of points is tried, and the masks that pass the "
               "config's filters are written as the reference writes them (coco_rle). With prompts, every object gets "
               "the model's three masks, best first, unfiltered: [{\"masks\": [...]}, ...].",
        .children = children,
    };
    segment_arguments arguments = {0};
    segment_session session = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "segment", 1, argc, argv, &arguments.base, &help, err);
    if (status == MM_OK && !help) {
        status = open_session(&arguments, &session, err);
        if (status == MM_OK)
            status = segment(&arguments, &session, err);
        close_session(&session);
    }
    mm_cli_model_options_free(&arguments.model);
    free(arguments.points);
    return status;
}
