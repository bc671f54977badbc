/* maskmill-simulate: a run on many ranks as a discrete-event simulation. The scheduler is the program's own
 * (src/engine/scheduler.c), and so is the way of a shard to its owner; ranks, network and rank 0's service thread are
 * modelled, with costs that were measured. docs/scaling.md says how, and what came out. Prints one JSON object. */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/messages.h"
#include "engine/owner.h"
#include "tools/events.h"
#include "tools/stand_in_masks.h"

typedef struct arguments {
    uint64_t images;
    int ranks;
    uint32_t images_per_shard;
    double seconds, spread;    /* of an image: mean, and standard deviation of the logarithm */
    double rank_spread;        /* of ranks' speeds, the same way */
    double ask_seconds;        /* rank 0's service thread, an ask answered */
    double message_seconds;    /* the same, another message */
    double image_seconds;      /* of the engine, in the main thread, an image */
    double commit_seconds;     /* of the writer, an image of a whole shard */
    double latency;            /* of the network, one way */
    double nap;                /* the longest that a service thread sleeps */
    double batch_seconds;      /* 0: what the scheduler takes by itself */
    bool blind;                /* the scheduler knows no costs */
    const char *times;         /* file of "pixels seconds" lines to draw images from, or NULL */
} arguments;

typedef struct sample {
    uint64_t pixels;
    double seconds;
} sample;

typedef struct rank {
    mm_batch next;
    mm_turn turn;
    bool has_turn, waiting, over;
    double waits_since, waited, worked, stolen; /* stolen: time that its writer took from its images */
    double speed;                               /* times an image's seconds */
    uint64_t made;                              /* not reported yet */
    double made_time;
} rank;

typedef struct simulation {
    const arguments *given;
    const sample *samples;
    size_t sample_count;
    mm_scheduler *scheduler;
    rank *ranks;
    events events;
    uint32_t *shard_left;
    double *shard_last;
    uint64_t shards, shards_open, most_open;
    /* Rank 0's service thread. */
    double free_at, busy, second_end, second_busy, worst_second;
    uint64_t asks, in_hand, most_in_hand;
    double now, last_image, scheduler_cpu;
} simulation;

/* --- Images. --- */

static const sample *sample_of(const simulation *s, uint64_t image_id)
{
    return &s->samples[mm_stand_in_bits(image_id, 5) % s->sample_count];
}

static uint64_t cost(void *user, uint64_t image_id)
{
    const simulation *s = user;
    return s->sample_count > 0 ? sample_of(s, image_id)->pixels : 0;
}

static double seconds_of_image(const simulation *s, uint64_t image_id)
{
    const double mean = s->sample_count > 0 ? sample_of(s, image_id)->seconds : s->given->seconds;
    return mm_stand_in_seconds(image_id, mean, s->given->spread);
}

/* --- Rank 0's service thread: one message after the other. --- */

/* When it is through with what comes now. If it slept, it looks some time later: the longer it slept, the longer. */
static double serve(simulation *s, double seconds)
{
    const double idle = s->now - s->free_at, nap = idle < s->given->nap ? idle : s->given->nap;
    const double looks = idle > 0 ? s->now + nap * mm_stand_in_uniform(s->events.made, 7) : s->free_at;
    s->free_at = looks + seconds;
    s->busy += seconds;
    for (; s->second_end < looks; s->second_end += 1.0) {
        s->worst_second = s->second_busy > s->worst_second ? s->second_busy : s->worst_second;
        s->second_busy = 0;
    }
    s->second_busy += seconds;
    return s->free_at;
}

static double cpu(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* cannot fail for this clock */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void ask_comes(simulation *s, const event *ask)
{
    rank *r = &s->ranks[ask->rank];
    const double start = cpu();
    s->in_hand -= ask->made;
    mm_scheduler_measured(s->scheduler, ask->rank, ask->made, ask->made_time);
    if (ask->want == MM_WANT_NOTHING) {
        (void)serve(s, s->given->message_seconds);
        return;
    }
    r->turn = mm_scheduler_next(s->scheduler, ask->rank, ask->want == MM_WANT_AHEAD, &r->next);
    s->scheduler_cpu += cpu() - start;
    s->asks++;
    if (r->turn == MM_TURN_BATCH)
        s->in_hand += r->next.count;
    s->most_in_hand = s->in_hand > s->most_in_hand ? s->in_hand : s->most_in_hand;
    const double answered = serve(s, s->given->ask_seconds);
    const double seen = s->given->latency + s->given->nap * mm_stand_in_uniform(s->events.made, 8);
    mm_events_push(&s->events, (event){.at = answered + seen, .kind = TURN_COMES, .rank = ask->rank});
}

/* --- Ranks. --- */

static void ask(simulation *s, int number, mm_want want)
{
    rank *r = &s->ranks[number];
    mm_events_push(&s->events, (event){.at = s->now + s->given->latency, .kind = ASK_COMES, .rank = number, .want = want, .made = r->made,
                    .made_time = r->made_time});
    r->made = 0;
    r->made_time = 0;
}

static void image_ends(simulation *s, uint64_t image_id, double at)
{
    const uint64_t shard = image_id / s->given->images_per_shard;
    const uint64_t first = shard * s->given->images_per_shard, rest = s->given->images - first;
    const uint32_t count = rest < s->given->images_per_shard ? (uint32_t)rest : s->given->images_per_shard;
    if (s->shard_left[shard] == count)
        s->shards_open++;
    s->most_open = s->shards_open > s->most_open ? s->shards_open : s->most_open;
    if (at > s->shard_last[shard])
        s->shard_last[shard] = at;
    if (at > s->last_image)
        s->last_image = at;
    if (--s->shard_left[shard] == 0)
        mm_events_push(&s->events, (event){.at = s->shard_last[shard], .kind = SHARD_WHOLE, .rank = (int)shard});
}

static void begin_batch(simulation *s, int number)
{
    rank *r = &s->ranks[number];
    double at = s->now + r->stolen;
    r->stolen = 0;
    for (uint32_t i = 0; i < r->next.count; i++) {
        const double seconds = r->speed * seconds_of_image(s, r->next.image_ids[i]);
        r->worked += seconds;
        at += seconds + s->given->image_seconds;
        image_ends(s, r->next.image_ids[i], at);
    }
    r->made = r->next.count;
    r->made_time = at - s->now;
    mm_events_push(&s->events, (event){.at = at, .kind = BATCH_ENDS, .rank = number});
}

/* The rank has nothing in hand and an answer. What it made before goes with its next ask. */
static void take_turn(simulation *s, int number)
{
    rank *r = &s->ranks[number];
    r->has_turn = false;
    switch (r->turn) {
    case MM_TURN_BATCH:
        ask(s, number, MM_WANT_AHEAD);
        begin_batch(s, number);
        return;
    case MM_TURN_LATER:
        ask(s, number, MM_WANT_NOW);
        r->waiting = true;
        r->waits_since = s->now;
        return;
    case MM_TURN_OVER:
        ask(s, number, MM_WANT_NOTHING);
        r->over = true;
    }
}

static void turn_comes(simulation *s, int number)
{
    rank *r = &s->ranks[number];
    r->has_turn = true;
    if (!r->waiting)
        return;
    r->waiting = false;
    r->waited += s->now - r->waits_since;
    take_turn(s, number);
}

static void batch_ends(simulation *s, int number)
{
    rank *r = &s->ranks[number];
    if (r->has_turn) {
        take_turn(s, number);
        return;
    }
    r->waiting = true;
    r->waits_since = s->now;
}

/* The writer shares its core with the rank's images: they come later by what it took, and it takes twice as long. */
static void shard_whole(simulation *s, int shard)
{
    const int owner = shard % s->given->ranks;
    const double seconds = s->given->commit_seconds * s->given->images_per_shard;
    rank *r = &s->ranks[owner];
    s->shards_open--;
    r->stolen += seconds;
    const double ends = s->now + (r->over ? 1 : 2) * seconds;
    mm_events_push(&s->events, (event){.at = ends + s->given->latency, .kind = MESSAGE_COMES});
}

static void run(simulation *s)
{
    for (int i = 0; i < s->given->ranks; i++) {
        s->ranks[i].speed = mm_stand_in_seconds(UINT64_C(1) << 40 | (uint64_t)i, 1.0, s->given->rank_spread);
        s->ranks[i].waiting = true;
        ask(s, i, MM_WANT_NOW);
    }
    while (s->events.count > 0) {
        const event next = mm_events_pop(&s->events);
        s->now = next.at;
        switch (next.kind) {
        case ASK_COMES:
            ask_comes(s, &next);
            break;
        case TURN_COMES:
            turn_comes(s, next.rank);
            break;
        case BATCH_ENDS:
            batch_ends(s, next.rank);
            break;
        case SHARD_WHOLE:
            shard_whole(s, next.rank);
            break;
        case MESSAGE_COMES:
            (void)serve(s, s->given->message_seconds);
            break;
        }
    }
}

/* --- Start and end. --- */

static void print(const simulation *s)
{
    double worked = 0, waited = 0;
    for (int i = 0; i < s->given->ranks; i++) {
        worked += s->ranks[i].worked;
        waited += s->ranks[i].waited;
    }
    const double end = s->free_at + s->given->latency, ranks = s->given->ranks;
    uint64_t left = 0;
    for (uint64_t i = 0; i < s->shards; i++)
        left += s->shard_left[i];
    must(left == 0, "images were left: the simulation is wrong");
    printf("{\"ranks\": %d, \"images\": %" PRIu64 ", \"seconds\": %.1f, \"efficiency\": %.4f, "
           "\"efficiency_images\": %.4f, \"waited_share\": %.5f, \"rank_0_load\": %.4f, "
           "\"rank_0_worst_second\": %.3f, \"asks\": %" PRIu64 ", \"asks_per_second\": %.1f, \"most_in_hand\": %" PRIu64
           ", \"most_open_shards\": %" PRIu64 ", \"scheduler_cpu_per_ask\": %.3g}\n",
           s->given->ranks, s->given->images, end, worked / (ranks * end), worked / (ranks * s->last_image),
           waited / (ranks * end), s->busy / end, s->worst_second, s->asks, (double)s->asks / end, s->most_in_hand,
           s->most_open, s->scheduler_cpu / (double)s->asks);
}

static void read_samples(simulation *s, const char *path, sample **samples)
{
    FILE *file = fopen(path, "r");
    must(file != NULL, "the file of times cannot be opened");
    size_t room = 0;
    sample one;
    while (fscanf(file, "%" SCNu64 " %lf", &one.pixels, &one.seconds) == 2) {
        if (s->sample_count == room) {
            room = room ? 2 * room : 64;
            *samples = realloc(*samples, room * sizeof **samples);
            must(*samples != NULL, "out of memory");
        }
        (*samples)[s->sample_count++] = one;
    }
    must(feof(file) && s->sample_count > 0, "the file of times has other lines than \"pixels seconds\"");
    (void)fclose(file); /* was only read */
    s->samples = *samples;
}

static void prepare(simulation *s)
{
    const arguments *given = s->given;
    s->shards = mm_shard_total(given->images, given->images_per_shard);
    s->ranks = calloc((size_t)given->ranks, sizeof *s->ranks);
    s->shard_left = calloc(s->shards, sizeof *s->shard_left);
    s->shard_last = calloc(s->shards, sizeof *s->shard_last);
    must(s->ranks && s->shard_left && s->shard_last, "out of memory");
    for (uint64_t i = 0; i < s->shards; i++) {
        const uint64_t rest = given->images - i * given->images_per_shard;
        s->shard_left[i] = rest < given->images_per_shard ? (uint32_t)rest : given->images_per_shard;
    }
    mm_error err;
    const mm_scheduler_plan plan = {.end = given->images, .images_per_shard = given->images_per_shard,
                                    .ranks = given->ranks, .batch_seconds = given->batch_seconds, .user = s,
                                    .cost = given->blind ? NULL : cost};
    must(mm_scheduler_new(&plan, &s->scheduler, &err) == MM_OK, err.text);
}

static const struct argp_option rows[] = {
    {"images", 'n', "N", 0, "images (11000000)", 0},
    {"ranks", 'r', "N", 0, "ranks (64)", 0},
    {"images-per-shard", 'k', "N", 0, "images a shard (1000)", 0},
    {"seconds", 's', "S", 0, "mean time of an image (0.28)", 0},
    {"spread", 'd', "SIGMA", 0, "standard deviation of its logarithm (0.2)", 0},
    {"rank-spread", 'R', "SIGMA", 0, "the same of ranks' speeds (0.03)", 0},
    {"ask", 'a', "S", 0, "rank 0's service thread, an ask (20e-6)", 0},
    {"message", 'M', "S", 0, "the same, another message (5e-6)", 0},
    {"image", 'i', "S", 0, "engine's time an image in the main thread (0.5e-3)", 0},
    {"commit", 'c', "S", 0, "writer's time an image (1e-3)", 0},
    {"latency", 'l', "S", 0, "network, one way (20e-6)", 0},
    {"nap", 'p', "S", 0, "longest sleep of a service thread (20e-3)", 0},
    {"batch", 'b', "S", 0, "batch's time (the scheduler's own)", 0},
    {"blind", 'B', NULL, 0, "do not tell the scheduler the images' sizes", 0},
    {"times", 't', "FILE", 0, "draw images from lines of \"pixels seconds\"", 0},
    {0},
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    arguments *given = state->input;
    double *numbers[128] = {
        ['s'] = &given->seconds,     ['d'] = &given->spread,          ['R'] = &given->rank_spread,
        ['a'] = &given->ask_seconds, ['M'] = &given->message_seconds, ['i'] = &given->image_seconds,
        ['l'] = &given->latency,     ['c'] = &given->commit_seconds,  ['b'] = &given->batch_seconds,
        ['p'] = &given->nap,
    };
    if (key > 0 && key < 128 && numbers[key]) {
        *numbers[key] = strtod(value, NULL);
        return 0;
    }
    switch (key) {
    case 'n':
        given->images = strtoull(value, NULL, 10);
        return 0;
    case 'r':
        given->ranks = atoi(value);
        return 0;
    case 'k':
        given->images_per_shard = (uint32_t)strtoul(value, NULL, 10);
        return 0;
    case 'B':
        given->blind = true;
        return 0;
    case 't':
        given->times = value;
        return 0;
    case ARGP_KEY_ARG:
        argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        if (given->images == 0 || given->ranks < 1 || given->images_per_shard == 0)
            argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp argp = {rows, parse, NULL, "Simulate a run of maskmill on many ranks.", NULL, NULL, NULL};
    arguments given = {.images = 11000000, .ranks = 64, .images_per_shard = 1000, .seconds = 0.28, .spread = 0.2,
                       .rank_spread = 0.03, .ask_seconds = 20e-6, .message_seconds = 5e-6, .image_seconds = 0.5e-3,
                       .commit_seconds = 1e-3, .latency = 20e-6, .nap = 20e-3};
    if (argp_parse(&argp, argc, argv, 0, NULL, &given) != 0)
        return 2;
    simulation s = {.given = &given};
    sample *samples = NULL;
    if (given.times)
        read_samples(&s, given.times, &samples);
    prepare(&s);
    run(&s);
    print(&s);
    mm_scheduler_free(s.scheduler);
    free(samples);
    free(s.ranks);
    free(s.events.heap);
    free(s.shard_left);
    free(s.shard_last);
    return 0;
}
