#include "queue/columns.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

mm_status mm_rows_write(hid_t group, const mm_row_column *columns, size_t column_count, const void *rows,
                        size_t row_size, size_t count, mm_error *err)
{
    uint8_t *values = malloc(count * sizeof(uint64_t) + 1);
    mm_status status = values ? MM_OK : mm_fail_memory(err, "a table's columns");
    for (size_t c = 0; status == MM_OK && c < column_count; c++) {
        const size_t size = mm_h5_type_size(columns[c].column.type);
        for (size_t i = 0; i < count; i++)
            memcpy(values + i * size, (const char *)rows + i * row_size + columns[c].field, size);
        status = mm_h5_column_put(group, &columns[c].column, count, values, err);
    }
    free(values);
    return status;
}

/* The first column says how many rows there are; memory is taken when its length is known to be in the file. */
static mm_status read_column(hid_t group, const mm_row_column *column, size_t row_size, bool first, void **rows,
                             size_t *count, mm_error *err)
{
    const size_t size = mm_h5_type_size(column->column.type);
    hid_t dataset;
    uint64_t found = 0;
    uint8_t *values = NULL;
    mm_status status = mm_h5_column_open(group, &column->column, &dataset, &found, err);
    if (status != MM_OK)
        return status;
    if (first && found > UINT32_MAX / 2)
        status = mm_fail(err, MM_ERR_LIMIT, "it has %" PRIu64 " rows, which are too many", found);
    else if (!first && found != *count)
        status = mm_fail(err, MM_ERR_FORMAT, "its columns are not equally long");
    if (status == MM_OK && first) {
        *rows = calloc((size_t)found + 1, row_size);
        *count = (size_t)found;
    }
    if (status == MM_OK) {
        values = malloc((size_t)found * size + 1);
        status = values && *rows ? mm_h5_column_read(dataset, &column->column, 0, found, values, err)
                                 : mm_fail_memory(err, "a table's rows");
    }
    for (size_t i = 0; status == MM_OK && i < *count; i++)
        memcpy((char *)*rows + i * row_size + column->field, values + i * size, size);
    free(values);
    (void)H5Dclose(dataset); /* only read from */
    return status;
}

mm_status mm_rows_read(hid_t group, const mm_row_column *columns, size_t column_count, size_t row_size, void **rows,
                       size_t *count, mm_error *err)
{
    mm_status status = MM_OK;
    *rows = NULL;
    *count = 0;
    for (size_t c = 0; status == MM_OK && c < column_count; c++)
        status = read_column(group, &columns[c], row_size, c == 0, rows, count, err);
    if (status != MM_OK) {
        free(*rows);
        *rows = NULL;
        *count = 0;
    }
    return status;
}
