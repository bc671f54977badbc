/* Do the parts make a whole? */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/merge.h"

/* A list in a line of limited length: what does not fit is counted. */
typedef struct line {
    char text[300];
    size_t length, left_out;
} line;

static void add_words(line *to, const char *words)
{
    const int length = snprintf(to->text + to->length, sizeof to->text - to->length, "%s%s", to->length ? ", " : "",
                                words);
    if (length > 0 && to->length + (size_t)length < sizeof to->text) {
        to->length += (size_t)length;
        return;
    }
    to->text[to->length] = '\0';
    to->left_out++;
}

static const char *rest_of(const line *list, char text[40])
{
    text[0] = '\0';
    if (list->left_out)
        (void)snprintf(text, 40, " and %zu more", list->left_out);
    return text;
}

static mm_status check_finished(const mm_parts *parts, mm_error *err)
{
    line unfinished = {.length = 0};
    char rest[40];
    for (size_t i = 0; i < parts->count; i++)
        if (!parts->items[i].finished)
            add_words(&unfinished, parts->items[i].folder);
    return unfinished.length + unfinished.left_out == 0
               ? MM_OK
               : mm_fail(err, MM_ERR_USAGE, "not finished, since without run.json: %s%s; run again with --resume",
                         unfinished.text, rest_of(&unfinished, rest));
}

/* Each shard of the whole in one part. */
static mm_status check_cover(const mm_parts *parts, mm_error *err)
{
    line missing = {.length = 0};
    char words[64], rest[40];
    uint64_t next = 0;
    for (size_t i = 0; i <= parts->count; i++) {
        const mm_part *part = i < parts->count ? &parts->items[i] : NULL;
        const uint64_t first = part ? part->first : parts->shards;
        if (part && first < next)
            return mm_fail(err, MM_ERR_USAGE, "shard %" PRIu64 " is in %.100s and in %.100s; name the one to take",
                           first, parts->items[i - 1].folder, part->folder);
        if (part && (part->count > parts->shards || first > parts->shards - part->count))
            return mm_fail(err, MM_ERR_USAGE, "%.200s has shards up to %" PRIu64 ", but there are %" PRIu64 " in all",
                           part->folder, first + part->count - 1, parts->shards);
        if (first > next) {
            (void)snprintf(words, sizeof words, "%" PRIu64 "-%" PRIu64, next, first - 1);
            add_words(&missing, words);
        }
        next = part ? first + part->count : next;
    }
    return missing.length + missing.left_out == 0
               ? MM_OK
               : mm_fail(err, MM_ERR_USAGE,
                         "of shards 0-%" PRIu64 " these are in no part: %s%s; run them with --shards", parts->shards - 1, missing.text, rest_of(&missing, rest));
}

/* "OpenBLAS 0.3.21 (Zen), bf16, AVX-512, 2 threads": all but the threads, which results do not depend on. */
static size_t kernels_length(const char *kernels)
{
    const char *comma = strrchr(kernels, ',');
    return comma && strstr(comma, "thread") ? (size_t)(comma - kernels) : strlen(kernels);
}

/* Each line of the one list is in the other. */
static bool kernels_are_in(const json_t *list, const json_t *other)
{
    size_t i, j;
    json_t *one, *two;
    json_array_foreach(list, i, one) {
        bool found = false;
        json_array_foreach(other, j, two) {
            const char *a = json_string_value(one), *b = json_string_value(two);
            const size_t length = a ? kernels_length(a) : 0;
            found = found || (a && b && length == kernels_length(b) && memcmp(a, b, length) == 0);
        }
        if (!found)
            return false;
    }
    return true;
}

static bool same_kernels(const mm_part *a, const mm_part *b)
{
    const json_t *one = json_object_get(a->run, "kernels"), *two = json_object_get(b->run, "kernels");
    return kernels_are_in(one, two) && kernels_are_in(two, one);
}

static mm_status check_alike(const mm_parts *parts, bool mixed_kernels, mm_error *err)
{
    const mm_part *one = &parts->items[0];
    for (size_t i = 1; i < parts->count; i++) {
        const mm_part *other = &parts->items[i];
        const char *differs = mm_shard_origin_difference(&one->origin, &other->origin);
        if (!differs && one->manifest.digest != other->manifest.digest)
            differs = "manifest (list of images)";
        if (differs)
            return mm_fail(err, MM_ERR_USAGE,
                           "%.100s and %.100s were made with another %s each; they are not parts of one dataset",
                           one->folder, other->folder, differs);
        if (!mixed_kernels && !same_kernels(one, other))
            return mm_fail(err, MM_ERR_USAGE,
                           "%.100s and %.100s were computed with different kernels (see kernels in run.json); run one "
                           "of them again with the other's --backend and --precision, or merge with --mixed-kernels",
                           one->folder, other->folder);
    }
    return MM_OK;
}

mm_status mm_parts_check(const mm_parts *parts, bool mixed_kernels, mm_error *err)
{
    mm_status status = check_finished(parts, err);
    if (status == MM_OK)
        status = check_alike(parts, mixed_kernels, err);
    return status == MM_OK ? check_cover(parts, err) : status;
}
