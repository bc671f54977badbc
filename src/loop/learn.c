/* The steps of a round that train and measure. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/output.h"
#include "loop/loop.h"
#include "maskmill/checkpoint.h"

/* {"file": as seen from FOLDER, "sha256": ...}; NULL without memory or if it cannot be read. */
static json_t *file_object(const mm_loop *loop, const char *path, mm_error *err)
{
    char sha256[65];
    const size_t length = strlen(loop->options->out);
    if (mm_checkpoint_sha256(path, sha256, err) != MM_OK)
        return NULL;
    const bool inside = strncmp(path, loop->options->out, length) == 0 && path[length] == '/';
    return json_pack("{s:s, s:s}", "file", inside ? path + length + 1 : path, "sha256", sha256);
}

/* What was trained is in its place: note it. */
static mm_status finish_file(mm_loop *loop, size_t k, const char *step, const char *path, mm_error *err)
{
    mm_error why = {0};
    json_t *file = loop->first ? file_object(loop, path, &why) : NULL;
    return mm_loop_finish_if(loop, k, step, file ? json_pack("{s:o}", step, file) : NULL, &why, err);
}

/* The folder of all embeddings. */
static mm_status embeddings_of(const mm_loop *loop, char path[PATH_MAX], mm_error *err)
{
    return mm_output_path(loop->options->out, "embeddings", path, PATH_MAX, err);
}

/* What a training of either kind is given. */
typedef struct training {
    char out[PATH_MAX], model[PATH_MAX], embeddings[PATH_MAX];
    mm_loop_sources sources;
} training;

/* Collective. Of the datasets that are there, the round's own included with `after`; the model as it is then. The sources are to
 * be freed in every case. */
static mm_status prepare(const mm_loop *loop, size_t k, const char *name, bool after, bool trained_model, training *t,
                         mm_error *err)
{
    const bool alone = after && loop->config.rounds[k].learn_from == MM_LOOP_LEARN_ROUND;
    t->sources = (mm_loop_sources){0};
    mm_status status = mm_loop_place(loop, k, name, t->out, err);
    if (status == MM_OK)
        status = mm_loop_model(loop, k, trained_model, t->model, err);
    if (status == MM_OK)
        status = embeddings_of(loop, t->embeddings, err);
    if (status == MM_OK)
        status = mm_loop_sources_of(loop, alone ? k : 0, after ? k + 1 : k, &t->sources, err);
    return mm_comm_agree(loop->comm, status, err);
}

static void fill_in(const mm_loop *loop, const training *t, mm_train_options *options)
{
    options->sources = (const char *const *)t->sources.items;
    options->source_count = t->sources.count;
    options->out = t->out;
    options->model = t->model;
    options->model_config = mm_loop_model_config(loop, t->model);
    options->embeddings = t->embeddings;
    options->kernels = loop->config.kernels;
    options->resume = true;
    options->quiet = loop->options->quiet;
}

mm_status mm_loop_step_detector(mm_loop *loop, size_t k, mm_loop_when when, mm_error *err)
{
    const bool after = when == MM_LOOP_AFTER;
    training t;
    mm_train_summary summary;
    bool done;
    if (loop->config.rounds[k].train_detector != when)
        return MM_OK;
    mm_status status = mm_loop_is_done(loop, k, "detector", &done, err);
    if (status != MM_OK || done)
        return status;
    mm_loop_tell(loop, k, "the detector is trained");
    status = prepare(loop, k, "detector.safetensors", after, after, &t, err);
    if (status == MM_OK) {
        mm_train_detector_options options = loop->config.rounds[k].detector;
        fill_in(loop, &t, &options.common);
        options.common.kernels.threads = 1;
        status = mm_train_detector(loop->comm, &options, &summary, err);
    }
    mm_loop_sources_free(&t.sources);
    return status == MM_OK ? finish_file(loop, k, "detector", t.out, err) : status;
}

mm_status mm_loop_step_decoder(mm_loop *loop, size_t k, mm_error *err)
{
    training t;
    mm_decoder_summary summary;
    bool done;
    if (!loop->config.rounds[k].train_decoder)
        return MM_OK;
    mm_status status = mm_loop_is_done(loop, k, "model", &done, err);
    if (status != MM_OK || done)
        return status;
    mm_loop_tell(loop, k, "the decoder is trained");
    status = prepare(loop, k, "model.safetensors", true, false, &t, err);
    if (status == MM_OK) {
        mm_train_decoder_options options = loop->config.rounds[k].decoder;
        fill_in(loop, &t, &options.common);
        status = mm_train_decoder(loop->comm, &options, &summary, err);
    }
    mm_loop_sources_free(&t.sources);
    return status == MM_OK ? finish_file(loop, k, "model", t.out, err) : status;
}

/* --- figures --- */

static json_t *rounded(double value)
{
    return json_real(round(value * 1e6) / 1e6);
}

static json_t *rounded_list(const double *values, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        if (json_array_append_new(list, rounded(values[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* Numbers 0 and 5 of the IoUs that generated masks are compared at are 0.5 and 0.75. */
static json_t *generated_object(const mm_evaluation_result *result)
{
    const double images = (double)result->generated.images;
    return json_pack("{s:I, s:o, s:I, s:o, s:o}", "images", (json_int_t)result->generated.images, "masks_an_image",
                     rounded(result->generated.made / images), "sought", (json_int_t)result->generated.sought,
                     "recall50", rounded(result->generated.recall[0]), "recall75",
                     rounded(result->generated.recall[5]));
}

static json_t *figures_object(const mm_evaluation_result *result, uint32_t clicks)
{
    json_t *object = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "images", (json_int_t)result->images, "masks",
                               (json_int_t)result->masks, "clicks", rounded_list(result->clicks, clicks),
                               "clicks_best", rounded_list(result->best, clicks), "box", rounded(result->box),
                               "box_best", rounded(result->box_best), "iou_error", rounded(result->iou_error));
    if (result->generated.images > 0 && json_object_set_new(object, "generated", generated_object(result)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static mm_status measure(mm_loop *loop, size_t k, json_t *figures, mm_error *err)
{
    char model[PATH_MAX], embeddings[PATH_MAX];
    mm_status status = MM_OK;
    if (k == MM_LOOP_BASELINE)
        (void)snprintf(model, sizeof model, "%s", loop->config.model_path);
    else
        status = mm_loop_model(loop, k, true, model, err);
    if (status == MM_OK)
        status = embeddings_of(loop, embeddings, err);
    for (size_t i = 0; status == MM_OK && i < loop->config.validation_count; i++) {
        const mm_loop_named *set = &loop->config.validation[i];
        const mm_evaluate_options options = {.sources = set->paths.items,
                                             .source_count = set->paths.count,
                                             .model = model,
                                             .model_config = mm_loop_model_config(loop, model),
                                             .embeddings = embeddings,
                                             .kernels = loop->config.kernels,
                                             .clicks = loop->config.evaluate.clicks,
                                             .masks = loop->config.evaluate.masks,
                                             .generate = loop->config.evaluate.generate,
                                             .quiet = loop->options->quiet};
        mm_evaluation_result result;
        status = mm_evaluate_decoder(loop->comm, &options, &result, err);
        if (status == MM_OK && loop->first &&
            json_object_set_new(figures, set->name, figures_object(&result, options.clicks)) != 0)
            status = mm_fail_memory(err, "figures");
        status = mm_comm_agree(loop->comm, status, err);
    }
    return status;
}

static mm_status take_figures(mm_loop *loop, size_t k, mm_error *err)
{
    json_t *figures = json_object();
    mm_status status = figures ? MM_OK : mm_fail_memory(err, "figures");
    status = mm_comm_agree(loop->comm, status, err);
    if (status == MM_OK)
        status = measure(loop, k, figures, err);
    if (status != MM_OK) {
        json_decref(figures);
        return status;
    }
    return mm_loop_finish(loop, k, "figures", json_pack("{s:o}", "figures", figures), err);
}

mm_status mm_loop_step_figures(mm_loop *loop, size_t k, mm_error *err)
{
    bool done;
    /* With the same model the figures are those of before. */
    if (loop->config.validation_count == 0 || (k != MM_LOOP_BASELINE && !loop->config.rounds[k].train_decoder))
        return MM_OK;
    const mm_status status = mm_loop_is_done(loop, k, "figures", &done, err);
    if (status != MM_OK || done)
        return status;
    mm_loop_tell(loop, k, "the model is measured");
    return mm_loop_leaving(loop, k, take_figures, err);
}
