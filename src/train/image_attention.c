#include "train/image_attention.h"

#include <string.h>

void mm_fold_forward(mm_learner *learner, const float *weight, float scale, size_t rows, size_t heads, size_t inner,
                     size_t channels, const float *x, float *vectors)
{
    const size_t dim = inner / heads;
    for (size_t h = 0; h < heads; h++)
        mm_multiply(learner, false, false, rows, channels, dim, scale, x + h * dim, inner, weight + h * dim * channels,
                    channels, 0, vectors + h * channels, heads * channels);
}

void mm_fold_back(mm_learner *learner, const float *weight, float *dweight, float scale, size_t rows, size_t heads,
                  size_t inner, size_t channels, const float *x, const float *dvectors, float *dx)
{
    const size_t dim = inner / heads;
    for (size_t h = 0; h < heads; h++) {
        mm_multiply(learner, true, false, dim, channels, rows, scale, x + h * dim, inner, dvectors + h * channels,
                    heads * channels, 1, dweight + h * dim * channels, channels);
        mm_multiply(learner, false, true, rows, dim, channels, scale, dvectors + h * channels, heads * channels,
                    weight + h * dim * channels, channels, 0, dx + h * dim, inner);
    }
}

void mm_unfold_forward(mm_learner *learner, const float *weight, size_t rows, size_t heads, size_t inner,
                       size_t channels, const float *vectors, float *y)
{
    const size_t dim = inner / heads;
    for (size_t h = 0; h < heads; h++)
        mm_multiply(learner, false, true, rows, dim, channels, 1, vectors + h * channels, heads * channels,
                    weight + h * dim * channels, channels, 0, y + h * dim, inner);
}

void mm_unfold_back(mm_learner *learner, const float *weight, float *dweight, size_t rows, size_t heads, size_t inner,
                    size_t channels, const float *vectors, const float *dy, float *dvectors)
{
    const size_t dim = inner / heads;
    for (size_t h = 0; h < heads; h++) {
        mm_multiply(learner, true, false, dim, channels, rows, 1, dy + h * dim, inner, vectors + h * channels,
                    heads * channels, 1, dweight + h * dim * channels, channels);
        mm_multiply(learner, false, false, rows, channels, dim, 1, dy + h * dim, inner, weight + h * dim * channels,
                    channels, 0, dvectors + h * channels, heads * channels);
    }
}

void mm_fold_out_forward(mm_learner *learner, const float *weight, size_t rows, size_t heads, size_t inner,
                         size_t channels, const float *x, float *vectors)
{
    const size_t dim = inner / heads;
    for (size_t h = 0; h < heads; h++)
        mm_multiply(learner, false, true, rows, channels, dim, 1, x + h * dim, inner, weight + h * dim, inner, 0,
                    vectors + h * channels, heads * channels);
}

void mm_fold_out_back(mm_learner *learner, const float *weight, float *dweight, size_t rows, size_t heads, size_t inner,
                      size_t channels, const float *x, const float *dvectors, float *dx)
{
    const size_t dim = inner / heads;
    for (size_t h = 0; h < heads; h++) {
        mm_multiply(learner, true, false, channels, dim, rows, 1, dvectors + h * channels, heads * channels,
                    x + h * dim, inner, 1, dweight + h * dim, inner);
        mm_multiply(learner, false, false, rows, dim, channels, 1, dvectors + h * channels, heads * channels,
                    weight + h * dim, inner, 0, dx + h * dim, inner);
    }
}

void mm_look_forward(mm_learner *learner, const mm_image_level *image, size_t vectors, const float *key_vectors,
                     float *weights, float *gathered)
{
    const size_t cells = image->cells, channels = image->channels;
    mm_multiply(learner, false, true, vectors, cells, channels, 1, key_vectors, channels, image->keys, channels, 0,
                weights, cells);
    learner->ops->softmax(weights, vectors, cells, cells);
    mm_multiply(learner, false, false, vectors, channels, cells, 1, weights, cells, image->values, channels, 0,
                gathered, channels);
}

void mm_look_back(mm_learner *learner, const mm_image_level *image, size_t vectors, const float *weights,
                  const float *dgathered, float *dscores, float *dkey_vectors)
{
    const size_t cells = image->cells, channels = image->channels;
    mm_multiply(learner, false, true, vectors, cells, channels, 1, dgathered, channels, image->values, channels, 0,
                dscores, cells);
    learner->gradient->softmax_back(weights, dscores, vectors, cells, cells);
    mm_multiply(learner, false, false, vectors, channels, cells, 1, dscores, cells, image->keys, channels, 0,
                dkey_vectors, channels);
}

void mm_update_forward(mm_learner *learner, const mm_image_level *before, const mm_update *update,
                       const mm_trained_norm *norm, const float *positions, mm_norm_state *state, float *values,
                       float *keys)
{
    const size_t cells = before->cells, channels = before->channels, vectors = update->tokens * update->heads;
    mm_multiply(learner, false, true, vectors, cells, channels, 1, update->query_vectors, channels, before->keys,
                channels, 0, update->weights, cells);
    learner->ops->softmax_tokens(update->weights, update->query_bias, update->tokens, update->heads, cells);
    mm_multiply(learner, true, false, cells, channels, vectors, 1, update->weights, cells, update->value_vectors,
                channels, 0, state->normal, channels);
    learner->gradient->norm(state->normal, before->values, update->out_bias, norm->weight, norm->bias, norm->eps,
                            state->normal, state->inverse, values, cells, channels);
    learner->ops->sum(values, positions, keys, cells * channels);
}

void mm_update_back(mm_learner *learner, const mm_image_level *before, const mm_update *update,
                    const mm_trained_norm *norm, const mm_norm_state *state, float *dimage, float *dscores,
                    float *dquery_vectors, float *dquery_bias, float *dvalue_vectors, float *dout_bias)
{
    const size_t cells = before->cells, channels = before->channels, vectors = update->tokens * update->heads;
    mm_norm_back(learner, norm, state, dimage, cells, dimage);
    learner->gradient->add_columns(dimage, dout_bias, cells, channels);
    mm_multiply(learner, false, true, vectors, cells, channels, 1, update->value_vectors, channels, dimage, channels, 0,
                dscores, cells);
    mm_multiply(learner, false, false, vectors, channels, cells, 1, update->weights, cells, dimage, channels, 0,
                dvalue_vectors, channels);
    learner->gradient->softmax_tokens_back(update->weights, dscores, update->tokens, update->heads, cells);
    mm_multiply(learner, false, false, vectors, channels, cells, 1, dscores, cells, before->keys, channels, 0,
                dquery_vectors, channels);
    learner->gradient->row_sums(dscores, dquery_bias, vectors, cells);
}
