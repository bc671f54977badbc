"""Outlines of drawn things. A thing is a list of pieces in unit coordinates (about -1..1, y down); every piece is a part or
a sub-part of the thing, and the later ones lie over the earlier."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Piece:
    """Closed outlines [n][2] that are filled together (even-odd), or open strokes of the given width."""

    outlines: list
    part: int = 0      # which part of the thing
    sub: int = 0       # which sub-part of that part
    clip: bool = False  # only where the thing already is
    stroke: float = 0.0


@dataclass
class Thing:
    pieces: list
    materials: dict = field(default_factory=dict)


def circle(x, y, rx, ry, n=40):
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


def box(x0, y0, x1, y1):
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def blob(rng, roughness=None, x=0.0, y=0.0, r=1.0, n=96):
    """A closed curve whose radius is a short Fourier series: pebbles, leaves, stars, splashes."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    roughness = rng.choice([0.1, 0.25, 0.5]) if roughness is None else roughness
    radius = np.ones(n)
    for k in range(2, 9):
        radius += roughness * rng.normal(0, 1) / k ** rng.uniform(0.6, 1.4) * np.cos(k * t + rng.uniform(0, 6.3))
    radius = np.clip(radius, 0.15, 2)
    radius *= r / radius.max()
    return np.stack([x + radius * np.cos(t), y + radius * np.sin(t)], 1)


def polygon(rng, n, jitter):
    t = np.sort((np.arange(n) + rng.uniform(-jitter, jitter, n)) * 2 * np.pi / n)
    r = rng.uniform(0.5, 1, n) if jitter else np.ones(n)
    return np.stack([r * np.cos(t), r * np.sin(t)], 1)


def capsule(a, b, ra, rb, n=10):
    """The outline of a limb from a to b with end radii ra and rb."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    angle = np.arctan2(*(b - a)[::-1])
    t = np.linspace(np.pi / 2, 3 * np.pi / 2, n)
    back = np.stack([a[0] + ra * np.cos(t + angle), a[1] + ra * np.sin(t + angle)], 1)
    front = np.stack([b[0] + rb * np.cos(t + angle + np.pi), b[1] + rb * np.sin(t + angle + np.pi)], 1)
    return np.concatenate([back, front])


def walk(rng, n, step, bend):
    """An open curve that wanders."""
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, bend, n))
    points = np.cumsum(step * np.stack([np.cos(angle), np.sin(angle)], 1), 0)
    return points - points.mean(0)


def plain(rng):
    """One outline without parts."""
    kind = rng.integers(7)
    if kind <= 1:
        return Thing([Piece([blob(rng)])])
    if kind == 2:
        return Thing([Piece([circle(0, 0, 1, rng.uniform(0.4, 1))])])
    if kind == 3:
        return Thing([Piece([polygon(rng, int(rng.integers(3, 8)), 0.35)])])
    if kind == 4:
        return Thing([Piece([box(-1, -rng.uniform(0.3, 1), 1, rng.uniform(0.3, 1))])])
    if kind == 5:  # a ring
        hole = rng.uniform(0.4, 0.8)
        return Thing([Piece([circle(0, 0, 1, 1), circle(0, 0, hole, hole)])])
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    power = rng.uniform(0.3, 1.6)
    return Thing([Piece([np.stack([np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power,
                                   rng.uniform(0.4, 1) * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power], 1)])])


def divided(rng):
    """One outline with parts cut out of it (bands, halves, patches), and some of these with sub-parts."""
    thing = plain(rng)
    parts = int(rng.integers(1, 4))
    for part in range(1, parts + 1):
        kind = rng.integers(3)
        x, y = rng.uniform(-0.5, 0.5, 2)
        if kind == 0:
            angle = rng.uniform(0, np.pi)
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            width = rng.uniform(0.1, 0.5)
            outline = box(-3, -width, 3, rng.choice([width, 3])) @ turn + [x, y]
        else:
            outline = blob(rng, None, x, y, rng.uniform(0.2, 0.6)) if kind == 1 else circle(x, y, *rng.uniform(0.15, 0.5, 2))
        thing.pieces.append(Piece([outline], part, 0, True))
        if rng.random() < 0.5:
            middle, size = outline.mean(0), np.ptp(outline, 0).min() * rng.uniform(0.15, 0.3)
            thing.pieces.append(Piece([circle(*np.clip(middle, -0.8, 0.8), size, size * rng.uniform(0.5, 1))], part, 1, True))
    return thing


def animal(rng):
    """Body, head with an eye, legs, a tail."""
    legs, length = int(rng.choice([2, 4])), rng.uniform(0.5, 0.8)
    thick = rng.uniform(0.25, 0.5) * length
    ground = rng.uniform(0.5, 0.95)
    pieces = []
    for i in range(legs):
        x = (i / (legs - 1) * 2 - 1) * length * 0.7
        foot = x + rng.normal(0, 0.12)
        pieces.append(Piece([capsule((x, 0.1), (foot, ground), 0.1, 0.06)], 2 + i))
    pieces.append(Piece([capsule((length * 0.9, -0.1), (length + 0.4, rng.uniform(-0.6, 0.3)), 0.06, 0.03)], 1))
    body = capsule((-length * 0.7, 0), (length * 0.7, rng.uniform(-0.1, 0.1)), thick, thick * rng.uniform(0.7, 1.2))
    pieces.append(Piece([body], 0))
    head = np.array([-length - rng.uniform(0, 0.15), -rng.uniform(0.1, 0.5)])
    size = rng.uniform(0.15, 0.28)
    pieces.append(Piece([capsule((-length * 0.7, -0.1), head, thick * 0.5, size * 0.7), ], 10))
    pieces.append(Piece([blob(rng, 0.12, *head, size)], 10))
    pieces.append(Piece([circle(head[0] - 0.3 * size, head[1] - 0.2 * size, 0.18 * size, 0.18 * size)], 10, 1))
    if rng.random() < 0.5:
        ear = head + [0.3 * size, -0.8 * size]
        pieces.append(Piece([circle(*ear, 0.3 * size, 0.6 * size)], 10, 2))
    return Thing(pieces)


def person(rng):
    lean, stance = rng.normal(0, 0.08), rng.uniform(0.08, 0.3)
    hands = rng.uniform(-0.5, 0.5, 2)
    pieces = [Piece([capsule((-0.1, 0.2), (-stance, 0.95), 0.12, 0.08), ], 1), Piece([capsule((0.1, 0.2), (stance, 0.95), 0.12, 0.08)], 1),
              Piece([capsule((lean, -0.4), (0, 0.2), 0.24, 0.18)], 2),
              Piece([capsule((lean - 0.22, -0.42), (lean - 0.42, hands[0]), 0.08, 0.06)], 2, 1),
              Piece([capsule((lean + 0.22, -0.42), (lean + 0.42, hands[1]), 0.08, 0.06)], 2, 2),
              Piece([circle(lean, -0.8, 0.13, 0.17)], 3)]
    if rng.random() < 0.6:
        pieces.append(Piece([box(lean - 0.16, -1, lean + 0.16, -0.84)], 3, 1))
    return Thing(pieces)


def building(rng):
    width, top = rng.uniform(0.4, 1), rng.uniform(-0.9, -0.2)
    pieces = [Piece([box(-width, top, width, 1)], 0)]
    if rng.random() < 0.6:
        pieces.append(Piece([np.array([[-width * 1.1, top], [rng.uniform(-0.3, 0.3), top - rng.uniform(0.2, 0.6)],
                                       [width * 1.1, top]])], 1))
    columns, rows = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    dx, dy = 2 * width / columns, (0.75 - top) / rows
    gap = rng.uniform(0.15, 0.35)
    for i in range(columns):
        for j in range(rows):
            x, y = -width + i * dx, top + j * dy
            outline = box(x + gap * dx, y + gap * dy, x + (1 - gap) * dx, y + (1 - gap) * dy)
            pieces.append(Piece([outline], 0, 2 + i * rows + j))
    pieces.append(Piece([box(-0.1, 0.75, 0.1, 1)], 0, 1))
    return Thing(pieces)


def vehicle(rng):
    roof = rng.uniform(0.3, 0.6)
    body = np.array([[-1, 0.3], [-0.95, 0], [-roof, -0.1], [-roof * 0.7, -0.45], [roof * 0.7, -0.45], [roof, -0.1], [0.95, 0], [1, 0.3]])
    window = np.array([[-roof * 0.85, -0.1], [-roof * 0.62, -0.38], [roof * 0.62, -0.38], [roof * 0.85, -0.1]])
    pieces = [Piece([body], 0), Piece([window], 1)]
    if rng.random() < 0.5:
        pieces.append(Piece([box(-0.04, -0.4, 0.04, -0.1)], 0, 1))
    for i, x in enumerate((-0.6, 0.6)):
        pieces.append(Piece([circle(x, 0.3, 0.22, 0.22)], 2 + i))
        pieces.append(Piece([circle(x, 0.3, 0.11, 0.11)], 2 + i, 1))
    return Thing(pieces)


def tree(rng):
    pieces = [Piece([capsule((0, 1), (rng.normal(0, 0.08), 0), rng.uniform(0.05, 0.14), 0.05)], 0)]
    if rng.random() < 0.3:
        crown = [np.array([[-0.6, 0.5], [0, -1], [0.6, 0.5]])]
    else:
        crown = [blob(rng, 0.3, 0, -0.35, 0.65)]
    for _ in range(int(rng.integers(0, 4))):
        pieces.append(Piece([blob(rng, 0.4, *rng.uniform([-0.4, -0.7], [0.4, 0.1]), rng.uniform(0.2, 0.4))], 1))
    return Thing(pieces[:1] + [Piece(crown, 1)] + pieces[1:])


def flower(rng):
    petals, heart = int(rng.integers(4, 13)), rng.uniform(0.15, 0.4)
    pieces = []
    if rng.random() < 0.5:
        pieces.append(Piece([capsule((0, 0), (rng.normal(0, 0.3), 2.2), 0.04, 0.05)], 1))
    for i in range(petals):
        t = 2 * np.pi * i / petals
        centre = 0.6 * np.array([np.cos(t), np.sin(t)])
        turn = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
        pieces.append(Piece([circle(0, 0, 0.42, min(0.4, 1.7 / petals)) @ turn + centre], 2, i))
    pieces.append(Piece([circle(0, 0, heart, heart)], 3))
    return Thing(pieces)


def vessel(rng):
    """A turned profile: bottles, vases, lamps, with a band and a lid."""
    n = 30
    y = np.linspace(-1, 1, n)
    r = 0.35 + 0.25 * np.cos(np.linspace(0, rng.uniform(2, 7), n) + rng.uniform(0, 6)) * rng.uniform(0.2, 1)
    if rng.random() < 0.5:
        r[: n // 3] *= rng.uniform(0.3, 0.8)
    outline = np.concatenate([np.stack([r, y], 1), np.stack([-r, y], 1)[::-1]])
    pieces = [Piece([outline], 0)]
    if rng.random() < 0.7:
        at, half = rng.uniform(-0.1, 0.6), rng.uniform(0.1, 0.3)
        pieces.append(Piece([box(-1, at - half, 1, at + half)], 1, 0, True))
        if rng.random() < 0.5:
            pieces.append(Piece([blob(rng, 0.2, 0, at, half * 0.7)], 1, 1, True))
    if rng.random() < 0.4:
        pieces.append(Piece([box(-r[0] * 1.1, -1.12, r[0] * 1.1, -0.95)], 2))
    if rng.random() < 0.3:
        pieces.append(Piece([circle(r.max(), 0, 0.35, 0.4), circle(r.max(), 0, 0.25, 0.3)], 3))
    return Thing(pieces)


def furniture(rng):
    """A slab on legs, or a frame with fields: tables, shelves, signs, doors."""
    if rng.random() < 0.5:
        pieces = [Piece([box(x - 0.05, -0.2, x + 0.05, 0.9)], 1 + i) for i, x in enumerate((-0.8, 0.8))]
        pieces.append(Piece([np.array([[-1, 0], [-0.8, -0.4], [0.8, -0.4], [1, 0], [1, 0.1], [-1, 0.1]])], 0))
        return Thing(pieces)
    pieces = [Piece([box(-0.8, -1, 0.8, 1)], 0)]
    rows = int(rng.integers(1, 5))
    for i in range(rows):
        y = -0.9 + 1.8 * i / rows
        pieces.append(Piece([box(-0.7, y, 0.7, y + 1.6 / rows)], 1 + i))
        if rng.random() < 0.5:
            pieces.append(Piece([circle(rng.uniform(-0.5, 0.5), y + 0.8 / rows, 0.08, 0.08)], 1 + i, 1))
    return Thing(pieces)


def lettering(rng):
    """A board with lines of strokes like writing; the writing is one part."""
    high = rng.uniform(0.25, 0.9)
    pieces = [Piece([box(-1, -high, 1, high)], 0)]
    rows = int(rng.integers(1, 5))
    size = 1.5 * high / rows
    strokes = []
    for i in range(rows):
        y, x = -0.75 * high + (i + 0.5) * size, -0.85
        while x < 0.8:
            letter = rng.integers(1, 4)
            for _ in range(letter):
                a, b = rng.uniform(-0.35, 0.35, 2) * size, rng.uniform(-0.35, 0.35, 2) * size
                if rng.random() < 0.5:
                    a, b = a * [0, 1] - [0, 0.3 * size], a * [0, 1] + [0, 0.3 * size]
                strokes.append(np.array([a, b]) * [0.7, 1] + [x, y])
            x += size * rng.choice([0.6, 0.6, 0.6, 1.1])
    pieces.append(Piece(strokes, 1, 0, True, size * rng.uniform(0.08, 0.16)))
    return Thing(pieces)


def thin(rng):
    """Poles, wires, branches, fences, grass."""
    kind = rng.integers(4)
    width = rng.uniform(0.015, 0.06)
    if kind == 0:
        return Thing([Piece([walk(rng, 30, 0.09, rng.uniform(0.05, 0.4))], 0, 0, False, width)])
    if kind == 1:  # a branch with twigs
        stem = walk(rng, 24, 0.1, 0.15)
        lines = [stem]
        for _ in range(int(rng.integers(2, 8))):
            lines.append(stem[rng.integers(len(stem))] + np.cumsum(0.07 * np.ones((8, 2)) * rng.normal(0, 1, 2), 0) * rng.uniform(0.3, 1))
        return Thing([Piece(lines, 0, 0, False, width)])
    if kind == 2:  # a fence
        posts = int(rng.integers(3, 10))
        lines = [np.array([[x, -0.5], [x, 0.5]]) for x in np.linspace(-1, 1, posts)]
        lines += [np.array([[-1.05, y], [1.05, y]]) for y in (-0.25, 0.3)]
        return Thing([Piece(lines, 0, 0, False, width)])
    blades = []
    for _ in range(int(rng.integers(4, 14))):
        x, bend = rng.uniform(-0.6, 0.6), rng.normal(0, 0.5)
        t = np.linspace(0, 1, 10)
        blades.append(np.stack([x + bend * t ** 2, 1 - t * rng.uniform(0.8, 2)], 1))
    return Thing([Piece(blades, 0, 0, False, width)])


KINDS = [plain, plain, plain, divided, divided, animal, animal, person, person, building, vehicle, tree, flower, vessel,
         vessel, furniture, lettering, thin]


def draw_thing(rng):
    return KINDS[rng.integers(len(KINDS))](rng)
