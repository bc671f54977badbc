/* A run without inference, for tests and benchmarks: everything but mask generation is the real thing. No option of the
 * program leads here. */
#ifndef MM_ENGINE_STAND_IN_H
#define MM_ENGINE_STAND_IN_H

#include "maskmill/engine.h"

typedef struct mm_stand_in {
    void *user;
    /* Instead of mm_amg_generate. Shards are comparable if the masks depend on the image alone. */
    mm_status (*annotate)(void *user, uint64_t image_id, const mm_image *image, mm_annotations *annotations,
                          mm_error *err);
} mm_stand_in;

/* mm_engine_run with a stand-in; NULL is none. */
MM_RESULT_USED mm_status mm_engine_run_with(mm_comm *comm, const mm_run_options *options, const mm_stand_in *stand_in,
                                            mm_run_summary *summary, mm_error *err);

#endif
