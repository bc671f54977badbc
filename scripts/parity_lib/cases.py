"""What is compared: models, pictures and parameters."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import images
from safetensors import safe_open

DECODER = {"depth": 2, "num_heads": 8, "mlp_dim": 2048, "attention_downsample_rate": 2, "num_multimask_outputs": 3,
           "iou_head_depth": 3, "iou_head_hidden_dim": 256}


def vit(image_size, embed_dim, depth, heads, window, global_attention, prompt_dim, decoder=None):
    return {"family": "vit", "image_size": image_size, "patch_size": 16, "embed_dim": embed_dim, "depth": depth,
            "num_heads": heads, "mlp_ratio": 4, "window_size": window, "global_attention": global_attention,
            "prompt_embed_dim": prompt_dim, "mask_in_chans": 16, "decoder": {**DECODER, **(decoder or {})}}


def tiny_vit(image_size, dims, depths, heads, windows, mlp_ratio, mbconv, prompt_dim, decoder=None):
    return {"family": "tiny_vit", "image_size": image_size, "embed_dims": dims, "depths": depths, "num_heads": heads,
            "window_sizes": windows, "mlp_ratio": mlp_ratio, "mbconv_expand_ratio": mbconv,
            "downsample_between_stages": [True, True, False], "prompt_embed_dim": prompt_dim, "mask_in_chans": 16,
            "decoder": {**DECODER, **(decoder or {})}}


VIT_B = vit(1024, 768, 12, 12, 14, [2, 5, 8, 11], 256)
NARROW = vit(512, 96, 4, 3, 7, [1, 3], 128, {"depth": 3, "mlp_dim": 512, "iou_head_hidden_dim": 128})
MOBILE_SAM = tiny_vit(1024, [64, 128, 160, 320], [2, 2, 6, 2], [2, 4, 5, 10], [7, 7, 14, 7], 4, 4, 256)

# Seeded models by name: architecture, seed, how the file is written. The public architectures are written as .pth, which
# says nothing but names and shapes; the narrow one as .safetensors with its architecture in the metadata.
SEEDED = {"vit_b": (VIT_B, 11, "pth"), "narrow": (NARROW, 2, "safetensors"), "mobile_sam": (MOBILE_SAM, 3, "pth")}

DEFAULTS = {"points_per_side": 8, "pred_iou_thresh": 0.8, "stability_score_thresh": 0.6, "stability_score_offset": 1.0,
            "box_nms_thresh": 0.9, "crop_n_layers": 0, "crop_nms_thresh": 0.9, "crop_overlap_ratio": 512 / 1500,
            "crop_n_points_downscale_factor": 1, "min_mask_region_area": 0}
TRAINED = {"pred_iou_thresh": 0.4, "stability_score_thresh": 0.5, "stability_score_offset": 0.25, "box_nms_thresh": 0.7,
           "crop_nms_thresh": 0.7}  # for the default model's soft logits
MORE = {"pred_iou_thresh": 0.3, "stability_score_thresh": 0.4}  # where else few masks would be left


@dataclass
class Case:
    name: str
    model: str
    picture: tuple  # what images.photograph takes, or images.reduced
    changes: dict = field(default_factory=dict)
    points_per_batch: int = 16
    quick: bool = False

    @property
    def params(self):
        return {**DEFAULTS, **(TRAINED if self.model == "default" else {}), **self.changes}

    def image(self):
        return images.photograph(*self.picture) if len(self.picture) == 3 else images.reduced(*self.picture)


LANDSCAPE = ("nature/Garden.jpg", 1800, 1200)
PORTRAIT = ("nature/LadyBird.jpg", 700, 1050)
SMALL = ("nature/TwoWings.jpg", 640, 420)
TINY = ("nature/YellowFlower.jpg", 40, 30)
LARGE = ("abstract/Elephants_5640x3172.jpg", 6000, 4000)

CASES = [
    Case("narrow-landscape", "narrow", SMALL, {"points_per_side": 16}, quick=True),
    Case("narrow-portrait-crops", "narrow", PORTRAIT, {"crop_n_layers": 1}, quick=True),
    Case("narrow-crops2-regions", "narrow", SMALL,
         {**MORE, "crop_n_layers": 2, "crop_n_points_downscale_factor": 2, "min_mask_region_area": 60}),
    Case("narrow-tiny", "narrow", TINY, {"crop_n_layers": 1}, quick=True),
    Case("narrow-large", "narrow", LARGE, {**MORE, "points_per_side": 6}, points_per_batch=1),
    Case("default-landscape", "default", LANDSCAPE, {"points_per_side": 32}),
    Case("default-small", "default", SMALL, {**MORE, "points_per_side": 16}, quick=True),
    Case("default-portrait-crops", "default", PORTRAIT, {"points_per_side": 16, "crop_n_layers": 1}, quick=True),
    Case("default-regions", "default", SMALL, {**MORE, "points_per_side": 16, "min_mask_region_area": 100}, quick=True),
    Case("default-tiny", "default", TINY, {"points_per_side": 16, "crop_n_layers": 1}, quick=True),
    Case("default-large", "default", LARGE, {**MORE, "points_per_side": 12}, points_per_batch=1),
    Case("mobile_sam-landscape", "mobile_sam", LANDSCAPE),
    Case("mobile_sam-portrait-crops", "mobile_sam", PORTRAIT, {"crop_n_layers": 1}),
    Case("mobile_sam-tiny", "mobile_sam", TINY),
    Case("mobile_sam-large", "mobile_sam", LARGE, {"points_per_side": 6}, points_per_batch=1),
    Case("vit_b-landscape", "vit_b", LANDSCAPE),
    Case("vit_b-portrait-crops", "vit_b", PORTRAIT, {"points_per_side": 6, "crop_n_layers": 1}),
    Case("vit_b-tiny", "vit_b", TINY),
    Case("vit_b-large", "vit_b", LARGE, {"points_per_side": 6}, points_per_batch=1),
]


@dataclass
class Group:
    """Cases whose masks are counted together, in bf16: of few masks, a share would be left to chance. `trained`: a trained
    model on many photographs, which the bar is for."""

    name: str
    cases: list
    quick: bool = False
    trained: bool = False

    @property
    def model(self):
        return self.cases[0].model


NATURE = ("Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow", "LadyBird", "RainDrops", "Storm", "TwoWings", "Wood",
          "YellowFlower")  # all photographs of the package


def own_thresholds():
    """Those that the default model's file brings along."""
    with safe_open(Path(__file__).parents[2] / "configs/models/default.safetensors", "pt") as file:
        return json.loads(file.metadata()["maskmill.thresholds"])


SMALL_MODEL = {"points_per_side": 32, **own_thresholds()}


def whole(model, names, changes):
    """Each photograph at 1200 pixels a side."""
    return [Case(f"{model}-{name}", model, (f"nature/{name}.jpg", 1200), changes) for name in names]


GROUPS = [
    Group("default-photographs", whole("default", NATURE, SMALL_MODEL), trained=True),
    Group("mobile_sam-photographs", whole("mobile_sam", NATURE[:6], {"points_per_side": 16})),
    Group("vit_b-photographs", whole("vit_b", NATURE[4:7], {"points_per_side": 16})),
    *(Group(case.name, [case], case.quick) for case in CASES),
]
