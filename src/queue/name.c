#include "queue/name.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { INDEX_BITS = 18, KIND_BITS = 2, IMAGE_SHIFT = INDEX_BITS + KIND_BITS };
static const char letters[MM_SHOWN_KINDS] = {'c', 'h', 'm'};
#define MOST_IMAGE ((UINT64_C(1) << (53 - IMAGE_SHIFT)) - 2)

mm_status mm_shown_check(const mm_shown_name *name, mm_error *err)
{
    if (name->image_id <= MOST_IMAGE && name->index < 1u << INDEX_BITS)
        return MM_OK;
    return mm_fail(err, MM_ERR_LIMIT, "image %" PRIu64 ", mask %" PRIu32 ": ids of annotations end at image %" PRIu64
                   " and mask %u", name->image_id, name->index, (uint64_t)MOST_IMAGE, (1u << INDEX_BITS) - 1);
}

uint64_t mm_shown_number(const mm_shown_name *name)
{
    return (name->image_id + 1) << IMAGE_SHIFT | (uint64_t)name->kind << INDEX_BITS | name->index;
}

bool mm_shown_from_number(uint64_t number, mm_shown_name *name)
{
    const uint64_t image = number >> IMAGE_SHIFT, kind = number >> INDEX_BITS & ((1u << KIND_BITS) - 1);
    if (image == 0 || image - 1 > MOST_IMAGE || kind >= MM_SHOWN_KINDS)
        return false;
    *name = (mm_shown_name){image - 1, (mm_shown_kind)kind, (uint32_t)(number & ((1u << INDEX_BITS) - 1))};
    return true;
}

void mm_shown_text(const mm_shown_name *name, char text[MM_SHOWN_TEXT])
{
    (void)snprintf(text, MM_SHOWN_TEXT, "mm-%" PRIu64 "-%c%" PRIu32, name->image_id, letters[name->kind], name->index);
}

/* Digits alone, and not too many of them. */
static bool read_number(const char **text, uint64_t *number)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    const unsigned long long value = strtoull(*text, &end, 10);
    *text = end;
    *number = value;
    return errno == 0;
}

bool mm_shown_from_text(const char *text, mm_shown_name *name)
{
    uint64_t index;
    if (strncmp(text, "mm-", 3) != 0)
        return false;
    text += 3;
    if (!read_number(&text, &name->image_id) || *text++ != '-' || name->image_id > MOST_IMAGE)
        return false;
    for (int kind = 0; kind < MM_SHOWN_KINDS; kind++) {
        if (*text != letters[kind])
            continue;
        text++;
        name->kind = (mm_shown_kind)kind;
        if (!read_number(&text, &index) || index >= 1u << INDEX_BITS || (*text != '\0' && *text != '#'))
            return false;
        name->index = (uint32_t)index;
        return true;
    }
    return false;
}

void mm_photograph_name(uint64_t image_id, char text[MM_SHOWN_TEXT])
{
    (void)snprintf(text, MM_SHOWN_TEXT, "sa_%" PRIu64 ".jpg", image_id);
}

bool mm_photograph_number(const char *path, uint64_t *image_id)
{
    const char *found = NULL;
    for (const char *at = path; (at = strstr(at, "sa_")); at++)
        if (at == path || at[-1] == '/' || at[-1] == '-' || at[-1] == '\\')
            found = at + 3;
    return found && read_number(&found, image_id) &&
           (strcasecmp(found, ".jpg") == 0 || strcasecmp(found, ".jpeg") == 0);
}
