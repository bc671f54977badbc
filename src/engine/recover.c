#include "engine/recover.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/messages.h"

enum { TAG_FOUND = 1, TAG_SET_ASIDE, TAG_NOTE };

/* A shard, or what its journal has of it: then a bit an image follows, rising from first_image. */
typedef struct found {
    uint64_t first_image, images; /* of the shard */
    uint64_t set_aside, masks;
    uint64_t kept; /* images */
    uint64_t cut;  /* bytes */
    bool in_place;
} found;

typedef struct recovery {
    mm_comm *comm;
    const mm_recover_plan *plan;
    mm_service *service;
    /* Rank 0, service thread. */
    mm_quarantine *quarantine;
    mm_recovered *result;
    mm_status status;
    mm_error err;
} recovery;

/* --- Rank 0: what comes. --- */

static void take_found(recovery *r, const uint8_t *bytes, size_t size)
{
    mm_recovered *result = r->result;
    found f;
    memcpy(&f, bytes, sizeof f);
    if (f.first_image < result->first || f.images > result->end - result->first ||
        f.first_image - result->first > result->end - result->first - f.images ||
        size != sizeof f + (f.in_place ? 0 : (f.images + 7) / 8)) {
        r->status = mm_fail(&r->err, MM_ERR_INTERNAL, "another rank found %" PRIu64 " images from %" PRIu64 " on",
                            f.images, f.first_image);
        return;
    }
    for (uint64_t i = 0; i < f.images; i++)
        if (f.in_place || (bytes[sizeof f + i / 8] >> i % 8 & 1)) {
            const uint64_t at = f.first_image - result->first + i;
            result->kept[at / 8] |= (uint8_t)(1u << at % 8);
        }
    result->shards += f.in_place;
    result->images_done += f.kept - f.set_aside;
    result->images_set_aside += f.set_aside;
    result->masks += f.masks;
    result->cut += f.cut;
}

static void receive(void *user, int source, int tag, uint8_t *bytes, size_t size)
{
    recovery *r = user;
    mm_set_aside image;
    if (r->status != MM_OK) {
        free(bytes);
        return;
    }
    if (tag == TAG_FOUND && size >= sizeof(found)) {
        take_found(r, bytes, size);
    } else if (tag == TAG_SET_ASIDE && size == sizeof image) {
        memcpy(&image, bytes, sizeof image);
        image.reason[sizeof image.reason - 1] = '\0';
        r->status = mm_quarantine_add(r->quarantine, image.image_id, image.status, image.reason, &r->err);
    } else if (tag == TAG_NOTE && size > 0) {
        (void)fprintf(stderr, "maskmill: note: %.*s\n", (int)(size < MM_ERROR_TEXT ? size : MM_ERROR_TEXT),
                      (const char *)bytes);
    } else {
        r->status = mm_fail(&r->err, MM_ERR_INTERNAL, "a message of kind %d from rank %d makes no sense", tag, source);
    }
    free(bytes);
}

/* --- Every rank: what there is. --- */

static mm_status tell(recovery *r, int tag, const void *value, size_t size, const void *more, size_t more_size,
                      mm_error *err)
{
    uint8_t *bytes = malloc(size + more_size);
    if (!bytes)
        return mm_fail_memory(err, "a message");
    memcpy(bytes, value, size);
    if (more_size)
        memcpy(bytes + size, more, more_size);
    return mm_service_send(r->service, 0, tag, bytes, size + more_size, err);
}

/* What a journal is read for. */
typedef struct reading {
    recovery *recovery;
    found *found;
    uint8_t *bits;                   /* NULL for a shard in its place, of whose journal only reasons matter */
    const mm_shard_content *content; /* then */
    bool *told;                      /* [content->set_aside_count] */
    uint64_t others;                 /* records that are of images not set aside */
} reading;

static int compare_ids(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Its place among the images set aside, or their count. */
static size_t find_id(const mm_shard_content *content, uint64_t image_id)
{
    const uint64_t *at = content->set_aside_count ? bsearch(&image_id, content->set_aside, content->set_aside_count,
                                                            sizeof image_id, compare_ids)
                                                  : NULL;
    return at ? (size_t)(at - content->set_aside) : content->set_aside_count;
}

static mm_status tell_set_aside(recovery *r, uint64_t image_id, mm_status why, const char *reason, mm_error *err)
{
    mm_set_aside image;
    memset(&image, 0, sizeof image);
    image.image_id = image_id;
    image.status = why;
    (void)snprintf(image.reason, sizeof image.reason, "%s", reason);
    return tell(r, TAG_SET_ASIDE, &image, sizeof image, NULL, 0, err);
}

/* A record that does not unpack was never whole, whatever its checksum says. */
static mm_status read_record(void *user, uint64_t image_id, const uint8_t *payload, size_t size, mm_error *err)
{
    reading *in = user;
    mm_record record = {0};
    mm_status status = mm_record_unpack(payload, size, &record, err);
    if (status != MM_OK)
        return status == MM_ERR_NOMEM ? status : MM_ERR_FORMAT;
    const bool set_aside = record.status == MM_IMAGE_SET_ASIDE;
    if (record.image_id != image_id || record.status == MM_IMAGE_ABSENT) {
        status = mm_fail(err, MM_ERR_FORMAT, "a record of image %" PRIu64 " says something else", image_id);
    } else if (in->bits) {
        const uint64_t at = image_id - in->found->first_image;
        in->bits[at / 8] |= (uint8_t)(1u << at % 8);
        in->found->kept++;
        in->found->set_aside += set_aside;
        in->found->masks += record.mask_count;
        if (set_aside)
            status = tell_set_aside(in->recovery, image_id, (mm_status)record.why, record.reason, err);
    } else if (set_aside) {
        const size_t at = find_id(in->content, image_id);
        if (at < in->content->set_aside_count && !in->told[at]) {
            in->told[at] = true;
            status = tell_set_aside(in->recovery, image_id, (mm_status)record.why, record.reason, err);
        }
    } else {
        in->others++;
    }
    mm_record_free(&record);
    return status;
}

/* Reasons that no journal has any more. */
static mm_status tell_the_rest(const reading *in, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < in->content->set_aside_count; i++)
        if (!in->told[i])
            status = tell_set_aside(in->recovery, in->content->set_aside[i], MM_ERR_INTERNAL,
                                    "set aside by an earlier attempt; its journal is lost, and the reason with it", err);
    return status;
}

/* The crash came between the shard and this. */
static mm_status reduce(mm_journal *journal, const reading *in, mm_error *err)
{
    uint64_t *images = calloc(in->content->set_aside_count + 1, sizeof *images);
    if (!images)
        return mm_fail_memory(err, "images set aside");
    size_t count = 0;
    for (size_t i = 0; i < in->content->set_aside_count; i++)
        if (in->told[i])
            images[count++] = in->content->set_aside[i];
    const mm_status status = mm_journal_reduce(journal, images, count, err);
    free(images);
    return status;
}

/* A shard in its place wins over its journal, which is still good for reasons. */
static mm_status read_reasons(recovery *r, const mm_journal_origin *origin, const mm_shard_content *content, bool *told,
                              mm_error *err)
{
    char path[PATH_MAX];
    reading in = {.recovery = r, .content = content, .told = told};
    mm_status status = mm_owner_path(r->plan->owner, origin->shard, path, sizeof path, err);
    if (status != MM_OK)
        return status;
    if (mm_file_exists(path)) {
        const mm_journal_visitor visitor = {&in, read_record};
        mm_journal *journal = NULL;
        uint64_t cut = 0;
        status = mm_journal_open(path, origin, &visitor, &journal, &cut, err);
        if (status == MM_OK && (in.others > 0 || content->set_aside_count == 0))
            status = reduce(journal, &in, err);
        mm_journal_close(journal);
    }
    return status == MM_OK ? tell_the_rest(&in, err) : status;
}

static mm_status take_shard(recovery *r, const mm_journal_origin *origin, const mm_shard_content *content,
                            mm_error *err)
{
    const found f = {.first_image = origin->first_image, .images = origin->images, .kept = origin->images,
                     .set_aside = content->set_aside_count, .masks = content->masks, .in_place = true};
    bool *told = calloc(content->set_aside_count + 1, sizeof *told);
    mm_status status = told ? read_reasons(r, origin, content, told, err) : mm_fail_memory(err, "images set aside");
    free(told);
    mm_owner_finish(r->plan->owner, origin->shard);
    return status == MM_OK ? tell(r, TAG_FOUND, &f, sizeof f, NULL, 0, err) : status;
}

static mm_status take_journal(recovery *r, const mm_journal_origin *origin, mm_error *err)
{
    char path[PATH_MAX];
    mm_status status = mm_owner_path(r->plan->owner, origin->shard, path, sizeof path, err);
    if (status != MM_OK || !mm_file_exists(path))
        return status;
    found f = {.first_image = origin->first_image, .images = origin->images};
    const size_t size = (size_t)(origin->images + 7) / 8;
    reading in = {.recovery = r, .found = &f, .bits = calloc(size, 1)};
    if (!in.bits)
        return mm_fail_memory(err, "a journal");
    const mm_journal_visitor visitor = {&in, read_record};
    mm_journal *journal = NULL;
    status = mm_journal_open(path, origin, &visitor, &journal, &f.cut, err);
    if (status == MM_OK) {
        mm_owner_adopt(r->plan->owner, journal);
        status = mm_journal_rest(journal, err);
    }
    if (status == MM_OK)
        status = tell(r, TAG_FOUND, &f, sizeof f, in.bits, size, err);
    free(in.bits);
    return status;
}

static mm_status look_at(recovery *r, uint64_t shard, mm_error *err)
{
    const mm_journal_origin origin = mm_owner_origin(r->plan->owner, shard);
    mm_shard_content content;
    mm_error why = {0};
    bool there = false;
    mm_status status = mm_shard_examine(r->plan->out, shard, origin.first_image, origin.images, &r->plan->origin,
                                        &there, &content, &why);
    if (status == MM_ERR_FORMAT) {
        char note[MM_ERROR_TEXT];
        const int length = snprintf(note, sizeof note, "%.400s; its images are made again", why.text);
        status = tell(r, TAG_NOTE, note, (size_t)length, NULL, 0, err);
    } else if (status != MM_OK) {
        return mm_fail(err, status, "%s", why.text);
    }
    if (status == MM_OK)
        status = there ? take_shard(r, &origin, &content, err) : take_journal(r, &origin, err);
    free(content.set_aside);
    return status;
}

static mm_status look_at_all(recovery *r, mm_error *err)
{
    const mm_service_options options = {.user = r, .receive = receive};
    mm_status status = mm_service_start(r->comm, &options, &r->service, err);
    if (status != MM_OK)
        return status;
    for (size_t i = 0; status == MM_OK && i < mm_owner_count(r->plan->owner); i++)
        status = look_at(r, mm_owner_shard(r->plan->owner, i), err);
    mm_service_stop(r->service);
    if (status == MM_OK && r->status != MM_OK)
        status = mm_fail(err, r->status, "%s", r->err.text);
    return status;
}

mm_status mm_recover(mm_comm *comm, const mm_recover_plan *plan, mm_quarantine *quarantine, mm_recovered *recovered,
                     mm_error *err)
{
    recovery r = {.comm = comm, .plan = plan, .quarantine = quarantine, .result = recovered};
    *recovered = (mm_recovered){.first = plan->first, .end = plan->end};
    mm_status status = MM_OK;
    if (mm_comm_rank(comm) == 0) {
        recovered->kept = calloc((size_t)(plan->end - plan->first) / 8 + 1, 1);
        if (!recovered->kept)
            status = mm_fail_memory(err, "the list of images that are done");
    }
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = mm_comm_agree(comm, look_at_all(&r, err), err);
    return status;
}

void mm_recovered_free(mm_recovered *recovered)
{
    free(recovered->kept);
    *recovered = (mm_recovered){0};
}

bool mm_recovered_has(const mm_recovered *recovered, uint64_t image_id)
{
    const uint64_t at = image_id - recovered->first;
    return recovered->kept && image_id >= recovered->first && image_id < recovered->end &&
           (recovered->kept[at / 8] >> at % 8 & 1);
}
