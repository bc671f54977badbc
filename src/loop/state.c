/* FOLDER/engine.json: what is done. It is written whole after each step, so a loop that was killed knows all steps but
 * the one it was in. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "engine/json_out.h"
#include "engine/output.h"
#include "loop/loop.h"
#include "maskmill/checkpoint.h"
#include "report/run_json.h"

enum { FORMAT = 1 };

static json_t *round_object(const mm_loop *loop, size_t k)
{
    return k == MM_LOOP_BASELINE ? loop->state : json_array_get(json_object_get(loop->state, "rounds"), k);
}

static mm_status write_state(const mm_loop *loop, mm_error *err)
{
    return mm_json_put(loop->options->out, "engine.json", loop->state, JSON_INDENT(2) | JSON_REAL_PRECISION(9), err);
}

/* --- opening --- */

static bool is_whole(const json_t *state)
{
    const json_t *rounds = json_object_get(state, "rounds");
    bool good = json_is_array(rounds) && json_is_array(json_object_get(state, "done")) &&
                json_is_string(json_object_get(json_object_get(state, "model"), "sha256"));
    for (size_t i = 0; good && i < json_array_size(rounds); i++) {
        const json_t *round = json_array_get(rounds, i);
        good = json_is_array(json_object_get(round, "done")) && json_is_object(json_object_get(round, "settings"));
    }
    return good;
}

static mm_status read_state(mm_loop *loop, const char *path, mm_error *err)
{
    const mm_status status = mm_run_json_read(path, &loop->state, err);
    if (status != MM_OK)
        return status;
    const json_int_t format = json_integer_value(json_object_get(loop->state, "loop_format"));
    if (format > FORMAT)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "%s has format %" JSON_INTEGER_FORMAT ", this maskmill reads %d", path,
                       format, (int)FORMAT);
    if (format < 1 || !is_whole(loop->state))
        return mm_fail(err, MM_ERR_FORMAT, "%s is not that of a loop, or is damaged", path);
    return MM_OK;
}

/* Rounds that are begun are gone on with as they were begun; those that follow are free. */
static mm_status check_same(const mm_loop *loop, const char *sha256, mm_error *err)
{
    const json_t *rounds = json_object_get(loop->state, "rounds");
    if (strcmp(json_string_value(json_object_get(json_object_get(loop->state, "model"), "sha256")), sha256) != 0)
        return mm_fail(err, MM_ERR_USAGE, "%.200s was begun with another model than %.100s; begin a new loop in another "
                                          "folder", loop->options->out, loop->config.model);
    if (json_array_size(rounds) > loop->config.round_count)
        return mm_fail(err, MM_ERR_USAGE, "%.200s: %zu rounds are begun, and the config has %zu; rounds can be added, "
                                          "not taken away", loop->options->out, json_array_size(rounds),
                       loop->config.round_count);
    for (size_t k = 0; k < json_array_size(rounds); k++) {
        json_t *now = mm_loop_settings(loop, k);
        if (!now)
            return mm_fail_memory(err, "the loop's settings");
        const char *other = mm_loop_settings_differ(json_object_get(json_array_get(rounds, k), "settings"), now);
        const mm_status status =
            other ? mm_fail(err, MM_ERR_USAGE, "%.200s:%zu: round %zu was begun with another %.60s; give the same, or "
                                               "begin a new loop in another folder", loop->options->config,
                            loop->config.rounds[k].line, k + 1, other)
                  : MM_OK;
        json_decref(now);
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

static mm_status begin_state(mm_loop *loop, const char *sha256, mm_error *err)
{
    loop->state = json_pack("{s:i, s:{s:o, s:s}, s:[], s:[]}", "loop_format", (int)FORMAT, "model", "name",
                            mm_json_text(loop->config.model), "sha256", sha256, "done", "rounds");
    return loop->state ? write_state(loop, err) : mm_fail_memory(err, "the loop's state");
}

/* Neither a dataset nor anybody's files; but a beginning of this file may be. */
static mm_status check_free(const char *out, mm_error *err)
{
    mm_output_kind kind;
    mm_status status = mm_output_state(out, &kind, err);
    if (status == MM_OK && kind == MM_OUTPUT_SCRAPS)
        return MM_OK;
    if (status == MM_OK)
        status = mm_output_inspect(out, false, err);
    return status == MM_ERR_USAGE ? mm_fail(err, status, "%.300s holds something that is no loop; choose another folder",
                                            out)
                                  : status;
}

static mm_status open_state(mm_loop *loop, mm_error *err)
{
    const char *out = loop->options->out;
    char path[PATH_MAX], note[400] = "", sha256[65];
    mm_status status = mm_output_path(out, "engine.json", path, sizeof path, err);
    if (status != MM_OK)
        return status;
    const bool there = mm_file_exists(path);
    if (there && !loop->options->resume)
        return mm_fail(err, MM_ERR_USAGE, "%.300s has a loop already; --resume goes on with it", out);
    if (!there)
        status = check_free(out, err);
    if (status == MM_OK)
        status = mm_checkpoint_sha256(loop->config.model_path, sha256, err);
    if (status == MM_OK)
        status = mm_output_make(out, NULL, err);
    if (status == MM_OK)
        status = mm_lock_take(out, &loop->lock, note, sizeof note, err);
    if (status == MM_OK && note[0])
        (void)fprintf(stderr, "maskmill: note: %s\n", note);
    if (status == MM_OK && there)
        status = read_state(loop, path, err);
    if (status == MM_OK)
        status = there ? check_same(loop, sha256, err) : begin_state(loop, sha256, err);
    return status;
}

mm_status mm_loop_state_open(mm_loop *loop, mm_error *err)
{
    return mm_comm_agree(loop->comm, loop->first ? open_state(loop, err) : MM_OK, err);
}

/* --- steps --- */

mm_status mm_loop_decide(mm_loop *loop, bool yes, bool *decided, mm_error *err)
{
    uint8_t word = yes;
    const mm_status status = mm_comm_broadcast(loop->comm, 0, &word, sizeof word, err);
    *decided = word != 0;
    return status;
}

mm_status mm_loop_is_done(mm_loop *loop, size_t k, const char *step, bool *done, mm_error *err)
{
    bool found = false;
    const json_t *list = loop->first ? json_object_get(round_object(loop, k), "done") : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        found = found || (name && strcmp(name, step) == 0);
    }
    return mm_loop_decide(loop, found, done, err);
}

static mm_status note_step(mm_loop *loop, size_t k, const char *step, json_t *fields, mm_error *err)
{
    json_t *round = round_object(loop, k);
    if (!fields || json_object_update(round, fields) != 0 ||
        json_array_append_new(json_object_get(round, "done"), json_string(step)) != 0)
        return mm_fail_memory(err, "the loop's state");
    return write_state(loop, err);
}

mm_status mm_loop_finish(mm_loop *loop, size_t k, const char *step, json_t *fields, mm_error *err)
{
    const mm_status status = loop->first ? note_step(loop, k, step, fields, err) : MM_OK;
    json_decref(fields);
    return mm_comm_agree(loop->comm, status, err);
}

mm_status mm_loop_finish_if(mm_loop *loop, size_t k, const char *step, json_t *fields, const mm_error *why,
                            mm_error *err)
{
    const bool failed = loop->first && !fields && why->status != MM_OK;
    const mm_status status =
        mm_comm_agree(loop->comm, failed ? mm_fail(err, why->status, "%s", why->text) : MM_OK, err);
    if (status == MM_OK)
        return mm_loop_finish(loop, k, step, fields, err);
    json_decref(fields);
    return status;
}

mm_status mm_loop_set_status(mm_loop *loop, size_t k, const char *status_text, mm_error *err)
{
    json_t *round = round_object(loop, k);
    const char *before = json_string_value(json_object_get(round, "status"));
    if (before && strcmp(before, status_text) == 0)
        return MM_OK;
    if (json_object_set_new(round, "status", json_string(status_text)) != 0)
        return mm_fail_memory(err, "the loop's state");
    return write_state(loop, err);
}

static mm_status begin_round(mm_loop *loop, size_t k, mm_error *err)
{
    json_t *rounds = json_object_get(loop->state, "rounds");
    if (k < json_array_size(rounds))
        return MM_OK;
    json_t *round = json_pack("{s:I, s:s, s:s, s:s, s:[], s:o}", "round", (json_int_t)(k + 1), "stage",
                              mm_loop_stage_name(loop->config.rounds[k].stage), "corpus", loop->config.rounds[k].corpus,
                              "status", "begun", "done", "settings", mm_loop_settings(loop, k));
    if (!round || json_array_append_new(rounds, round) != 0)
        return mm_fail_memory(err, "the loop's state");
    return write_state(loop, err);
}

mm_status mm_loop_begin_round(mm_loop *loop, size_t k, mm_error *err)
{
    mm_status status = MM_OK;
    char path[PATH_MAX];
    if (loop->first)
        status = begin_round(loop, k, err);
    if (loop->first && status == MM_OK)
        status = mm_loop_place(loop, k, NULL, path, err);
    if (loop->first && status == MM_OK)
        status = mm_output_make(path, NULL, err);
    return mm_comm_agree(loop->comm, status, err);
}
