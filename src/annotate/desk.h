/* The desk: images at hand, with the workers that bring them there and answer clicks on them.
 *
 * An image on the desk has its picture as JPEG, the masks that were there before, and, a little later, its embedding:
 * from an embedding cache, or made by a worker. The images that were used longest ago make room. Clicks go before
 * images that people wait for, these before images that they will come to; one worker is always left for clicks.
 *
 * All of this is thread-safe. */
#ifndef MM_ANNOTATE_DESK_H
#define MM_ANNOTATE_DESK_H

#include "annotate/source.h"
#include "maskmill/amg.h"

typedef struct mm_desk mm_desk;
typedef struct mm_desk_image mm_desk_image;

typedef struct mm_desk_options {
    const mm_model *model;
    mm_source *source;
    const char *cache; /* folder of an embedding cache, or NULL */
    uint32_t workers;  /* at least 2 */
    uint32_t images;   /* on the desk at once, at least 4 */
    uint32_t hot;      /* of them, with the decoder's memory: as many answer clicks without preparing anything again */
} mm_desk_options;

MM_RESULT_USED mm_status mm_desk_new(const mm_desk_options *options, mm_desk **desk, mm_error *err);
/* From now on nothing is waited for any more: all that wait come back with MM_ERR_LIMIT or MM_ERR_STOPPED. */
void mm_desk_stop(mm_desk *desk);
/* When nobody uses it any more. */
void mm_desk_free(mm_desk *desk);

/* Bring an image to the desk when there is time. */
void mm_desk_expect(mm_desk *desk, uint64_t index);
/* Bring it now; returns when picture and masks are there, and keeps them there until mm_desk_leave. MM_ERR_LIMIT if
 * everything on the desk is in use; otherwise why the image cannot be shown. */
MM_RESULT_USED mm_status mm_desk_take(mm_desk *desk, uint64_t index, mm_desk_image **image, mm_error *err);
void mm_desk_leave(mm_desk *desk, mm_desk_image *image);

/* Of an image that was taken. */
uint32_t mm_desk_width(const mm_desk_image *image);
uint32_t mm_desk_height(const mm_desk_image *image);
const uint8_t *mm_desk_jpeg(const mm_desk_image *image, size_t *size);
const mm_shown_item *mm_desk_items(const mm_desk_image *image, size_t *count);
bool mm_desk_ready(mm_desk *desk, const mm_desk_image *image); /* its embedding is there */

enum { MM_DESK_POINTS = 64, MM_DESK_MASKS = MM_MAX_MASK_TOKENS };

typedef struct mm_click {
    mm_point points[MM_DESK_POINTS]; /* inside the frame */
    size_t count;
    double box[4];
    bool has_box;
    uint64_t earlier; /* the result whose logits go in again; 0: none */
    uint32_t mask;    /* which of its masks, counted as it was answered */
} mm_click;

typedef struct mm_click_mask {
    float predicted_iou, stability_score;
    uint32_t area;
    uint32_t box[4]; /* inclusive corners */
    uint8_t *counts; /* [size] */
    size_t size;
} mm_click_mask;

typedef struct mm_click_result {
    uint64_t number;  /* for mm_click's `earlier`; the last few of each image are kept */
    bool went_in;     /* `earlier` was still there */
    double seconds;   /* of a worker */
    mm_click_mask masks[MM_DESK_MASKS]; /* best predicted IoU first */
    size_t count;
} mm_click_result;

/* Waits for the embedding if it must. The caller frees *result. */
MM_RESULT_USED mm_status mm_desk_click(mm_desk *desk, mm_desk_image *image, const mm_click *click,
                                       mm_click_result *result, mm_error *err);
void mm_click_result_free(mm_click_result *result);

#endif
