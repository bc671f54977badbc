/* The photographs of a dataset, as its run saw them, and their masks. */
#ifndef MM_REPORT_PHOTOGRAPH_H
#define MM_REPORT_PHOTOGRAPH_H

#include "maskmill/corpus.h"
#include "maskmill/engine.h"
#include "maskmill/image.h"
#include "maskmill/shard.h"

typedef struct mm_photographs {
    mm_manifest *manifest;
    mm_config config;
} mm_photographs;

/* The manifest of a dataset, or of the one that a single shard belongs to; `corpus` (may be NULL) is where the
 * photographs are now. The caller frees *manifest, also after a failure. */
MM_RESULT_USED mm_status mm_photographs_manifest(const mm_dataset *dataset, const char *corpus, mm_manifest **manifest,
                                                 mm_error *err);

/* Through the dataset's manifest.h5 and configuration; `corpus`: where the photographs are now, or NULL. The caller
 * closes it. */
MM_RESULT_USED mm_status mm_photographs_open(const mm_dataset *dataset, const char *corpus, mm_photographs *photographs,
                                             mm_error *err);
void mm_photographs_close(mm_photographs *photographs);
/* Decoded as the run decoded it; the caller frees the image. */
MM_RESULT_USED mm_status mm_photographs_read(const mm_photographs *photographs, uint64_t image_id, mm_image *image,
                                             mm_error *err);

/* The masks of a record. The caller frees with mm_photograph_masks_free, also after a failure. */
MM_RESULT_USED mm_status mm_photograph_masks(const mm_record *record, mm_rle **masks, mm_error *err);
void mm_photograph_masks_free(const mm_record *record, mm_rle *masks);

#endif
