/* loop: the data engine. Rounds, one after the other; in each its steps, of which those that are done are passed over. */
#include "loop/loop.h"

#include <inttypes.h>
#include <stdio.h>

/* [SAM] section 4, one round of a stage. */
static mm_status go_through(mm_loop *loop, size_t k, mm_error *err)
{
    mm_status status = mm_loop_begin_round(loop, k, err);
    if (status == MM_OK)
        status = mm_loop_step_detector(loop, k, MM_LOOP_BEFORE, err);
    if (status == MM_OK)
        status = mm_loop_step_run(loop, k, err);
    if (status == MM_OK && mm_loop_has_people(loop, k))
        status = mm_loop_step_queue(loop, k, err);
    if (status == MM_OK && mm_loop_has_people(loop, k))
        status = mm_loop_step_answers(loop, k, err);
    if (status == MM_OK)
        status = mm_loop_step_decoder(loop, k, err);
    if (status == MM_OK)
        status = mm_loop_step_detector(loop, k, MM_LOOP_AFTER, err);
    if (status == MM_OK)
        status = mm_loop_step_figures(loop, k, err);
    if (status == MM_OK)
        status = mm_comm_agree(loop->comm, loop->first ? mm_loop_set_status(loop, k, "done", err) : MM_OK, err);
    return status;
}

/* Trainings share a step's images among the ranks. */
static mm_status check_batches(const mm_loop *loop, mm_error *err)
{
    const uint32_t ranks = (uint32_t)mm_comm_size(loop->comm);
    for (size_t k = 0; k < loop->config.round_count; k++) {
        const mm_loop_round *round = &loop->config.rounds[k];
        const bool decoder = round->train_decoder && round->decoder.common.batch < ranks;
        if (decoder || (round->train_detector != MM_LOOP_NEVER && round->detector.common.batch < ranks))
            return mm_fail(err, MM_ERR_USAGE, "%s:%zu: rounds[%zu].%s.batch: %" PRIu32 " images cannot be shared by %" PRIu32
                           " ranks; raise it", loop->options->config, round->line, k, decoder ? "decoder" : "detector",
                           decoder ? round->decoder.common.batch : round->detector.common.batch, ranks);
    }
    return MM_OK;
}

static void sum_up(mm_loop *loop)
{
    const json_t *rounds = json_object_get(loop->state, "rounds");
    for (size_t k = 0; k < json_array_size(rounds); k++) {
        const json_t *round = json_array_get(rounds, k);
        const json_int_t set_aside = json_integer_value(json_object_get(round, "set_aside"));
        const json_int_t refused = json_integer_value(json_object_get(json_object_get(round, "answers"), "refused"));
        loop->summary->set_aside += set_aside > 0 ? (uint64_t)set_aside : 0;
        loop->summary->refused += refused > 0 ? (uint64_t)refused : 0;
    }
}

mm_status mm_loop_run(mm_comm *comm, const mm_loop_options *options, mm_loop_summary *summary, mm_error *err)
{
    mm_loop loop = {.comm = comm, .options = options, .first = mm_comm_rank(comm) == 0, .summary = summary};
    *summary = (mm_loop_summary){0};
    mm_status status = mm_loop_config_load(options->config, &loop.config, err);
    if (status == MM_OK)
        status = check_batches(&loop, err);
    status = mm_comm_agree(comm, status, err);
    if (status == MM_OK)
        status = mm_loop_state_open(&loop, err);
    if (status == MM_OK)
        status = mm_loop_step_figures(&loop, MM_LOOP_BASELINE, err);
    for (size_t k = 0; status == MM_OK && k < loop.config.round_count; k++)
        status = go_through(&loop, k, err);
    if (status == MM_OK)
        sum_up(&loop);
    mm_lock_release(loop.lock);
    json_decref(loop.state);
    mm_loop_config_free(&loop.config);
    return status;
}
