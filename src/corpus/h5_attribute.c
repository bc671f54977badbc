/* Attributes of a file's root: numbers, texts, lists of texts. */
#include <stdlib.h>
#include <string.h>

#include "corpus/h5.h"

static mm_status put(hid_t file, const char *name, mm_h5_type kind, hid_t space, const void *values, mm_error *err)
{
    hid_t type = H5I_INVALID_HID, attribute = H5I_INVALID_HID;
    mm_status status = mm_h5_file_type(kind, &type, err);
    if (status == MM_OK && space >= 0)
        attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (status == MM_OK && (attribute < 0 || (values && H5Awrite(attribute, type, values) < 0)))
        status = mm_h5_fail(err, MM_ERR_INTERNAL, "cannot write the attribute %s", name);
    if (attribute >= 0)
        (void)H5Aclose(attribute);
    if (type >= 0)
        (void)H5Tclose(type);
    if (space >= 0)
        (void)H5Sclose(space);
    return status;
}

mm_status mm_h5_put_u64(hid_t file, const char *name, uint64_t value, mm_error *err)
{
    return put(file, name, MM_H5_U64, H5Screate(H5S_SCALAR), &value, err);
}

mm_status mm_h5_put_text(hid_t file, const char *name, const char *text, mm_error *err)
{
    return put(file, name, MM_H5_STRING, H5Screate(H5S_SCALAR), &text, err);
}

mm_status mm_h5_put_list(hid_t file, const char *name, const char *const *texts, size_t count, mm_error *err)
{
    const hsize_t length = count;
    return put(file, name, MM_H5_STRING, H5Screate_simple(1, &length, NULL), count ? texts : NULL, err);
}

/* Opens an attribute of the given kind with at most max_count values (rank 0 when that is 0). */
static mm_status get(hid_t file, const char *name, H5T_class_t class, size_t max_count, hid_t *attribute, size_t *count,
                     mm_error *err)
{
    *attribute = H5Aopen(file, name, H5P_DEFAULT);
    if (*attribute < 0)
        return mm_h5_fail(err, MM_ERR_FORMAT, "the attribute %s is missing", name);
    const hid_t type = H5Aget_type(*attribute), space = H5Aget_space(*attribute);
    bool good = type >= 0 && space >= 0 && H5Tget_class(type) == class;
    if (class == H5T_STRING)
        good = good && H5Tis_variable_str(type) > 0;
    hsize_t length = 1;
    if (max_count > 0)
        good = good && H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_dims(space, &length, NULL) == 1 &&
               length <= max_count;
    else
        good = good && H5Sget_simple_extent_npoints(space) == 1;
    *count = (size_t)length;
    if (type >= 0)
        (void)H5Tclose(type);
    if (space >= 0)
        (void)H5Sclose(space);
    if (good)
        return MM_OK;
    (void)H5Aclose(*attribute);
    return mm_fail(err, MM_ERR_FORMAT, "the attribute %s is not of the right type", name);
}

mm_status mm_h5_get_u64(hid_t file, const char *name, uint64_t *value, mm_error *err)
{
    hid_t attribute;
    size_t count;
    mm_status status = get(file, name, H5T_INTEGER, 0, &attribute, &count, err);
    if (status != MM_OK)
        return status;
    if (H5Aread(attribute, H5T_NATIVE_UINT64, value) < 0)
        status = mm_h5_fail(err, MM_ERR_FORMAT, "cannot read the attribute %s", name);
    (void)H5Aclose(attribute);
    return status;
}

static mm_status read_strings(hid_t attribute, const char *name, char **texts, size_t count, mm_error *err)
{
    hid_t type = H5I_INVALID_HID;
    mm_status status = mm_h5_file_type(MM_H5_STRING, &type, err);
    if (status != MM_OK)
        return status;
    if (count > 0 && H5Aread(attribute, type, texts) < 0)
        status = mm_h5_fail(err, MM_ERR_FORMAT, "cannot read the attribute %s", name);
    (void)H5Tclose(type);
    return status;
}

mm_status mm_h5_get_text(hid_t file, const char *name, char **text, mm_error *err)
{
    hid_t attribute;
    size_t count;
    mm_status status = get(file, name, H5T_STRING, 0, &attribute, &count, err);
    if (status != MM_OK)
        return status;
    char *found = NULL;
    status = read_strings(attribute, name, &found, 1, err);
    if (status == MM_OK) {
        *text = strdup(found ? found : ""); /* HDF5 gives an empty string back as NULL */
        if (!*text)
            status = mm_fail_memory(err, "an attribute");
    }
    mm_h5_strings_free(&found, 1);
    (void)H5Aclose(attribute);
    return status;
}

mm_status mm_h5_get_list(hid_t file, const char *name, size_t max_count, char ***texts, size_t *count, mm_error *err)
{
    hid_t attribute;
    mm_status status = get(file, name, H5T_STRING, max_count, &attribute, count, err);
    if (status != MM_OK)
        return status;
    *texts = calloc(*count ? *count : 1, sizeof **texts);
    if (!*texts)
        status = mm_fail_memory(err, "an attribute");
    else
        status = read_strings(attribute, name, *texts, *count, err);
    for (size_t i = 0; status == MM_OK && i < *count; i++)
        if (!(*texts)[i])
            status = mm_fail(err, MM_ERR_FORMAT, "the attribute %s has an empty place", name);
    if (status != MM_OK && *texts) {
        mm_h5_strings_free(*texts, *count);
        free(*texts);
        *texts = NULL;
    }
    (void)H5Aclose(attribute);
    return status;
}
