/* Rows of a table in memory as columns in HDF5. Whoever calls these holds an mm_h5_silence. */
#ifndef MM_QUEUE_COLUMNS_H
#define MM_QUEUE_COLUMNS_H

#include "corpus/h5.h"

typedef struct mm_row_column {
    mm_h5_column column; /* of numbers, one a row */
    size_t field;        /* its offset in a row */
} mm_row_column;

MM_RESULT_USED mm_status mm_rows_write(hid_t group, const mm_row_column *columns, size_t column_count,
                                       const void *rows, size_t row_size, size_t count, mm_error *err);
/* The caller frees *rows, which has room for a row more than *count; NULL and 0 after a failure. MM_ERR_FORMAT unless
 * all columns are there and equally long. */
MM_RESULT_USED mm_status mm_rows_read(hid_t group, const mm_row_column *columns, size_t column_count, size_t row_size,
                                      void **rows, size_t *count, mm_error *err);

#endif
