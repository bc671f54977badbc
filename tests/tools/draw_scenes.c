/* Small photographs with the truth about them, for tests of the loop.
 *
 *   maskmill-draw-scenes FOLDER SEED COUNT
 *
 * draws FOLDER/images/scene_SEED_000.jpg and on: rectangles and ellipses in colours on a plain ground, later ones over
 * earlier ones; and FOLDER/truth.json, COCO with run lengths of what is to be seen of each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/output.h"
#include "maskmill/image.h"

enum { SIDE = 96, OBJECTS = 4, LEAST_AREA = 60 };

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "draw-scenes: %s\n", what);
    exit(1);
}

static void must(mm_status status, const mm_error *err)
{
    if (status != MM_OK)
        die(err->text);
}

/* 0 .. below - 1, from a small generator (Steele et al., SplitMix). */
static uint32_t draw(uint64_t *state, uint32_t below)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 33) % below;
}

static void paint(uint64_t *state, uint8_t *owner, int object)
{
    const int w = 16 + (int)draw(state, 36), h = 16 + (int)draw(state, 36);
    const int x0 = (int)draw(state, (uint32_t)(SIDE - w)), y0 = (int)draw(state, (uint32_t)(SIDE - h));
    const int round = (int)draw(state, 2);
    for (int y = y0; y < y0 + h; y++)
        for (int x = x0; x < x0 + w; x++) {
            const double dx = (2.0 * (x - x0) + 1) / w - 1, dy = (2.0 * (y - y0) + 1) / h - 1;
            if (!round || dx * dx + dy * dy <= 1)
                owner[y * SIDE + x] = (uint8_t)object;
        }
}

static void write_image(const char *folder, const char *name, uint64_t *state, const uint8_t *owner)
{
    char path[4096];
    mm_error err = {0};
    mm_image image;
    uint8_t *bytes = NULL, colours[OBJECTS + 1][3];
    size_t size = 0;
    for (int i = 0; i <= OBJECTS; i++) /* far apart in at least one channel */
        for (int c = 0; c < 3; c++)
            colours[i][c] = (uint8_t)((i * 61 + c * 83) % 200 + (int)draw(state, 40));
    must(mm_image_new(SIDE, SIDE, &image, &err), &err);
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++)
        memcpy(image.pixels + 3 * i, colours[owner[i]], 3);
    must(mm_image_encode_jpeg(mm_image_whole(&image), 95, &bytes, &size, &err), &err);
    (void)snprintf(path, sizeof path, "%s/images/%s", folder, name);
    must(mm_file_commit(path, bytes, size, &err), &err);
    free(bytes);
    mm_image_free(&image);
}

/* COCO's counts: down the columns, zeros first. */
static void write_counts(FILE *out, const uint8_t *owner, int object)
{
    int run = 0;
    bool inside = false, first = true;
    for (int x = 0; x < SIDE; x++)
        for (int y = 0; y < SIDE; y++) {
            if ((owner[y * SIDE + x] == object) != inside) {
                (void)fprintf(out, first ? "%d" : ", %d", run);
                first = false;
                inside = !inside;
                run = 0;
            }
            run++;
        }
    (void)fprintf(out, first ? "%d" : ", %d", run);
}

static int area_of(const uint8_t *owner, int object)
{
    int area = 0;
    for (int i = 0; i < SIDE * SIDE; i++)
        area += owner[i] == object;
    return area;
}

int main(int argc, char **argv)
{
    char path[4096], name[64];
    mm_error err = {0};
    mm_file_draft truth;
    char *images = NULL;
    size_t images_size = 0;
    int annotations = 0;
    if (argc != 4)
        die("usage: maskmill-draw-scenes FOLDER SEED COUNT");
    const unsigned long seed = strtoul(argv[2], NULL, 10), count = strtoul(argv[3], NULL, 10);
    FILE *list = open_memstream(&images, &images_size);
    if (!list)
        die("no memory");
    must(mm_output_make(argv[1], "images", &err), &err);
    (void)snprintf(path, sizeof path, "%s/truth.json", argv[1]);
    must(mm_file_begin(path, &truth, &err), &err);
    (void)fprintf(truth.stream, "{\"categories\": [{\"id\": 1, \"name\": \"object\"}],\n\"annotations\": [");
    for (unsigned long i = 0; i < count; i++) {
        uint8_t owner[SIDE * SIDE] = {0};
        uint64_t state = seed * 1000003u + i;
        for (int object = 1; object <= OBJECTS; object++)
            paint(&state, owner, object);
        (void)snprintf(name, sizeof name, "scene_%lu_%03lu.jpg", seed, i);
        write_image(argv[1], name, &state, owner);
        (void)fprintf(list, "%s{\"id\": %lu, \"file_name\": \"%s\", \"width\": %d, \"height\": %d}", i ? ",\n " : "",
                      i + 1, name, (int)SIDE, (int)SIDE);
        for (int object = 1; object <= OBJECTS; object++) {
            if (area_of(owner, object) < LEAST_AREA)
                continue;
            (void)fprintf(truth.stream, "%s{\"id\": %d, \"image_id\": %lu, \"category_id\": 1, \"iscrowd\": 0, "
                          "\"segmentation\": {\"size\": [%d, %d], \"counts\": [", annotations ? ",\n " : "",
                          annotations + 1, i + 1, (int)SIDE, (int)SIDE);
            write_counts(truth.stream, owner, object);
            (void)fprintf(truth.stream, "]}}");
            annotations++;
        }
    }
    if (fclose(list) != 0)
        die("no memory");
    (void)fprintf(truth.stream, "],\n\"images\": [%s]}\n", images);
    free(images);
    must(mm_file_finish(&truth, MM_OK, &err), &err);
    return 0;
}
