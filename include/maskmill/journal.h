/* Records: what a rank sends to the owner of a shard when an image is finished; and journals, where they rest until
 * the shard is whole.
 *
 * The packed form is self-contained and little-endian, so that the same bytes travel between ranks and rest in a
 * journal: fixed header, funnel, file-local reason, then the mask columns, RLE offsets and RLE bytes, then the packed
 * records of further masks.
 *
 * A journal, OUT/journal/sa_000000.mmj, is append-only: a header of 56 bytes that says which shard of which run it
 * is of, then records of length u32, image_id u64, payload, CRC-32C u32 over all three. Whatever moment a process
 * dies at, the records before the last are whole, and what is torn at the end is recognised and cut.
 * docs/formats.md has the bytes. */
#ifndef MASKMILL_JOURNAL_H
#define MASKMILL_JOURNAL_H

#include "maskmill/amg.h"

typedef enum mm_image_status {
    MM_IMAGE_ABSENT = 0,
    MM_IMAGE_DONE = 1,
    MM_IMAGE_SET_ASIDE = 2, /* it could not be made */
    MM_IMAGE_SKIPPED = 3    /* it was not to be made: a near-duplicate of another */
} mm_image_status;

/* One image's result in columns, as shards store them. Owns its arrays, and what hangs on it. */
typedef struct mm_record {
    uint64_t image_id;
    uint32_t width, height; /* of the frame; of the file (or 0) for images set aside */
    uint8_t status;         /* mm_image_status */
    uint8_t why;            /* mm_status, the kind of failure, when set aside; 0 when done */
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

    float *detector_score; /* [mask_count], 0 to 1: of confident masks; NULL elsewhere */
    /* What people did, all three or none of them NULL. */
    uint16_t *annotator; /* 0 nobody, k: number k - 1 of the dataset's annotators */
    float *seconds;      /* spent on the mask; 0 unknown */
    uint16_t *clicks;    /* likewise */

    /* Further masks of the same image and frame; NULL where they were not asked for. They have no further ones
     * themselves, no funnel and no reason, and nothing that people did. */
    struct mm_record *confident; /* a detector's; these have detector_score */
    struct mm_record *hints;     /* masks of the grid that fell just short */
} mm_record;

MM_RESULT_USED mm_status mm_record_from_annotations(uint64_t image_id, const mm_annotations *annotations,
                                                    mm_record *record, mm_error *err);
MM_RESULT_USED mm_status mm_record_set_aside(uint64_t image_id, uint32_t width, uint32_t height, const char *reason,
                                             mm_record *record, mm_error *err);
MM_RESULT_USED mm_status mm_record_skip(uint64_t image_id, uint32_t width, uint32_t height, mm_record *record,
                                        mm_error *err);
/* Give an image that is done its further masks, made of annotations of the same frame; score[] is one value a mask.
 * Those it had are freed. */
MM_RESULT_USED mm_status mm_record_set_confident(mm_record *record, const mm_annotations *annotations,
                                                 const float *score, mm_error *err);
MM_RESULT_USED mm_status mm_record_set_hints(mm_record *record, const mm_annotations *annotations, mm_error *err);
/* Give a record the columns of what people did, all zero, unless it has them. */
MM_RESULT_USED mm_status mm_record_make_human(mm_record *record, mm_error *err);
/* Frees further masks as well; the record is all zero afterwards. */
void mm_record_free(mm_record *record);

/* The caller frees *bytes. */
MM_RESULT_USED mm_status mm_record_pack(const mm_record *record, uint8_t **bytes, size_t *size, mm_error *err);
/* From untrusted bytes: every length is checked against `size`, every mask's counts against the frame. */
MM_RESULT_USED mm_status mm_record_unpack(const uint8_t *bytes, size_t size, mm_record *record, mm_error *err);

/* CRC-32C of bytes[size] after `crc`, the CRC of what stands before them; start with 0. */
uint32_t mm_crc32c(uint32_t crc, const void *bytes, size_t size);

typedef struct mm_journal_origin {
    uint64_t shard, first_image, images; /* records of images first_image .. first_image + images - 1 belong here */
    uint8_t run[16];                     /* digest of what the run depends on: config, model, manifest, kernels */
} mm_journal_origin;

/* One shard's journal. Not thread-safe; threads may hand it on. */
typedef struct mm_journal mm_journal;

typedef struct mm_journal_visitor {
    void *user;
    /* One whole record, in the order of the file. MM_ERR_FORMAT: it is damaged all the same, cut here; any other
     * failure ends mm_journal_open with it. */
    mm_status (*record)(void *user, uint64_t image_id, const uint8_t *payload, size_t size, mm_error *err);
} mm_journal_visitor;

/* Open `path` for appending, or make it. What is in it is checked record by record and shown to `visitor` (may be
 * NULL); from the first record on that is torn, damaged, out of the shard or there twice, the rest is cut off, and
 * *cut says how many bytes that was. MM_ERR_FORMAT if it is of another run or shard, MM_ERR_UNSUPPORTED if of
 * another version, MM_ERR_IO if the system refuses. */
MM_RESULT_USED mm_status mm_journal_open(const char *path, const mm_journal_origin *origin,
                                         const mm_journal_visitor *visitor, mm_journal **journal, uint64_t *cut,
                                         mm_error *err);
/* NULL is fine. Does not sync. */
void mm_journal_close(mm_journal *journal);

/* Write one record; when this returns, the death of the process cannot take it any more (that of the machine can, until
 * mm_journal_sync). After a failure the journal is as it was before. MM_ERR_INTERNAL for an image that is not of this
 * shard or is there already. */
MM_RESULT_USED mm_status mm_journal_append(mm_journal *journal, uint64_t image_id, const void *payload, size_t size,
                                           mm_error *err);
/* To the disk, if anything was written since the last time. */
MM_RESULT_USED mm_status mm_journal_sync(mm_journal *journal, mm_error *err);
/* The payload of an image's record, checked again; the caller frees it. */
MM_RESULT_USED mm_status mm_journal_read(mm_journal *journal, uint64_t image_id, uint8_t **payload, size_t *size,
                                         mm_error *err);
/* Sync, and give the file descriptor back until it is needed again. */
MM_RESULT_USED mm_status mm_journal_rest(mm_journal *journal, mm_error *err);
/* The shard is in its place: keep the records of images[count] alone (those set aside, whose reasons a shard has no
 * room for), in one step, or remove the file if there are none. Afterwards the journal can only be closed. */
MM_RESULT_USED mm_status mm_journal_reduce(mm_journal *journal, const uint64_t *images, size_t count, mm_error *err);

const mm_journal_origin *mm_journal_origin_of(const mm_journal *journal);
bool mm_journal_has(const mm_journal *journal, uint64_t image_id);
uint64_t mm_journal_records(const mm_journal *journal);

#endif
