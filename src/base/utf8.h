/* UTF-8 that may be none: file names are any bytes. */
#ifndef MM_BASE_UTF8_H
#define MM_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the sequence at `text`, of which `size` (at least 1) are there; 0 if it is none. Overlong forms and
 * surrogates are none. */
size_t mm_utf8_length(const uint8_t *text, size_t size);

#endif
