/* Numbers as people read them. Each fills text[size] (MM_NUMBER_TEXT is enough), always terminates it; returns text. */
#ifndef MM_BASE_FORMAT_H
#define MM_BASE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum { MM_NUMBER_TEXT = 32 };

/* "5,512,345" */
const char *mm_format_count(char *text, size_t size, uint64_t count);
/* Five characters at most: "99999", "512k", "5.51M", "1.13G" */
const char *mm_format_short(char *text, size_t size, uint64_t count);
/* Three digits: "0.0713", "3.14", "1234"; "-" for what is no number or below 0 */
const char *mm_format_pace(char *text, size_t size, double per_second);
/* "75 µs", "420 ms", "4.2 s", "42 s", "3 min 20 s", "2 h 05 min", "3 d 04 h"; "-" for what is no number or below 0 */
const char *mm_format_duration(char *text, size_t size, double seconds);
/* The same for waiting times: whole seconds. */
const char *mm_format_wait(char *text, size_t size, double seconds);
/* "512 bytes", "1.50 KiB", "20.3 GiB" */
const char *mm_format_bytes(char *text, size_t size, uint64_t bytes);
/* Part of a whole: "37 %", "2.1 %", "0.013 %"; "0 %" of nothing */
const char *mm_format_percent(char *text, size_t size, uint64_t part, uint64_t whole);

#endif
