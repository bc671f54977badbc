/* States of a training that goes on, and its result. */
#include <stdlib.h>
#include <string.h>

#include "train/decoder_training.h"
#include "train/state.h"

enum { VERSION = 1, VECTORS = 4 };

static const char *const names[VECTORS] = {"values", "mean", "square", "average"};

static void list_vectors(const mm_decoder_training *t, float *vectors[VECTORS])
{
    vectors[0] = t->values;
    vectors[1] = t->optimiser.mean;
    vectors[2] = t->optimiser.square;
    vectors[3] = t->average;
}

static json_t *sums_json(const mm_dialogue_sums *sums)
{
    const double *values = (const double *)(const void *)sums;
    json_t *list = json_array();
    for (size_t i = 0; list && i < sizeof *sums / sizeof *values; i++)
        if (json_array_append_new(list, json_real(values[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static bool read_sums(const json_t *list, mm_dialogue_sums *sums)
{
    double *values = (double *)(void *)sums;
    if (json_array_size(list) != sizeof *sums / sizeof *values)
        return false;
    for (size_t i = 0; i < json_array_size(list); i++)
        values[i] = json_number_value(json_array_get(list, i));
    return true;
}

mm_status mm_decoder_training_write(const mm_decoder_training *t, const char *path, mm_error *err)
{
    float *vectors[VECTORS];
    mm_tensor tensors[VECTORS];
    list_vectors(t, vectors);
    for (int i = 0; i < VECTORS; i++)
        tensors[i] = (mm_tensor){.name = names[i], .dtype = MM_F32, .dims = 1, .shape = {t->parameters.floats},
                                 .elements = t->parameters.floats, .data = vectors[i]};
    json_t *sums = sums_json(&t->sums);
    json_t *json = sums ? json_pack("{s:i,s:O,s:I,s:I,s:I,s:I,s:o,s:O}", "version", VERSION, "setup", t->setup, "step",
                                    (json_int_t)t->step, "optimiser_steps", (json_int_t)t->optimiser.steps, "skipped",
                                    (json_int_t)t->skipped, "skipped_in_a_row", (json_int_t)t->skipped_in_a_row, "sums",
                                    sums, "history", t->history)
                        : NULL;
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(json);
    if (!text)
        return mm_fail_memory(err, "the state of the training");
    const mm_status status = mm_checkpoint_write(path, tensors, VECTORS,
                                                 &(const char *const[2]){"maskmill.decoder_training", text}, 1, err);
    free(text);
    return status;
}

static mm_status read_json(mm_decoder_training *t, const char *path, const char *text, mm_error *err)
{
    json_t *json = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *history = json_object_get(json, "history");
    const char *const counts[] = {"step", "optimiser_steps", "skipped", "skipped_in_a_row"};
    uint64_t *const to[] = {&t->step, &t->optimiser.steps, &t->skipped, &t->skipped_in_a_row};
    bool good = json_integer_value(json_object_get(json, "version")) == VERSION && json_is_array(history) &&
                read_sums(json_object_get(json, "sums"), &t->sums);
    for (int i = 0; good && i < 4; i++) {
        const json_t *count = json_object_get(json, counts[i]);
        good = json_is_integer(count) && json_integer_value(count) >= 0;
        *to[i] = good ? (uint64_t)json_integer_value(count) : 0;
    }
    mm_status status = good ? mm_state_compare(json_object_get(json, "setup"), t->setup, path, err)
                            : mm_fail(err, MM_ERR_FORMAT,
                                      "%s is no state of a decoder's training of this version, or damaged; "
                                                          "remove it to begin anew",
                                      path);
    if (status == MM_OK && t->step > t->prepared.steps)
        status = mm_fail(err, MM_ERR_FORMAT, "%s is beyond the last step; remove it to begin anew", path);
    if (status == MM_OK) {
        json_decref(t->history);
        t->history = json_incref(history);
    }
    json_decref(json);
    return status;
}

mm_status mm_decoder_training_read(mm_decoder_training *t, const char *path, mm_error *err)
{
    float *vectors[VECTORS];
    mm_checkpoint *checkpoint = NULL;
    list_vectors(t, vectors);
    mm_status status = mm_checkpoint_open(path, &checkpoint, err);
    if (status != MM_OK)
        return status;
    status = read_json(t, path, mm_checkpoint_metadata(checkpoint, "maskmill.decoder_training"), err);
    for (int i = 0; i < VECTORS && status == MM_OK; i++) {
        status = mm_checkpoint_read_f32(checkpoint, names[i], vectors[i], t->parameters.floats, err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "%s", path); /* returns the status it has */
    }
    mm_checkpoint_close(checkpoint);
    return status;
}

mm_status mm_decoder_training_export(const mm_decoder_training *t, const char *path, mm_error *err)
{
    const mm_parameters *parameters = &t->parameters;
    mm_tensor *tensors = calloc(parameters->count, sizeof *tensors);
    float *floats = mm_floats(parameters->floats);
    mm_status status = tensors && floats ? MM_OK : mm_fail_memory(err, "the model");
    for (size_t i = 0; status == MM_OK && i < parameters->count; i++) {
        const mm_parameter *p = &parameters->list[i];
        mm_parameter_to_file(p, t->average, floats + p->offset);
        tensors[i] = (mm_tensor){.name = p->name, .dtype = MM_F32, .dims = p->dims, .elements = p->elements,
                                 .data = floats + p->offset};
        memcpy(tensors[i].shape, p->shape, sizeof tensors[i].shape);
    }
    if (status == MM_OK)
        status = mm_checkpoint_replace(t->checkpoint, &t->arch, tensors, parameters->count, path, err);
    free(tensors);
    free(floats);
    return status;
}
