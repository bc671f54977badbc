/* Verifying: what is to be looked at, and by whom. Ranks share the shards; rank 0 looks at dataset.h5 besides. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shard/folder.h"
#include "shard/verify.h"

typedef enum subject_kind { ONE_SHARD, WHOLE_DATASET, LOOSE_SHARDS } subject_kind;

/* What rank 0 has found at the path. */
typedef struct subject {
    subject_kind kind;
    bool unfinished;
    uint64_t journals;
    char folder[PATH_MAX], file[PATH_MAX]; /* the dataset's folder; dataset.h5 or the shard */
} subject;

static int rank_of(const mm_verify_share *share)
{
    return share->comm ? mm_comm_rank(share->comm) : 0;
}

/* --- shards by themselves: of an unfinished run, or where dataset.h5 is of no use --- */

typedef struct loose_shards {
    const char *folder, *only; /* only: the path of the one shard, or NULL */
    const uint64_t *numbers;
} loose_shards;

static mm_status check_loose_shard(void *user, size_t k, mm_findings *findings, uint64_t *images, uint64_t *masks,
                                   mm_stats *total, mm_error *err)
{
    const loose_shards *shards = user;
    char path[PATH_MAX];
    if (shards->only)
        return mm_verify_shard(findings, shards->only, NULL, (mm_shard_place){0}, images, masks, total, err);
    const mm_status status = mm_shard_path(shards->folder, shards->numbers[k], path, sizeof path, err);
    return status == MM_OK
               ? mm_verify_shard(findings, path, NULL, (mm_shard_place){0}, images, masks, total, err)
               : status;
}

static mm_status check_loose_shards(mm_verify_share *share, const subject *what, mm_error *err)
{
    loose_shards shards = {.folder = what->folder, .only = what->kind == ONE_SHARD ? what->file : NULL};
    uint64_t *numbers = NULL, count = 1;
    mm_status status = MM_OK;
    if (shards.only)
        return mm_verify_all(share, 1, check_loose_shard, &shards, err);
    if (rank_of(share) == 0) {
        size_t found = 0;
        status = mm_folder_shards(what->folder, &numbers, &found, err);
        count = found;
    }
    status = mm_comm_agree(share->comm, status, err);
    if (status == MM_OK)
        status = mm_comm_broadcast(share->comm, 0, &count, sizeof count, err);
    if (status == MM_OK && rank_of(share) != 0) {
        numbers = calloc(count ? count : 1, sizeof *numbers);
        status = numbers ? MM_OK : mm_fail_memory(err, "a list of shards");
    }
    status = mm_comm_agree(share->comm, status, err);
    if (status == MM_OK && count)
        status = mm_comm_broadcast(share->comm, 0, numbers, (size_t)count * sizeof *numbers, err);
    shards.numbers = numbers;
    if (status == MM_OK)
        status = mm_verify_all(share, (size_t)count, check_loose_shard, &shards, err);
    free(numbers);
    return status;
}

/* --- a dataset --- */

typedef struct index_check {
    const char *folder;
    hid_t file;
    mm_shard_list list;
    mm_offset_arrays arrays;
    mm_stats stored;
    size_t next; /* whose place is `place` */
    mm_shard_place place;
} index_check;

/* The mappings of a column take 10 KB a shard: they go when it is closed, not with the file. */
static hid_t open_for_mappings(const char *path)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file = H5I_INVALID_HID;
    if (access >= 0 && H5Pset_evict_on_close(access, true) >= 0)
        file = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (access >= 0)
        (void)H5Pclose(access);
    return file;
}

/* False, with a fault noted, if dataset.h5 is of no use. */
static bool open_index(index_check *index, const char *path, mm_findings *findings)
{
    mm_error fault = {0};
    mm_seal seal;
    if (mm_seal_check_head(path, &seal, &fault) != MM_OK) {
        mm_verify_note(findings, "%s", fault.text);
        return false;
    }
    index->file = strcmp(seal.kind, "dataset") == 0 ? open_for_mappings(path) : H5I_INVALID_HID;
    if (index->file < 0) {
        mm_verify_note(findings, "%s is no dataset.h5 that HDF5 can open", path);
        return false;
    }
    if (mm_shard_list_read(index->file, seal.bytes, &index->list, &fault) != MM_OK ||
        mm_origin_read(index->file, &index->arrays.origin, &fault) != MM_OK ||
        mm_statistics_read(index->file, &index->stored, &fault) != MM_OK) {
        mm_verify_note(findings, "%s: %s", path, fault.text);
        return false;
    }
    return true;
}

static void close_index(index_check *index)
{
    mm_verify_close_offsets(&index->arrays);
    mm_shard_list_free(&index->list);
    if (index->file >= 0)
        (void)H5Fclose(index->file); /* only read from */
}

/* Checks come in rising order on each rank. */
static mm_shard_place place_of(index_check *index, size_t k)
{
    uint64_t *const *columns = index->list.columns;
    mm_shard_place *place = &index->place;
    for (; index->next < k; index->next++)
        for (int c = 0; c < SHARD_COLUMNS; c++)
            place->at[c] += columns[c][index->next];
    for (int c = 0; c < SHARD_COLUMNS; c++)
        place->rows[c] = columns[c][k];
    return *place;
}

static mm_status check_listed_shard(void *user, size_t k, mm_findings *findings, uint64_t *images, uint64_t *masks,
                                    mm_stats *total, mm_error *err)
{
    index_check *index = user;
    char path[PATH_MAX];
    mm_seal seal;
    mm_error fault = {0};
    const mm_shard_place place = place_of(index, k);
    const mm_status status = mm_shard_path(index->folder, index->list.first_shard + k, path, sizeof path, err);
    if (status != MM_OK)
        return status;
    if (mm_seal_read(path, &seal, &fault) != MM_OK) {
        mm_verify_note(findings, "%s", fault.text);
        return MM_OK;
    }
    if (mm_shard_list_check(&index->list, index->folder, k, &fault) == MM_OK)
        return mm_verify_shard(findings, path, &index->arrays, place, images, masks, total, err);
    mm_verify_note(findings, "%s", fault.text);
    /* Not the right one; but what is it? */
    return mm_verify_shard(findings, path, NULL, place, images, masks, total, err);
}

/* The sum of all ranks' statistics is that of dataset.h5. */
static mm_status check_total(mm_verify_share *share, const index_check *index, const char *path, mm_error *err)
{
    mm_findings findings;
    char *text;
    size_t size;
    mm_status status = mm_comm_sum(share->comm, (uint64_t *)share->total, sizeof *share->total / sizeof(uint64_t), err);
    const bool compares = status == MM_OK && rank_of(share) == 0 && share->report->faults == 0;
    if (compares && memcmp(share->total, &index->stored, sizeof index->stored) != 0) {
        status = mm_verify_begin(&findings, &text, &size, err);
        if (status == MM_OK) {
            mm_verify_note(&findings, "%s: its statistics are not the sum of the shards'", path);
            status = mm_verify_tell(share, &findings, &text, &size, err);
        }
    }
    return mm_comm_agree(share->comm, status, err);
}

/* All ranks open dataset.h5, rank 0 looks at it closely. *usable is the same on all. */
static mm_status check_index(mm_verify_share *share, index_check *index, const char *path, bool *usable, mm_error *err)
{
    const bool first = rank_of(share) == 0;
    mm_findings findings;
    char *text;
    size_t size;
    mm_error fault = {0};
    mm_seal seal;
    mm_status status = mm_verify_begin(&findings, &text, &size, err);
    if (status == MM_OK) {
        *usable = open_index(index, path, &findings);
        if (*usable && first && mm_seal_check(path, &seal, &fault) != MM_OK)
            mm_verify_note(&findings, "%s", fault.text); /* the head is good: its offsets are not */
        if (*usable && first)
            mm_verify_mappings(&findings, index->file, &index->list, &index->arrays.origin);
        if (*usable)
            mm_verify_open_offsets(&findings, index->file, &index->list, &index->arrays);
        mm_verify_share silent = {.report = &(mm_verify_report){0}};
        status = mm_verify_tell(first ? share : &silent, &findings, &text, &size, err);
    }
    bool of_rank_0 = *usable;
    status = mm_comm_agree(share->comm, status, err);
    if (status == MM_OK)
        status = mm_comm_broadcast(share->comm, 0, &of_rank_0, sizeof of_rank_0, err);
    if (status == MM_OK && of_rank_0 && !*usable)
        status = mm_fail(err, MM_ERR_IO, "%s cannot be read here; all hosts must see the dataset", path);
    *usable = of_rank_0;
    return mm_comm_agree(share->comm, status, err);
}

static mm_status check_dataset(mm_verify_share *share, const subject *what, mm_error *err)
{
    bool usable = false;
    index_check *index = calloc(1, sizeof *index);
    if (index) {
        index->folder = what->folder;
        index->file = H5I_INVALID_HID;
        for (int t = 0; t < MASK_TABLES; t++)
            index->arrays.mask_offset[t] = index->arrays.rle_offset[t] = H5I_INVALID_HID;
    }
    mm_status status = mm_comm_agree(share->comm, index ? MM_OK : mm_fail_memory(err, "verifying"), err);
    if (status == MM_OK)
        status = check_index(share, index, what->file, &usable, err);
    if (status == MM_OK && usable)
        status = mm_verify_all(share, index->list.count, check_listed_shard, index, err);
    else if (status == MM_OK)
        status = check_loose_shards(share, what, err);
    if (status == MM_OK && usable)
        status = check_total(share, index, what->file, err);
    if (index)
        close_index(index);
    free(index);
    return status;
}

/* --- what is there --- */

static mm_status look_at_folder(const char *path, subject *what, mm_error *err)
{
    const mm_status status = mm_folder_journals(path, &what->journals, err);
    if (status != MM_OK)
        return status;
    const bool whole = mm_folder_has(path, "dataset.h5");
    what->kind = whole ? WHOLE_DATASET : LOOSE_SHARDS;
    what->unfinished = !whole || (mm_folder_has(path, "journal") && !mm_folder_has(path, "run.json"));
    if (!whole && !mm_folder_has(path, "manifest.h5") && !mm_folder_has(path, "shards"))
        return mm_fail(err, MM_ERR_IO, "%s has no dataset.h5: it is no dataset, or its parts are not joined (`maskmill "
                       "merge`)", path);
    return MM_OK;
}

static mm_status look(const char *path, subject *what, mm_error *err)
{
    struct stat info;
    mm_seal seal;
    const char *slash = strrchr(path, '/');
    if (stat(path, &info) != 0)
        return mm_fail_errno(err, "cannot open the dataset %s", path);
    const bool folder = S_ISDIR(info.st_mode);
    const size_t up = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    const int folder_length = folder      ? snprintf(what->folder, sizeof what->folder, "%s", path)
                              : up == 0   ? snprintf(what->folder, sizeof what->folder, ".")
                                          : snprintf(what->folder, sizeof what->folder, "%.*s", (int)up, path);
    const int file_length = snprintf(what->file, sizeof what->file, folder ? "%s/dataset.h5" : "%s", path);
    if (folder_length < 0 || folder_length >= PATH_MAX || file_length < 0 || file_length >= PATH_MAX)
        return mm_fail(err, MM_ERR_LIMIT, "the path %.100s... is too long", path);
    if (folder)
        return look_at_folder(path, what, err);
    what->kind = mm_seal_read(path, &seal, NULL) == MM_OK && strcmp(seal.kind, "dataset") == 0 ? WHOLE_DATASET
                                                                                               : ONE_SHARD;
    return MM_OK;
}

mm_status mm_dataset_verify(const char *path, mm_comm *comm, FILE *out, mm_verify_report *report, mm_error *err)
{
    mm_verify_share share = {.comm = comm, .out = out, .report = report, .total = calloc(1, sizeof *share.total)};
    subject *what = calloc(1, sizeof *what);
    *report = (mm_verify_report){0};
    mm_status status = share.total && what ? MM_OK : mm_fail_memory(err, "verifying");
    const mm_h5_silence before = mm_h5_silence_begin();
    if (status == MM_OK && rank_of(&share) == 0)
        status = look(path, what, err);
    status = mm_comm_agree(share.comm, status, err);
    if (status == MM_OK)
        status = mm_comm_broadcast(share.comm, 0, what, sizeof *what, err);
    if (status == MM_OK) {
        report->unfinished = what->unfinished;
        report->journals = what->journals;
        status = what->kind == WHOLE_DATASET ? check_dataset(&share, what, err) : check_loose_shards(&share, what, err);
    }
    mm_h5_silence_end(before);
    free(share.total);
    free(what);
    return status;
}
