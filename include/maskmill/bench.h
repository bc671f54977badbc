/* Speed of one image on this machine: seconds by stage, rates, and memory, as `maskmill bench` prints them.
 *
 * Everything happens in this process, on the threads of its kernels: reading and decoding the JPEG, all of
 * mm_amg_generate, and with detect.enabled the confident masks, run after run. Opening files of weights is not timed. docs/performance.md says how to read it. */
#ifndef MASKMILL_BENCH_H
#define MASKMILL_BENCH_H

#include <stdio.h>

#include "maskmill/engine.h"

typedef struct mm_bench_options {
    const char *image;         /* a JPEG; NULL: a picture drawn in memory, 1800 x 1200, the same everywhere */
    const char *config_path;   /* -c, or NULL for the preset that suits the model */
    const char *const *sets;   /* --set */
    size_t set_count;
    const char *model;         /* -m: a path or a name; NULL for "default" */
    const char *model_config;  /* --model-config, or NULL */
    mm_kernels kernels;
    uint32_t runs;             /* that count, after one that does not; at least 1 */
    double keep;               /* share of the prompts that shall keep a mask, up to 1; 0: pred_iou_thresh as configured */
} mm_bench_options;

typedef enum mm_bench_stage {
    MM_BENCH_READ = 0, /* the file, JPEG to RGB; 0 for the drawn picture */
    MM_BENCH_RESIZE,   /* to the frame, and to the model's input */
    MM_BENCH_ENCODE,
    MM_BENCH_PREPARE,  /* the decoder's image side */
    MM_BENCH_PROMPTS,  /* up to their predicted IoU */
    MM_BENCH_UPSCALE,  /* low-res logits of the masks above pred_iou_thresh */
    MM_BENCH_MASKS,    /* logits to RLE */
    MM_BENCH_FILTER,   /* edges, NMS, small regions */
    MM_BENCH_DETECT,   /* detector, box prompts and confident masks; 0 without detect.enabled */
    MM_BENCH_OTHER,    /* the whole without all of the above */
    MM_BENCH_TOTAL,    /* the whole image */
    MM_BENCH_HEAD,     /* no stage of its own: of MM_BENCH_DETECT, the network and its boxes */
    MM_BENCH_STAGES
} mm_bench_stage;

typedef struct mm_spread {
    double median, min, max;
} mm_spread;

/* Of the encoder, of the decoder, and of its two parts alone. */
typedef struct mm_bench_rates {
    double encode, decode, prompts, upscale;
} mm_bench_rates;

typedef struct mm_bench {
    char model[64];         /* the architecture's name */
    char kernels_text[128]; /* mm_kernels_describe */
    mm_kernels kernels;     /* resolved */
    bool drawn;
    uint32_t width, height; /* of the image */
    uint32_t runs;
    float pred_iou_thresh;
    uint64_t crops, prompts;
    uint64_t prompts_kept;  /* those with a mask above pred_iou_thresh */
    uint64_t masks_scanned; /* masks above pred_iou_thresh */
    uint64_t masks;         /* in the end */
    bool detects;           /* detect.enabled */
    uint64_t boxes;         /* that became prompts */
    uint64_t confident;     /* masks of them that are confident */
    mm_spread seconds[MM_BENCH_STAGES]; /* over the runs */
    double peak_gflops;     /* mm_kernels_peak */
    mm_bench_rates gflops;  /* of the work that work.h counts, by the median seconds; 0 where no time was spent */
    double images_per_second;  /* 1 / total */
    double prompts_per_second; /* by the decoder's time: prompts / (prompts + upscale) */
    double masks_per_second;   /* masks / total */
    /* Of the process after the runs, in bytes: the most it ever had in memory, mapped files included; what it has for itself;
     * and how much of files it has mapped there, which processes on one machine share (the checkpoint, libraries). 0 if the
     * system does not tell. */
    uint64_t peak_bytes, own_bytes, mapped_bytes;
} mm_bench;

/* Measure. Errors are those of the config, the image and the model. */
MM_RESULT_USED mm_status mm_bench_run(const mm_bench_options *options, mm_bench *bench, mm_error *err);

/* For people: a page of text. For programs: one JSON object, whose keys docs/performance.md lists. */
MM_RESULT_USED mm_status mm_bench_print_text(const mm_bench *bench, FILE *out, mm_error *err);
MM_RESULT_USED mm_status mm_bench_print_json(const mm_bench *bench, FILE *out, mm_error *err);

#endif
