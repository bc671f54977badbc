#include "train/common.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "engine/setup.h"

mm_status mm_train_agree_on_kernels(mm_comm *comm, const mm_kernels *asked, mm_kernels *agreed, mm_error *err)
{
    const size_t ranks = comm ? (size_t)mm_comm_size(comm) : 1;
    mm_kernels *all = calloc(ranks, sizeof *all);
    *agreed = *asked;
    mm_status status = all ? mm_kernels_resolve(agreed, err) : mm_fail_memory(err, "the ranks' kernels");
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = mm_comm_gather(comm, agreed, sizeof *all, all, err);
    mm_kernels common = *agreed;
    if (status == MM_OK && (!comm || mm_comm_rank(comm) == 0))
        common = mm_kernels_in_common(all, ranks);
    if (status == MM_OK)
        status = mm_comm_broadcast(comm, 0, &common, sizeof common, err);
    free(all);
    if (status != MM_OK)
        return status;
    common.threads = agreed->threads;
    *agreed = common;
    return mm_comm_agree(comm, mm_kernels_resolve(agreed, err), err);
}

mm_status mm_train_check(const mm_train_number *numbers, const void *options, const mm_train_options *common,
                         size_t ranks, mm_error *err)
{
    const mm_status status = mm_train_numbers_check(numbers, options, err);
    if (status == MM_OK && common->batch < ranks)
        return mm_fail(err, MM_ERR_USAGE, "a batch of %" PRIu32 " images cannot be shared by %zu ranks; raise --batch",
                       common->batch, ranks);
    return status;
}

char *mm_train_beside(const char *out, const char *ending)
{
    char *path = NULL;
    return asprintf(&path, "%s%s", out, ending) < 0 ? NULL : path;
}

mm_status mm_train_look(const mm_train_options *options, const char *state, bool *go_on, bool *done, mm_error *err)
{
    const bool begun = mm_file_exists(state), whole = mm_file_exists(options->out);
    *go_on = *done = false;
    if (options->overwrite)
        return begun && unlink(state) != 0 ? mm_fail_errno(err, "cannot remove %s", state) : MM_OK;
    if (!options->resume && (begun || whole))
        return mm_fail(err, MM_ERR_USAGE, "%s is there already; --resume goes on with it, --overwrite begins anew",
                       begun ? state : options->out);
    *go_on = begun;
    *done = whole && !begun;
    return MM_OK;
}

mm_status mm_train_write_log(const char *out, const json_t *setup, const json_t *history, mm_error *err)
{
    char *path = mm_train_beside(out, ".jsonl");
    mm_file_draft draft;
    if (!path)
        return mm_fail_memory(err, "a path");
    mm_status status = mm_file_begin(path, &draft, err);
    if (status == MM_OK) {
        const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
        size_t i;
        json_t *entry;
        bool good = json_dumpf(setup, draft.stream, flags) == 0 && fputc('\n', draft.stream) != EOF;
        json_array_foreach(history, i, entry)
            good = good && json_dumpf(entry, draft.stream, flags) == 0 && fputc('\n', draft.stream) != EOF;
        if (!good)
            status = mm_fail_errno(err, "cannot write %s", path);
        status = mm_file_finish(&draft, status, err);
    }
    free(path);
    return status;
}
