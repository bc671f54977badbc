/* Which file an image's JSON goes to. */
#ifndef MM_SHARD_EXPORT_NAME_H
#define MM_SHARD_EXPORT_NAME_H

#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

/* Names given out so far, as digests. */
typedef struct mm_export_names {
    uint64_t *digests; /* open addressing, 0 is free */
    size_t count, room;
} mm_export_names;

/* The image's name with .json for its extension, below the export's folder. Names that lead out of it (absolute, or
 * with
 * "..") are made flat: '/' becomes '_'. A name that is taken gets the image's id before .json. The caller frees *name.
 */
MM_RESULT_USED mm_status mm_export_name(mm_export_names *names, const char *file_name, uint64_t image_id, char **name,
                                        mm_error *err);
void mm_export_names_free(mm_export_names *names);

#endif
