/* HDF5 in maskmill's terms: errors as one line, files opened after their seal was found good, typed columns. */
#include "corpus/h5.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mm_h5_silence mm_h5_silence_begin(void)
{
    mm_h5_silence before = {NULL, NULL};
    /* If the present setting cannot be read, nothing can be put back but the default of none. */
    if (H5Eget_auto2(H5E_DEFAULT, &before.report, &before.context) < 0)
        before = (mm_h5_silence){NULL, NULL};
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return before;
}

void mm_h5_silence_end(mm_h5_silence before)
{
    (void)H5Eset_auto2(H5E_DEFAULT, before.report, before.context);
}

static herr_t first_cause(unsigned n, const H5E_error2_t *entry, void *text)
{
    if (n == 0 && entry->desc)
        (void)snprintf(text, 160, "%s", entry->desc);
    return 0;
}

mm_status mm_h5_fail(mm_error *err, mm_status status, const char *format, ...)
{
    char line[MM_ERROR_TEXT], cause[160] = "";
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(line, sizeof line, format, arguments) < 0)
        line[0] = '\0';
    va_end(arguments);
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_cause, cause);
    (void)H5Eclear2(H5E_DEFAULT);
    return cause[0] ? mm_fail(err, status, "%s: HDF5 says: %s", line, cause) : mm_fail(err, status, "%s", line);
}

static bool starts_as_hdf5(const char *path)
{
    char first[8] = "";
    FILE *file = fopen(path, "rbe");
    if (!file)
        return false;
    const bool whole = fread(first, 1, sizeof first, file) == sizeof first;
    (void)fclose(file); /* only read from */
    return whole && memcmp(first, "\x89HDF\r\n\x1a\n", sizeof first) == 0;
}

mm_status mm_h5_open(const char *path, const char *kind, bool unsealed, hid_t *file, mm_error *err)
{
    *file = H5I_INVALID_HID;
    if (!(unsealed && starts_as_hdf5(path))) {
        mm_seal seal;
        const mm_status status = mm_seal_check(path, &seal, err);
        if (status != MM_OK)
            return status;
        if (strcmp(seal.kind, kind) != 0)
            return mm_fail(err, MM_ERR_FORMAT, "%s is a %s, where a %s is needed", path, seal.kind, kind);
    }
    /* Nothing but the default access properties: virtual datasets open their sources with those, and where a source is
     * already open with others (close degree, locking), HDF5 1.10 shows its rows as zeros without an error. */
    *file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    return *file >= 0 ? MM_OK : mm_h5_fail(err, MM_ERR_FORMAT, "cannot open %s as HDF5", path);
}

size_t mm_h5_type_size(mm_h5_type type)
{
    static const size_t sizes[] = {1, 2, 4, 8, 4, sizeof(char *)};
    return sizes[type];
}

mm_status mm_h5_file_type(mm_h5_type type, hid_t *id, mm_error *err)
{
    switch (type) {
    case MM_H5_U8: *id = H5Tcopy(H5T_STD_U8LE); break;
    case MM_H5_U16: *id = H5Tcopy(H5T_STD_U16LE); break;
    case MM_H5_U32: *id = H5Tcopy(H5T_STD_U32LE); break;
    case MM_H5_U64: *id = H5Tcopy(H5T_STD_U64LE); break;
    case MM_H5_F32: *id = H5Tcopy(H5T_IEEE_F32LE); break;
    case MM_H5_STRING:
        *id = H5Tcopy(H5T_C_S1);
        if (*id >= 0 && (H5Tset_size(*id, H5T_VARIABLE) < 0 || H5Tset_cset(*id, H5T_CSET_UTF8) < 0)) {
            (void)H5Tclose(*id);
            *id = H5I_INVALID_HID;
        }
        break;
    }
    return *id >= 0 ? MM_OK : mm_h5_fail(err, MM_ERR_INTERNAL, "HDF5 cannot make a type");
}

mm_status mm_h5_group_create(hid_t parent, const char *name, hid_t *group, mm_error *err)
{
    const hid_t list = H5Pcreate(H5P_GROUP_CREATE);
    *group = H5I_INVALID_HID;
    if (list >= 0 && H5Pset_obj_track_times(list, false) >= 0)
        *group = H5Gcreate2(parent, name, H5P_DEFAULT, list, H5P_DEFAULT);
    mm_status status = MM_OK;
    if (*group < 0)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot make the group %s", name);
    if (list >= 0)
        (void)H5Pclose(list);
    return status;
}

static bool set_properties(hid_t list, const mm_h5_column *column, uint64_t most_rows)
{
    /* 256 KiB before compression: large enough to compress well, small enough to fetch one image's rows. */
    const uint64_t chunk_bytes = 256u << 10;
    const uint64_t row_bytes = mm_h5_type_size(column->type) * (column->width ? column->width : 1);
    const uint64_t rows = chunk_bytes / row_bytes ? chunk_bytes / row_bytes : 1;
    const hsize_t chunk[2] = {most_rows == 0 ? 1 : most_rows < rows ? most_rows : rows, column->width};
    return H5Pset_obj_track_times(list, false) >= 0 && H5Pset_chunk(list, column->width ? 2 : 1, chunk) >= 0 &&
           H5Pset_shuffle(list) >= 0 && H5Pset_deflate(list, 4) >= 0;
}

static mm_status create(hid_t parent, const mm_h5_column *column, uint64_t rows, hsize_t most_rows, hid_t *dataset,
                        mm_error *err)
{
    hid_t type = H5I_INVALID_HID;
    *dataset = H5I_INVALID_HID;
    mm_status status = mm_h5_file_type(column->type, &type, err);
    if (status != MM_OK)
        return status;
    const hsize_t shape[2] = {rows, column->width}, most[2] = {most_rows, column->width};
    const hid_t space = H5Screate_simple(column->width ? 2 : 1, shape, most), list = H5Pcreate(H5P_DATASET_CREATE);
    if (space >= 0 && list >= 0 && set_properties(list, column, most_rows))
        *dataset = H5Dcreate2(parent, column->name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (*dataset < 0)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot make the column %s", column->name);
    if (list >= 0)
        (void)H5Pclose(list);
    if (space >= 0)
        (void)H5Sclose(space);
    (void)H5Tclose(type);
    return status;
}

mm_status mm_h5_column_create(hid_t parent, const mm_h5_column *column, uint64_t rows, hid_t *dataset, mm_error *err)
{
    return create(parent, column, rows, rows, dataset, err);
}

mm_status mm_h5_column_create_growing(hid_t parent, const mm_h5_column *column, hid_t *dataset, mm_error *err)
{
    return create(parent, column, 1, H5S_UNLIMITED, dataset, err);
}

/* Reads (`out`) or writes (`in`) a block of rows. */
static mm_status transfer(hid_t dataset, const mm_h5_column *column, uint64_t start, uint64_t count, void *out,
                          const void *in, mm_error *err)
{
    if (count == 0)
        return MM_OK;
    hid_t type = H5I_INVALID_HID;
    mm_status status = mm_h5_file_type(column->type, &type, err);
    if (status != MM_OK)
        return status;
    const hsize_t from[2] = {start, 0}, shape[2] = {count, column->width};
    const hid_t space = H5Dget_space(dataset), memory = H5Screate_simple(column->width ? 2 : 1, shape, NULL);
    herr_t done = -1;
    if (space >= 0 && memory >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, shape, NULL) >= 0)
        done = out ? H5Dread(dataset, type, memory, space, H5P_DEFAULT, out)
                   : H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, in);
    if (done < 0)
        status =
            mm_h5_fail(err, out ? MM_ERR_FORMAT : MM_ERR_INTERNAL, "cannot %s rows %" PRIu64 " to %" PRIu64 " of %s",
                       out ? "read" : "write", start, start + count - 1, column->name);
    if (space >= 0)
        (void)H5Sclose(space);
    if (memory >= 0)
        (void)H5Sclose(memory);
    (void)H5Tclose(type);
    return status;
}

mm_status mm_h5_column_write(hid_t dataset, const mm_h5_column *column, uint64_t start, uint64_t count,
                             const void *values, mm_error *err)
{
    return transfer(dataset, column, start, count, NULL, values, err);
}

mm_status mm_h5_column_put(hid_t parent, const mm_h5_column *column, uint64_t rows, const void *values, mm_error *err)
{
    hid_t dataset;
    mm_status status = mm_h5_column_create(parent, column, rows, &dataset, err);
    if (status != MM_OK)
        return status;
    status = mm_h5_column_write(dataset, column, 0, rows, values, err);
    if (H5Dclose(dataset) < 0 && status == MM_OK)
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot finish the column %s", column->name);
    return status;
}

static bool type_matches(hid_t dataset, mm_h5_type type)
{
    const hid_t found = H5Dget_type(dataset);
    if (found < 0)
        return false;
    bool same = false;
    if (type == MM_H5_STRING) {
        same = H5Tget_class(found) == H5T_STRING && H5Tis_variable_str(found) > 0;
    } else {
        hid_t wanted = H5I_INVALID_HID;
        if (mm_h5_file_type(type, &wanted, NULL) == MM_OK) {
            same = H5Tequal(found, wanted) > 0;
            (void)H5Tclose(wanted);
        }
    }
    (void)H5Tclose(found);
    return same;
}

mm_status mm_h5_column_open(hid_t parent, const mm_h5_column *column, hid_t *dataset, uint64_t *rows, mm_error *err)
{
    static const char *const type_names[] = {"u8", "u16", "u32", "u64", "f32", "variable-length string"};
    *dataset = H5Dopen2(parent, column->name, H5P_DEFAULT);
    if (*dataset < 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "the dataset %s is missing", column->name);
    const hid_t space = H5Dget_space(*dataset);
    hsize_t shape[2] = {0, 0};
    const int rank = column->width ? 2 : 1;
    const bool shaped = space >= 0 && H5Sis_simple(space) > 0 && H5Sget_simple_extent_ndims(space) == rank &&
                        H5Sget_simple_extent_dims(space, shape, NULL) == rank && shape[1] == column->width;
    if (space >= 0)
        (void)H5Sclose(space);
    if (shaped && type_matches(*dataset, column->type)) {
        *rows = shape[0];
        return MM_OK;
    }
    (void)H5Dclose(*dataset);
    *dataset = H5I_INVALID_HID;
    if (column->width)
        return mm_fail(err, MM_ERR_FORMAT, "the dataset %s is not %s[n, %" PRIu32 "]", column->name,
                       type_names[column->type], column->width);
    return mm_fail(err, MM_ERR_FORMAT, "the dataset %s is not %s[n]", column->name, type_names[column->type]);
}

mm_status mm_h5_column_read(hid_t dataset, const mm_h5_column *column, uint64_t start, uint64_t count, void *values,
                            mm_error *err)
{
    const mm_status status = transfer(dataset, column, start, count, values, NULL, err);
    if (status != MM_OK || column->type != MM_H5_STRING)
        return status;
    char **strings = values;
    for (uint64_t i = 0; i < count; i++)
        if (!strings[i]) {
            mm_h5_strings_free(strings, count);
            return mm_fail(err, MM_ERR_FORMAT, "row %" PRIu64 " of %s has no string", start + i, column->name);
        }
    return MM_OK;
}

void mm_h5_strings_free(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strings[i])
            (void)H5free_memory(strings[i]);
        strings[i] = NULL;
    }
}
