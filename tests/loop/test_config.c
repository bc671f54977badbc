/* The configuration of a loop: defaults, rounds that change them, and what is refused, with line and key. */
#include "check_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "loop/config.h"
#include "maskmill/checkpoint.h"

static char folder[] = "/tmp/test_loop_XXXXXX";
static char file[sizeof folder + 16];

static void make_folder(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(file, sizeof file, "%s/loop.yaml", folder);
}

static void remove_folder(void)
{
    (void)unlink(file);
    (void)rmdir(folder);
}

static mm_status load(const char *text, mm_loop_config *config, mm_error *err)
{
    ck_assert(mm_file_commit(file, text, strlen(text), NULL) == MM_OK);
    return mm_loop_config_load(file, config, err);
}

/* The folder of the file itself is corpus enough: what is in it does not matter before a run. */
#define HEAD "model: " MM_TEST_DATA "/golden/tiny.pth\nmodel_config: " MM_TEST_DATA "/golden/tiny.config.json\n"
#define CORPORA "corpora: {here: .}\n"

START_TEST(what_is_left_out_has_its_default)
{
    mm_loop_config config;
    mm_error err = {0};
    ck_assert_msg(load(HEAD CORPORA "rounds:\n  - {stage: assisted, corpus: here}\n  - {stage: automatic, corpus: here}\n",
                       &config, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(config.round_count, 2);
    ck_assert_uint_eq(config.evaluate.clicks, 5);
    const mm_loop_round *round = &config.rounds[0];
    ck_assert_uint_eq(round->stage, MM_LOOP_ASSISTED);
    ck_assert_uint_eq(round->line, 5);
    ck_assert(round->train_decoder);
    ck_assert_uint_eq(round->train_detector, MM_LOOP_NEVER);
    ck_assert_uint_eq(round->queue.batch, 200);
    ck_assert(round->queue.answered == 1.0);
    ck_assert(round->decoder.common.epochs == mm_train_decoder_defaults().common.epochs);
    ck_assert(round->detector.common.learning_rate == mm_train_detector_defaults().common.learning_rate);
    ck_assert_uint_eq(round->paths->count, 1);
    ck_assert(!config.rounds[1].train_decoder); /* people have said nothing new */
    mm_loop_config_free(&config);
}
END_TEST

START_TEST(rounds_change_what_stands_above_wherever_it_stands)
{
    mm_loop_config config;
    mm_error err = {0};
    const char *text = HEAD "rounds:\n"
                            "  - stage: assisted\n"
                            "    corpus: here\n"
                            "    train_detector: after\n"
                            "    decoder: {epochs: 9, source_weights: [0, 0.5, 2], nested: true, flip: true}\n"
                            "  - stage: semi-automatic\n"
                            "    corpus: here\n"
                            "    learn_from: round\n"
                            "    queue: {prefill: masks, images: 7}\n"
                            "    run: {set: detect.max_boxes=5, config: fast}\n"
                            "decoder: {epochs: 3, batch: 2, seed: 5}\n"
                            "detector: {flip: true, width: 16}\n"
                            "queue: {batch: 11, answered: 0.25}\n"
                            "run: {set: [amg.points_per_side=4]}\n" CORPORA;
    ck_assert_msg(load(text, &config, &err) == MM_OK, "%s", err.text);
    const mm_loop_round *a = &config.rounds[0], *b = &config.rounds[1];
    ck_assert(a->decoder.common.epochs == 9.0 && b->decoder.common.epochs == 3.0);
    ck_assert(a->decoder.nested && !b->decoder.nested && a->decoder.common.flip && !b->decoder.common.flip);
    ck_assert(a->decoder.source_weights[2] == 2.0 && b->decoder.source_weights[2] == 3.0);
    ck_assert_uint_eq(a->decoder.common.batch, 2);
    ck_assert_uint_eq(b->decoder.common.seed, 5);
    ck_assert_uint_eq(a->train_detector, MM_LOOP_AFTER);
    ck_assert(a->detector.common.flip && a->detector.width == 16);
    ck_assert_uint_eq(b->queue.prefill, MM_PREFILL_MASKS);
    ck_assert_uint_eq(b->queue.images, 7);
    ck_assert_uint_eq(b->queue.batch, 11);
    ck_assert(a->queue.answered == 0.25);
    ck_assert_uint_eq(b->learn_from, MM_LOOP_LEARN_ROUND);
    ck_assert_uint_eq(a->run.set.count, 1);
    ck_assert_uint_eq(b->run.set.count, 2);
    ck_assert_str_eq(b->run.set.items[1], "detect.max_boxes=5");
    ck_assert_str_eq(b->run.config, "fast");
    mm_loop_config_free(&config);
}
END_TEST

START_TEST(a_stage_decides_what_its_run_makes)
{
    const char *user[] = {"hints.enabled=false"};
    mm_loop_round round = {.run = {.set = {user, 1}}};
    char head_set[MM_LOOP_HEAD_SET];
    const char *sets[1 + MM_LOOP_STAGE_SETS];
    mm_config config;
    round.stage = MM_LOOP_ASSISTED;
    size_t count = mm_loop_run_sets(&round, "head", head_set, sets);
    ck_assert(mm_config_load(NULL, sets, count, &config, NULL) == MM_OK);
    ck_assert(!config.detect.enabled && config.detect.head[0] == '\0');
    ck_assert(config.amg.max_area_fraction < 1e-6 && config.amg.max_area_fraction > 0); /* no mask is that small */
    round.stage = MM_LOOP_SEMI_AUTOMATIC;
    count = mm_loop_run_sets(&round, "head", head_set, sets);
    ck_assert(mm_config_load(NULL, sets, count, &config, NULL) == MM_OK);
    ck_assert(config.detect.enabled && !config.hints.enabled);
    ck_assert_str_eq(config.detect.head, "head");
    round.stage = MM_LOOP_AUTOMATIC;
    count = mm_loop_run_sets(&round, NULL, head_set, sets);
    ck_assert(mm_config_load(NULL, sets, count, &config, NULL) == MM_OK);
    ck_assert_uint_eq(config.engine.stage, MM_ENGINE_FULLY_AUTOMATIC);
    ck_assert(!config.detect.enabled);
}
END_TEST

#define ROUND "rounds: [{stage: assisted, corpus: here}]\n"
static const struct {
    const char *text, *line, *says;
} wrong[] = {
    {"", "", "says nothing"},
    {"# nothing\n", "", "says nothing"},
    {"5\n", ":1:", "made of keys"},
    {"- a\n", ":1:", "made of keys"},
    {HEAD CORPORA, "", "has no rounds"},
    {HEAD CORPORA "rounds: []\n", "", "has no rounds"},
    {HEAD CORPORA "rounds: {stage: assisted}\n", ":4:", "rounds: is a list"},
    {HEAD CORPORA "rounds:\n  - 5\n", ":5:", "rounds[0]: is a section"},
    {HEAD CORPORA "rounds:\n  - [5]\n", ":5:", "rounds[0]: is a section"},
    {HEAD CORPORA "rounds:\n  - {corpus: here}\n", ":5:", "rounds[0].stage: is missing"},
    {HEAD CORPORA "rounds:\n  - {stage: automatic}\n", ":5:", "rounds[0].corpus: is missing"},
    {HEAD CORPORA "rounds:\n  - {stage: [automatic], corpus: here}\n", ":5:", "a list or section: give assisted"},
    {HEAD CORPORA "rounds:\n  - {stage: automatic, corpus: there}\n", ":5:", "none of the names under corpora"},
    {HEAD CORPORA "rounds:\n  - {stage: semi-automatic, corpus: here}\n", ":5:", "needs a detector"},
    {HEAD CORPORA "rounds:\n  - {stage: automatic, corpus: here, train_detector: before}\n", ":5:", "replay"},
    {HEAD CORPORA "rounds:\n  - {stage: automatic, corpus: here, detector: {head: x}}\n", ":5:",
     "rounds[0].detector.head: is for the whole loop"},
    {HEAD CORPORA "rounds:\n  - {stage: automatic, corpus: here, queue: {answered: 2}}\n", ":5:",
     "rounds[0].queue.answered: 2"},
    {HEAD CORPORA "rounds:\n  - {stage: assisted, corpus: here, decoder: {source_weights: [0, 0, 0]}}\n", ":5:",
     "all are 0"},
    {HEAD CORPORA ROUND "decoder: {nested: 2}\n", ":5:", "decoder.nested: 2: give false or true"},
    {HEAD CORPORA ROUND "decoder: {source_weights: [1, 2]}\n", ":5:", "decoder.source_weights: give three"},
    {HEAD CORPORA ROUND "decoder: {source_weights: [1, 2, -1]}\n", ":5:", "decoder.source_weights"},
    {HEAD CORPORA ROUND "decoder: {learning-rates: 1}\n", ":5:", "decoder.learning-rates: unknown key"},
    {HEAD CORPORA ROUND "decoder: {batch: 0x10}\n", ":5:", "decoder.batch: 0x10"},
    {HEAD CORPORA ROUND "decoder: {epochs: nan}\n", ":5:", "decoder.epochs: nan"},
    {HEAD CORPORA ROUND "detector: {flip: maybe}\n", ":5:", "give false or true"},
    {HEAD CORPORA ROUND "detector: {head: nobody}\n", ":5:", "detector.head: "},
    {HEAD CORPORA ROUND "kernels: {precision: f16}\n", ":5:", "give auto, f32 or bf16"},
    {HEAD CORPORA ROUND "kernels: {cores: 3}\n", ":5:", "kernels.cores: unknown key"},
    {HEAD CORPORA ROUND "evaluate: {clicks: 99}\n", ":5:", "evaluate.clicks: 99"},
    {HEAD CORPORA ROUND "evaluate: {generate: -1}\n", ":5:", "evaluate.generate: -1"},
    {HEAD CORPORA ROUND "run: {set: [amg.points_per_side=0]}\n", ":4:", "amg.points_per_side"},
    {HEAD CORPORA ROUND "run: {config: nobody}\n", ":4:", "neither a file nor a preset"},
    {HEAD CORPORA ROUND "replay: [.]\n", ":5:", "replay: is no dataset"},
    {HEAD CORPORA ROUND "validation: {a: []}\n", ":5:", "validation.a: names nothing"},
    {HEAD CORPORA ROUND "validation: [.]\n", ":5:", "validation: is a section"},
    {HEAD CORPORA ROUND "model: x\n", ":5:", "model: stands here a second time"},
    {HEAD CORPORA ROUND "rounds: []\n", ":5:", "rounds: stands here a second time"},
    {HEAD CORPORA ROUND "? [a]\n: b\n", ":5:", "plain word"},
    {HEAD CORPORA ROUND "run: \"\"\n", ":5:", "run: is a section"},
    {HEAD CORPORA ROUND "---\nmodel: x\n", ":6:", "second document"},
    {HEAD CORPORA ROUND "a: {\n", ":", "is not YAML"},
    {HEAD CORPORA ROUND "a: \xff\n", ":", "UTF-8"},
    {HEAD "corpora: {here: /nowhere/at/all}\n" ROUND, ":3:", "corpora.here: /nowhere/at/all is not there"},
    {HEAD "corpora: {here: {a: b}}\n" ROUND, ":3:", "corpora.here: takes a text"},
    {HEAD "corpora: {here: }\n" ROUND, ":3:", "corpora.here: names nothing"},
    {"model: /nowhere/model.pth\n" CORPORA ROUND, ":1:", "model: "},
    {"model: [a]\n" CORPORA ROUND, ":1:", "model: takes a text"},
    {"model_config: nothing.json\n" CORPORA ROUND, ":1:", "model_config: "},
};

START_TEST(mistakes_have_a_line_and_a_key)
{
    char place[sizeof file + 8];
    mm_loop_config config;
    mm_error err = {0};
    ck_assert_int_eq(load(wrong[_i].text, &config, &err), MM_ERR_USAGE);
    mm_loop_config_free(&config);
    (void)snprintf(place, sizeof place, "%s%s", file, wrong[_i].line);
    ck_assert_msg(strncmp(err.text, place, strlen(place)) == 0, "no %s in: %s", place, err.text);
    ck_assert_msg(strstr(err.text, wrong[_i].says) != NULL, "no %s in: %s", wrong[_i].says, err.text);
}
END_TEST

START_TEST(a_file_that_is_none_is_wrong_usage)
{
    mm_loop_config config;
    mm_error err = {0};
    ck_assert_int_eq(mm_loop_config_load("/nowhere/loop.yaml", &config, &err), MM_ERR_USAGE);
    mm_loop_config_free(&config);
    ck_assert_int_eq(mm_loop_config_load(folder, &config, &err), MM_ERR_USAGE);
    mm_loop_config_free(&config);
}
END_TEST

/* An anchor that holds itself must not be gone through for ever. */
START_TEST(anchors_may_not_turn_in_circles)
{
    mm_loop_config config;
    mm_error err = {0};
    ck_assert_int_ne(load(HEAD "corpora: {here: &a [*a]}\n" ROUND, &config, &err), MM_OK);
    mm_loop_config_free(&config);
    ck_assert_int_ne(load(HEAD CORPORA "rounds: &a [*a]\n", &config, &err), MM_OK);
    mm_loop_config_free(&config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loop/config");
    TCase *tc = tcase_create("config");
    tcase_add_unchecked_fixture(tc, make_folder, remove_folder);
    tcase_add_test(tc, what_is_left_out_has_its_default);
    tcase_add_test(tc, rounds_change_what_stands_above_wherever_it_stands);
    tcase_add_test(tc, a_stage_decides_what_its_run_makes);
    tcase_add_loop_test(tc, mistakes_have_a_line_and_a_key, 0, (int)(sizeof wrong / sizeof wrong[0]));
    tcase_add_test(tc, a_file_that_is_none_is_wrong_usage);
    tcase_add_test(tc, anchors_may_not_turn_in_circles);
    suite_add_tcase(suite, tc);
    return mm_check_main(suite);
}
