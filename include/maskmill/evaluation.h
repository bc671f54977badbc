/* What `maskmill eval` finds out about a model on the masks of datasets, as a value, as JSON and as a page. docs/training.md
 * says how it is measured. */
#ifndef MASKMILL_EVALUATION_H
#define MASKMILL_EVALUATION_H

#include <stdint.h>
#include <stdio.h>

#include "maskmill/status.h"

enum {
    MM_EVALUATE_CLICKS = 16,
    MM_EVALUATE_BINS = 10,
    MM_EVALUATE_IOUS = 10,   /* 0.50, 0.55 .. 0.95 */
    MM_EVALUATE_SIZES = 3,   /* small, medium, large: see mm_evaluation_size */
    MM_EVALUATE_SOURCES = 3, /* automatic, confident, human */
    MM_EVALUATE_NAME = 256,
    MM_EVALUATE_MODELS = 8   /* on one page */
};

/* Of the masks of one size, or of one source. */
typedef struct mm_evaluation_part {
    double masks;                      /* that were asked for */
    double clicks[MM_EVALUATE_CLICKS]; /* mean IoU of the answer after one click, two, ... */
    double box;                        /* and by a box */
    double sought;                     /* masks that were looked for among those that were generated */
    double recall[MM_EVALUATE_IOUS];   /* share of them that was found */
} mm_evaluation_part;

typedef struct mm_evaluation_result {
    char model[MM_EVALUATE_NAME];   /* its path as it was given */
    char dataset[MM_EVALUATE_NAME]; /* the first one's path */
    uint32_t datasets;
    uint32_t click_count;
    uint64_t images;
    uint64_t encoded; /* by this call; not in JSON */
    double masks;
    /* Mean IoU after one click, two, ...: of the answer (the output whose predicted IoU is highest), and of the best
     * output. */
    double clicks[MM_EVALUATE_CLICKS], best[MM_EVALUATE_CLICKS];
    double box, box_best; /* the same by a box */
    double iou_error;     /* mean distance of predicted IoUs from the true ones, after one click */
    struct {
        double count, predicted, truth; /* answers to one click by their predicted IoU in tenths: number and means */
    } calibration[MM_EVALUATE_BINS];
    struct {
        uint64_t images;                    /* 0: no masks were generated */
        double pred_iou_thresh, stability_score_thresh;
        double sought, made;                /* masks of the dataset, and masks that were generated, on those images */
        double recall[MM_EVALUATE_IOUS];    /* share of the sought that a generated mask meets with that IoU */
        double precision[MM_EVALUATE_IOUS]; /* share of the generated that meets one of the sought */
    } generated;
    mm_evaluation_part sizes[MM_EVALUATE_SIZES], sources[MM_EVALUATE_SOURCES];
} mm_evaluation_result;

/* Which size a mask of `area` pixels has in an image of `frame` pixels, by the side of a square as large as the mask: below
 * 1/16 of that of the image small, from 1/6 on large; about what COCO's 32 and 96 pixels are in COCO's images. */
int mm_evaluation_size(double area, double frame);
extern const char *const mm_evaluation_size_names[MM_EVALUATE_SIZES];
extern const char *const mm_evaluation_source_names[MM_EVALUATE_SOURCES];
/* IoU number i of recall and precision. */
double mm_evaluation_iou(int i);

/* One object, or of several evaluations an array of them; with a newline. MM_ERR_NOMEM alone: errors of writing stay with
 * `out`. */
MM_RESULT_USED mm_status mm_evaluation_write(const mm_evaluation_result *results, size_t count, FILE *out, mm_error *err);
/* What that wrote, from an untrusted file: appended to results[*count], of which there is room for `room`. */
MM_RESULT_USED mm_status mm_evaluation_read(const char *path, mm_evaluation_result *results, size_t room, size_t *count,
                                            mm_error *err);

/* One HTML page that needs no other file: tables and curves of 1 .. MM_EVALUATE_MODELS evaluations side by side, in the
 * order given, which is that of time where models were trained one after the other. Errors of writing stay with `out`. */
void mm_evaluation_page(const mm_evaluation_result *results, size_t count, FILE *out);

#endif
