/* The shared part of a run on all ranks, with made-up images: everything is made and written once and by the right
 * rank, no one waits for a busy rank, and a fault anywhere stops all ranks with the same line. */
#include "mpi_check.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/owner.h"
#include "engine/share.h"

enum { IMAGES = 64, PER_SHARD = 5, SHARDS = 13, NO_IMAGE = 1000 };

typedef struct scene {
    mm_comm *comm;
    int rank, ranks;
    int made[IMAGES], committed[SHARDS]; /* by this rank */
    atomic_int commits, finished;        /* seen by this rank */
    uint64_t set_aside_told, set_aside_counted;
    /* What this scene is about. */
    bool busy_until_others_are_done, busy_until_a_commit;
    uint64_t make_fails_at, set_aside_fails_at; /* image ids */
    uint64_t commit_fails_at;                  /* shard */
    atomic_int made_here;
    int stops_after;                           /* images made on each rank; 0: never */
    bool goes_on;                              /* in the folder of an earlier scene */
    char folder[64];
} scene;

static bool is_set_aside(uint64_t image_id)
{
    return image_id % 10 == 3;
}

static bool is_suspect(uint64_t image_id)
{
    return image_id == 6 || image_id == 40;
}

/* Computes and calls no MPI, until the condition holds; `volatile` keeps the work. */
static void compute_until(atomic_int *count, int least)
{
    volatile double x = 1;
    while (atomic_load(count) < least)
        x = x * 1.0000001 + 1e-9;
}

static void nap(long milliseconds)
{
    const struct timespec pause = {.tv_nsec = milliseconds * 1000000};
    (void)nanosleep(&pause, NULL);
}

static void path_of(const scene *s, const char *name, uint64_t number, char path[128])
{
    (void)snprintf(path, 128, "%s/%s%" PRIu64, s->folder, name, number);
}

/* The rank is in this image when the run is told to stop. What is left would take seconds, so the order comes first. */
static void wait_for_stop(const scene *s)
{
    char path[128];
    path_of(s, "told", 0, path);
    while (access(path, F_OK) != 0)
        nap(5);
    nap(200);
}

static mm_status make(void *user, uint64_t image_id, bool suspect, mm_record *record, mm_status *why, mm_error *err)
{
    scene *s = user;
    mm_must(image_id < IMAGES);
    mm_must(suspect == is_suspect(image_id));
    s->made[image_id]++;
    if (s->stops_after > 0 && atomic_fetch_add(&s->made_here, 1) >= s->stops_after)
        wait_for_stop(s);
    if (s->busy_until_others_are_done) {
        s->busy_until_others_are_done = false;
        /* This rank holds this image and at most one batch more, which is no more than a quarter of its share. */
        compute_until(&s->finished, IMAGES - 2 - IMAGES / (4 * s->ranks));
    }
    if (s->busy_until_a_commit) {
        s->busy_until_a_commit = false;
        compute_until(&s->commits, 1);
    }
    if (image_id == s->make_fails_at)
        return mm_fail(err, MM_ERR_INTERNAL, "no way to make image %" PRIu64, image_id);
    char reason[64];
    (void)snprintf(reason, sizeof reason, "reason %" PRIu64, image_id);
    if (is_set_aside(image_id)) {
        *why = MM_ERR_FORMAT;
        return mm_record_set_aside(image_id, (uint32_t)image_id, 7, reason, record, err);
    }
    const mm_annotations none = {.width = (uint32_t)image_id + 1, .height = 9};
    return mm_record_from_annotations(image_id, &none, record, err);
}

static mm_status commit(void *user, uint64_t shard, uint64_t first_image, const mm_record *records, size_t count,
                        mm_error *err)
{
    scene *s = user;
    mm_must(shard < SHARDS && first_image == shard * PER_SHARD);
    mm_must(count == (shard == SHARDS - 1 ? IMAGES - (SHARDS - 1) * PER_SHARD : PER_SHARD));
    mm_must((int)(shard % (uint64_t)s->ranks) == s->rank);
    for (size_t i = 0; i < count; i++) {
        const uint64_t image_id = first_image + i;
        mm_must(records[i].image_id == image_id);
        mm_must(records[i].status == (is_set_aside(image_id) ? MM_IMAGE_SET_ASIDE : MM_IMAGE_DONE));
        mm_must(records[i].width == (is_set_aside(image_id) ? image_id : image_id + 1));
    }
    s->committed[shard]++;
    atomic_fetch_add(&s->commits, 1);
    return shard == s->commit_fails_at ? mm_fail(err, MM_ERR_IO, "disk full at shard %" PRIu64, shard) : MM_OK;
}

static mm_status set_aside(void *user, const mm_set_aside *image, mm_error *err)
{
    scene *s = user;
    mm_must(s->rank == 0);
    char reason[64];
    (void)snprintf(reason, sizeof reason, "reason %" PRIu64, image->image_id);
    mm_must(is_set_aside(image->image_id) && image->status == MM_ERR_FORMAT);
    mm_must(strcmp(image->reason, reason) == 0);
    s->set_aside_told++;
    return image->image_id == s->set_aside_fails_at ? mm_fail(err, MM_ERR_NOMEM, "no room for the list") : MM_OK;
}

static void made(void *user, int rank, const mm_made *made)
{
    scene *s = user;
    mm_must(s->rank == 0 && rank >= 0 && rank < s->ranks);
    mm_must(made->seconds >= 0 && made->masks == 0);
    s->set_aside_counted += made->set_aside;
    mm_must(s->set_aside_counted <= s->set_aside_told); /* each is told before it is counted */
    atomic_fetch_add(&s->finished, (int)(made->done + made->set_aside));
}

static uint64_t cost(void *user, uint64_t image_id)
{
    (void)user;
    return image_id * 7919 % 64;
}

/* On the last rank: as if a signal came once this many images were made. */
static mm_status watch(void *user, mm_stop *stop, int *signal, mm_error *err)
{
    scene *s = user;
    (void)err;
    if (s->stops_after > 0 && s->rank == s->ranks - 1 && atomic_load(&s->made_here) >= s->stops_after) {
        char path[128];
        path_of(s, "told", 0, path);
        FILE *file = fopen(path, "w");
        mm_must(file != NULL && fclose(file) == 0);
        *stop = MM_STOP_SOON;
        *signal = SIGUSR1;
    }
    return MM_OK;
}

/* The journals of each scene are in a folder of its own. */
static scene new_scene(mm_comm *comm)
{
    scene s = {.comm = comm, .rank = mm_comm_rank(comm), .ranks = mm_comm_size(comm), .make_fails_at = NO_IMAGE,
               .set_aside_fails_at = NO_IMAGE, .commit_fails_at = NO_IMAGE};
    (void)snprintf(s.folder, sizeof s.folder, "/tmp/maskmill_share_XXXXXX");
    if (s.rank == 0)
        mm_must(mkdtemp(s.folder) != NULL);
    mm_must(MPI_Bcast(s.folder, sizeof s.folder, MPI_BYTE, 0, MPI_COMM_WORLD) == MPI_SUCCESS);
    return s;
}

static void end_scene(const scene *s)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", s->folder);
    mm_must(MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS);
    if (s->rank == 0)
        mm_must(system(command) == 0);
}

/* From an earlier scene in the same folder: `made` and `committed` are of all ranks then. */
static bool is_made(void *user, uint64_t image_id)
{
    const scene *s = user;
    return s->made[image_id] > 0;
}

static uint64_t find_what_is_there(const scene *s, mm_owner *owner)
{
    uint64_t there = 0;
    mm_error err = {0};
    for (uint64_t shard = 0; shard < SHARDS; shard++)
        there += s->committed[shard] > 0;
    for (size_t i = 0; i < mm_owner_count(owner); i++) {
        const uint64_t shard = mm_owner_shard(owner, i);
        const mm_journal_origin origin = mm_owner_origin(owner, shard);
        char path[128];
        mm_journal *journal = NULL;
        uint64_t cut = 0;
        mm_must_ok(mm_owner_path(owner, shard, path, sizeof path, &err), err);
        if (s->committed[shard] > 0) {
            mm_owner_finish(owner, shard);
        } else if (access(path, F_OK) == 0) {
            mm_must_ok(mm_journal_open(path, &origin, NULL, &journal, &cut, &err), err);
            mm_must(cut == 0);
            for (uint64_t id = origin.first_image; id < origin.first_image + origin.images; id++)
                mm_must(mm_journal_has(journal, id) == (s->made[id] > 0)); /* all that was made is kept, and no more */
            mm_owner_adopt(owner, journal);
        }
    }
    return there;
}

static mm_status play(scene *s, mm_error *err)
{
    static const uint64_t suspects[] = {40, 6};
    mm_owner *owner = NULL;
    uint64_t there = 0;
    const mm_owner_plan own = {.end = IMAGES, .images_per_shard = PER_SHARD, .rank = s->rank, .ranks = s->ranks,
                               .folder = s->folder};
    mm_must_ok(mm_owner_new(&own, &owner, err), *err);
    if (s->goes_on)
        there = find_what_is_there(s, owner);
    const mm_share_plan plan = {.skip = s->goes_on ? is_made : NULL, .shards_there = there,
                                .end = IMAGES, .images_per_shard = PER_SHARD, .user = s, .make = make,
                                .commit = commit, .set_aside = set_aside, .made = made, .cost = cost,
                                .owner = owner, .sync_seconds = 5, .watch = watch,
                                .suspects = suspects, .suspect_count = 2};
    const mm_status status = mm_share_images(s->comm, &plan, err);
    mm_owner_free(owner);
    return status;
}

/* Every image made once and every shard committed once, over all ranks. */
static void check_complete(scene *s)
{
    int all_made[IMAGES], all_committed[SHARDS];
    mm_must(MPI_Allreduce(s->made, all_made, IMAGES, MPI_INT, MPI_SUM, MPI_COMM_WORLD) == MPI_SUCCESS);
    mm_must(MPI_Allreduce(s->committed, all_committed, SHARDS, MPI_INT, MPI_SUM, MPI_COMM_WORLD) == MPI_SUCCESS);
    for (int i = 0; i < IMAGES; i++)
        mm_must(all_made[i] == 1);
    for (int i = 0; i < SHARDS; i++)
        mm_must(all_committed[i] == 1);
    if (s->rank == 0)
        mm_must(atomic_load(&s->finished) == IMAGES && s->set_aside_told == 7 && s->set_aside_counted == 7); /* 3, 13, ... 63 */
}

static void everything_is_made_and_written_once(mm_comm *comm)
{
    mm_error err = {0};
    scene s = new_scene(comm);
    mm_must_ok(play(&s, &err), err);
    check_complete(&s);
    end_scene(&s);
}

static void no_one_waits_for_rank_0(mm_comm *comm)
{
    mm_error err = {0};
    scene s = new_scene(comm);
    s.busy_until_others_are_done = s.rank == 0 && s.ranks > 1;
    mm_must_ok(play(&s, &err), err);
    check_complete(&s);
    end_scene(&s);
}

/* The last rank computes until a shard of its own is written, all of whose images others have made and sent. */
static void no_one_waits_for_an_owner(mm_comm *comm)
{
    mm_error err = {0};
    scene s = new_scene(comm);
    s.busy_until_a_commit = s.rank == s.ranks - 1 && s.ranks > 1;
    mm_must_ok(play(&s, &err), err);
    check_complete(&s);
    end_scene(&s);
}

static void must_fail_alike(scene *s, mm_status status, const char *text)
{
    mm_error err = {0};
    mm_must(play(s, &err) == status);
    mm_must(err.status == status);
    mm_must(strstr(err.text, text) != NULL);
    mm_error first = err;
    mm_must(MPI_Bcast(&first, sizeof first, MPI_BYTE, 0, MPI_COMM_WORLD) == MPI_SUCCESS);
    mm_must(strcmp(first.text, err.text) == 0);
}

static void faults_stop_all_ranks(mm_comm *comm)
{
    scene s = new_scene(comm);
    s.make_fails_at = 20; /* whoever gets it */
    must_fail_alike(&s, MM_ERR_INTERNAL, "no way to make image 20");
    end_scene(&s);

    s = new_scene(comm);
    s.commit_fails_at = (uint64_t)s.ranks - 1; /* a shard of the last rank */
    char text[600];
    (void)snprintf(text, sizeof text, "%s (rank %d): disk full at shard %d", mm_comm_host(comm), s.ranks - 1,
                   s.ranks - 1);
    must_fail_alike(&s, MM_ERR_IO, s.ranks > 1 ? text : "disk full at shard 0");
    end_scene(&s);

    s = new_scene(comm);
    s.set_aside_fails_at = 13;
    must_fail_alike(&s, MM_ERR_NOMEM, "no room for the list");
    end_scene(&s);

    /* And nothing is left over that would disturb the next run. */
    everything_is_made_and_written_once(comm);
}

static void sum_over_ranks(int *counts, int count)
{
    mm_must(MPI_Allreduce(MPI_IN_PLACE, counts, count, MPI_INT, MPI_SUM, MPI_COMM_WORLD) == MPI_SUCCESS);
}

/* A signal on the last rank stops all; nothing that was made is lost, and nothing is made twice. */
static void a_stopped_run_goes_on(mm_comm *comm)
{
    mm_error err = {0};
    scene s = new_scene(comm);
    s.stops_after = 3;
    must_fail_alike(&s, MM_ERR_STOPPED, "stopped by SIGUSR1");
    sum_over_ranks(s.made, IMAGES);
    sum_over_ranks(s.committed, SHARDS);
    int made = 0;
    for (int i = 0; i < IMAGES; i++)
        made += s.made[i];
    mm_must(made >= 3 && made < IMAGES);

    scene next = s;
    next.stops_after = 0;
    next.goes_on = true;
    mm_must_ok(play(&next, &err), err);
    for (int i = 0; i < IMAGES; i++)
        next.made[i] -= s.made[i];
    for (int i = 0; i < SHARDS; i++)
        next.committed[i] -= s.committed[i];
    sum_over_ranks(next.made, IMAGES);
    sum_over_ranks(next.committed, SHARDS);
    for (int i = 0; i < IMAGES; i++)
        mm_must(s.made[i] + next.made[i] == 1);
    for (int i = 0; i < SHARDS; i++)
        mm_must(s.committed[i] + next.committed[i] == 1);
    end_scene(&s);
}

int main(int argc, char **argv)
{
    mm_error err = {0};
    mm_comm *comm = NULL;
    mm_must_ok(mm_comm_start(&argc, &argv, &comm, &err), err);
    everything_is_made_and_written_once(comm);
    no_one_waits_for_rank_0(comm);
    no_one_waits_for_an_owner(comm);
    faults_stop_all_ranks(comm);
    a_stopped_run_goes_on(comm);
    mm_comm_stop(comm);
    return 0;
}
