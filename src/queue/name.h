/* What images and masks are called where annotators' tools see them, so that answers find their way back. */
#ifndef MM_QUEUE_NAME_H
#define MM_QUEUE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "maskmill/status.h"

/* One of the masks shown: row `index` of an image's /confident, /hints or /masks. */
typedef enum mm_shown_kind { MM_SHOWN_CONFIDENT = 0, MM_SHOWN_HINT, MM_SHOWN_MASK, MM_SHOWN_KINDS } mm_shown_kind;

typedef struct mm_shown_name {
    uint64_t image_id;
    mm_shown_kind kind;
    uint32_t index;
} mm_shown_name;

enum { MM_SHOWN_TEXT = 48 };

/* COCO's annotation id: (image_id + 1) 2^20 + kind 2^18 + index. Below 2^53, which JavaScript keeps exact; and so large
 * that it is not taken for one of the ids 1, 2, ... that tools give. MM_ERR_LIMIT if it does not fit. */
MM_RESULT_USED mm_status mm_shown_check(const mm_shown_name *name, mm_error *err);
uint64_t mm_shown_number(const mm_shown_name *name);
bool mm_shown_from_number(uint64_t number, mm_shown_name *name);

/* "mm-17-c3": image 17, confident mask 3 (h: hint, m: mask). For tools whose ids are text, or that number anew but keep
 * attributes. From text, what follows the name after a '#' is ignored, as Label Studio adds such. */
void mm_shown_text(const mm_shown_name *name, char text[MM_SHOWN_TEXT]);
bool mm_shown_from_text(const char *text, mm_shown_name *name);

/* "sa_17.jpg", as in SA-1B's archives. */
void mm_photograph_name(uint64_t image_id, char text[MM_SHOWN_TEXT]);
/* The number in a path or URL that ends so: after the last '/', or a '-' that Label Studio's uploads have before the
 * name. */
bool mm_photograph_number(const char *path, uint64_t *image_id);

#endif
