/* Merging: find the parts, see that they fit, join them. */
#include "engine/merge.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/begun.h"
#include "engine/lock.h"
#include "engine/output.h"
#include "engine/rounds.h"

/* --- finding --- */

static mm_status add_part(mm_parts *parts, const char *folder, mm_error *err)
{
    mm_part *items = realloc(parts->items, (parts->count + 1) * sizeof *items);
    if (!items)
        return mm_fail_memory(err, "a list of parts");
    parts->items = items;
    items[parts->count] = (mm_part){.folder = strdup(folder)};
    if (!items[parts->count].folder)
        return mm_fail_memory(err, "a list of parts");
    parts->count++;
    return MM_OK;
}

static bool is_part(const char *name)
{
    uint64_t first, last;
    int length = 0;
    return sscanf(name, "part-%20" SCNu64 "-%20" SCNu64 "%n", &first, &last, &length) == 2 && name[length] == '\0';
}

static mm_status find_parts(const char *out, mm_parts *parts, mm_error *err)
{
    DIR *folder = opendir(out);
    if (!folder)
        return mm_fail_errno(err, "cannot read the folder %s", out);
    mm_status status = MM_OK;
    const struct dirent *entry;
    char path[PATH_MAX];
    while (status == MM_OK && (errno = 0, entry = readdir(folder))) {
        if (!is_part(entry->d_name))
            continue;
        status = mm_output_path(out, entry->d_name, path, sizeof path, err);
        if (status == MM_OK)
            status = add_part(parts, path, err);
    }
    if (status == MM_OK && errno)
        status = mm_fail_errno(err, "cannot read the folder %s", out);
    (void)closedir(folder); /* only read */
    if (status == MM_OK && parts->count == 0)
        status = mm_fail(err, MM_ERR_USAGE, "%s has no parts (part-A-B); `maskmill run ... --shards A-B` makes them",
                         out);
    return status;
}

/* --- reading --- */

static mm_status read_run(const char *path, json_t **run, mm_error *err)
{
    uint8_t *text = NULL;
    size_t size = 0;
    json_error_t where;
    const mm_status status = mm_file_read(path, 1u << 26, &text, &size, err);
    if (status != MM_OK)
        return status;
    *run = json_loadb((const char *)text, size, 0, &where);
    free(text);
    return json_is_object(*run) ? MM_OK
                                : mm_fail(err, MM_ERR_FORMAT, "%s, line %d: %s", path, where.line, where.text);
}

static mm_status read_part(mm_part *part, mm_error *err)
{
    char path[PATH_MAX];
    mm_dataset *dataset = NULL;
    mm_status status = mm_output_path(part->folder, "run.json", path, sizeof path, err);
    if (status != MM_OK)
        return status;
    part->finished = mm_file_exists(path);
    if (!part->finished)
        return MM_OK;
    status = read_run(path, &part->run, err);
    if (status == MM_OK)
        status = mm_dataset_open(part->folder, &dataset, err); /* sees that every shard is there */
    if (status != MM_OK)
        return status;
    part->first = mm_dataset_span(dataset, 0).number;
    part->count = mm_dataset_shards(dataset);
    status = mm_shard_origin_copy(mm_dataset_origin(dataset), &part->origin, err);
    mm_dataset_close(dataset);
    if (status == MM_OK)
        status = mm_output_path(part->folder, "manifest.h5", path, sizeof path, err);
    return status == MM_OK ? mm_seal_read(path, &part->manifest, err) : status;
}

/* How much there is in all: the manifest is the whole corpus's in every part. */
static mm_status read_whole(mm_parts *parts, mm_error *err)
{
    char path[PATH_MAX];
    mm_config config;
    mm_manifest *manifest = NULL;
    const mm_part *part = NULL;
    for (size_t i = 0; !part && i < parts->count; i++)
        if (parts->items[i].finished)
            part = &parts->items[i];
    if (!part)
        return MM_OK;
    mm_status status = mm_config_from_yaml(part->origin.config_yaml, &config, err);
    if (status == MM_OK)
        status = mm_output_path(part->folder, "manifest.h5", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_manifest_open(path, &manifest, err);
    if (status != MM_OK)
        return status;
    parts->images = mm_manifest_count(manifest);
    const uint64_t size = config.output.images_per_shard;
    parts->shards = parts->images / size + (parts->images % size != 0);
    mm_manifest_free(manifest);
    return MM_OK;
}

static int by_first_shard(const void *a, const void *b)
{
    const mm_part *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return strcmp(x->folder, y->folder);
}

mm_status mm_parts_read(const mm_merge_options *options, mm_parts *parts, mm_error *err)
{
    *parts = (mm_parts){0};
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < options->part_count; i++)
        status = add_part(parts, options->parts[i], err);
    if (options->part_count == 0)
        status = find_parts(options->out, parts, err);
    for (size_t i = 0; status == MM_OK && i < parts->count; i++) {
        status = read_part(&parts->items[i], err);
        if (status != MM_OK && err)
            (void)mm_error_prefix(err, "part %s", parts->items[i].folder);
    }
    if (status == MM_OK)
        qsort(parts->items, parts->count, sizeof *parts->items, by_first_shard);
    return status == MM_OK ? read_whole(parts, err) : status;
}

void mm_parts_free(mm_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        mm_part *part = &parts->items[i];
        free(part->folder);
        mm_shard_origin_free(&part->origin);
        json_decref(part->run);
    }
    free(parts->items);
    *parts = (mm_parts){0};
}

/* --- the whole --- */

static mm_status sum_up(const mm_parts *parts, const char *out, mm_run_summary *summary, mm_error *err)
{
    mm_dataset *dataset = NULL;
    mm_stats *stats = calloc(1, sizeof *stats);
    mm_status status = stats ? mm_dataset_open(out, &dataset, err) : mm_fail_memory(err, "statistics");
    if (status == MM_OK)
        status = mm_dataset_statistics(dataset, stats, err);
    if (status == MM_OK && mm_dataset_images(dataset) != parts->images)
        status = mm_fail(err, MM_ERR_FORMAT, "the parts have %" PRIu64 " images, the manifest has %" PRIu64,
                         mm_dataset_images(dataset), parts->images);
    if (status == MM_OK)
        *summary = (mm_run_summary){.images_done = stats->images_done,
                                    .images_set_aside = stats->images_set_aside,
                                    .masks = stats->masks,
                                    .shards = parts->shards};
    for (size_t i = 0; status == MM_OK && i < parts->count; i++) {
        const json_t *run = parts->items[i].run;
        summary->seconds += json_number_value(json_object_get(run, "seconds"));
        summary->images_skipped += (uint64_t)json_integer_value(json_object_get(run, "images_skipped"));
    }
    mm_dataset_close(dataset);
    free(stats);
    return status;
}

/* What a run over everything would have been begun with. */
static mm_status write_begun(const mm_parts *parts, const char *out, mm_error *err)
{
    mm_begun begun;
    bool there = false;
    mm_status status = mm_begun_read(parts->items[0].folder, &there, &begun, err);
    if (status == MM_OK && there) {
        begun.first = 0;
        begun.end = parts->images;
        status = mm_begun_write(&begun, out, err);
    }
    mm_begun_free(&begun);
    return status;
}

static mm_status join(const mm_parts *parts, const mm_merge_options *options, mm_run_summary *summary, mm_error *err)
{
    const mm_part *part = &parts->items[0];
    mm_status status = mm_parts_join(parts, options->out, err);
    if (status == MM_OK)
        status = mm_dataset_index(options->out, 0, parts->shards, &part->origin, NULL, err);
    if (status == MM_OK)
        status = sum_up(parts, options->out, summary, err);
    if (status == MM_OK)
        status = write_begun(parts, options->out, err);
    if (status == MM_OK)
        status = mm_rounds_join(options->out, part->folder, err);
    return status == MM_OK ? mm_parts_report(parts, options, summary, err) : status; /* last: see run.c */
}

mm_status mm_engine_merge(const mm_merge_options *options, mm_run_summary *summary, mm_error *err)
{
    mm_parts parts;
    mm_lock *lock = NULL;
    char note[400] = "";
    *summary = (mm_run_summary){0};
    mm_status status = mm_parts_read(options, &parts, err);
    if (status == MM_OK)
        status = mm_parts_check(&parts, options->mixed_kernels, err);
    if (status == MM_OK)
        status = mm_output_make(options->out, NULL, err);
    if (status == MM_OK)
        status = mm_lock_take(options->out, &lock, note, sizeof note, err);
    if (status == MM_OK && note[0])
        (void)fprintf(stderr, "maskmill: note: %s\n", note);
    if (status == MM_OK)
        status = join(&parts, options, summary, err);
    mm_lock_release(lock);
    mm_parts_free(&parts);
    return status;
}
