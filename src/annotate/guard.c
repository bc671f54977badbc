#include "annotate/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

/* --- the token --- */

mm_status mm_random_hex(char hex[33], mm_error *err)
{
    uint8_t bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return mm_fail_errno(err, "random numbers");
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return MM_OK;
}

static bool is_token(const char *text)
{
    return strlen(text) == MM_TOKEN && strspn(text, "0123456789abcdef") == MM_TOKEN;
}

/* A token that others could have put there, or could read, is no secret: whoever may write to the folder would have the
 * key beforehand. */
static mm_status read_token(const char *path, char token[MM_TOKEN + 1], mm_error *err)
{
    char text[MM_TOKEN + 3] = {0};
    struct stat about;
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return mm_fail_errno(err, "%s", path);
    mm_status status = MM_OK;
    if (fstat(fd, &about) != 0)
        status = mm_fail_errno(err, "%s", path);
    else if (!S_ISREG(about.st_mode) || about.st_uid != geteuid() || (about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        status = mm_fail(err, MM_ERR_FORMAT, "%s: others may read or write this token; remove it, and a new one is made", path);
    else if (read(fd, text, sizeof text - 1) < 0)
        status = mm_fail_errno(err, "%s", path);
    (void)close(fd); /* only read */
    if (status != MM_OK)
        return status;
    text[strcspn(text, "\n")] = '\0';
    if (!is_token(text))
        return mm_fail(err, MM_ERR_FORMAT, "%s: holds no token of maskmill; remove it, and a new one is made", path);
    memcpy(token, text, MM_TOKEN + 1);
    return MM_OK;
}

mm_status mm_token_keep(const char *path, char token[MM_TOKEN + 1], mm_error *err)
{
    char line[MM_TOKEN + 2];
    if (mm_file_exists(path))
        return read_token(path, token, err);
    const mm_status status = mm_random_hex(token, err);
    if (status != MM_OK)
        return status;
    (void)snprintf(line, sizeof line, "%s\n", token);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return mm_fail_errno(err, "%s", path);
    const ssize_t wrote = write(fd, line, sizeof line - 1);
    const bool closed = close(fd) == 0;
    if (wrote != (ssize_t)sizeof line - 1 || !closed) {
        const mm_status failed = mm_fail_errno(err, "%s", path);
        (void)unlink(path);
        return failed;
    }
    return MM_OK;
}

bool mm_token_equal(const char token[MM_TOKEN + 1], const char *given)
{
    if (!given || strlen(given) != MM_TOKEN)
        return false; /* how long a token is is no secret */
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < MM_TOKEN; i++)
        difference |= (uint8_t)token[i] ^ (uint8_t)given[i];
    return difference == 0;
}

/* --- names --- */

static bool is_origin(const char *text)
{
    const size_t scheme = strncmp(text, "https://", 8) == 0 ? 8 : strncmp(text, "http://", 7) == 0 ? 7 : 0;
    const char *host = text + scheme;
    return scheme > 0 && *host && strlen(text) < sizeof((mm_own_names *)0)->origin &&
           strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") == strlen(host);
}

mm_status mm_own_names_make(const char *address, uint16_t port, const char *origin, mm_own_names *names, mm_error *err)
{
    const char *const local[] = {"127.0.0.1", "localhost", "[::1]"};
    *names = (mm_own_names){0};
    for (size_t i = 0; i < 3; i++)
        (void)snprintf(names->host[names->count++], sizeof names->host[0], "%s:%u", local[i], (unsigned)port);
    (void)snprintf(names->host[names->count++], sizeof names->host[0],
                   strchr(address, ':') ? "[%.250s]:%u" : "%.250s:%u", address, (unsigned)port);
    if (!origin)
        return MM_OK;
    if (!is_origin(origin))
        return mm_fail(err, MM_ERR_USAGE, "--origin %.80s: give what browsers show before the path, such as "
                       "https://masks.example.org", origin);
    memcpy(names->origin, origin, strlen(origin) + 1);
    return MM_OK;
}

bool mm_own_host(const mm_own_names *names, const char *host)
{
    for (size_t i = 0; host && i < names->count; i++)
        if (strcasecmp(host, names->host[i]) == 0)
            return true;
    const char *proxy = strstr(names->origin, "://");
    return host && proxy && strcasecmp(host, proxy + 3) == 0;
}

bool mm_own_origin(const mm_own_names *names, const char *origin)
{
    if (!origin)
        return true;
    if (names->origin[0] && strcmp(origin, names->origin) == 0)
        return true;
    if (strncmp(origin, "http://", 7) != 0)
        return false;
    for (size_t i = 0; i < names->count; i++)
        if (strcasecmp(origin + 7, names->host[i]) == 0)
            return true;
    return false;
}

/* --- rates --- */

void mm_bucket_fill(mm_bucket *bucket, double burst, double now)
{
    *bucket = (mm_bucket){burst, now};
}

bool mm_bucket_take(mm_bucket *bucket, double rate, double burst, double now)
{
    const double passed = now > bucket->since ? now - bucket->since : 0;
    const double tokens = bucket->tokens + passed * rate;
    bucket->tokens = tokens < burst ? tokens : burst;
    bucket->since = now;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}
