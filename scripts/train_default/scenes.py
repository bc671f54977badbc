"""Drawn scenes with exact masks.

A scene is drawn from back to front: sky, ground, walls or other regions; then things, each with parts and sub-parts, with
light, shadow and blur by depth; then what a camera adds. Every pixel belongs to a leaf, and every leaf to up to three
nested nodes (sub-part, part, whole): these are the masks that a click on the pixel may mean.

GENERATOR_VERSION and HELD_OUT are fixed: the figures in the model card are for these scenes."""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

import materials
import shapes

GENERATOR_VERSION = 1
HELD_OUT = dict(split=1, first=0, count=200, side=512)
TRAINING_SPLIT = 0

cv2.setNumThreads(1)


@dataclass
class Scene:
    """image u8 [S][S][3] RGB; leaf u16 [S][S]; nodes i32 [leaves][3]: for each leaf its node as sub-part, part and whole,
    finest first, -1 where there is none."""

    image: np.ndarray
    leaf: np.ndarray
    nodes: np.ndarray


class Canvas:
    def __init__(self, rng, side):
        self.rng, self.side = rng, side
        self.image = np.zeros((side, side, 3), np.float32)
        self.leaf = np.zeros((side, side), np.uint16)
        self.nodes, self.count = [], 0
        angle = rng.uniform(0, 2 * np.pi)
        self.light = np.array([np.cos(angle), np.sin(angle)])
        self.hardness = rng.uniform(0.1, 0.6)
        self.aperture = rng.choice([0, 0, 0, 1, 2.5]) * side / 200
        self.focus = rng.uniform(0.4, 1)
        self.haze = rng.choice([0, 0, 0.3, 0.6])
        self.haze_colour = rng.uniform(0.5, 0.9, 3).astype(np.float32)
        self.seen = []  # materials already in the picture, for camouflage

    def node(self):
        self.count += 1
        return self.count - 1

    def add_leaf(self, chain):
        self.nodes.append((list(chain) + [-1, -1, -1])[:3])
        return len(self.nodes) - 1

    def material(self, camouflage=0.15):
        """Mostly something new; sometimes a relative of what is already there."""
        if self.seen and self.rng.random() < camouflage:
            found = materials.vary(self.rng, self.seen[self.rng.integers(len(self.seen))], 0.06)
        else:
            found = materials.draw_material(self.rng)
        self.seen.append(found)
        return found

    def region(self, mask, material=None, depth=0.0):
        """A region of the background: mask bool [S][S], or None for all of it."""
        rng, side = self.rng, self.side
        material = material or self.material(0.1)
        colour = materials.paint(material, 0, 0, side, side, side)
        colour *= materials.flat_light(side, side, self.light * rng.choice([-1, 1]), rng.uniform(0, 0.6))[..., None]
        leaf = self.add_leaf([self.node()])
        if mask is None:
            self.image[:], self.leaf[:] = colour, leaf
            return
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.6)[..., None]
        if self.haze and depth < 0.5:
            colour += self.haze * (0.5 - depth) * 2 * (self.haze_colour - colour)
        self.image += soft * (colour - self.image)
        self.leaf[mask] = leaf

    def blur_at(self, depth):
        return abs(depth - self.focus) * self.aperture


def _ridge(canvas, height, rough):
    """A wandering line y(x), in pixels: horizons, hills, treelines."""
    rng, side = canvas.rng, canvas.side
    row = materials.sheet(int(rng.integers(materials.SHEETS)))[rng.integers(materials.SHEET)]
    start, zoom = rng.integers(materials.SHEET), rng.uniform(0.2, 1)
    at = (start + np.arange(side) * zoom * materials.SHEET / side).astype(int) % materials.SHEET
    return side * (height + rough * cv2.GaussianBlur(row[at][None], (0, 0), rng.uniform(0.5, 8))[0])


def outdoors(canvas):
    rng, side = canvas.rng, canvas.side
    rows = np.arange(side)[:, None]
    horizon = rng.uniform(0.2, 0.8)
    sky = materials.draw_material(rng)
    sky.pattern, sky.strength = "none", rng.choice([0.02, 0.1, 0.4])
    sky.base = np.clip(np.array([0.45, 0.62, 0.85]) + rng.normal(0, 0.2, 3), 0, 1).astype(np.float32)
    sky.second = rng.uniform(0.6, 1, 3).astype(np.float32)
    canvas.region(None, sky)
    for i in range(int(rng.integers(0, 4))):
        line = _ridge(canvas, horizon - rng.uniform(0, 0.25) * (1 - i / 4), rng.choice([0.01, 0.03, 0.06]))
        canvas.region(rows > line[None], None, 0.1 + 0.1 * i)
    canvas.region(rows > _ridge(canvas, horizon, rng.choice([0, 0.003, 0.02]))[None], None, 0.5)
    if rng.random() < 0.4:  # a road, a river, a lake
        outline = np.array([[rng.uniform(-0.5, 1), 1.01], [rng.uniform(0, 1.5), 1.01],
                            [rng.uniform(0.2, 0.8), horizon + 0.02], [rng.uniform(0.2, 0.8), horizon + 0.02]])
        if rng.random() < 0.5:
            outline = shapes.blob(rng, 0.2, rng.uniform(0, 1), rng.uniform(horizon + 0.1, 1), 0.5) * [1, 0.4] + [0, 0.5]
        mask = cv2.fillPoly(np.zeros((side, side), np.uint8), [np.int32(outline * side)], 1) > 0
        canvas.region(mask & (rows > side * horizon), None, 0.6)


def indoors(canvas):
    rng, side = canvas.rng, canvas.side
    wall = canvas.material()
    canvas.region(None, wall)
    corner, floor = rng.uniform(0.1, 0.9), rng.uniform(0.55, 0.9)
    columns, rows = np.arange(side)[None] / side, np.arange(side)[:, None] / side
    if rng.random() < 0.6:
        canvas.region(np.broadcast_to(columns > corner, (side, side)), materials.vary(rng, wall, 0.08))
    slope = rng.uniform(-0.3, 0.3, 2)
    canvas.region(rows > floor + np.where(columns < corner, slope[0], slope[1]) * np.abs(columns - corner))
    for _ in range(int(rng.integers(0, 3))):  # pictures, windows, rugs
        x, y = rng.uniform(0, 1, 2)
        w, h = rng.uniform(0.08, 0.3, 2)
        canvas.region((np.abs(columns - x) < w) & (np.abs(rows - y) < h))


def mosaic(canvas):
    """Regions that meet along natural borders: moss on stone, paint on walls, fields from above."""
    rng, side = canvas.rng, canvas.side
    count = int(rng.integers(2, 6))
    small = max(side // 4, 32)
    y, x = np.mgrid[0:small, 0:small].astype(np.float32) / small
    noise = cv2.resize(materials.sheet(int(rng.integers(materials.SHEETS))), (small, small), interpolation=cv2.INTER_AREA)
    noise = cv2.GaussianBlur(noise, (0, 0), 2.0 ** rng.uniform(0.5, 3))
    fields = [np.hypot(x - cx, y - cy) + rng.uniform(0, 0.2) * np.roll(noise, int(cx * small), 1)
              for cx, cy in rng.uniform(0, 1, (count, 2))]
    fields = np.stack([cv2.resize(field, (side, side), interpolation=cv2.INTER_LINEAR) for field in fields])
    nearest = fields.argmin(0)
    canvas.region(None)
    for i in range(1, count):
        canvas.region(nearest == i)


def surface(canvas):
    canvas.region(None)
    if canvas.rng.random() < 0.3:
        side = canvas.side
        outline = shapes.blob(canvas.rng, None, *canvas.rng.uniform(0.2, 0.8, 2), canvas.rng.uniform(0.15, 0.5))
        canvas.region(cv2.fillPoly(np.zeros((side, side), np.uint8), [np.int32(outline * side)], 1) > 0)


def bokeh(canvas):
    """A background out of focus: soft lights and colours, one region."""
    rng, side = canvas.rng, canvas.side
    canvas.region(None)
    small = 64
    patch = cv2.resize(canvas.image, (small, small), interpolation=cv2.INTER_AREA)
    for _ in range(int(rng.integers(2, 14))):
        cv2.circle(patch, tuple(int(v) for v in rng.integers(0, small, 2)), int(rng.integers(3, 18)),
                   tuple(float(v) for v in materials.colour(rng)), -1)
    patch = cv2.GaussianBlur(patch, (0, 0), rng.uniform(3, 9))
    canvas.image = cv2.resize(patch, (side, side), interpolation=cv2.INTER_CUBIC)


BACKGROUNDS = [outdoors, outdoors, outdoors, indoors, indoors, mosaic, surface, bokeh]


def _turned(rng, thing, radius, upright):
    """The matrix from a thing's coordinates to pixels about its centre."""
    angle = rng.normal(0, 0.1) if upright else rng.uniform(0, 2 * np.pi)
    stretch = np.diag([rng.choice([-1, 1]) * 2.0 ** rng.normal(0, 0.25), 2.0 ** rng.normal(0, 0.2)])
    shear = np.array([[1, rng.normal(0, 0.12)], [0, 1]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return radius * (turn @ shear @ stretch)


def _stamp(piece, outlines, width, height, stroke):
    """Alpha of one piece, u8 [height][width]; outlines in pixels of the window."""
    alpha = np.zeros((height, width), np.uint8)
    fixed = [np.int32(np.round(outline * 16)) for outline in outlines]
    if piece.stroke:
        cv2.polylines(alpha, fixed, False, 255, stroke, cv2.LINE_AA, 4)
    else:
        cv2.fillPoly(alpha, fixed, 255, cv2.LINE_AA, 4)
    return alpha


def place(canvas, thing, x, y, radius, depth, looks, upright):
    """Draw a thing at (x, y) pixels. `looks` holds its materials by (part, sub) and is filled on the way, so that a
    repeated thing can share them."""
    rng, side = canvas.rng, canvas.side
    matrix = _turned(rng, thing, radius, upright)
    placed = [[outline @ matrix.T + [x, y] for outline in piece.outlines] for piece in thing.pieces]
    strokes = [max(1, int(round(piece.stroke * radius))) for piece in thing.pieces]
    everything = np.concatenate([outline for outlines in placed for outline in outlines])
    blur = canvas.blur_at(depth)
    margin = 3 + max(strokes) + int(2 * blur)
    x0, y0 = np.maximum(np.floor(everything.min(0)).astype(int) - margin, 0)
    x1, y1 = np.minimum(np.ceil(everything.max(0)).astype(int) + margin, side)
    width, height = int(x1 - x0), int(y1 - y0)
    if width < 4 or height < 4:
        return
    total = np.zeros((height, width), np.uint8)
    leaf = np.zeros((height, width), np.int32)
    colour = np.zeros((height, width, 3), np.float32)
    whole, parts, subs, leaves = canvas.node(), {}, {}, {}
    single = len({(piece.part, piece.sub) for piece in thing.pieces}) == 1
    for piece, outlines, stroke in zip(thing.pieces, placed, strokes):
        points = np.concatenate(outlines) - [x0, y0]
        a, b = np.maximum(np.floor(points.min(0)).astype(int) - stroke - 1, 0)
        c, d = np.minimum(np.ceil(points.max(0)).astype(int) + stroke + 2, [width, height])
        if c - a < 1 or d - b < 1:
            continue
        alpha = _stamp(piece, [outline - [x0 + a, y0 + b] for outline in outlines], int(c - a), int(d - b), stroke)
        here = np.s_[b:d, a:c]
        if piece.clip:
            alpha = np.minimum(alpha, total[here])
        key = (piece.part, piece.sub)
        if key not in leaves:
            if piece.part not in parts:
                parts[piece.part] = canvas.node()
            if piece.sub and key not in subs:
                subs[key] = canvas.node()
            chain = [whole] if single else [parts[piece.part], whole]
            leaves[key] = canvas.add_leaf([subs[key], *chain] if piece.sub else chain)
        look = (piece.part, min(piece.sub, 1))
        if look not in looks:
            base = looks.get((0, 0)) or canvas.material()
            looks.setdefault((0, 0), base)
            looks[look] = looks.get(look) or (materials.vary(rng, base, 0.2) if rng.random() < 0.5 else canvas.material())
        ink = materials.paint(looks[look], x0 + a, y0 + b, int(c - a), int(d - b), side)
        if rng.random() < 0.5 and (c - a) * (d - b) > 400:
            ink *= materials.flat_light(int(c - a), int(d - b), canvas.light, rng.uniform(0, 0.7))[..., None]
        soft = alpha[..., None] * np.float32(1 / 255)
        colour[here] += soft * (ink - colour[here])
        np.maximum(total[here], alpha, out=total[here])
        leaf[here][alpha >= 128] = leaves[key]
    alpha = total * np.float32(1 / 255)
    if rng.random() < 0.6:
        colour *= materials.rounded_light(alpha, canvas.light, rng.uniform(0.1, 0.6))[..., None]
    if canvas.haze and depth < 0.5:
        colour += canvas.haze * (0.5 - depth) * 2 * (canvas.haze_colour - colour)
    _shadow(canvas, alpha, x0, y0, radius)
    label = total >= 128
    if blur > 0.5:
        colour = cv2.GaussianBlur(colour * alpha[..., None], (0, 0), blur)
        alpha = cv2.GaussianBlur(alpha, (0, 0), blur)
        colour /= np.maximum(alpha, 1e-3)[..., None]
    window = canvas.image[y0:y1, x0:x1]
    window += alpha[..., None] * (colour - window)
    canvas.leaf[y0:y1, x0:x1][label] = leaf[label]


def _shadow(canvas, alpha, x0, y0, radius):
    """Darken what lies behind, away from the light."""
    rng, side = canvas.rng, canvas.side
    if rng.random() < 0.4:
        return
    reach = rng.uniform(0.02, 0.3) * min(radius, side / 4)
    dx, dy = (-canvas.light * reach).astype(int)
    height, width = alpha.shape
    a, b = max(x0 + dx, 0), max(y0 + dy, 0)
    c, d = min(x0 + dx + width, side), min(y0 + dy + height, side)
    if c <= a or d <= b:
        return
    dark = cv2.GaussianBlur(alpha[b - y0 - dy:d - y0 - dy, a - x0 - dx:c - x0 - dx], (0, 0), 0.5 + rng.uniform(0.05, 0.5) * reach)
    canvas.image[b:d, a:c] *= 1 - canvas.hardness * dark[..., None]


def _things(canvas):
    """Single things and clusters of like ones, as (thing maker, x, y, radius, looks, upright), unordered in depth."""
    rng, side = canvas.rng, canvas.side
    small, large, few, many = [(0.15, 0.6, 1, 5), (0.06, 0.4, 4, 12), (0.025, 0.2, 10, 28)][rng.choice(3, p=[0.35, 0.4, 0.25])]
    upright = rng.random() < 0.6
    wanted = int(rng.integers(few, many + 1))
    listed = []
    while len(listed) < wanted:
        radius = side * small * (large / small) ** rng.random()
        x, y = rng.uniform(-0.02, 1.02, 2) * side
        if rng.random() < 0.25:  # a cluster: fruit, stones, a crowd, a row of poles
            maker, looks, seed = shapes.draw_thing, {}, int(rng.integers(1 << 30))
            radius = min(radius, side * 0.12)
            row = rng.random() < 0.4
            for i in range(int(rng.integers(3, 16))):
                where = np.array([x, y]) + (np.array([(i - 4) * 2.1, rng.normal(0, 0.1)]) if row else rng.normal(0, 2.2, 2)) * radius
                thing = maker(np.random.default_rng(seed + (i if rng.random() < 0.3 else 0)))
                listed.append((thing, *where, radius * 2.0 ** rng.normal(0, 0.15), looks, upright))
        else:
            listed.append((shapes.draw_thing(rng), x, y, radius, {}, upright and rng.random() < 0.9))
    return listed[:40]


def _weather(canvas):
    """Light that changes over the whole picture without being a thing: shade, dapples, a gradient."""
    rng, side = canvas.rng, canvas.side
    if rng.random() < 0.5:
        canvas.image *= materials.flat_light(side, side, canvas.light, rng.uniform(0, 0.8))[..., None]
    if rng.random() < 0.25:
        field = cv2.resize(materials.sheet(int(rng.integers(materials.SHEETS)))[:128, :128], (side, side))
        field = cv2.GaussianBlur(field, (0, 0), side / rng.uniform(20, 80))
        field = 1 / (1 + np.exp(-np.clip(rng.choice([4, 20]) * (field - np.quantile(field[::8, ::8], rng.uniform(0.2, 0.8))), -30, 30)))
        canvas.image *= 1 - rng.uniform(0.15, 0.55) * field[..., None]


def camera(rng, image):
    """Exposure, colour cast, vignette, softness, noise and JPEG; f32 0..1 to u8."""
    side = image.shape[0]
    image = np.clip(image, 0, 1)
    bright = image[::8, ::8].mean()
    image = image * np.float32(np.clip(bright, 0.22, 0.65) / max(bright, 0.02))  # as a camera would expose it
    image = image * (1 + rng.normal(0, 0.06, 3)).astype(np.float32) * np.float32(2.0 ** rng.normal(0, 0.25))
    image = np.power(np.clip(image, 1e-4, 1), np.float32(2.0 ** rng.normal(0, 0.25)))
    if rng.random() < 0.3:
        low = rng.uniform(0, 0.25)
        image = low + image * (rng.uniform(0.6, 1) - low)
    if rng.random() < 0.3:
        t = np.linspace(-1, 1, side, dtype=np.float32) ** 2
        image = image * (1 - rng.uniform(0, 0.35) * (t[None] + t[:, None])[..., None])
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.05:
        image = np.repeat(image.mean(2, keepdims=True), 3, 2)
    out = (255 * np.clip(image, 0, 1)).astype(np.int16)
    if rng.random() < 0.7:
        noise = np.empty((side, side, 3), np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 30)))
        cv2.randn(noise, (0, 0, 0), (float(rng.exponential(5)),) * 3)
        out = out + noise
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.8:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 98))])
        out = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    return out


def draw_scene(split, index, side):
    """The scene of this split and index. Another side gives another picture of the same kind, not the same one larger."""
    rng = np.random.default_rng([GENERATOR_VERSION, split, index, side])
    canvas = Canvas(rng, side)
    BACKGROUNDS[rng.integers(len(BACKGROUNDS))](canvas)
    blur = canvas.blur_at(0)
    if blur > 0.5:
        canvas.image = cv2.GaussianBlur(canvas.image, (0, 0), blur)
    listed = _things(canvas)
    depths = np.sort(rng.random(len(listed)))
    for (thing, x, y, radius, looks, upright), depth in zip(listed, depths):
        place(canvas, thing, x, y, radius, depth, looks, upright)
    _weather(canvas)
    return Scene(camera(rng, canvas.image), canvas.leaf, np.int32(canvas.nodes))


def visible_nodes(scene, least_area, alike=0.85):
    """The nodes that can be asked for: {node: list of its leaves}. A node that shows fewer pixels than `least_area` is left
    out, and so is a part that is nearly all that one sees of its whole."""
    areas = np.bincount(scene.leaf.ravel(), minlength=len(scene.nodes))
    leaves, size = {}, {}
    for leaf in np.flatnonzero(areas):
        for node in scene.nodes[leaf]:
            if node >= 0:
                leaves.setdefault(int(node), []).append(int(leaf))
                size[int(node)] = size.get(int(node), 0) + int(areas[leaf])
    dropped = set()
    for leaf in np.flatnonzero(areas):
        chain = [int(node) for node in scene.nodes[leaf] if node >= 0]
        for fine, coarse in zip(chain, chain[1:]):
            if size[fine] > alike * size[coarse]:
                dropped.add(fine)
    return {node: found for node, found in leaves.items() if size[node] >= least_area and node not in dropped}


def node_mask(scene, leaves):
    table = np.zeros(len(scene.nodes), bool)
    table[leaves] = True
    return table[scene.leaf]


def digest(count=8):
    """SHA-256 over the first held-out scenes: shows that the generator still draws what the figures are for."""
    total = hashlib.sha256()
    for index in range(count):
        scene = draw_scene(HELD_OUT["split"], HELD_OUT["first"] + index, HELD_OUT["side"])
        total.update(scene.image.tobytes())
        total.update(scene.leaf.tobytes())
    return total.hexdigest()


if __name__ == "__main__":
    print(digest())
