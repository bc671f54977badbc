/* Perceptual hashes of the images of a manifest, made by all ranks together: rank 0 deals out rows in the manifest's
 * order, some thousands at a time, so that a rank reads neighbours in one archive. */
#include <stdlib.h>

#include "corpus/manifest.h"
#include "maskmill/image.h"

typedef struct hashing {
    mm_comm *comm;
    mm_manifest *manifest; /* rank 0 */
    const mm_hash_options *options;
    mm_buffer *buffers; /* [ranks], empty between steps */
    uint64_t next;      /* rank 0: the first row that was not looked at */
} hashing;

/* Without a size in its header it is no image that could be read; the run says why. */
static bool wants_hash(const mm_manifest_entry *row)
{
    return row->phash == 0 && row->width > 0;
}

static mm_status deal_row(hashing *h, const mm_manifest_entry *row, mm_buffer *buffer, mm_error *err)
{
    const uint64_t numbers[3] = {row->image_id, row->offset, row->length};
    char *path = NULL;
    mm_status status = mm_manifest_locate(h->manifest, row->path, &path, err);
    if (status == MM_OK)
        status = mm_buffer_put(buffer, numbers, sizeof numbers, err);
    if (status == MM_OK)
        status = mm_buffer_put_text(buffer, path, err);
    free(path);
    return status;
}

/* `part` rows to each rank, as long as there are any. *dealt says how many in all. */
static mm_status deal(hashing *h, uint64_t part, uint64_t *dealt, mm_error *err)
{
    const uint64_t most = part * (uint64_t)mm_comm_size(h->comm);
    mm_status status = MM_OK;
    *dealt = 0;
    for (; status == MM_OK && *dealt < most && h->next < mm_manifest_count(h->manifest); h->next++) {
        const mm_manifest_entry row = mm_manifest_at(h->manifest, h->next);
        if (wants_hash(&row))
            status = deal_row(h, &row, &h->buffers[(*dealt)++ / part], err);
    }
    return status;
}

/* 0 for whatever cannot be read: setting aside is the run's business. */
static uint64_t hash_image(const hashing *h, char *path, const uint64_t numbers[3])
{
    const mm_jpeg_options jpeg = {.ignore_orientation = h->options->ignore_orientation,
                                  .max_pixels = h->options->max_pixels};
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint64_t hash = 0;
    mm_status status = mm_corpus_read_at(path, numbers[1], numbers[2], h->options->max_bytes, &bytes, &size, NULL);
    if (status == MM_OK)
        status = mm_image_phash(bytes, size, &jpeg, &hash, NULL);
    free(bytes);
    return status == MM_OK ? hash : 0;
}

static mm_status hash_part(hashing *h, mm_buffer *part, mm_error *err)
{
    mm_cursor cursor = mm_cursor_of(part->bytes, part->used);
    mm_status status = MM_OK;
    while (status == MM_OK && !mm_cursor_done(&cursor)) {
        uint64_t numbers[3];
        const char *text;
        if (!mm_cursor_take(&cursor, numbers, sizeof numbers) || !mm_cursor_text(&cursor, &text))
            return mm_cursor_fail(err);
        char *path = (char *)part->bytes + ((const uint8_t *)text - part->bytes); /* ours to cut at its slashes */
        const uint64_t answer[2] = {numbers[0], hash_image(h, path, numbers)};
        status = mm_buffer_put(&h->buffers[0], answer, sizeof answer, err);
    }
    return status;
}

static mm_status take_hashes(hashing *h, const mm_buffer *answers, mm_error *err)
{
    mm_cursor cursor = mm_cursor_of(answers->bytes, answers->used);
    while (!mm_cursor_done(&cursor)) {
        uint64_t answer[2];
        if (!mm_cursor_take(&cursor, answer, sizeof answer) || !h->manifest ||
            answer[0] >= mm_manifest_count(h->manifest))
            return mm_cursor_fail(err);
        h->manifest->phash[answer[0]] = answer[1];
    }
    return MM_OK;
}

static mm_status hash_round(hashing *h, bool *over, mm_error *err)
{
    /* Enough that ranks wait little for each other at its end; at most a million rows under way. */
    const uint64_t share = 1000000 / (uint64_t)mm_comm_size(h->comm);
    const uint64_t part = share < 16 ? 16 : share < 512 ? share : 512;
    uint64_t dealt = 0;
    mm_buffer mine = {0}, answers = {0};
    mm_status status = mm_comm_agree(h->comm, h->manifest ? deal(h, part, &dealt, err) : MM_OK, err);
    if (status == MM_OK)
        status = mm_comm_broadcast(h->comm, 0, &dealt, sizeof dealt, err);
    *over = dealt == 0;
    if (status != MM_OK || *over)
        return status;
    status = mm_buffer_exchange(h->comm, h->buffers, &mine, err);
    if (status == MM_OK)
        status = mm_comm_agree(h->comm, hash_part(h, &mine, err), err);
    mm_buffer_free(&mine);
    if (status == MM_OK)
        status = mm_buffer_exchange(h->comm, h->buffers, &answers, err);
    if (status == MM_OK)
        status = mm_comm_agree(h->comm, take_hashes(h, &answers, err), err);
    mm_buffer_free(&answers);
    if (status == MM_OK && h->manifest && h->options->progress)
        h->options->progress(h->options->user, h->next, mm_manifest_count(h->manifest));
    return status;
}

mm_status mm_corpus_hash(mm_comm *comm, mm_manifest *manifest, const mm_hash_options *options, mm_error *err)
{
    hashing h = {.comm = comm, .manifest = mm_comm_rank(comm) == 0 ? manifest : NULL, .options = options};
    mm_status status = mm_comm_agree(comm, mm_buffers_new(comm, &h.buffers, err), err);
    for (bool over = false; status == MM_OK && !over;)
        status = hash_round(&h, &over, err);
    mm_buffers_free(comm, h.buffers);
    return status;
}
