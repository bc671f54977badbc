/* Where things of a loop are. All of it follows from the configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/loop.h"

mm_status mm_loop_place(const mm_loop *loop, size_t k, const char *name, char path[PATH_MAX], mm_error *err)
{
    const int length = snprintf(path, PATH_MAX, "%s/round-%02zu%s%s", loop->options->out, k + 1, name ? "/" : "",
                                name ? name : "");
    return length > 0 && length < PATH_MAX
               ? MM_OK
               : mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", loop->options->out);
}

bool mm_loop_has_people(const mm_loop *loop, size_t k)
{
    return loop->config.rounds[k].stage != MM_LOOP_AUTOMATIC;
}

mm_status mm_loop_model(const mm_loop *loop, size_t k, bool after, char path[PATH_MAX], mm_error *err)
{
    for (size_t i = after ? k + 1 : k; i-- > 0;)
        if (loop->config.rounds[i].train_decoder)
            return mm_loop_place(loop, i, "model.safetensors", path, err);
    (void)snprintf(path, PATH_MAX, "%s", loop->config.model_path);
    return MM_OK;
}

const char *mm_loop_model_config(const mm_loop *loop, const char *model)
{
    return strcmp(model, loop->config.model_path) == 0 ? loop->config.model_config : NULL;
}

mm_status mm_loop_head(const mm_loop *loop, size_t k, bool after, char path[PATH_MAX], mm_error *err)
{
    const mm_loop_round *rounds = loop->config.rounds;
    for (size_t i = k + 1; i-- > 0;)
        if (rounds[i].train_detector != MM_LOOP_NEVER && (after || i < k || rounds[i].train_detector == MM_LOOP_BEFORE))
            return mm_loop_place(loop, i, "detector.safetensors", path, err);
    (void)snprintf(path, PATH_MAX, "%s", loop->config.head_path);
    return MM_OK;
}

mm_status mm_loop_version(const mm_loop *loop, size_t k, char path[PATH_MAX], mm_error *err)
{
    return mm_loop_place(loop, k, mm_loop_has_people(loop, k) ? "dataset" : "run", path, err);
}

mm_status mm_loop_sources_of(const mm_loop *loop, size_t from, size_t to, mm_loop_sources *sources, mm_error *err)
{
    const mm_loop_list *replay = &loop->config.replay;
    char path[PATH_MAX];
    mm_status status = MM_OK;
    *sources = (mm_loop_sources){.items = calloc(to - from + replay->count + 1, sizeof *sources->items)};
    if (!sources->items)
        return mm_fail_memory(err, "the list of datasets");
    for (size_t i = 0; status == MM_OK && i < to - from + replay->count; i++) {
        if (i < to - from)
            status = mm_loop_version(loop, from + i, path, err);
        if (status == MM_OK)
            sources->items[i] = strdup(i < to - from ? path : replay->items[i - (to - from)]);
        if (status == MM_OK && !sources->items[i])
            status = mm_fail_memory(err, "the list of datasets");
        sources->count += status == MM_OK;
    }
    return status;
}

void mm_loop_sources_free(mm_loop_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++)
        free(sources->items[i]);
    free(sources->items);
    *sources = (mm_loop_sources){0};
}
