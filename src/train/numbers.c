/* The numbers that trainings are asked with: where each lives, and its range. */
#include <math.h>
#include <stddef.h>

#include "maskmill/train.h"

/* The rows of mm_train_options, wherever it stands in another. */
#define COMMON_ROWS(type)                                                                                              \
    ROW(type, "validation-share", 0, 0.9, common.validation_share),                                                    \
        ROW(type, "epochs", 0.001, 1e6, common.epochs),                                                                \
        ROW(type, "learning-rate", 0, 10, common.learning_rate),                                                       \
        ROW(type, "weight-decay", 0, 10, common.weight_decay),                                                         \
        ROW(type, "clip-norm", 1e-6, 1e9, common.clip_norm),                                                           \
        ROW(type, "warm-up", 0, 1, common.warm_up),                                                                    \
        ROW(type, "batch", 1, 65536, common.batch),                                                                    \
        ROW(type, "seed", 0, UINT32_MAX, common.seed),                                                                 \
        ROW(type, "save-seconds", 0, 1e9, common.save_seconds)

#define ROW(type, name, least, most, field)                                                                            \
    {                                                                                                                  \
        name, least, most, offsetof(type, field),                                                                      \
            _Generic(((const type *)NULL)->field, double: MM_NUMBER_REAL, uint32_t: MM_NUMBER_U32,                     \
                     uint64_t: MM_NUMBER_U64)                                                                          \
    }

const mm_train_number *mm_train_detector_numbers(void)
{
    static const mm_train_number numbers[] = {
        COMMON_ROWS(mm_train_detector_options),
        ROW(mm_train_detector_options, "width", 8, 2048, width),
        ROW(mm_train_detector_options, "depth", 1, 8, depth),
        {0},
    };
    return numbers;
}

const mm_train_number *mm_train_decoder_numbers(void)
{
    static const mm_train_number numbers[] = {
        COMMON_ROWS(mm_train_decoder_options),
        ROW(mm_train_decoder_options, "box-share", 0, 1, box_share),
        ROW(mm_train_decoder_options, "multimask", 0, 100, multimask),
        ROW(mm_train_decoder_options, "average", 0, 1, average),
        ROW(mm_train_decoder_options, "masks", 1, 4096, masks),
        ROW(mm_train_decoder_options, "rounds", 1, 16, rounds),
        {0},
    };
    return numbers;
}

double mm_train_number_get(const mm_train_number *number, const void *options)
{
    const void *place = (const char *)options + number->place;
    switch (number->kind) {
    case MM_NUMBER_U32:
        return *(const uint32_t *)place;
    case MM_NUMBER_U64:
        return (double)*(const uint64_t *)place;
    case MM_NUMBER_REAL:
        break;
    }
    return *(const double *)place;
}

static mm_status check(const mm_train_number *number, double value, mm_error *err)
{
    const bool whole = number->kind != MM_NUMBER_REAL;
    if (value >= number->least && value <= number->most && (!whole || value == floor(value)))
        return MM_OK;
    return mm_fail(err, MM_ERR_USAGE, "%s %.10g: give a %snumber from %.10g to %.10g", number->name, value,
                   whole ? "whole " : "", number->least, number->most);
}

mm_status mm_train_numbers_check(const mm_train_number *numbers, const void *options, mm_error *err)
{
    mm_status status = MM_OK;
    for (; status == MM_OK && numbers->name; numbers++)
        status = check(numbers, mm_train_number_get(numbers, options), err);
    return status;
}

mm_status mm_train_number_set(const mm_train_number *number, void *options, double value, mm_error *err)
{
    void *place = (char *)options + number->place;
    const mm_status status = check(number, value, err);
    if (status != MM_OK)
        return status;
    if (number->kind == MM_NUMBER_U32)
        *(uint32_t *)place = (uint32_t)value;
    else if (number->kind == MM_NUMBER_U64)
        *(uint64_t *)place = (uint64_t)value;
    else
        *(double *)place = value;
    return MM_OK;
}
