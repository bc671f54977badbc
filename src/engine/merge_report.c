/* run.json of a dataset that was merged: what a run's has, as sums over the parts, and theirs besides. */
#include <string.h>

#include "engine/json_out.h"
#include "engine/merge.h"

/* Lines and hosts that are in any part, each once. */
static json_t *collect(const mm_parts *parts, const char *key)
{
    json_t *all = json_array();
    for (size_t i = 0; all && i < parts->count; i++) {
        size_t at;
        json_t *item;
        json_array_foreach(json_object_get(parts->items[i].run, key), at, item) {
            size_t known = 0;
            while (known < json_array_size(all) && !json_equal(json_array_get(all, known), item))
                known++;
            if (known == json_array_size(all) && json_array_append(all, item) != 0) {
                json_decref(all);
                return NULL;
            }
        }
    }
    return all;
}

static json_t *sum_stages(const mm_parts *parts)
{
    json_t *sums = json_object();
    for (size_t i = 0; sums && i < parts->count; i++) {
        const char *name;
        json_t *seconds;
        json_object_foreach(json_object_get(parts->items[i].run, "stage_seconds"), name, seconds) {
            const double before = json_number_value(json_object_get(sums, name));
            if (json_object_set_new(sums, name, json_real(before + json_number_value(seconds))) != 0) {
                json_decref(sums);
                return NULL;
            }
        }
    }
    return sums;
}

/* The first start, the last end: both are "2026-03-01T12:00:00Z", which compare as text. */
static json_t *extreme(const mm_parts *parts, const char *key, int sign)
{
    const char *best = NULL;
    for (size_t i = 0; i < parts->count; i++) {
        const char *moment = json_string_value(json_object_get(parts->items[i].run, key));
        if (moment && (!best || sign * strcmp(moment, best) > 0))
            best = moment;
    }
    return best ? json_string(best) : json_null();
}

static json_t *list_parts(const mm_parts *parts)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < parts->count; i++) {
        const mm_part *part = &parts->items[i];
        json_t *folder = json_string(part->folder); /* NULL where the path is no UTF-8 */
        if (json_array_append_new(list, json_pack("{s:o, s:I, s:I, s:O}", "folder", folder ? folder : json_null(),
                                                  "first_shard", (json_int_t)part->first, "shards",
                                                  (json_int_t)part->count, "run", part->run)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *command_line(const mm_merge_options *options)
{
    json_t *words = json_array();
    for (int i = 0; words && i < options->argc; i++) {
        json_t *word = json_string(options->argv[i]);
        if (json_array_append_new(words, word ? word : json_string("?")) != 0) {
            json_decref(words);
            return NULL;
        }
    }
    return words;
}

static json_t *whole(const mm_parts *parts, const mm_merge_options *options, const mm_run_summary *summary)
{
    const json_t *first = parts->items[0].run;
    const uint64_t images = summary->images_done + summary->images_set_aside;
    json_t *out = json_string(options->out);
    json_t *object = json_pack(
        "{s:s, s:o, s:O*, s:O*, s:o, s:o, s:s, s:o, s:o, s:o, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:o}",
        "maskmill", MM_VERSION,
        "command", command_line(options),
        "corpus", json_object_get(first, "corpus"),
        "model", json_object_get(first, "model"),
        "hosts", collect(parts, "hosts"),
        "kernels", collect(parts, "kernels"),
        "config", parts->items[0].origin.config_yaml,
        "output", out ? out : json_null(),
        "started", extreme(parts, "started", -1),
        "ended", extreme(parts, "ended", 1),
        "seconds", summary->seconds,
        "images_done", (json_int_t)summary->images_done,
        "images_set_aside", (json_int_t)summary->images_set_aside,
        "images_skipped", (json_int_t)summary->images_skipped,
        "masks", (json_int_t)summary->masks,
        "shards", (json_int_t)summary->shards,
        "images_per_second", summary->seconds > 0 ? (double)images / summary->seconds : 0.0,
        "stage_seconds", sum_stages(parts),
        "parts", list_parts(parts));
    return object;
}

mm_status mm_parts_report(const mm_parts *parts, const mm_merge_options *options, const mm_run_summary *summary,
                          mm_error *err)
{
    json_t *object = whole(parts, options, summary);
    const mm_status status = mm_json_put(options->out, "run.json", object, JSON_INDENT(2) | JSON_REAL_PRECISION(9), err);
    json_decref(object);
    return status;
}
