/* The upsampler with the loops of a given instruction set, which tests hold against each other. */
#ifndef MM_AMG_UPSAMPLE_H
#define MM_AMG_UPSAMPLE_H

#include "maskmill/amg.h"

/* mm_upsampler_new takes the best; the CPU must have `isa`. */
MM_RESULT_USED mm_status mm_upsampler_new_for(const mm_frame *frame, mm_isa isa, mm_upsampler **upsampler,
                                              mm_error *err);

#endif
