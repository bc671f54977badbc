"""Reference models of any size of both families, and seeded weights for them.

The modules are the reference packages' own, unpatched; only the assembly is here, because the packages' builders know
the public sizes alone. Every tensor of a seeded checkpoint is random, also those that default to zero or one."""

import json
import zlib
from functools import partial

import numpy as np
import torch
from images import draw_scene
from mobile_sam.modeling import tiny_vit_sam
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


class TinyEncoder(torch.nn.Module):
    """MobileSAM's TinyViT with free sizes: its class fixes the grid at 64 x 64, the neck at 256 channels, and ties the
    last halving to a width of 320."""

    def __init__(self, config):
        super().__init__()
        self.img_size = config["image_size"]
        dims, depths = config["embed_dims"], config["depths"]
        self.patch_embed = tiny_vit_sam.PatchEmbed(3, dims[0], self.img_size, torch.nn.GELU)
        self.layers = torch.nn.ModuleList()
        side = self.img_size // 4
        for stage in range(4):
            merge = tiny_vit_sam.PatchMerging if stage < 3 else None
            common = dict(dim=dims[stage], input_resolution=(side, side), depth=depths[stage], downsample=merge,
                          out_dim=dims[min(stage + 1, 3)], activation=torch.nn.GELU)
            if stage == 0:
                layer = tiny_vit_sam.ConvLayer(conv_expand_ratio=config["mbconv_expand_ratio"], **common)
            else:
                layer = tiny_vit_sam.BasicLayer(num_heads=config["num_heads"][stage], mlp_ratio=config["mlp_ratio"],
                                                window_size=config["window_sizes"][stage], **common)
            if merge:
                stride = 2 if config["downsample_between_stages"][stage] else 1
                layer.downsample.conv2.c.stride = (stride, stride)
                side = (side - 1) // stride + 1
            self.layers.append(layer)
        self.side = side
        width = config["prompt_embed_dim"]
        self.neck = torch.nn.Sequential(
            torch.nn.Conv2d(dims[3], width, 1, bias=False), tiny_vit_sam.LayerNorm2d(width),
            torch.nn.Conv2d(width, width, 3, padding=1, bias=False), tiny_vit_sam.LayerNorm2d(width))

    def forward(self, x):
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x.transpose(1, 2).reshape(len(x), -1, self.side, self.side))


def build(config):
    """A Sam module of the shape that `config` (the form of a checkpoint's maskmill.config) describes."""
    size, width, decoder = config["image_size"], config["prompt_embed_dim"], config["decoder"]
    if config["family"] == "vit":
        encoder = ImageEncoderViT(
            img_size=size, patch_size=config["patch_size"], embed_dim=config["embed_dim"], depth=config["depth"],
            num_heads=config["num_heads"], mlp_ratio=config["mlp_ratio"], out_chans=width, qkv_bias=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, window_size=config["window_size"],
            global_attn_indexes=config["global_attention"])
        side = size // config["patch_size"]
    else:
        encoder = TinyEncoder(config)
        side = encoder.side
    transformer = TwoWayTransformer(depth=decoder["depth"], embedding_dim=width, mlp_dim=decoder["mlp_dim"],
                                    num_heads=decoder["num_heads"],
                                    attention_downsample_rate=decoder["attention_downsample_rate"])
    sam = Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(embed_dim=width, image_embedding_size=(side, side), input_image_size=(size, size),
                                     mask_in_chans=config["mask_in_chans"]),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=decoder["num_multimask_outputs"], transformer=transformer, transformer_dim=width,
            iou_head_depth=decoder["iou_head_depth"], iou_head_hidden_dim=decoder["iou_head_hidden_dim"]),
        pixel_mean=MEAN, pixel_std=STD)
    return sam.eval()


def load_state(sam, state):
    """Load, and let TinyViT's attention rebuild the biases it caches (its .eval() does)."""
    ignored = ("image_encoder.head.", "image_encoder.norm_head.")
    missing, surplus = sam.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    surplus = [name for name in surplus if not name.startswith(ignored)]
    if missing or surplus:
        raise SystemExit(f"parity: the reference does not take this checkpoint: missing {missing}, surplus {surplus}")
    return sam.train().eval()


def _scaled_normal(rng, shape, fan_in, gain=1.0):
    return rng.normal(0.0, gain / np.sqrt(fan_in), shape)


def _draw(rng, name, shape):
    """One tensor. Scales keep activations near one, so that no stage hides an error of the one before it."""
    if name.endswith("num_batches_tracked"):
        return None
    last = name.rsplit(".", 1)[-1]
    if "positional_encoding" in name:
        return rng.normal(0.0, 1.0, shape)
    if last == "running_var":
        return rng.uniform(0.5, 1.5, shape)
    if last == "running_mean":
        return rng.normal(0.0, 0.2, shape)
    if last == "pos_embed":
        return rng.normal(0.0, 0.3, shape)
    if last in ("rel_pos_h", "rel_pos_w"):
        return rng.normal(0.0, 0.1, shape)
    if last == "attention_biases":
        return rng.normal(0.0, 0.5, shape)
    if last == "bias":
        return rng.normal(0.0, 0.1, shape)
    if "embed" in name and len(shape) == 2 and shape[0] == 1 or "tokens.weight" in name or "token.weight" in name:
        return rng.normal(0.0, 1.0, shape)
    if len(shape) == 1:  # gains of LayerNorm and batch norm
        return 1.0 + rng.normal(0.0, 0.2, shape)
    if len(shape) == 4 and "output_upscaling" in name:  # transposed, [in][out][2][2]; like taps keep masks smooth
        return _scaled_normal(rng, shape[:2] + (1, 1), shape[0], 1.4) + _scaled_normal(rng, shape, shape[0], 0.07)
    fan_in = int(np.prod(shape[1:]))
    return _scaled_normal(rng, shape, fan_in, 1.4 if "mlp" in name else 1.0)


def seeded_state(config, seed):
    """Random weights for `build(config)`, the same on every machine and torch version (numpy draws them)."""
    state = {}
    sam = build(config)
    for name, tensor in sam.state_dict().items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        drawn = _draw(rng, name, tuple(tensor.shape))
        state[name] = tensor if drawn is None else torch.from_numpy(np.asarray(drawn, dtype=np.float32))
    _make_prompts_matter(state)
    _calibrate(sam, state)
    return state


def _make_prompts_matter(state):
    """Independent query and key weights attend everywhere alike, and every mask would span the image. Keys that
    resemble their queries let positions find each other, so that masks form around the prompts."""
    for name in [n for n in state if n.endswith("q_proj.weight") and ("cross" in n or "final_attn" in n)]:
        key = name.replace("q_proj", "k_proj")
        state[name] = 2.0 * state[name]
        state[key] = 0.3 * state[key] + 0.95 * state[name]
    for name in state:
        if "cross_attn_image_to_token.out_proj.weight" in name:
            state[name] = 6.0 * state[name]
    for part in ("weight", "bias"):  # positions, of size one, must be heard above the content
        state["image_encoder.neck.3." + part] = 0.4 * state["image_encoder.neck.3." + part]


def _probe(sam, state):
    """All masks' logits, the mean upscaled feature and the scores for a grid of points on one drawn scene."""
    load_state(sam, state)
    size = sam.image_encoder.img_size
    scene = torch.tensor(np.asarray(draw_scene(size, size * 3 // 4, 5))).permute(2, 0, 1)[None]
    at = torch.linspace(0.15, 0.85, 4)
    points = torch.cartesian_prod(at * size, at * size * 3 / 4)[:, None]
    upscaled = []
    with torch.no_grad():
        embedding = sam.image_encoder(sam.preprocess(scene))
        sparse, dense = sam.prompt_encoder((points, torch.ones(len(points), 1)), None, None)
        hook = sam.mask_decoder.output_upscaling.register_forward_hook(lambda *given: upscaled.append(given[2]))
        logits, scores = sam.mask_decoder.predict_masks(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense)
        hook.remove()
    return logits[..., : logits.shape[-1] * 3 // 4, :], upscaled[0].mean((0, 2, 3)), scores


def _calibrate(sam, state):
    """Give masks and scores a spread like a trained model's: per mask token, logits with a deviation of 20 that are above
    zero on some 7 % of the pixels, and predicted IoU 0.85 +- 0.08. Most random decoders give all or nothing for a
    prompt, and no filter would be tested."""
    _, feature, scores = _probe(sam, state)
    along = torch.outer(feature, feature) / (feature @ feature)
    hyper = "mask_decoder.output_hypernetworks_mlps.{}.layers.2."
    for k in range(scores.shape[1]):  # what moves a whole mask up or down must not depend on the prompt
        for part in ("weight", "bias"):
            state[hyper.format(k) + part] = state[hyper.format(k) + part] - 0.9 * along @ state[hyper.format(k) + part]
        head = "mask_decoder.iou_prediction_head.layers.2."
        gain = 0.08 / scores[:, k].std()
        state[head + "weight"][k] *= gain
        state[head + "bias"][k] = gain * (state[head + "bias"][k] - scores[:, k].mean()) + 0.85
    logits, _, _ = _probe(sam, state)
    for k in range(scores.shape[1]):
        gain = 20.0 / logits[:, k].std()
        shift = gain * logits[:, k].flatten()[::7].quantile(0.93)
        state[hyper.format(k) + "weight"] = gain * state[hyper.format(k) + "weight"]
        state[hyper.format(k) + "bias"] = gain * state[hyper.format(k) + "bias"] - shift * feature / (feature @ feature)


def save_pth(state, path):
    torch.save(state, path)


def save_safetensors(state, config, path, dtype=torch.float32):
    """With the architecture in the metadata, where `maskmill` looks for what shapes do not tell."""
    from safetensors.torch import save_file

    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in state.items()
               if not name.endswith("num_batches_tracked")}
    save_file(tensors, path, metadata={"maskmill.config": json.dumps(config)})


def _told_by_shapes(state, config):
    """What `maskmill model convert` leaves out of the metadata."""
    told = {}
    if config["family"] == "tiny_vit":
        hidden = state["image_encoder.layers.1.blocks.0.mlp.fc1.weight"].shape
        told["mlp_ratio"] = hidden[0] / hidden[1]
    inner = state["mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight"].shape
    config["decoder"].setdefault("attention_downsample_rate", inner[1] // inner[0])
    return told


def load_checkpoint(path):
    """State and architecture (None for .pth) of a checkpoint file, as float32."""
    if str(path).endswith(".safetensors"):
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name).float() for name in file.keys()}
            config = json.loads((file.metadata() or {}).get("maskmill.config", "null"))
            return state, config and {**_told_by_shapes(state, config), **config}
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: t.float() if t.is_floating_point() else t for name, t in state.items()}, None
