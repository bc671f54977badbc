#include "train/common.h"

#include <stdlib.h>

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
