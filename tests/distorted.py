"""Pictures of digits made from rows of a data set: drawn large with another pen, slanted, framed, broken, photographed.

Thresholds of `pipeline.predict` were chosen on these, made from validation rows, and never on pictures that people took.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Floats = np.ndarray


def drawn(row: Floats, rng: np.random.Generator, *, height: int) -> Floats:
    """Ink from 0 to 1 of a 28x28 row (0 to 1), smoothly enlarged, with a pen of another width, slanted and stretched."""
    scale = height / 20
    large = ndimage.zoom(np.pad(row, 2), scale, order=3)
    distance = ndimage.distance_transform_edt(large > 0.5) - ndimage.distance_transform_edt(large <= 0.5)
    inner = distance[large > 0.5]
    width = 2 * float(np.percentile(inner, 90)) if inner.size else 2
    # From a hairline, which keeps two fifths of the stroke's width, to a felt tip.
    change = rng.uniform(-0.3, 0.2) * width
    ink = np.clip(distance + change + 0.5, 0, 1)
    slant, stretch = rng.uniform(-0.3, 0.3), rng.uniform(0.85, 1.15)
    middle = (np.array(ink.shape) - 1) / 2
    matrix = np.array([[1, 0], [slant, 1 / stretch]])
    turned = ndimage.affine_transform(ink, matrix, offset=middle - matrix @ middle, order=1)
    return cropped(turned)


def cropped(ink: Floats) -> Floats:
    rows, columns = (np.flatnonzero((ink > 0.3).any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if rows.size else ink


def page(ink: Floats, rng: np.random.Generator, *, margin: float) -> tuple[Floats, int, int]:
    """The ink on a sheet with margins of up to a share of its height, and where it lies."""
    room = (margin * ink.shape[0] * rng.uniform(0.3, 1, 4)).astype(int) + 2
    sheet = np.pad(ink, ((room[0], room[1]), (room[2], room[3])))
    return sheet, int(room[0]), int(room[2])


def scanned(ink: Floats, rng: np.random.Generator) -> Floats:
    """Grey of a scan: pencil or ink, a little noise."""
    pen = rng.uniform(0, 0.6)
    grain = ndimage.gaussian_filter(rng.normal(0, 1, ink.shape), 1) * 0.25
    grey = 1 - ink * np.clip(1 - pen + grain, 0.15, 1) + rng.normal(0, 0.01, ink.shape)
    return np.clip(ndimage.gaussian_filter(grey, 0.6), 0, 1)


def framed(ink: Floats, rng: np.random.Generator) -> Floats:
    """A scan of a form's cell: two to four of its rules are to be seen, a little tilted; some touch the digit."""
    sheet, _, _ = page(ink, rng, margin=0.5)
    grey = scanned(sheet, rng)
    height, width = grey.shape
    shade, thick = rng.uniform(0, 0.4), max(2, int(rng.uniform(0.01, 0.03) * height))
    sides = rng.permutation(4)[: rng.integers(2, 5)]
    rows, columns = np.arange(height), np.arange(width)
    for side in sides:
        place, tilt = rng.uniform(0, 0.06), rng.uniform(-0.015, 0.015)
        if side < 2:
            line = place * height + thick / 2 + tilt * columns
            line = line if side == 0 else height - 1 - line
            where = np.abs(rows[:, None] - line[None]) <= thick / 2
        else:
            line = place * width + thick / 2 + tilt * rows
            line = line if side == 2 else width - 1 - line
            where = np.abs(columns[None] - line[:, None]) <= thick / 2
        grey = np.where(where, np.minimum(grey, shade), grey)
    return np.clip(ndimage.gaussian_filter(grey, 0.6), 0, 1)


def broken(ink: Floats, rng: np.random.Generator) -> Floats:
    """A digit with a straight cut through it: a stroke that was begun anew."""
    height = ink.shape[0]
    middle = rng.uniform(0.25, 0.75, 2) * ink.shape
    angle, gap = rng.uniform(0, np.pi), rng.uniform(0.03, 0.08) * height
    y, x = np.indices(ink.shape)
    away = np.abs((y - middle[0]) * np.cos(angle) + (x - middle[1]) * np.sin(angle))
    sheet, _, _ = page(np.where(away < gap / 2, 0, ink), rng, margin=0.6)
    return scanned(sheet, rng)


def photographed(ink: Floats, rng: np.random.Generator, *, side: int) -> Floats:
    """A small digit on a large sheet under light that falls off, grey from 0 to 1."""
    sheet = np.zeros((side, int(side * rng.uniform(0.75, 1.3))))
    top, left = (
        int(rng.uniform(0.15, 0.6) * (whole - part)) for whole, part in zip(sheet.shape, ink.shape, strict=True)
    )
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in sheet.shape), indexing="ij")
    light = 0.8 + rng.uniform(-0.15, 0.15) * x + rng.uniform(-0.15, 0.15) * y
    grey = light * (1 - sheet * rng.uniform(0.5, 0.9)) + rng.normal(0, rng.uniform(0.005, 0.02), sheet.shape)
    return np.clip(grey, 0, 1)


def picture(kind: str, row: Floats, rng: np.random.Generator) -> Image.Image:
    """A picture of one of `KINDS` from a row, 0 to 1."""
    if kind == "photograph":
        side = 1600
        grey = photographed(drawn(row, rng, height=int(rng.uniform(0.025, 0.1) * side)), rng, side=side)
    elif kind == "page":
        ink = drawn(row, rng, height=int(rng.uniform(300, 500)))
        grey = scanned(page(ink, rng, margin=0.06)[0], rng)
    else:
        ink = drawn(row, rng, height=int(rng.uniform(60, 160)))
        make = {"frame": framed, "strokes": broken, "scan": lambda i, r: scanned(page(i, r, margin=0.6)[0], r)}[kind]
        grey = make(ink, rng)
    return Image.fromarray((grey * 255 + 0.5).astype(np.uint8))


KINDS = ("scan", "frame", "strokes", "photograph", "page")


def without_digit(number: int, rng: np.random.Generator) -> Image.Image:
    """A picture with ink that is no digit: letters of Pillow's font that no digit looks like, shapes, scribbles."""
    image = Image.new("L", (200, 200), 250)
    pen = ImageDraw.Draw(image)
    kind = number % 3
    width = int(rng.integers(5, 14))
    if kind == 0:
        letter = "AEFHKMNRWXmwk&%#@"[number // 3 % 17]
        pen.text((50, 40), letter, fill=20, font=ImageFont.load_default(int(rng.integers(80, 120))))
    elif kind == 1:
        corners = int(rng.integers(3, 8))
        turns = 2 * np.pi * np.arange(2 * corners) / (2 * corners) + rng.uniform(0, 6)
        far = np.where(np.arange(2 * corners) % 2, 70, rng.uniform(25, 70))
        star = [(100 + r * np.cos(t), 100 + r * np.sin(t)) for r, t in zip(far, turns, strict=True)]
        pen.line([*star, star[0]], fill=20, width=width, joint="curve")
        pen.line([star[0], star[corners]], fill=20, width=width)
    else:
        points = [tuple(point) for point in rng.uniform(30, 170, (int(rng.integers(7, 14)), 2))]
        pen.line(points, fill=20, width=width, joint="curve")
    return image
