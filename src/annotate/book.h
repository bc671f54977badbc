/* The book of answers: an answers journal (journal/lines.h, journal/answer.h) with an index in memory of what is in it,
 * of 48 bytes an answer; masks themselves are read from the file again when they are wanted.
 *
 * Of each image it knows which masks stand: those shown at first and those accepted, without those that were deleted or
 * replaced. An answer's id makes it count once, however often it is sent. */
#ifndef MM_ANNOTATE_BOOK_H
#define MM_ANNOTATE_BOOK_H

#include "journal/answer.h"

typedef struct mm_book mm_book;

/* What the answers are about; equal for equal sources. Its text is the journal's head. */
typedef struct mm_book_head {
    const char *kind; /* "corpus", "dataset", "queue" */
    uint64_t images;  /* of the manifest */
    uint64_t digest;  /* XXH3-64 of its paths, offsets and lengths */
    uint64_t shown;   /* of a dataset or queue, its masks; else 0 */
} mm_book_head;

/* `reads`: only for reading, also while a server writes to it. *cut: bytes torn off the end. */
MM_RESULT_USED mm_status mm_book_open(const char *path, const mm_book_head *head, bool reads, mm_book **book,
                                      uint64_t *cut, mm_error *err);
void mm_book_close(mm_book *book);

/* Append and sync; when this returns MM_OK the answer is there for good. Sent again with the same content it is MM_OK
 * too, and *again is true; the id with another content is MM_ERR_USAGE. MM_ERR_USAGE as well for a `mask` that an
 * earlier answer deleted or replaced, or an accepted mask that is not there. Whether `mask` is one of those shown is
 * the caller's to know. */
MM_RESULT_USED mm_status mm_book_add(mm_book *book, const mm_person_answer *answer, bool *again, mm_error *err);

/* Each accepted mask of an image that stands, in order; MM_OK to go on. */
typedef mm_status mm_book_visit(void *user, const mm_person_answer *answer, mm_error *err);
MM_RESULT_USED mm_status mm_book_masks(const mm_book *book, uint64_t image, mm_book_visit *visit, void *user,
                                       mm_error *err);
/* Whether an answer deleted or replaced the mask of this name that was shown of this image. */
bool mm_book_gone(const mm_book *book, uint64_t image, const char *mask);
bool mm_book_has(const mm_book *book, const char *id);

/* Whether there is more than that it was skipped. */
bool mm_book_answered(const mm_book *book, uint64_t image);

/* The last word about an image: MM_ANSWER_DONE or MM_ANSWER_SKIP; MM_ANSWER_KINDS if there is none. */
mm_answer_kind mm_book_verdict(const mm_book *book, uint64_t image);

/* Images with any answer, in the order of their first. */
size_t mm_book_images(const mm_book *book);
uint64_t mm_book_image(const mm_book *book, size_t i);
uint64_t mm_book_accepted(const mm_book *book); /* masks that stand, of all images */

#endif
