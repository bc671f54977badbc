/* The thresholds that a model's file brings along: scores mean something else for each model, so the reference's numbers,
 * which are for the public checkpoints, may keep nothing of another one's masks. */
#include "config_keys.h"

#include <jansson.h>
#include <string.h>

#include "maskmill/checkpoint.h"

static const char metadata_key[] = "maskmill.thresholds";

static mm_status take_one(const char *name, const json_t *value, mm_config *config, mm_error *err)
{
    static const char *const names[] = {"pred_iou_thresh", "stability_score_thresh", "stability_score_offset"};
    bool known = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        known = known || strcmp(name, names[i]) == 0;
    if (!known || !json_is_number(value))
        return mm_fail(err, MM_ERR_FORMAT, "%.40s is not one of %s, %s and %s with a number", name, names[0], names[1],
                       names[2]);
    char text[40];
    (void)snprintf(text, sizeof text, "%.9g", json_number_value(value)); /* the float that was meant, exactly */
    return mm_config_key_set(config, mm_config_key_find("amg", name), text, err);
}

static mm_status take_all(const char *json, mm_config *config, mm_error *err)
{
    json_error_t where;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return mm_fail(err, MM_ERR_FORMAT, "%s", where.text);
    mm_status status = json_is_object(root) ? MM_OK : mm_fail(err, MM_ERR_FORMAT, "is not a JSON object");
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
        if (status == MM_OK)
            status = take_one(name, value, config, err);
    json_decref(root);
    return status;
}

mm_status mm_config_take_thresholds(const char *model_path, mm_config *config, bool *found, mm_error *err)
{
    mm_checkpoint *checkpoint = NULL;
    *found = false;
    mm_status status = mm_checkpoint_peek(model_path, &checkpoint, err);
    const char *json = status == MM_OK && checkpoint ? mm_checkpoint_metadata(checkpoint, metadata_key) : NULL;
    if (json) {
        status = take_all(json, config, err);
        *found = status == MM_OK;
        if (status != MM_OK)
            status = mm_error_prefix(err, "%s: metadata %s", model_path, metadata_key);
    }
    mm_checkpoint_close(checkpoint);
    return status;
}
