#include "base/format.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Lengths are not looked at: what does not fit is cut, and MM_NUMBER_TEXT fits all. */

const char *mm_format_count(char *text, size_t size, uint64_t count)
{
    char digits[MM_NUMBER_TEXT], spaced[MM_NUMBER_TEXT];
    const int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
    size_t used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            spaced[used++] = ',';
        spaced[used++] = digits[i];
    }
    spaced[used] = '\0';
    (void)snprintf(text, size, "%s", spaced);
    return text;
}

/* value, below 1000, with three digits; never rounded up to a fourth one. */
static int print_three(char *text, size_t size, double value, const char *unit)
{
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return snprintf(text, size, "%.*f%s", decimals, value, unit);
}

enum { UNITS = 6 };

/* count in the unit that leaves it below 1000; units[0] is `step`, each further one `step` times the one before. */
static const char *print_scaled(char *text, size_t size, uint64_t count, double step, const char *const units[UNITS])
{
    double value = (double)count / step;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < UNITS) {
        value /= step;
        unit++;
    }
    (void)print_three(text, size, value, units[unit]);
    return text;
}

const char *mm_format_short(char *text, size_t size, uint64_t count)
{
    static const char *const units[UNITS] = {"k", "M", "G", "T", "P", "E"};
    if (count >= 100000)
        return print_scaled(text, size, count, 1000, units);
    (void)snprintf(text, size, "%" PRIu64, count);
    return text;
}

const char *mm_format_pace(char *text, size_t size, double per_second)
{
    if (!(per_second >= 0) || isinf(per_second))
        (void)snprintf(text, size, "-");
    else if (per_second >= 999.5)
        (void)snprintf(text, size, "%.0f", per_second < 1e15 ? per_second : 1e15);
    else if (per_second > 0 && per_second < 1e-4)
        (void)snprintf(text, size, "%.2e", per_second);
    else
        (void)snprintf(text, size, "%.3g", per_second);
    return text;
}

static const char *print_duration(char *text, size_t size, double seconds, double fractions_below)
{
    if (!(seconds >= 0)) {
        (void)snprintf(text, size, "-");
        return text;
    }
    const uint64_t s = seconds < 1e12 ? (uint64_t)(seconds + 0.5) : UINT64_C(1000000000000);
    if (seconds > 0 && seconds < 0.9995e-3 && fractions_below > 0)
        (void)snprintf(text, size, "%.3g \xc2\xb5s", fmax(seconds, 1e-9) * 1e6);
    else if (seconds > 0 && seconds < 0.9995 && fractions_below > 0)
        (void)snprintf(text, size, "%.3g ms", seconds * 1e3);
    else if (seconds < fractions_below && seconds != floor(seconds))
        (void)snprintf(text, size, "%.2g s", seconds);
    else if (s < 60)
        (void)snprintf(text, size, "%" PRIu64 " s", s);
    else if (s < 3600)
        (void)snprintf(text, size, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
    else if (s < 48 * 3600)
        (void)snprintf(text, size, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s % 3600 / 60);
    else
        (void)snprintf(text, size, "%" PRIu64 " d %02" PRIu64 " h", s / 86400, s % 86400 / 3600);
    return text;
}

const char *mm_format_duration(char *text, size_t size, double seconds)
{
    return print_duration(text, size, seconds, 9.95);
}

const char *mm_format_wait(char *text, size_t size, double seconds)
{
    return print_duration(text, size, seconds, 0);
}

const char *mm_format_bytes(char *text, size_t size, uint64_t bytes)
{
    static const char *const units[UNITS] = {" KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    if (bytes >= 1024)
        return print_scaled(text, size, bytes, 1024, units);
    (void)snprintf(text, size, "%" PRIu64 " bytes", bytes);
    return text;
}

const char *mm_format_percent(char *text, size_t size, uint64_t part, uint64_t whole)
{
    const double percent = whole ? 100.0 * (double)part / (double)whole : 0;
    if (percent == 0)
        (void)snprintf(text, size, "0 %%");
    else if (percent >= 99.95 && part < whole)
        (void)snprintf(text, size, ">99.9 %%"); /* all but a few is not all */
    else if (percent >= 9.95)
        (void)snprintf(text, size, percent == floor(percent) ? "%.0f %%" : "%.1f %%", percent);
    else if (percent >= 0.001)
        (void)snprintf(text, size, "%.2g %%", percent);
    else
        (void)snprintf(text, size, "<0.001 %%");
    return text;
}
