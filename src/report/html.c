/* report: one page of HTML about a dataset. This file: what is safe to write into it. */
#include "report/html.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "report/page.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

static uint32_t code_of(const uint8_t *c, size_t length)
{
    switch (length) {
    case 1:
        return c[0];
    case 2:
        return (uint32_t)(c[0] & 0x1f) << 6 | (c[1] & 0x3f);
    case 3:
        return (uint32_t)(c[0] & 0x0f) << 12 | (uint32_t)(c[1] & 0x3f) << 6 | (c[2] & 0x3f);
    default:
        return (uint32_t)(c[0] & 0x07) << 18 | (uint32_t)(c[1] & 0x3f) << 12 | (uint32_t)(c[2] & 0x3f) << 6 |
               (c[3] & 0x3f);
    }
}

/* Controls but for tab and newline; marks that change direction, with which names can be made to read otherwise than
 * they are; and codes that are no characters. */
static bool is_refused(uint32_t code)
{
    return (code < 0x20 && code != '\t' && code != '\n') || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
           code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
}

/* Writes the character at `text` and returns how many bytes it has. */
static size_t put_character(FILE *out, const uint8_t *text, size_t size)
{
    static const struct {
        char character;
        const char *entity;
    } escaped[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    for (size_t i = 0; i < sizeof escaped / sizeof escaped[0]; i++)
        if (*text == (uint8_t)escaped[i].character) {
            (void)fputs(escaped[i].entity, out);
            return 1;
        }
    const size_t length = mm_utf8_length(text, size);
    if (length == 0 || is_refused(code_of(text, length)))
        (void)fputs(replacement, out);
    else
        (void)fwrite(text, 1, length, out);
    return length ? length : 1;
}

static size_t step(const uint8_t *text, size_t size)
{
    const size_t length = mm_utf8_length(text, size);
    return length ? length : 1;
}

static void put(FILE *out, const uint8_t *text, size_t from, size_t to)
{
    for (size_t i = from; i < to;)
        i += put_character(out, text + i, to - i);
}

void mm_html_text(FILE *out, const char *text)
{
    put(out, (const uint8_t *)text, 0, strlen(text));
}

void mm_html_text_short(FILE *out, const char *text, size_t most)
{
    const uint8_t *bytes = (const uint8_t *)text;
    const size_t size = strlen(text);
    size_t characters = 0;
    for (size_t i = 0; i < size; i += step(bytes + i, size - i))
        characters++;
    if (characters <= most || most < 3) {
        put(out, bytes, 0, size);
        return;
    }
    const size_t head = (most - 1) / 2, tail = characters - (most - 1 - head);
    size_t at = 0, head_end = 0, tail_start = 0;
    for (size_t i = 0; i < tail; i++) {
        if (i == head)
            head_end = at;
        at += step(bytes + at, size - at);
    }
    tail_start = at;
    put(out, bytes, 0, head_end);
    (void)fputs("\xe2\x80\xa6", out); /* … */
    put(out, bytes, tail_start, size);
}

void mm_html_base64(FILE *out, const void *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = bytes;
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                               (left > 2 ? in[i + 2] : 0);
        const char text[4] = {digits[group >> 18], digits[group >> 12 & 63], left > 1 ? digits[group >> 6 & 63] : '=',
                              left > 2 ? digits[group & 63] : '='};
        (void)fwrite(text, 1, sizeof text, out);
    }
}

/* The policy allows nothing but the page's own styles and pictures inside it: even if a name got through as markup,
 * nothing would be run or fetched. */
void mm_html_head(FILE *out, const char *name, const char *kind)
{
    (void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
                "img-src "
                "data:\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" "
                "content=\"maskmill " MM_VERSION "\">\n"
                "<link rel=\"icon\" href=\"data:,\">\n<title>", out);
    mm_html_text(out, name);
    (void)fprintf(out, " \xe2\x80\x93 %s</title>\n<style>\n", kind);
    (void)fputs(mm_page_style, out);
    (void)fputs("</style>\n</head>\n<body>\n<div class=\"page\">\n", out);
}
