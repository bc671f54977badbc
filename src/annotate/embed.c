/* embed: the embeddings of all images ahead of the people who will click on them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "annotate/guard.h"
#include "annotate/session.h"
#include "base/clock.h"

typedef struct embedding_run {
    const mm_embed_options *options;
    mm_source *source;
    mm_model *model;
    mm_embedding *embedding;
    mm_embeddings *cache;
    mm_embed_counts counts;
    bool speaks;
    double told; /* when the last line of progress was */
} embedding_run;

/* What cannot be read is told and left out, as a run would do. */
static mm_status embed_one(embedding_run *run, uint64_t index, mm_error *err)
{
    mm_sourced sourced;
    mm_error why = {0};
    size_t found;
    const char *name = mm_source_name(run->source, index);
    run->counts.images++;
    if (mm_source_load(run->source, index, &sourced, &why) != MM_OK) {
        if (why.status == MM_ERR_NOMEM)
            return mm_fail_memory(err, name);
        run->counts.failed++;
        if (!run->options->quiet)
            (void)fprintf(stderr, "maskmill: %s: is left out: %s\n", name, why.text);
        return MM_OK;
    }
    mm_status status = MM_OK;
    if (mm_embeddings_find(run->cache, &sourced.key, &found)) {
        run->counts.there++;
    } else {
        status = mm_model_encode(run->model, mm_image_whole(&sourced.frame), run->embedding, err);
        if (status == MM_OK)
            status = mm_embeddings_put(run->cache, &sourced.key, name, run->embedding, err);
        run->counts.made += status == MM_OK;
    }
    mm_sourced_free(&sourced);
    return status == MM_OK ? MM_OK : mm_error_prefix(err, "%s", name);
}

static void tell_progress(embedding_run *run, uint64_t all, double start)
{
    const double now = mm_seconds_now();
    if (!run->speaks || run->options->quiet || now - run->told < 5)
        return;
    run->told = now;
    (void)fprintf(stderr, "maskmill: %" PRIu64 " of this rank's %" PRIu64 " images, %.3g a second\n",
                  run->counts.images, all, (double)run->counts.images / (now - start));
}

static mm_status open_run(embedding_run *run, const char *model_path, mm_error *err)
{
    const mm_model_options model = {.config_path = run->options->source.model_config, .kernels = run->options->kernels};
    mm_status status = mm_model_open(model_path, &model, &run->model, err);
    if (status == MM_OK)
        status = mm_embedding_new(run->model, &run->embedding, err);
    if (status == MM_OK)
        status = mm_embeddings_open(run->options->out, run->model, &run->cache, err);
    return status;
}

/* This rank's share: every size-th image, so that neighbours, which are alike, do not fall to one rank. */
static mm_status embed_share(embedding_run *run, uint64_t rank, uint64_t size, mm_error *err)
{
    const uint64_t count = mm_source_count(run->source), mine = count / size + (rank < count % size);
    const double start = mm_seconds_now();
    mm_status status = MM_OK;
    run->told = start;
    for (uint64_t i = rank; status == MM_OK && i < count; i += size) {
        status = embed_one(run, i, err);
        tell_progress(run, mine, start);
    }
    if (status == MM_OK)
        status = mm_embeddings_flush(run->cache, err);
    return status;
}

mm_status mm_embed(mm_comm *comm, const mm_embed_options *options, mm_embed_counts *counts, mm_error *err)
{
    mm_annotate_session session;
    const uint64_t rank = (uint64_t)mm_comm_rank(comm), size = (uint64_t)mm_comm_size(comm);
    embedding_run run = {.options = options, .speaks = rank == 0};
    const double start = mm_seconds_now();
    mm_status status = mm_annotate_open(&options->source, true, &session, err);
    run.source = session.source;
    if (status == MM_OK)
        status = open_run(&run, session.model_path, err);
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = mm_comm_agree(comm, embed_share(&run, rank, size, err), err);
    uint64_t sums[4] = {run.counts.images, run.counts.made, run.counts.there, run.counts.failed};
    if (status == MM_OK)
        status = mm_comm_sum(comm, sums, 4, err);
    *counts = (mm_embed_counts){sums[0], sums[1], sums[2], sums[3], mm_seconds_now() - start};
    mm_embeddings_close(run.cache);
    mm_embedding_free(run.embedding);
    mm_model_close(run.model);
    mm_source_close(run.source);
    return status;
}
