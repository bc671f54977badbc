/* The YAML of a loop: its rounds, and the sections that stand for all of them or in one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/config_read.h"

enum { MOST_ROUNDS = 1000 };

/* --- sections --- */

static mm_status take_queue(void *user, const mm_yaml_key *key, mm_error *err)
{
    mm_loop_round *round = ((loop_section *)user)->round;
    const char *const prefills[] = {mm_prefill_name(MM_PREFILL_CONFIDENT), mm_prefill_name(MM_PREFILL_MASKS),
                                    mm_prefill_name(MM_PREFILL_NOTHING)};
    if (strcmp(key->name, "images") == 0)
        return mm_yaml_u32(key, 0, UINT32_MAX, &round->queue.images, err);
    if (strcmp(key->name, "batch") == 0)
        return mm_yaml_u32(key, 1, 1000000, &round->queue.batch, err);
    if (strcmp(key->name, "prefill") == 0)
        return mm_yaml_choice(key, prefills, 3, &round->queue.prefill, err);
    if (strcmp(key->name, "answered") == 0)
        return mm_yaml_number(key, 0, 1, false, &round->queue.answered, err);
    if (strcmp(key->name, "keep_automatic") == 0)
        return mm_yaml_switch(key, &round->queue.keep_automatic, err);
    if (strcmp(key->name, "skip_unchanged") == 0)
        return mm_yaml_switch(key, &round->queue.skip_unchanged, err);
    return mm_yaml_refuse_key(key, err, "unknown key; there are images, batch, prefill, answered, keep_automatic and "
                                        "skip_unchanged");
}

/* "learning_rate" is "learning-rate". */
static bool is_called(const char *key, const char *option)
{
    for (; *key && *option; key++, option++)
        if (*key != *option && !(*key == '_' && *option == '-'))
            return false;
    return *key == *option;
}

static mm_status take_number(const mm_yaml_key *key, const mm_train_number *numbers, void *options, bool *taken,
                             mm_error *err)
{
    double value;
    for (; numbers->name && !is_called(key->name, numbers->name); numbers++)
        ;
    *taken = numbers->name != NULL;
    if (!*taken)
        return MM_OK;
    const mm_status status =
        mm_yaml_number(key, numbers->least, numbers->most, numbers->kind != MM_NUMBER_REAL, &value, err);
    return status == MM_OK ? mm_train_number_set(numbers, options, value, err) : status;
}

static mm_status take_weights(loop_reading *r, const mm_yaml_key *key, double weights[3], mm_error *err)
{
    mm_status status = MM_OK;
    if (mm_yaml_items(key->value) != 3)
        return mm_yaml_refuse_key(key, err, "give three numbers: [automatic, confident, human]");
    for (size_t i = 0; status == MM_OK && i < 3; i++) {
        mm_yaml_key item = *key;
        item.value = mm_yaml_item(r->yaml, key->value, i);
        status = mm_yaml_number(&item, 0, 1e6, false, &weights[i], err);
    }
    return status;
}

static mm_status take_decoder(void *user, const mm_yaml_key *key, mm_error *err)
{
    loop_section *s = user;
    bool taken;
    if (strcmp(key->name, "source_weights") == 0)
        return take_weights(s->reading, key, s->round->decoder.source_weights, err);
    if (strcmp(key->name, "nested") == 0)
        return mm_yaml_switch(key, &s->round->decoder.nested, err);
    if (strcmp(key->name, "flip") == 0)
        return mm_yaml_switch(key, &s->round->decoder.common.flip, err);
    const mm_status status = take_number(key, mm_train_decoder_numbers(), &s->round->decoder, &taken, err);
    if (status != MM_OK || taken)
        return status;
    return mm_yaml_refuse_key(key, err, "unknown key; there are source_weights, nested, flip and the numbers of "
                                        "`maskmill train decoder --help`, as in learning_rate");
}

static mm_status take_detector(void *user, const mm_yaml_key *key, mm_error *err)
{
    loop_section *s = user;
    bool taken;
    if (strcmp(key->name, "head") == 0 && s->top) {
        s->reading->head = *key;
        return MM_OK;
    }
    if (strcmp(key->name, "head") == 0)
        return mm_yaml_refuse_key(key, err, "is for the whole loop; rounds go on with it, or train another");
    if (strcmp(key->name, "flip") == 0)
        return mm_yaml_switch(key, &s->round->detector.common.flip, err);
    const mm_status status = take_number(key, mm_train_detector_numbers(), &s->round->detector, &taken, err);
    if (status != MM_OK || taken)
        return status;
    return mm_yaml_refuse_key(key, err, "unknown key; there are head, flip and the numbers of `maskmill train detector "
                                        "--help`, as in learning_rate");
}

mm_status mm_loop_take_shared(loop_section *section, const mm_yaml_key *key, bool *taken, mm_error *err)
{
    static const struct {
        const char *name, *where;
        mm_yaml_take *take;
    } sections[] = {{"run", "run.", mm_loop_take_run},
                    {"queue", "queue.", take_queue},
                    {"decoder", "decoder.", take_decoder},
                    {"detector", "detector.", take_detector}};
    *taken = true;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (strcmp(key->name, sections[i].name) == 0) {
            char where[120]; /* rounds[0].queue. */
            (void)snprintf(where, sizeof where, "%.40s%s", key->where, sections[i].where);
            /* head's own place in the file is remembered, but not this text */
            return mm_yaml_each(section->reading->yaml, key->value, section->top ? sections[i].where : where,
                                sections[i].take, section, err);
        }
    *taken = false;
    return MM_OK;
}

/* --- rounds --- */

typedef struct round_reading {
    loop_section section;
    bool has_stage, has_train;
} round_reading;

static mm_status take_corpus_name(loop_section *s, const mm_yaml_key *key, mm_error *err)
{
    const mm_loop_config *config = s->reading->config;
    const char *name = mm_yaml_text(key->value);
    for (size_t i = 0; name && i < config->corpus_count; i++)
        if (strcmp(name, config->corpora[i].name) == 0) {
            s->round->corpus = config->corpora[i].name;
            s->round->paths = &config->corpora[i].paths;
            return MM_OK;
        }
    return mm_yaml_refuse_key(key, err, "%.60s: is none of the names under corpora", name ? name : "a list or section");
}

static mm_status take_round_key(void *user, const mm_yaml_key *key, mm_error *err)
{
    static const char *const whens[] = {"never", "before", "after"}, *const learns[] = {"all", "round"};
    round_reading *reading = user;
    mm_loop_round *round = reading->section.round;
    const char *const stages[] = {mm_loop_stage_name(0), mm_loop_stage_name(1), mm_loop_stage_name(2)};
    bool taken = false;
    if (strcmp(key->name, "stage") == 0) {
        reading->has_stage = true;
        return mm_yaml_choice(key, stages, 3, &round->stage, err);
    }
    if (strcmp(key->name, "corpus") == 0)
        return take_corpus_name(&reading->section, key, err);
    if (strcmp(key->name, "train_decoder") == 0) {
        reading->has_train = true;
        return mm_yaml_switch(key, &round->train_decoder, err);
    }
    if (strcmp(key->name, "train_detector") == 0)
        return mm_yaml_choice(key, whens, 3, &round->train_detector, err);
    if (strcmp(key->name, "learn_from") == 0)
        return mm_yaml_choice(key, learns, 2, &round->learn_from, err);
    const mm_status status = mm_loop_take_shared(&reading->section, key, &taken, err);
    if (status != MM_OK || taken)
        return status;
    return mm_yaml_refuse_key(key, err, "unknown key; there are stage, corpus, train_decoder, train_detector, "
                                        "learn_from, run, queue, decoder and detector");
}

/* Its list of settings is its own, with those of the whole in front. */
static mm_status begin_round(const loop_reading *r, const yaml_node_t *node, mm_loop_round *round, mm_error *err)
{
    const mm_loop_list *set = &r->defaults.run.set;
    *round = r->defaults;
    round->line = node->start_mark.line + 1;
    round->run.set.items = calloc(set->count + 1, sizeof *round->run.set.items);
    if (!round->run.set.items)
        return mm_fail_memory(err, "a configuration");
    for (size_t i = 0; i < set->count; i++)
        round->run.set.items[i] = set->items[i];
    return MM_OK;
}

static mm_status take_round(loop_reading *r, yaml_node_t *node, size_t k, mm_error *err)
{
    char where[40];
    mm_loop_round *round = &r->config->rounds[k];
    round_reading reading = {.section = {r, round, false}};
    (void)snprintf(where, sizeof where, "rounds[%zu].", k);
    mm_status status = begin_round(r, node, round, err);
    r->config->round_count = status == MM_OK ? k + 1 : k; /* so far they are to be freed */
    if (status == MM_OK)
        status = mm_yaml_each(r->yaml, node, where, take_round_key, &reading, err);
    if (status != MM_OK)
        return status;
    if (!reading.has_stage)
        return mm_yaml_refuse(r->yaml, node, err, "%sstage: is missing: assisted, semi-automatic or automatic", where);
    if (!round->corpus)
        return mm_yaml_refuse(r->yaml, node, err, "%scorpus: is missing: a name from corpora", where);
    if (!reading.has_train)
        round->train_decoder = round->stage != MM_LOOP_AUTOMATIC;
    return MM_OK;
}

mm_status mm_loop_take_rounds(loop_reading *r, mm_error *err)
{
    yaml_node_t *list = r->rounds.value;
    if (list->type != YAML_SEQUENCE_NODE && !mm_yaml_is_empty(list))
        return mm_yaml_refuse_key(&r->rounds, err, "is a list; begin each round with \"- stage:\"");
    const size_t count = mm_yaml_items(list);
    if (count > MOST_ROUNDS)
        return mm_yaml_refuse_key(&r->rounds, err, "has %zu rounds; there may be %d", count, (int)MOST_ROUNDS);
    r->config->rounds = calloc(count + 1, sizeof *r->config->rounds);
    if (!r->config->rounds)
        return mm_fail_memory(err, "a configuration");
    mm_status status = MM_OK;
    for (size_t k = 0; status == MM_OK && k < count; k++)
        status = take_round(r, mm_yaml_item(r->yaml, list, k), k, err);
    return status;
}
