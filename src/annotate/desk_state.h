/* What the desk is made of, for its three files: desk.c has the images, desk_work.c the workers, desk_click.c what a
 * worker does with a click. */
#ifndef MM_ANNOTATE_DESK_STATE_H
#define MM_ANNOTATE_DESK_STATE_H

#include <pthread.h>

#include "annotate/desk.h"
#include "annotate/guard.h"

/* In this order. */
typedef enum mm_desk_stage {
    MM_DESK_FREE = 0, /* no image */
    MM_DESK_WAITING,  /* for a worker */
    MM_DESK_LOADING,  /* a worker brings it */
    MM_DESK_SHOWN,    /* picture and masks are there; the worker makes the embedding */
    MM_DESK_READY,
    MM_DESK_FAILED /* `why` says why; if picture and masks are there, they can be used */
} mm_desk_stage;

enum { MM_DESK_KEPT = 8 }; /* results of an image whose logits are kept */

typedef struct mm_kept_result {
    uint64_t number; /* 0: none */
    float *logits;   /* [masks][L][L], in the order of the answer */
    size_t masks;
} mm_kept_result;

struct mm_desk_image {
    uint64_t index;
    mm_desk_stage stage;
    bool urgent;      /* somebody waits for it */
    bool clicked;     /* a worker answers a click on it */
    bool has_picture;
    unsigned users;
    uint64_t used;    /* when, in takes of the desk */
    mm_error why;
    uint32_t width, height;
    uint8_t *jpeg;
    size_t jpeg_size;
    mm_shown_item *items;
    size_t item_count;
    float *cells; /* [S][S][D] */
    mm_kept_result kept[MM_DESK_KEPT];
    size_t next_kept;
};

/* An embedding with the decoder's memory, and the image that it holds. */
typedef struct mm_hot {
    mm_embedding *embedding; /* made when first needed */
    const mm_desk_image *image;
    uint64_t index; /* of the image, which may have left its place since */
    bool busy;
    uint64_t used;
} mm_hot;

typedef struct mm_click_job {
    struct mm_click_job *next;
    mm_desk_image *image;
    const mm_click *click;
    mm_click_result *result;
    mm_status status;
    mm_error err;
    bool taken, done; /* by a worker */
} mm_click_job;

struct mm_desk {
    mm_desk_options options;
    mm_embeddings *cache; /* used under the source's lock; or NULL */
    pthread_mutex_t mutex; /* over all that follows, and over images but for what a worker fills in */
    pthread_cond_t work, news; /* for workers; for those who wait for something of an image */
    bool stop;
    mm_desk_image *images; /* [options.images] */
    mm_hot *hot;           /* [options.hot] */
    uint64_t clock, numbers; /* takes so far; the last result's number */
    unsigned loading;      /* workers that bring images */
    mm_click_job *first, *last;
    pthread_t *threads; /* [started] */
    uint32_t started;
};

void mm_desk_lock(mm_desk *desk);
void mm_desk_unlock(mm_desk *desk);
void *mm_desk_work(void *desk); /* a worker's thread */

/* By a worker, without the mutex: answer the job with `hot`, which is the worker's; `prepared`: it holds the image. */
MM_RESULT_USED mm_status mm_desk_answer(mm_desk *desk, mm_click_job *job, mm_hot *hot, bool prepared, mm_error *err);
void mm_desk_forget_results(mm_desk_image *image);

#endif
