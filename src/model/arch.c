/* Which Segment Anything model a checkpoint holds. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch_internal.h"

#define MAX_CONFIG (1u << 20)

mm_status mm_arch_probe(const mm_checkpoint *checkpoint, const char *name, uint32_t dims, const mm_tensor **tensor,
                        mm_error *err)
{
    *tensor = mm_checkpoint_find(checkpoint, name);
    if (!*tensor)
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s is missing; this is not a whole Segment Anything checkpoint", name);
    if ((*tensor)->dims != dims)
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s has %u dimensions instead of %u", name, (*tensor)->dims, dims);
    for (uint32_t d = 0; d < dims; d++)
        if ((*tensor)->shape[d] == 0 || (*tensor)->shape[d] > UINT32_MAX)
            return mm_fail(err, MM_ERR_FORMAT, "tensor %s has a dimension of %llu", name,
                           (unsigned long long)(*tensor)->shape[d]);
    return MM_OK;
}

uint32_t mm_arch_count(const mm_checkpoint *checkpoint, const char *before, const char *after, uint32_t limit)
{
    uint32_t count = 0;
    while (count <= limit) {
        char name[192];
        (void)snprintf(name, sizeof name, "%s%u%s", before, count, after); /* callers' names are short */
        if (!mm_checkpoint_find(checkpoint, name))
            break;
        count++;
    }
    return count;
}

mm_status mm_arch_limit(const char *what, uint64_t value, uint64_t limit, mm_error *err)
{
    if (value == 0)
        return mm_fail(err, MM_ERR_FORMAT, "%s is 0", what);
    if (value > limit)
        return mm_fail(err, MM_ERR_LIMIT, "%s is %llu; up to %llu is supported", what, (unsigned long long)value,
                       (unsigned long long)limit);
    return MM_OK;
}

static mm_status probe(const mm_checkpoint *checkpoint, mm_arch_draft *draft, mm_error *err)
{
    mm_status status;
    if (mm_checkpoint_find(checkpoint, "image_encoder.patch_embed.proj.weight")) {
        status = mm_arch_probe_vit(checkpoint, draft, err);
    } else if (mm_checkpoint_find(checkpoint, "image_encoder.patch_embed.seq.0.c.weight")) {
        status = mm_arch_probe_tiny_vit(checkpoint, draft, err);
    } else {
        const mm_tensor *first = mm_checkpoint_at(checkpoint, 0);
        return mm_fail(err, MM_ERR_UNSUPPORTED,
                       "holds another network: neither SAM's image_encoder.patch_embed.proj.weight nor MobileSAM's "
                       "image_encoder.patch_embed.seq.0.c.weight is among its %zu tensors (the first is %s)",
                       mm_checkpoint_count(checkpoint), first->name);
    }
    return status == MM_OK ? mm_arch_probe_decoder(checkpoint, draft, err) : status;
}

static mm_status read_config_file(const char *path, char **text, size_t *length, mm_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not hold us up */
    struct stat info;
    if (fd < 0)
        return mm_fail_errno(err, "cannot open --model-config %s", path);
    mm_status status = MM_OK;
    *text = NULL;
    *length = 0;
    if (fstat(fd, &info) != 0)
        status = mm_fail_errno(err, "cannot stat --model-config %s", path);
    else if (!S_ISREG(info.st_mode) || info.st_size > MAX_CONFIG)
        status = mm_fail(err, MM_ERR_USAGE, "--model-config %s is not a JSON file of up to 1 MiB", path);
    else if (!(*text = malloc((size_t)info.st_size + 1)))
        status = mm_fail_memory(err, "a model config");
    while (status == MM_OK && *length < (size_t)info.st_size) {
        const ssize_t got = read(fd, *text + *length, (size_t)info.st_size - *length);
        if (got < 0)
            status = mm_fail_errno(err, "cannot read --model-config %s", path);
        if (got <= 0)
            break;
        *length += (size_t)got;
    }
    (void)close(fd); /* only read from */
    if (status != MM_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

static mm_status apply_config(const mm_checkpoint *checkpoint, const char *config_path, mm_arch_draft *draft,
                              mm_error *err)
{
    if (config_path) {
        char *text = NULL;
        size_t length = 0;
        mm_status status = read_config_file(config_path, &text, &length, err);
        if (status == MM_OK)
            status = mm_arch_apply_config(text, length, config_path, draft, err);
        free(text);
        return status;
    }
    const char *metadata = mm_checkpoint_metadata(checkpoint, "maskmill.config");
    return metadata ? mm_arch_apply_config(metadata, strlen(metadata), "metadata maskmill.config", draft, err) : MM_OK;
}

static bool equals(const uint32_t *a, const uint32_t *b)
{
    return memcmp(a, b, 4 * sizeof *a) == 0;
}

/* What no shape tells about the published models. [SAM] and [MobileSAM] share one decoder; its heads go with its
 * widths, so they are known for every depth. MobileSAM is the only published TinyViT with these widths. */
static void fill_in_published(mm_arch_draft *draft)
{
    static const uint32_t mobile_sam_widths[4] = {64, 128, 160, 320}, mobile_sam_depths[4] = {2, 2, 6, 2};
    mm_arch *arch = &draft->arch;
    if (arch->decoder.num_heads == 0 && arch->prompt_embed_dim == 256 && arch->decoder.cross_dim == 128 &&
        arch->decoder.mlp_dim == 2048)
        arch->decoder.num_heads = 8;
    if (arch->family == MM_FAMILY_TINY_VIT && equals(arch->tiny.embed_dims, mobile_sam_widths) &&
        equals(arch->tiny.depths, mobile_sam_depths)) {
        if (arch->image_size == 0)
            arch->image_size = 1024;
        if (!draft->halving_told)
            arch->tiny.downsample_between[0] = arch->tiny.downsample_between[1] = true;
        draft->halving_told = true;
        if (arch->tiny.num_heads[0] == 0)
            arch->tiny.num_heads[0] = 2;
        if (arch->tiny.window_sizes[0] == 0)
            arch->tiny.window_sizes[0] = 7;
    }
    /* [ref] build_sam.py: the means and deviations of ImageNet in 8-bit steps. */
    static const float mean[3] = {123.675f, 116.28f, 103.53f}, deviation[3] = {58.395f, 57.12f, 57.375f};
    if (arch->pixel_std[0] == 0)
        for (int c = 0; c < 3; c++)
            arch->pixel_std[c] = deviation[c];
    if (!draft->mean_said)
        for (int c = 0; c < 3; c++)
            arch->pixel_mean[c] = mean[c];
}

static mm_status ask_for(const char *key, mm_error *err)
{
    return mm_fail(err, MM_ERR_USAGE, "neither shapes nor metadata tell %s of this model; give it in a JSON file with "
                                      "--model-config", key);
}

static mm_status finish_vit(mm_arch_draft *draft, mm_error *err)
{
    mm_arch *arch = &draft->arch;
    if (arch->image_size == 0)
        return ask_for("image_size", err);
    if (arch->vit.num_heads == 0)
        return ask_for("num_heads", err);
    if (!arch->vit.rel_pos && !(draft->window_said && draft->global_said))
        return ask_for("window_size and global_attention", err);
    if (arch->image_size % arch->vit.patch_size != 0)
        return mm_fail(err, MM_ERR_USAGE, "image_size %u is not a multiple of patch_size %u", arch->image_size,
                       arch->vit.patch_size);
    if (arch->vit.embed_dim % arch->vit.num_heads != 0)
        return mm_fail(err, MM_ERR_FORMAT, "num_heads %u does not divide embed_dim %u", arch->vit.num_heads,
                       arch->vit.embed_dim);
    arch->embedding_side = arch->image_size / arch->vit.patch_size;
    return mm_arch_tell_windows(draft, err);
}

/* Stage 0 works at a quarter of the image's side; each merge that halves doubles the stride. [TinyViT] */
static mm_status finish_tiny_vit(mm_arch_draft *draft, mm_error *err)
{
    mm_arch *arch = &draft->arch;
    if (arch->image_size == 0)
        return ask_for("image_size", err);
    if (!draft->halving_told)
        return ask_for("downsample_between_stages", err);
    uint32_t stride = 4;
    for (int i = 0; i < 4; i++) {
        arch->tiny.resolution[i] = arch->image_size / stride;
        if (i < 3 && arch->tiny.downsample_between[i])
            stride *= 2;
    }
    if (arch->image_size % stride != 0)
        return mm_fail(err, MM_ERR_USAGE, "image_size %u is not a multiple of the embedding's stride %u",
                       arch->image_size, stride);
    arch->embedding_side = arch->tiny.resolution[3];
    return MM_OK;
}

static mm_status finish(mm_arch_draft *draft, mm_error *err)
{
    mm_arch *arch = &draft->arch;
    mm_status status = arch->family == MM_FAMILY_VIT ? finish_vit(draft, err) : finish_tiny_vit(draft, err);
    if (status == MM_OK && arch->decoder.num_heads == 0)
        status = ask_for("decoder.num_heads", err);
    if (status == MM_OK)
        status = mm_arch_limit("image_size", arch->image_size, MM_ARCH_MAX_IMAGE, err);
    if (status == MM_OK)
        status = mm_arch_limit("the embedding's side in cells", arch->embedding_side, MM_ARCH_MAX_SIDE, err);
    const uint32_t heads = arch->decoder.num_heads;
    if (status == MM_OK && (arch->prompt_embed_dim % heads != 0 || arch->decoder.cross_dim % heads != 0))
        return mm_fail(err, MM_ERR_USAGE, "decoder.num_heads %u does not divide the decoder's widths %u and %u", heads,
                       arch->prompt_embed_dim, arch->decoder.cross_dim);
    return status;
}

static void name_model(mm_arch *arch)
{
    static const struct {
        uint32_t embed_dim, depth, num_heads;
        const char *name;
    } published[] = {{768, 12, 12, "SAM ViT-B"}, {1024, 24, 16, "SAM ViT-L"}, {1280, 32, 16, "SAM ViT-H"}};
    static const uint32_t mobile_sam[4] = {64, 128, 160, 320};
    const bool public_size = arch->image_size == 1024 && arch->prompt_embed_dim == 256 && arch->decoder.depth == 2;
    if (arch->family == MM_FAMILY_TINY_VIT) {
        const uint32_t *w = arch->tiny.embed_dims;
        if (public_size && equals(w, mobile_sam))
            (void)snprintf(arch->name, sizeof arch->name, "MobileSAM");
        else
            (void)snprintf(arch->name, sizeof arch->name, "TinyViT %u-%u-%u-%u", w[0], w[1], w[2], w[3]);
        return;
    }
    (void)snprintf(arch->name, sizeof arch->name, "ViT %ux%u", arch->vit.embed_dim, arch->vit.depth);
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
        if (public_size && arch->vit.embed_dim == published[i].embed_dim && arch->vit.depth == published[i].depth &&
            arch->vit.num_heads == published[i].num_heads)
            (void)snprintf(arch->name, sizeof arch->name, "%s", published[i].name);
}

/* Checking the tensors against the list that follows from the architecture. */
typedef struct audit {
    const mm_checkpoint *checkpoint;
    bool *used;
} audit;

static void format_shape(char *out, size_t size, uint32_t dims, const uint64_t *shape)
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t d = 0; d < dims && at < size; d++) {
        const int n = snprintf(out + at, size - at, "%s%llu", d ? "x" : "", (unsigned long long)shape[d]);
        at += n > 0 ? (size_t)n : 0;
    }
}

static mm_status check_tensor(void *user, const char *name, uint32_t dims, const uint64_t *shape, mm_error *err)
{
    audit *check = user;
    const mm_tensor *tensor = mm_checkpoint_find(check->checkpoint, name);
    if (!tensor)
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s is missing", name);
    if (tensor->dims != dims || memcmp(tensor->shape, shape, dims * sizeof *shape) != 0) {
        char found[96], expected[96];
        format_shape(found, sizeof found, tensor->dims, tensor->shape);
        format_shape(expected, sizeof expected, dims, shape);
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s has the shape %s instead of %s", name, found, expected);
    }
    if (tensor->dtype == MM_I64)
        return mm_fail(err, MM_ERR_FORMAT, "tensor %s holds integers instead of weights", name);
    check->used[tensor - mm_checkpoint_at(check->checkpoint, 0)] = true;
    return MM_OK;
}

/* TinyViT's classifier and batch norm's step counters; MobileSAM carries them along unused. */
static bool is_ignored(const mm_arch *arch, const char *name)
{
    static const char *const unused[] = {"image_encoder.norm_head.", "image_encoder.head."};
    static const char counter[] = ".bn.num_batches_tracked";
    if (arch->family != MM_FAMILY_TINY_VIT)
        return false;
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++)
        if (strncmp(name, unused[i], strlen(unused[i])) == 0)
            return true;
    const size_t length = strlen(name);
    return length > sizeof counter && strcmp(name + length - (sizeof counter - 1), counter) == 0;
}

static mm_status check_tensors(const mm_checkpoint *checkpoint, const mm_arch *arch, mm_error *err)
{
    audit check = {checkpoint, calloc(mm_checkpoint_count(checkpoint), sizeof(bool))};
    if (!check.used)
        return mm_fail_memory(err, "the check of a checkpoint");
    mm_status status = mm_arch_each_tensor(arch, check_tensor, &check, err);
    for (size_t i = 0; status == MM_OK && i < mm_checkpoint_count(checkpoint); i++) {
        const char *name = mm_checkpoint_at(checkpoint, i)->name;
        if (!check.used[i] && !is_ignored(arch, name))
            status = mm_fail(err, MM_ERR_FORMAT, "tensor %s is no part of %s", name, arch->name);
    }
    free(check.used);
    return status;
}

mm_status mm_arch_recognise(const mm_checkpoint *checkpoint, const char *config_path, mm_arch *arch, mm_error *err)
{
    mm_arch_draft draft = {0};
    mm_status status = probe(checkpoint, &draft, err);
    if (status == MM_OK)
        status = apply_config(checkpoint, config_path, &draft, err);
    if (status != MM_OK)
        return status;
    fill_in_published(&draft);
    status = finish(&draft, err);
    if (status != MM_OK)
        return status;
    name_model(&draft.arch);
    status = check_tensors(checkpoint, &draft.arch, err);
    if (status == MM_OK)
        *arch = draft.arch;
    return status;
}
