/* SA-1B's own layout: one tar a shard, photographs and JSON in turn. Nothing in it depends on when or where it was
 * made: ustar headers with no owner and no times. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "shard/export.h"

/* Where libarchive writes. It leaks its buffer when a write of its own fails, so none does: the failure is kept. */
typedef struct sink {
    FILE *stream;
    int failed; /* errno of the first failure, or 0 */
} sink;

typedef struct tar_job {
    const mm_dataset *dataset;
    const mm_manifest *manifest;
    struct archive *tar;
    uint64_t next_id;
} tar_job;

static mm_status fail_archive(struct archive *tar, mm_error *err)
{
    const char *why = archive_error_string(tar);
    return mm_fail(err, MM_ERR_IO, "cannot write: %s", why ? why : "libarchive does not say why");
}

static la_ssize_t sink_write(struct archive *tar, void *user, const void *bytes, size_t size)
{
    (void)tar;
    sink *to = user;
    errno = 0;
    if (!to->failed && fwrite(bytes, 1, size, to->stream) != size)
        to->failed = errno ? errno : EIO;
    return (la_ssize_t)size;
}

static mm_status put_member(struct archive *tar, const char *name, const void *bytes, size_t size, mm_error *err)
{
    struct archive_entry *entry = archive_entry_new2(tar);
    if (!entry)
        return mm_fail_memory(err, "a tar header");
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 0, 0);
    mm_status status = MM_OK;
    if (archive_write_header(tar, entry) != ARCHIVE_OK || archive_write_data(tar, bytes, size) != (la_ssize_t)size ||
        archive_write_finish_entry(tar) != ARCHIVE_OK)
        status = fail_archive(tar, err);
    archive_entry_free(entry);
    return status;
}

static mm_status put_photograph(const tar_job *job, uint64_t image_id, const char *file_name, const char *member,
                                mm_error *err)
{
    if (image_id >= mm_manifest_count(job->manifest))
        return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 " is not in the manifest", image_id);
    const mm_manifest_entry entry = mm_manifest_at(job->manifest, image_id);
    if (strcmp(entry.path, file_name) != 0)
        return mm_fail(err, MM_ERR_FORMAT, "image %" PRIu64 " is %s in the dataset and %s in the manifest", image_id,
                       file_name, entry.path);
    uint8_t *bytes = NULL;
    size_t size = 0;
    mm_status status = mm_corpus_read(job->manifest, image_id, 0, &bytes, &size, err);
    if (status == MM_OK && size != entry.length)
        status = mm_fail(err, MM_ERR_FORMAT, "it had %" PRIu64 " bytes when the corpus was scanned and has %zu now",
                         entry.length, size);
    if (status == MM_OK)
        status = put_member(job->tar, member, bytes, size, err);
    else if (err && status != MM_ERR_NOMEM)
        (void)mm_error_prefix(err, "the photographs must be there (--corpus FOLDER if they were moved): image %" PRIu64
                              ", %s", image_id, file_name);
    free(bytes);
    return status;
}

static mm_status put_json(const tar_job *job, const mm_record *record, const char *photograph, const char *member,
                          mm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return mm_fail_memory(err, "an image's JSON");
    mm_export_print_sa1b(stream, record, photograph, job->next_id);
    const bool bad = ferror(stream);
    const bool unclosed = fclose(stream) != 0;
    const mm_status status = bad || unclosed ? mm_fail_memory(err, "an image's JSON")
                                             : put_member(job->tar, member, text, size, err);
    free(text);
    return status;
}

static mm_status put_image(tar_job *job, uint64_t row, uint64_t *written, mm_error *err)
{
    mm_record record;
    char *file_name = NULL, photograph[40], json[40];
    mm_status status = mm_dataset_read(job->dataset, row, &record, &file_name, err);
    if (status != MM_OK)
        return status;
    if (record.status == MM_IMAGE_DONE) {
        (void)snprintf(photograph, sizeof photograph, "sa_%" PRIu64 ".jpg", record.image_id);
        (void)snprintf(json, sizeof json, "sa_%" PRIu64 ".json", record.image_id);
        status = put_photograph(job, record.image_id, file_name, photograph, err);
        if (status == MM_OK)
            status = put_json(job, &record, photograph, json, err);
        *written += status == MM_OK;
    }
    job->next_id += record.mask_count;
    mm_record_free(&record);
    free(file_name);
    return status;
}

static mm_status begin_archive(struct archive **tar, sink *to, mm_error *err)
{
    *tar = archive_write_new();
    if (!*tar)
        return mm_fail_memory(err, "a tar");
    if (archive_write_set_format_ustar(*tar) != ARCHIVE_OK || archive_write_add_filter_none(*tar) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(*tar, 10240) != ARCHIVE_OK ||
        archive_write_open(*tar, to, NULL, sink_write, NULL) != ARCHIVE_OK)
        return fail_archive(*tar, err);
    return MM_OK;
}

static mm_status write_images(tar_job *job, const sink *to, mm_shard_span span, uint64_t *images, mm_error *err)
{
    mm_status status = MM_OK;
    for (uint64_t i = 0; status == MM_OK && !to->failed && i < span.images; i++)
        status = put_image(job, span.first_row + i, images, err);
    return status;
}

static mm_status write_tar(tar_job *job, const char *folder, mm_shard_span span, uint64_t *written, mm_error *err)
{
    char path[PATH_MAX];
    uint64_t images = 0;
    mm_file_draft draft;
    const int length = snprintf(path, sizeof path, "%s/sa_%06" PRIu64 ".tar", folder, span.number);
    if (length < 0 || length >= PATH_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "the path of %.100s... is too long", folder);
    mm_status status = mm_file_begin(path, &draft, err);
    if (status != MM_OK)
        return status;
    sink to = {.stream = draft.stream};
    job->tar = NULL;
    job->next_id = span.first_mask + 1;
    status = begin_archive(&job->tar, &to, err);
    if (status == MM_OK)
        status = write_images(job, &to, span, &images, err);
    if (status == MM_OK && archive_write_close(job->tar) != ARCHIVE_OK)
        status = fail_archive(job->tar, err);
    if (job->tar)
        (void)archive_write_free(job->tar); /* closed, or half a tar, which is removed */
    if (status == MM_OK && to.failed) {
        errno = to.failed;
        status = mm_fail_errno(err, "cannot write; make room or choose another folder");
    }
    if (status != MM_OK && err)
        (void)mm_error_prefix(err, "%s was not made", path);
    *written += status == MM_OK ? images : 0;
    return mm_file_finish(&draft, status, err);
}

/* Rank 0: the sum of all ranks' counts. Collective. */
static mm_status add_up(mm_comm *comm, uint64_t *written, mm_error *err)
{
    const size_t ranks = (size_t)mm_comm_size(comm);
    uint64_t *all = calloc(ranks, sizeof *all);
    mm_status status = mm_comm_agree(comm, all ? MM_OK : mm_fail_memory(err, "counts"), err);
    if (status == MM_OK)
        status = mm_comm_gather(comm, written, sizeof *written, all, err);
    if (status == MM_OK && mm_comm_rank(comm) == 0)
        for (size_t r = 1; r < ranks; r++)
            *written += all[r];
    free(all);
    return status;
}

mm_status mm_dataset_export_tar(const mm_dataset *dataset, const mm_manifest *manifest, mm_comm *comm,
                                const char *folder, uint64_t *written, mm_error *err)
{
    const uint64_t ranks = comm ? (uint64_t)mm_comm_size(comm) : 1, rank = comm ? (uint64_t)mm_comm_rank(comm) : 0;
    tar_job job = {.dataset = dataset, .manifest = manifest};
    *written = 0;
    mm_status status = mm_export_make_folder(folder, err);
    for (uint64_t k = rank; status == MM_OK && k < mm_dataset_shards(dataset); k += ranks)
        status = write_tar(&job, folder, mm_dataset_span(dataset, k), written, err);
    if (!comm)
        return status;
    status = mm_comm_agree(comm, status, err);
    return status == MM_OK ? add_up(comm, written, err) : status;
}
