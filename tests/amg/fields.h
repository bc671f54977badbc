/* Logits that tests/data/amg/make_amg.py computes with the same bits, and golden files. */
#ifndef MM_TESTS_AMG_FIELDS_H
#define MM_TESTS_AMG_FIELDS_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden_file.h"
#include "maskmill/amg.h"

/* Bilinear patches between random integers. */
static inline void fill_field(float *logits, uint32_t low, uint32_t cells, uint32_t seed, double amplitude, double bias)
{
    const uint32_t side = cells + 1, step = low / cells;
    int64_t *nodes = malloc((size_t)side * side * sizeof *nodes);
    for (uint32_t i = 0; i < side * side; i++) {
        seed = seed * 1664525u + 1013904223u;
        nodes[i] = (int64_t)((seed >> 16) % 129) - 64;
    }
    for (uint32_t y = 0; y < low; y++) {
        for (uint32_t x = 0; x < low; x++) {
            const int64_t *node = nodes + y / step * side + x / step, fx = x % step, fy = y % step;
            const int64_t left = node[0] * (step - fy) + node[side] * fy;
            const int64_t right = node[1] * (step - fy) + node[side + 1] * fy;
            const double value = (double)(left * (step - fx) + right * fx) * amplitude / (64.0 * step * step);
            logits[y * low + x] = (float)(value + bias);
        }
    }
    free(nodes);
}

static inline uint32_t mix(uint32_t x)
{
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

enum { FAKE_LOW = 64, FAKE_IMAGE_SIZE = 256 };

typedef struct fake_mask {
    uint32_t salt, crop, prompt, mask;
} fake_mask;

static inline uint32_t draw(const fake_mask *f, uint32_t what, uint32_t n)
{
    return mix(mix(f->salt) + mix(((f->crop * 4096 + f->prompt) * 4 + f->mask) * 16 + what)) % n;
}

static inline float fake_iou(const fake_mask *f)
{
    return (float)((draw(f, 0, 700) + 324) / 1024.0 - (draw(f, 1, 9) == 0));
}

static inline int disc(int x, int y, int cx, int cy, int r)
{
    return r * r - (x - cx) * (x - cx) - (y - cy) * (y - cy);
}

static inline void fake_logits(const fake_mask *f, float logits[FAKE_LOW * FAKE_LOW])
{
    const uint32_t place = draw(f, 2, 14);
    const int cx = (int)(16 + mix(9000 + place) % 220 + draw(f, 3, 5));
    const int cy = (int)(16 + mix(9100 + place) % 160 + draw(f, 4, 5));
    const int r = (int)(14 + draw(f, 5, 50));
    const int hole_x = cx + (int)draw(f, 6, 20) - 10, hole_y = cy + (int)draw(f, 7, 20) - 10;
    const int hole_r = (int)draw(f, 8, 12), island_r = (int)draw(f, 11, 12);
    const int island_x = cx + r + 8 + (int)draw(f, 9, 12), island_y = cy + (int)draw(f, 10, 30) - 15;
    const int steepness = 2 + (int)draw(f, 13, 7);
    const bool empty = draw(f, 12, 12) == 0;
    for (int i = 0; i < FAKE_LOW * FAKE_LOW; i++) {
        const int x = i % FAKE_LOW * 4, y = i / FAKE_LOW * 4;
        int v = disc(x, y, cx, cy, r);
        const int hole = -disc(x, y, hole_x, hole_y, hole_r), island = disc(x, y, island_x, island_y, island_r);
        v = v < hole ? v : hole;
        v = v > island ? v : island;
        v = empty ? -1000 : v;
        logits[i] = (float)(v * steepness / 64.0) + 0.0137f;
    }
}

#endif
