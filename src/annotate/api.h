/* What the server answers, apart from how bytes travel: requests as values, replies as values. docs/annotate.md lists
 * the routes. No part of a request is ever taken for a path of a file; images are named by their numbers. */
#ifndef MM_ANNOTATE_API_H
#define MM_ANNOTATE_API_H

#include <pthread.h>

#include "annotate/desk.h"
#include "annotate/lease.h"

/* Texts may be NULL: not given. */
typedef struct mm_web_request {
    const char *method, *path;  /* path without the query */
    const char *query_token;    /* ?token=, for the page itself */
    const char *token, *session; /* X-Maskmill-Token, X-Maskmill-Session */
    const char *host, *origin, *fetch_site, *content_type, *content_length, *transfer_encoding;
    const char *body; /* [body_size] */
    size_t body_size;
} mm_web_request;

typedef struct mm_web_reply {
    unsigned status;
    const char *type; /* Content-Type */
    char *body;       /* [size]; freed with free */
    size_t size;
    unsigned retry_after; /* seconds; 0: not said */
    bool is_page;         /* its policy goes with it */
} mm_web_reply;

enum { MM_BODY_MOST = 8 << 20, MM_BODY_USUAL = 64 << 10 };

typedef struct mm_api {
    mm_source *source;
    mm_desk *desk;
    mm_book *book;
    mm_leases *leases;
    pthread_mutex_t lease_mutex, book_mutex; /* never held together */
    char token[MM_TOKEN + 1];
    mm_own_names names;
    double rate;       /* requests a second of a page; 0: any */
    mm_bucket strangers; /* of requests without our token */
    double lease_seconds;
    const char *source_name, *model_name;
    bool quiet;
} mm_api;

/* Before the body is read: false, with the refusal in *reply, unless the request is one of ours, well-formed so far,
 * and in time. *most is how long its body may be. Takes one token of the page's bucket. */
bool mm_api_admit(mm_api *api, const mm_web_request *request, double now, size_t *most, mm_web_reply *reply);
/* With its body. Whatever comes, there is a reply. */
void mm_api_answer(mm_api *api, const mm_web_request *request, double now, mm_web_reply *reply);
void mm_web_reply_free(mm_web_reply *reply);

#endif
