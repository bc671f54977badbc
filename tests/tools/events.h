/* What happens in a simulation, in order of time: a binary heap. */
#ifndef MM_TESTS_EVENTS_H
#define MM_TESTS_EVENTS_H

#include <stdio.h>
#include <stdlib.h>

#include "engine/messages.h"

typedef enum kind { ASK_COMES, TURN_COMES, BATCH_ENDS, SHARD_WHOLE, MESSAGE_COMES } kind;

typedef struct event {
    double at;
    uint64_t order; /* of making: equal times keep it */
    kind kind;
    int rank;
    mm_want want;     /* ASK_COMES */
    uint64_t made;    /* ASK_COMES: images */
    double made_time; /* ASK_COMES */
} event;

typedef struct events {
    event *heap;
    size_t count, room;
    uint64_t made; /* so far */
} events;

static inline void must(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "maskmill-simulate: %s\n", what);
    exit(4);
}

static inline bool earlier(const event *a, const event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static inline void mm_events_push(events *s, event made)
{
    made.order = s->made++;
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 1024;
        s->heap = realloc(s->heap, s->room * sizeof *s->heap);
        must(s->heap != NULL, "out of memory");
    }
    size_t at = s->count++;
    for (; at > 0 && earlier(&made, &s->heap[(at - 1) / 2]); at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = made;
}

static inline event mm_events_pop(events *s)
{
    const event first = s->heap[0], moved = s->heap[--s->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= s->count)
            break;
        if (child + 1 < s->count && earlier(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!earlier(&s->heap[child], &moved))
            break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = moved;
    return first;
}

#endif
