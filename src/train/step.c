/* One step: each rank its share of the batch, gradients summed by rank 0 in their order, parameters back to all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/targets.h"
#include "train/trainer.h"

/* What follows the gradients in a message. */
typedef struct message_end {
    mm_detector_loss loss;
    uint64_t stop;
} message_end;

static size_t gradient_bytes(const mm_head *head)
{
    return (head->parameters * sizeof(float) + 63) / 64 * 64;
}

size_t mm_trainer_message(const mm_head *head)
{
    return gradient_bytes(head) + (sizeof(message_end) + 63) / 64 * 64;
}

static float gaussian(uint64_t seed, uint64_t number)
{
    const double pi = 3.14159265358979323846;
    const double u = ldexp((double)(mm_mix(seed, 2 * number) >> 11) + 0.5, -53);
    const double v = ldexp((double)(mm_mix(seed, 2 * number + 1) >> 11), -53);
    return (float)(sqrt(-2 * log(u)) * cos(2 * pi * v));
}

void mm_trainer_begin(const mm_head *head, uint64_t seed, float *parameters)
{
    for (size_t i = 0; i < head->tensor_count; i++) {
        const mm_head_tensor *tensor = &head->tensors[i];
        float *values = parameters + tensor->first;
        /* [out][taps][in]; the transposed convolution has taps first, and one input vector for each output. */
        const uint64_t taps = i == 0 ? 1 : tensor->shape[1] * tensor->shape[2];
        const double inputs = (double)(taps * tensor->shape[3]);
        const float spread = tensor->first == head->out_weight ? 0.01f : (float)sqrt(2 / inputs);
        const size_t length = strlen(tensor->name);
        const bool norm_weight = length > 12 && strcmp(tensor->name + length - 12, ".norm.weight") == 0;
        for (size_t k = 0; k < tensor->count; k++)
            values[k] = tensor->decays ? spread * gaussian(seed, tensor->first + k) : norm_weight ? 1.0f : 0.0f;
    }
    float *bias = parameters + head->out_bias;
    bias[MM_HEAD_OBJECT] = -4.59512f; /* the logit of 1 in 100 */
    for (int k = 0; k < 4; k++)
        bias[MM_HEAD_BOX + k] = 1.0f; /* e strides */
    for (size_t level = 0; level < MM_HEAD_LEVELS; level++)
        parameters[head->scale + level] = 1.0f;
}

mm_status mm_trainer_load(mm_trainer *trainer, uint64_t sample, bool flipped, mm_frame *frame, mm_error *err)
{
    const mm_sample *s = &trainer->samples.items[sample];
    uint32_t width, height;
    const mm_status status = mm_embeddings_read(trainer->prepared.embeddings,
                                                trainer->prepared.places[2 * sample + flipped], &width, &height,
                                                trainer->cells, err);
    if (status != MM_OK)
        return status;
    *frame = mm_model_frame(trainer->model, width, height);
    if (!frame->input_width || !frame->input_height)
        return mm_fail(err, MM_ERR_FORMAT, "the embedding of %s is of an image of no size",
                       trainer->samples.text + s->path);
    /* Boxes are in the sample's frame, which may be smaller than the photograph. */
    frame->width = s->width;
    frame->height = s->height;
    return MM_OK;
}

mm_status mm_trainer_add_sample(mm_trainer *trainer, uint64_t sample, bool flipped, float *sums, mm_detector_loss *loss,
                                mm_error *err)
{
    const mm_sample *s = &trainer->samples.items[sample];
    const mm_head *head = &trainer->head;
    mm_frame frame;
    mm_status status = mm_trainer_load(trainer, sample, flipped, &frame, err);
    if (status != MM_OK)
        return status;
    float(*boxes)[4] = malloc((s->boxes + 1) * sizeof *boxes);
    if (!boxes)
        return mm_fail_memory(err, "boxes");
    for (uint64_t i = 0; i < s->boxes; i++) {
        memcpy(boxes[i], trainer->samples.boxes[s->first_box + i], sizeof boxes[0]);
        if (flipped) {
            const float left = boxes[i][0];
            boxes[i][0] = (float)s->width - boxes[i][2];
            boxes[i][2] = (float)s->width - left;
        }
    }
    status = mm_head_forward(head, trainer->parameters, &trainer->kernels, trainer->cells, &trainer->state, err);
    if (status == MM_OK) {
        /* the loss counts */
        (void)mm_targets_assign(head, &frame, (const float(*)[4])boxes, s->boxes, trainer->target);
        mm_detector_loss_add(head, trainer->parameters, trainer->state.outputs, &frame, (const float(*)[4])boxes,
                             trainer->target, loss, trainer->gradients.outputs, sums + head->scale);
        status = mm_head_backward(head, trainer->parameters, &trainer->kernels, &trainer->state, &trainer->gradients,
                                  sums, err);
    }
    free(boxes);
    return status;
}

/* This rank's share of the step's batch. */
static mm_status add_share(mm_trainer *trainer, float *sums, mm_detector_loss *loss, mm_error *err)
{
    const mm_train_detector_options *o = trainer->options;
    const uint64_t epoch = trainer->step / trainer->prepared.steps_per_epoch, batch = o->common.batch;
    const uint64_t first = trainer->step % trainer->prepared.steps_per_epoch * batch;
    const uint64_t left = trainer->prepared.training_count - first, images = left < batch ? left : batch;
    mm_status status = MM_OK;
    mm_prepared_shuffle(&trainer->prepared, &trainer->samples, o->common.seed, epoch + 1);
    for (uint64_t i = images * trainer->rank / trainer->ranks;
         status == MM_OK && i < images * (trainer->rank + 1) / trainer->ranks; i++) {
        const uint64_t sample = trainer->prepared.training[first + i];
        const bool flipped = mm_prepared_flips(&o->common, epoch, sample);
        status = mm_trainer_add_sample(trainer, sample, flipped, sums, loss, err);
    }
    return status;
}

/* Rank 0: the sums of all, in the order of ranks, become a step. */
static void update(mm_trainer *trainer, bool *stop)
{
    const size_t size = mm_trainer_message(&trainer->head), count = trainer->head.parameters;
    float *sums = (float *)(void *)trainer->messages;
    message_end total = {0};
    for (size_t r = 0; r < trainer->ranks; r++) {
        const uint8_t *message = trainer->messages + r * size;
        message_end end;
        memcpy(&end, message + gradient_bytes(&trainer->head), sizeof end);
        total.loss.object += end.loss.object;
        total.loss.box += end.loss.box;
        total.loss.quality += end.loss.quality;
        total.loss.iou += end.loss.iou;
        total.loss.positive += end.loss.positive;
        total.stop |= end.stop;
        const float *gradient = (const float *)(const void *)message;
        for (size_t i = 0; r > 0 && i < count; i++)
            sums[i] += gradient[i];
    }
    const float factor = (float)(1 / fmax(total.loss.positive, 1));
    for (size_t i = 0; i < count; i++)
        sums[i] *= factor;
    (void)mm_clip_norm(sums, count, trainer->options->common.clip_norm); /* what it was is nobody's business */
    const uint64_t warm_up = (uint64_t)(trainer->options->common.warm_up * (double)trainer->prepared.steps);
    mm_adamw_step(&trainer->optimiser, sums, trainer->decay,
                  mm_cosine_rate(trainer->options->common.learning_rate, trainer->step, warm_up,
                                 trainer->prepared.steps));
    trainer->sums.object += total.loss.object;
    trainer->sums.box += total.loss.box;
    trainer->sums.quality += total.loss.quality;
    trainer->sums.iou += total.loss.iou;
    trainer->sums.positive += total.loss.positive;
    *stop = total.stop != 0;
}

/* Parameters and the order to stop, from rank 0 to all. */
static mm_status give_back(mm_trainer *trainer, bool *stop, mm_error *err)
{
    if (!trainer->comm)
        return MM_OK;
    const size_t bytes = trainer->head.parameters * sizeof(float);
    memcpy(trainer->message, trainer->parameters, bytes);
    trainer->message[bytes] = *stop;
    const mm_status status = mm_comm_broadcast(trainer->comm, 0, trainer->message, bytes + 1, err);
    memcpy(trainer->parameters, trainer->message, bytes);
    *stop = trainer->message[bytes] != 0;
    return status;
}

mm_status mm_trainer_step(mm_trainer *trainer, bool *stop, mm_error *err)
{
    const size_t size = mm_trainer_message(&trainer->head);
    message_end end = {.stop = mm_signals_asked(trainer->signals, NULL) != MM_STOP_NONE};
    memset(trainer->message, 0, size);
    mm_status status = add_share(trainer, (float *)(void *)trainer->message, &end.loss, err);
    memcpy(trainer->message + gradient_bytes(&trainer->head), &end, sizeof end);
    status = mm_comm_agree(trainer->comm, status, err);
    if (status == MM_OK)
        status = mm_comm_gather(trainer->comm, trainer->message, size, trainer->messages, err);
    if (status != MM_OK)
        return status;
    if (trainer->rank == 0)
        update(trainer, stop);
    trainer->step++;
    return give_back(trainer, stop, err);
}
