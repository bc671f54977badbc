#include "train/gradient_sum.h"

#include <stdlib.h>
#include <string.h>

/* Which part of the vector rank r adds up. */
typedef struct part {
    size_t first, count;
} part;

static part part_of(size_t count, size_t ranks, size_t rank)
{
    const size_t step = (count + ranks - 1) / ranks, first = rank * step < count ? rank * step : count;
    return (part){first, count - first < step ? count - first : step};
}

typedef struct exchange {
    mm_parcel *out, *in;
    uint8_t *sent; /* what `out` points into */
    size_t ranks;
} exchange;

static void exchange_free(exchange *e)
{
    for (size_t r = 0; e->in && r < e->ranks; r++)
        free(e->in[r].bytes);
    free(e->in);
    free(e->out);
    free(e->sent);
}

/* To each rank its part, with the figures in front. */
static mm_status send_parts(mm_comm *comm, const float *vector, size_t count, const double *figures,
                            size_t figure_count, exchange *e, mm_error *err)
{
    const size_t head = figure_count * sizeof *figures;
    e->sent = malloc(e->ranks * head + count * sizeof *vector + 1);
    mm_status status = mm_comm_agree(comm, e->sent && e->in && e->out ? MM_OK : mm_fail_memory(err, "gradients"), err);
    if (status != MM_OK)
        return status;
    uint8_t *at = e->sent;
    for (size_t r = 0; r < e->ranks; r++) {
        const part p = part_of(count, e->ranks, r);
        e->out[r] = (mm_parcel){at, head + p.count * sizeof *vector};
        memcpy(at, figures, head);
        memcpy(at + head, vector + p.first, p.count * sizeof *vector);
        at += e->out[r].size;
    }
    return mm_comm_exchange(comm, e->out, e->in, err);
}

/* This rank's part of all, added up into its place of the vector. */
static void add_parts(const exchange *e, size_t rank, float *vector, size_t count, double *figures, size_t figure_count)
{
    const part own = part_of(count, e->ranks, rank);
    const size_t head = figure_count * sizeof *figures;
    for (size_t r = 0; r < e->ranks; r++) {
        const uint8_t *bytes = e->in[r].bytes;
        for (size_t i = 0; i < figure_count; i++) {
            double figure;
            memcpy(&figure, bytes + i * sizeof figure, sizeof figure);
            figures[i] = r ? figures[i] + figure : figure;
        }
        for (size_t i = 0; i < own.count; i++) {
            float value;
            memcpy(&value, bytes + head + i * sizeof value, sizeof value);
            vector[own.first + i] = r ? vector[own.first + i] + value : value;
        }
    }
}

mm_status mm_sum_over_ranks(mm_comm *comm, float *vector, size_t count, double *figures, size_t figure_count,
                            mm_error *err)
{
    const size_t ranks = comm ? (size_t)mm_comm_size(comm) : 1;
    if (ranks == 1)
        return MM_OK;
    const size_t rank = (size_t)mm_comm_rank(comm);
    const part own = part_of(count, ranks, rank);
    exchange there = {.out = calloc(ranks, sizeof(mm_parcel)), .in = calloc(ranks, sizeof(mm_parcel)), .ranks = ranks};
    exchange back = {.out = calloc(ranks, sizeof(mm_parcel)), .in = calloc(ranks, sizeof(mm_parcel)), .ranks = ranks};
    mm_status status = mm_comm_agree(comm, back.out && back.in ? MM_OK : mm_fail_memory(err, "gradients"), err);
    if (status == MM_OK)
        status = send_parts(comm, vector, count, figures, figure_count, &there, err);
    if (status == MM_OK) {
        add_parts(&there, rank, vector, count, figures, figure_count);
        for (size_t r = 0; r < ranks; r++)
            back.out[r] = (mm_parcel){(uint8_t *)(void *)(vector + own.first), own.count * sizeof *vector};
        status = mm_comm_exchange(comm, back.out, back.in, err);
    }
    for (size_t r = 0; status == MM_OK && r < ranks; r++) {
        const part p = part_of(count, ranks, r);
        if (back.in[r].size == p.count * sizeof *vector && p.count)
            memcpy(vector + p.first, back.in[r].bytes, p.count * sizeof *vector);
    }
    exchange_free(&there);
    exchange_free(&back);
    return status;
}
