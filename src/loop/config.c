/* The configuration as a whole: what it owns, what no single key can say, what a round's run is asked for. */
#include "loop/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mm_loop_stage_name(uint32_t stage)
{
    static const char *const names[] = {"assisted", "semi-automatic", "automatic"};
    return names[stage];
}

const char *mm_loop_own(mm_loop_config *config, const char *text)
{
    char **more = reallocarray(config->owned, config->owned_count + 1, sizeof *more);
    if (!more)
        return NULL;
    config->owned = more;
    more[config->owned_count] = strdup(text);
    return more[config->owned_count] ? more[config->owned_count++] : NULL;
}

static void free_named(mm_loop_named *named, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(named[i].paths.items);
    free(named);
}

void mm_loop_config_free(mm_loop_config *config)
{
    free_named(config->corpora, config->corpus_count);
    free_named(config->validation, config->validation_count);
    for (size_t i = 0; i < config->round_count; i++)
        free(config->rounds[i].run.set.items);
    for (size_t i = 0; i < config->owned_count; i++)
        free(config->owned[i]);
    free(config->owned);
    free(config->rounds);
    free(config->replay.items);
    *config = (mm_loop_config){0};
}

size_t mm_loop_run_sets(const mm_loop_round *round, const char *head, char head_set[MM_LOOP_HEAD_SET],
                        const char **sets)
{
    /* People draw everything: no mask passes, so that what the dataset holds are the images. */
    static const char *const blank[] = {"amg.points_per_side=1", "amg.crop_n_layers=0", "amg.pred_iou_thresh=1",
                                        "amg.max_area_fraction=1e-9", "hints.enabled=false", "detect.enabled=false"};
    enum { BLANKS = sizeof blank / sizeof blank[0] };
    _Static_assert((int)BLANKS <= (int)MM_LOOP_STAGE_SETS && 3 <= (int)MM_LOOP_STAGE_SETS, "there is room for them");
    size_t count = 0;
    if (round->stage == MM_LOOP_SEMI_AUTOMATIC)
        sets[count++] = "hints.enabled=true"; /* what the user says comes later, and may switch them off */
    for (size_t i = 0; i < round->run.set.count; i++)
        sets[count++] = round->run.set.items[i];
    for (size_t i = 0; round->stage == MM_LOOP_ASSISTED && i < BLANKS; i++)
        sets[count++] = blank[i];
    if (round->stage == MM_LOOP_SEMI_AUTOMATIC)
        sets[count++] = "detect.enabled=true";
    if (round->stage == MM_LOOP_AUTOMATIC)
        sets[count++] = "engine.stage=fully-automatic";
    if (head && round->stage != MM_LOOP_ASSISTED) {
        (void)snprintf(head_set, MM_LOOP_HEAD_SET, "detect.head=%s", head); /* a path is shorter */
        sets[count++] = head_set;
    }
    return count;
}

static mm_status check_run(const mm_loop_config *config, const mm_loop_round *round, mm_error *err)
{
    char path[PATH_MAX], head_set[MM_LOOP_HEAD_SET];
    mm_config run;
    const char **sets = calloc(round->run.set.count + MM_LOOP_STAGE_SETS, sizeof *sets);
    mm_status status = sets ? MM_OK : mm_fail_memory(err, "a configuration");
    if (status == MM_OK && round->run.config)
        status = mm_config_locate(round->run.config, path, sizeof path, err);
    if (status == MM_OK) {
        const size_t count = mm_loop_run_sets(round, NULL, head_set, sets);
        status = mm_config_load_for(config->model_path, round->run.config ? path : NULL, sets, count, &run, NULL, err);
    }
    free(sets);
    return status;
}

static mm_status check_round(const mm_loop_config *config, size_t k, bool *has_detector, mm_error *err)
{
    const mm_loop_round *round = &config->rounds[k];
    const double *weights = round->decoder.source_weights;
    if (round->train_detector == MM_LOOP_BEFORE && k == 0 && config->replay.count == 0)
        return mm_fail(err, MM_ERR_USAGE, "train_detector: before the first round there is nothing to train on but "
                                          "replay, which is empty");
    *has_detector = *has_detector || round->train_detector == MM_LOOP_BEFORE;
    if (round->stage == MM_LOOP_SEMI_AUTOMATIC && !*has_detector)
        return mm_fail(err, MM_ERR_USAGE, "stage: semi-automatic needs a detector: name one (detector.head), or train "
                                          "one (train_detector: before, or after in an earlier round)");
    *has_detector = *has_detector || round->train_detector == MM_LOOP_AFTER;
    if (round->train_decoder && !(weights[0] + weights[1] + weights[2] > 0))
        return mm_fail(err, MM_ERR_USAGE, "decoder.source_weights: all are 0, so that no mask would be trained on");
    return check_run(config, round, err);
}

mm_status mm_loop_config_check(const char *file, mm_loop_config *config, mm_error *err)
{
    bool has_detector = config->head_path[0] != '\0';
    if (config->round_count == 0)
        return mm_fail(err, MM_ERR_USAGE, "%s: has no rounds; list them under `rounds:`", file);
    for (size_t k = 0; k < config->round_count; k++) {
        const mm_status status = check_round(config, k, &has_detector, err);
        if (status != MM_OK)
            return mm_error_prefix(err, "%s:%zu: rounds[%zu]", file, config->rounds[k].line, k);
    }
    return MM_OK;
}
