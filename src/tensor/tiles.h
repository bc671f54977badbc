/* One function for each size of register tile, so that its sums stay in registers: up to 6 rows and 4 vectors. A file that includes
 * this has before it
 *   typedef ... tile;
 *   static inline void run_tile(const tile *t, size_t rows, size_t vectors);     always inlined
 * and gets tiles[rows - 1][vectors - 1]. */
#ifndef MM_TENSOR_TILES_H
#define MM_TENSOR_TILES_H

#include <stddef.h>

#define TILE(rows, vectors)                                                                                            \
    static void tile_##rows##_##vectors(const tile *t)                                                                 \
    {                                                                                                                  \
        run_tile(t, rows, vectors);                                                                                    \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3) TILE(rows, 4)
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)
#undef TILES
#undef TILE

static void (*const tiles[6][4])(const tile *) = {
    {tile_1_1, tile_1_2, tile_1_3, tile_1_4}, {tile_2_1, tile_2_2, tile_2_3, tile_2_4},
    {tile_3_1, tile_3_2, tile_3_3, tile_3_4}, {tile_4_1, tile_4_2, tile_4_3, tile_4_4},
    {tile_5_1, tile_5_2, tile_5_3, tile_5_4}, {tile_6_1, tile_6_2, tile_6_3, tile_6_4},
};

#endif
