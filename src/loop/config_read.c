/* The YAML of a loop, key by key. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "loop/config_read.h"
#include "maskmill/checkpoint.h"
#include "maskmill/shard.h"

/* --- texts and paths --- */

static mm_status take_text(loop_reading *r, const mm_yaml_key *key, const yaml_node_t *node, const char **to,
                           mm_error *err)
{
    const char *text = mm_yaml_text(node);
    if (!text || !*text)
        return mm_yaml_refuse_key(key, err, "takes a text, and here is %s", text ? "none" : "a list or section");
    if (strlen(text) >= PATH_MAX)
        return mm_yaml_refuse_key(key, err, "is too long");
    *to = mm_loop_own(r->config, text);
    return *to ? MM_OK : mm_fail_memory(err, "a configuration");
}

/* As seen from the file's own folder. */
static mm_status take_path(loop_reading *r, const mm_yaml_key *key, const yaml_node_t *node, const char **to,
                           mm_error *err)
{
    mm_status status = take_text(r, key, node, to, err);
    if (status != MM_OK || !r->folder[0])
        return status;
    char *joined = NULL;
    status = mm_path_join(r->folder, *to, &joined, err);
    if (status == MM_OK && strlen(joined) >= PATH_MAX)
        status = mm_yaml_refuse_key(key, err, "is too long, seen from %.60s", r->folder);
    *to = status == MM_OK ? mm_loop_own(r->config, joined) : NULL;
    free(joined);
    return status == MM_OK && !*to ? mm_fail_memory(err, "a configuration") : status;
}

static mm_status check_corpus(const mm_yaml_key *key, const char *path, mm_error *err)
{
    struct stat info;
    return stat(path, &info) == 0 ? MM_OK : mm_yaml_refuse_key(key, err, "%.300s is not there", path);
}

static mm_status check_dataset(const mm_yaml_key *key, const char *path, mm_error *err)
{
    mm_dataset *dataset = NULL;
    mm_error why = {0};
    const mm_status status = mm_dataset_open(path, &dataset, &why);
    mm_dataset_close(dataset);
    return status == MM_OK ? MM_OK : mm_yaml_refuse_key(key, err, "is no dataset: %.300s", why.text);
}

typedef mm_status check_path(const mm_yaml_key *key, const char *path, mm_error *err);

static mm_status take_list(loop_reading *r, const mm_yaml_key *key, check_path *check, mm_loop_list *list,
                           mm_error *err)
{
    const size_t count = mm_yaml_items(key->value);
    mm_status status = MM_OK;
    const char **more = reallocarray(list->items, list->count + count + 1, sizeof *more);
    if (!more)
        return mm_fail_memory(err, "a configuration");
    list->items = more;
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        const yaml_node_t *item = mm_yaml_item(r->yaml, key->value, i);
        const char **to = &list->items[list->count];
        status = check ? take_path(r, key, item, to, err) : take_text(r, key, item, to, err);
        if (status == MM_OK && check)
            status = check(key, *to, err);
        list->count += status == MM_OK;
    }
    return status;
}

/* A name with its paths. */
static mm_status take_named(loop_reading *r, const mm_yaml_key *key, check_path *check, mm_loop_named **list,
                            size_t *count, mm_error *err)
{
    mm_loop_named *more = reallocarray(*list, *count + 1, sizeof *more);
    if (!more)
        return mm_fail_memory(err, "a configuration");
    *list = more;
    mm_loop_named *named = &more[*count];
    *named = (mm_loop_named){.name = mm_loop_own(r->config, key->name)};
    if (!named->name)
        return mm_fail_memory(err, "a configuration");
    ++*count; /* from now on it is freed with the others */
    const mm_status status = take_list(r, key, check, &named->paths, err);
    return status == MM_OK && named->paths.count == 0 ? mm_yaml_refuse_key(key, err, "names nothing") : status;
}

static mm_status take_corpus(void *user, const mm_yaml_key *key, mm_error *err)
{
    loop_reading *r = user;
    return take_named(r, key, check_corpus, &r->config->corpora, &r->config->corpus_count, err);
}

static mm_status take_validation(void *user, const mm_yaml_key *key, mm_error *err)
{
    loop_reading *r = user;
    return take_named(r, key, check_dataset, &r->config->validation, &r->config->validation_count, err);
}

/* --- sections of single values --- */

static mm_status take_kernels(void *user, const mm_yaml_key *key, mm_error *err)
{
    mm_kernels *kernels = &((loop_reading *)user)->config->kernels;
    uint32_t choice = 0;
    mm_status status = MM_OK;
    if (strcmp(key->name, "threads") == 0)
        return mm_yaml_u32(key, 1, 1024, &kernels->threads, err);
    if (strcmp(key->name, "precision") == 0) {
        status = mm_yaml_choice(key, mm_precision_names, MM_PRECISIONS, &choice, err);
        kernels->precision = (mm_precision)choice;
    } else if (strcmp(key->name, "backend") == 0) {
        status = mm_yaml_choice(key, mm_backend_names, MM_BACKENDS, &choice, err);
        kernels->backend = (mm_backend)choice;
    } else {
        status = mm_yaml_refuse_key(key, err, "unknown key; there are threads, precision and backend");
    }
    return status;
}

static mm_status take_evaluate(void *user, const mm_yaml_key *key, mm_error *err)
{
    mm_loop_config *config = ((loop_reading *)user)->config;
    if (strcmp(key->name, "clicks") == 0)
        return mm_yaml_u32(key, 1, MM_EVALUATE_CLICKS, &config->evaluate.clicks, err);
    if (strcmp(key->name, "masks") == 0)
        return mm_yaml_u32(key, 1, 4096, &config->evaluate.masks, err);
    if (strcmp(key->name, "generate") == 0)
        return mm_yaml_u32(key, 0, 1000000, &config->evaluate.generate, err);
    return mm_yaml_refuse_key(key, err, "unknown key; there are clicks, masks and generate");
}

mm_status mm_loop_take_run(void *user, const mm_yaml_key *key, mm_error *err)
{
    loop_section *s = user;
    if (strcmp(key->name, "set") == 0)
        return take_list(s->reading, key, NULL, &s->round->run.set, err);
    if (strcmp(key->name, "config") != 0)
        return mm_yaml_refuse_key(key, err, "unknown key; there are config and set");
    const char *path = NULL;
    mm_status status = take_path(s->reading, key, key->value, &path, err);
    if (status == MM_OK && mm_file_exists(path))
        s->round->run.config = path;
    else if (status == MM_OK) /* a preset's name */
        status = take_text(s->reading, key, key->value, &s->round->run.config, err);
    return status;
}

/* --- the whole --- */

static mm_status take_section(loop_reading *r, const mm_yaml_key *key, mm_yaml_take *take, mm_error *err)
{
    char where[80];
    (void)snprintf(where, sizeof where, "%.70s.", key->name);
    return mm_yaml_each(r->yaml, key->value, where, take, r, err);
}

static mm_status take_top(void *user, const mm_yaml_key *key, mm_error *err)
{
    loop_reading *r = user;
    mm_loop_config *config = r->config;
    bool taken = false;
    if (strcmp(key->name, "model") == 0) {
        r->model = *key;
        return take_text(r, key, key->value, &config->model, err);
    }
    if (strcmp(key->name, "model_config") == 0) {
        const mm_status status = take_path(r, key, key->value, &config->model_config, err);
        return status == MM_OK ? check_corpus(key, config->model_config, err) : status;
    }
    if (strcmp(key->name, "kernels") == 0)
        return take_section(r, key, take_kernels, err);
    if (strcmp(key->name, "evaluate") == 0)
        return take_section(r, key, take_evaluate, err);
    if (strcmp(key->name, "corpora") == 0)
        return take_section(r, key, take_corpus, err);
    if (strcmp(key->name, "validation") == 0)
        return take_section(r, key, take_validation, err);
    if (strcmp(key->name, "replay") == 0)
        return take_list(r, key, check_dataset, &config->replay, err);
    if (strcmp(key->name, "rounds") == 0) { /* read in the end, when all that they stand on is known */
        r->rounds = *key;
        return MM_OK;
    }
    const mm_status status = mm_loop_take_shared(&(loop_section){r, &r->defaults, true}, key, &taken, err);
    if (status != MM_OK || taken)
        return status;
    return mm_yaml_refuse_key(key, err, "unknown key; there are model, model_config, kernels, corpora, replay, "
                                        "validation, evaluate, run, queue, decoder, detector and rounds");
}

/* Where the model and the first detector are. */
static mm_status find_model(loop_reading *r, mm_error *err)
{
    mm_loop_config *config = r->config;
    const char *beside = NULL;
    mm_error why = {0};
    config->model = config->model ? config->model : "default";
    mm_status status = r->model.node ? take_path(r, &r->model, r->model.value, &beside, err) : MM_OK;
    if (status != MM_OK)
        return status;
    if (mm_checkpoint_locate(beside && mm_file_exists(beside) ? beside : config->model, config->model_path,
                             sizeof config->model_path, &why) != MM_OK)
        return r->model.node ? mm_yaml_refuse_key(&r->model, err, "%.300s", why.text)
                             : mm_fail(err, MM_ERR_USAGE, "%s: %.300s", r->yaml->file, why.text);
    if (!r->head.node) { /* that of the model, if it has one */
        if (mm_detector_locate(NULL, config->model_path, config->head_path, sizeof config->head_path, NULL) != MM_OK)
            config->head_path[0] = '\0';
        return MM_OK;
    }
    status = take_path(r, &r->head, r->head.value, &beside, err);
    if (status == MM_OK)
        status = take_text(r, &r->head, r->head.value, &config->head, err);
    if (status == MM_OK && mm_detector_locate(mm_file_exists(beside) ? beside : config->head, config->model_path,
                                              config->head_path, sizeof config->head_path, &why) != MM_OK)
        status = mm_yaml_refuse_key(&r->head, err, "%.300s", why.text);
    return status;
}

static mm_status read_all(loop_reading *r, yaml_node_t *root, mm_error *err)
{
    if (!root || mm_yaml_is_empty(root))
        return mm_fail(err, MM_ERR_USAGE, "%s: says nothing; a loop needs corpora and rounds", r->yaml->file);
    if (root->type != YAML_MAPPING_NODE)
        return mm_yaml_refuse(r->yaml, root, err, "a config is made of keys (model, corpora, rounds, ...)");
    mm_status status = mm_yaml_each(r->yaml, root, "", take_top, r, err);
    if (status == MM_OK)
        status = find_model(r, err);
    if (status == MM_OK && r->rounds.node)
        status = mm_loop_take_rounds(r, err);
    return status == MM_OK ? mm_loop_config_check(r->yaml->file, r->config, err) : status;
}

mm_status mm_loop_config_load(const char *path, mm_loop_config *config, mm_error *err)
{
    mm_yaml yaml;
    yaml_node_t *root;
    char folder[PATH_MAX] = "";
    const char *slash = strrchr(path, '/');
    *config = (mm_loop_config){.evaluate = {.clicks = 5, .masks = 64}, .kernels = {.threads = 1}};
    if (!mm_file_exists(path) || strlen(path) >= sizeof folder)
        return mm_fail(err, MM_ERR_USAGE, "%.400s: is no file; give the YAML file of a loop", path);
    if (slash)
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash == path ? 1 : slash - path), path);
    loop_reading r = {.yaml = &yaml, .config = config, .folder = folder};
    r.defaults = (mm_loop_round){.train_decoder = true,
                                 .queue = {.batch = 200, .answered = 1},
                                 .decoder = mm_train_decoder_defaults(),
                                 .detector = mm_train_detector_defaults()};
    mm_status status = mm_yaml_open(path, &yaml, &root, err);
    if (status == MM_OK)
        status = read_all(&r, root, err);
    mm_yaml_close(&yaml);
    free(r.defaults.run.set.items);
    return status;
}
