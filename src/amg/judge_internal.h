/* What the files of the judge share: one counts pixels, the other finds the box. */
#ifndef MM_AMG_JUDGE_INTERNAL_H
#define MM_AMG_JUDGE_INTERNAL_H

#include "amg/judge.h"
#include "amg/taps.h"

/* One axis of the mask. */
typedef struct mm_judge_axis {
    mm_taps *taps;    /* [size] */
    uint32_t size;    /* pixels */
    uint32_t samples; /* that they are made of, from the first on */
    uint32_t spread;  /* the most samples that a pixel has beyond its first */
    uint16_t *count;  /* [samples]: pixels whose first sample this is */
    uint32_t *first, *last; /* [L]: pixels that this sample is a part of; if of none, the next one's first and the last one's
                             * last */
} mm_judge_axis;

/* What the flags of all samples decide. */
typedef struct mm_judge_verdict {
    mm_low_window above, possible; /* samples above 0, and perhaps above the low threshold */
    float largest;                 /* absolute value, or infinity */
    bool stable;
} mm_judge_verdict;

typedef struct mm_judge_workspace mm_judge_workspace;

struct mm_judge {
    uint32_t low;
    mm_judge_axis x, y;
    void (*decide)(const mm_judge *judge, const float *logits, float offset, float min_stability,
                   const mm_judge_workspace *w, mm_judge_verdict *v);
};

/* What is said of samples, all bits or none: that they are above the high threshold for certain, or perhaps above the low one. */
typedef struct mm_judge_flags {
    uint16_t *high, *low;
} mm_judge_flags;

struct mm_judge_workspace {
    mm_judge_flags samples; /* [y.samples][L] */
    mm_judge_flags rows;    /* [L + MM_MAX_TAPS]: those of a class of rows together; what lies beyond changes nothing */
    mm_judge_flags sums;    /* [L]: rows of pixels of which it holds */
    float *line;   /* [L]: a row or column of pixels at the samples of the other axis; the greatest of each column */
    float *sizes;  /* [L]: the greatest absolute value of each column */
};

/* Of these samples nothing is computed that could overflow. */
#define MM_JUDGE_LARGEST 1e30f

/* Samples from `start` on are the first of all pixels that a window's samples are a part of. */
static inline uint32_t mm_judge_start_of(uint32_t start, const mm_judge_axis *a)
{
    return start > a->spread ? start - a->spread : 0;
}

static inline uint32_t mm_judge_end_of(uint32_t end, const mm_judge_axis *a)
{
    return a->samples - end > a->spread ? end + a->spread : a->samples;
}

mm_judge_workspace mm_judge_lay_out(const mm_judge *j, void *memory);

#endif
