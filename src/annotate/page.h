/* The page that people draw on: the files of src/annotate/page/, compiled in, put together to one HTML text. */
#ifndef MM_ANNOTATE_PAGE_H
#define MM_ANNOTATE_PAGE_H

#include <stddef.h>

#include "maskmill/status.h"

typedef struct mm_page {
    char *html; /* [size] */
    size_t size;
    char policy[1024]; /* Content-Security-Policy: our own styles and scripts, by their hashes, and our own server */
} mm_page;

/* The caller frees *page with mm_page_free. */
MM_RESULT_USED mm_status mm_page_make(mm_page *page, mm_error *err);
void mm_page_free(mm_page *page);

/* The files, each with a zero behind it (page_bytes.c). */
extern const char mm_web_index[], mm_web_style[], mm_web_masks[], mm_web_talk[], mm_web_view[], mm_web_draw[],
    mm_web_work[], mm_web_hands[];

#endif
