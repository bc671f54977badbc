/* Files for the tests of checkpoints: a scratch folder, bytes in and out, and safetensors files of any shape. */
#ifndef MM_TESTS_CHECKPOINT_SUPPORT_H
#define MM_TESTS_CHECKPOINT_SUPPORT_H

#include "check_main.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "maskmill/checkpoint.h"

#define DATA MM_TEST_DATA "/checkpoint/"

static char scratch[] = "/tmp/maskmill-checkpoint-XXXXXX";

static inline void scratch_make(void)
{
    ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static inline void scratch_remove(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    ck_assert_int_eq(system(command), 0);
}

/* A path in the scratch folder; good until the next call but three. */
static inline const char *scratch_path(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

static inline unsigned char *read_bytes(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    const long length = ftell(file);
    ck_assert_int_ge(length, 0);
    rewind(file);
    unsigned char *bytes = malloc((size_t)length + 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)length, file), (size_t)length);
    bytes[length] = '\0';
    (void)fclose(file);
    *size = (size_t)length;
    return bytes;
}

static inline void write_bytes(const char *path, const void *bytes, size_t size)
{
    (void)unlink(path); /* some file systems flush a file to the disk that is cut to nothing and written again */
    FILE *file = fopen(path, "wb");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

/* A safetensors file with this header and `data_size` bytes of zeros, which take no room on the disk. */
static inline void write_safetensors(const char *path, const char *header, uint64_t data_size)
{
    const uint64_t length = strlen(header);
    (void)unlink(path);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(&length, sizeof length, 1, file), 1);
    ck_assert_uint_eq(fwrite(header, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(truncate(path, (off_t)(8 + length + data_size)), 0);
}

/* The tensors of a file that does not exist yet. */
typedef struct shape_list {
    struct {
        char name[160], dtype[8];
        uint32_t dims;
        uint64_t shape[MM_MAX_DIMS];
    } rows[1024];
    size_t count;
} shape_list;

static inline void add_shape(shape_list *list, const char *name, const char *dtype, const char *shape)
{
    ck_assert_uint_lt(list->count, 1024);
    const size_t row = list->count++;
    (void)snprintf(list->rows[row].name, sizeof list->rows[row].name, "%s", name);
    (void)snprintf(list->rows[row].dtype, sizeof list->rows[row].dtype, "%s", dtype);
    list->rows[row].dims = 0;
    for (const char *at = shape; *at >= '0' && *at <= '9';) {
        char *end;
        list->rows[row].shape[list->rows[row].dims++] = strtoull(at, &end, 10);
        at = *end == 'x' ? end + 1 : end;
    }
}

/* The lines of `model` in public_shapes.txt; NAME#LOW-HIGH stands for a tensor for each number. */
static inline void load_shapes(shape_list *list, const char *model)
{
    char line[256], which[32], name[160], dtype[8], shape[64];
    FILE *file = fopen(DATA "public_shapes.txt", "r");
    ck_assert_ptr_nonnull(file);
    list->count = 0;
    while (fgets(line, sizeof line, file)) {
        ck_assert_int_eq(sscanf(line, "%31s %159s %7s %63s", which, name, dtype, shape), 4);
        if (strcmp(which, model) != 0)
            continue;
        char *hash = strchr(name, '#');
        if (!hash) {
            add_shape(list, name, dtype, shape);
            continue;
        }
        unsigned low, high;
        int used = 0;
        ck_assert_int_eq(sscanf(hash, "#%u-%u%n", &low, &high, &used), 2);
        for (unsigned i = low; i <= high; i++) {
            char full[128];
            (void)snprintf(full, sizeof full, "%.*s%u%.80s", (int)(hash - name), name, i, hash + used);
            add_shape(list, full, dtype, shape);
        }
    }
    (void)fclose(file);
    ck_assert_uint_gt(list->count, 100);
}

static inline size_t find_shape(const shape_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->rows[i].name, name) == 0)
            return i;
    ck_abort_msg("no tensor %s", name);
    return 0;
}

static inline void drop_shape(shape_list *list, const char *name)
{
    list->rows[find_shape(list, name)] = list->rows[--list->count];
}

static inline void set_shape(shape_list *list, const char *name, const char *shape)
{
    drop_shape(list, name);
    add_shape(list, name, "F32", shape);
}

/* The list as a sparse safetensors file; `metadata` is the (escaped) text of maskmill.config, or NULL. */
static inline void write_shapes(const shape_list *list, const char *metadata, const char *path)
{
    const size_t room = 256 * (list->count + 16);
    char *header = malloc(room);
    size_t at = 0;
    uint64_t offset = 0;
    ck_assert_ptr_nonnull(header);
    at += (size_t)snprintf(header, room, "{");
    if (metadata)
        at += (size_t)snprintf(header + at, room - at, "\"__metadata__\":{\"maskmill.config\":\"%s\"}%s", metadata,
                               list->count ? "," : "");
    for (size_t i = 0; i < list->count; i++) {
        uint64_t bytes = strcmp(list->rows[i].dtype, "I64") == 0 ? 8 : 4;
        at += (size_t)snprintf(header + at, room - at, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "",
                               list->rows[i].name, list->rows[i].dtype);
        for (uint32_t d = 0; d < list->rows[i].dims; d++) {
            bytes *= list->rows[i].shape[d];
            at += (size_t)snprintf(header + at, room - at, "%s%" PRIu64, d ? "," : "", list->rows[i].shape[d]);
        }
        at += (size_t)snprintf(header + at, room - at, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset,
                               offset + bytes);
        offset += bytes;
    }
    (void)snprintf(header + at, room - at, "}");
    write_safetensors(path, header, offset);
    free(header);
}

/* Opening must fail with this status and a line that holds `words`, the path, and no line break. */
static inline void refuses(const char *path, mm_status status, const char *words)
{
    mm_error err = {0};
    mm_checkpoint *checkpoint = (mm_checkpoint *)&err;
    const mm_status got = mm_checkpoint_open(path, &checkpoint, &err);
    ck_assert_msg(got == status, "%s: status %d instead of %d: %s", path, got, status, err.text);
    ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" lacks \"%s\"", err.text, words);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_ptr_null(strchr(err.text, '\n'));
    ck_assert_ptr_null(checkpoint);
}

static inline mm_checkpoint *opened(const char *path)
{
    mm_error err = {0};
    mm_checkpoint *checkpoint = NULL;
    ck_assert_msg(mm_checkpoint_open(path, &checkpoint, &err) == MM_OK, "%s", err.text);
    return checkpoint;
}

#endif
