/* Small shards for tests: ellipses in integers, so that tests/data/shard/make_export.py can draw the same. */
#ifndef MM_TESTS_SHARD_DATASET_FIXTURE_H
#define MM_TESTS_SHARD_DATASET_FIXTURE_H

#include "corpus/scratch.h"

#include "maskmill/shard.h"

static const mm_shard_origin origin = {
    .config_yaml = "amg:\n  points_per_side: 32\n",
    .model_name = "tiny",
    .model_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
};

enum { FIXTURE_IMAGES = 4 }; /* a shard: three images and one that was set aside */
static const struct {
    uint32_t width, height, masks;
} fixture_sizes[3] = {{64, 48, 5}, {31, 90, 3}, {200, 150, 7}};
static const char *const fixture_names[FIXTURE_IMAGES] = {"a/one.jpg", "a/two.jpg", "broken.jpg", "z.jpg"};

static inline void draw_ellipse(uint8_t *bits, uint32_t width, uint32_t height, int64_t i)
{
    const int64_t cx = (i * 37 + 11) % width, cy = (i * 23 + 7) % height, rx = 3 + i * 5 % 17, ry = 2 + i * 7 % 13;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            const int64_t a = (x - cx) * ry, b = (y - cy) * rx;
            bits[y * width + x] = a * a + b * b <= rx * ry * rx * ry;
        }
}

static inline mm_record make_image(uint64_t image_id, uint32_t width, uint32_t height, uint32_t masks)
{
    mm_error err;
    mm_annotation *items = calloc(masks + 1, sizeof *items);
    uint8_t *bits = malloc((size_t)width * height);
    for (uint32_t i = 0; i < masks; i++) {
        uint32_t box[4];
        draw_ellipse(bits, width, height, i);
        ck_assert_int_eq(mm_rle_from_bits(bits, height, width, &items[i].rle, &err), MM_OK);
        mm_rle_box(&items[i].rle, box);
        items[i].bbox[0] = (float)box[0];
        items[i].bbox[1] = (float)box[1];
        items[i].bbox[2] = (float)(box[2] - box[0]);
        items[i].bbox[3] = (float)(box[3] - box[1]);
        items[i].area = (uint32_t)mm_rle_area(&items[i].rle);
        items[i].predicted_iou = 0.88f + 0.0123456f * (float)i;
        items[i].stability_score = 1.0f / (1.0f + 0.01f * (float)i);
        items[i].point_coords[0] = (float)width / 3 + (float)i;
        items[i].point_coords[1] = (float)height / 7 * (float)(i % 7);
        items[i].crop_box[2] = (float)width;
        items[i].crop_box[3] = (float)height;
    }
    const mm_annotations annotations = {.width = width,
                                        .height = height,
                                        .items = items,
                                        .count = masks,
                                        .funnel = {3072, 900, 300, 300, 200, 50, 20, masks}};
    mm_record record;
    ck_assert_int_eq(mm_record_from_annotations(image_id, &annotations, &record, &err), MM_OK);
    for (uint32_t i = 0; i < masks; i++)
        mm_rle_free(&items[i].rle);
    free(items);
    free(bits);
    return record;
}

static inline void make_records(uint64_t first_image, mm_record records[FIXTURE_IMAGES])
{
    mm_error err;
    for (int i = 0, from = 0; i < FIXTURE_IMAGES; i++) {
        if (i == 2) {
            ck_assert_int_eq(mm_record_set_aside(first_image + 2, 12, 0, "no JPEG", &records[i], &err), MM_OK);
            continue;
        }
        records[i] = make_image(first_image + (uint64_t)i, fixture_sizes[from].width, fixture_sizes[from].height,
                                fixture_sizes[from].masks);
        from++;
    }
}

static inline void free_records(mm_record records[FIXTURE_IMAGES])
{
    for (int i = 0; i < FIXTURE_IMAGES; i++)
        mm_record_free(&records[i]);
}

static inline mm_status put_shard(const char *out, uint64_t shard, mm_error *err)
{
    mm_record records[FIXTURE_IMAGES];
    make_records(shard * FIXTURE_IMAGES, records);
    const mm_status status =
        mm_shard_write(out, shard, shard * FIXTURE_IMAGES, records, fixture_names, FIXTURE_IMAGES, &origin, err);
    free_records(records);
    return status;
}

/* A dataset of `shards` shards in `out`, a folder that is there. */
static inline void put_dataset(const char *out, uint64_t shards)
{
    mm_error err = {0};
    for (uint64_t k = 0; k < shards; k++)
        ck_assert_msg(put_shard(out, k, &err) == MM_OK, "%s", err.text);
    ck_assert_msg(mm_dataset_index(out, 0, shards, &origin, NULL, &err) == MM_OK, "%s", err.text);
}

static inline void expect_equal_records(const mm_record *a, const mm_record *b)
{
    const size_t n = a->mask_count;
    ck_assert_uint_eq(a->image_id, b->image_id);
    ck_assert_uint_eq(a->status, b->status);
    ck_assert(a->width == b->width && a->height == b->height);
    ck_assert_uint_eq(b->mask_count, n);
    ck_assert_mem_eq(a->bbox, b->bbox, n * sizeof *a->bbox);
    ck_assert_mem_eq(a->area, b->area, n * sizeof *a->area);
    ck_assert_mem_eq(a->predicted_iou, b->predicted_iou, n * sizeof *a->predicted_iou);
    ck_assert_mem_eq(a->stability_score, b->stability_score, n * sizeof *a->stability_score);
    ck_assert_mem_eq(a->point_coords, b->point_coords, n * sizeof *a->point_coords);
    ck_assert_mem_eq(a->crop_box, b->crop_box, n * sizeof *a->crop_box);
    ck_assert_mem_eq(a->source, b->source, n * sizeof *a->source);
    ck_assert_mem_eq(a->rle_offset, b->rle_offset, (n + 1) * sizeof *a->rle_offset);
    ck_assert_mem_eq(a->rle, b->rle, a->rle_offset[n]);
}

#endif
