/* Who is let in: the token of the printed URL, the names that the server goes by, and how often one may ask. */
#ifndef MM_ANNOTATE_GUARD_H
#define MM_ANNOTATE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maskmill/status.h"

enum { MM_TOKEN = 32 }; /* hex digits: 128 random bits */

/* The token kept at `path` (only its owner may read it), or a new one that is kept there, so that pages find their way
 * back to a server that was started again. MM_ERR_FORMAT if something else is in the file. */
MM_RESULT_USED mm_status mm_token_keep(const char *path, char token[MM_TOKEN + 1], mm_error *err);
/* In a time that does not depend on where they differ. `given` may be NULL. */
bool mm_token_equal(const char token[MM_TOKEN + 1], const char *given);
/* 16 random bytes as hex digits. */
MM_RESULT_USED mm_status mm_random_hex(char hex[33], mm_error *err);

/* The names in Host and Origin that are ours: loopback's and the bound address with the port, and that of a proxy. A
 * page of another site that has its name point to this machine (DNS rebinding) sends its own name. */
typedef struct mm_own_names {
    char host[4][280]; /* "127.0.0.1:8470", ... */
    size_t count;
    char origin[300];  /* of a proxy, "https://masks.example.org"; or empty */
} mm_own_names;

/* `address` as it was bound ("::1" without brackets); `origin` may be NULL. MM_ERR_USAGE for an origin that is none. */
MM_RESULT_USED mm_status mm_own_names_make(const char *address, uint16_t port, const char *origin, mm_own_names *names,
                                           mm_error *err);
bool mm_own_host(const mm_own_names *names, const char *host);     /* NULL: false */
bool mm_own_origin(const mm_own_names *names, const char *origin); /* NULL, that is none given: true */

/* A bucket that fills by `rate` tokens a second up to `burst`; a request takes one. */
typedef struct mm_bucket {
    double tokens, since;
} mm_bucket;

void mm_bucket_fill(mm_bucket *bucket, double burst, double now);
bool mm_bucket_take(mm_bucket *bucket, double rate, double burst, double now);

#endif
