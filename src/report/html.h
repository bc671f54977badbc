/* Text that is safe in HTML. Errors of writing stay with the stream, here and in the other files of this folder. */
#ifndef MM_REPORT_HTML_H
#define MM_REPORT_HTML_H

#include <stddef.h>
#include <stdio.h>

/* As the content of an element or of a quoted attribute. File names are hostile: markup is escaped; bytes that are no
 * UTF-8, control characters, and characters that turn the direction of what follows become U+FFFD. */
void mm_html_text(FILE *out, const char *text);
/* The same of at most `most` characters, with an ellipsis in the middle of what is longer, so that the end of a path
 * can still be read. */
void mm_html_text_short(FILE *out, const char *text, size_t most);

/* All of a page up to its first element. `kind` stands behind the name in the title and is plain text. */
void mm_html_head(FILE *out, const char *name, const char *kind);

void mm_html_base64(FILE *out, const void *bytes, size_t size);

#endif
