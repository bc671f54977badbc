/* The steps of a round that train and measure. */
#include <math.h>
#include <stdio.h>
#include <string.h>

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
    const int length = snprintf(path, PATH_MAX, "%s/embeddings", loop->options->out);
    return length > 0 && length < PATH_MAX
               ? MM_OK
               : mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", loop->options->out);
}

mm_status mm_loop_step_detector(mm_loop *loop, size_t k, mm_loop_when when, mm_error *err)
{
    const mm_loop_round *round = &loop->config.rounds[k];
    char out[PATH_MAX], model[PATH_MAX], embeddings[PATH_MAX];
    mm_loop_sources sources = {0};
    mm_train_summary summary;
    const bool after = when == MM_LOOP_AFTER;
    bool done;
    if (round->train_detector != when)
        return MM_OK;
    mm_status status = mm_loop_is_done(loop, k, "detector", &done, err);
    if (status != MM_OK || done)
        return status;
    mm_loop_tell(loop, k, "the detector is trained");
    status = mm_loop_place(loop, k, "detector.safetensors", out, err);
    if (status == MM_OK)
        status = mm_loop_model(loop, k, after, model, err);
    if (status == MM_OK)
        status = embeddings_of(loop, embeddings, err);
    if (status == MM_OK)
        status = mm_loop_sources_of(loop, after && round->learn_from == MM_LOOP_LEARN_ROUND ? k : 0, after ? k + 1 : k,
                                    &sources, err);
    status = mm_comm_agree(loop->comm, status, err);
    if (status == MM_OK) {
        mm_train_detector_options options = round->detector;
        options.sources = (const char *const *)sources.items;
        options.source_count = sources.count;
        options.out = out;
        options.model = model;
        options.model_config = mm_loop_model_config(loop, model);
        options.embeddings = embeddings;
        options.kernels = loop->config.kernels;
        options.kernels.threads = 1;
        options.resume = true;
        options.quiet = loop->options->quiet;
        status = mm_train_detector(loop->comm, &options, &summary, err);
    }
    mm_loop_sources_free(&sources);
    return status == MM_OK ? finish_file(loop, k, "detector", out, err) : status;
}

mm_status mm_loop_step_decoder(mm_loop *loop, size_t k, mm_error *err)
{
    const mm_loop_round *round = &loop->config.rounds[k];
    char out[PATH_MAX], model[PATH_MAX], embeddings[PATH_MAX];
    mm_loop_sources sources = {0};
    mm_decoder_summary summary;
    bool done;
    if (!round->train_decoder)
        return MM_OK;
    mm_status status = mm_loop_is_done(loop, k, "model", &done, err);
    if (status != MM_OK || done)
        return status;
    mm_loop_tell(loop, k, "the decoder is trained");
    status = mm_loop_place(loop, k, "model.safetensors", out, err);
    if (status == MM_OK)
        status = mm_loop_model(loop, k, false, model, err);
    if (status == MM_OK)
        status = embeddings_of(loop, embeddings, err);
    if (status == MM_OK)
        status = mm_loop_sources_of(loop, round->learn_from == MM_LOOP_LEARN_ROUND ? k : 0, k + 1, &sources, err);
    status = mm_comm_agree(loop->comm, status, err);
    if (status == MM_OK) {
        mm_train_decoder_options options = round->decoder;
        options.sources = (const char *const *)sources.items;
        options.source_count = sources.count;
        options.out = out;
        options.model = model;
        options.model_config = mm_loop_model_config(loop, model);
        options.embeddings = embeddings;
        options.kernels = loop->config.kernels;
        options.resume = true;
        options.quiet = loop->options->quiet;
        status = mm_train_decoder(loop->comm, &options, &summary, err);
    }
    mm_loop_sources_free(&sources);
    return status == MM_OK ? finish_file(loop, k, "model", out, err) : status;
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

static json_t *figures_object(const mm_evaluation_result *result, uint32_t clicks)
{
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "images", (json_int_t)result->images, "masks",
                     (json_int_t)result->masks, "clicks", rounded_list(result->clicks, clicks), "clicks_best",
                     rounded_list(result->best, clicks), "box", rounded(result->box), "box_best",
                     rounded(result->box_best), "iou_error", rounded(result->iou_error));
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
