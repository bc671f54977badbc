/* Exports: a dataset as the JSON files of SA-1B, or as one file in COCO's layout. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "shard/dataset.h"
#include "shard/export.h"
#include "shard/export_name.h"
#include "shard/json.h"

/* Make every folder on the way to `path`, from its part at `from` on. */
static mm_status make_folders(char *path, size_t from, mm_error *err)
{
    for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        if (slash == path)
            continue;
        *slash = '\0';
        const bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        const mm_status status = made ? MM_OK : mm_fail_errno(err, "cannot make the folder %s", path);
        *slash = '/';
        if (!made)
            return status;
    }
    return MM_OK;
}

mm_status mm_export_make_folder(const char *folder, mm_error *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/", folder) < 0)
        return mm_fail_memory(err, "a path");
    const mm_status status = make_folders(path, 0, err);
    free(path);
    return status;
}

/* Close what was written; a file that did not come out whole is removed. */
static mm_status finish(FILE *out, const char *path, mm_error *err)
{
    const bool written = !ferror(out);
    const bool closed = fclose(out) == 0;
    if (written && closed)
        return MM_OK;
    const mm_status status = mm_fail_errno(err, "cannot write %s", path);
    (void)unlink(path); /* the error that counts is told */
    return status;
}

static void print_image(FILE *out, const char *id_key, const mm_record *record, const char *file_name)
{
    (void)fprintf(out, "{\"%s\": %" PRIu64 ", \"width\": %" PRIu32 ", \"height\": %" PRIu32 ", \"file_name\": ", id_key,
                  record->image_id, record->width, record->height);
    mm_json_string(out, file_name, strlen(file_name));
    (void)fputc('}', out);
}

void mm_export_print_sa1b(FILE *out, const mm_record *record, const char *file_name, uint64_t first_id)
{
    (void)fputs("{\"image\": ", out);
    print_image(out, "image_id", record, file_name);
    (void)fputs(", \"annotations\": [", out);
    for (uint64_t i = 0; i < record->mask_count; i++) {
        (void)fprintf(out, "%s{\"id\": %" PRIu64 ", ", i ? ",\n " : "\n ", first_id + i);
        mm_json_mask_fields(out, record, i);
        (void)fputc('}', out);
    }
    (void)fputs("]}\n", out);
}

static mm_status write_sa1b(const char *path, const mm_record *record, const char *file_name, uint64_t first_id,
                            mm_error *err)
{
    FILE *out = fopen(path, "we");
    if (!out)
        return mm_fail_errno(err, "cannot create %s", path);
    mm_export_print_sa1b(out, record, file_name, first_id);
    return finish(out, path, err);
}

mm_status mm_dataset_choose_masks(mm_dataset *dataset, const char *which, mm_error *err)
{
    for (int t = 0; t < MASK_TABLES; t++)
        if (strcmp(which, mm_mask_tables[t].group) == 0 && mm_mask_table_there(&dataset->origin, t)) {
            dataset->exported = t;
            return MM_OK;
        }
    return mm_fail(err, MM_ERR_USAGE, "%s has no group %.40s%s", dataset->folder, which,
                   strcmp(which, mm_mask_tables[TABLE_CONFIDENT].group) == 0
                       ? "; `maskmill detect` makes a dataset that has"
                       : "");
}

/* The masks of an image that is done. */
static const mm_record *exported(const mm_dataset *dataset, const mm_record *record)
{
    return mm_mask_table_record(record, dataset->exported);
}

mm_status mm_dataset_export_sa1b(const mm_dataset *dataset, const char *folder, uint64_t *written, mm_error *err)
{
    mm_export_names names = {0};
    uint64_t next_id = 1;
    *written = 0;
    mm_status status = mm_export_make_folder(folder, err);
    for (uint64_t row = 0; status == MM_OK && row < mm_dataset_images(dataset); row++) {
        mm_record record;
        char *file_name = NULL, *name = NULL, *path = NULL;
        status = mm_dataset_read(dataset, row, &record, &file_name, err);
        if (status != MM_OK)
            break;
        if (record.status == MM_IMAGE_DONE) {
            status = mm_export_name(&names, file_name, record.image_id, &name, err);
            if (status == MM_OK && asprintf(&path, "%s/%s", folder, name) < 0)
                status = mm_fail_memory(err, "a path");
            if (status == MM_OK)
                status = make_folders(path, strlen(folder) + 1, err);
            if (status == MM_OK)
                status = write_sa1b(path, exported(dataset, &record), file_name, next_id, err);
            *written += status == MM_OK;
            next_id += exported(dataset, &record)->mask_count;
        }
        free(path);
        free(name);
        free(file_name);
        mm_record_free(&record);
    }
    mm_export_names_free(&names);
    return status;
}

typedef enum coco_part { COCO_IMAGES, COCO_ANNOTATIONS } coco_part;

static void print_coco_annotations(FILE *out, const mm_record *record, uint64_t first_id)
{
    for (uint64_t i = 0; i < record->mask_count; i++) {
        (void)fprintf(out, "%s{\"id\": %" PRIu64 ", \"image_id\": %" PRIu64 ", \"category_id\": 1, \"iscrowd\": 0, ",
                      first_id + i > 1 ? ",\n " : "\n ", first_id + i, record->image_id);
        mm_json_mask_fields(out, record, i);
        (void)fputc('}', out);
    }
}

/* COCO has all images before all annotations, so the dataset is read twice rather than held. */
static mm_status print_coco_part(const mm_dataset *dataset, FILE *out, coco_part part, uint64_t *count, mm_error *err)
{
    uint64_t images = 0, next_id = 1;
    mm_status status = MM_OK;
    for (uint64_t row = 0; status == MM_OK && !ferror(out) && row < mm_dataset_images(dataset); row++) {
        mm_record record;
        char *file_name = NULL;
        status = mm_dataset_read(dataset, row, &record, &file_name, err);
        if (status != MM_OK)
            break;
        if (record.status == MM_IMAGE_DONE && part == COCO_IMAGES) {
            (void)fputs(images ? ",\n " : "\n ", out);
            print_image(out, "id", &record, file_name);
        } else if (record.status == MM_IMAGE_DONE) {
            print_coco_annotations(out, exported(dataset, &record), next_id);
        }
        images += record.status == MM_IMAGE_DONE;
        next_id += record.status == MM_IMAGE_DONE ? exported(dataset, &record)->mask_count : 0;
        free(file_name);
        mm_record_free(&record);
    }
    *count = images;
    return status;
}

mm_status mm_dataset_export_coco(const mm_dataset *dataset, const char *folder, uint64_t *written, mm_error *err)
{
    *written = 0;
    mm_status status = mm_export_make_folder(folder, err);
    if (status != MM_OK)
        return status;
    char *path = NULL;
    if (asprintf(&path, "%s/instances.json", folder) < 0)
        return mm_fail_memory(err, "a path");
    mm_file_draft draft;
    status = mm_file_begin(path, &draft, err);
    free(path);
    if (status != MM_OK)
        return status;
    (void)fputs("{\"info\": {\"description\": \"maskmill " MM_VERSION "\"},\n\"images\": [", draft.stream);
    status = print_coco_part(dataset, draft.stream, COCO_IMAGES, written, err);
    (void)fputs("],\n\"annotations\": [", draft.stream);
    if (status == MM_OK)
        status = print_coco_part(dataset, draft.stream, COCO_ANNOTATIONS, written, err);
    (void)fputs("],\n\"categories\": [{\"id\": 1, \"name\": \"object\", \"supercategory\": \"\"}]}\n",
                draft.stream); /* the stream remembers a failed write */
    return mm_file_finish(&draft, status, err);
}
