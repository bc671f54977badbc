#include "corpus/pairs.h"

#include <stdlib.h>

/* From this many hashes on that agree in a table's bits, the other bits are used as well, lest a corpus with many
 * similar images (frames of a film, scanned pages) make the table compare all with all after all. */
enum { LARGE_BUCKET = 512 };

/* Blocks of the bits of `among`: bit by bit in turn, because neighbouring bits are neighbouring frequencies, and the
 * lowest of those are the least evenly spread. */
static uint64_t block_of(uint64_t among, uint32_t blocks, uint32_t which)
{
    uint64_t mask = 0;
    uint32_t turn = 0;
    for (int bit = 0; bit < MM_PHASH_BITS; bit++)
        if (among >> bit & 1) {
            mask |= turn == which ? UINT64_C(1) << bit : 0;
            turn = turn + 1 == blocks ? 0 : turn + 1;
        }
    return mask;
}

mm_tables mm_tables_for(uint32_t distance)
{
    mm_tables tables = {.distance = distance};
    const uint32_t blocks = distance == 0 ? 0 : distance + 2;
    for (uint32_t a = 0; a < blocks; a++)
        for (uint32_t b = a + 1; b < blocks; b++)
            tables.masks[tables.count++] = block_of(UINT64_MAX, blocks, a) | block_of(UINT64_MAX, blocks, b);
    return tables;
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t mm_hash_mix(uint64_t key)
{
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return key ^ key >> 31;
}

static int by_masked(const void *a, const void *b, void *user)
{
    const uint64_t mask = *(const uint64_t *)user;
    const uint64_t x = ((const mm_hashed *)a)->hash & mask, y = ((const mm_hashed *)b)->hash & mask;
    return (x > y) - (x < y);
}

static bool agrees_before(const uint64_t *masks, uint32_t before, uint64_t difference)
{
    for (uint32_t i = 0; i < before; i++)
        if ((difference & masks[i]) == 0)
            return true;
    return false;
}

/* What decides whether two hashes of a bucket are a pair that is not reported elsewhere. */
typedef struct pair_judge {
    const mm_tables *tables;
    uint32_t table;
    uint64_t parts[MM_MAX_DISTANCE + 1]; /* of a large bucket */
    uint32_t part;
} pair_judge;

static mm_status compare_all(const pair_judge *judge, const mm_hashed *hashes, size_t count, mm_buffer *pairs,
                             mm_error *err)
{
    mm_status status = MM_OK;
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++) {
            const uint64_t difference = hashes[i].hash ^ hashes[j].hash;
            if ((uint32_t)__builtin_popcountll(difference) > judge->tables->distance ||
                agrees_before(judge->tables->masks, judge->table, difference) ||
                agrees_before(judge->parts, judge->part, difference))
                continue;
            const uint64_t a = hashes[i].image_id, b = hashes[j].image_id;
            const mm_near_pair pair = {.later = a > b ? a : b, .earlier = a > b ? b : a};
            status = mm_buffer_put(pairs, &pair, sizeof pair, err);
            if (status != MM_OK)
                return status;
        }
    return MM_OK;
}

typedef mm_status bucket_visitor(pair_judge *judge, mm_hashed *hashes, size_t count, mm_buffer *pairs, mm_error *err);

static mm_status visit_bucket(pair_judge *judge, mm_hashed *hashes, size_t count, mm_buffer *pairs, mm_error *err)
{
    return compare_all(judge, hashes, count, pairs, err);
}

/* All runs of hashes that agree in `mask`. */
static mm_status for_buckets(pair_judge *judge, uint64_t mask, mm_hashed *hashes, size_t count, bucket_visitor *visit,
                             mm_buffer *pairs, mm_error *err)
{
    qsort_r(hashes, count, sizeof *hashes, by_masked, &mask);
    mm_status status = MM_OK;
    for (size_t first = 0, end; status == MM_OK && first < count; first = end) {
        end = first + 1;
        while (end < count && ((hashes[first].hash ^ hashes[end].hash) & mask) == 0)
            end++;
        if (end - first > 1)
            status = visit(judge, hashes + first, end - first, pairs, err);
    }
    return status;
}

/* Hashes of a bucket differ in the bits outside the table only. Those bits make d + 1 parts, one of which is equal in
 * every pair. */
static mm_status visit_table_bucket(pair_judge *judge, mm_hashed *hashes, size_t count, mm_buffer *pairs, mm_error *err)
{
    judge->part = 0;
    if (count < LARGE_BUCKET)
        return compare_all(judge, hashes, count, pairs, err);
    const uint32_t parts = judge->tables->distance + 1;
    const uint64_t rest = ~judge->tables->masks[judge->table];
    mm_status status = MM_OK;
    for (uint32_t i = 0; i < parts; i++)
        judge->parts[i] = block_of(rest, parts, i);
    for (uint32_t i = 0; status == MM_OK && i < parts; i++) {
        judge->part = i;
        status = for_buckets(judge, judge->parts[i], hashes, count, visit_bucket, pairs, err);
    }
    return status;
}

mm_status mm_near_pairs(const mm_tables *tables, uint32_t table, mm_hashed *hashes, size_t count, mm_buffer *pairs,
                        mm_error *err)
{
    pair_judge judge = {.tables = tables, .table = table};
    if (count < 2)
        return MM_OK;
    return for_buckets(&judge, tables->masks[table], hashes, count, visit_table_bucket, pairs, err);
}
