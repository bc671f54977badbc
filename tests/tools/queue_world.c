/* A made-up dataset with confident masks and hints, a person who answers from the truth, and a check of what came of
 * it.
 *
 *   maskmill-queue-world make FOLDER              FOLDER/corpus and FOLDER/data
 *   maskmill-queue-world answer EXPORT ANSWERS    EXPORT is one batch in either format; prints what is to be expected
 *   maskmill-queue-world size PHOTOGRAPH          prints width x height
 *   maskmill-queue-world check DATASET keep|drop  every mask, source and annotator; keep: with --keep-automatic */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

#include "maskmill/corpus.h"
#include "maskmill/engine.h"
#include "maskmill/image.h"
#include "maskmill/shard.h"
#include "base/file.h"
#include "queue/brush.h"
#include "queue/name.h"
#include "queue_world.h"

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "queue-world: %s\n", what);
    exit(1);
}

static void must(mm_status status, const mm_error *err)
{
    if (status != MM_OK)
        die(err->text);
}

/* Images 4 and 9 are never answered. */
static bool is_answered(uint64_t image)
{
    return image % 5 != 4 && image != WORLD_BROKEN;
}

/* --- make --- */

static void make_photograph(const char *folder, uint64_t image)
{
    char path[512];
    mm_error err = {0};
    mm_image pixels;
    uint8_t *bytes = NULL;
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s/corpus/photo_%02" PRIu64 ".jpg", folder, image);
    if (image == WORLD_BROKEN) {
        must(mm_file_commit(path, "no picture", 10, &err), &err);
        return;
    }
    /* One photograph is larger than the frame that its masks are in. */
    const uint32_t scale = image == WORLD_LARGE ? 2 : 1;
    must(mm_image_new(scale * world_width(image), scale * world_height(image), &pixels, &err), &err);
    memset(pixels.pixels, 60, (size_t)pixels.width * pixels.height * 3);
    for (int k = 0; k < WORLD_OBJECTS; k++) {
        const world_box box = world_object(image, k);
        for (uint32_t y = scale * box.y0; y < scale * box.y1; y++)
            memset(pixels.pixels + ((size_t)y * pixels.width + scale * box.x0) * 3, 90 + 25 * k,
                   (size_t)scale * (box.x1 - box.x0) * 3);
    }
    must(mm_image_encode_jpeg(mm_image_whole(&pixels), 90, &bytes, &size, &err), &err);
    must(mm_file_commit(path, bytes, size, &err), &err);
    free(bytes);
    mm_image_free(&pixels);
}

static void make_record(uint64_t image, mm_record *record)
{
    mm_error err = {0};
    mm_annotation grid[WORLD_GRID], confident[WORLD_CONFIDENT], hints[WORLD_HINTS];
    const float score[WORLD_CONFIDENT] = {0.97f, 0.91f, 0.85f, 0.8f};
    mm_annotations all = {.width = world_width(image), .height = world_height(image)};
    if (image == WORLD_BROKEN) {
        must(mm_record_set_aside(image, 0, 0, "no picture", record, &err), &err);
        return;
    }
    for (int i = 0; i < WORLD_GRID; i++)
        grid[i] = world_annotation(image, world_grid(image, i), 0.9f, 0.96f);
    for (int i = 0; i < WORLD_CONFIDENT; i++)
        confident[i] = world_annotation(image, world_confident(image, i), 0.93f, 0.97f);
    for (int i = 0; i < WORLD_HINTS; i++)
        hints[i] = world_annotation(image, world_hint(image, i), 0.8f, 0.9f);
    all.items = grid;
    all.count = WORLD_GRID;
    all.funnel.kept = WORLD_GRID;
    must(mm_record_from_annotations(image, &all, record, &err), &err);
    all.items = confident;
    all.count = WORLD_CONFIDENT;
    must(mm_record_set_confident(record, &all, score, &err), &err);
    all.items = hints;
    all.count = WORLD_HINTS;
    must(mm_record_set_hints(record, &all, &err), &err);
    for (int i = 0; i < WORLD_GRID; i++)
        mm_rle_free(&grid[i].rle);
    for (int i = 0; i < WORLD_CONFIDENT; i++)
        mm_rle_free(&confident[i].rle);
    for (int i = 0; i < WORLD_HINTS; i++)
        mm_rle_free(&hints[i].rle);
}

static void make_shards(const char *out, const mm_shard_origin *origin)
{
    mm_error err = {0};
    char names[WORLD_IMAGES][32];
    for (uint64_t first = 0, shard = 0; first < WORLD_IMAGES; first += WORLD_PER_SHARD, shard++) {
        mm_record records[WORLD_PER_SHARD];
        const char *pointers[WORLD_PER_SHARD];
        size_t count = 0;
        for (; count < WORLD_PER_SHARD && first + count < WORLD_IMAGES; count++) {
            (void)snprintf(names[first + count], sizeof names[0], "photo_%02d.jpg", (int)(first + count));
            pointers[count] = names[first + count];
            make_record(first + count, &records[count]);
        }
        must(mm_shard_write(out, shard, first, records, pointers, count, origin, &err), &err);
        for (size_t i = 0; i < count; i++)
            mm_record_free(&records[i]);
    }
    must(mm_dataset_index(out, 0, (WORLD_IMAGES + WORLD_PER_SHARD - 1) / WORLD_PER_SHARD, origin, NULL, &err), &err);
}

static void make(const char *folder)
{
    char corpus[512], out[512], path[600], *yaml = NULL;
    const char *source = corpus;
    mm_error err = {0};
    mm_manifest *manifest = NULL;
    mm_scan_report report;
    const mm_config config = mm_config_defaults();
    (void)snprintf(corpus, sizeof corpus, "%s/corpus", folder);
    (void)snprintf(out, sizeof out, "%s/data", folder);
    if (mkdir(corpus, 0777) != 0 || mkdir(out, 0777) != 0)
        die("cannot make the folders");
    for (uint64_t image = 0; image < WORLD_IMAGES; image++)
        make_photograph(folder, image);
    must(mm_corpus_scan(&source, 1, &manifest, &report, &err), &err);
    (void)snprintf(path, sizeof path, "%s/manifest.h5", out);
    must(mm_manifest_write(manifest, path, &err), &err);
    mm_manifest_free(manifest);
    must(mm_config_to_yaml(&config, &yaml, &err), &err);
    const mm_shard_origin origin = {.config_yaml = yaml,
                                    .model_name = "made up",
                                    .model_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                                    .confident = true,
                                    .hints = true};
    make_shards(out, &origin);
    free(yaml);
}

/* --- answer --- */

typedef struct expected {
    int images, kept, corrected, deleted, added, accepted;
} expected;

static json_t *counts_of(const mm_rle *rle, bool compressed)
{
    mm_error err = {0};
    uint8_t *counts = NULL;
    size_t size = 0;
    json_t *list;
    if (compressed) {
        must(mm_rle_to_counts(rle, &counts, &size, &err), &err);
        list = json_stringn((const char *)counts, size);
        free(counts);
    } else {
        list = json_array();
        for (size_t i = 0; i < rle->count; i++)
            json_array_append_new(list, json_integer(rle->runs[i]));
    }
    return json_pack("{s:[i, i], s:o}", "size", (int)rle->height, (int)rle->width, "counts", list);
}

static json_t *ring_of(world_box box)
{
    return json_pack("[[i, i, i, i, i, i, i, i]]", box.x0, box.y0, box.x1, box.y0, box.x1, box.y1, box.x0, box.y1);
}

/* What the person does with a mask that was shown; true: it is still there. */
static bool look_at(const char *name, uint64_t *image, bool *correct, bool *accept, expected *sum)
{
    mm_shown_name shown;
    if (!mm_shown_from_text(name, &shown))
        die("an exported mask has no name of ours");
    *image = shown.image_id;
    *correct = shown.kind == MM_SHOWN_CONFIDENT && shown.index == 2;
    *accept = shown.kind == MM_SHOWN_HINT && shown.index == 0;
    if (!is_answered(*image))
        return false;
    if (shown.kind == MM_SHOWN_HINT) {
        sum->added += *accept;
        sum->accepted += *accept;
        return true;
    }
    sum->deleted += shown.index == 3;
    sum->corrected += *correct;
    sum->kept += shown.index < 2;
    return shown.index != 3;
}

static json_t *answer_coco(const json_t *export, expected *sum)
{
    json_t *images = json_array(), *annotations = json_array(), *item;
    size_t i;
    json_int_t next = 1;
    json_array_foreach(json_object_get(export, "images"), i, item) {
        const uint64_t image = (uint64_t)json_integer_value(json_object_get(item, "id"));
        if (!is_answered(image))
            continue;
        sum->images++;
        sum->added += 2;
        json_array_append(images, item);
        mm_rle drawn = world_mask(image, world_object(image, 5));
        json_array_append_new(annotations,
                              json_pack("{s:I, s:I, s:i, s:o, s:{s:i, s:s}}", "id", next++, "image_id",
                                        (json_int_t)image, "category_id", 1, "segmentation",
                                        ring_of(world_object(image, 4)), "attributes", "seconds", 30, "clicks", "7"));
        json_array_append_new(annotations,
                              json_pack("{s:I, s:I, s:i, s:o}", "id", next++, "image_id", (json_int_t)image,
                                        "category_id", 1, "segmentation", counts_of(&drawn, image % 2)));
        mm_rle_free(&drawn);
    }
    json_array_foreach(json_object_get(export, "annotations"), i, item) {
        uint64_t image;
        bool correct, accept;
        const char *name = json_string_value(json_object_get(json_object_get(item, "attributes"), "maskmill"));
        if (!look_at(name ? name : "", &image, &correct, &accept, sum))
            continue;
        if (image % 3 == 1) /* a tool that numbers anew and keeps no attributes: pixels must do */
            json_object_set_new(item, "id", json_integer(next++));
        if (image % 3 == 1)
            json_object_del(item, "attributes");
        if (correct) {
            mm_rle drawn = world_mask(image, world_object(image, 2));
            json_object_set_new(item, "segmentation", counts_of(&drawn, true));
            mm_rle_free(&drawn);
        } else if (image % 3 == 2 && !accept && json_integer_value(json_object_get(item, "category_id")) == 1) {
            mm_shown_name shown; /* a tool that makes polygons of masks */
            (void)mm_shown_from_text(name, &shown);
            json_object_set_new(item, "segmentation", ring_of(world_object(image, (int)shown.index)));
        }
        if (accept)
            json_object_set_new(item, "category_id", json_integer(1));
        json_array_append(annotations, item);
    }
    return json_pack("{s:o, s:o, s:O}", "annotations", annotations, "images", images, "categories",
                     json_object_get(export, "categories"));
}

static json_t *brush_of(const mm_rle *rle)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_error err = {0};
    json_t *list = json_array();
    must(mm_brush_encode(rle, &bytes, &size, &err), &err);
    for (size_t i = 0; i < size; i++)
        json_array_append_new(list, json_integer(bytes[i]));
    free(bytes);
    return list;
}

static void draw_regions(json_t *result, uint64_t image)
{
    const uint32_t width = world_width(image), height = world_height(image);
    const world_box box = world_object(image, 4);
    const double x0 = 100.0 * box.x0 / width, x1 = 100.0 * box.x1 / width, y0 = 100.0 * box.y0 / height,
                 y1 = 100.0 * box.y1 / height;
    mm_rle drawn = world_mask(image, world_object(image, 5));
    json_array_append_new(result, json_pack("{s:s, s:s, s:i, s:i, s:i, s:{s:[[f,f],[f,f],[f,f],[f,f]], s:[s]}}", "id",
                                            "aB3xY", "type", "polygonlabels", "original_width", width,
                                            "original_height", height, "image_rotation", 0, "value", "points", x0, y0,
                                            x1, y0, x1, y1, x0, y1, "polygonlabels", "object"));
    json_array_append_new(result, json_pack("{s:s, s:s, s:i, s:i, s:i, s:{s:s, s:o, s:[s]}}", "id", "q9", "type",
                                            "brushlabels", "original_width", width, "original_height", height,
                                            "image_rotation", 0, "value", "format", "rle", "rle", brush_of(&drawn),
                                            "brushlabels", "object"));
    mm_rle_free(&drawn);
}

static json_t *answer_labelstudio(const json_t *export, expected *sum)
{
    json_t *answers = json_array(), *task;
    size_t i, k;
    json_array_foreach(export, i, task) {
        json_t *predictions = json_object_get(task, "predictions"), *region, *result = json_array();
        const uint64_t of = (uint64_t)json_integer_value(json_object_get(json_object_get(task, "data"), "image_id"));
        json_array_foreach(json_object_get(json_array_get(predictions, 0), "result"), k, region) {
            uint64_t image;
            bool correct, accept;
            json_t *value = json_object_get(region, "value");
            if (!look_at(json_string_value(json_object_get(region, "id")), &image, &correct, &accept, sum))
                continue;
            if (correct) {
                mm_rle drawn = world_mask(image, world_object(image, 2));
                json_object_set_new(value, "rle", brush_of(&drawn));
                mm_rle_free(&drawn);
            }
            if (accept)
                json_object_set_new(value, "brushlabels", json_pack("[s]", "object"));
            json_array_append(result, region);
        }
        json_t *annotations = json_array();
        if (is_answered(of)) {
            sum->images++;
            sum->added += 2;
            draw_regions(result, of);
            json_array_append_new(annotations, json_pack("{s:i, s:{s:i, s:s}, s:f, s:O, s:b}", "id", (int)i + 100,
                                                         "completed_by", "id", 3, "email", "ann@example.org",
                                                         "lead_time", 90.0, "result", result, "was_cancelled", 0));
        }
        json_array_append_new(answers, json_pack("{s:i, s:O, s:o}", "id", (int)i + 1, "data",
                                                 json_object_get(task, "data"), "annotations", annotations));
        json_decref(result);
    }
    return answers;
}

static void answer(const char *from, const char *to)
{
    json_error_t why;
    expected sum = {0};
    json_t *export = json_load_file(from, 0, &why);
    if (!export)
        die(why.text);
    json_t *answers = json_is_array(export) ? answer_labelstudio(export, &sum) : answer_coco(export, &sum);
    if (!answers || json_dump_file(answers, to, 0) != 0)
        die("cannot write the answers");
    json_decref(answers);
    json_decref(export);
    printf("%d images answered: %d masks left as they were, %d corrected, %d deleted, %d added (%d of them hints)\n",
           sum.images, sum.kept, sum.corrected, sum.deleted, sum.added, sum.accepted);
}

/* --- check --- */

typedef struct wanted {
    world_box box;
    uint8_t source;
    bool predicted; /* its scores are those of what was shown */
} wanted;

static size_t wanted_of(uint64_t image, bool keep, wanted *list)
{
    size_t count = 0;
    if (!is_answered(image)) {
        for (int i = 0; i < WORLD_GRID && image != WORLD_BROKEN; i++)
            list[count++] = (wanted){world_grid(image, i), 0, true};
        return count;
    }
    list[count++] = (wanted){world_object(image, 0), 1, true};
    list[count++] = (wanted){world_object(image, 1), 1, true};
    list[count++] = (wanted){world_object(image, 2), 2, false};
    list[count++] = (wanted){world_object(image, 4), 2, false};
    list[count++] = (wanted){world_object(image, 5), 2, false};
    list[count++] = (wanted){world_object(image, 3), 2, true};
    if (keep) /* the grid's mask of 0 is the confident one */
        list[count++] = (wanted){world_grid(image, 1), 0, true};
    if (keep)
        list[count++] = (wanted){world_grid(image, 2), 0, true};
    return count;
}

static bool is_wanted(const mm_record *record, uint64_t i, const wanted *one, size_t annotators)
{
    mm_error err = {0};
    mm_rle is, should = world_mask(record->image_id, one->box);
    must(mm_rle_from_counts(record->rle + record->rle_offset[i], record->rle_offset[i + 1] - record->rle_offset[i],
                            record->height, record->width, &is, &err), &err);
    const bool same = mm_rle_equal(&is, &should) && record->source[i] == one->source &&
                      isnan(record->predicted_iou[i]) == !one->predicted &&
                      (one->source == 2) == (record->annotator && record->annotator[i] != 0) &&
                      (one->source != 2 || record->annotator[i] <= annotators) &&
                      (one->source == 2 || record->seconds[i] == 0);
    mm_rle_free(&is);
    mm_rle_free(&should);
    return same;
}

static void check_image(const mm_dataset *dataset, uint64_t image, bool keep)
{
    mm_error err = {0};
    mm_record record;
    wanted list[16];
    bool used[16] = {false};
    char text[120];
    const size_t count = wanted_of(image, keep, list);
    must(mm_dataset_read(dataset, image, &record, NULL, &err), &err);
    (void)snprintf(text, sizeof text, "image %" PRIu64 " has %" PRIu64 " masks, not the %zu expected, or others", image,
                   record.mask_count, count);
    if (record.mask_count != count)
        die(text);
    for (uint64_t i = 0; i < record.mask_count; i++) {
        size_t k = 0;
        while (k < count && (used[k] || !is_wanted(&record, i, &list[k], mm_dataset_origin(dataset)->annotator_count)))
            k++;
        if (k == count)
            die(text);
        used[k] = true;
    }
    if (record.status == MM_IMAGE_DONE && record.confident->mask_count + record.hints->mask_count !=
                                              (is_answered(image) ? 0 : WORLD_CONFIDENT + WORLD_HINTS))
        die("further masks of answered images stayed, or others went");
    mm_record_free(&record);
}

static void check(const char *path, bool keep)
{
    mm_error err = {0};
    mm_dataset *dataset = NULL;
    must(mm_dataset_open(path, &dataset, &err), &err);
    if (mm_dataset_images(dataset) != WORLD_IMAGES)
        die("images are missing");
    for (uint64_t image = 0; image < WORLD_IMAGES; image++)
        check_image(dataset, image, keep);
    mm_dataset_close(dataset);
}

static void print_size(const char *path)
{
    mm_error err = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_jpeg_info info;
    must(mm_file_read(path, 0, &bytes, &size, &err), &err);
    must(mm_image_probe_jpeg(bytes, size, NULL, &info, &err), &err);
    free(bytes);
    printf("%" PRIu32 " x %" PRIu32 "\n", info.width, info.height);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "make") == 0)
        make(argv[2]);
    else if (argc == 3 && strcmp(argv[1], "size") == 0)
        print_size(argv[2]);
    else if (argc == 4 && strcmp(argv[1], "answer") == 0)
        answer(argv[2], argv[3]);
    else if (argc == 4 && strcmp(argv[1], "check") == 0)
        check(argv[2], strcmp(argv[3], "keep") == 0);
    else
        die("make FOLDER | answer EXPORT ANSWERS | check DATASET keep|drop");
    return 0;
}
