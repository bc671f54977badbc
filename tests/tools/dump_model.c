/* maskmill-dump: what the model computes for one picture and some prompts, as raw little-endian f32, for
 * scripts/parity. Writes FOLDER/embedding.f32 [D][S][S], logits.f32 [P][K][L][L] and predicted_iou.f32 [P][K]. */
#include <argp.h>

#include "tools/prompt_file.h"

typedef struct arguments {
    const char *checkpoint, *picture, *prompts, *folder, *config;
    mm_kernels kernels;
} arguments;

static error_t parse(int key, char *value, struct argp_state *state)
{
    arguments *given = state->input;
    const char **places[] = {&given->checkpoint, &given->picture, &given->prompts, &given->folder};
    switch (key) {
    case 'b':
        given->kernels.backend = strcmp(value, "dnnl") == 0   ? MM_BACKEND_DNNL
                                 : strcmp(value, "blas") == 0 ? MM_BACKEND_BLAS
                                                              : MM_BACKEND_AUTO;
        return 0;
    case 'p':
        given->kernels.precision = strcmp(value, "bf16") == 0 ? MM_PRECISION_BF16 : MM_PRECISION_F32;
        return 0;
    case 't':
        given->kernels.threads = (uint32_t)strtoul(value, NULL, 10);
        return 0;
    case 'c':
        given->config = value;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num >= 4)
            argp_usage(state);
        *places[state->arg_num] = value;
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num != 4)
            argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static mm_status write_floats(const char *folder, const char *name, const float *values, size_t count, mm_error *err)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return mm_file_commit(path, values, count * sizeof *values, err);
}

static mm_status dump(const arguments *given, const mm_model *model, mm_embedding *embedding, const json_t *json,
                      mm_error *err)
{
    const mm_arch *arch = mm_model_arch(model);
    const size_t floats = (size_t)arch->prompt_embed_dim * arch->embedding_side * arch->embedding_side;
    const char *slash = strrchr(given->prompts, '/');
    char folder[4096] = ".";
    if (slash)
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - given->prompts), given->prompts);
    mm_image image = {0};
    prompt_list list = {0};
    decoded all = {0};
    float *copy = malloc(floats * sizeof *copy);
    mm_status status = copy ? MM_OK : mm_fail_memory(err, "the embedding");
    if (status == MM_OK)
        status = read_picture(given->picture, &image, err);
    if (status == MM_OK)
        status = prompt_list_read(json, folder, 4 * arch->embedding_side, &list, err);
    if (status == MM_OK)
        status = mm_model_encode(model, mm_image_whole(&image), embedding, err);
    if (status == MM_OK)
        status = decode_all(model, embedding, &list, &all, err);
    if (status == MM_OK) {
        mm_embedding_copy(embedding, copy);
        status = write_floats(given->folder, "embedding.f32", copy, floats, err);
    }
    if (status == MM_OK)
        status = write_floats(given->folder, "logits.f32", all.logits, list.count * all.masks * all.plane, err);
    if (status == MM_OK)
        status = write_floats(given->folder, "predicted_iou.f32", all.predicted_iou, list.count * all.masks, err);
    free(all.logits);
    free(all.predicted_iou);
    prompt_list_free(&list);
    mm_image_free(&image);
    free(copy);
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {{"backend", 'b', "NAME", 0, "dnnl, blas or auto", 0},
                                                 {"precision", 'p', "P", 0, "f32 (the default) or bf16", 0},
                                                 {"threads", 't', "N", 0, "threads", 0},
                                                 {"model-config", 'c', "FILE", 0, "the architecture, JSON", 0},
                                                 {0}};
    static const struct argp parser = {.options = options, .parser = parse, .args_doc = "CHECKPOINT JPEG PROMPTS FOLDER"};
    arguments given = {.kernels = {.precision = MM_PRECISION_F32, .threads = 1}};
    if (argp_parse(&parser, argc, argv, 0, NULL, &given) != 0)
        return 2;
    mm_error err = {0};
    json_error_t where;
    mm_model *model = NULL;
    mm_embedding *embedding = NULL;
    json_t *json = json_load_file(given.prompts, 0, &where);
    mm_status status = json ? MM_OK : mm_fail(&err, MM_ERR_FORMAT, "%s: line %d: %s", given.prompts, where.line, where.text);
    if (status == MM_OK)
        status = mm_model_open(given.checkpoint, &(mm_model_options){.config_path = given.config, .kernels = given.kernels},
                               &model, &err);
    if (status == MM_OK)
        status = mm_embedding_new(model, &embedding, &err);
    if (status == MM_OK)
        status = dump(&given, model, embedding, json, &err);
    mm_embedding_free(embedding);
    mm_model_close(model);
    json_decref(json);
    if (status != MM_OK)
        fprintf(stderr, "maskmill-dump: %s\n", err.text);
    return status == MM_OK ? 0 : 4;
}
