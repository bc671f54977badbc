#include "annotate/book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "journal/lines.h"

#define NONE UINT32_MAX

typedef struct entry {
    uint64_t id[2];   /* the answer's id, as numbers */
    uint64_t mask[2]; /* what it deletes or replaces, hashed; zeros: nothing */
    uint64_t offset;  /* of its line */
    uint32_t next;    /* of the same image */
    uint8_t kind;
    bool gone;        /* an accepted mask that a later answer deleted or replaced */
} entry;

typedef struct image_entry {
    uint64_t image;
    uint32_t first, last;
    uint8_t verdict;
} image_entry;

/* Open addressing; a slot is 1 + a number, 0 is free. Sizes are powers of two, at most half full. */
typedef struct table {
    uint32_t *slots;
    size_t size;
} table;

struct mm_book {
    mm_lines *lines;
    entry *entries;
    size_t count, room;
    image_entry *images;
    size_t image_count, image_room;
    table by_id, by_image;
    uint64_t accepted;
};

static void id_numbers(const char *id, uint64_t numbers[2])
{
    const XXH128_hash_t hash = XXH3_128bits(id, strlen(id));
    numbers[0] = hash.low64;
    numbers[1] = hash.high64 | 1; /* never both zero */
}

static bool same(const uint64_t a[2], const uint64_t b[2])
{
    return a[0] == b[0] && a[1] == b[1];
}

/* --- tables --- */

static uint64_t mix(uint64_t number)
{
    return XXH3_64bits(&number, sizeof number);
}

static uint32_t find_entry(const mm_book *book, const uint64_t id[2])
{
    for (size_t at = id[0]; book->by_id.size > 0; at++) {
        const uint32_t slot = book->by_id.slots[at & (book->by_id.size - 1)];
        if (slot == 0)
            return NONE;
        if (same(book->entries[slot - 1].id, id))
            return slot - 1;
    }
    return NONE;
}

static uint32_t find_image(const mm_book *book, uint64_t image)
{
    for (size_t at = mix(image); book->by_image.size > 0; at++) {
        const uint32_t slot = book->by_image.slots[at & (book->by_image.size - 1)];
        if (slot == 0)
            return NONE;
        if (book->images[slot - 1].image == image)
            return slot - 1;
    }
    return NONE;
}

static void put(table *t, uint64_t hash, uint32_t number)
{
    size_t at = hash;
    while (t->slots[at & (t->size - 1)])
        at++;
    t->slots[at & (t->size - 1)] = number + 1;
}

static mm_status grow_table(table *t, size_t count, mm_error *err)
{
    *t = (table){calloc(count, sizeof *t->slots), count};
    if (t->slots)
        return MM_OK;
    t->size = 0;
    return mm_fail_memory(err, "answers");
}

/* Room for one more of each. */
static mm_status reserve(mm_book *book, mm_error *err)
{
    if (book->count >= NONE - 1 || book->image_count >= NONE - 1)
        return mm_fail(err, MM_ERR_LIMIT, "a journal takes at most 4 billion answers");
    if (book->count == book->room) {
        const size_t room = book->room ? 2 * book->room : 256;
        entry *more = reallocarray(book->entries, room, sizeof *more);
        if (!more)
            return mm_fail_memory(err, "answers");
        book->entries = more;
        book->room = room;
        free(book->by_id.slots);
        const mm_status status = grow_table(&book->by_id, 2 * room, err);
        if (status != MM_OK)
            return status;
        for (size_t i = 0; i < book->count; i++)
            put(&book->by_id, book->entries[i].id[0], (uint32_t)i);
    }
    if (book->image_count == book->image_room) {
        const size_t room = book->image_room ? 2 * book->image_room : 256;
        image_entry *more = reallocarray(book->images, room, sizeof *more);
        if (!more)
            return mm_fail_memory(err, "answers");
        book->images = more;
        book->image_room = room;
        free(book->by_image.slots);
        const mm_status status = grow_table(&book->by_image, 2 * room, err);
        if (status != MM_OK)
            return status;
        for (size_t i = 0; i < book->image_count; i++)
            put(&book->by_image, mix(book->images[i].image), (uint32_t)i);
    }
    return MM_OK;
}

/* --- what answers do --- */

bool mm_book_gone(const mm_book *book, uint64_t image, const char *mask)
{
    const uint32_t found = find_image(book, image);
    uint64_t name[2];
    id_numbers(mask, name);
    for (uint32_t i = found == NONE ? NONE : book->images[found].first; i != NONE; i = book->entries[i].next)
        if (same(book->entries[i].mask, name))
            return true;
    return false;
}

/* What is against this answer, given those before it; NULL: nothing. */
static const char *objection(const mm_book *book, const mm_person_answer *answer)
{
    if (!answer->mask[0])
        return NULL;
    if (mm_book_gone(book, answer->image, answer->mask))
        return "that mask was deleted or replaced before";
    if (!mm_answer_is_id(answer->mask))
        return NULL; /* one of those shown */
    uint64_t name[2];
    id_numbers(answer->mask, name);
    const uint32_t earlier = find_entry(book, name), image = find_image(book, answer->image);
    if (earlier == NONE || image == NONE || book->entries[earlier].kind != MM_ANSWER_ACCEPT)
        return "there is no such mask";
    for (uint32_t i = book->images[image].first; i != NONE; i = book->entries[i].next)
        if (i == earlier)
            return NULL;
    return "that mask is of another image";
}

/* After reserve. */
static void take_in(mm_book *book, const mm_person_answer *answer, uint64_t offset)
{
    const uint32_t number = (uint32_t)book->count++;
    entry *e = &book->entries[number];
    *e = (entry){.offset = offset, .next = NONE, .kind = (uint8_t)answer->kind};
    id_numbers(answer->id, e->id);
    put(&book->by_id, e->id[0], number);
    if (answer->mask[0]) {
        id_numbers(answer->mask, e->mask);
        const uint32_t earlier = mm_answer_is_id(answer->mask) ? find_entry(book, e->mask) : NONE;
        if (earlier != NONE && !book->entries[earlier].gone) {
            book->entries[earlier].gone = true;
            book->accepted--;
        }
    }
    book->accepted += answer->kind == MM_ANSWER_ACCEPT;
    uint32_t image = find_image(book, answer->image);
    if (image == NONE) {
        image = (uint32_t)book->image_count++;
        book->images[image] = (image_entry){answer->image, number, number, MM_ANSWER_KINDS};
        put(&book->by_image, mix(answer->image), image);
    } else {
        book->entries[book->images[image].last].next = number;
        book->images[image].last = number;
    }
    if (answer->kind == MM_ANSWER_DONE || answer->kind == MM_ANSWER_SKIP)
        book->images[image].verdict = (uint8_t)answer->kind;
}

static mm_status take_line(void *user, const char *text, size_t size, uint64_t offset, mm_error *err)
{
    mm_book *book = user;
    mm_person_answer answer;
    uint64_t id[2];
    mm_status status = mm_answer_parse(text, size, &answer, err);
    if (status != MM_OK)
        return mm_error_prefix(err, "byte %" PRIu64, offset);
    id_numbers(answer.id, id);
    status = reserve(book, err);
    const char *against = status == MM_OK ? objection(book, &answer) : NULL;
    if (status == MM_OK && (against || find_entry(book, id) != NONE))
        status = mm_fail(err, MM_ERR_FORMAT, "byte %" PRIu64 ": answer %s: %s", offset, answer.id,
                         against ? against : "is there twice");
    if (status == MM_OK)
        take_in(book, &answer, offset);
    mm_answer_free(&answer);
    return status;
}

/* --- the file --- */

mm_status mm_book_open(const char *path, const mm_book_head *head, bool reads, mm_book **book, uint64_t *cut,
                       mm_error *err)
{
    char text[200];
    mm_book *made = calloc(1, sizeof *made);
    *book = NULL;
    if (!made)
        return mm_fail_memory(err, "answers");
    (void)snprintf(text, sizeof text, "{\"maskmill\":\"answers\",\"format\":1,\"source\":\"%.20s\",\"images\":%" PRIu64
                   ",\"digest\":\"%016" PRIx64 "\",\"shown\":%" PRIu64 "}", head->kind, head->images, head->digest,
                   head->shown);
    const mm_lines_visitor visitor = {.user = made, .line = take_line};
    *cut = 0;
    const mm_status status = reads ? mm_lines_open_read(path, text, &visitor, &made->lines, err)
                                   : mm_lines_open(path, text, &visitor, &made->lines, cut, err);
    if (status != MM_OK) {
        mm_book_close(made);
        const bool names_it = !err || strstr(err->text, path);
        return status == MM_ERR_FORMAT && !names_it ? mm_error_prefix(err, "%s", path) : status;
    }
    *book = made;
    return MM_OK;
}

void mm_book_close(mm_book *book)
{
    if (!book)
        return;
    mm_lines_close(book->lines);
    free(book->entries);
    free(book->images);
    free(book->by_id.slots);
    free(book->by_image.slots);
    free(book);
}

static mm_status read_answer(const mm_book *book, uint32_t number, mm_person_answer *answer, mm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    mm_status status = mm_lines_at(book->lines, book->entries[number].offset, &text, &size, err);
    if (status == MM_OK)
        status = mm_answer_parse(text, size, answer, err);
    free(text);
    return status;
}

/* But for the server's clock. */
static bool is_same_answer(const mm_person_answer *a, const mm_person_answer *b)
{
    return a->kind == b->kind && a->image == b->image && strcmp(a->mask, b->mask) == 0 && a->height == b->height &&
           a->width == b->width && a->size == b->size && (a->size == 0 || memcmp(a->counts, b->counts, a->size) == 0) &&
           strcmp(a->annotator, b->annotator) == 0;
}

mm_status mm_book_add(mm_book *book, const mm_person_answer *answer, bool *again, mm_error *err)
{
    uint64_t id[2], offset = 0;
    char *text = NULL;
    id_numbers(answer->id, id);
    const uint32_t earlier = find_entry(book, id);
    *again = earlier != NONE;
    if (*again) {
        mm_person_answer old;
        mm_status status = read_answer(book, earlier, &old, err);
        if (status != MM_OK)
            return status;
        if (!is_same_answer(answer, &old))
            status = mm_fail(err, MM_ERR_USAGE, "another answer has this id");
        mm_answer_free(&old);
        return status;
    }
    const char *against = objection(book, answer);
    if (against)
        return mm_fail(err, MM_ERR_USAGE, "%s", against);
    mm_status status = reserve(book, err); /* before anything is written */
    if (status == MM_OK)
        status = mm_answer_print(answer, &text, err);
    if (status == MM_OK)
        status = mm_lines_append(book->lines, text, strlen(text), &offset, err);
    if (status == MM_OK)
        take_in(book, answer, offset);
    free(text);
    return status;
}

/* --- questions --- */

mm_status mm_book_masks(const mm_book *book, uint64_t image, mm_book_visit *visit, void *user, mm_error *err)
{
    const uint32_t found = find_image(book, image);
    mm_status status = MM_OK;
    for (uint32_t i = found == NONE ? NONE : book->images[found].first; i != NONE && status == MM_OK;
         i = book->entries[i].next) {
        mm_person_answer answer;
        if (book->entries[i].kind != MM_ANSWER_ACCEPT || book->entries[i].gone)
            continue;
        status = read_answer(book, i, &answer, err);
        if (status != MM_OK)
            return status;
        status = visit(user, &answer, err);
        mm_answer_free(&answer);
    }
    return status;
}

bool mm_book_has(const mm_book *book, const char *id)
{
    uint64_t numbers[2];
    id_numbers(id, numbers);
    return find_entry(book, numbers) != NONE;
}

bool mm_book_answered(const mm_book *book, uint64_t image)
{
    const uint32_t found = find_image(book, image);
    for (uint32_t i = found == NONE ? NONE : book->images[found].first; i != NONE; i = book->entries[i].next)
        if (book->entries[i].kind != MM_ANSWER_SKIP)
            return true;
    return false;
}

mm_answer_kind mm_book_verdict(const mm_book *book, uint64_t image)
{
    const uint32_t found = find_image(book, image);
    return found == NONE ? MM_ANSWER_KINDS : (mm_answer_kind)book->images[found].verdict;
}

size_t mm_book_images(const mm_book *book)
{
    return book->image_count;
}

uint64_t mm_book_image(const mm_book *book, size_t i)
{
    return book->images[i].image;
}

uint64_t mm_book_accepted(const mm_book *book)
{
    return book->accepted;
}
