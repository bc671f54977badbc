/* Answers as COCO's JSON, for whoever reads that. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "annotate/session.h"
#include "base/file.h"

typedef struct coco {
    const mm_book *book;
    FILE *images, *annotations; /* in memory; the one file has them one after the other */
    uint64_t image_id;
    uint32_t width, height;
    mm_annotate_counts counts;
} coco;

static mm_status put(FILE *out, bool first, json_t *item, mm_error *err)
{
    mm_status status = item ? MM_OK : mm_fail(err, MM_ERR_NOMEM, "an answer: memory is short, or a name is no UTF-8");
    if (status == MM_OK && (fputs(first ? "" : ",\n", out) < 0 || json_dumpf(item, out, JSON_REAL_PRECISION(12)) != 0))
        status = mm_fail_errno(err, "answers");
    json_decref(item);
    return status;
}

/* `attributes` is taken over. */
static mm_status put_mask(coco *c, const uint8_t *bytes, size_t size, json_t *attributes, mm_error *err)
{
    mm_rle rle;
    uint32_t box[4];
    mm_status status = mm_rle_from_counts(bytes, size, c->height, c->width, &rle, err);
    if (status != MM_OK) {
        json_decref(attributes);
        return status;
    }
    mm_rle_box(&rle, box);
    const json_int_t area = (json_int_t)mm_rle_area(&rle);
    mm_rle_free(&rle);
    c->counts.masks++;
    return put(c->annotations, c->counts.masks == 1,
               json_pack("{s:I, s:I, s:i, s:i, s:I, s:[I, I, I, I], s:{s:[I, I], s:o}, s:o}", "id",
                         (json_int_t)c->counts.masks, "image_id", (json_int_t)c->image_id, "category_id", 1,
                             "iscrowd", 0,
                         "area", area, "bbox", (json_int_t)box[0], (json_int_t)box[1],
                             (json_int_t)(box[2] - box[0] + 1),
                         (json_int_t)(box[3] - box[1] + 1), "segmentation", "size", (json_int_t)c->height,
                         (json_int_t)c->width, "counts", json_stringn((const char *)bytes, size), "attributes",
                             attributes),
               err);
}

static mm_status put_accepted(void *user, const mm_person_answer *answer, mm_error *err)
{
    coco *c = user;
    if (answer->height != c->height || answer->width != c->width)
        return mm_fail(err, MM_ERR_FORMAT, "answer %s: its mask has another size than image %" PRIu64, answer->id,
                       c->image_id);
    json_t *attributes = json_pack("{s:s, s:f, s:i, s:s}", "annotator", answer->annotator, "seconds", answer->seconds,
                                   "clicks", (int)answer->clicks, "answer", answer->id);
    if (attributes && answer->mask[0] && !mm_answer_is_id(answer->mask) &&
        json_object_set_new(attributes, "maskmill", json_string(answer->mask)) != 0) {
        json_decref(attributes);
        attributes = NULL;
    }
    return put_mask(c, answer->counts, answer->size, attributes, err);
}

static mm_status put_image(coco *c, mm_source *source, uint64_t index, mm_error *err)
{
    mm_sourced sourced;
    mm_status status = mm_source_load(source, index, &sourced, err);
    if (status != MM_OK)
        return mm_error_prefix(err, "%s", mm_source_name(source, index));
    c->image_id = mm_source_image_id(source, index);
    c->width = sourced.frame.width;
    c->height = sourced.frame.height;
    status = put(c->images, c->counts.images++ == 0,
                 json_pack("{s:I, s:s, s:i, s:i}", "id", (json_int_t)c->image_id, "file_name",
                           mm_source_name(source, index), "width", (int)c->width, "height", (int)c->height), err);
    for (size_t i = 0; status == MM_OK && i < sourced.count; i++) {
        const mm_shown_item *item = &sourced.items[i];
        if (!item->hint && !mm_book_gone(c->book, c->image_id, item->name))
            status = put_mask(c, item->counts, item->size, json_pack("{s:s}", "maskmill", item->name), err);
    }
    if (status == MM_OK)
        status = mm_book_masks(c->book, c->image_id, put_accepted, c, err);
    mm_sourced_free(&sourced);
    return status;
}

static mm_status write_file(const char *path, const char *images, const char *annotations, mm_error *err)
{
    mm_file_draft draft;
    const mm_status status = mm_file_begin(path, &draft, err);
    if (status != MM_OK)
        return status;
    (void)fprintf(draft.stream,
                  "{\"images\": [\n%s\n],\n\"annotations\": [\n%s\n],\n\"categories\": [{\"id\": 1, \"name\": "
                  "\"object\"}]}\n", images, annotations); /* failed writes show in the end */
    return mm_file_finish(&draft, MM_OK, err);
}

static mm_status collect(coco *c, mm_source *source, const char *path, mm_error *err)
{
    char *images = NULL, *annotations = NULL;
    size_t image_size, annotation_size;
    c->images = open_memstream(&images, &image_size);
    c->annotations = open_memstream(&annotations, &annotation_size);
    mm_status status = c->images && c->annotations ? MM_OK : mm_fail_memory(err, "answers");
    for (size_t i = 0; status == MM_OK && i < mm_book_images(c->book); i++) {
        uint64_t index;
        const uint64_t image = mm_book_image(c->book, i);
        if (!mm_source_find(source, image, &index))
            status = mm_fail(err, MM_ERR_FORMAT, "the answers are about image %" PRIu64 ", which is not there", image);
        else if (mm_book_answered(c->book, image))
            status = put_image(c, source, index, err);
    }
    const bool whole = (!c->images || fclose(c->images) == 0) & (!c->annotations || fclose(c->annotations) == 0);
    if (status == MM_OK && !whole)
        status = mm_fail_memory(err, "answers");
    if (status == MM_OK)
        status = write_file(path, images, annotations, err);
    free(images);
    free(annotations);
    return status;
}

mm_status mm_annotate_export(const mm_annotate_source *what, const char *path, mm_annotate_counts *counts,
                             mm_error *err)
{
    mm_annotate_session session;
    mm_book *book = NULL;
    uint64_t cut;
    coco c = {0};
    *counts = (mm_annotate_counts){0};
    mm_status status = mm_annotate_open(what, false, &session, err);
    if (status != MM_OK)
        return status;
    const mm_book_head head = mm_source_head(session.source);
    status = mm_book_open(session.answers_path, &head, true, &book, &cut, err);
    c.book = book;
    if (status == MM_OK)
        status = collect(&c, session.source, path, err);
    *counts = c.counts;
    mm_book_close(book);
    mm_source_close(session.source);
    return status;
}
