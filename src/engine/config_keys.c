#include "config_keys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef enum key_kind { KIND_U32, KIND_U64, KIND_F32, KIND_F64, KIND_SWITCH, KIND_CHOICE, KIND_PATH } key_kind;

enum { MAX_WORDS = 4 };

typedef struct config_key {
    const char *section, *name;
    key_kind kind;
    size_t offset;
    double low, high;     /* inclusive; unused for switches */
    const char *off, *on; /* the two words of a switch */
    const char *words[MAX_WORDS]; /* of a choice: the value is the index, a uint32_t */
    bool automatic;       /* also the word "auto", which is a negative number: left to something else */
    bool aside;           /* how a run goes, not what comes out: not in shards, free to change when a run is resumed */
} config_key;

/* The kind follows from the member's type, so that a row cannot disagree with the struct. */
#define FIELD(member)                                                                                                  \
    _Generic(((const mm_config *)NULL)->member, uint32_t: KIND_U32, uint64_t: KIND_U64, float: KIND_F32,               \
             double: KIND_F64, bool: KIND_SWITCH), offsetof(mm_config, member)
#define NUMBER(section, name, member, low, high)                                                                       \
    {section, name, FIELD(member), low, high, NULL, NULL, {NULL}, false, false}
#define AUTO(section, name, member, low, high) {section, name, FIELD(member), low, high, NULL, NULL, {NULL}, true, false}
#define ASIDE(section, name, member, low, high) {section, name, FIELD(member), low, high, NULL, NULL, {NULL}, false, true}
#define SWITCH(section, name, member, off, on) {section, name, FIELD(member), 0, 0, off, on, {NULL}, false, false}
#define CHOICE(section, name, member, ...)                                                                             \
    {section, name, KIND_CHOICE, offsetof(mm_config, member), 0, 0, NULL, NULL, {__VA_ARGS__}, false, false}
#define CHOICE_ASIDE(section, name, member, ...)                                                                       \
    {section, name, KIND_CHOICE, offsetof(mm_config, member), 0, 0, NULL, NULL, {__VA_ARGS__}, false, true}
/* A file's name says nothing about what is in it, so it is never in a shard. */
#define PATH(section, name, member)                                                                                    \
    {section, name, KIND_PATH, offsetof(mm_config, member), 0, sizeof ((const mm_config *)NULL)->member - 1, NULL,     \
     NULL, {NULL}, false, true}
/* libjpeg's own limit is 65535 pixels a side. */
#define MAX_PIXELS (65535.0 * 65535.0)
#define TIB 1099511627776.0

#define STAGES "automatic", "assisted-manual", "semi-automatic", "fully-automatic"

const char *mm_engine_stage_name(mm_engine_stage stage)
{
    static const char *const names[] = {STAGES};
    return names[stage];
}

static const config_key keys[] = {
    NUMBER("amg", "points_per_side", amg.points_per_side, 1, 512),
    NUMBER("amg", "pred_iou_thresh", amg.pred_iou_thresh, 0, 1),
    NUMBER("amg", "stability_score_thresh", amg.stability_score_thresh, 0, 1),
    NUMBER("amg", "stability_score_offset", amg.stability_score_offset, 0, 100),
    NUMBER("amg", "box_nms_thresh", amg.box_nms_thresh, 0, 1),
    NUMBER("amg", "crop_n_layers", amg.crop_n_layers, 0, 4),
    NUMBER("amg", "crop_nms_thresh", amg.crop_nms_thresh, 0, 1),
    NUMBER("amg", "crop_overlap_ratio", amg.crop_overlap_ratio, 0, 1),
    NUMBER("amg", "crop_n_points_downscale_factor", amg.crop_n_points_downscale_factor, 1, 16),
    NUMBER("amg", "min_mask_region_area", amg.min_mask_region_area, 0, 1000000000),
    NUMBER("amg", "max_area_fraction", amg.max_area_fraction, 0, 1),
    SWITCH("amg", "drop_small_masks", amg.drop_small_masks, "false", "true"),
    CHOICE("corpus", "duplicates", corpus.duplicates, "keep", "flag", "skip"),
    NUMBER("corpus", "duplicate_distance", corpus.duplicate_distance, 0, 10),
    NUMBER("output", "short_side", amg.short_side, 0, 65535),
    NUMBER("output", "images_per_shard", output.images_per_shard, 1, 1000000),
    SWITCH("image", "orientation", image.ignore_orientation, "apply", "ignore"),
    NUMBER("image", "max_pixels", image.max_pixels, 1, MAX_PIXELS),
    NUMBER("image", "max_bytes", image.max_bytes, 1, TIB),
    ASIDE("journal", "sync_seconds", journal.sync_seconds, 0, 3600),
    CHOICE_ASIDE("engine", "stage", engine.stage, STAGES),
    SWITCH("hints", "enabled", hints.enabled, "false", "true"),
    NUMBER("hints", "iou_margin", hints.params.iou_margin, 0, 1),
    NUMBER("hints", "stability_margin", hints.params.stability_margin, 0, 1),
    NUMBER("hints", "max_per_image", hints.params.max_per_image, 1, 100000),
    SWITCH("detect", "enabled", detect.enabled, "false", "true"),
    PATH("detect", "head", detect.head),
    AUTO("detect", "score_thresh", detect.score_thresh, 0, 1),
    AUTO("detect", "pred_iou_thresh", detect.pred_iou_thresh, 0, 1),
    AUTO("detect", "stability_score_thresh", detect.stability_score_thresh, 0, 1),
    NUMBER("detect", "max_boxes", detect.max_boxes, 1, 1000),
};

size_t mm_config_key_count(void)
{
    return sizeof keys / sizeof keys[0];
}

const char *mm_config_key_section(size_t key)
{
    return keys[key].section;
}

const char *mm_config_key_name(size_t key)
{
    return keys[key].name;
}

bool mm_config_key_decides(size_t key)
{
    return !keys[key].aside;
}

bool mm_config_key_is_idle(const mm_config *config, size_t key)
{
    const char *section = keys[key].section;
    return (strcmp(section, "hints") == 0 && !config->hints.enabled) ||
           (strcmp(section, "detect") == 0 && !config->detect.enabled);
}

bool mm_config_has_section(const char *section)
{
    for (size_t i = 0; i < mm_config_key_count(); i++)
        if (strcmp(keys[i].section, section) == 0)
            return true;
    return false;
}

size_t mm_config_key_find(const char *section, const char *name)
{
    for (size_t i = 0; i < mm_config_key_count(); i++)
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
            return i;
    return mm_config_key_count();
}

static mm_status set_choice(const config_key *key, uint32_t *field, const char *text, mm_error *err)
{
    char all[80] = "";
    for (uint32_t i = 0; i < MAX_WORDS && key->words[i]; i++) {
        if (strcmp(text, key->words[i]) == 0) {
            *field = i;
            return MM_OK;
        }
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", key->words[i]);
    }
    return mm_fail(err, MM_ERR_USAGE, "%s.%s: \"%.60s\" is none of its words; it is one of %s", key->section, key->name,
                   text, all);
}

static mm_status refuse(const config_key *key, const char *text, const char *why, mm_error *err)
{
    if (key->kind == KIND_SWITCH)
        return mm_fail(err, MM_ERR_USAGE, "%s.%s: \"%.60s\" %s; it is %s or %s", key->section, key->name, text, why,
                       key->off, key->on);
    const bool whole = key->kind == KIND_U32 || key->kind == KIND_U64;
    return mm_fail(err, MM_ERR_USAGE, "%s.%s: \"%.60s\" %s; it is %sa %snumber from %.15g to %.15g", key->section,
                   key->name, text, why, key->automatic ? "auto or " : "", whole ? "whole " : "", key->low, key->high);
}

/* Decimal digits only: strtoull would take signs, spaces and, in YAML 1.1's manner, octal. */
static mm_status set_whole(const config_key *key, void *field, const char *text, mm_error *err)
{
    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text) || (text[0] == '0' && text[1] != '\0'))
        return refuse(key, text, "is not a whole number in plain digits", err);
    errno = 0;
    const unsigned long long value = strtoull(text, NULL, 10);
    if (errno != 0 || (double)value < key->low || (double)value > key->high)
        return refuse(key, text, "is out of range", err);
    if (key->kind == KIND_U32)
        *(uint32_t *)field = (uint32_t)value;
    else
        *(uint64_t *)field = value;
    return MM_OK;
}

/* strtod would also take hexadecimal, nan, inf and leading spaces. */
static mm_status set_real(const config_key *key, void *field, const char *text, mm_error *err)
{
    char *end = NULL;
    if (key->automatic && strcmp(text, "auto") == 0) { /* a float, as are all of these */
        *(float *)field = -1;
        return MM_OK;
    }
    if (text[0] == '\0' || strspn(text, "0123456789+-.eE") != strlen(text))
        return refuse(key, text, "is not a number", err);
    const double value = strtod(text, &end);
    if (end == text || *end != '\0')
        return refuse(key, text, "is not a number", err);
    if (!(value >= key->low && value <= key->high))
        return refuse(key, text, "is out of range", err);
    if (key->kind == KIND_F32)
        *(float *)field = strtof(text, NULL); /* not (float)value, which would round twice */
    else
        *(double *)field = value;
    return MM_OK;
}

static mm_status set_path(const config_key *key, char *field, const char *text, mm_error *err)
{
    if ((double)strlen(text) > key->high)
        return mm_fail(err, MM_ERR_USAGE, "%s.%s: the path \"%.60s...\" is too long; it may have %.0f bytes",
                       key->section, key->name, text, key->high);
    memset(field, 0, (size_t)key->high + 1);
    memcpy(field, text, strlen(text));
    return MM_OK;
}

mm_status mm_config_key_set(mm_config *config, size_t index, const char *text, mm_error *err)
{
    const config_key *key = &keys[index];
    void *field = (char *)config + key->offset;
    switch (key->kind) {
    case KIND_U32:
    case KIND_U64:
        return set_whole(key, field, text, err);
    case KIND_F32:
    case KIND_F64:
        return set_real(key, field, text, err);
    case KIND_SWITCH:
        if (strcmp(text, key->on) != 0 && strcmp(text, key->off) != 0)
            return refuse(key, text, "is neither of its words", err);
        *(bool *)field = strcmp(text, key->on) == 0;
        return MM_OK;
    case KIND_CHOICE:
        return set_choice(key, field, text, err);
    case KIND_PATH:
        return set_path(key, field, text, err);
    }
    return mm_fail(err, MM_ERR_INTERNAL, "config key %s.%s has no type", key->section, key->name);
}

void mm_config_key_get(const mm_config *config, size_t index, char text[40])
{
    enum { SIZE = 40 };
    const config_key *key = &keys[index];
    const void *field = (const char *)config + key->offset;
    int digits = 1;
    if (key->automatic && *(const float *)field < 0) {
        (void)snprintf(text, SIZE, "auto");
        return;
    }
    switch (key->kind) {
    case KIND_U32:
        (void)snprintf(text, SIZE, "%" PRIu32, *(const uint32_t *)field);
        break;
    case KIND_U64:
        (void)snprintf(text, SIZE, "%" PRIu64, *(const uint64_t *)field);
        break;
    case KIND_F32: /* the shortest text that reads back as the same float; 9 digits always do */
        do
            (void)snprintf(text, SIZE, "%.*g", digits, (double)*(const float *)field);
        while (strtof(text, NULL) != *(const float *)field && ++digits <= 9);
        break;
    case KIND_F64: /* likewise; 17 digits always do */
        do
            (void)snprintf(text, SIZE, "%.*g", digits, *(const double *)field);
        while (strtod(text, NULL) != *(const double *)field && ++digits <= 17);
        break;
    case KIND_SWITCH:
        (void)snprintf(text, SIZE, "%s", *(const bool *)field ? key->on : key->off);
        break;
    case KIND_CHOICE:
        (void)snprintf(text, SIZE, "%s", key->words[*(const uint32_t *)field]);
        break;
    case KIND_PATH:
        (void)snprintf(text, SIZE, "%.39s", (const char *)field);
        break;
    }
}

mm_status mm_config_check(const mm_config *config, mm_error *err)
{
    uint64_t side = config->amg.points_per_side;
    for (uint32_t layer = 1; layer <= config->amg.crop_n_layers; layer++)
        side /= config->amg.crop_n_points_downscale_factor; /* nested floors are the floor of the whole quotient */
    if (side == 0)
        return mm_fail(err, MM_ERR_USAGE,
                       "amg.crop_n_points_downscale_factor %" PRIu32 " leaves no point for crop layer %" PRIu32
                       " with amg.points_per_side %" PRIu32 "; use fewer layers, more points or a smaller factor",
                       config->amg.crop_n_points_downscale_factor, config->amg.crop_n_layers,
                       config->amg.points_per_side);
    if (config->amg.drop_small_masks && config->amg.min_mask_region_area == 0)
        return mm_fail(err, MM_ERR_USAGE, "amg.drop_small_masks is true but amg.min_mask_region_area is 0, so no mask "
                                          "is small; set an area or drop_small_masks to false");
    return MM_OK;
}
