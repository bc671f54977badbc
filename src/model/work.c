/* Multiply-adds of an architecture, layer by layer; what counts and why is in work.h. All in double: counts stay below
 * 2^53 for every public model, and beyond that the last digits do not matter. */
#include "maskmill/work.h"

static double squared(double side)
{
    return side * side;
}

/* Windows that cover a grid of side x side cells. */
static double windows_of(uint32_t side, uint32_t window)
{
    return squared((side + window - 1) / window);
}

/* qkv, scores, weighted values and output projection of `windows` windows; heads share the channels out. */
static double attention(double windows, double window, double channels, bool relative_positions)
{
    const double tokens = squared(window), rows = windows * tokens;
    const double positions = relative_positions ? 2 * window : 0;
    return rows * channels * (4 * channels + 2 * tokens + positions);
}

static double mlp(double rows, double channels, double hidden)
{
    return 2 * rows * channels * hidden;
}

static double neck(const mm_arch *arch, double in)
{
    const double out = arch->prompt_embed_dim;
    return squared(arch->embedding_side) * out * (in + 9 * out);
}

static double vit(const mm_arch *arch)
{
    const uint32_t side = arch->embedding_side, window = arch->vit.window_size;
    const double cells = squared(side), channels = arch->vit.embed_dim;
    double total = cells * 3 * squared(arch->vit.patch_size) * channels;
    for (uint32_t i = 0; i < arch->vit.depth; i++) {
        const bool global = arch->vit.global_attention[i] || !window;
        total += global ? attention(1, side, channels, arch->vit.rel_pos)
                        : attention(windows_of(side, window), window, channels, arch->vit.rel_pos);
        total += mlp(cells, channels, arch->vit.mlp_dim);
    }
    return total + neck(arch, channels);
}

/* 1x1, depthwise 3x3, 1x1; the grid changes its side in the middle. */
static double mbconv(double side, double out_side, double in, double hidden, double out)
{
    return squared(side) * in * hidden + squared(out_side) * hidden * (9 + out);
}

static double tiny_vit(const mm_arch *arch)
{
    const uint32_t *dims = arch->tiny.embed_dims, *sides = arch->tiny.resolution;
    const double stem = dims[0] / 2;
    double total = squared((arch->image_size + 1) / 2) * 27 * stem + squared(sides[0]) * 9 * stem * dims[0];
    total += arch->tiny.depths[0] * mbconv(sides[0], sides[0], dims[0], arch->tiny.mbconv_hidden, dims[0]);
    for (int stage = 0; stage < 3; stage++)
        total += mbconv(sides[stage], sides[stage + 1], dims[stage], dims[stage + 1], dims[stage + 1]);
    for (int stage = 1; stage < 4; stage++) {
        const double cells = squared(sides[stage]), channels = dims[stage];
        const uint32_t window = arch->tiny.window_sizes[stage];
        total += arch->tiny.depths[stage] *
                 (attention(windows_of(sides[stage], window), window, channels, false) +
                  cells * channels * squared(arch->tiny.local_conv_size) +
                  mlp(cells, channels, arch->tiny.mlp_hidden[stage]));
    }
    return total + neck(arch, dims[3]);
}

/* Letters as in src/model/mask_decoder.h. */
static double prompt(const mm_arch *arch)
{
    const double D = arch->prompt_embed_dim, N = squared(arch->embedding_side), c = arch->decoder.cross_dim;
    const double T = 1 + arch->decoder.mask_tokens + 2; /* the point and "not a point" */
    const double vectors = T * arch->decoder.num_heads;
    const double image = vectors * D * N; /* all folded vectors against the image, or weights against their values */
    const double shared = T * c * N;      /* the same on the projections that `prepare` made */
    const double fold = vectors * c * D;
    const double two_projections = 2 * T * D * c; /* of the tokens: q and out, or k and v */
    double total = 0;
    for (uint32_t i = 0; i < arch->decoder.depth; i++) {
        total += 4 * T * D * D + 2 * T * T * D; /* self-attention */
        total += mlp(T, D, arch->decoder.mlp_dim);
        /* Token to image: logits and sums; image to token: logits, and the values to be put out. */
        total += two_projections + (i ? 2 * image + 2 * fold : 2 * shared);
        total += two_projections + (i ? image + fold : shared) + image + fold;
    }
    total += two_projections + 2 * image + 2 * fold; /* the last token to image */
    const double hidden = arch->decoder.iou_head_hidden_dim, layers = arch->decoder.iou_head_depth;
    if (layers < 2)
        return total + D * arch->decoder.mask_tokens;
    return total + D * hidden + (layers - 2) * hidden * hidden + hidden * arch->decoder.mask_tokens;
}

static double upscale(const mm_arch *arch)
{
    const double D = arch->prompt_embed_dim, N = squared(arch->embedding_side);
    const double masks = arch->decoder.mask_tokens - 1.0, inner_layers = arch->decoder.hyper_depth - 1.0;
    const double steps = N * D * D + 4 * N * (D / 4) * (D / 2);
    const double hypernetwork = inner_layers * D * D + D * D / 8, product = 16 * N * D / 8;
    return steps + masks * (hypernetwork + product);
}

mm_work mm_arch_work(const mm_arch *arch)
{
    return (mm_work){
        .encode = arch->family == MM_FAMILY_VIT ? vit(arch) : tiny_vit(arch),
        .prepare = 3 * squared(arch->embedding_side) * arch->prompt_embed_dim * arch->decoder.cross_dim,
        .prompt = prompt(arch),
        .upscale = upscale(arch),
    };
}
