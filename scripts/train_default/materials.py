"""Surfaces of drawn scenes: textures of natural spectrum, patterns, colours, and light on rounded bodies."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

SHEET = 512  # side of a texture sheet; sheets tile without a seam
SHEETS = 40
EXTRA = []  # training only: further sheets with colours of their own, f32 [n][n][3] (patches.py)


@functools.cache
def sheet(number):
    """Grey texture sheet, float32 [SHEET][SHEET], mean 0, deviation 1. The amplitude falls with frequency as in photographs
    (1/f to a power near one), some stretched along a direction (fur, wood, water), some cut to a band (gravel, leaves)."""
    rng = np.random.default_rng([7001, number])
    noise = np.fft.rfft2(rng.standard_normal((SHEET, SHEET), dtype=np.float32))
    fy, fx = np.fft.fftfreq(SHEET)[:, None], np.fft.rfftfreq(SHEET)[None]
    stretch = rng.choice([1, 1, 3, 8])
    angle = rng.uniform(0, np.pi)
    along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    radius = np.hypot(along * stretch, across) + 1 / SHEET
    gain = radius ** -rng.uniform(0.7, 1.9)
    if number % 3 == 2:
        centre = 2.0 ** rng.uniform(-6.5, -2.5)
        gain = gain * np.exp(-(np.log2(radius / centre) ** 2) / rng.uniform(0.5, 3))
    noise *= gain
    noise[0, 0] = 0
    out = np.fft.irfft2(noise, s=(SHEET, SHEET))
    if number % 4 == 3:  # ridges and cells instead of clouds
        out = -np.abs(out - out.mean())
    out = (out - out.mean()) / out.std()
    return np.clip(out, -3, 3).astype(np.float32)


@dataclass
class Material:
    """What a surface looks like before light: a base colour, a second colour that texture or pattern mixes in."""

    base: np.ndarray
    second: np.ndarray
    texture: int
    strength: float
    zoom: float
    angle: float
    offset: np.ndarray
    pattern: str
    period: float  # of the pattern, in shares of the image's side
    contrast: float


PATTERNS = ["none", "none", "none", "none", "none", "stripes", "checks", "spots", "bricks"]


def colour(rng):
    """RGB 0..1: mostly the muted hues of photographs, sometimes a strong one."""
    hue, value = rng.uniform(0, 179), rng.beta(1.6, 1.6)
    saturation = rng.beta(1.2, 3.0) if rng.random() < 0.8 else rng.uniform(0.4, 1)
    if rng.random() < 0.35:
        hue = rng.choice([12, 18, 25, 35, 45, 55, 105]) + rng.normal(0, 4)
    pixel = np.uint8([[[hue % 180, 255 * saturation, 20 + 225 * value]]])
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32) / 255


def draw_material(rng):
    base = colour(rng)
    second = np.clip(base + rng.normal(0, 0.25, 3), 0, 1) if rng.random() < 0.7 else colour(rng)
    drawn = Material(base, second.astype(np.float32), int(rng.integers(SHEETS)), rng.choice([0.03, 0.1, 0.25, 0.5]),
                     2.0 ** rng.uniform(-1.5, 1.5), rng.uniform(0, np.pi), rng.uniform(0, SHEET, 2),
                     str(rng.choice(PATTERNS)), 2.0 ** rng.uniform(-6.5, -3), rng.uniform(0.2, 1))
    if EXTRA and rng.random() < 0.6:
        drawn.texture = SHEETS + int(rng.integers(len(EXTRA)))
        drawn.strength = rng.uniform(0.1, 0.6)
    return drawn


def vary(rng, material, amount):
    """A relative of a material: the same cloth or fur, another piece of it."""
    shift = rng.normal(0, amount, 3) * rng.uniform(0.3, 1) + rng.normal(0, amount)
    return Material(np.clip(material.base + shift, 0, 1).astype(np.float32),
                    np.clip(material.second + shift, 0, 1).astype(np.float32), material.texture, material.strength,
                    material.zoom * 2.0 ** rng.normal(0, 0.2), material.angle + rng.normal(0, 0.15), rng.uniform(0, SHEET, 2),
                    material.pattern, material.period, material.contrast)


def _pattern(material, u, v):
    """Share of the second colour, 0..1, at texture coordinates in pixels of the period's unit."""
    if material.pattern == "stripes":
        return (np.sin(u) > 0).astype(np.float32)
    if material.pattern == "checks":
        return (np.sin(u) * np.sin(v) > 0).astype(np.float32)
    if material.pattern == "spots":
        return (np.sin(u) * np.sin(v) > 0.45).astype(np.float32)
    row = np.floor(v / np.pi)
    return ((np.sin(v) ** 2 < 0.05) | (np.sin(u / 2 + row * np.pi / 2) ** 2 < 0.02)).astype(np.float32)


def paint(material, x0, y0, width, height, side):
    """Surface [height][width][3], float32 0..1, of the window that begins at (x0, y0) of an image of the given side."""
    scale = SHEET / side / material.zoom
    c, s = np.cos(material.angle) * scale, np.sin(material.angle) * scale
    ox, oy = material.offset
    matrix = np.float32([[c, -s, ox + c * x0 - s * y0], [s, c, oy + s * x0 + c * y0]])
    source = sheet(material.texture) if material.texture < SHEETS else EXTRA[material.texture - SHEETS]
    grain = cv2.warpAffine(source, matrix, (width, height), borderMode=cv2.BORDER_WRAP,
                           flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    tint = None
    if grain.ndim == 3:
        tint, grain = grain, cv2.transform(grain, np.full((1, 3), 1 / 3, np.float32))
    mix = 0.5 * material.strength * grain
    if material.pattern != "none":
        step = 2 * np.pi / (material.period * side)
        x, y = (np.arange(width, dtype=np.float32) + x0) * step, (np.arange(height, dtype=np.float32) + y0)[:, None] * step
        ca, sa = np.float32(np.cos(material.angle)), np.float32(np.sin(material.angle))
        wobble = 0.3 * material.strength * grain
        mix = mix + material.contrast * _pattern(material, ca * x - sa * y + wobble, sa * x + ca * y + wobble)
    out = np.empty((height, width, 3), np.float32)
    for channel in range(3):  # a scalar product a channel is faster than broadcasting over three
        np.multiply(mix, material.second[channel] - material.base[channel], out=out[..., channel])
        out[..., channel] += material.base[channel] + 0.12 * material.strength * grain
        if tint is not None:
            out[..., channel] += 0.15 * material.strength * (tint[..., channel] - grain)
    return out


def rounded_light(alpha, light, depth):
    """Brightness [h][w] about 1 of a body that swells towards its middle, lit from direction `light` (x, y)."""
    distance = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    height = np.sqrt(np.minimum(distance, max(4.0, 0.6 * distance.max())))
    height = cv2.GaussianBlur(height, (0, 0), max(1.0, 0.06 * max(alpha.shape)))
    slope = light[0] * cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) + light[1] * cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3)
    return 1 + depth * np.tanh(-1.5 * slope)


def flat_light(width, height, light, depth):
    x, y = np.linspace(-0.5, 0.5, width, dtype=np.float32), np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    return 1 - depth * (light[0] * x + light[1] * y)
