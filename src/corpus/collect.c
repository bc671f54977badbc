/* Reading the headers of what was found, in equal parts; and the rows of all ranks to rank 0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/scan.h"

mm_status mm_scan_found(mm_scan *scan, size_t source, const char *path, mm_error *err)
{
    mm_status status = mm_buffer_put_u64(&scan->found, source, err);
    if (status == MM_OK)
        status = mm_buffer_put_text(&scan->found, path, err);
    if (status == MM_OK)
        scan->found_count++;
    return status;
}

/* How many files the ranks before this one found, and all ranks. */
static mm_status number_found(const mm_scan *scan, uint64_t *before, uint64_t *total, mm_error *err)
{
    const size_t ranks = (size_t)mm_comm_size(scan->comm);
    uint64_t *counts = calloc(ranks, sizeof *counts);
    mm_status status = counts ? MM_OK : mm_fail_memory(err, "sharing out files");
    status = mm_comm_agree(scan->comm, status, err);
    if (status == MM_OK)
        status = mm_comm_gather(scan->comm, &scan->found_count, sizeof *counts, counts, err);
    if (status == MM_OK)
        status = mm_comm_broadcast(scan->comm, 0, counts, ranks * sizeof *counts, err);
    *before = *total = 0;
    for (size_t i = 0; status == MM_OK && i < ranks; i++) {
        *before += i < (size_t)mm_comm_rank(scan->comm) ? counts[i] : 0;
        *total += counts[i];
    }
    free(counts);
    return status;
}

static bool next_found(const mm_scan *scan, mm_cursor *cursor, uint64_t *source, const char **path)
{
    return mm_cursor_u64(cursor, source) && *source < scan->source_count && mm_cursor_text(cursor, path);
}

static mm_status deal_found(const mm_scan *scan, uint64_t before, uint64_t total, mm_buffer *shares, mm_error *err)
{
    mm_cursor cursor = mm_cursor_of(scan->found.bytes, scan->found.used);
    mm_status status = MM_OK;
    for (uint64_t i = before; status == MM_OK && !mm_cursor_done(&cursor); i++) {
        uint64_t source;
        const char *path;
        if (!next_found(scan, &cursor, &source, &path))
            return mm_cursor_fail(err);
        mm_buffer *share = &shares[i * (uint64_t)mm_comm_size(scan->comm) / total];
        status = mm_buffer_put_u64(share, source, err);
        if (status == MM_OK)
            status = mm_buffer_put_text(share, path, err);
    }
    return status;
}

/* A folder with all the images may have been read by one rank; its files are shared out evenly. */
static mm_status share_out_found(mm_scan *scan, mm_error *err)
{
    uint64_t before, total;
    mm_status status = number_found(scan, &before, &total, err);
    if (status != MM_OK || total == 0)
        return status;
    mm_buffer *shares = NULL;
    status = mm_buffers_new(scan->comm, &shares, err);
    if (status == MM_OK)
        status = deal_found(scan, before, total, shares, err);
    status = mm_comm_agree(scan->comm, status, err);
    mm_buffer_free(&scan->found);
    if (status == MM_OK)
        status = mm_buffer_exchange(scan->comm, shares, &scan->found, err);
    mm_buffers_free(scan->comm, shares);
    return status;
}

static mm_status look_at(mm_scan *scan, const mm_source *source, const char *path, mm_error *err)
{
    char *full = NULL;
    if (path[0] != '/' && asprintf(&full, "%s/%s", source->root, path) < 0)
        return mm_fail_memory(err, "a path");
    mm_manifest_entry row = {.path = path};
    mm_scan_probe_file(full ? full : path, &row);
    free(full);
    return mm_scan_add(scan, source, &row, err);
}

mm_status mm_scan_look(mm_scan *scan, mm_error *err)
{
    mm_status status = mm_comm_size(scan->comm) > 1 ? share_out_found(scan, err) : MM_OK;
    if (status != MM_OK)
        return status;
    mm_cursor cursor = mm_cursor_of(scan->found.bytes, scan->found.used);
    while (status == MM_OK && !mm_cursor_done(&cursor)) {
        uint64_t source;
        const char *path;
        status = next_found(scan, &cursor, &source, &path) ? look_at(scan, &scan->sources[source], path, err)
                                                           : mm_cursor_fail(err);
    }
    mm_buffer_free(&scan->found);
    return mm_comm_agree(scan->comm, status, err);
}

/* --- Rows to rank 0, some at a time, so that it never has much more than the manifest. --- */

static mm_status put_row(mm_buffer *buffer, const mm_manifest_entry *row, mm_error *err)
{
    const uint64_t numbers[4] = {row->offset, row->length, row->width, row->height};
    const mm_status status = mm_buffer_put(buffer, numbers, sizeof numbers, err);
    return status == MM_OK ? mm_buffer_put_text(buffer, row->path, err) : status;
}

static mm_status add_rows(mm_scan *scan, const mm_buffer *rows, mm_error *err)
{
    mm_cursor cursor = mm_cursor_of(rows->bytes, rows->used);
    mm_status status = MM_OK;
    while (status == MM_OK && !mm_cursor_done(&cursor)) {
        uint64_t numbers[4];
        mm_manifest_entry row = {0};
        if (!mm_cursor_take(&cursor, numbers, sizeof numbers) || !mm_cursor_text(&cursor, &row.path) ||
            numbers[2] > UINT32_MAX || numbers[3] > UINT32_MAX)
            return mm_cursor_fail(err);
        row.offset = numbers[0];
        row.length = numbers[1];
        row.width = (uint32_t)numbers[2];
        row.height = (uint32_t)numbers[3];
        status = mm_manifest_add(scan->manifest, &row, err);
    }
    return status;
}

static mm_status collect_some(mm_scan *scan, mm_buffer *buffers, uint64_t *sent, size_t most, mm_error *err)
{
    const uint64_t rows = mm_comm_rank(scan->comm) == 0 ? 0 : mm_manifest_count(scan->manifest);
    mm_buffer received = {0};
    mm_status status = MM_OK;
    while (status == MM_OK && *sent < rows && buffers[0].used < most) {
        const mm_manifest_entry row = mm_manifest_at(scan->manifest, (*sent)++);
        status = put_row(&buffers[0], &row, err);
    }
    status = mm_comm_agree(scan->comm, status, err);
    if (status == MM_OK)
        status = mm_buffer_exchange(scan->comm, buffers, &received, err);
    if (status == MM_OK)
        status = mm_comm_agree(scan->comm, add_rows(scan, &received, err), err);
    mm_buffer_free(&received);
    return status;
}

static mm_status collect_rows(mm_scan *scan, mm_error *err)
{
    const size_t at_once = 64u << 20, least = 16u << 10;
    const size_t part = at_once / (size_t)mm_comm_size(scan->comm), most = part > least ? part : least;
    const uint64_t rows = mm_comm_rank(scan->comm) == 0 ? 0 : mm_manifest_count(scan->manifest);
    mm_buffer *buffers = NULL;
    mm_status status = mm_comm_agree(scan->comm, mm_buffers_new(scan->comm, &buffers, err), err);
    uint64_t sent = 0, left = 1;
    while (status == MM_OK) {
        status = mm_comm_largest(scan->comm, rows - sent, &left, err);
        if (status != MM_OK || left == 0)
            break;
        status = collect_some(scan, buffers, &sent, most, err);
    }
    mm_buffers_free(scan->comm, buffers);
    return status;
}

static mm_status collect_counts(mm_scan *scan, mm_error *err)
{
    const size_t ranks = (size_t)mm_comm_size(scan->comm);
    const bool first = mm_comm_rank(scan->comm) == 0;
    mm_scan_report *all = first ? calloc(ranks, sizeof *all) : NULL;
    mm_status status = first && !all ? mm_fail_memory(err, "a scan's counts") : MM_OK;
    status = mm_comm_agree(scan->comm, status, err);
    if (status == MM_OK)
        status = mm_comm_gather(scan->comm, &scan->counts, sizeof scan->counts, all, err);
    for (size_t i = 1; status == MM_OK && first && i < ranks; i++) {
        scan->counts.ignored += all[i].ignored;
        scan->counts.unreadable += all[i].unreadable;
    }
    free(all);
    return status;
}

mm_status mm_scan_collect(mm_scan *scan, mm_error *err)
{
    if (mm_comm_size(scan->comm) == 1)
        return MM_OK;
    const mm_status status = collect_rows(scan, err);
    return status == MM_OK ? collect_counts(scan, err) : status;
}
