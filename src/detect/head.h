/* The detector's network: a pyramid of four levels from one embedding ([ViTDet] section 3: no lateral connections, no
 * top-down path), then a small tower that all levels share ([FCOS] section 3.2), then six numbers a cell.
 *
 * Letters: D, S the embedding's width and side, C the head's width, T the tower's depth. Activations are channels-last;
 * the cells of all levels lie behind one another, [N][C] with N = (4 + 1 + 1/4 + 1/16) S^2, so that what is done cell
 * by cell is done once.
 *
 *     level 0   2S x 2S    transposed convolution 2x2, stride 2, of the embedding
 *     level 1    S x S     convolution 1x1 of the embedding
 *     level 2  S/2 x S/2   convolution 2x2, stride 2, of the embedding
 *     level 3  S/4 x S/4   convolution 2x2, stride 2, of level 2
 *     tower                T times convolution 3x3 with zero padding
 *     outputs              convolution 3x3: objectness, quality, and the box's left, top, right, bottom
 *
 * Every convolution but the last is followed by a LayerNorm over its channels and a ReLU, and has no bias of its own. A
 * box side's distance from the cell's centre is exp(scale[level] * output) strides of the level. */
#ifndef MM_DETECT_HEAD_H
#define MM_DETECT_HEAD_H

#include <stdbool.h>

#include "maskmill/detect.h"
#include "tensor/vector.h"

enum { MM_HEAD_LEVELS = 4, MM_HEAD_OUTPUTS = 6, MM_HEAD_MAX_DEPTH = 8 };
enum { MM_HEAD_MAX_TENSORS = 3 * (4 + MM_HEAD_MAX_DEPTH + 1) };

/* Columns of the outputs. */
enum { MM_HEAD_OBJECT = 0, MM_HEAD_QUALITY = 1, MM_HEAD_BOX = 2 };

#define MM_HEAD_NORM_EPS 1e-6f
/* exp() of more than this is a box of hundreds of strides, however wide: such outputs count as this. */
#define MM_HEAD_MAX_EXPONENT 6.0f

/* Where in the parameters a layer's tensors begin. */
typedef struct mm_head_layer {
    size_t weight;      /* [out][taps][in], taps row-major (transposed convolution: [taps][out][in]) */
    size_t gain, shift; /* [C] each, of its LayerNorm */
} mm_head_layer;

typedef struct mm_head_tensor {
    char name[32];
    uint32_t dims;
    uint64_t shape[4];
    size_t first, count; /* in the parameters */
    bool decays;         /* whether weight decay is for it */
} mm_head_tensor;

/* What follows from a shape: all parameters are one array of floats. */
typedef struct mm_head {
    mm_detector_shape shape;
    mm_head_layer level[MM_HEAD_LEVELS], tower[MM_HEAD_MAX_DEPTH];
    size_t out_weight, out_bias, scale; /* [6][9][C], [6], [4] */
    size_t parameters;
    mm_head_tensor tensors[MM_HEAD_MAX_TENSORS];
    size_t tensor_count;
    size_t side[MM_HEAD_LEVELS], first[MM_HEAD_LEVELS]; /* cells a side; the level's first cell */
    size_t cells;                                       /* N */
} mm_head;

/* MM_ERR_UNSUPPORTED for a shape beyond the limits (a multiple of 4 cells a side, at most 256; widths of 8 to 2048). */
MM_RESULT_USED mm_status mm_head_plan(const mm_detector_shape *shape, mm_head *head, mm_error *err);

/* Strides of the levels in pixels of the model's input. */
double mm_head_stride(const mm_head *head, size_t level, uint32_t image_size);

/* One image's activations. */
typedef struct mm_head_state {
    float *memory;
    const float *embedding;  /* [S*S][D], as given */
    /* Before and after the norm of the pyramid (0) and of the tower's layers (1 .. T): [N][C]. Without `keep` before
     * and after are the same memory, and only the last is whole in the end. */
    float *before[MM_HEAD_MAX_DEPTH + 1], *after[MM_HEAD_MAX_DEPTH + 1];
    float *outputs; /* [N][6] */
    float *patches; /* what is gathered for a product: mm_head_patches floats */
    float *wide;    /* [S*S][4C]: level 0 before its cells are laid out */
} mm_head_state;

/* `keep`: hold on to what a backward pass needs. */
MM_RESULT_USED mm_status mm_head_state_new(const mm_head *head, bool keep, mm_head_state *state, mm_error *err);
void mm_head_state_free(mm_head_state *state);

/* embedding[S*S][D] to state->outputs. */
MM_RESULT_USED mm_status mm_head_forward(const mm_head *head, const float *parameters, const mm_kernels *kernels,
                                         const float *embedding, mm_head_state *state, mm_error *err);

/* How convolutions become products, for both passes. Neighbourhoods of 3x3 cells of rows y0 .. y0 + rows - 1 of a grid
 * x[side][side][channels], zeros outside: patches[rows * side][9 * channels]. */
void mm_head_gather3x3(const float *x, size_t side, size_t channels, size_t y0, size_t rows, float *patches);
/* Squares of 2x2 cells: patches[(side/2)^2][4 * channels]. */
void mm_head_gather2x2(const float *x, size_t side, size_t channels, float *patches);
/* Rows of a grid that are gathered at once, so that the patches stay in the cache. */
size_t mm_head_rows_at_once(size_t side);

#endif
