#include "annotate/lease.h"

#include <stdlib.h>
#include <string.h>

typedef struct task {
    double until;     /* lent until then */
    uint32_t session; /* 1 + its number; 0: not lent */
    uint32_t serial;  /* of the session, whose place in the table others may have taken since */
    uint8_t state;    /* mm_task_state */
} task;

typedef struct session {
    char name[MM_SESSION + 1]; /* empty: a free place */
    uint32_t serial;
    double seen;
    mm_bucket bucket;
} session;

struct mm_leases {
    uint64_t count, first_open; /* all images before it are finished */
    double seconds;
    task *tasks;
    uint64_t states[4]; /* images by mm_task_state */
    uint32_t serial;
    session sessions[MM_SESSIONS];
};

mm_status mm_leases_new(uint64_t count, double seconds, mm_leases **leases, mm_error *err)
{
    mm_leases *made = calloc(1, sizeof *made);
    task *tasks = count < SIZE_MAX / sizeof *tasks ? calloc((size_t)count + 1, sizeof *tasks) : NULL;
    *leases = NULL;
    if (!made || !tasks) {
        free(made);
        free(tasks);
        return mm_fail_memory(err, "the images' leases");
    }
    made->tasks = tasks;
    made->count = count;
    made->seconds = seconds;
    made->states[MM_TASK_OPEN] = count;
    *leases = made;
    return MM_OK;
}

void mm_leases_free(mm_leases *leases)
{
    if (!leases)
        return;
    free(leases->tasks);
    free(leases);
}

/* --- sessions --- */

mm_status mm_session_find(mm_leases *leases, const char *name, double now, uint32_t *number, mm_error *err)
{
    session *place = NULL;
    if (!name || strlen(name) != MM_SESSION || strspn(name, "0123456789abcdef") != MM_SESSION)
        return mm_fail(err, MM_ERR_USAGE, "the session is not %d hex digits", MM_SESSION);
    for (uint32_t i = 0; i < MM_SESSIONS; i++) {
        session *s = &leases->sessions[i];
        if (strcmp(s->name, name) == 0) {
            s->seen = now;
            *number = i;
            return MM_OK;
        }
        const bool free_place = !s->name[0] || now - s->seen > leases->seconds;
        if (free_place && (!place || (place->name[0] && (!s->name[0] || s->seen < place->seen))))
            place = s;
    }
    if (!place)
        return mm_fail(err, MM_ERR_LIMIT, "there are %d pages open already", MM_SESSIONS);
    *place = (session){.serial = ++leases->serial, .seen = now};
    memcpy(place->name, name, MM_SESSION + 1);
    *number = (uint32_t)(place - leases->sessions);
    return MM_OK;
}

mm_bucket *mm_session_bucket(mm_leases *leases, uint32_t number)
{
    return &leases->sessions[number].bucket;
}

uint32_t mm_sessions_count(const mm_leases *leases, double now)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MM_SESSIONS; i++)
        count += leases->sessions[i].name[0] && now - leases->sessions[i].seen <= leases->seconds;
    return count;
}

/* --- leases --- */

static bool is_lent(const mm_leases *leases, const task *t, double now)
{
    return t->session && t->until > now && leases->sessions[t->session - 1].serial == t->serial;
}

static bool is_with_another(const mm_leases *leases, const task *t, uint32_t number, double now)
{
    return is_lent(leases, t, now) && t->session != number + 1;
}

bool mm_lease_take(mm_leases *leases, uint32_t number, uint64_t image, double now)
{
    if (image >= leases->count || is_with_another(leases, &leases->tasks[image], number, now))
        return false;
    leases->tasks[image].session = number + 1;
    leases->tasks[image].serial = leases->sessions[number].serial;
    leases->tasks[image].until = now + leases->seconds;
    return true;
}

void mm_lease_give_back(mm_leases *leases, uint32_t number, uint64_t image)
{
    if (image < leases->count && leases->tasks[image].session == number + 1)
        leases->tasks[image].session = 0;
}

size_t mm_lease_peek(const mm_leases *leases, uint32_t number, uint64_t after, double now, uint64_t *images,
                     size_t most)
{
    size_t found = 0;
    for (uint64_t i = after + 1; found < most && i < leases->count; i++)
        if (leases->tasks[i].state == MM_TASK_OPEN && !is_with_another(leases, &leases->tasks[i], number, now))
            images[found++] = i;
    return found;
}

bool mm_lease_next(mm_leases *leases, uint32_t number, uint64_t from, double now, uint64_t *image)
{
    while (leases->first_open < leases->count && leases->tasks[leases->first_open].state != MM_TASK_OPEN)
        leases->first_open++;
    if (from < leases->first_open || from >= leases->count)
        from = leases->first_open;
    for (int round = 0; round < 2; round++) {
        const uint64_t begin = round ? leases->first_open : from, end = round ? from : leases->count;
        for (uint64_t i = begin; i < end; i++)
            if (leases->tasks[i].state == MM_TASK_OPEN && mm_lease_take(leases, number, i, now)) {
                *image = i;
                return true;
            }
    }
    return false;
}

/* --- states --- */

mm_task_state mm_task_get(const mm_leases *leases, uint64_t image)
{
    return (mm_task_state)leases->tasks[image].state;
}

void mm_task_set(mm_leases *leases, uint64_t image, mm_task_state state)
{
    leases->states[leases->tasks[image].state]--;
    leases->states[state]++;
    leases->tasks[image].state = (uint8_t)state;
    if (state == MM_TASK_OPEN && image < leases->first_open)
        leases->first_open = image;
}

mm_task_counts mm_tasks_count(const mm_leases *leases, double now)
{
    return (mm_task_counts){.all = leases->count, .done = leases->states[MM_TASK_DONE],
                            .skipped = leases->states[MM_TASK_SKIPPED], .unusable = leases->states[MM_TASK_UNUSABLE],
                            .people = mm_sessions_count(leases, now)};
}
