#include "train/detector_loss.h"

#include <math.h>
#include <string.h>

#include "train/targets.h"

static const double focal_alpha = 0.25, box_weight = 2.0, quality_weight = 1.0; /* focal gamma is 2 */

/* log(1 + e^x) without overflow */
static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

/* The focal loss of logit x and, in *slope, its derivative. With p = sigmoid(x), -log p = softplus(-x). */
static double focal(double x, bool positive, double *slope)
{
    const double p = 1 / (1 + exp(-x)), q = 1 - p;
    if (positive) {
        const double nll = softplus(-x);
        *slope = -focal_alpha * q * q * (2 * p * nll + q);
        return focal_alpha * q * q * nll;
    }
    const double nll = softplus(x);
    *slope = (1 - focal_alpha) * p * p * (2 * q * nll + p);
    return (1 - focal_alpha) * p * p * nll;
}

/* GIoU of two boxes around one cell's centre, given as distances to their sides, and its derivative by those of the
 * first. Both have the centre inside, so that the overlap and the hull are sums of smaller and larger distances. */
static double giou(const double d[4], const double target[4], double *iou, double slope[4])
{
    double inner[4], outer[4];
    for (int k = 0; k < 4; k++) {
        inner[k] = fmin(d[k], target[k]);
        outer[k] = fmax(d[k], target[k]);
    }
    const double iw = inner[0] + inner[2], ih = inner[1] + inner[3], hw = outer[0] + outer[2], hh = outer[1] + outer[3];
    const double w = d[0] + d[2], h = d[1] + d[3];
    const double overlap = iw * ih, hull = hw * hh;
    const double all = w * h + (target[0] + target[2]) * (target[1] + target[3]) - overlap;
    for (int k = 0; k < 4; k++) {
        const bool horizontal = k % 2 == 0, shorter = d[k] < target[k];
        const double d_overlap = shorter ? (horizontal ? ih : iw) : 0, d_hull = shorter ? 0 : (horizontal ? hh : hw);
        const double d_all = (horizontal ? h : w) - d_overlap;
        slope[k] = d_overlap / all - overlap * d_all / (all * all) + d_all / hull - all * d_hull / (hull * hull);
    }
    *iou = overlap / all;
    return *iou + all / hull - 1;
}

/* Box and quality of one positive cell; distances in strides. */
static void add_positive(const float *outputs, const double target[4], double scale, mm_detector_loss *loss,
                         float *gradient, float *scale_gradient)
{
    double d[4], slope[4], iou;
    bool capped[4];
    for (int k = 0; k < 4; k++) {
        const float exponent = (float)scale * outputs[MM_HEAD_BOX + k];
        capped[k] = exponent > MM_HEAD_MAX_EXPONENT;
        d[k] = exp((double)fminf(exponent, MM_HEAD_MAX_EXPONENT));
    }
    loss->box += box_weight * (1 - giou(d, target, &iou, slope));
    for (int k = 0; k < 4; k++) {
        const double by_exponent = capped[k] ? 0 : -box_weight * slope[k] * d[k];
        gradient[MM_HEAD_BOX + k] = (float)(by_exponent * scale);
        *scale_gradient += (float)(by_exponent * (double)outputs[MM_HEAD_BOX + k]);
    }
    const double x = (double)outputs[MM_HEAD_QUALITY];
    loss->quality += quality_weight * (softplus(x) - iou * x);
    gradient[MM_HEAD_QUALITY] = (float)(quality_weight * (1 / (1 + exp(-x)) - iou));
    loss->iou += iou;
    loss->positive += 1;
}

void mm_detector_loss_add(const mm_head *head, const float *parameters, const float *outputs, const mm_frame *frame,
                          const float (*boxes)[4], const int32_t *target, mm_detector_loss *loss, float *gradient,
                          float *scale_gradient)
{
    const double rx = (double)frame->input_width / frame->width, ry = (double)frame->input_height / frame->height;
    memset(gradient, 0, head->cells * MM_HEAD_OUTPUTS * sizeof *gradient);
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++) {
        const double stride = mm_head_stride(head, level, frame->image_size);
        const double scale = (double)parameters[head->scale + level];
        const size_t side = head->side[level];
        for (size_t i = 0; i < side * side; i++) {
            const size_t cell = head->first[level] + i;
            const float *out = outputs + cell * MM_HEAD_OUTPUTS;
            float *to = gradient + cell * MM_HEAD_OUTPUTS;
            if (target[cell] == MM_TARGET_IGNORED)
                continue;
            double slope;
            loss->object += focal((double)out[MM_HEAD_OBJECT], target[cell] >= 0, &slope);
            to[MM_HEAD_OBJECT] = (float)slope;
            if (target[cell] < 0)
                continue;
            const float *box = boxes[target[cell]];
            const double x = (double)(i % side) + 0.5, y = (double)(i / side) + 0.5;
            const double distances[4] = {x - (double)box[0] * rx / stride, y - (double)box[1] * ry / stride,
                                         (double)box[2] * rx / stride - x, (double)box[3] * ry / stride - y};
            add_positive(out, distances, scale, loss, to, &scale_gradient[level]);
        }
    }
}
