"""The pictures of the comparison: photographs of Debian's mate-backgrounds where they are installed, else drawn scenes."""

import io
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

PHOTOGRAPHS = Path("/usr/share/backgrounds/mate")


def draw_scene(width, height, seed):
    """Overlapping ellipses, boxes and polygons over a gradient, with grain: edges, textures and small things."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, width)[None, :, None] * rng.uniform(40, 120, 3) + np.linspace(0, 1, height)[:, None, None] \
        * rng.uniform(40, 120, 3)
    image = Image.fromarray(ramp.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = rng.uniform(0.08, 0.4, 2) * min(width, height)
        kind = rng.integers(3)
        if kind == 0:
            draw.ellipse([x - w / 2, y - h / 2, x + w / 2, y + h / 2], fill=colour)
        elif kind == 1:
            draw.rectangle([x - w / 2, y - h / 2, x + w / 2, y + h / 2], fill=colour)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, 6))
            draw.polygon([(x + w * np.cos(a) / 2, y + h * np.sin(a) / 2) for a in angles], fill=colour)
    grain = rng.normal(0, 6, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _source(name, width, height):
    """The photograph in its own size, or a drawn scene where the package is not installed."""
    path = PHOTOGRAPHS / name
    return Image.open(path).convert("RGB") if path.exists() else draw_scene(width, height, zlib.crc32(name.encode()))


def photograph(name, width, height):
    """The named photograph, cut at its centre to the wanted shape and resized."""
    image = _source(name, width, height)
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
    return image.resize((width, height), Image.BILINEAR, box=(left, top, left + width * scale, top + height * scale))


def reduced(name, long_side):
    """The named photograph, reduced to the given long side where it is longer."""
    image = _source(name, 1500, 1000)
    image.thumbnail((long_side, long_side), Image.BILINEAR)
    return image


def jpeg_bytes(image, quality=95):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def read_rgb(path):
    return np.asarray(Image.open(path).convert("RGB"))
