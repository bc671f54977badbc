/* What a round was begun with: kept in engine.json, so that a round is not gone on with as another. What only says how
 * the work goes (kernels, save_seconds, how many answers are waited for) may change. */
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "engine/json_out.h"
#include "loop/loop.h"

/* As seen from the loop's folder, from wherever it is resumed. */
static json_t *place(const mm_loop *loop, const char *path)
{
    char *seen = NULL;
    if (mm_path_relative(loop->options->out, path, &seen, NULL) != MM_OK)
        return mm_json_text(path);
    json_t *text = mm_json_text(seen);
    free(seen);
    return text;
}

static json_t *places(const mm_loop *loop, const mm_loop_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < list->count; i++)
        if (json_array_append_new(array, place(loop, list->items[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* As text, which is the same when it comes back from the file. */
static json_t *number(double value)
{
    return json_sprintf("%.10g", value);
}

static json_t *numbers_object(const mm_train_number *numbers, const void *options)
{
    json_t *object = json_object();
    bool good = object != NULL;
    for (; good && numbers->name; numbers++)
        if (strcmp(numbers->name, "save-seconds") != 0)
            good = json_object_set_new(object, numbers->name, number(mm_train_number_get(numbers, options))) == 0;
    if (good)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *decoder_object(const mm_loop_round *round)
{
    const double *weights = round->decoder.source_weights;
    json_t *object = numbers_object(mm_train_decoder_numbers(), &round->decoder);
    if (object && json_object_set_new(object, "nested", json_boolean(round->decoder.nested)) == 0 &&
        json_object_set_new(object, "flip", json_boolean(round->decoder.common.flip)) == 0 &&
        json_object_set_new(object, "source-weights",
                            json_pack("[o, o, o]", number(weights[0]), number(weights[1]), number(weights[2]))) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *detector_object(const mm_loop_round *round)
{
    json_t *object = numbers_object(mm_train_detector_numbers(), &round->detector);
    if (object && json_object_set_new(object, "flip", json_boolean(round->detector.common.flip)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *queue_object(const mm_loop_round *round)
{
    return json_pack("{s:I, s:I, s:s, s:b, s:b}", "images", (json_int_t)round->queue.images, "batch",
                     (json_int_t)round->queue.batch, "prefill",
                     mm_prefill_name(round->stage == MM_LOOP_ASSISTED ? MM_PREFILL_NOTHING
                                                                      : (mm_prefill_mode)round->queue.prefill),
                     "keep_automatic", round->queue.keep_automatic, "skip_unchanged", round->queue.skip_unchanged);
}

json_t *mm_loop_settings(const mm_loop *loop, size_t k)
{
    static const char *const whens[] = {"never", "before", "after"}, *const learns[] = {"all", "round"};
    const mm_loop_round *round = &loop->config.rounds[k];
    const bool people = mm_loop_has_people(loop, k);
    return json_pack(
        "{s:s, s:o, s:b, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "stage", mm_loop_stage_name(round->stage), "corpus",
        places(loop, round->paths), "train_decoder", round->train_decoder, "train_detector",
        whens[round->train_detector], "learn_from", learns[round->learn_from], "replay",
        places(loop, &loop->config.replay), "run.config",
        round->run.config ? mm_json_text(round->run.config) : json_null(), "run.set",
        mm_json_texts(round->run.set.items, round->run.set.count), "queue", people ? queue_object(round) : json_null(),
        "decoder", round->train_decoder ? decoder_object(round) : json_null(), "detector",
        round->train_detector != MM_LOOP_NEVER ? detector_object(round) : json_null());
}

const char *mm_loop_settings_differ(const json_t *then, const json_t *now)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)now, key, value)
    {
        const json_t *before = json_object_get(then, key);
        const char *inner = json_is_object(value) && json_is_object(before) ? mm_loop_settings_differ(before, value)
                                                                            : NULL;
        if (inner)
            return inner;
        if (!before || !json_equal(before, value))
            return key;
    }
    return NULL;
}
