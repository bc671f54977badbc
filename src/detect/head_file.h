/* A detector's file: safetensors with the parameters of head.h by name, and the metadata maskmill.detector, JSON:
 *   version 1, encoder_sha256, embed_dim, embedding_side, width, depth, norm "layer",
 *   thresholds {score, confident_score, confident_iou, confident_stability, stability_offset, ...}, all optional,
 *   training {...}: how it was made and what it reached, for people. */
#ifndef MM_DETECT_HEAD_FILE_H
#define MM_DETECT_HEAD_FILE_H

#include <jansson.h>

#include "detect/head.h"

enum { MM_DETECTOR_VERSION = 1 };

typedef struct mm_head_file {
    mm_head head;
    float *parameters; /* [head.parameters] */
    char encoder_sha256[65];
    mm_detect_params defaults;
    char *metadata; /* the JSON */
} mm_head_file;

/* Everything is checked: names, shapes, finite values. The caller frees with mm_head_file_free. */
MM_RESULT_USED mm_status mm_head_file_read(const char *path, mm_head_file *file, mm_error *err);
void mm_head_file_free(mm_head_file *file);

/* `training` (borrowed, may be NULL) becomes the metadata's. Temporary name, fsync, rename. */
MM_RESULT_USED mm_status mm_head_file_write(const char *path, const mm_head *head, const float *parameters,
                                            const char *encoder_sha256, const mm_detect_params *defaults,
                                            json_t *training, mm_error *err);

/* The parameters (or anything shaped like them) as tensors named `prefix` and their own name.
 * tensors[head->tensor_count] point into values and names[head->tensor_count]. */
typedef char mm_head_name[64];
void mm_head_list(const mm_head *head, const char *prefix, const float *values, mm_head_name *names,
                  mm_tensor *tensors);
/* The way back: MM_ERR_FORMAT if one is missing, misshapen or not finite. */
MM_RESULT_USED mm_status mm_head_collect(const mm_head *head, const char *prefix, const mm_checkpoint *checkpoint,
                                         float *values, mm_error *err);

/* What detectors come with until it is known better. */
mm_detect_params mm_detect_general_defaults(void);

#endif
