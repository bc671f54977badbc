#include "train/adamw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/memory.h"

mm_status mm_adamw_new(float *parameters, size_t count, mm_adamw *optimiser, mm_error *err)
{
    *optimiser = (mm_adamw){.count = count, .parameters = parameters, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f};
    optimiser->mean = mm_floats(count);
    optimiser->square = mm_floats(count);
    if (!optimiser->mean || !optimiser->square) {
        mm_adamw_free(optimiser);
        return mm_fail_memory(err, "the optimiser's state");
    }
    memset(optimiser->mean, 0, count * sizeof *optimiser->mean);
    memset(optimiser->square, 0, count * sizeof *optimiser->square);
    return MM_OK;
}

void mm_adamw_free(mm_adamw *optimiser)
{
    free(optimiser->mean);
    free(optimiser->square);
    *optimiser = (mm_adamw){0};
}

void mm_adamw_step(mm_adamw *optimiser, const float *gradient, const float *decay, double learning_rate)
{
    optimiser->steps++;
    const float b1 = optimiser->beta1, b2 = optimiser->beta2, rate = (float)learning_rate;
    const float step = (float)(learning_rate / (1 - pow((double)b1, (double)optimiser->steps)));
    const float root = (float)sqrt(1 - pow((double)b2, (double)optimiser->steps));
    for (size_t i = 0; i < optimiser->count; i++) {
        const float g = gradient[i];
        float *m = &optimiser->mean[i], *v = &optimiser->square[i], *p = &optimiser->parameters[i];
        *p -= rate * decay[i] * *p;
        *m += (1 - b1) * (g - *m);
        *v = b2 * *v + (1 - b2) * g * g;
        *p -= step * *m / (sqrtf(*v) / root + optimiser->eps);
    }
}

double mm_clip_norm(float *gradient, size_t count, double most)
{
    double square = 0;
    for (size_t i = 0; i < count; i++)
        square += (double)gradient[i] * (double)gradient[i];
    const double norm = sqrt(square);
    if (norm > most) {
        const float factor = (float)(most / norm);
        for (size_t i = 0; i < count; i++)
            gradient[i] *= factor;
    }
    return norm;
}

double mm_cosine_rate(double peak, uint64_t step, uint64_t warm_up, uint64_t steps)
{
    const double pi = 3.14159265358979323846;
    if (step < warm_up)
        return peak * (double)(step + 1) / (double)warm_up;
    if (step >= steps)
        return 0;
    return peak * 0.5 * (1 + cos(pi * (double)(step - warm_up) / (double)(steps - warm_up)));
}
