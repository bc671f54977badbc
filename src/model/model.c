/* model: checkpoints, image encoders, prompt encoder and mask decoder. This file puts them together. */
#include "maskmill/model.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "maskmill/work.h"
#include "model/checkpoint_internal.h"
#include "model/decoder_fused.h"
#include "model/tiny_vit.h"
#include "model/vit.h"

/* Points of one prompt: more than an annotator sets, few enough for every buffer. */
enum { MAX_POINTS = 1024 };

struct mm_model {
    mm_arch arch;
    mm_kernels kernels;
    mm_checkpoint *checkpoint; /* stays open: f32 weights are used where they are mapped */
    mm_arena arena;
    union {
        mm_vit vit;
        mm_tiny_vit tiny;
    } encoder;
    mm_prompt_encoder prompts;
    mm_mask_decoder decoder;
    mm_fused_weights fused; /* where decoder.fused points, in bf16 */
    size_t widest; /* see mm_weights */
};

struct mm_embedding {
    const mm_model *model;
    mm_arena arena;
    mm_frame frame;
    mm_model_times times;
    mm_image_side side;
    mm_fused_image fused;   /* where the decoder is fused */
    float *memory;          /* the encoder's activations */
    float **scratch;        /* [threads]: the encoder's; the decoder has its own */
    mm_bf16 **converted;    /* [threads]: see mm_context; NULL in f32 */
    float **panels;         /* [threads]: see mm_context */
    float **decoder_memory; /* [threads], grown when prompts need more */
    size_t decoder_floats;  /* the size of each block of decoder_memory */
};

static bool in_bf16(const mm_model *model)
{
    return model->kernels.precision == MM_PRECISION_BF16;
}

/* Multiply-adds from which on an encoder is worth rounding: a smaller one takes hundredths of a second in f32, a small part of
 * what its prompts take, and its rounding would be nearly all that tells the masks of such a model from f32's. */
static const double least_encoder_in_bf16 = 8e9;

/* bf16 kernels take pairs of channels. A TinyViT sees to odd widths itself; a ViT, which is never so, is computed in f32. */
static bool has_odd_widths(const mm_arch *arch)
{
    return arch->family == MM_FAMILY_VIT &&
           (arch->vit.embed_dim / arch->vit.num_heads % 2 != 0 || arch->vit.mlp_dim % 2 != 0);
}

static bool encodes_in_bf16(const mm_model *model)
{
    return in_bf16(model) && !has_odd_widths(&model->arch) &&
           (model->kernels.bf16_small_encoders || mm_arch_work(&model->arch).encode >= least_encoder_in_bf16);
}

/* The kernels of an encoder in f32, or NULL: then the library multiplies. */
static const mm_f32_ops *f32_kernels(const mm_model *model)
{
    return encodes_in_bf16(model) ? NULL : mm_f32_get(&model->kernels);
}

static mm_context context_of(const mm_model *model, float *const *scratch, mm_bf16 *const *converted, float *const *panels)
{
    return (mm_context){.kernels = &model->kernels,
                        .ops = mm_vector_get(&model->kernels),
                        .bf16 = in_bf16(model) ? mm_bf16_get() : NULL,
                        .scratch = scratch,
                        .converted = converted,
                        .f32 = panels ? f32_kernels(model) : NULL,
                        .panels = panels};
}

/* Limits of this implementation that a recognised architecture could exceed. */
static mm_status check_limits(const mm_arch *arch, mm_error *err)
{
    bool good = arch->decoder.depth >= 1 && arch->decoder.depth <= MM_DECODER_MAX_DEPTH &&
                arch->decoder.iou_head_depth >= 1 && arch->decoder.iou_head_depth <= MM_DECODER_MAX_HEAD_LAYERS &&
                arch->decoder.hyper_depth >= 1 && arch->decoder.hyper_depth <= MM_DECODER_MAX_HEAD_LAYERS &&
                arch->decoder.cross_dim <= arch->prompt_embed_dim && arch->prompt_embed_dim % 8 == 0;
    for (int stage = 0; arch->family == MM_FAMILY_TINY_VIT && stage < 4; stage++)
        good = good && arch->tiny.depths[stage] <= MM_TINY_MAX_BLOCKS && arch->tiny.local_conv_size == 3;
    if (!good)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "%s is deeper or of another make than this program computes; see docs/design.md", arch->name);
    return MM_OK;
}

static mm_status load(mm_model *model, const char *path, const mm_model_options *options, mm_error *err)
{
    mm_status status = mm_kernels_resolve(&model->kernels, err);
    if (status == MM_OK)
        status = mm_kernels_check(&model->kernels, err);
    if (status == MM_OK)
        status = mm_checkpoint_open(path, &model->checkpoint, err);
    if (status == MM_OK)
        status = mm_arch_recognise(model->checkpoint, options->config_path, &model->arch, err);
    if (status == MM_OK)
        status = check_limits(&model->arch, err);
    if (status != MM_OK)
        return status;
    mm_weights weights = {
        .checkpoint = model->checkpoint, .arena = &model->arena, .err = err, .bf16 = encodes_in_bf16(model),
        .f32_kernels = f32_kernels(model) != NULL};
    if (model->arch.family == MM_FAMILY_VIT)
        mm_vit_load(&model->encoder.vit, &model->arch, &weights);
    else
        mm_tiny_vit_load(&model->encoder.tiny, &model->arch, &weights);
    weights.bf16 = in_bf16(model);
    mm_prompt_encoder_load(&model->prompts, &model->arch, &weights);
    mm_mask_decoder_load(&model->decoder, &model->arch, &model->prompts, &weights);
    if (in_bf16(model) && mm_fused_supports(&model->arch)) {
        mm_mask_decoder_pack(&model->decoder, &weights);
        mm_fused_load(&model->fused, &model->decoder, &model->kernels, &weights);
        model->decoder.fused = &model->fused;
    }
    model->widest = weights.widest;
    /* What was packed is not read again. */
    if (in_bf16(model))
        mm_checkpoint_release_pages(model->checkpoint);
    return weights.status;
}

mm_status mm_model_open(const char *path, const mm_model_options *options, mm_model **model, mm_error *err)
{
    *model = NULL;
    mm_model *opened = calloc(1, sizeof *opened);
    if (!opened)
        return mm_fail_memory(err, "a model");
    opened->kernels = options->kernels;
    const mm_status status = load(opened, path, options, err);
    if (status != MM_OK) {
        mm_model_close(opened);
        return status;
    }
    *model = opened;
    return MM_OK;
}

void mm_model_close(mm_model *model)
{
    if (!model)
        return;
    mm_arena_free(&model->arena);
    mm_checkpoint_close(model->checkpoint);
    free(model);
}

const mm_arch *mm_model_arch(const mm_model *model)
{
    return &model->arch;
}

const mm_kernels *mm_model_kernels(const mm_model *model)
{
    return &model->kernels;
}

mm_status mm_model_encoder_sha256(const mm_model *model, char hex[65], mm_error *err)
{
    return mm_checkpoint_encoder_sha256(model->checkpoint, &model->arch, hex, err);
}

static mm_status allocate(mm_embedding *embedding, mm_error *err)
{
    const mm_model *model = embedding->model;
    const mm_arch *arch = &model->arch;
    const bool vit = arch->family == MM_FAMILY_VIT;
    const size_t threads = model->kernels.threads, cells = (size_t)arch->embedding_side * arch->embedding_side;
    const size_t channels = arch->prompt_embed_dim, inner = arch->decoder.cross_dim;
    const size_t scratch = vit ? mm_vit_scratch(arch) : mm_tiny_vit_scratch(arch);
    size_t memory = vit ? mm_vit_memory(arch) : mm_tiny_vit_memory(arch);
    /* Preparing the image side needs one [N][D] block, after the encoder is done. */
    memory = memory > cells * channels ? memory : cells * channels;
    embedding->scratch = calloc(threads, sizeof *embedding->scratch);
    embedding->decoder_memory = calloc(threads, sizeof *embedding->decoder_memory);
    embedding->converted = calloc(threads, sizeof *embedding->converted);
    embedding->panels = calloc(threads, sizeof *embedding->panels);
    bool good = embedding->scratch && embedding->decoder_memory && embedding->converted && embedding->panels;
    for (size_t t = 0; t < threads && good; t++) {
        good = (embedding->scratch[t] = mm_arena_floats(&embedding->arena, scratch)) != NULL;
        if (good && in_bf16(model))
            good = (embedding->converted[t] = (mm_bf16 *)mm_arena_floats(
                        &embedding->arena, MM_LAYER_PIECE * (model->widest + 1) / 2)) != NULL;
        if (good && f32_kernels(model))
            good = (embedding->panels[t] = mm_arena_floats(&embedding->arena, MM_F32_PRODUCT_SCRATCH)) != NULL;
    }
    mm_image_side *side = &embedding->side;
    good = good && (embedding->memory = mm_arena_floats(&embedding->arena, memory)) &&
           (side->embedding = mm_arena_floats(&embedding->arena, cells * channels)) &&
           (side->keys = mm_arena_floats(&embedding->arena, cells * channels)) &&
           (side->key = mm_arena_floats(&embedding->arena, cells * inner)) &&
           (side->value = mm_arena_floats(&embedding->arena, cells * inner)) &&
           (side->query = mm_arena_floats(&embedding->arena, cells * inner)) &&
           (!model->decoder.fused || mm_fused_image_new(&embedding->fused, arch, &embedding->arena));
    return good ? MM_OK : mm_fail_memory(err, "an image's embedding");
}

mm_status mm_embedding_new(const mm_model *model, mm_embedding **embedding, mm_error *err)
{
    *embedding = NULL;
    mm_embedding *made = calloc(1, sizeof *made);
    if (!made)
        return mm_fail_memory(err, "an image's embedding");
    made->model = model;
    const mm_status status = allocate(made, err);
    if (status != MM_OK) {
        mm_embedding_free(made);
        return status;
    }
    *embedding = made;
    return MM_OK;
}

void mm_embedding_free(mm_embedding *embedding)
{
    if (!embedding)
        return;
    for (size_t t = 0; embedding->decoder_memory && t < embedding->model->kernels.threads; t++)
        free(embedding->decoder_memory[t]);
    free(embedding->decoder_memory);
    free(embedding->scratch);
    free(embedding->converted);
    free(embedding->panels);
    mm_arena_free(&embedding->arena);
    free(embedding);
}

/* int(side * scale + 0.5) with scale = image_size / long side, in double, as the reference's get_preprocess_shape. */
static mm_frame frame_of(const mm_arch *arch, uint32_t width, uint32_t height)
{
    const double scale = (double)arch->image_size / (double)(width > height ? width : height);
    mm_frame frame = {.width = width,
                      .height = height,
                      .input_width = (uint32_t)((double)width * scale + 0.5),
                      .input_height = (uint32_t)((double)height * scale + 0.5),
                      .image_size = arch->image_size,
                      .low_res = 4 * arch->embedding_side};
    return frame;
}

mm_frame mm_model_frame(const mm_model *model, uint32_t width, uint32_t height)
{
    return width && height ? frame_of(&model->arch, width, height) : (mm_frame){0};
}

/* What the decoder needs of an embedding that is there. */
static mm_status prepare_decoder(const mm_model *model, mm_embedding *embedding, mm_error *err)
{
    const mm_context context = context_of(model, embedding->scratch, embedding->converted, embedding->panels);
    mm_status status = mm_image_side_prepare(&model->decoder, &context, &embedding->side, embedding->memory, err);
    if (status == MM_OK && model->decoder.fused)
        status = mm_fused_image_prepare(&model->decoder, &context, &embedding->side, &embedding->fused, err);
    return status;
}

mm_status mm_model_encode(const mm_model *model, mm_image_view image, mm_embedding *embedding, mm_error *err)
{
    if (!image.width || !image.height)
        return mm_fail(err, MM_ERR_FORMAT, "an image of %ux%u pixels cannot be encoded", image.width, image.height);
    const mm_frame frame = frame_of(&model->arch, image.width, image.height);
    if (!frame.input_width || !frame.input_height)
        return mm_fail(err, MM_ERR_UNSUPPORTED, "%ux%u pixels are too thin for a model input of %u", image.width,
                       image.height, model->arch.image_size);
    mm_model_times *times = &embedding->times;
    const double start = omp_get_wtime();
    mm_image resized = {0};
    mm_status status = mm_image_resize_bilinear(image, frame.input_width, frame.input_height, &resized, err);
    if (status != MM_OK)
        return status;
    const double encoding = omp_get_wtime();
    *times = (mm_model_times){.resize = encoding - start};
    mm_context encoding_context = context_of(model, embedding->scratch, embedding->converted, embedding->panels);
    if (!encodes_in_bf16(model))
        encoding_context.bf16 = NULL;
    if (model->arch.family == MM_FAMILY_VIT)
        status = mm_vit_encode(&model->encoder.vit, &encoding_context, mm_image_whole(&resized), embedding->memory,
                               embedding->side.embedding, err);
    else
        status = mm_tiny_vit_encode(&model->encoder.tiny, &encoding_context, mm_image_whole(&resized), embedding->memory,
                                    embedding->side.embedding, err);
    mm_image_free(&resized);
    if (status != MM_OK)
        return status;
    const double encoded = omp_get_wtime();
    times->encoder = encoded - encoding;
    embedding->frame = frame;
    status = prepare_decoder(model, embedding, err);
    times->image_side = omp_get_wtime() - encoded;
    return status;
}

mm_status mm_model_restore(const mm_model *model, const float *cells, uint32_t width, uint32_t height,
                           mm_embedding *embedding, mm_error *err)
{
    const mm_arch *arch = &model->arch;
    const mm_frame frame = mm_model_frame(model, width, height);
    if (!frame.input_width || !frame.input_height)
        return mm_fail(err, MM_ERR_FORMAT, "an embedding of an image of %ux%u pixels cannot be", width, height);
    memcpy(embedding->side.embedding, cells,
           (size_t)arch->embedding_side * arch->embedding_side * arch->prompt_embed_dim * sizeof *cells);
    embedding->times = (mm_model_times){0};
    embedding->frame = frame;
    return prepare_decoder(model, embedding, err);
}

mm_model_times mm_embedding_times(const mm_embedding *embedding)
{
    return embedding->times;
}

mm_frame mm_embedding_frame(const mm_embedding *embedding)
{
    return embedding->frame;
}

void mm_embedding_copy(const mm_embedding *embedding, float *out)
{
    const size_t channels = embedding->model->arch.prompt_embed_dim;
    const size_t cells = (size_t)embedding->model->arch.embedding_side * embedding->model->arch.embedding_side;
    for (size_t c = 0; c < channels; c++)
        for (size_t n = 0; n < cells; n++)
            out[c * cells + n] = embedding->side.embedding[n * channels + c];
}

const float *mm_embedding_cells(const mm_embedding *embedding)
{
    return embedding->side.embedding;
}

static bool is_fused(const mm_model *model, const mm_prompt_batch *batch)
{
    return model->decoder.fused && !batch->prompts[0].mask_input && batch->tokens <= MM_FUSED_MAX_TOKENS;
}

/* The prompts from `first` on that can go through the decoder together. */
static mm_prompt_batch next_batch(const mm_model *model, const mm_prompt *prompts, size_t first, size_t count)
{
    const mm_arch *arch = &model->arch;
    const size_t output_tokens = 1 + (size_t)arch->decoder.mask_tokens;
    mm_prompt_batch batch = {.prompts = prompts + first,
                             .first = first,
                             .count = 1,
                             .tokens = output_tokens + mm_prompt_tokens(&prompts[first])};
    const size_t most = is_fused(model, &batch) ? MM_FUSED_BATCH : MM_DECODER_BATCH;
    while (batch.count < most && first + batch.count < count && !prompts[first].mask_input &&
           !prompts[first + batch.count].mask_input &&
           output_tokens + mm_prompt_tokens(&prompts[first + batch.count]) == batch.tokens)
        batch.count++;
    return batch;
}

static size_t decoder_memory(const mm_model *model, const mm_prompt_batch *batch)
{
    return is_fused(model, batch) ? mm_fused_scratch(&model->decoder, batch->tokens)
                                  : mm_decoder_scratch(&model->decoder, batch->tokens);
}

/* Decoder memory of `floats` floats on every thread. */
static mm_status grow(const mm_model *model, mm_embedding *embedding, size_t floats, mm_error *err)
{
    if (floats <= embedding->decoder_floats)
        return MM_OK;
    for (size_t t = 0; t < model->kernels.threads; t++) {
        free(embedding->decoder_memory[t]);
        embedding->decoder_memory[t] = mm_floats(floats);
        if (!embedding->decoder_memory[t]) {
            embedding->decoder_floats = 0;
            return mm_fail_memory(err, "decoding prompts");
        }
    }
    embedding->decoder_floats = floats;
    return MM_OK;
}

mm_status mm_model_decode(const mm_model *model, mm_embedding *embedding, const mm_prompt *prompts, size_t count,
                          const mm_mask_sink *sink, mm_error *err)
{
    if (!count)
        return MM_OK;
    if (!embedding->frame.width)
        return mm_fail(err, MM_ERR_INTERNAL, "prompts were given before an image was encoded");
    mm_prompt_batch *batches = malloc(count * sizeof *batches);
    if (!batches)
        return mm_fail_memory(err, "a list of prompts");
    size_t batch_count = 0, floats = 0;
    mm_status result = MM_OK;
    for (size_t i = 0; i < count && result == MM_OK; i += batches[batch_count++].count) {
        batches[batch_count] = next_batch(model, prompts, i, count);
        const size_t needed = decoder_memory(model, &batches[batch_count]);
        floats = floats > needed ? floats : needed;
        if (prompts[i].point_count > MAX_POINTS)
            result = mm_fail(err, MM_ERR_LIMIT, "prompt %zu has %zu points; at most %d are possible", i,
                             prompts[i].point_count, MAX_POINTS);
    }
    if (result == MM_OK)
        result = grow(model, embedding, floats, err);
    if (result != MM_OK) {
        free(batches);
        return result;
    }
    bool stop = false;
    const int threads = (int)(batch_count < model->kernels.threads ? batch_count : model->kernels.threads);
    double to_iou = 0, upscale = 0; /* summed over threads */
#pragma omp parallel for num_threads(threads) schedule(dynamic) reduction(+ : to_iou, upscale)
    for (size_t b = 0; b < batch_count; b++) {
        bool stopped;
#pragma omp atomic read
        stopped = stop;
        if (stopped)
            continue;
        float *memory = embedding->decoder_memory[omp_get_thread_num()];
        const mm_context context = context_of(model, NULL, embedding->converted, NULL);
        mm_model_times taken = {0};
        mm_error own = {0};
        const mm_status status =
            is_fused(model, &batches[b])
                ? mm_fused_run(&model->decoder, &context, &embedding->fused, &embedding->frame, &batches[b], sink, memory,
                               &taken, &own)
                : mm_decoder_run(&model->decoder, &context, &embedding->side, &embedding->frame, &batches[b], sink,
                                 memory, &taken, &own);
        to_iou += taken.to_iou;
        upscale += taken.upscale;
        if (status == MM_OK)
            continue;
#pragma omp critical(mm_decode_failure)
        result = mm_fail(err, status, "%s", own.text);
#pragma omp atomic write
        stop = true;
    }
    free(batches);
    embedding->times.to_iou += to_iou / threads;
    embedding->times.upscale += upscale / threads;
    return result;
}
