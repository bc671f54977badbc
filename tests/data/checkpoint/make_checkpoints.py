#!/usr/bin/env python3
"""Makes the small seeded checkpoints of this folder, their golden values, and the shapes of the published models.

Needs torch, numpy, safetensors, transformers and the reference's packages (segment-anything-py, mobilesam-mirror);
scripts/parity_lib/stubs stands for torchvision and timm. Run it in this folder; the tests read what it leaves and need
none of these.
"""
import json
import os
import pickle
import re
import sys
import warnings
import zipfile
from collections import OrderedDict
from functools import partial

import torch
from safetensors.torch import save_file
from transformers import SamConfig, SamModel

warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../scripts/parity_lib/stubs"))
from mobile_sam.build_sam import build_sam_vit_t  # noqa: E402
from mobile_sam.modeling import TinyViT  # noqa: E402
from mobile_sam.modeling.tiny_vit_sam import LayerNorm2d  # noqa: E402
from segment_anything import build_sam_vit_b, build_sam_vit_h, build_sam_vit_l  # noqa: E402
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer  # noqa: E402


def prompt_and_decoder(width, side, image_size, heads, mlp_dim, depth):
    return (
        PromptEncoder(width, (side, side), (image_size, image_size), 4),
        MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=depth, embedding_dim=width, mlp_dim=mlp_dim, num_heads=heads),
            transformer_dim=width,
            iou_head_depth=3,
            iou_head_hidden_dim=12,
        ),
    )


def randomised(module, seed):
    """The state dict with every tensor random, also those that default to 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    state = module.state_dict()
    for name, tensor in state.items():
        if tensor.dtype == torch.int64:
            tensor.fill_(seed)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return state


def narrow_vit():
    sam = torch.nn.Module()
    sam.image_encoder = ImageEncoderViT(
        img_size=32, patch_size=8, embed_dim=12, depth=2, num_heads=3, out_chans=16, use_rel_pos=True, window_size=3,
        global_attn_indexes=(1,), norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    sam.prompt_encoder, sam.mask_decoder = prompt_and_decoder(16, 4, 32, 2, 24, 2)
    return sam


def narrow_tiny_vit():
    sam = torch.nn.Module()
    sam.image_encoder = TinyViT(
        img_size=64, num_classes=3, embed_dims=[4, 8, 12, 16], depths=[1, 1, 2, 1], num_heads=[1, 2, 3, 4],
        window_sizes=[7, 4, 5, 3], mlp_ratio=2.5, mbconv_expand_ratio=3.0,
    )
    sam.image_encoder.neck = torch.nn.Sequential(
        torch.nn.Conv2d(16, 16, 1, bias=False), LayerNorm2d(16),
        torch.nn.Conv2d(16, 16, 3, padding=1, bias=False), LayerNorm2d(16),
    )
    sam.prompt_encoder, sam.mask_decoder = prompt_and_decoder(16, 4, 64, 4, 20, 1)
    return sam


def transformers_copy(state):
    """transformers' SamModel of the narrow ViT's shape, filled with the same values by matching modules by hand."""
    config = SamConfig(
        vision_config=dict(hidden_size=12, output_channels=16, num_hidden_layers=2, num_attention_heads=3, image_size=32,
                           patch_size=8, window_size=3, global_attn_indexes=[1], mlp_dim=48, num_pos_feats=8),
        prompt_encoder_config=dict(hidden_size=16, image_size=32, patch_size=8, mask_input_channels=4),
        mask_decoder_config=dict(hidden_size=16, mlp_dim=24, num_hidden_layers=2, num_attention_heads=2,
                                 iou_head_depth=3, iou_head_hidden_dim=12),
    )
    model = SamModel(config)
    vision, prompt, decoder = model.vision_encoder, model.prompt_encoder, model.mask_decoder
    take = lambda module, name: module.load_state_dict(
        {k[len(name) + 1:]: v for k, v in state.items() if k.startswith(name + ".")})
    put = lambda parameter, name: parameter.data.copy_(state[name])
    take(vision.patch_embed.projection, "image_encoder.patch_embed.proj")
    put(vision.pos_embed, "image_encoder.pos_embed")
    for i, layer in enumerate(vision.layers):
        name = f"image_encoder.blocks.{i}."
        take(layer.layer_norm1, name + "norm1")
        take(layer.layer_norm2, name + "norm2")
        take(layer.attn, name + "attn")
        take(layer.mlp, name + "mlp")
    take(vision.neck.conv1, "image_encoder.neck.0")
    take(vision.neck.layer_norm1, "image_encoder.neck.1")
    take(vision.neck.conv2, "image_encoder.neck.2")
    take(vision.neck.layer_norm2, "image_encoder.neck.3")
    matrix = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    put(model.shared_image_embedding.positional_embedding, matrix)
    put(prompt.shared_embedding.positional_embedding, matrix)
    for i, embedding in enumerate(prompt.point_embed):
        take(embedding, f"prompt_encoder.point_embeddings.{i}")
    take(prompt.not_a_point_embed, "prompt_encoder.not_a_point_embed")
    take(prompt.no_mask_embed, "prompt_encoder.no_mask_embed")
    for ours, theirs in (("conv1", 0), ("layer_norm1", 1), ("conv2", 3), ("layer_norm2", 4), ("conv3", 6)):
        take(getattr(prompt.mask_embed, ours), f"prompt_encoder.mask_downscaling.{theirs}")
    for i, layer in enumerate(decoder.transformer.layers):
        name = f"mask_decoder.transformer.layers.{i}."
        for k in range(1, 5):
            take(getattr(layer, f"layer_norm{k}"), name + f"norm{k}")
        for part in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token", "mlp"):
            take(getattr(layer, part), name + part)
    take(decoder.transformer.final_attn_token_to_image, "mask_decoder.transformer.final_attn_token_to_image")
    take(decoder.transformer.layer_norm_final_attn, "mask_decoder.transformer.norm_final_attn")
    take(decoder.iou_token, "mask_decoder.iou_token")
    take(decoder.mask_tokens, "mask_decoder.mask_tokens")
    take(decoder.upscale_conv1, "mask_decoder.output_upscaling.0")
    take(decoder.upscale_layer_norm, "mask_decoder.output_upscaling.1")
    take(decoder.upscale_conv2, "mask_decoder.output_upscaling.3")
    mlps = [(mlp, f"mask_decoder.output_hypernetworks_mlps.{i}") for i, mlp in
            enumerate(decoder.output_hypernetworks_mlps)]
    for mlp, name in mlps + [(decoder.iou_prediction_head, "mask_decoder.iou_prediction_head")]:
        take(mlp.proj_in, name + ".layers.0")
        take(mlp.layers[0], name + ".layers.1")
        take(mlp.proj_out, name + ".layers.2")
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def write_goldens(path, files):
    """One line a tensor: set of values (one or several files hold it), canonical name, shape, FNV-1a of its values as little-endian f32."""
    with open(path, "w") as out:
        for file, state in files:
            for name, tensor in sorted(state.items()):
                if tensor.dtype == torch.int64:
                    continue
                values = tensor.to(torch.float32).contiguous().numpy().astype("<f4").tobytes()
                shape = "x".join(map(str, tensor.shape)) or "-"
                out.write(f"{file} {name} {shape} {fnv1a(values):016x}\n")


def runs(numbers):
    """[0, 1, 2, 5] -> [(0, 2), (5, 5)]"""
    found = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def write_public_shapes(path):
    """The published architectures as the reference builds them: model, name, I64 or F32, shape. Names that differ in
    their first number alone and are of one shape share a line: blocks.#0-11.norm1.weight."""
    builders = (("vit_b", build_sam_vit_b), ("vit_l", build_sam_vit_l), ("vit_h", build_sam_vit_h),
                ("mobile_sam", build_sam_vit_t))
    with open(path, "w") as out:
        for model, build in builders:
            lines = OrderedDict()
            for name, tensor in build().state_dict().items():
                kind = "I64" if tensor.dtype == torch.int64 else "F32"
                before, number, after = re.match(r"(.*?\.)(\d+)(\..*)$", name + ".").groups() if re.search(
                    r"\.\d+(\.|$)", name) else (name + ".", None, "")
                line = (before, after.rstrip("."), kind, "x".join(map(str, tensor.shape)) or "-")
                lines.setdefault(line, []).append(number)
            for (before, after, kind, shape), numbers in lines.items():
                if numbers == [None]:
                    out.write(f"{model} {before.rstrip('.')} {kind} {shape}\n")
                    continue
                for low, high in runs(map(int, numbers)):
                    out.write(f"{model} {before}#{low}-{high}{after} {kind} {shape}\n")


def archive(path, pickled, storages=(), byteorder=b"little", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as out:
        def put(name, data):
            out.writestr(zipfile.ZipInfo("archive/" + name), data, compression)
        put("data.pkl", pickled)
        put("byteorder", byteorder)
        for key, data in storages:
            put("data/" + key, data)


def recompress(source, path):
    with zipfile.ZipFile(source) as old:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)


class Runs:
    """Pickles to a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def main():
    torch.set_grad_enabled(False)
    vit = randomised(narrow_vit(), 1)
    save_file(vit, "vit.safetensors")
    brain = {name: tensor.bfloat16() for name, tensor in vit.items()}
    save_file(brain, "vit_bf16.safetensors", metadata={"maskmill.config": json.dumps({"decoder": {"num_heads": 2}})})
    save_file(transformers_copy(vit), "vit_transformers.safetensors")
    with open("vit.json", "w") as out:
        json.dump({"family": "vit", "window_size": 3, "global_attention": [1], "decoder": {"num_heads": 2}}, out)

    tiny = randomised(narrow_tiny_vit(), 2)
    torch.save(tiny, "tiny_vit.pth")
    with open("tiny_vit.json", "w") as out:
        json.dump({"family": "tiny_vit", "image_size": 64, "downsample_between_stages": [True, True, False],
                   "mlp_ratio": 2.5, "decoder": {"num_heads": 4, "attention_downsample_rate": 2}}, out)

    # Files for the reader alone: every way in which a state dict may hold its tensors.
    generator = torch.Generator().manual_seed(3)
    base = torch.randn(4, 6, generator=generator)
    views = OrderedDict(
        whole=base, transposed=base.t(), column=base[:, 2], tail=base[2:, 1:].contiguous()[1:], steps=base[::2, ::3],
        scalar=torch.tensor(2.5), empty=torch.zeros(0, 3), counter=torch.tensor([7, -1]),
        half=torch.tensor([1.0, -2.0, 65504.0, 6e-8, float("inf")]).half(),
        brain=torch.tensor([1.0, -3.0e38, 1e-40, float("-inf")]).bfloat16(),
    )
    views["parameter"] = torch.nn.Parameter(torch.randn(3, generator=generator))
    torch.save(views, "views.pth")
    torch.save(views, "views_protocol4.pth", pickle_protocol=4)
    recompress("views.pth", "views_deflated.pth")
    torch.save(views, "views_legacy.pth", _use_new_zipfile_serialization=False)
    with torch.enable_grad():
        net = torch.nn.Linear(3, 2)
        net.load_state_dict({"weight": base[:2, :3].contiguous(), "bias": base[0, :2].contiguous()})
        optimiser = torch.optim.AdamW(net.parameters())
        net(torch.ones(1, 3)).sum().backward()
        optimiser.step()
    training = {"epoch": 3, "loss": 0.25, "best": None, "optimizer": optimiser.state_dict(), "tags": ["a", "b"],
                "model": net.state_dict()}
    torch.save(training, "training.pth")
    torch.save({"module.sam." + name: tensor for name, tensor in net.state_dict().items()}, "prefixed.pth")
    torch.save({"weight": torch.zeros(2, dtype=torch.float64)}, "double.pth")

    archive("runs_system.pth", pickle.dumps({"w": Runs(os.system, "touch maskmill-was-here")}, 2))
    archive("runs_eval.pth", pickle.dumps({"w": Runs(eval, "1+1")}, 4))
    archive("big_endian.pth", pickle.dumps({}, 2), byteorder=b"big")

    write_goldens("goldens.txt", (("vit", vit), ("vit_bf16", brain), ("tiny_vit", tiny), ("views", views),
                                  ("linear", net.state_dict())))
    write_public_shapes("public_shapes.txt")
    for name in os.listdir("."):
        os.chmod(name, 0o755 if name.endswith(".py") else 0o644)
    assert sum(os.path.getsize(name) for name in os.listdir(".")) < 600_000


if __name__ == "__main__":
    main()
