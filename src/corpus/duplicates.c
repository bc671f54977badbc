/* Groups of near-duplicates over the whole corpus, by all ranks together.
 *
 * An image is a duplicate of the first image (by id) that is not a duplicate itself and whose hash differs in at most d
 * bits. So a group is what lies around its first image; it cannot grow in chains from one picture to another that looks
 * nothing like it, and an image that a run skips always has a near one that the run makes.
 *
 * Equal hashes are brought together first and go on as one, so that a picture that is there a million times is compared
 * once. Then come the tables of pairs.h: each rank sends each hash to the rank that the table's bits choose. The pairs
 * go to rank 0 in the order of their later image, a window of images at a time, and there one pass decides. */
#include <stdlib.h>
#include <string.h>

#include "corpus/pairs.h"
#include "corpus/manifest.h"

enum { WINDOW = 65536 };

typedef struct grouping {
    mm_comm *comm;
    mm_manifest *manifest; /* rank 0 */
    uint64_t images;
    mm_tables tables;
    mm_buffer *shares; /* [ranks], empty between steps */
    mm_buffer firsts;  /* mm_hashed: this rank's share of the different hashes, with the first image of each */
    mm_buffer same;    /* mm_near_pair: later has the same hash as earlier, the first that has it */
    mm_buffer near;    /* mm_near_pair: the hashes of two firsts are near */
} grouping;

static mm_buffer *share_for(const grouping *g, uint64_t key)
{
    return &g->shares[mm_hash_mix(key) % (uint64_t)mm_comm_size(g->comm)];
}

/* What came in must be whole records. */
static mm_status count_hashed(const mm_buffer *bytes, size_t *count, mm_error *err)
{
    *count = bytes->used / sizeof(mm_hashed);
    return bytes->used % sizeof(mm_hashed) == 0 ? MM_OK : mm_cursor_fail(err);
}

static mm_status deal_hashes(grouping *g, mm_error *err)
{
    mm_status status = MM_OK;
    for (uint64_t i = 0; status == MM_OK && i < g->images; i++) {
        const mm_hashed hashed = {g->manifest->phash[i], i};
        if (hashed.hash != 0)
            status = mm_buffer_put(share_for(g, hashed.hash), &hashed, sizeof hashed, err);
    }
    return status;
}

static int by_hash_then_id(const void *a, const void *b)
{
    const mm_hashed *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->image_id > y->image_id) - (x->image_id < y->image_id);
}

/* Of each hash the first image stays in g->firsts; the others become pairs with it. */
static mm_status join_equal(grouping *g, mm_error *err)
{
    mm_hashed *hashes = (mm_hashed *)(void *)g->firsts.bytes;
    size_t count, kept = 0;
    mm_status status = count_hashed(&g->firsts, &count, err);
    if (status != MM_OK || count == 0)
        return status;
    qsort(hashes, count, sizeof *hashes, by_hash_then_id);
    for (size_t i = 0; status == MM_OK && i < count; i++) {
        if (kept == 0 || hashes[kept - 1].hash != hashes[i].hash) {
            hashes[kept++] = hashes[i];
            continue;
        }
        const mm_near_pair pair = {.later = hashes[i].image_id, .earlier = hashes[kept - 1].image_id};
        status = mm_buffer_put(&g->same, &pair, sizeof pair, err);
    }
    g->firsts.used = kept * sizeof *hashes;
    return status;
}

static mm_status deal_for_table(grouping *g, uint64_t mask, mm_error *err)
{
    const mm_hashed *hashes = (const mm_hashed *)(const void *)g->firsts.bytes;
    mm_status status = MM_OK;
    for (size_t i = 0; status == MM_OK && i < g->firsts.used / sizeof *hashes; i++)
        status = mm_buffer_put(share_for(g, hashes[i].hash & mask), &hashes[i], sizeof hashes[i], err);
    return status;
}

static mm_status search_table(grouping *g, uint32_t table, mm_error *err)
{
    mm_buffer mine = {0};
    size_t count = 0;
    mm_status status = mm_comm_agree(g->comm, deal_for_table(g, g->tables.masks[table], err), err);
    if (status == MM_OK)
        status = mm_buffer_exchange(g->comm, g->shares, &mine, err);
    if (status != MM_OK)
        return status;
    status = count_hashed(&mine, &count, err);
    if (status == MM_OK)
        status = mm_near_pairs(&g->tables, table, (mm_hashed *)(void *)mine.bytes, count, &g->near, err);
    mm_buffer_free(&mine);
    if (status == MM_ERR_NOMEM)
        status = mm_fail(err, status, "out of memory for near-duplicates; use a smaller distance or more ranks");
    return mm_comm_agree(g->comm, status, err);
}

/* --- Pairs to rank 0, and what it makes of them. --- */

static int by_later_then_earlier(const void *a, const void *b)
{
    const mm_near_pair *x = a, *y = b;
    if (x->later != y->later)
        return x->later < y->later ? -1 : 1;
    return (x->earlier > y->earlier) - (x->earlier < y->earlier);
}

static void sort_pairs(mm_buffer *pairs)
{
    if (pairs->used > 0)
        qsort(pairs->bytes, pairs->used / sizeof(mm_near_pair), sizeof(mm_near_pair), by_later_then_earlier);
}

typedef void pair_taker(uint64_t *duplicate_of, const mm_near_pair *pair);

/* In this order: the earlier image has been decided on, and of several the first comes first. */
static void take_near(uint64_t *duplicate_of, const mm_near_pair *pair)
{
    if (duplicate_of[pair->later] == pair->later && duplicate_of[pair->earlier] == pair->earlier)
        duplicate_of[pair->later] = pair->earlier;
}

static void take_same(uint64_t *duplicate_of, const mm_near_pair *pair)
{
    duplicate_of[pair->later] = duplicate_of[pair->earlier];
}

static mm_status take_pairs(grouping *g, mm_buffer *received, pair_taker *take, mm_error *err)
{
    const mm_near_pair *pairs = (const mm_near_pair *)(const void *)received->bytes;
    if (received->used % sizeof *pairs != 0)
        return mm_cursor_fail(err);
    sort_pairs(received);
    for (size_t i = 0; i < received->used / sizeof *pairs; i++) {
        if (pairs[i].later >= g->images || pairs[i].earlier >= pairs[i].later)
            return mm_cursor_fail(err);
        take(g->manifest->duplicate_of, &pairs[i]);
    }
    return MM_OK;
}

static mm_status deliver_window(grouping *g, const mm_buffer *all, size_t *sent, uint64_t end, pair_taker *take,
                                mm_error *err)
{
    const mm_near_pair *pairs = (const mm_near_pair *)(const void *)all->bytes;
    const size_t count = all->used / sizeof *pairs, start = *sent;
    mm_buffer received = {0};
    while (*sent < count && pairs[*sent].later < end)
        (*sent)++;
    mm_status status = MM_OK;
    if (*sent > start)
        status = mm_buffer_put(&g->shares[0], pairs + start, (*sent - start) * sizeof *pairs, err);
    status = mm_comm_agree(g->comm, status, err);
    if (status == MM_OK)
        status = mm_buffer_exchange(g->comm, g->shares, &received, err);
    if (status == MM_OK)
        status = mm_comm_agree(g->comm, take_pairs(g, &received, take, err), err);
    mm_buffer_free(&received);
    return status;
}

static mm_status deliver(grouping *g, mm_buffer *all, pair_taker *take, mm_error *err)
{
    size_t sent = 0;
    mm_status status = MM_OK;
    sort_pairs(all);
    for (uint64_t start = 0; status == MM_OK && start < g->images; start += WINDOW)
        status = deliver_window(g, all, &sent, start + WINDOW, take, err);
    mm_buffer_free(all);
    return status;
}

/* Every image its own group, to begin with. */
static mm_status clear_groups(grouping *g, mm_error *err)
{
    mm_manifest *manifest = g->manifest;
    free(manifest->duplicate_of);
    manifest->duplicate_of = malloc((size_t)g->images * sizeof *manifest->duplicate_of);
    if (!manifest->duplicate_of)
        return mm_fail_memory(err, "groups of near-duplicates");
    manifest->duplicate_distance = g->tables.distance;
    for (uint64_t i = 0; i < g->images; i++)
        manifest->duplicate_of[i] = i;
    return MM_OK;
}

static mm_status prepare(grouping *g, mm_error *err)
{
    mm_status status = mm_buffers_new(g->comm, &g->shares, err);
    if (status == MM_OK && g->manifest) {
        g->images = mm_manifest_count(g->manifest);
        status = clear_groups(g, err);
    }
    if (status == MM_OK && g->manifest)
        status = deal_hashes(g, err);
    status = mm_comm_agree(g->comm, status, err);
    return status == MM_OK ? mm_comm_broadcast(g->comm, 0, &g->images, sizeof g->images, err) : status;
}

static mm_status find_groups(grouping *g, mm_error *err)
{
    mm_status status = prepare(g, err);
    if (status == MM_OK)
        status = mm_buffer_exchange(g->comm, g->shares, &g->firsts, err);
    if (status == MM_OK)
        status = mm_comm_agree(g->comm, join_equal(g, err), err);
    for (uint32_t table = 0; status == MM_OK && table < g->tables.count; table++)
        status = search_table(g, table, err);
    mm_buffer_free(&g->firsts);
    if (status == MM_OK)
        status = deliver(g, &g->near, take_near, err);
    return status == MM_OK ? deliver(g, &g->same, take_same, err) : status;
}

mm_status mm_corpus_group(mm_comm *comm, mm_manifest *manifest, uint32_t distance, uint64_t *duplicates, mm_error *err)
{
    *duplicates = 0;
    if (distance > MM_MAX_DISTANCE)
        return mm_fail(err, MM_ERR_USAGE, "a distance of %u bits between near-duplicates is too large; at most %d",
                       distance, MM_MAX_DISTANCE);
    grouping g = {.comm = comm, .manifest = mm_comm_rank(comm) == 0 ? manifest : NULL,
                  .tables = mm_tables_for(distance)};
    const mm_status status = find_groups(&g, err);
    for (uint64_t i = 0; status == MM_OK && g.manifest && i < g.images; i++)
        *duplicates += g.manifest->duplicate_of[i] != i;
    mm_buffers_free(comm, g.shares);
    mm_buffer_free(&g.firsts);
    mm_buffer_free(&g.same);
    mm_buffer_free(&g.near);
    if (status != MM_OK && g.manifest) {
        free(g.manifest->duplicate_of);
        g.manifest->duplicate_of = NULL;
    }
    return status;
}
