#include "journal/answer.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "maskmill/mask.h"

enum { MOST_CLICKS = 65535, MOST_SECONDS = 1000000 };

static const char *const kinds[MM_ANSWER_KINDS] = {"accept", "delete", "done", "skip"};

const char *mm_answer_kind_name(mm_answer_kind kind)
{
    return kinds[kind];
}

bool mm_answer_is_id(const char *text)
{
    return strlen(text) == MM_ANSWER_ID && strspn(text, "0123456789abcdef") == MM_ANSWER_ID;
}

bool mm_answer_is_name(const char *text)
{
    const size_t length = strlen(text);
    return length > 0 && length <= MM_ANSWER_NAME && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

bool mm_answer_is_person(const char *text)
{
    const size_t length = strlen(text);
    if (length == 0 || length > MM_ANSWER_PERSON)
        return false;
    for (size_t at = 0; at < length;) {
        const size_t step = mm_utf8_length((const uint8_t *)text + at, length - at);
        if (step == 0 || (step == 1 && ((uint8_t)text[at] < 0x20 || text[at] == 0x7f)))
            return false;
        at += step;
    }
    return true;
}

/* --- reading --- */

static mm_status bad(mm_error *err, const char *key)
{
    return mm_fail(err, MM_ERR_FORMAT, "the answer's \"%s\" is missing or is not what it should be", key);
}

static bool read_text(const json_t *root, const char *key, char *out, size_t room)
{
    const json_t *value = json_object_get(root, key);
    const char *text = json_string_value(value);
    if (!text || json_string_length(value) >= room || strlen(text) != json_string_length(value))
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool read_whole(const json_t *value, uint64_t most, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > most)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static mm_status read_mask(const json_t *root, mm_person_answer *answer, mm_error *err)
{
    const json_t *size = json_object_get(root, "size"), *counts = json_object_get(root, "counts");
    uint64_t height, width;
    mm_rle rle;
    if (json_array_size(size) != 2 || !read_whole(json_array_get(size, 0), UINT32_MAX, &height) ||
        !read_whole(json_array_get(size, 1), UINT32_MAX, &width) || height == 0 || width == 0)
        return bad(err, "size");
    if (!json_is_string(counts))
        return bad(err, "counts");
    answer->height = (uint32_t)height;
    answer->width = (uint32_t)width;
    mm_status status = mm_rle_from_counts((const uint8_t *)json_string_value(counts), json_string_length(counts),
                                          answer->height, answer->width, &rle, err);
    if (status != MM_OK)
        return status;
    if (mm_rle_area(&rle) == 0)
        status = mm_fail(err, MM_ERR_FORMAT, "the answer's mask has no pixel");
    else
        status = mm_rle_to_counts(&rle, &answer->counts, &answer->size, err); /* as pycocotools would write it */
    mm_rle_free(&rle);
    return status;
}

static mm_status read_all(const json_t *root, mm_person_answer *answer, mm_error *err)
{
    char kind[16];
    uint64_t clicks = 0;
    if (!read_text(root, "do", kind, sizeof kind))
        return bad(err, "do");
    while (answer->kind < MM_ANSWER_KINDS && strcmp(kind, kinds[answer->kind]) != 0)
        answer->kind++;
    if (answer->kind == MM_ANSWER_KINDS)
        return bad(err, "do");
    if (!read_text(root, "id", answer->id, sizeof answer->id) || !mm_answer_is_id(answer->id))
        return bad(err, "id");
    if (!read_whole(json_object_get(root, "image"), INT64_MAX, &answer->image))
        return bad(err, "image");
    if (!read_text(root, "annotator", answer->annotator, sizeof answer->annotator) ||
        !mm_answer_is_person(answer->annotator))
        return bad(err, "annotator");
    const json_t *mask = json_object_get(root, "mask"), *seconds = json_object_get(root, "seconds");
    if ((answer->kind == MM_ANSWER_DELETE || mask) &&
        (!read_text(root, "mask", answer->mask, sizeof answer->mask) || !mm_answer_is_name(answer->mask)))
        return bad(err, "mask");
    answer->seconds = json_number_value(seconds); /* 0 where there is none */
    if ((seconds && !json_is_number(seconds)) || !(answer->seconds >= 0 && answer->seconds <= MOST_SECONDS))
        return bad(err, "seconds");
    if (json_object_get(root, "clicks") && !read_whole(json_object_get(root, "clicks"), MOST_CLICKS, &clicks))
        return bad(err, "clicks");
    answer->clicks = (uint32_t)clicks;
    if (json_object_get(root, "unix") && !read_whole(json_object_get(root, "unix"), INT64_MAX, &answer->unix_time))
        return bad(err, "unix");
    return answer->kind == MM_ANSWER_ACCEPT ? read_mask(root, answer, err) : MM_OK;
}

mm_status mm_answer_parse(const char *text, size_t size, mm_person_answer *answer, mm_error *err)
{
    json_error_t where;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    *answer = (mm_person_answer){0};
    mm_status status = json_is_object(root) ? read_all(root, answer, err)
                                            : mm_fail(err, MM_ERR_FORMAT, "the answer is no JSON object");
    json_decref(root);
    if (status != MM_OK)
        mm_answer_free(answer);
    return status;
}

/* --- writing --- */

mm_status mm_answer_print(const mm_person_answer *answer, char **text, mm_error *err)
{
    /* Real numbers are rounded: thousandths of a second are more than a clock in a page can tell. */
    json_t *root = json_pack("{s:s, s:s, s:I, s:s, s:f, s:i, s:I}", "do", kinds[answer->kind], "id", answer->id,
                             "image",
                             (json_int_t)answer->image, "annotator", answer->annotator, "seconds",
                             round(answer->seconds * 1000) / 1000, "clicks", (int)answer->clicks, "unix",
                             (json_int_t)answer->unix_time);
    bool good = root != NULL;
    if (good && answer->mask[0])
        good = json_object_set_new(root, "mask", json_string(answer->mask)) == 0;
    if (good && answer->kind == MM_ANSWER_ACCEPT)
        good = json_object_set_new(root, "size", json_pack("[I, I]", (json_int_t)answer->height,
                                                           (json_int_t)answer->width)) == 0 &&
               json_object_set_new(root, "counts", json_stringn((const char *)answer->counts, answer->size)) == 0;
    *text = good ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(root);
    return *text ? MM_OK : mm_fail_memory(err, "an answer");
}

void mm_answer_free(mm_person_answer *answer)
{
    free(answer->counts);
    *answer = (mm_person_answer){0};
}
