/* The routes behind api.h, and what they share. */
#ifndef MM_ANNOTATE_API_ROUTE_H
#define MM_ANNOTATE_API_ROUTE_H

#include <jansson.h>

#include "annotate/api.h"

typedef struct mm_call {
    mm_api *api;
    const mm_web_request *request;
    uint32_t session; /* its number */
    json_t *json;     /* the body; NULL where there is none */
    uint64_t number;  /* at the end of the path, for routes that have one */
    double now;
    mm_web_reply *reply;
} mm_call;

typedef void mm_route(mm_call *call);
mm_route mm_route_page, mm_route_state, mm_route_photo, mm_route_next, mm_route_open, mm_route_beat, mm_route_leave,
    mm_route_prompt, mm_route_answer;

/* {"error": "..."} with this status. */
void mm_reply_error(mm_web_reply *reply, unsigned status, const char *format, ...) MM_PRINTF(3, 4);
/* The status that fits a failure: 400 for what the request got wrong, 503 for "later", 500 for what is ours. */
void mm_reply_failure(mm_web_reply *reply, const mm_error *err);
/* 200 with this JSON, which is taken over; NULL: memory is short. */
void mm_reply_json(mm_web_reply *reply, json_t *json);

/* The image that the body's "image" names, as its place in the source; false, with a reply, if there is none. */
bool mm_call_image(mm_call *call, uint64_t *index);
/* Lend it to this page, or lengthen; false, with a reply, if somebody else has it. */
bool mm_call_lease(mm_call *call, uint64_t index);
json_t *mm_progress_json(mm_api *api, double now);

#endif
