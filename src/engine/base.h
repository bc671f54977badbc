/* The dataset that a new one is made from: its masks are kept, and confident masks are found anew (`maskmill detect
 * DATASET`). */
#ifndef MM_ENGINE_BASE_H
#define MM_ENGINE_BASE_H

#include <pthread.h>

#include "maskmill/engine.h"
#include "maskmill/shard.h"

/* Open it, and see that it is whole and not a part of one. The caller closes *dataset. */
MM_RESULT_USED mm_status mm_base_open(const char *path, mm_dataset **dataset, mm_error *err);
/* Its configuration with sets[] on top. MM_ERR_USAGE if these change more than detect.* and journal.*: masks that are kept
 * were made with the rest. detect.enabled is true afterwards. */
MM_RESULT_USED mm_status mm_base_config(const mm_dataset *dataset, const char *const *sets, size_t set_count,
                                        mm_config *config, mm_error *err);
/* What tells it from another one: the digest of its dataset.h5. */
MM_RESULT_USED mm_status mm_base_digest(const mm_dataset *dataset, uint64_t *digest, mm_error *err);

/* The masks of an image, without the confident ones it may have. `hdf5` is locked meanwhile, because HDF5 is not for
 * two threads and another one writes shards; NULL: there is no other. MM_ERR_USAGE if the dataset is damaged: that is not
 * the image's fault. */
MM_RESULT_USED mm_status mm_base_read(const mm_dataset *dataset, pthread_mutex_t *hdf5, uint64_t image_id,
                                      mm_record *record, mm_error *err);
/* Shards store how many masks were left after each step as one sum: it goes to the first of records[count] that is
 * done. The caller frees *copy, whose arrays are still those of `records`. */
MM_RESULT_USED mm_status mm_base_add_funnel(const mm_dataset *dataset, uint64_t shard, const mm_record *records,
                                            size_t count, mm_record **copy, mm_error *err);

#endif
