/* The columns that a record has one row a mask of, as one table: packing, unpacking, shards and digests walk it.
 * Its order is the order on the wire, in the journal and in masks_digest, so it is part of the format. */
#ifndef MM_JOURNAL_COLUMNS_H
#define MM_JOURNAL_COLUMNS_H

#include "maskmill/journal.h"

typedef struct mm_mask_column {
    const char *name;
    size_t field;       /* offset of the pointer in mm_record */
    uint32_t value;     /* bytes of one value: 4 = f32 or u32, 1 = u8 */
    uint32_t width;     /* values a row; 0 is one, without an axis of its own in HDF5 */
    uint8_t is_integer; /* u32, u16 or u8 rather than f32 */
    uint8_t set;        /* MM_SET_...: with which others it is there or not; 0: always there */
} mm_mask_column;

/* Sets of columns that not every record has. */
enum { MM_SET_HUMAN = 1, MM_SET_DETECTOR = 2 };

enum { MM_MASK_COLUMNS = 11 };
extern const mm_mask_column mm_mask_columns[MM_MASK_COLUMNS];

/* Whether a table with these `sets` has the column. */
bool mm_mask_column_in(const mm_mask_column *column, uint32_t sets);
/* The sets that a record has. */
uint32_t mm_record_sets(const mm_record *record);
/* Bytes of a mask's row in all columns of a table with these `sets`. */
size_t mm_mask_columns_row(uint32_t sets);

/* Bytes of a row. */
size_t mm_mask_column_row(const mm_mask_column *column);
void *mm_record_column(const mm_record *record, const mm_mask_column *column);

/* Make the arrays of an otherwise filled record, uninitialised but for rle_offset[0] = 0. */
MM_RESULT_USED mm_status mm_record_allocate(mm_record *record, uint32_t sets, uint64_t mask_count, uint64_t rle_bytes,
                                            mm_error *err);

/* What every record must satisfy by itself: status, offsets that rise from 0 to rle_bytes, sources, scores and times
 * that are numbers. The counts are not looked at, nor are further masks. */
MM_RESULT_USED mm_status mm_record_check_shape(const mm_record *record, uint64_t rle_bytes, mm_error *err);
/* What further masks must satisfy towards the record they hang on: of the same image and frame, of an image that is done,
 * with the columns that belong to them and none else. */
MM_RESULT_USED mm_status mm_record_check_further(const mm_record *record, mm_error *err);
/* Mask i's counts are whole runs that fill the frame, and their area is the one stored. */
MM_RESULT_USED mm_status mm_record_check_mask(const mm_record *record, uint64_t i, mm_rle *rle, mm_error *err);

#endif
