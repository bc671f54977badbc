/* JSON as the exports need it, streamed. */
#ifndef MM_SHARD_JSON_H
#define MM_SHARD_JSON_H

#include <stdio.h>

#include "maskmill/shard.h"

/* A JSON string of `size` bytes; bytes that are no UTF-8 become U+FFFD. */
void mm_json_string(FILE *out, const void *bytes, size_t size);
/* The shortest decimal that reads back as the same f32; null for NaN and infinities, which JSON has not. */
void mm_json_f32(FILE *out, float value);
void mm_json_f32_list(FILE *out, const float *values, size_t count);

/* {"size": [height, width], "counts": "..."} */
void mm_json_rle(FILE *out, uint32_t height, uint32_t width, const uint8_t *counts, size_t size);

/* "name": ..., for mask i of a record, from bbox to crop_box, without braces. */
void mm_json_mask_fields(FILE *out, const mm_record *record, uint64_t i);

#endif
