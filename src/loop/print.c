/* engine.json for people. */
#include <inttypes.h>

#include "engine/output.h"
#include "loop/loop.h"
#include "report/run_json.h"

static double in_list(const json_t *figures, const char *key, size_t i)
{
    const json_t *value = json_array_get(json_object_get(figures, key), i);
    return json_is_number(value) ? json_number_value(value) : -1;
}

static void print_figure(double value, FILE *out)
{
    if (value >= 0)
        (void)fprintf(out, "%9.4f", value);
    else
        (void)fprintf(out, "%9s", "-");
}

/* Each validation set's line: one click, three, a box; and what of it the grid finds, where that was looked for. */
static void print_figures(const json_t *figures, FILE *out)
{
    const char *name;
    json_t *set;
    json_object_foreach((json_t *)figures, name, set)
    {
        (void)fprintf(out, "    %-20.40s mean IoU: one click", name);
        print_figure(in_list(set, "clicks", 0), out);
        (void)fprintf(out, "   three");
        print_figure(in_list(set, "clicks", 2), out);
        (void)fprintf(out, "   a box");
        print_figure(mm_run_json_number(set, "box"), out);
        const json_t *generated = json_object_get(set, "generated");
        if (generated) {
            (void)fprintf(out, "   found by the grid at IoU 0.5");
            print_figure(mm_run_json_number(generated, "recall50"), out);
        }
        (void)fputc('\n', out);
    }
}

static uint64_t count_of(const json_t *object, const char *key)
{
    const json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void print_round(const json_t *round, FILE *out)
{
    const json_t *dataset = json_object_get(round, "dataset");
    const json_t *answers = json_object_get(round, "answers");
    const json_t *made = dataset ? dataset : json_object_get(round, "run"), *masks = json_object_get(made, "masks");
    const char *stage = mm_run_json_text(round, "stage"), *state = mm_run_json_text(round, "status");
    (void)fprintf(out, "round %" PRIu64 ", %.20s: %.40s", count_of(round, "round"), stage ? stage : "?",
                  state ? state : "?");
    if (made)
        (void)fprintf(out, "; %" PRIu64 " images with %" PRIu64 " automatic, %" PRIu64 " confident, %" PRIu64
                      " human masks", count_of(made, "images"), count_of(masks, "automatic"),
                      count_of(masks, "confident"), count_of(masks, "human"));
    if (answers)
        (void)fprintf(out, "; %" PRIu64 " images answered", count_of(answers, "images"));
    (void)fputc('\n', out);
    print_figures(json_object_get(round, "figures"), out);
}

mm_status mm_loop_print(const char *folder, FILE *out, mm_error *err)
{
    char path[PATH_MAX];
    json_t *state = NULL;
    mm_status status = mm_output_path(folder, "engine.json", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_run_json_read(path, &state, err);
    if (status != MM_OK)
        return status;
    const json_t *rounds = json_object_get(state, "rounds");
    if (json_object_get(state, "figures"))
        (void)fprintf(out, "before the first round\n");
    print_figures(json_object_get(state, "figures"), out);
    for (size_t k = 0; k < json_array_size(rounds); k++)
        print_round(json_array_get(rounds, k), out);
    json_decref(state);
    return MM_OK;
}
