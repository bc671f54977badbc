/* What a bench needs beside the program's own work. */
#ifndef MM_ENGINE_BENCH_PARTS_H
#define MM_ENGINE_BENCH_PARTS_H

#include "maskmill/bench.h"

/* A picture to measure on: sky and ground, shapes of many sizes, noise. Integers only, so that every machine draws the
 * same. The caller frees *picture. */
MM_RESULT_USED mm_status mm_bench_picture(uint32_t width, uint32_t height, mm_image *picture, mm_error *err);

/* Of this process: the most that ever was resident, and what is resident now of mapped files. 0 for what the system does
 * not tell. */
void mm_bench_memory(uint64_t *peak_bytes, uint64_t *own_bytes, uint64_t *mapped_bytes);

/* seconds[count], count > 0, is sorted on return. */
mm_spread mm_bench_spread(double *seconds, size_t count);

#endif
