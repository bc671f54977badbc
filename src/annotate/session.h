/* What `annotate`, its export and `embed` open alike. */
#ifndef MM_ANNOTATE_SESSION_H
#define MM_ANNOTATE_SESSION_H

#include <limits.h>

#include "annotate/source.h"
#include "maskmill/annotate.h"

typedef struct mm_annotate_session {
    char model_path[PATH_MAX], answers_path[PATH_MAX];
    mm_source *source;
} mm_annotate_session;

/* The paths, and the source; cheap things first. `needs_model`: a model that cannot be found is a failure; without it
 * the reference's configuration stands in. Closed with mm_source_close. */
MM_RESULT_USED mm_status mm_annotate_open(const mm_annotate_source *what, bool needs_model,
                                          mm_annotate_session *session, mm_error *err);

#endif
