/* HTTP for api.h, by libmicrohttpd: one thread a connection, with limits on how many there are and how long each may
 * take. */
#ifndef MM_ANNOTATE_SERVER_H
#define MM_ANNOTATE_SERVER_H

#include "annotate/api.h"
#include "annotate/page.h"

typedef struct mm_server mm_server;

typedef struct mm_server_options {
    const char *address;    /* numeric, IPv4 or IPv6 */
    uint16_t port;          /* 0: the system chooses */
    unsigned connections;   /* at most */
    unsigned per_address;   /* of them, from one address; 0: all */
    double request_seconds; /* a request that has not come whole by then is cut off */
} mm_server_options;

/* Bind first, so that the port is known; then serve. MM_ERR_USAGE if the address is none or the port is taken. */
MM_RESULT_USED mm_status mm_server_bind(const mm_server_options *options, mm_server **server, uint16_t *port,
                                        mm_error *err);
/* `api` and `page` must outlive the server. */
MM_RESULT_USED mm_status mm_server_start(mm_server *server, mm_api *api, const mm_page *page, mm_error *err);
/* Waits for the requests under way. NULL is fine. */
void mm_server_stop(mm_server *server);

#endif
