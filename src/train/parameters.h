/* What is trained, as one vector of floats: the mask decoder's and the prompt encoder's tensors, end to end. Gradients,
 * an optimiser's moments and averages are vectors of the same layout, so that most of training need not know what a
 * number belongs to.
 *
 * The positional matrix is not in it: it is fixed [SAM appendix A]. Convolutions of 2x2 with stride 2 stand as the
 * products they are computed by: a transposed one, [in][out][2][2] in files, as [2][2][out][in]; one of the mask input,
 * [out][in][2][2], as [out][2][2][in]. Both reorderings are told by the name. */
#ifndef MM_TRAIN_PARAMETERS_H
#define MM_TRAIN_PARAMETERS_H

#include <stdbool.h>

#include "maskmill/checkpoint.h"

typedef struct mm_parameter {
    char *name;
    uint32_t dims;
    uint64_t shape[MM_MAX_DIMS]; /* in files */
    size_t offset, elements;
} mm_parameter;

typedef struct mm_parameters {
    mm_parameter *list;
    size_t count;
    size_t floats; /* of all */
} mm_parameters;

/* Those of an architecture's decoder side. */
MM_RESULT_USED mm_status mm_parameters_make(const mm_arch *arch, mm_parameters *parameters, mm_error *err);
void mm_parameters_free(mm_parameters *parameters);

/* The parameter with that name (printf's), or NULL. */
const mm_parameter *mm_parameters_find(const mm_parameters *parameters, const char *format, ...) MM_PRINTF(2, 3);

/* values[floats] from a checkpoint of that architecture. */
MM_RESULT_USED mm_status mm_parameters_read(const mm_parameters *parameters, const mm_checkpoint *checkpoint,
                                            float *values, mm_error *err);
/* One parameter of values[floats] in the file's order, to out[elements]. */
void mm_parameter_to_file(const mm_parameter *parameter, const float *values, float *out);
/* And back. */
void mm_parameter_from_file(const mm_parameter *parameter, const float *in, float *values);

/* Matrices decay; biases, norms and embeddings do not: decay[floats] becomes 1 or 0. */
void mm_parameters_decay(const mm_parameters *parameters, float *decay);

#endif
