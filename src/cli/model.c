/* maskmill model info | convert | list */
#include <inttypes.h>
#include <string.h>

#include "arguments.h"
#include "cli.h"
#include "maskmill/model.h"

enum { KEY_MODEL_CONFIG = 1, KEY_BF16 };

typedef struct model_arguments {
    mm_cli_input base;
    const char *model, *model_config, *out;
    bool bf16;
} model_arguments;

static const struct argp_option info_rows[] = {
    {"model-config", KEY_MODEL_CONFIG, "FILE", 0, "JSON with what the checkpoint does not tell of its shape", 0},
    {0},
};

static const struct argp_option convert_rows[] = {
    {"output", 'o', "FILE", 0, "the safetensors file to write", 0},
    {"bf16", KEY_BF16, NULL, 0, "round the weights to bf16: half the size", 0},
    {"model-config", KEY_MODEL_CONFIG, "FILE", 0, "JSON with what the checkpoint does not tell of its shape", 0},
    {0},
};

static error_t parse_info(int key, char *word, struct argp_state *state)
{
    model_arguments *arguments = state->input;
    if (key == KEY_MODEL_CONFIG)
        return mm_cli_keep_once(state, &arguments->model_config, word);
    return mm_cli_positional(key, word, state, &arguments->model, 1, "a checkpoint file or the name of a model");
}

static error_t parse_convert(int key, char *word, struct argp_state *state)
{
    model_arguments *arguments = state->input;
    if (key == 'o')
        return mm_cli_keep_once(state, &arguments->out, word);
    if (key == KEY_BF16) {
        arguments->bf16 = true;
        return 0;
    }
    if (key == ARGP_KEY_END && !arguments->out)
        return mm_cli_refuse(state, "needs -o FILE");
    return parse_info(key, word, state);
}

static error_t parse_list(int key, char *word, struct argp_state *state)
{
    return mm_cli_positional(key, word, state, NULL, 0, "nothing");
}

static void print_vit(const mm_arch *arch)
{
    uint32_t global = 0;
    for (uint32_t i = 0; i < arch->vit.depth; i++)
        global += arch->vit.global_attention[i];
    printf("encoder:     ViT, patches of %" PRIu32 ", %" PRIu32 " wide, %" PRIu32 " blocks (%" PRIu32
           " with global attention, windows of %" PRIu32 " else), %" PRIu32 " heads\n",
           arch->vit.patch_size, arch->vit.embed_dim, arch->vit.depth, global, arch->vit.window_size,
           arch->vit.num_heads);
}

static void print_tiny_vit(const mm_arch *arch)
{
    printf("encoder:     TinyViT, stages");
    for (int i = 0; i < 4; i++)
        printf("%s %" PRIu32 " wide (%" PRIu32 " deep, %" PRIu32 " cells a side)", i ? "," : "",
               arch->tiny.embed_dims[i], arch->tiny.depths[i], arch->tiny.resolution[i]);
    printf("\n");
}

static void print_model(const char *path, const mm_checkpoint *checkpoint, const mm_arch *arch, const char *sha256)
{
    static const char *const dtypes[] = {"f32", "f16", "bf16", "i64"}; /* in the order of mm_dtype */
    uint64_t parameters = 0, tensors[4] = {0};
    const size_t count = mm_checkpoint_count(checkpoint);
    for (size_t i = 0; i < count; i++) {
        const mm_tensor *tensor = mm_checkpoint_at(checkpoint, i);
        parameters += tensor->elements;
        tensors[tensor->dtype]++;
    }
    printf("file:        %s\n", path);
    printf("sha256:      %s\n", sha256);
    printf("model:       %s\n", arch->name);
    printf("image size:  %" PRIu32 " pixels, embedded in %" PRIu32 " x %" PRIu32 " cells of %" PRIu32 " channels\n",
           arch->image_size, arch->embedding_side, arch->embedding_side, arch->prompt_embed_dim);
    if (arch->family == MM_FAMILY_VIT)
        print_vit(arch);
    else
        print_tiny_vit(arch);
    printf("decoder:     %" PRIu32 " layers, %" PRIu32 " heads, MLP of %" PRIu32 ", %" PRIu32 " mask tokens\n",
           arch->decoder.depth, arch->decoder.num_heads, arch->decoder.mlp_dim, arch->decoder.mask_tokens);
    printf("parameters:  %" PRIu64 "\n", parameters);
    printf("tensors:     %zu (", count);
    const char *between = "";
    for (int i = 0; i < 4; i++)
        if (tensors[i]) {
            printf("%s%" PRIu64 " %s", between, tensors[i], dtypes[i]);
            between = ", ";
        }
    printf(")\n");
    printf("weights:     %.1f MB in f32, %.1f MB in bf16\n", (double)parameters * 4e-6, (double)parameters * 2e-6);
    const char *thresholds = mm_checkpoint_metadata(checkpoint, "maskmill.thresholds");
    const char *card = mm_checkpoint_metadata(checkpoint, "maskmill.card");
    if (thresholds)
        printf("thresholds:  %s\n", thresholds);
    if (card)
        printf("\n%s", card);
}

/* Open and recognise; the caller closes *checkpoint, also on failure. */
static mm_status open_model(const model_arguments *arguments, char path[4096], mm_checkpoint **checkpoint, mm_arch *arch,
                            mm_error *err)
{
    mm_status status = mm_checkpoint_locate(arguments->model, path, 4096, err);
    if (status == MM_OK)
        status = mm_checkpoint_open(path, checkpoint, err);
    if (status == MM_OK)
        status = mm_arch_recognise(*checkpoint, arguments->model_config, arch, err);
    return status;
}

static mm_status info(int argc, char **argv, mm_error *err)
{
    static const struct argp argp = {
        .options = info_rows,
        .parser = parse_info,
        .args_doc = "MODEL",
        .doc = "What a checkpoint holds: its architecture, sizes, and SHA-256.",
    };
    model_arguments arguments = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "model info", 2, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return status;
    char path[4096], sha256[65];
    mm_checkpoint *checkpoint = NULL;
    mm_arch arch;
    status = open_model(&arguments, path, &checkpoint, &arch, err);
    if (status == MM_OK)
        status = mm_checkpoint_sha256(path, sha256, err);
    if (status == MM_OK)
        print_model(path, checkpoint, &arch, sha256);
    mm_checkpoint_close(checkpoint);
    return status;
}

static mm_status convert(int argc, char **argv, mm_error *err)
{
    static const struct argp argp = {
        .options = convert_rows,
        .parser = parse_convert,
        .args_doc = "MODEL -o FILE",
        .doc = "Write a checkpoint as safetensors, with what its shape does not tell as metadata.",
    };
    model_arguments arguments = {0};
    bool help = false;
    mm_status status = mm_cli_parse(&argp, "model convert", 2, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return status;
    char path[4096];
    mm_checkpoint *checkpoint = NULL;
    mm_arch arch;
    status = open_model(&arguments, path, &checkpoint, &arch, err);
    if (status == MM_OK)
        status = mm_checkpoint_convert(checkpoint, &arch, arguments.bf16, arguments.out, err);
    mm_checkpoint_close(checkpoint);
    if (status == MM_OK)
        printf("%s, %s, is now in %s\n", arch.name, arguments.bf16 ? "bf16" : "its own precision", arguments.out);
    return status;
}

static mm_status list(int argc, char **argv, mm_error *err)
{
    static const struct argp argp = {
        .parser = parse_list,
        .doc = "The names that -m takes, and where their files are.",
    };
    static const char *const names[] = {"default", "mobile_sam", "vit_b", "vit_l", "vit_h"};
    model_arguments arguments = {0};
    bool help = false;
    const mm_status status = mm_cli_parse(&argp, "model list", 2, argc, argv, &arguments.base, &help, err);
    if (status != MM_OK || help)
        return status;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[4096];
        if (mm_checkpoint_locate(names[i], path, sizeof path, NULL) == MM_OK)
            printf("%-10s  %s\n", names[i], path);
        else
            printf("%-10s  not here; scripts/fetch-weights %s downloads it\n", names[i], names[i]);
    }
    return MM_OK;
}

mm_status mm_cli_model(int argc, char **argv, int *exit_status, mm_error *err)
{
    (void)exit_status;
    const char *what = argc > 2 ? argv[2] : "";
    if (strcmp(what, "info") == 0)
        return info(argc, argv, err);
    if (strcmp(what, "convert") == 0)
        return convert(argc, argv, err);
    if (strcmp(what, "list") == 0)
        return list(argc, argv, err);
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        printf("Usage: maskmill model info MODEL\n"
               "       maskmill model convert MODEL -o FILE [--bf16]\n"
               "       maskmill model list\n");
        return MM_OK;
    }
    return mm_fail(err, MM_ERR_USAGE, "model: needs info, convert or list; see `maskmill model --help`");
}
