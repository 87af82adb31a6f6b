"""Image files as grey arrays, float32 [H, W] from 0 (black) to 1 (white), with a small coloured picture.

8 or 16 bits, one bit, palette, grey, colour, transparent, turned by its EXIF tag: afterwards it makes no difference.
"""

from __future__ import annotations

import contextlib
import dataclasses
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from components.errors import BadInput

Floats = npt.NDArray[np.float32]

FORMATS: Final = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
KINDS: Final = "PNG, JPEG, BMP, TIFF, GIF or WEBP"
WORKING: Final = 800
"""Longest side, in pixels, that is looked at; larger photographs are averaged down, for speed and against noise."""

DETAIL: Final = 2400
"""Longest side, in pixels, that is kept for a second look at what is small on a photograph."""

SHORTEST: Final = 4
SLIMMEST: Final = 50
"""Longest side over shortest one beyond which nothing is a photograph of a digit."""

THUMBNAIL: Final = 96

_SIXTEEN_BITS: Final = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_LUMA: Final = (0.299, 0.587, 0.114)
"""Of red, green and blue, by ITU-R BT.601."""

_BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    RuntimeError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's readers raise on damaged files."""


@dataclasses.dataclass(frozen=True, eq=False)
class Photograph:
    """What was read from a file.

    Attributes:
      grey: float32 [H, W], 0 to 1.
      thumbnail: uint8 [h, w, 3], at most `THUMBNAIL` pixels a side.
      detail: the same in more pixels, at most `DETAIL` a side; None where there are no more.
    """

    grey: Floats
    thumbnail: npt.NDArray[np.uint8]
    detail: Floats | None = None


def require_image(path: Path) -> None:
    """Look whether a file begins as an image; whether the rest can be read shows only in `read`.

    Raises:
      BadInput: if it is none of `FORMATS`, or no file.
    """
    with _opened(path):
        pass


def is_image(path: Path) -> bool:
    """Return whether the file begins as one of `FORMATS`."""
    try:
        require_image(path)
    except BadInput:
        return False
    return True


def read(path: Path) -> Photograph:
    """Read an image file.

    Raises:
      BadInput: if it is none of `FORMATS`, is damaged, or has a size that no photograph of a digit has.
    """
    with _opened(path) as image:
        _require_one_picture(image, path)
        _require_sensible_size(image, path)
        fine = -(-max(image.size) // DETAIL)
        planes = _planes(ImageOps.exif_transpose(image), fine, path)
    coarse = -(-max(planes.shape) // WORKING)
    if coarse == 1:
        return Photograph(_grey(planes), _thumbnail(planes))
    reduced = _reduced(planes, coarse)
    weights = _weights(reduced)
    return Photograph(_weighed(reduced, weights), _thumbnail(reduced), _weighed(planes, weights))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    if not path.exists():
        raise BadInput("no such file", where=path)
    if not path.is_file():
        raise BadInput("is no regular file", where=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Past Pillow's limit it warns, and past twice the limit it refuses: here both refuse.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except BadInput:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
        limit = f"{Image.MAX_IMAGE_PIXELS:,} pixels at most"
        raise BadInput("is too large to be decompressed", where=path, wanted=limit, hint="scale it down first") from err
    except MemoryError as err:
        raise BadInput("is too large for this machine's memory", where=path) from err
    except _BROKEN as err:
        wanted = f"a {KINDS} file"
        raise BadInput("cannot be read as an image", where=path, wanted=wanted, got=_reason(err, path)) from err


def _reason(err: BaseException, path: Path) -> str:
    if isinstance(err, UnidentifiedImageError):
        return "another kind of file" if path.stat().st_size else "an empty file"
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    return " ".join(str(err).replace(str(path), "").split())[:200] or type(err).__name__


def _require_one_picture(image: Image.Image, path: Path) -> None:
    """Refuse animations and several pages; a phone's JPEG may hold further versions of its one picture."""
    count = getattr(image, "n_frames", 1)
    if image.format not in ("JPEG", "MPO") and count > 1:
        raise BadInput(
            "is no single picture", where=path, got=f"{count} frames or pages", hint="export the one to read"
        )


def _require_sensible_size(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if min(width, height) < SHORTEST or max(width, height) > SLIMMEST * min(width, height):
        wanted = f"{SHORTEST} pixels a side or more, and no side {SLIMMEST} times the other"
        raise BadInput("has no size of a photograph", where=path, wanted=wanted, got=f"{width} x {height}")


def _planes(image: Image.Image, factor: int, path: Path) -> Floats:
    """Return float32 [H, W, 1 or 3], 0 to 1, nothing transparent any more."""
    if image.mode in _SIXTEEN_BITS:
        return _sixteen_bits(image, factor, path)
    if image.mode == "F":
        raise BadInput("has floating-point pixels", where=path, wanted="8 or 16 bits", hint="export it as PNG")
    if image.has_transparency_data:
        # Premultiplied, or the colour that nobody sees would bleed into the edges where pixels are averaged.
        layers = _reduced(np.asarray(image.convert("RGBA").convert("RGBa")), factor) / 255
        return _on_paper(layers[..., :3], layers[..., 3:])
    grey = image.mode in ("1", "L")
    values = np.asarray(image.convert("L" if grey else "RGB"))
    return _reduced(values[..., None] if grey else values, factor) / 255


def _sixteen_bits(image: Image.Image, factor: int, path: Path) -> Floats:
    values = np.asarray(image)[..., None]
    if values.min() < 0 or values.max() > 0xFFFF:
        raise BadInput("has 32-bit pixels", where=path, wanted="8 or 16 bits", hint="export it as PNG")
    hidden = image.info.get("transparency")
    if not isinstance(hidden, int):
        return _reduced(values, factor) / 0xFFFF
    alpha = _reduced(values != hidden, factor)
    return _on_paper(_reduced(np.where(values == hidden, 0, values), factor) / 0xFFFF, alpha)


def _reduced(values: npt.NDArray[Any], factor: int) -> Floats:
    """Average blocks of `factor` x `factor` pixels; what is left over at the right and at the bottom is cut off."""
    if factor == 1:
        return values.astype(np.float32)
    rows, columns = (side // factor for side in values.shape[:2])
    blocks = values[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, -1)
    averages: Floats = np.mean(blocks, axis=(1, 3), dtype=np.float32)
    return averages


def _on_paper(premultiplied: Floats, alpha: Floats) -> Floats:
    """Put a transparent picture on a background that it was made for.

    Where little is opaque, or all of it has one colour, the opaque part is the ink: it goes on the opposite. Otherwise
    the picture brings its own paper, and the transparent part (a cut-off corner) gets the colour of that.
    """
    opaque = alpha[..., 0] > 0.5
    if not opaque.any():
        return np.ones_like(premultiplied)
    colours = premultiplied[opaque] / alpha[opaque]
    brightness = _luminance(colours)
    low, high = np.percentile(brightness, [2, 98])
    if opaque.mean() > 0.5 and high - low > 0.25:
        paper = np.median(colours, axis=0)
    else:
        paper = np.full(colours.shape[1], 0.0 if brightness.mean() > 0.5 else 1.0)
    composed: Floats = premultiplied + (1 - alpha) * paper.astype(np.float32)
    return composed


def _luminance(planes: Floats) -> Floats:
    weights = np.array(_LUMA if planes.shape[-1] == len(_LUMA) else (1.0,), np.float32)
    found: Floats = planes @ weights
    return found


def _grey(planes: Floats) -> Floats:
    return _weighed(planes, _weights(planes))


def _weights(planes: Floats) -> Floats:
    """Return those of the luminance, or of the colour channel that shows far more: yellow on white is as good as invisible."""
    count = planes.shape[-1]
    spreads = [_spread(planes[..., i]) for i in range(count)]
    best = int(np.argmax(spreads))
    if count == 1 or spreads[best] > 1.5 * _spread(_luminance(planes)):
        return np.array([channel == best for channel in range(count)], np.float32)
    return np.array(_LUMA, np.float32)


def _weighed(planes: Floats, weights: Floats) -> Floats:
    found: Floats = np.ascontiguousarray(planes @ weights)
    return found


def _spread(grey: Floats) -> float:
    low, high = np.percentile(grey, [0.1, 99.9])
    return float(high - low)


def _thumbnail(planes: Floats) -> npt.NDArray[np.uint8]:
    rgb = np.broadcast_to(planes, (*planes.shape[:2], 3))
    image = Image.fromarray(np.clip(rgb * 255 + 0.5, 0, 255).astype(np.uint8))
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(image)
