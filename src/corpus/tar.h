/* The members of a .tar, in place. */
#ifndef MM_CORPUS_TAR_H
#define MM_CORPUS_TAR_H

#include <stdbool.h>
#include <stdint.h>

#include "maskmill/status.h"

typedef struct mm_tar_member {
    const char *name; /* without a leading ./ */
    int fd;           /* of the archive, in which its bytes are offset .. offset + length - 1 */
    uint64_t offset, length;
} mm_tar_member;

typedef struct mm_tar_visitor {
    void *user;
    /* What is not wanted is not looked at. NULL for a file that has no name, or is a link to another member. */
    bool (*wants)(void *user, const char *name);
    mm_status (*member)(void *user, const mm_tar_member *member, bool *enough, mm_error *err);
} mm_tar_visitor;

/* Show the members to the visitor, in the archive's order, until it has enough. Fails for an archive that is damaged or
 * cut short, or that does not hold a wanted member in one piece, and when the visitor fails. */
MM_RESULT_USED mm_status mm_tar_read(const char *path, const mm_tar_visitor *visitor, mm_error *err);

#endif
