/* What the module itself asks of the upsampler beyond the public functions. */
#ifndef MM_AMG_UPSAMPLE_H
#define MM_AMG_UPSAMPLE_H

#include "maskmill/amg.h"

/* mm_upsampler_new takes the best instruction set; tests hold them against each other. The CPU must have `isa`. */
MM_RESULT_USED mm_status mm_upsampler_new_for(const mm_frame *frame, mm_isa isa, mm_upsampler **upsampler,
                                              mm_error *err);

/* mm_upsampler_scan for a filter that keeps masks with above_high / above_low >= min_stability, compared in float: as
 * soon as it is certain that this one does not pass, the scan is given up; then rle->runs is NULL and *scan is of no
 * use. With min_stability 0 or a negative offset this does not happen. rle is not NULL. */
MM_RESULT_USED mm_status mm_upsampler_scan_stable(const mm_upsampler *upsampler, const float *logits, float offset,
                                                  float min_stability, void *scratch, mm_mask_scan *scan, mm_rle *rle,
                                                  mm_error *err);

#endif
