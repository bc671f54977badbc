/* What the files of the judge share: one counts pixels, one finds the box, one keeps logits. */
#ifndef MM_AMG_JUDGE_INTERNAL_H
#define MM_AMG_JUDGE_INTERNAL_H

#include "amg/cells.h"
#include "amg/judge.h"

/* One axis of the mask. A pixel is near if its last sample lies less than `spread` behind its first, else far. */
typedef struct mm_judge_axis {
    mm_taps *taps;          /* [size] */
    uint32_t size;          /* pixels */
    uint32_t samples;       /* that they are made of, from the first on */
    uint32_t spread;        /* the most samples that a pixel has beyond its first */
    uint16_t *near, *far;   /* [samples]: pixels whose first sample this is */
    uint32_t *first, *last; /* [L]: pixels that this sample is a part of; if of none, the next one's first and the last one's
                             * last */
} mm_judge_axis;

typedef struct mm_judge_workspace mm_judge_workspace;

typedef mm_judge_verdict mm_judge_decide(const mm_judge *judge, float min_stability, const mm_judge_workspace *w,
                                         mm_low_window *above, mm_low_window *possible);
typedef size_t mm_judge_code_rows(const mm_judge *judge, const mm_low_window *window, const mm_judge_workspace *w);

struct mm_judge {
    uint32_t low;
    mm_judge_axis x, y;
    const mm_column_loops *loops;
    mm_judge_decide *decide;
    mm_judge_code_rows *code;
};

/* Pixels are counted by classes, those with the same first samples that are near or far alike. */
enum { MM_JUDGE_SOME_NEAR, MM_JUDGE_SOME_FAR, MM_JUDGE_NOT_NEAR, MM_JUDGE_NOT_FAR, MM_JUDGE_SUMS };

struct mm_judge_workspace {
    uint8_t *states;               /* [y.samples][L]: of samples, as column.h has them */
    uint8_t *row, *merged;         /* [margin, L and margin]: of some rows together; nothing of the margins is above or not */
    uint8_t *codes;                /* [y.samples][octets]: what is kept of a mask, mm_judge_code */
    uint16_t *sums[MM_JUDGE_SUMS]; /* [L]: rows of pixels of which it holds */
    float *line;                   /* [L]: a row or column of pixels at the samples of the other axis */
};

/* What is kept of eight samples beside each other: where all pixels that they are part of are decided, on which side they are. */
typedef enum mm_judge_code { MM_CODE_NOTHING, MM_CODE_ABOVE = MM_SOME_ABOVE_LOW, MM_CODE_KEPT } mm_judge_code;

/* From samples with larger ones nothing is computed, since that could overflow. */
#define MM_JUDGE_LARGEST 1e30f

/* The loops over all samples are compiled for each instruction set: `type *find(isa)`, which the CPU must have, gives the one of
 * name_inline's, a MM_JUDGE_INLINE with these parameters. */
#define MM_JUDGE_INLINE static inline __attribute__((always_inline))
#define MM_JUDGE_VARIANT(target, result, name, variant, parameters, arguments)                                        \
    target static result name##_##variant parameters                                                                  \
    {                                                                                                                 \
        return name##_inline arguments;                                                                               \
    }
#ifdef __x86_64__
#define MM_JUDGE_VARIANTS(type, find, result, name, parameters, arguments)                                            \
    MM_JUDGE_VARIANT(, result, name, portable, parameters, arguments)                                                 \
    MM_JUDGE_VARIANT(__attribute__((target("avx2"))), result, name, avx2, parameters, arguments)                      \
    MM_JUDGE_VARIANT(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), result, name, avx512, parameters, \
                     arguments)                                                                                       \
    type *find(mm_isa isa)                                                                                            \
    {                                                                                                                 \
        return isa == MM_ISA_AVX512 ? name##_avx512 : isa == MM_ISA_AVX2 ? name##_avx2 : name##_portable;             \
    }
#else
#define MM_JUDGE_VARIANTS(type, find, result, name, parameters, arguments)                                            \
    MM_JUDGE_VARIANT(, result, name, portable, parameters, arguments)                                                 \
    type *find(mm_isa isa)                                                                                            \
    {                                                                                                                 \
        (void)isa;                                                                                                    \
        return name##_portable;                                                                                       \
    }
#endif

/* Samples from `start` on are the first of all pixels that a window's samples are a part of. */
static inline uint32_t mm_judge_start_of(uint32_t start, const mm_judge_axis *a)
{
    return start > a->spread ? start - a->spread : 0;
}

static inline uint32_t mm_judge_end_of(uint32_t end, const mm_judge_axis *a)
{
    return a->samples - end > a->spread ? end + a->spread : a->samples;
}

static inline uint32_t mm_judge_octets(const mm_judge *j)
{
    return (j->low - 1) / MM_OCTET + 1;
}

mm_judge_workspace mm_judge_lay_out(const mm_judge *j, void *memory);
mm_judge_decide *mm_judge_decide_for(mm_isa isa);
mm_judge_code_rows *mm_judge_code_for(mm_isa isa);

#endif
