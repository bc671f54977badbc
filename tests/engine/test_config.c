#include "check_main.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/config_keys.h"

static char file[] = "/tmp/test_config_XXXXXX";

/* Load `text` as a config file. */
static mm_status load_bytes(const char *text, size_t size, mm_config *config, mm_error *err)
{
    FILE *out = fopen(file, "wb");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(text, 1, size, out), size);
    ck_assert_int_eq(fclose(out), 0);
    return mm_config_load(file, NULL, 0, config, err);
}

static mm_status load(const char *text, mm_config *config, mm_error *err)
{
    return load_bytes(text, strlen(text), config, err);
}

static mm_status set(const char *what, mm_config *config, mm_error *err)
{
    return mm_config_load(NULL, &what, 1, config, err);
}

static void make_file(void)
{
    const int descriptor = mkstemp(file);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(close(descriptor), 0);
}

static void remove_file(void)
{
    (void)unlink(file);
}

START_TEST(defaults_are_the_references)
{
    mm_config config;
    mm_error err = {0};
    ck_assert_msg(mm_config_load(NULL, NULL, 0, &config, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(config.amg.points_per_side, 32);
    ck_assert(config.amg.pred_iou_thresh == 0.88f);
    ck_assert(config.amg.stability_score_thresh == 0.95f);
    ck_assert(config.amg.stability_score_offset == 1.0f);
    ck_assert(config.amg.box_nms_thresh == 0.7);
    ck_assert_uint_eq(config.amg.crop_n_layers, 0);
    ck_assert(config.amg.crop_nms_thresh == 0.7);
    ck_assert(config.amg.crop_overlap_ratio == 512.0 / 1500.0);
    ck_assert_uint_eq(config.amg.crop_n_points_downscale_factor, 1);
    ck_assert_uint_eq(config.amg.min_mask_region_area, 0);
    ck_assert(config.amg.max_area_fraction == 0.0);
    ck_assert(!config.amg.drop_small_masks);
    ck_assert_uint_eq(config.amg.short_side, 0);
    ck_assert_uint_eq(config.corpus.duplicates, MM_DUPLICATES_KEEP);
    ck_assert_uint_eq(config.corpus.duplicate_distance, 3);
    ck_assert_uint_eq(config.output.images_per_shard, 1000);
    ck_assert(!config.image.ignore_orientation);
    ck_assert_uint_eq(config.image.max_pixels, 268435456);
    ck_assert_uint_eq(config.image.max_bytes, 1073741824);
}
END_TEST

/* Everything differs from the defaults and needs all its digits. */
static const char everything[] = "amg:\n"
                                 "  points_per_side: 17\n"
                                 "  pred_iou_thresh: 0.12345679\n"
                                 "  stability_score_thresh: 0.33333334\n"
                                 "  stability_score_offset: 0.25\n"
                                 "  box_nms_thresh: 1e-07\n"
                                 "  crop_n_layers: 2\n"
                                 "  crop_nms_thresh: 0.1\n"
                                 "  crop_overlap_ratio: 0.30000000000000004\n"
                                 "  crop_n_points_downscale_factor: 3\n"
                                 "  min_mask_region_area: 100\n"
                                 "  max_area_fraction: 0.95\n"
                                 "  drop_small_masks: true\n"
                                 "corpus:\n"
                                 "  duplicates: skip\n"
                                 "  duplicate_distance: 10\n"
                                 "output:\n"
                                 "  short_side: 1500\n"
                                 "  images_per_shard: 7\n"
                                 "image:\n"
                                 "  orientation: ignore\n"
                                 "  max_pixels: 4294836225\n"
                                 "  max_bytes: 1099511627776\n";

START_TEST(every_key_is_read_and_written_alike)
{
    mm_config config;
    mm_error err = {0};
    ck_assert_msg(load(everything, &config, &err) == MM_OK, "%s", err.text);
    ck_assert_uint_eq(config.amg.points_per_side, 17);
    ck_assert(config.amg.pred_iou_thresh == 0.123456791f);
    ck_assert(config.amg.stability_score_thresh == 1.0f / 3.0f);
    ck_assert(config.amg.stability_score_offset == 0.25f);
    ck_assert(config.amg.box_nms_thresh == 1e-7);
    ck_assert_uint_eq(config.amg.crop_n_layers, 2);
    ck_assert(config.amg.crop_nms_thresh == 0.1);
    ck_assert(config.amg.crop_overlap_ratio == 0.1 + 0.2);
    ck_assert_uint_eq(config.amg.crop_n_points_downscale_factor, 3);
    ck_assert_uint_eq(config.amg.min_mask_region_area, 100);
    ck_assert(config.amg.max_area_fraction == 0.95);
    ck_assert(config.amg.drop_small_masks);
    ck_assert_uint_eq(config.amg.short_side, 1500);
    ck_assert_uint_eq(config.corpus.duplicates, MM_DUPLICATES_SKIP);
    ck_assert_uint_eq(config.corpus.duplicate_distance, 10);
    ck_assert_uint_eq(config.output.images_per_shard, 7);
    ck_assert(config.image.ignore_orientation);
    ck_assert_uint_eq(config.image.max_pixels, UINT64_C(4294836225));
    ck_assert_uint_eq(config.image.max_bytes, UINT64_C(1099511627776));
    char *yaml = NULL;
    ck_assert_int_eq(mm_config_to_yaml(&config, &yaml, &err), MM_OK);
    ck_assert_str_eq(yaml, everything);
    free(yaml);
}
END_TEST

START_TEST(floats_survive_writing_bit_for_bit)
{
    mm_config config, again;
    mm_error err = {0};
    ck_assert_int_eq(mm_config_load(NULL, NULL, 0, &config, &err), MM_OK);
    float threshold = 1.0f;
    double ratio = 1.0;
    for (int i = 0; i < 200; i++) {
        threshold = nextafterf(threshold * 0.93f, 0.0f);
        ratio = nextafter(ratio * 0.91, 0.0);
        config.amg.pred_iou_thresh = threshold;
        config.amg.crop_overlap_ratio = ratio;
        char *yaml = NULL;
        ck_assert_int_eq(mm_config_to_yaml(&config, &yaml, &err), MM_OK);
        ck_assert_msg(load(yaml, &again, &err) == MM_OK, "%s", err.text);
        free(yaml);
        ck_assert(again.amg.pred_iou_thresh == threshold);
        ck_assert(again.amg.crop_overlap_ratio == ratio);
    }
}
END_TEST

START_TEST(sparse_files_keep_the_defaults)
{
    static const char *const texts[] = {"",          "# nothing\n",         "---\n", "---\n...\n", "amg:\n", "{}",
                                        "amg: {}\n", "amg:\noutput:\nimage:\n", ("\xef\xbb\xbf" "amg:\n")};
    mm_error err = {0};
    char *wanted = NULL;
    mm_config config = mm_config_defaults();
    ck_assert_int_eq(mm_config_to_yaml(&config, &wanted, &err), MM_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *yaml = NULL;
        ck_assert_msg(load(texts[i], &config, &err) == MM_OK, "%s", err.text);
        ck_assert_int_eq(mm_config_to_yaml(&config, &yaml, &err), MM_OK);
        ck_assert_str_eq(yaml, wanted);
        free(yaml);
    }
    free(wanted);
    ck_assert_int_eq(load("output: {images_per_shard: 5}", &config, &err), MM_OK);
    ck_assert_uint_eq(config.output.images_per_shard, 5);
    ck_assert_uint_eq(config.amg.points_per_side, 32);
}
END_TEST

/* What is wrong, its line, and what the message must name. */
static const struct {
    const char *text;
    int line;
    const char *parts[3];
} mistakes[] = {
    {"amg:\n  points_per_side: 0\n", 2, {"amg.points_per_side", "\"0\"", "from 1 to 512"}},
    {"amg:\n  points_per_side: 513\n", 2, {"amg.points_per_side", "\"513\"", "from 1 to 512"}},
    {"amg:\n  points_per_side: -3\n", 2, {"points_per_side", "\"-3\"", "whole number"}},
    {"amg:\n  points_per_side: 3.5\n", 2, {"points_per_side", "\"3.5\"", "whole number"}},
    {"amg:\n  points_per_side: 010\n", 2, {"points_per_side", "\"010\"", "plain digits"}},
    {"amg:\n  points_per_side: 0x10\n", 2, {"points_per_side", "\"0x10\"", "plain digits"}},
    {"amg:\n  points_per_side: 99999999999999999999999\n", 2, {"points_per_side", "out of range", "512"}},
    {"amg:\n  points_per_side: many\n", 2, {"points_per_side", "\"many\"", "whole number"}},
    {"amg:\n  points_per_side:\n", 2, {"points_per_side", "\"\"", "whole number"}},
    {"amg:\n  points_per_side: [32]\n", 2, {"points_per_side", "one value", "list"}},
    {"amg:\n  points_per_side: {a: 1}\n", 2, {"points_per_side", "one value", "section"}},
    {"# a\n\namg:\n  crop_n_layers: 0\n  pred_iou_thresh: nan\n", 5, {"pred_iou_thresh", "\"nan\"", "from 0 to 1"}},
    {"amg:\n  pred_iou_thresh: .nan\n", 2, {"pred_iou_thresh", "\".nan\"", "from 0 to 1"}},
    {"amg:\n  pred_iou_thresh: inf\n", 2, {"pred_iou_thresh", "\"inf\"", "from 0 to 1"}},
    {"amg:\n  pred_iou_thresh: -.inf\n", 2, {"pred_iou_thresh", "\"-.inf\"", "from 0 to 1"}},
    {"amg:\n  pred_iou_thresh: 1e999\n", 2, {"pred_iou_thresh", "\"1e999\"", "out of range"}},
    {"amg:\n  pred_iou_thresh: 0.5abc\n", 2, {"pred_iou_thresh", "\"0.5abc\"", "not a number"}},
    {"amg:\n  pred_iou_thresh: 0.5.5\n", 2, {"pred_iou_thresh", "\"0.5.5\"", "not a number"}},
    {"amg:\n  pred_iou_thresh: 1.01\n", 2, {"pred_iou_thresh", "\"1.01\"", "from 0 to 1"}},
    {"amg:\n  stability_score_thresh: -0.1\n", 2, {"stability_score_thresh", "\"-0.1\"", "from 0 to 1"}},
    {"amg:\n  stability_score_offset: 101\n", 2, {"stability_score_offset", "\"101\"", "from 0 to 100"}},
    {"amg:\n  box_nms_thresh: 2\n", 2, {"box_nms_thresh", "\"2\"", "from 0 to 1"}},
    {"amg:\n  crop_n_layers: 5\n", 2, {"crop_n_layers", "\"5\"", "from 0 to 4"}},
    {"amg:\n  crop_nms_thresh: 2\n", 2, {"crop_nms_thresh", "\"2\"", "from 0 to 1"}},
    {"amg:\n  crop_overlap_ratio: 512/1500\n", 2, {"crop_overlap_ratio", "\"512/1500\"", "from 0 to 1"}},
    {"amg:\n  crop_n_points_downscale_factor: 0\n", 2, {"crop_n_points_downscale_factor", "\"0\"", "from 1 to 16"}},
    {"amg:\n  min_mask_region_area: 1000000001\n", 2, {"min_mask_region_area", "out of range", "1000000000"}},
    {"amg:\n  max_area_fraction: 95\n", 2, {"max_area_fraction", "\"95\"", "from 0 to 1"}},
    {"amg:\n  drop_small_masks: yes\n", 2, {"drop_small_masks", "\"yes\"", "false or true"}},
    {"output:\n  short_side: 65536\n", 2, {"output.short_side", "\"65536\"", "from 0 to 65535"}},
    {"output:\n  images_per_shard: 0\n", 2, {"images_per_shard", "\"0\"", "from 1 to 1000000"}},
    {"image:\n  orientation: upright\n", 2, {"image.orientation", "\"upright\"", "apply or ignore"}},
    {"corpus:\n  duplicates: drop\n", 2, {"corpus.duplicates", "\"drop\"", "keep, flag, skip"}},
    {"image:\n  max_pixels: 0\n", 2, {"image.max_pixels", "\"0\"", "4294836225"}},
    {"image:\n  max_bytes: 1099511627777\n", 2, {"image.max_bytes", "out of range", "1099511627776"}},
    {"amg:\n  short_side: 5\n", 2, {"amg.short_side", "unknown key", "configuration.md"}},
    {"amg:\n  points: 5\n", 2, {"amg.points", "unknown key", ""}},
    {"amg:\n  Points_Per_Side: 5\n", 2, {"amg.Points_Per_Side", "unknown key", ""}},
    {"amg:\n  <<: {points_per_side: 5}\n", 2, {"amg.<<", "unknown key", ""}},
    {"\nmodel:\n  path: x\n", 2, {"model", "unknown section", "amg, output and image"}},
    {"points_per_side: 32\n", 1, {"points_per_side", "unknown section", ""}},
    {"amg: 5\n", 1, {"amg", "section", "below it"}},
    {"amg:\n- 5\n", 2, {"amg", "section", ""}},
    {"amg:\n  points_per_side: 5\n  points_per_side: 6\n", 3, {"amg.points_per_side", "second time", ""}},
    {"amg: {points_per_side: 5}\namg: {points_per_side: 6}\n", 2, {"amg.points_per_side", "second time", ""}},
    {"amg:\n  ? [a]\n  : 5\n", 2, {"amg", "plain word", ""}},
    {"amg:\n  \"points_per_side\\0\": 5\n", 2, {"amg", "plain word", ""}},
    {"amg:\n  points_per_side: \"5\\0\"\n", 2, {"amg.points_per_side", "one value", ""}},
    {"- 1\n- 2\n", 1, {"sections", "amg, output, image", ""}},
    {"hello", 1, {"sections", "", ""}},
    {"amg: {}\n---\nimage: {}\n", 2, {"second document", "", ""}},
    {"amg:\n  points_per_side: &n 5\n  crop_n_layers: *n\n", 3, {"amg.crop_n_layers", "alias", ""}},
    {"*a", 1, {"sections", "", ""}},
    {"amg:\n\tpoints_per_side: 5\n", 2, {"not YAML", "", ""}},
    {"amg: [1, 2\n", 1, {"amg", "section", ""}},
    {"amg: {points_per_side: 5\n", 2, {"not YAML", "", ""}},
    {"amg:\n  points_per_side: \"5\n", 3, {"not YAML", "", ""}},
    {"amg:\n  points_per_side: \x01\n", 2, {"control characters", "", ""}},
    {"amg:\n  points_per_side: \xff\xfe\n", 2, {"UTF-8", "", ""}},
};

START_TEST(mistakes_name_line_key_and_range)
{
    mm_config config = {.output.images_per_shard = 77};
    mm_error err = {0};
    char place[64];
    ck_assert_msg(load(mistakes[_i].text, &config, &err) == MM_ERR_USAGE, "accepted: %s", mistakes[_i].text);
    (void)snprintf(place, sizeof place, "%s:%d: ", file, mistakes[_i].line);
    ck_assert_msg(strncmp(err.text, place, strlen(place)) == 0, "%s does not begin with %s", err.text, place);
    for (int i = 0; i < 3; i++)
        ck_assert_msg(strstr(err.text, mistakes[_i].parts[i]), "%s lacks %s", err.text, mistakes[_i].parts[i]);
    ck_assert_uint_eq(config.output.images_per_shard, 77); /* a failed load changes nothing */
}
END_TEST

START_TEST(set_changes_one_key_with_the_same_checks)
{
    mm_config config;
    mm_error err = {0};
    ck_assert_int_eq(set("amg.points_per_side=8", &config, &err), MM_OK);
    ck_assert_uint_eq(config.amg.points_per_side, 8);
    ck_assert_int_eq(set("image.orientation=ignore", &config, &err), MM_OK);
    ck_assert(config.image.ignore_orientation);
    static const char *const wrong[][2] = {
        {"amg.points_per_side=0", "from 1 to 512"}, {"amg.points_per_side", "section.key=value"},
        {"points_per_side=3", "section.key=value"}, {"amg.nothing=3", "unknown key"},
        {"nothing.points_per_side=3", "unknown key"}, {"=", "section.key=value"},
        {"", "section.key=value"}, {".=", "unknown key"},
        {"amg.pred_iou_thresh=nan", "from 0 to 1"}, {"amg.pred_iou_thresh= 0.5", "not a number"},
        {"amg.points_per_side=1.5=3", "whole number"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.points=1", "unknown key"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(set(wrong[i][0], &config, &err), MM_ERR_USAGE);
        ck_assert_msg(strstr(err.text, wrong[i][1]) && strstr(err.text, "--set"), "%s", err.text);
    }
}
END_TEST

START_TEST(later_sets_win_and_stand_above_the_file)
{
    static const char *const sets[] = {"amg.points_per_side=9", "output.short_side=300", "amg.points_per_side=10"};
    mm_config config;
    mm_error err = {0};
    ck_assert_int_eq(load(everything, &config, &err), MM_OK);
    ck_assert_int_eq(mm_config_load(file, sets, 3, &config, &err), MM_OK);
    ck_assert_uint_eq(config.amg.points_per_side, 10);
    ck_assert_uint_eq(config.amg.short_side, 300);
    ck_assert_uint_eq(config.amg.crop_n_layers, 2);
}
END_TEST

START_TEST(values_that_exclude_each_other_are_refused)
{
    mm_config config;
    mm_error err = {0};
    ck_assert_int_eq(load("amg: {points_per_side: 7, crop_n_layers: 3, crop_n_points_downscale_factor: 2}", &config,
                          &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "no point for crop layer 3"));
    ck_assert_int_eq(load("amg: {points_per_side: 8, crop_n_layers: 3, crop_n_points_downscale_factor: 2}", &config,
                          &err), MM_OK);
    ck_assert_int_eq(load("amg: {drop_small_masks: true}", &config, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "min_mask_region_area is 0"));
}
END_TEST

/* Files that would make a reader which builds trees or expands aliases take long or much. */
START_TEST(hostile_files_are_refused_at_once)
{
    enum { SIZE = 1 << 20 };
    static const char *const fillings[] = {"[", "{", "- ", "? ", "&a ", "a: ", "\n", "!", "\"", "amg:\n ", "'", "%", "#", "|\n"};
    char *text = malloc(SIZE + 2);
    mm_config config;
    mm_error err = {0};
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < sizeof fillings / sizeof fillings[0]; i++) {
        const size_t length = strlen(fillings[i]);
        for (size_t at = 0; at + length <= SIZE; at += length)
            memcpy(text + at, fillings[i], length);
        const mm_status status = load_bytes(text, SIZE - SIZE % length, &config, &err);
        const bool empty = strchr("\n#!", fillings[i][0]) != NULL; /* blank, a comment, a tag of nothing */
        ck_assert_msg(status == (empty ? MM_OK : MM_ERR_USAGE), "%s", fillings[i]);
    }
    memset(text, ' ', SIZE + 2);
    ck_assert_int_eq(load_bytes(text, SIZE + 1, &config, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "1048576 bytes"));
    free(text);
    ck_assert_int_eq(load("a: &a [x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n", &config, &err), MM_ERR_USAGE);
}
END_TEST

/* From memory that ends where the text ends, so that the sanitizer sees a byte too far. */
static mm_status parse(const char *text, size_t size, mm_config *config, mm_error *err)
{
    unsigned char *bytes = malloc(size + (size == 0));
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, text, size);
    *config = mm_config_defaults();
    const mm_status status = mm_config_parse_yaml("memory", bytes, size, config, err);
    free(bytes);
    return status;
}

START_TEST(every_prefix_and_every_flipped_byte_is_survived)
{
    char text[sizeof everything];
    mm_config config;
    mm_error err = {0};
    for (size_t size = 0; size < sizeof everything; size++) {
        const mm_status status = parse(everything, size, &config, &err);
        ck_assert(status == MM_OK || status == MM_ERR_USAGE);
    }
    for (size_t at = 0; at + 1 < sizeof everything; at++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(text, everything, sizeof everything);
            text[at] = (char)(text[at] ^ (1 << bit));
            const mm_status status = parse(text, sizeof everything - 1, &config, &err);
            ck_assert(status == MM_OK || status == MM_ERR_USAGE);
        }
}
END_TEST

START_TEST(unreadable_files_are_wrong_usage)
{
    mm_config config;
    mm_error err = {0};
    ck_assert_int_eq(mm_config_load("/nonexistent/x.yaml", NULL, 0, &config, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/x.yaml: No such file"));
    ck_assert_int_eq(mm_config_load("/tmp", NULL, 0, &config, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "directory"));
}
END_TEST

START_TEST(presets_are_found_by_name_and_load)
{
    static const char *const names[] = {"default", "sa1b", "fast"};
    mm_config config[3];
    mm_error err = {0};
    char path[4096];
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(mm_config_locate(names[i], path, sizeof path, &err) == MM_OK, "%s", err.text);
        ck_assert_msg(mm_config_load(path, NULL, 0, &config[i], &err) == MM_OK, "%s", err.text);
    }
    char *written = NULL, *defaults = NULL;
    const mm_config plain = mm_config_defaults();
    ck_assert_int_eq(mm_config_to_yaml(&config[0], &written, &err), MM_OK);
    ck_assert_int_eq(mm_config_to_yaml(&plain, &defaults, &err), MM_OK);
    ck_assert_str_eq(written, defaults);
    free(written);
    free(defaults);
    ck_assert_uint_eq(config[1].amg.crop_n_layers, 2);
    ck_assert_uint_eq(config[1].amg.crop_n_points_downscale_factor, 2);
    ck_assert_uint_eq(config[1].amg.short_side, 1500);
    ck_assert_uint_eq(config[1].amg.min_mask_region_area, 100);
    ck_assert(config[1].amg.drop_small_masks && config[1].amg.max_area_fraction == 0.95);
    ck_assert_uint_eq(config[2].amg.points_per_side, 16);

    ck_assert_int_eq(mm_config_locate(file, path, sizeof path, &err), MM_OK);
    ck_assert_str_eq(path, file);
    ck_assert_int_eq(mm_config_locate("sa1c", path, sizeof path, &err), MM_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "sa1b"));
    ck_assert_int_eq(mm_config_locate("../configs/sa1b", path, sizeof path, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_config_locate("", path, sizeof path, &err), MM_ERR_USAGE);
    ck_assert_int_eq(mm_config_locate(file, path, 10, &err), MM_ERR_LIMIT);
}
END_TEST

/* A safetensors file without tensors to speak of, but with these thresholds: a JSON string. */
static void write_model(const char *thresholds)
{
    char header[512];
    const int length = snprintf(header, sizeof header,
                                "{\"__metadata__\": {\"maskmill.thresholds\": %s}, "
                                "\"t\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}",
                                thresholds);
    const uint64_t size = (uint64_t)length;
    static const char tensor[4] = {0};
    FILE *out = fopen(file, "wb");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(&size, sizeof size, 1, out), 1);
    ck_assert_uint_eq(fwrite(header, 1, size, out), size);
    ck_assert_uint_eq(fwrite(tensor, sizeof tensor, 1, out), 1);
    ck_assert_int_eq(fclose(out), 0);
}

#define THRESHOLDS "\"{\\\"pred_iou_thresh\\\": 0.7, \\\"stability_score_offset\\\": 0.5}\""

START_TEST(a_models_own_thresholds_stand_between_defaults_and_config)
{
    static const char *const sets[] = {"amg.stability_score_offset=0.75"};
    mm_config config;
    mm_error err = {0};
    bool own = false;
    write_model(THRESHOLDS);
    ck_assert_msg(mm_config_load_for(file, NULL, NULL, 0, &config, &own, &err) == MM_OK, "%s", err.text);
    ck_assert(own && config.amg.pred_iou_thresh == 0.7f && config.amg.stability_score_offset == 0.5f);
    ck_assert(config.amg.stability_score_thresh == 0.95f);
    ck_assert_msg(mm_config_load_for(file, "fast", sets, 1, &config, NULL, &err) == MM_OK, "%s", err.text);
    ck_assert(config.amg.pred_iou_thresh == 0.7f && config.amg.stability_score_offset == 0.75f);
    ck_assert_uint_eq(config.amg.points_per_side, 16);
    ck_assert_msg(mm_config_load_for(file, "default", NULL, 0, &config, NULL, &err) == MM_OK, "%s", err.text);
    ck_assert(config.amg.pred_iou_thresh == 0.88f && config.amg.stability_score_offset == 1.0f);

    static const char *const damaged[] = {"nothing", "[1]", "{'crop_n_layers': 2}", "{'pred_iou_thresh': true}",
                                          "{'pred_iou_thresh': 7}", "{'pred_iou_thresh': 0.5"};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        char text[200], *to = text;
        for (const char *from = damaged[i]; *from; from++) { /* ' is an escaped " */
            if (*from == '\'')
                *to++ = '\\';
            *to++ = *from == '\'' ? '"' : *from;
        }
        *to = '\0';
        char quoted[210];
        (void)snprintf(quoted, sizeof quoted, "\"%s\"", text);
        write_model(quoted);
        const mm_status status = mm_config_load_for(file, NULL, NULL, 0, &config, &own, &err);
        ck_assert_msg(status == MM_ERR_FORMAT || status == MM_ERR_USAGE, "%s", damaged[i]);
        ck_assert_msg(strstr(err.text, "maskmill.thresholds") != NULL, "%s", err.text);
    }
    ck_assert_int_ne(mm_config_load_for("/nonexistent", NULL, NULL, 0, &config, &own, &err), MM_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/config");
    TCase *tests = tcase_create("config");
    tcase_set_timeout(tests, 60); /* sanitizers on a busy machine */
    tcase_add_unchecked_fixture(tests, make_file, remove_file);
    tcase_add_test(tests, defaults_are_the_references);
    tcase_add_test(tests, every_key_is_read_and_written_alike);
    tcase_add_test(tests, floats_survive_writing_bit_for_bit);
    tcase_add_test(tests, sparse_files_keep_the_defaults);
    tcase_add_loop_test(tests, mistakes_name_line_key_and_range, 0, (int)(sizeof mistakes / sizeof mistakes[0]));
    tcase_add_test(tests, set_changes_one_key_with_the_same_checks);
    tcase_add_test(tests, later_sets_win_and_stand_above_the_file);
    tcase_add_test(tests, values_that_exclude_each_other_are_refused);
    tcase_add_test(tests, hostile_files_are_refused_at_once);
    tcase_add_test(tests, every_prefix_and_every_flipped_byte_is_survived);
    tcase_add_test(tests, unreadable_files_are_wrong_usage);
    tcase_add_test(tests, presets_are_found_by_name_and_load);
    tcase_add_test(tests, a_models_own_thresholds_stand_between_defaults_and_config);
    suite_add_tcase(suite, tests);
    return mm_check_main(suite);
}
