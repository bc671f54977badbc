/* OUT/engine.json: which rounds of the data engine a dataset has been through.
 *
 * [SAM] section 4 has three stages, in each of which models were trained anew on what there was by then, "6 times" in
 * the first. A round is one pass of that: a run over the corpus, a detection, an import of people's answers. A
 * dataset's file has its own round last, and before it those that it came from. docs/formats.md has the file. */
#ifndef MASKMILL_ROUNDS_H
#define MASKMILL_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "maskmill/status.h"

enum { MM_ROUND_SOURCES = 3 }; /* automatic, confident, human */

typedef struct mm_round {
    char *stage;           /* "automatic", "assisted-manual", "semi-automatic", "fully-automatic", ... */
    uint64_t number;       /* from 1, among the rounds of its stage */
    char *model, *model_sha256; /* what made the automatic masks */
    char *detector_sha256; /* of the detector's file, or NULL */
    uint64_t images;       /* made, or answered, in this round */
    uint64_t masks[MM_ROUND_SOURCES]; /* in the dataset after it, by source */
    uint64_t confident, hints;        /* further masks beside them */
} mm_round;

typedef struct mm_rounds {
    mm_round *items;
    size_t count;
    char *parent;           /* folder of the version before, as seen from the dataset's own; NULL: there is none */
    uint64_t parent_digest; /* of its dataset.h5 */
} mm_rounds;

/* Of the dataset in `folder`. *there is false, and nothing read, if it has no engine.json. From untrusted bytes:
 * MM_ERR_FORMAT for what is no such file. The caller frees with mm_rounds_free, in every case. */
MM_RESULT_USED mm_status mm_rounds_read(const char *folder, bool *there, mm_rounds *rounds, mm_error *err);
/* Add one; its texts are copied, its number is found. */
MM_RESULT_USED mm_status mm_rounds_add(mm_rounds *rounds, const mm_round *round, mm_error *err);
/* The version before: `parent` is its folder, `folder` the dataset's own, or where that is made. */
MM_RESULT_USED mm_status mm_rounds_set_parent(mm_rounds *rounds, const char *folder, const char *parent,
                                              uint64_t digest, mm_error *err);
/* Put FOLDER/engine.json in its place. */
MM_RESULT_USED mm_status mm_rounds_write(const char *folder, const mm_rounds *rounds, mm_error *err);
void mm_rounds_free(mm_rounds *rounds);

/* Images and masks of the dataset in `folder` as it is now, into `round`; the rest of it stays as it is. */
MM_RESULT_USED mm_status mm_round_count(const char *folder, mm_round *round, mm_error *err);

/* A line a round for people, nothing for none; `, "rounds": [...]` for programs, to stand in an object. */
void mm_rounds_print_text(const mm_rounds *rounds, FILE *out);
MM_RESULT_USED mm_status mm_rounds_print_json(const mm_rounds *rounds, FILE *out, mm_error *err);

#endif
