#include "engine/attempts.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/hand.h"
#include "engine/json_out.h"
#include "engine/output.h"

enum { MOST_BYTES = 64 << 20 };

static const char *const list_name = "journal/attempts.json", *const suspects_name = "journal/suspects";

struct mm_attempts {
    json_t *list;
    uint64_t *suspects;
    size_t suspect_count;
};

void mm_attempts_free(mm_attempts *attempts)
{
    if (!attempts)
        return;
    json_decref(attempts->list);
    free(attempts->suspects);
    free(attempts);
}

static mm_status read_if_there(const char *out, const char *name, uint8_t **bytes, size_t *size, mm_error *err)
{
    char path[PATH_MAX];
    *bytes = NULL;
    *size = 0;
    const mm_status status = mm_output_path(out, name, path, sizeof path, err);
    return status == MM_OK && mm_file_exists(path) ? mm_file_read(path, MOST_BYTES, bytes, size, err) : status;
}

/* A list that is no list is begun anew: it is a log, and nothing depends on it. */
static mm_status read_list(const char *out, json_t **list, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    const mm_status status = read_if_there(out, list_name, &bytes, &size, err);
    if (status != MM_OK)
        return status;
    *list = bytes ? json_loadb((const char *)bytes, size, 0, NULL) : NULL;
    free(bytes);
    if (!json_is_array(*list)) {
        json_decref(*list);
        *list = json_array();
    }
    return *list ? MM_OK : mm_fail_memory(err, list_name);
}

static mm_status add_suspect(mm_attempts *attempts, uint64_t image_id, mm_error *err)
{
    for (size_t i = 0; i < attempts->suspect_count; i++)
        if (attempts->suspects[i] == image_id)
            return MM_OK;
    uint64_t *grown = realloc(attempts->suspects, (attempts->suspect_count + 1) * sizeof *grown);
    if (!grown)
        return mm_fail_memory(err, "the images that an earlier run had in hand");
    attempts->suspects = grown;
    attempts->suspects[attempts->suspect_count++] = image_id;
    return MM_OK;
}

/* A decimal number a line; what is none is passed over. */
static mm_status read_suspects(const char *out, mm_attempts *attempts, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_status status = read_if_there(out, suspects_name, &bytes, &size, err);
    for (char *line = (char *)bytes, *next; status == MM_OK && line && *line; line = next) {
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        char *end = NULL;
        errno = 0;
        const unsigned long long image_id = strtoull(line, &end, 10);
        if (end > line && *end == '\n' && errno == 0)
            status = add_suspect(attempts, image_id, err);
    }
    free(bytes);
    return status;
}

static mm_status write_suspects(const char *out, const mm_attempts *attempts, mm_error *err)
{
    if (attempts->suspect_count == 0)
        return MM_OK;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return mm_fail_memory(err, suspects_name);
    for (size_t i = 0; i < attempts->suspect_count; i++)
        (void)fprintf(stream, "%" PRIu64 "\n", attempts->suspects[i]); /* failures show in the stream's flag below */
    const bool bad = ferror(stream);
    const bool unclosed = fclose(stream) != 0;
    const mm_status status =
        bad || unclosed ? mm_fail_memory(err, suspects_name) : mm_output_put(out, suspects_name, text, size, err);
    free(text);
    return status;
}

static mm_status write_list(const char *out, const mm_attempts *attempts, mm_error *err)
{
    return mm_json_put(out, list_name, attempts->list, JSON_INDENT(2), err);
}

/* The counts of the attempt that has ended, from its notes. */
static mm_status close_last(mm_attempts *attempts, const mm_hands *hands, mm_error *err)
{
    json_t *last = json_array_get(attempts->list, json_array_size(attempts->list) - 1);
    if (!last || hands->begun == 0)
        return MM_OK;
    const bool whole = json_object_set_new(last, "images_begun", json_integer((json_int_t)hands->begun)) == 0 &&
                       json_object_set_new(last, "in_hand", json_integer((json_int_t)hands->in_hand)) == 0;
    return whole ? MM_OK : mm_fail_memory(err, list_name);
}

static mm_status add(mm_attempts *attempts, const char *host, int ranks, time_t started, const mm_recovered *recovered,
                     mm_error *err)
{
    uint64_t open = 0;
    for (size_t i = 0; i < attempts->suspect_count; i++)
        open += !mm_recovered_has(recovered, attempts->suspects[i]);
    json_t *one = json_pack("{s:o, s:s, s:i, s:I, s:I, s:I}", "started", mm_json_moment(started), "host", host, "ranks", ranks,
                            "images_kept", (json_int_t)(recovered->images_done + recovered->images_set_aside),
                            "suspects", (json_int_t)open, "bytes_cut", (json_int_t)recovered->cut);
    return json_array_append_new(attempts->list, one) == 0 ? MM_OK : mm_fail_memory(err, list_name);
}

static mm_status begin(const char *out, const char *host, int ranks, time_t started, const mm_recovered *recovered,
                       mm_attempts *attempts, mm_error *err)
{
    char folder[PATH_MAX];
    mm_hands hands = {0};
    mm_status status = mm_output_path(out, "journal", folder, sizeof folder, err);
    if (status == MM_OK)
        status = read_list(out, &attempts->list, err);
    if (status == MM_OK)
        status = read_suspects(out, attempts, err);
    if (status == MM_OK)
        status = mm_hands_read(folder, &hands, err);
    for (size_t i = 0; status == MM_OK && i < hands.count; i++)
        status = add_suspect(attempts, hands.images[i], err);
    if (status == MM_OK)
        status = close_last(attempts, &hands, err);
    if (status == MM_OK)
        status = add(attempts, host, ranks, started, recovered, err);
    if (status == MM_OK)
        status = write_suspects(out, attempts, err);
    if (status == MM_OK)
        status = write_list(out, attempts, err);
    free(hands.images);
    return status == MM_OK ? mm_hands_remove(folder, err) : status;
}

mm_status mm_attempts_begin(const char *out, const char *host, int ranks, time_t started, const mm_recovered *recovered,
                            mm_attempts **attempts, mm_error *err)
{
    mm_attempts *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, list_name);
    const mm_status status = begin(out, host, ranks, started, recovered, made, err);
    if (status != MM_OK) {
        mm_attempts_free(made);
        return status;
    }
    *attempts = made;
    return MM_OK;
}

const uint64_t *mm_attempts_suspects(const mm_attempts *attempts, size_t *count)
{
    *count = attempts->suspect_count;
    return attempts->suspects;
}

mm_status mm_attempts_end(mm_attempts *attempts, uint64_t begun, mm_error *err)
{
    json_t *last = json_array_get(attempts->list, json_array_size(attempts->list) - 1);
    return json_object_set_new(last, "images_begun", json_integer((json_int_t)begun)) == 0
               ? MM_OK
               : mm_fail_memory(err, list_name);
}

json_t *mm_attempts_json(const mm_attempts *attempts)
{
    return json_incref(attempts->list);
}
