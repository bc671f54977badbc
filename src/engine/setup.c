#include "engine/setup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/h5.h"
#include "engine/duplicates.h"
#include "engine/output.h"
#include "engine/range.h"
#include "engine/report.h"

static mm_status load_config(const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    const mm_status status = mm_config_load_for(setup->model_path, options->config_path, options->sets,
                                                options->set_count, &setup->config, NULL, err);
    return status == MM_OK ? mm_config_to_yaml(&setup->config, &setup->config_yaml, err) : status;
}

static mm_status locate_model(const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    char found[PATH_MAX];
    mm_status status = mm_checkpoint_locate(options->model ? options->model : "default", found, sizeof found, err);
    if (status != MM_OK)
        return status;
    /* Absolute: other ranks may have been started in another folder. */
    if (!realpath(found, setup->model_path))
        return mm_fail_errno(err, "model %s", found);
    if (options->model_config && !realpath(options->model_config, setup->model_config))
        return mm_fail_errno(err, "model config %s", options->model_config);
    return MM_OK;
}

/* The corpus as an earlier attempt listed it, and what it was begun with. */
static mm_status open_begun(const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    char path[PATH_MAX];
    bool there = false;
    mm_status status = mm_begun_read(options->out, &there, &setup->begun, err);
    if (status == MM_OK && !there)
        status = mm_fail(err, MM_ERR_IO, "%s/begun.json was removed just now", options->out);
    if (status == MM_OK)
        status = mm_output_path(options->out, "manifest.h5", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_manifest_open(path, &setup->manifest, err);
    setup->scan.images = status == MM_OK ? mm_manifest_count(setup->manifest) : 0;
    return status;
}

static mm_status read_seal(const mm_run_options *options, mm_begun *begun, const mm_manifest *manifest, mm_error *err)
{
    char path[PATH_MAX];
    mm_seal seal;
    mm_status status = mm_output_path(options->out, "manifest.h5", path, sizeof path, err);
    if (status == MM_OK)
        status = mm_seal_read(path, &seal, err);
    if (status != MM_OK)
        return status;
    begun->images = mm_manifest_count(manifest);
    begun->manifest = seal.digest;
    return MM_OK;
}

/* Is what is asked for what OUT was begun with? Kernels that were not chosen are seen to later. */
static mm_status compare_with_begun(const mm_run_options *options, const mm_setup *setup, mm_error *err)
{
    mm_begun now = {.config = setup->config_yaml, .kernels = options->kernels, .first = setup->first,
                    .end = setup->end};
    memcpy(now.model_sha256, setup->model_sha256, sizeof now.model_sha256);
    now.kernels.bf16_small_encoders = setup->begun.kernels.bf16_small_encoders;
    mm_status status = mm_begun_set_sources(&now, options->sources, options->source_count, err);
    if (status == MM_OK)
        status = read_seal(options, &now, setup->manifest, err);
    if (status == MM_OK)
        status = mm_begun_compare(&setup->begun, &now, options->out, err);
    now.config = NULL; /* the setup's */
    mm_begun_free(&now);
    return status;
}

/* The output folder: a new one, or that of an earlier attempt, which has listed the corpus. */
static mm_status check_output(const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    mm_output_kind kind = MM_OUTPUT_FRESH;
    mm_status status = mm_lock_inspect(options->out ? options->out : "", err);
    if (status == MM_OK && options->resume && options->out)
        status = mm_output_state(options->out, &kind, err);
    setup->resumes = kind == MM_OUTPUT_BEGUN || kind == MM_OUTPUT_COMPLETE;
    setup->was_done = kind == MM_OUTPUT_COMPLETE;
    if (status == MM_OK && setup->resumes)
        return open_begun(options, setup, err);
    const bool may_remove = options->overwrite || kind == MM_OUTPUT_SCRAPS;
    return status == MM_OK ? mm_output_inspect(options->out, may_remove, err) : status;
}

/* Rank 0, cheapest first; nothing is changed yet. */
static mm_status check_all(const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    mm_status status = locate_model(options, setup, err);
    if (status == MM_OK)
        status = load_config(options, setup, err);
    if (status == MM_OK)
        status = check_output(options, setup, err);
    return status == MM_OK ? mm_checkpoint_sha256(setup->model_path, setup->model_sha256, err) : status;
}

/* Rank 0, with the list of images: what is to be made of it, and is it what OUT was begun with? */
static mm_status check_images(const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    mm_range range;
    mm_status status = MM_OK;
    mm_range_of(options, mm_manifest_count(setup->manifest), setup->config.output.images_per_shard, &range);
    if (range.shards == 0) { /* a task of an array that has more tasks than the corpus has work for */
        setup->was_done = true;
        setup->finished = (mm_run_summary){.nothing_from = range.first_shard};
        return MM_OK;
    }
    setup->first = range.first;
    setup->end = range.end;
    if (setup->resumes)
        status = compare_with_begun(options, setup, err);
    if (status == MM_OK && setup->was_done)
        status = mm_report_read(options->out, &setup->finished, err);
    return status;
}

/* What rank 0 found, to all: config, its text, and where the model is. */
static mm_status share_findings(mm_comm *comm, mm_setup *setup, mm_error *err)
{
    struct {
        mm_config config;
        uint64_t yaml_size, first, end;
        char model_path[PATH_MAX], model_config[PATH_MAX], model_sha256[65];
        bool resumes, was_done;
    } found;
    memset(&found, 0, sizeof found); /* also the padding, which travels along */
    const bool first = mm_comm_rank(comm) == 0;
    if (first) {
        found.config = setup->config;
        found.yaml_size = strlen(setup->config_yaml) + 1;
        memcpy(found.model_path, setup->model_path, sizeof found.model_path);
        memcpy(found.model_config, setup->model_config, sizeof found.model_config);
        memcpy(found.model_sha256, setup->model_sha256, sizeof found.model_sha256);
        found.first = setup->first;
        found.end = setup->end;
        found.resumes = setup->resumes;
        found.was_done = setup->was_done;
    }
    mm_status status = mm_comm_broadcast(comm, 0, &found, sizeof found, err);
    if (status != MM_OK)
        return status;
    if (!first) {
        setup->config = found.config;
        memcpy(setup->model_path, found.model_path, sizeof found.model_path);
        memcpy(setup->model_config, found.model_config, sizeof found.model_config);
        memcpy(setup->model_sha256, found.model_sha256, sizeof found.model_sha256);
        setup->first = found.first;
        setup->end = found.end;
        setup->resumes = found.resumes;
        setup->was_done = found.was_done;
        setup->config_yaml = calloc(1, found.yaml_size);
        if (!setup->config_yaml)
            status = mm_fail_memory(err, "the configuration");
    }
    status = mm_comm_agree(comm, status, err);
    return status == MM_OK ? mm_comm_broadcast(comm, 0, setup->config_yaml, found.yaml_size, err) : status;
}

/* Messages are structs: another build could not read them. */
static mm_status check_version(mm_comm *comm, mm_error *err)
{
    char of_rank_0[32] = MM_VERSION;
    mm_status status = mm_comm_broadcast(comm, 0, of_rank_0, sizeof of_rank_0, err);
    if (status != MM_OK)
        return status;
    of_rank_0[sizeof of_rank_0 - 1] = '\0';
    if (strcmp(of_rank_0, MM_VERSION) != 0)
        status = mm_fail(err, MM_ERR_USAGE, "this rank runs maskmill %s, rank 0 runs %s; install one version on all hosts",
                         MM_VERSION, of_rank_0);
    return mm_comm_agree(comm, status, err);
}

mm_kernels mm_kernels_in_common(const mm_kernels *all, size_t count)
{
    mm_kernels least = all[0];
    for (size_t i = 1; i < count; i++) {
        if (all[i].backend == MM_BACKEND_BLAS) /* always built */
            least.backend = MM_BACKEND_BLAS;
        if (all[i].precision == MM_PRECISION_F32) /* everywhere */
            least.precision = MM_PRECISION_F32;
        if (all[i].isa < least.isa) /* the enumeration rises */
            least.isa = all[i].isa;
    }
    return least;
}

/* Rank 0: what all ranks have, and, to resume, what the earlier attempts had: better machines can do with that. */
static mm_status choose_kernels(const mm_setup *setup, const mm_kernels *all, size_t count, const char *out,
                                mm_kernels *common, mm_error *err)
{
    *common = mm_kernels_in_common(all, count);
    if (!setup->resumes)
        return MM_OK;
    const mm_kernels both[] = {*common, setup->begun.kernels};
    *common = mm_kernels_in_common(both, 2);
    return mm_begun_compare(&setup->begun, &(mm_begun){.kernels = *common}, out, err);
}

/* Results depend on backend, precision and instructions, and a dataset must not depend on which rank did what. */
static mm_status agree_on_kernels(mm_comm *comm, const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    mm_kernels *kernels = &setup->kernels;
    const size_t ranks = (size_t)mm_comm_size(comm);
    mm_kernels *all = NULL, common;
    *kernels = options->kernels;
    mm_status status = mm_kernels_resolve(kernels, err);
    if (status == MM_OK && mm_comm_rank(comm) == 0) {
        all = calloc(ranks, sizeof *all);
        if (!all)
            status = mm_fail_memory(err, "the ranks' kernels");
    }
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = mm_comm_gather(comm, kernels, sizeof *kernels, all, err);
    if (status == MM_OK) {
        memset(&common, 0, sizeof common);
        if (all)
            status = choose_kernels(setup, all, ranks, options->out, &common, err);
        status = mm_comm_agree(comm, status, err);
    }
    if (status == MM_OK)
        status = mm_comm_broadcast(comm, 0, &common, sizeof common, err);
    free(all);
    if (status != MM_OK)
        return status;
    common.threads = kernels->threads;
    *kernels = common;
    return mm_comm_agree(comm, mm_kernels_resolve(kernels, err), err);
}

/* One rank a host compares the file with rank 0's: a path may name different files on different machines. */
static mm_status check_model_file(mm_comm *comm, const mm_setup *setup, mm_error *err)
{
    if (mm_comm_rank(comm) == 0 || !mm_comm_first_on_host(comm))
        return MM_OK;
    char here[65];
    const mm_status status = mm_checkpoint_sha256(setup->model_path, here, err);
    if (status != MM_OK)
        return status;
    return strcmp(here, setup->model_sha256) == 0
               ? MM_OK
               : mm_fail(err, MM_ERR_FORMAT, "model %s is another file here than on rank 0; copy the same to all hosts",
                         setup->model_path);
}

static mm_status open_model(mm_comm *comm, const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    const mm_model_options model = {.config_path = options->model_config, .kernels = setup->kernels};
    mm_status status = check_model_file(comm, setup, err);
    if (status == MM_OK) {
        status = mm_model_open(setup->model_path, &model, &setup->model, err);
        /* An error in the network names the tensor; say in which file. */
        if ((status == MM_ERR_FORMAT || status == MM_ERR_UNSUPPORTED) && err && !strstr(err->text, setup->model_path))
            (void)mm_error_prefix(err, "model %s", setup->model_path); /* same status */
    }
    if (status == MM_OK)
        status = mm_embedding_new(setup->model, &setup->embedding, err);
    return mm_comm_agree(comm, status, err);
}

/* What shards and journals depend on, as a file: from then on the run has begun. */
static mm_status write_begun(const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    mm_begun *begun = &setup->begun;
    begun->config = strdup(setup->config_yaml);
    begun->model_name = strdup(mm_model_arch(setup->model)->name);
    if (!begun->config || !begun->model_name)
        return mm_fail_memory(err, "what the run was begun with");
    memcpy(begun->model_sha256, setup->model_sha256, sizeof begun->model_sha256);
    begun->kernels = setup->kernels;
    begun->first = setup->first;
    begun->end = setup->end;
    mm_status status = mm_begun_set_sources(begun, options->sources, options->source_count, err);
    if (status == MM_OK)
        status = read_seal(options, begun, setup->manifest, err);
    return status == MM_OK ? mm_begun_write(begun, options->out, err) : status;
}

/* Rank 0: OUT is ours now, and what it needs to hold before images are made is in it. */
static mm_status take_output(const mm_run_options *options, mm_setup *setup, const char *manifest_path, mm_error *err)
{
    char note[400];
    mm_output_kind kind = MM_OUTPUT_FRESH;
    mm_status status = mm_output_make(options->out, NULL, err);
    if (status == MM_OK)
        status = mm_lock_take(options->out, &setup->lock, note, sizeof note, err);
    if (status == MM_OK && note[0])
        (void)fprintf(stderr, "maskmill: note: %s\n", note);
    if (status == MM_OK)
        status = mm_output_state(options->out, &kind, err);
    if (status == MM_OK && setup->resumes != (options->resume && kind == MM_OUTPUT_BEGUN))
        status = mm_fail(err, MM_ERR_USAGE, "another run has changed %s just now; look at it, and try again",
                         options->out);
    if (status == MM_OK && !setup->resumes) {
        status = mm_output_prepare(options->out, options->overwrite || kind == MM_OUTPUT_SCRAPS, err);
        if (status == MM_OK)
            status = mm_manifest_write(setup->manifest, manifest_path, err);
        if (status == MM_OK)
            status = write_begun(options, setup, err);
    }
    if (status == MM_OK)
        status = mm_output_make(options->out, "journal", err);
    return status == MM_OK ? mm_begun_digest(&setup->begun, setup->run, err) : status;
}

static mm_status share_manifest(mm_comm *comm, const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    char path[PATH_MAX];
    mm_status status = mm_output_path(options->out, "manifest.h5", path, sizeof path, err);
    uint64_t images = 0;
    if (mm_comm_rank(comm) == 0) {
        if (status == MM_OK)
            status = take_output(options, setup, path, err);
        images = mm_manifest_count(setup->manifest);
    }
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = mm_comm_broadcast(comm, 0, &images, sizeof images, err);
    if (status == MM_OK)
        status = mm_comm_broadcast(comm, 0, setup->run, sizeof setup->run, err);
    if (status != MM_OK)
        return status;
    status = mm_manifest_share(comm, path, &setup->manifest, err);
    if (status == MM_ERR_IO || status == MM_ERR_FORMAT)
        (void)mm_error_prefix(err, "the output folder must be one that all hosts share"); /* same status */
    if (status != MM_OK)
        return status;
    if (mm_manifest_count(setup->manifest) != images)
        status = mm_fail(err, MM_ERR_IO, "%s has %" PRIu64 " images here and %" PRIu64
                         " on rank 0; the output folder must be one that all hosts share",
                         path, mm_manifest_count(setup->manifest), images);
    return mm_comm_agree(comm, status, err);
}

/* The corpus is listed by all ranks, unless an earlier attempt has done it. */
static mm_status list_images(mm_comm *comm, const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    bool listed = setup->manifest != NULL;
    mm_status status = mm_comm_broadcast(comm, 0, &listed, sizeof listed, err);
    if (status == MM_OK && !listed)
        status = mm_corpus_scan_together(comm, options->sources, options->source_count, &setup->manifest, &setup->scan,
                                         err);
    if (status == MM_OK && mm_comm_rank(comm) == 0)
        status = check_images(options, setup, err);
    return mm_comm_agree(comm, status, err);
}

mm_status mm_setup_open(mm_comm *comm, const mm_run_options *options, mm_setup *setup, mm_error *err)
{
    memset(setup, 0, sizeof *setup);
    mm_status status = check_version(comm, err);
    if (status == MM_OK) {
        if (mm_comm_rank(comm) == 0)
            status = check_all(options, setup, err);
        status = mm_comm_agree(comm, status, err);
    }
    if (status == MM_OK)
        status = list_images(comm, options, setup, err);
    if (status == MM_OK)
        status = share_findings(comm, setup, err);
    if (status != MM_OK || setup->was_done)
        return status;
    status = agree_on_kernels(comm, options, setup, err);
    if (status == MM_OK)
        status = open_model(comm, options, setup, err);
    if (status == MM_OK) /* last, since it reads all images */
        status = mm_find_duplicates(comm, &setup->config, setup->manifest, options->quiet, err);
    return status == MM_OK ? share_manifest(comm, options, setup, err) : status;
}

void mm_setup_close(mm_setup *setup)
{
    mm_embedding_free(setup->embedding);
    mm_model_close(setup->model);
    mm_manifest_free(setup->manifest);
    mm_begun_free(&setup->begun);
    mm_lock_release(setup->lock);
    free(setup->config_yaml);
    memset(setup, 0, sizeof *setup);
}
