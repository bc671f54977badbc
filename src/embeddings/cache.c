/* embeddings: what encoders have made of images, kept on the disk. This file is the folder: find, read, add. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "embeddings/embeddings.h"
#include "model/checkpoint_values.h"

/* Of a part, before compression: few files, and little is lost if a process dies. */
enum { PART_BYTES = 32 << 20 };

mm_embedding_key mm_embeddings_key(const void *bytes, size_t size, uint32_t variant)
{
    const XXH128_hash_t hash = XXH3_128bits(bytes, size);
    return (mm_embedding_key){{hash.low64, hash.high64}, variant};
}

static int compare_keys(const mm_embedding_key *a, const mm_embedding_key *b)
{
    for (int i = 0; i < 2; i++)
        if (a->hash[i] != b->hash[i])
            return a->hash[i] < b->hash[i] ? -1 : 1;
    return (a->variant > b->variant) - (a->variant < b->variant);
}

static int by_key(const void *a, const void *b)
{
    return compare_keys(&((const mm_embedding_place *)a)->key, &((const mm_embedding_place *)b)->key);
}

static mm_status make_folder(const char *path, mm_error *err)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return MM_OK;
    return mm_fail_errno(err, "cannot make the folder for embeddings %s", path);
}

mm_status mm_embeddings_open(const char *folder, const mm_model *model, mm_embeddings **embeddings, mm_error *err)
{
    *embeddings = NULL;
    mm_embeddings *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "embeddings");
    const mm_arch *arch = mm_model_arch(model);
    made->channels = arch->prompt_embed_dim;
    made->side = arch->embedding_side;
    made->words = (size_t)made->side * made->side * made->channels / 2; /* D is a multiple of 8 */
    mm_status status = mm_model_encoder_sha256(model, made->encoder, err);
    if (status == MM_OK && asprintf(&made->folder, "%s/%.16s", folder, made->encoder) < 0) {
        made->folder = NULL;
        status = mm_fail_memory(err, "embeddings");
    }
    if (status == MM_OK)
        status = make_folder(folder, err);
    if (status == MM_OK)
        status = make_folder(made->folder, err);
    if (status == MM_OK)
        status = mm_embeddings_refresh(made, err);
    if (status != MM_OK) {
        mm_embeddings_close(made);
        return status;
    }
    *embeddings = made;
    return MM_OK;
}

static void forget_parts(mm_embeddings *embeddings)
{
    for (size_t i = 0; i < embeddings->part_count; i++) {
        mm_embedding_part *part = &embeddings->parts[i];
        if (part->values >= 0)
            (void)H5Dclose(part->values); /* only read from, like the file */
        if (part->file >= 0)
            (void)H5Fclose(part->file);
        free(part->path);
    }
    free(embeddings->parts);
    free(embeddings->places);
    embeddings->parts = NULL;
    embeddings->places = NULL;
    embeddings->part_count = embeddings->place_count = 0;
}

static void forget_waiting(mm_embedding_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        free(rows->names[i]);
    rows->count = 0;
}

void mm_embeddings_close(mm_embeddings *embeddings)
{
    if (!embeddings)
        return;
    forget_parts(embeddings);
    forget_waiting(&embeddings->waiting);
    free(embeddings->waiting.keys);
    free(embeddings->waiting.variants);
    free(embeddings->waiting.sizes);
    free(embeddings->waiting.names);
    free(embeddings->waiting.values);
    free(embeddings->folder);
    free(embeddings);
}

static int is_part(const struct dirent *entry)
{
    const size_t length = strlen(entry->d_name);
    return length == 21 && strncmp(entry->d_name, "e_", 2) == 0 && strcmp(entry->d_name + 18, ".h5") == 0;
}

static mm_status list_parts(mm_embeddings *embeddings, mm_error *err)
{
    struct dirent **found = NULL;
    const int count = scandir(embeddings->folder, &found, is_part, alphasort);
    if (count < 0)
        return mm_fail_errno(err, "cannot read the folder of embeddings %s", embeddings->folder);
    embeddings->parts = calloc((size_t)count + 1, sizeof embeddings->parts[0]);
    mm_status status = embeddings->parts ? MM_OK : mm_fail_memory(err, "embeddings");
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        if (status == MM_OK && asprintf(&path, "%s/%s", embeddings->folder, found[i]->d_name) < 0)
            status = mm_fail_memory(err, "embeddings");
        else if (status == MM_OK)
            embeddings->parts[embeddings->part_count++] =
                (mm_embedding_part){.path = path, .file = H5I_INVALID_HID, .values = H5I_INVALID_HID};
        free(found[i]);
    }
    free(found);
    return status;
}

mm_status mm_embeddings_refresh(mm_embeddings *embeddings, mm_error *err)
{
    forget_parts(embeddings);
    mm_status status = list_parts(embeddings, err);
    for (uint32_t part = 0; status == MM_OK && part < embeddings->part_count; part++)
        status = mm_embeddings_read_part(embeddings, part, err);
    if (status == MM_OK && embeddings->place_count > 0)
        qsort(embeddings->places, embeddings->place_count, sizeof embeddings->places[0], by_key);
    if (status != MM_OK)
        forget_parts(embeddings);
    return status;
}

size_t mm_embeddings_count(const mm_embeddings *embeddings)
{
    return embeddings->place_count;
}

bool mm_embeddings_find(const mm_embeddings *embeddings, const mm_embedding_key *key, size_t *index)
{
    size_t low = 0, high = embeddings->place_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare_keys(&embeddings->places[middle].key, key);
        if (order == 0) {
            *index = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

void mm_embeddings_size(const mm_embeddings *embeddings, size_t index, uint32_t *width, uint32_t *height)
{
    *width = embeddings->places[index].size[0];
    *height = embeddings->places[index].size[1];
}

/* The file was found whole at the last refresh. */
static mm_status open_part(mm_embeddings *embeddings, mm_embedding_part *part, mm_error *err)
{
    const mm_h5_column column = mm_embeddings_column(embeddings);
    uint64_t rows;
    if (part->values >= 0)
        return MM_OK;
    part->file = H5Fopen(part->path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (part->file < 0)
        return mm_h5_fail(err, MM_ERR_IO, "cannot open %s", part->path);
    const mm_status status = mm_h5_column_open(part->file, &column, &part->values, &rows, err);
    if (status != MM_OK) {
        (void)H5Fclose(part->file); /* only read from */
        part->file = H5I_INVALID_HID;
    }
    return status;
}

mm_status mm_embeddings_read(mm_embeddings *embeddings, size_t index, uint32_t *width, uint32_t *height, float *cells,
                             mm_error *err)
{
    const mm_embedding_place *place = &embeddings->places[index];
    mm_embedding_part *part = &embeddings->parts[place->part];
    const mm_h5_column column = mm_embeddings_column(embeddings);
    uint32_t *words = malloc(embeddings->words * sizeof *words);
    if (!words)
        return mm_fail_memory(err, "an embedding");
    const mm_h5_silence before = mm_h5_silence_begin();
    mm_status status = open_part(embeddings, part, err);
    if (status == MM_OK)
        status = mm_h5_column_read(part->values, &column, place->row, 1, words, err);
    mm_h5_silence_end(before);
    if (status == MM_OK) {
        mm_values_to_f32(MM_BF16, words, 2 * embeddings->words, cells);
        *width = place->size[0];
        *height = place->size[1];
    }
    free(words);
    return status;
}

/* Memory for the rows of a part, once. */
static mm_status make_room(mm_embeddings *embeddings, mm_error *err)
{
    mm_embedding_rows *rows = &embeddings->waiting;
    if (rows->room)
        return MM_OK;
    const size_t row = embeddings->words * sizeof rows->values[0];
    const size_t room = PART_BYTES / row ? PART_BYTES / row : 1;
    rows->keys = calloc(room, sizeof rows->keys[0]);
    rows->variants = calloc(room, sizeof rows->variants[0]);
    rows->sizes = calloc(room, sizeof rows->sizes[0]);
    rows->names = calloc(room, sizeof rows->names[0]);
    rows->values = calloc(room, row);
    if (!rows->keys || !rows->variants || !rows->sizes || !rows->names || !rows->values)
        return mm_fail_memory(err, "embeddings");
    rows->room = room;
    return MM_OK;
}

mm_status mm_embeddings_put(mm_embeddings *embeddings, const mm_embedding_key *key, const char *name,
                            const mm_embedding *embedding, mm_error *err)
{
    mm_embedding_rows *rows = &embeddings->waiting;
    mm_status status = make_room(embeddings, err);
    if (status != MM_OK)
        return status;
    const mm_frame frame = mm_embedding_frame(embedding);
    const size_t at = rows->count;
    rows->names[at] = strdup(name);
    if (!rows->names[at])
        return mm_fail_memory(err, "embeddings");
    memcpy(rows->keys[at], key->hash, sizeof rows->keys[0]);
    rows->variants[at] = key->variant;
    rows->sizes[at][0] = frame.width;
    rows->sizes[at][1] = frame.height;
    mm_values_f32_to_bf16(mm_embedding_cells(embedding), 2 * embeddings->words,
                          (uint16_t *)(rows->values + at * embeddings->words));
    rows->count++;
    return rows->count == rows->room ? mm_embeddings_flush(embeddings, err) : MM_OK;
}

mm_status mm_embeddings_flush(mm_embeddings *embeddings, mm_error *err)
{
    mm_embedding_rows *rows = &embeddings->waiting;
    if (rows->count == 0)
        return MM_OK;
    char *path = NULL;
    const mm_status status = mm_embeddings_write_part(embeddings, &path, err);
    free(path);
    if (status == MM_OK)
        forget_waiting(rows);
    return status;
}
