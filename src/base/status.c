/* base: errors as values. Everything else stands on this, and this stands on libc alone. */
#include "maskmill/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void one_line(char *text)
{
    for (char *c = text; *c; c++)
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' ';
}

mm_status mm_fail(mm_error *err, mm_status status, const char *format, ...)
{
    if (!err)
        return status;
    err->status = status;
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(err->text, sizeof err->text, format, arguments) < 0)
        err->text[0] = '\0';
    va_end(arguments);
    one_line(err->text);
    return status;
}

mm_status mm_fail_errno(mm_error *err, const char *format, ...)
{
    const int number = errno;
    const mm_status status = number == ENOMEM ? MM_ERR_NOMEM : MM_ERR_IO;
    if (!err)
        return status;
    err->status = status;
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    if (used < 0)
        used = 0;
    if ((size_t)used < sizeof err->text) {
        char reason[128];
        /* strerror_r of glibc may return a constant string instead of filling the buffer. */
        const char *text = strerror_r(number, reason, sizeof reason);
        (void)snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s", text);
    }
    one_line(err->text);
    return status;
}

mm_status mm_fail_memory(mm_error *err, const char *what)
{
    return mm_fail(err, MM_ERR_NOMEM, "out of memory for %s; use fewer ranks on this machine or smaller images", what);
}

mm_status mm_error_prefix(mm_error *err, const char *format, ...)
{
    if (!err)
        return MM_ERR_INTERNAL;
    char rest[MM_ERROR_TEXT];
    memcpy(rest, err->text, sizeof rest);
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    if (used < 0)
        used = 0;
    if ((size_t)used < sizeof err->text) {
        const size_t room = sizeof err->text - (size_t)used;
        /* Truncation at the end of an overlong line is all that can be done. */
        if (snprintf(err->text + used, room, ": %s", rest) < 0)
            err->text[used] = '\0';
    }
    one_line(err->text);
    return err->status;
}

const char *mm_status_name(mm_status status)
{
    static const char *const names[] = {"ok", "memory", "io", "format", "limit", "unsupported", "usage", "internal",
                                        "stopped"};
    const size_t count = sizeof names / sizeof names[0];
    return (size_t)status < count ? names[status] : "unknown";
}
