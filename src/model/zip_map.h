/* A zip archive in memory whose uncompressed entries can be pointed at where they lie. */
#ifndef MM_MODEL_ZIP_MAP_H
#define MM_MODEL_ZIP_MAP_H

#include "maskmill/checkpoint.h"

typedef struct mm_zip mm_zip;

/* `map` must stay as it is until mm_zip_close. */
MM_RESULT_USED mm_status mm_zip_open(const unsigned char *map, size_t size, mm_zip **zip, mm_error *err);
void mm_zip_close(mm_zip *zip);

size_t mm_zip_count(const mm_zip *zip);
const char *mm_zip_name(const mm_zip *zip, size_t index);              /* NULL if it cannot be read */
bool mm_zip_find(const mm_zip *zip, const char *name, size_t *index);

/* The size that the archive claims for an entry, checked to be possible for the bytes it occupies. */
MM_RESULT_USED mm_status mm_zip_size(const mm_zip *zip, size_t index, uint64_t *size, mm_error *err);

/* Read an entry through, which checks its CRC-32. A stored entry: *in_place points into the map, `out` is unused and
 * may be NULL. A compressed entry: *in_place is NULL and `out` (mm_zip_size bytes) is filled. */
MM_RESULT_USED mm_status mm_zip_read(mm_zip *zip, size_t index, unsigned char *out, const unsigned char **in_place,
                                     mm_error *err);
bool mm_zip_is_stored(const mm_zip *zip, size_t index);

#endif
