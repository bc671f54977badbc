/* Records: what a rank sends to the owner of a shard when an image is finished, and what the owner keeps of it.
 *
 * The packed form is self-contained and little-endian, so that the same bytes travel between ranks and rest in a
 * journal: fixed header, funnel, file-local reason, then the mask columns, RLE offsets and RLE bytes. */
#ifndef MASKMILL_JOURNAL_H
#define MASKMILL_JOURNAL_H

#include "maskmill/amg.h"

typedef enum mm_image_status {
    MM_IMAGE_ABSENT = 0,
    MM_IMAGE_DONE = 1,
    MM_IMAGE_SET_ASIDE = 2, /* it could not be made */
    MM_IMAGE_SKIPPED = 3    /* it was not to be made: a near-duplicate of another */
} mm_image_status;

/* One image's result in columns, as shards store them. Owns its arrays. */
typedef struct mm_record {
    uint64_t image_id;
    uint32_t width, height; /* of the frame; of the file (or 0) for images set aside */
    uint8_t status;         /* mm_image_status */
    char *reason;           /* why it was set aside, one line; NULL when done */
    mm_funnel funnel;
    uint64_t mask_count;
    float (*bbox)[4];
    uint32_t *area;
    float *predicted_iou;
    float *stability_score;
    float (*point_coords)[2];
    float (*crop_box)[4];
    uint8_t *source;      /* 0 automatic, 1 confident, 2 human */
    uint64_t *rle_offset; /* [mask_count + 1], rle_offset[0] = 0 */
    uint8_t *rle;         /* compressed counts end to end */
} mm_record;

MM_RESULT_USED mm_status mm_record_from_annotations(uint64_t image_id, const mm_annotations *annotations,
                                                    mm_record *record, mm_error *err);
MM_RESULT_USED mm_status mm_record_set_aside(uint64_t image_id, uint32_t width, uint32_t height, const char *reason,
                                             mm_record *record, mm_error *err);
MM_RESULT_USED mm_status mm_record_skip(uint64_t image_id, uint32_t width, uint32_t height, mm_record *record,
                                        mm_error *err);
void mm_record_free(mm_record *record);

/* The caller frees *bytes. */
MM_RESULT_USED mm_status mm_record_pack(const mm_record *record, uint8_t **bytes, size_t *size, mm_error *err);
/* From untrusted bytes: every length is checked against `size`, every mask's counts against the frame. */
MM_RESULT_USED mm_status mm_record_unpack(const uint8_t *bytes, size_t size, mm_record *record, mm_error *err);

#endif
