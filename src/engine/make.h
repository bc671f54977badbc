/* One image: read, decode, make masks, pack into a record. */
#ifndef MM_ENGINE_MAKE_H
#define MM_ENGINE_MAKE_H

#include "engine/report.h"
#include "engine/stand_in.h"
#include "maskmill/journal.h"

typedef struct mm_maker {
    const mm_setup *setup;
    const mm_stand_in *stand_in;    /* NULL but in tests and benchmarks */
    pthread_mutex_t *hdf5;          /* held by whoever calls HDF5 while images are made; NULL: only this thread does */
    double seconds[MM_STAGE_COUNT]; /* so far */
} mm_maker;

/* *record, which the caller frees. A failure that lies in the image sets it aside: *why says of what kind it was.
 * Any other is returned. */
MM_RESULT_USED mm_status mm_make_image(mm_maker *maker, uint64_t image_id, mm_record *record, mm_status *why,
                                       mm_error *err);

#endif
