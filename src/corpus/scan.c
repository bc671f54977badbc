/* Scanning sources of any kind into one manifest, on all ranks together. */
#include "corpus/scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mm_status mm_scan_add(mm_scan *scan, const mm_source *source, const mm_manifest_entry *row, mm_error *err)
{
    if (!scan->absolute || row->path[0] == '/')
        return mm_manifest_add(scan->manifest, row, err);
    mm_manifest_entry whole = *row;
    char *path = NULL;
    if (asprintf(&path, "%s/%s", strcmp(source->root, "/") == 0 ? "" : source->root, row->path) < 0)
        return mm_fail_memory(err, "a path");
    whole.path = path;
    const mm_status status = mm_manifest_add(scan->manifest, &whole, err);
    free(path);
    return status;
}

static mm_status join_manifest(mm_scan *scan, const mm_source *source, mm_error *err)
{
    mm_manifest *other;
    mm_status status = mm_manifest_open(source->given, &other, err);
    if (status != MM_OK)
        return status;
    if (scan->source_count == 1) { /* alone: as it is, groups of near-duplicates included */
        mm_manifest_free(scan->manifest);
        scan->manifest = other;
        return MM_OK;
    }
    for (uint64_t i = 0; status == MM_OK && i < mm_manifest_count(other); i++) {
        mm_manifest_entry row = mm_manifest_at(other, i);
        char *full = NULL;
        status = mm_manifest_locate(other, row.path, &full, err);
        row.path = full;
        if (status == MM_OK)
            status = mm_manifest_add(scan->manifest, &row, err);
        free(full);
    }
    for (size_t i = 0; status == MM_OK && i < other->root_count; i++)
        status = mm_manifest_add_root(scan->manifest, other->roots[i], err);
    mm_manifest_free(other);
    return status;
}

static mm_status nothing_found(const char *const *sources, size_t count, const mm_scan_report *report, mm_error *err)
{
    char more[64] = "", locked[96] = "";
    if (count > 1)
        (void)snprintf(more, sizeof more, " and %zu more", count - 1);
    if (report->unreadable > 0)
        (void)snprintf(locked, sizeof locked, " (%" PRIu64 " folders could not be entered)", report->unreadable);
    if (report->ignored > 0)
        return mm_fail(err, MM_ERR_FORMAT,
                       "no image in %s%s: none of the %" PRIu64 " files there is named .jpg or .jpeg%s", sources[0],
                       more, report->ignored, locked);
    return mm_fail(err, MM_ERR_FORMAT,
                   "no image in %s%s: it is empty%s; name a folder, a .tar or a list that has JPEGs", sources[0], more,
                   locked);
}

/* What rank 0 reads by itself: names only. */
static mm_status read_lists(mm_scan *scan, mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < scan->source_count; i++) {
        const mm_source *source = &scan->sources[i];
        if (source->kind == MM_SOURCE_MANIFEST) {
            status = join_manifest(scan, source, err);
            continue;
        }
        status = mm_manifest_add_root(scan->manifest, source->root, err);
        if (status == MM_OK && source->kind == MM_SOURCE_LIST)
            status = mm_scan_list(scan, i, err);
    }
    return status;
}

typedef struct tar_fault {
    uint64_t source; /* UINT64_MAX: none */
    mm_error err;
} tar_fault;

/* Of several bad archives the first is told of, whichever rank read it. */
static mm_status agree_on_tars(mm_scan *scan, const tar_fault *mine, mm_error *err)
{
    const int ranks = mm_comm_size(scan->comm);
    const bool first = mm_comm_rank(scan->comm) == 0;
    tar_fault *all = first ? calloc((size_t)ranks, sizeof *all) : NULL, worst = *mine;
    mm_status status = first && !all ? mm_fail_memory(err, "reading archives") : MM_OK;
    status = mm_comm_agree(scan->comm, status, err);
    if (status == MM_OK)
        status = mm_comm_gather(scan->comm, mine, sizeof *mine, all, err);
    for (int i = 0; status == MM_OK && first && i < ranks; i++)
        if (all[i].source < worst.source)
            worst = all[i];
    free(all);
    if (status == MM_OK)
        status = mm_comm_broadcast(scan->comm, 0, &worst, sizeof worst, err);
    if (status != MM_OK || worst.source == UINT64_MAX)
        return status;
    worst.err.text[sizeof worst.err.text - 1] = '\0';
    return mm_fail(err, worst.err.status, "%s", worst.err.text);
}

static mm_status read_tars(mm_scan *scan, mm_error *err)
{
    tar_fault fault;
    memset(&fault, 0, sizeof fault); /* also the padding, which travels along */
    fault.source = UINT64_MAX;
    for (size_t i = 0; i < scan->source_count && fault.source == UINT64_MAX; i++) {
        const mm_source *source = &scan->sources[i];
        if (source->kind == MM_SOURCE_TAR && source->owner == (uint64_t)mm_comm_rank(scan->comm) &&
            mm_scan_tar(scan, source, &fault.err) != MM_OK)
            fault.source = i;
    }
    return agree_on_tars(scan, &fault, err);
}

static mm_status make_rows(mm_scan *scan, mm_error *err)
{
    mm_status status = mm_manifest_new(&scan->manifest, err);
    if (status == MM_OK && mm_comm_rank(scan->comm) == 0)
        status = read_lists(scan, err);
    status = mm_comm_agree(scan->comm, status, err);
    if (status == MM_OK)
        status = mm_scan_folders(scan, err);
    if (status == MM_OK)
        status = read_tars(scan, err);
    if (status == MM_OK)
        status = mm_scan_look(scan, err);
    return status == MM_OK ? mm_scan_collect(scan, err) : status;
}

/* Rank 0, with all rows. */
static mm_status put_in_order(mm_scan *scan, const char *const *given, size_t count, mm_error *err)
{
    if (scan->manifest->count == 0)
        return nothing_found(given, count, &scan->counts, err);
    if (count > 1 || scan->sources[0].kind != MM_SOURCE_MANIFEST) { /* which is in order, or was refused */
        const mm_status status = mm_manifest_sort(scan->manifest, &scan->counts.duplicates, err);
        if (status != MM_OK)
            return status;
    }
    scan->counts.images = scan->manifest->count;
    return MM_OK;
}

mm_status mm_corpus_scan_together(mm_comm *comm, const char *const *sources, size_t count, mm_manifest **manifest,
                                  mm_scan_report *report, mm_error *err)
{
    const bool first = mm_comm_rank(comm) == 0;
    mm_scan scan = {.comm = comm};
    *manifest = NULL;
    mm_status status = mm_scan_sources(&scan, sources, count, err);
    if (status == MM_OK)
        status = make_rows(&scan, err);
    if (status == MM_OK)
        status = mm_comm_agree(comm, first ? put_in_order(&scan, sources, count, err) : MM_OK, err);
    if (status == MM_OK && first) {
        *manifest = scan.manifest;
        scan.manifest = NULL;
        if (report)
            *report = scan.counts;
    }
    mm_manifest_free(scan.manifest);
    mm_buffer_free(&scan.found);
    mm_scan_sources_free(&scan);
    return status;
}

mm_status mm_corpus_scan(const char *const *sources, size_t count, mm_manifest **manifest, mm_scan_report *report,
                         mm_error *err)
{
    return mm_corpus_scan_together(NULL, sources, count, manifest, report, err);
}
