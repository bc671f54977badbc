#include "train/decoder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/decoder_state.h"

/* Where views are made from; the first parameter that is missing is told in the end. */
typedef struct binding {
    const mm_parameters *parameters;
    const float *values;
    float *gradients;
    char missing[192];
} binding;

static mm_trained_table bind_table(binding *b, const char *name)
{
    const mm_parameter *parameter = mm_parameters_find(b->parameters, "%s", name);
    if (!parameter) {
        (void)snprintf(b->missing, sizeof b->missing, "%s", name);
        return (mm_trained_table){0};
    }
    return (mm_trained_table){b->values + parameter->offset, b->gradients + parameter->offset};
}

/* Weight and bias of `prefix`. */
static void bind_pair(binding *b, const char *prefix, mm_trained_table *weight, mm_trained_table *bias)
{
    char name[160];
    (void)snprintf(name, sizeof name, "%s.weight", prefix);
    *weight = bind_table(b, name);
    (void)snprintf(name, sizeof name, "%s.bias", prefix);
    *bias = bind_table(b, name);
}

static mm_trained_linear bind_linear(binding *b, size_t in, size_t out, const char *prefix)
{
    mm_trained_table weight, bias;
    bind_pair(b, prefix, &weight, &bias);
    return (mm_trained_linear){weight.values, bias.values, weight.dvalues, bias.dvalues, in, out};
}

static mm_trained_norm bind_norm(binding *b, size_t channels, float eps, const char *prefix)
{
    mm_trained_table weight, bias;
    bind_pair(b, prefix, &weight, &bias);
    return (mm_trained_norm){weight.values, bias.values, weight.dvalues, bias.dvalues, eps, channels};
}

static mm_trained_attention bind_attention(binding *b, size_t channels, size_t inner, const char *prefix)
{
    static const char *const names[] = {"q_proj", "k_proj", "v_proj", "out_proj"};
    mm_trained_attention attention;
    mm_trained_linear *const parts[] = {&attention.q, &attention.k, &attention.v, &attention.out};
    for (int i = 0; i < 4; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "mask_decoder.transformer.%s.%s", prefix, names[i]);
        *parts[i] = bind_linear(b, i < 3 ? channels : inner, i < 3 ? inner : channels, name);
    }
    return attention;
}

static void bind_layer(binding *b, const mm_arch *arch, uint32_t index, mm_trained_layer *layer)
{
    static const char *const names[] = {"self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"};
    const size_t channels = arch->prompt_embed_dim, hidden = arch->decoder.mlp_dim;
    mm_trained_attention *const attentions[] = {&layer->self, &layer->token_to_image, &layer->image_to_token};
    mm_trained_norm *const norms[] = {&layer->norm1, &layer->norm2, &layer->norm3, &layer->norm4};
    char name[128];
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "layers.%u.%s", index, names[i]);
        *attentions[i] = bind_attention(b, channels, i ? arch->decoder.cross_dim : channels, name);
    }
    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "mask_decoder.transformer.layers.%u.norm%d", index, i + 1);
        *norms[i] = bind_norm(b, channels, 1e-5f, name);
    }
    layer->mlp.depth = 2;
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof name, "mask_decoder.transformer.layers.%u.mlp.lin%zu", index, i + 1);
        layer->mlp.layers[i] = bind_linear(b, i ? hidden : channels, i ? channels : hidden, name);
    }
}

static mm_trained_mlp bind_head(binding *b, size_t depth, size_t in, size_t hidden, size_t out, const char *prefix)
{
    mm_trained_mlp mlp = {.depth = depth};
    for (size_t i = 0; i < depth; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "mask_decoder.%s.layers.%zu", prefix, i);
        mlp.layers[i] = bind_linear(b, i ? hidden : in, i + 1 < depth ? hidden : out, name);
    }
    return mlp;
}

static void bind_heads(binding *b, const mm_arch *arch, mm_trained_decoder *decoder)
{
    const size_t channels = arch->prompt_embed_dim, masks = arch->decoder.mask_tokens;
    decoder->iou_head = bind_head(b, arch->decoder.iou_head_depth, channels, arch->decoder.iou_head_hidden_dim, masks,
                                  "iou_prediction_head");
    for (size_t k = 0; k < masks; k++) {
        char name[64];
        (void)snprintf(name, sizeof name, "output_hypernetworks_mlps.%zu", k);
        decoder->hyper[k] = bind_head(b, arch->decoder.hyper_depth, channels, channels, channels / 8, name);
    }
    mm_trained_table weight, bias;
    mm_trained_upscaling *upscaling = &decoder->upscaling;
    bind_pair(b, "mask_decoder.output_upscaling.0", &weight, &bias);
    *upscaling = (mm_trained_upscaling){.weight1 = weight.values, .bias1 = bias.values, .dweight1 = weight.dvalues,
                                        .dbias1 = bias.dvalues, .channels = channels};
    bind_pair(b, "mask_decoder.output_upscaling.3", &weight, &bias);
    upscaling->weight2 = weight.values;
    upscaling->bias2 = bias.values;
    upscaling->dweight2 = weight.dvalues;
    upscaling->dbias2 = bias.dvalues;
    upscaling->norm = bind_norm(b, channels / 4, 1e-6f, "mask_decoder.output_upscaling.1");
}

static void bind_prompts(binding *b, const mm_arch *arch, mm_trained_decoder *decoder)
{
    const size_t channels = arch->prompt_embed_dim, wide = arch->mask_in_chans, first = wide / 4;
    for (int i = 0; i < 4; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "prompt_encoder.point_embeddings.%d.weight", i);
        decoder->point_embeddings[i] = bind_table(b, name);
        decoder->prompts.point_embeddings[i] = decoder->point_embeddings[i].values;
    }
    decoder->not_a_point = bind_table(b, "prompt_encoder.not_a_point_embed.weight");
    decoder->no_mask = bind_table(b, "prompt_encoder.no_mask_embed.weight");
    decoder->prompts.not_a_point = decoder->not_a_point.values;
    decoder->prompts.no_mask = decoder->no_mask.values;
    decoder->mask_input.conv1 = bind_linear(b, 4, first, "prompt_encoder.mask_downscaling.0");
    decoder->mask_input.norm1 = bind_norm(b, first, 1e-6f, "prompt_encoder.mask_downscaling.1");
    decoder->mask_input.conv2 = bind_linear(b, 4 * first, wide, "prompt_encoder.mask_downscaling.3");
    decoder->mask_input.norm2 = bind_norm(b, wide, 1e-6f, "prompt_encoder.mask_downscaling.4");
    decoder->mask_input.conv3 = bind_linear(b, wide, channels, "prompt_encoder.mask_downscaling.6");
}

mm_status mm_trained_decoder_make(const mm_arch *arch, const mm_parameters *parameters, const float *values,
                                  float *gradients, const mm_checkpoint *checkpoint, mm_trained_decoder *decoder,
                                  mm_error *err)
{
    binding b = {.parameters = parameters, .values = values, .gradients = gradients};
    *decoder = (mm_trained_decoder){.arch = *arch, .cells = (size_t)arch->embedding_side * arch->embedding_side};
    if (arch->decoder.depth < 1 || arch->decoder.depth > MM_TRAINED_DEPTH || arch->decoder.iou_head_depth < 1 ||
        arch->decoder.iou_head_depth > MM_TRAINED_LAYERS || arch->decoder.hyper_depth < 1 ||
        arch->decoder.hyper_depth > MM_TRAINED_LAYERS || arch->decoder.mask_tokens > MM_MAX_MASK_TOKENS ||
        arch->prompt_embed_dim % arch->decoder.num_heads != 0 || arch->decoder.cross_dim % arch->decoder.num_heads != 0)
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "%s has a mask decoder deeper or of another make than can be trained here", arch->name);
    mm_weights weights = {.checkpoint = checkpoint, .arena = &decoder->arena, .err = err};
    mm_prompt_encoder_load(&decoder->prompts, &decoder->arch, &weights);
    bind_prompts(&b, arch, decoder);
    for (uint32_t i = 0; i < arch->decoder.depth; i++)
        bind_layer(&b, arch, i, &decoder->layers[i]);
    decoder->final = bind_attention(&b, arch->prompt_embed_dim, arch->decoder.cross_dim, "final_attn_token_to_image");
    decoder->norm_final = bind_norm(&b, arch->prompt_embed_dim, 1e-5f, "mask_decoder.transformer.norm_final_attn");
    decoder->iou_token = bind_table(&b, "mask_decoder.iou_token.weight");
    decoder->mask_tokens = bind_table(&b, "mask_decoder.mask_tokens.weight");
    bind_heads(&b, arch, decoder);
    mm_status status = weights.status;
    if (status == MM_OK && b.missing[0])
        status = mm_fail(err, MM_ERR_INTERNAL, "tensor %s is not among those to be trained", b.missing);
    if (status != MM_OK)
        mm_trained_decoder_free(decoder);
    return status;
}

void mm_trained_decoder_free(mm_trained_decoder *decoder)
{
    mm_arena_free(&decoder->arena);
    *decoder = (mm_trained_decoder){0};
}

float mm_trained_scale(const mm_arch *arch)
{
    return (float)(1.0 / sqrt((double)arch->decoder.cross_dim / arch->decoder.num_heads));
}

size_t mm_trained_decoder_tokens(const mm_trained_decoder *decoder, const mm_prompt *prompt)
{
    return 1 + decoder->arch.decoder.mask_tokens + mm_prompt_tokens(prompt);
}

size_t mm_trained_decoder_memory(const mm_trained_decoder *decoder, size_t prompts, size_t tokens, bool masks)
{
    mm_decoder_run_state state;
    return mm_decoder_state_layout(decoder, prompts, tokens, masks, NULL, &state);
}

void mm_trained_decoder_run(mm_learner *learner, const mm_trained_decoder *decoder, const mm_training_batch *batch,
                            const mm_judge *judge, bool back, float *memory)
{
    mm_decoder_run_state state;
    (void)mm_decoder_state_layout(decoder, batch->count, mm_trained_decoder_tokens(decoder, &batch->prompts[0]),
                                  batch->mask_input != NULL, memory, &state);
    mm_decoder_forward(learner, decoder, batch, &state);
    mm_decoder_judge(learner, decoder, judge, back, &state);
    if (back && learner->status == MM_OK)
        mm_decoder_back(learner, decoder, batch, &state);
}
