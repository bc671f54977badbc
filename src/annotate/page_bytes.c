/* The page's files as they are, put into the program by the assembler: nothing has to be quoted, and nothing is run to
 * build it. CMake says where they are, and that this file depends on them. */
#include "annotate/page.h"

#define EMBED(symbol, file)                                                               \
    __asm__(".pushsection .rodata\n"                                                      \
            ".balign 16\n"                                                                \
            ".globl " #symbol "\n"                                                        \
            ".hidden " #symbol "\n" #symbol ":\n"                                         \
            ".incbin \"" MM_PAGE_FOLDER "/" file "\"\n"                                   \
            ".byte 0\n"                                                                   \
            ".popsection\n")

EMBED(mm_web_index, "index.html");
EMBED(mm_web_style, "style.css");
EMBED(mm_web_masks, "masks.js");
EMBED(mm_web_talk, "talk.js");
EMBED(mm_web_view, "view.js");
EMBED(mm_web_draw, "draw.js");
EMBED(mm_web_work, "work.js");
EMBED(mm_web_hands, "hands.js");
