/* One part: its file, written and read. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "embeddings/embeddings.h"

static const mm_h5_column key_column = {"key", MM_H5_U64, 2};
static const mm_h5_column variant_column = {"variant", MM_H5_U32, 0};
static const mm_h5_column size_column = {"size", MM_H5_U32, 2};
static const mm_h5_column name_column = {"name", MM_H5_STRING, 0};

mm_h5_column mm_embeddings_column(const mm_embeddings *embeddings)
{
    return (mm_h5_column){"embedding", MM_H5_U32, (uint32_t)embeddings->words};
}

static mm_status put_all(hid_t file, const mm_embeddings *embeddings, mm_error *err)
{
    const mm_embedding_rows *rows = &embeddings->waiting;
    const mm_h5_column values = mm_embeddings_column(embeddings);
    mm_status status = mm_h5_put_u64(file, "format_version", MM_FORMAT_VERSION, err);
    if (status == MM_OK)
        status = mm_h5_put_text(file, "encoder_sha256", embeddings->encoder, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "channels", embeddings->channels, err);
    if (status == MM_OK)
        status = mm_h5_put_u64(file, "side", embeddings->side, err);
    if (status == MM_OK)
        status = mm_h5_column_put(file, &key_column, rows->count, rows->keys, err);
    if (status == MM_OK)
        status = mm_h5_column_put(file, &variant_column, rows->count, rows->variants, err);
    if (status == MM_OK)
        status = mm_h5_column_put(file, &size_column, rows->count, rows->sizes, err);
    if (status == MM_OK)
        status = mm_h5_column_put(file, &name_column, rows->count, rows->names, err);
    if (status == MM_OK)
        status = mm_h5_column_put(file, &values, rows->count, rows->values, err);
    return status;
}

/* Two programs that make the embeddings of the same images at the same time write the same part, so each has a file of its
 * own until it is whole; the later one replaces its like. */
static mm_status commit(mm_h5_draft *draft, const char *path, mm_error *err)
{
    uint64_t random = 0;
    char *own = NULL;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)getpid();
    if (asprintf(&own, "%s.%016" PRIx64, path, random) < 0) {
        mm_h5_draft_abandon(draft);
        return mm_fail_memory(err, "embeddings");
    }
    mm_status status = mm_h5_draft_commit(draft, "embeddings", own, NULL, err);
    if (status == MM_OK && rename(own, path) != 0) {
        status = mm_fail_errno(err, "cannot rename %s to %s", own, path);
        (void)unlink(own); /* the failure that counts is already told */
    }
    free(own);
    return status == MM_OK ? mm_file_sync_folder(path, err) : status;
}

mm_status mm_embeddings_write_part(const mm_embeddings *embeddings, char **path, mm_error *err)
{
    const mm_embedding_rows *rows = &embeddings->waiting;
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return mm_fail_memory(err, "embeddings");
    bool good = XXH3_64bits_reset(state) == XXH_OK &&
                XXH3_64bits_update(state, rows->keys, rows->count * sizeof rows->keys[0]) == XXH_OK &&
                XXH3_64bits_update(state, rows->variants, rows->count * sizeof rows->variants[0]) == XXH_OK;
    const uint64_t digest = XXH3_64bits_digest(state);
    (void)XXH3_freeState(state); /* always succeeds */
    if (!good || asprintf(path, "%s/e_%016" PRIx64 ".h5", embeddings->folder, digest) < 0) {
        *path = NULL;
        return mm_fail_memory(err, "embeddings");
    }
    mm_h5_draft draft;
    const mm_h5_silence before = mm_h5_silence_begin();
    mm_status status = mm_h5_draft_begin(&draft, err);
    if (status == MM_OK) {
        status = put_all(draft.file, embeddings, err);
        if (status == MM_OK)
            status = commit(&draft, *path, err);
        else
            mm_h5_draft_abandon(&draft);
    }
    mm_h5_silence_end(before);
    return status;
}

static mm_status check_origin(hid_t file, const mm_embeddings *embeddings, mm_error *err)
{
    uint64_t version = 0, channels = 0, side = 0;
    char *encoder = NULL;
    mm_status status = mm_h5_get_u64(file, "format_version", &version, err);
    if (status == MM_OK && version != MM_FORMAT_VERSION)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "its format has version %" PRIu64, version);
    if (status == MM_OK)
        status = mm_h5_get_u64(file, "channels", &channels, err);
    if (status == MM_OK)
        status = mm_h5_get_u64(file, "side", &side, err);
    if (status == MM_OK)
        status = mm_h5_get_text(file, "encoder_sha256", &encoder, err);
    if (status == MM_OK && (strcmp(encoder, embeddings->encoder) != 0 || channels != embeddings->channels ||
                            side != embeddings->side))
        status = mm_fail(err, MM_ERR_FORMAT, "it is of another encoder");
    free(encoder);
    return status;
}

/* A small column whole; *values (the caller frees it) has `rows` rows. */
static mm_status read_column(hid_t file, const mm_h5_column *column, uint64_t rows, size_t row_bytes, void **values,
                             mm_error *err)
{
    hid_t dataset;
    uint64_t there;
    mm_status status = mm_h5_column_open(file, column, &dataset, &there, err);
    if (status != MM_OK)
        return status;
    *values = there == rows ? calloc((size_t)rows + 1, row_bytes) : NULL;
    if (there != rows)
        status = mm_fail(err, MM_ERR_FORMAT, "its columns are not of one length");
    else if (!*values)
        status = mm_fail_memory(err, "embeddings");
    if (status == MM_OK)
        status = mm_h5_column_read(dataset, column, 0, rows, *values, err);
    (void)H5Dclose(dataset); /* only read from */
    return status;
}

static mm_status append_places(mm_embeddings *embeddings, uint32_t part, hid_t file, mm_error *err)
{
    const mm_h5_column values = mm_embeddings_column(embeddings);
    hid_t dataset;
    uint64_t rows = 0;
    mm_status status = mm_h5_column_open(file, &values, &dataset, &rows, err);
    if (status != MM_OK)
        return status;
    (void)H5Dclose(dataset); /* only looked at */
    if (rows > UINT32_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "it has more rows than a part may have");
    void *keys = NULL, *variants = NULL, *sizes = NULL;
    status = read_column(file, &key_column, rows, sizeof(uint64_t[2]), &keys, err);
    if (status == MM_OK)
        status = read_column(file, &variant_column, rows, sizeof(uint32_t), &variants, err);
    if (status == MM_OK)
        status = read_column(file, &size_column, rows, sizeof(uint32_t[2]), &sizes, err);
    mm_embedding_place *grown = NULL;
    if (status == MM_OK) {
        grown = reallocarray(embeddings->places, embeddings->place_count + (size_t)rows + 1, sizeof *grown);
        if (!grown)
            status = mm_fail_memory(err, "embeddings");
        else
            embeddings->places = grown;
    }
    for (uint32_t row = 0; status == MM_OK && row < rows; row++) {
        mm_embedding_place *place = &grown[embeddings->place_count++];
        *place = (mm_embedding_place){.part = part, .row = row};
        memcpy(place->key.hash, (const uint64_t *)keys + 2 * (size_t)row, sizeof place->key.hash);
        memcpy(place->size, (const uint32_t *)sizes + 2 * (size_t)row, sizeof place->size);
        place->key.variant = ((const uint32_t *)variants)[row];
    }
    free(keys);
    free(variants);
    free(sizes);
    return status;
}

mm_status mm_embeddings_read_part(mm_embeddings *embeddings, uint32_t part, mm_error *err)
{
    const char *path = embeddings->parts[part].path;
    hid_t file = H5I_INVALID_HID;
    const mm_h5_silence before = mm_h5_silence_begin();
    mm_status status = mm_h5_open(path, "embeddings", false, &file, err);
    if (status == MM_OK) {
        status = check_origin(file, embeddings, err);
        if (status == MM_OK)
            status = append_places(embeddings, part, file, err);
        (void)H5Fclose(file); /* only read from */
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "%s", path);
    }
    mm_h5_silence_end(before);
    if (status == MM_ERR_FORMAT && err) {
        char said[MM_ERROR_TEXT];
        memcpy(said, err->text, sizeof said);
        return mm_fail(err, status, "%.400s; remove it, and it will be made again", said);
    }
    return status;
}
