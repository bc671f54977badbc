/* What a loop remembers, and where it finds things. */
#include "check_main.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "loop/loop.h"

static char folder[] = "/tmp/test_loop_XXXXXX";
static char file[sizeof folder + 16], out[sizeof folder + 16], state_file[sizeof folder + 32];
static mm_loop_options options;
static mm_loop_summary summary;

#define HEAD "model: " MM_TEST_DATA "/golden/tiny.pth\nmodel_config: " MM_TEST_DATA "/golden/tiny.config.json\n" \
             "corpora: {here: .}\n"
#define ROUNDS \
    "rounds:\n" \
    "  - {stage: assisted, corpus: here, train_detector: after, decoder: {epochs: 0.3333333333}}\n" \
    "  - {stage: semi-automatic, corpus: here, train_detector: before}\n" \
    "  - {stage: automatic, corpus: here}\n"

static void make_folder(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(file, sizeof file, "%s/loop.yaml", folder);
    (void)snprintf(out, sizeof out, "%s/loop", folder);
    (void)snprintf(state_file, sizeof state_file, "%s/engine.json", out);
}

static void remove_folder(void)
{
    char path[sizeof out + 16];
    (void)unlink(state_file);
    for (int k = 1; k < 4; k++) {
        (void)snprintf(path, sizeof path, "%s/round-%02d", out, k);
        (void)rmdir(path);
    }
    (void)rmdir(out);
    (void)unlink(file);
    (void)rmdir(folder);
}

/* A loop with this configuration, its state open; the status of that. */
static mm_status open_loop(const char *text, bool resume, mm_loop *loop, mm_error *err)
{
    ck_assert(mm_file_commit(file, text, strlen(text), NULL) == MM_OK);
    options = (mm_loop_options){.config = file, .out = out, .resume = resume, .quiet = true};
    *loop = (mm_loop){.options = &options, .first = true, .summary = &summary};
    ck_assert_msg(mm_loop_config_load(file, &loop->config, err) == MM_OK, "%s", err->text);
    return mm_loop_state_open(loop, err);
}

static void close_loop(mm_loop *loop)
{
    mm_lock_release(loop->lock);
    json_decref(loop->state);
    mm_loop_config_free(&loop->config);
}

static bool is_done(mm_loop *loop, size_t k, const char *step)
{
    bool done = false;
    ck_assert(mm_loop_is_done(loop, k, step, &done, NULL) == MM_OK);
    return done;
}

START_TEST(steps_are_remembered)
{
    mm_loop loop;
    mm_error err = {0};
    ck_assert_msg(open_loop(HEAD ROUNDS, false, &loop, &err) == MM_OK, "%s", err.text);
    ck_assert(!is_done(&loop, MM_LOOP_BASELINE, "figures"));
    ck_assert(mm_loop_begin_round(&loop, 0, &err) == MM_OK);
    ck_assert(!is_done(&loop, 0, "run"));
    ck_assert(mm_loop_finish(&loop, 0, "run", json_pack("{s:i}", "set_aside", 3), &err) == MM_OK);
    ck_assert(mm_loop_finish(&loop, MM_LOOP_BASELINE, "figures", json_object(), &err) == MM_OK);
    ck_assert_int_eq(mm_loop_finish(&loop, 0, "queue", NULL, &err), MM_ERR_NOMEM);
    ck_assert(mm_loop_set_status(&loop, 0, "waits for answers", &err) == MM_OK);
    close_loop(&loop);

    ck_assert_int_eq(open_loop(HEAD ROUNDS, false, &loop, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "--resume"));
    close_loop(&loop);

    ck_assert_msg(open_loop(HEAD ROUNDS, true, &loop, &err) == MM_OK, "%s", err.text);
    ck_assert(is_done(&loop, 0, "run") && !is_done(&loop, 0, "queue") && is_done(&loop, MM_LOOP_BASELINE, "figures"));
    const json_t *round = json_array_get(json_object_get(loop.state, "rounds"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(round, "set_aside")), 3);
    ck_assert_str_eq(json_string_value(json_object_get(round, "status")), "waits for answers");
    ck_assert(mm_loop_begin_round(&loop, 0, &err) == MM_OK); /* again changes nothing */
    ck_assert_uint_eq(json_array_size(json_object_get(loop.state, "rounds")), 1);
    close_loop(&loop);
}
END_TEST

static const struct {
    const char *text, *says; /* NULL: it is gone on with */
} changes[] = {
    {HEAD ROUNDS "decoder: {save_seconds: 5}\nqueue: {answered: 0.5}\nkernels: {threads: 2}\n", NULL},
    {HEAD ROUNDS "  - {stage: automatic, corpus: here}\n", NULL},
    {HEAD "rounds:\n  - {stage: assisted, corpus: here, train_detector: after, decoder: {epochs: 0.3333333333}}\n"
          "  - {stage: automatic, corpus: here}\n", NULL}, /* what is not begun */
    {HEAD ROUNDS "decoder: {seed: 1}\n", "another seed"},
    {HEAD ROUNDS "queue: {images: 1}\n", "another images"},
    {HEAD ROUNDS "detector: {flip: true}\n", "another flip"},
    {HEAD ROUNDS "run: {set: [amg.points_per_side=3]}\n", "another run.set"},
    {HEAD "rounds:\n  - {stage: automatic, corpus: here}\n", "another stage"},
};

START_TEST(a_round_that_is_begun_stays_what_it_is)
{
    mm_loop loop;
    mm_error err = {0};
    ck_assert(open_loop(HEAD ROUNDS, true, &loop, &err) == MM_OK);
    ck_assert(mm_loop_begin_round(&loop, 0, &err) == MM_OK);
    close_loop(&loop);
    const mm_status status = open_loop(changes[_i].text, true, &loop, &err);
    ck_assert_int_eq(status, changes[_i].says ? MM_ERR_USAGE : MM_OK);
    ck_assert_msg(!changes[_i].says || strstr(err.text, changes[_i].says), "%s", err.text);
    close_loop(&loop);
}
END_TEST

static const char *const damaged[] = {
    "", "[]", "{}", "{\"loop_format\": 1}", "{\"loop_format\": 1, \"model\": {\"sha256\": \"\"}, \"done\": [], \"rounds\": [5]}",
    "{\"loop_format\": 1, \"model\": {\"sha256\": 5}, \"done\": [], \"rounds\": []}",
    "{\"loop_format\": 1, \"model\": {\"sha256\": \"\"}, \"done\": [], \"rounds\": [{\"done\": []}]}",
    "{\"format\": 1, \"parent\": null, \"rounds\": []}", /* a dataset's */
};

START_TEST(a_damaged_state_is_refused)
{
    mm_loop loop;
    mm_error err = {0};
    ck_assert(mkdir(out, 0777) == 0);
    ck_assert(mm_file_commit(state_file, damaged[_i], strlen(damaged[_i]), NULL) == MM_OK);
    ck_assert_int_eq(open_loop(HEAD ROUNDS, true, &loop, &err), MM_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "engine.json"));
    close_loop(&loop);
}
END_TEST

START_TEST(other_models_and_formats_are_refused)
{
    static const char other[] = "{\"loop_format\": 1, \"model\": {\"sha256\": \"00\"}, \"done\": [], \"rounds\": []}";
    static const char later[] = "{\"loop_format\": 2, \"model\": {\"sha256\": \"00\"}, \"done\": [], \"rounds\": []}";
    mm_loop loop;
    mm_error err = {0};
    ck_assert(mkdir(out, 0777) == 0);
    ck_assert(mm_file_commit(state_file, other, strlen(other), NULL) == MM_OK);
    ck_assert_int_eq(open_loop(HEAD ROUNDS, true, &loop, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "another model"));
    close_loop(&loop);
    ck_assert(mm_file_commit(state_file, later, strlen(later), NULL) == MM_OK);
    ck_assert_int_eq(open_loop(HEAD ROUNDS, true, &loop, &err), MM_ERR_UNSUPPORTED);
    close_loop(&loop);
}
END_TEST

START_TEST(anybodys_files_are_left_alone)
{
    char path[sizeof out + 16];
    mm_loop loop;
    mm_error err = {0};
    ck_assert(mkdir(out, 0777) == 0);
    (void)snprintf(path, sizeof path, "%s/letter.txt", out);
    ck_assert(mm_file_commit(path, "dear", 4, NULL) == MM_OK);
    ck_assert_int_eq(open_loop(HEAD ROUNDS, true, &loop, &err), MM_ERR_USAGE);
    ck_assert(!mm_file_exists(state_file));
    close_loop(&loop);
    ck_assert(unlink(path) == 0);
}
END_TEST

static void ends_with(const char *path, const char *end)
{
    ck_assert_msg(strlen(path) >= strlen(end) && strcmp(path + strlen(path) - strlen(end), end) == 0, "%s: not %s", path,
                  end);
}

/* Round 1 trains both, a detector after; round 2 trains both, a detector before; round 3 trains nothing. */
START_TEST(each_round_takes_what_the_last_one_made)
{
    static const char *const before[] = {"tiny.pth", "round-01/model.safetensors", "round-02/model.safetensors"};
    static const char *const after[] = {"round-01/model.safetensors", "round-02/model.safetensors",
                                        "round-02/model.safetensors"};
    static const char *const heads[] = {"", "round-02/detector.safetensors", "round-02/detector.safetensors"};
    static const char *const versions[] = {"round-01/dataset", "round-02/dataset", "round-03/run"};
    char path[PATH_MAX];
    mm_loop loop;
    mm_error err = {0};
    mm_loop_sources sources;
    ck_assert(open_loop(HEAD ROUNDS, true, &loop, &err) == MM_OK);
    for (size_t k = 0; k < 3; k++) {
        ck_assert(mm_loop_model(&loop, k, false, path, NULL) == MM_OK);
        ends_with(path, before[k]);
        ck_assert((mm_loop_model_config(&loop, path) != NULL) == (k == 0));
        ck_assert(mm_loop_model(&loop, k, true, path, NULL) == MM_OK);
        ends_with(path, after[k]);
        ck_assert(mm_loop_head(&loop, k, false, path, NULL) == MM_OK);
        ck_assert(k > 0 || path[0] == '\0');
        ends_with(path, heads[k]);
        ck_assert(mm_loop_version(&loop, k, path, NULL) == MM_OK);
        ends_with(path, versions[k]);
    }
    ck_assert(mm_loop_head(&loop, 0, true, path, NULL) == MM_OK);
    ends_with(path, "round-01/detector.safetensors");
    ck_assert(mm_loop_sources_of(&loop, 0, 3, &sources, NULL) == MM_OK);
    ck_assert_uint_eq(sources.count, 3);
    ends_with(sources.items[2], "round-03/run");
    mm_loop_sources_free(&sources);
    close_loop(&loop);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loop/state");
    TCase *tc = tcase_create("state");
    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_add_test(tc, steps_are_remembered);
    tcase_add_loop_test(tc, a_round_that_is_begun_stays_what_it_is, 0, (int)(sizeof changes / sizeof changes[0]));
    tcase_add_loop_test(tc, a_damaged_state_is_refused, 0, (int)(sizeof damaged / sizeof damaged[0]));
    tcase_add_test(tc, other_models_and_formats_are_refused);
    tcase_add_test(tc, anybodys_files_are_left_alone);
    tcase_add_test(tc, each_round_takes_what_the_last_one_made);
    suite_add_tcase(suite, tc);
    return mm_check_main(suite);
}
