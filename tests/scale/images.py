"""A larger MNIST: its own rows, then the same rows again, each time moved and turned a little, as IDX files.

    cd tests && python -m scale.images 16 FOLDER

Copies differ by up to a pixel and ten degrees, as the recipe `mnist` moves images while it trains, so schema and reference
of MNIST hold for them. Both parts grow alike. Equal arguments give equal bytes; memory is that of MNIST and of one block.
"""

from __future__ import annotations

import argparse
import gzip
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MNIST: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"
PARTS: Final = ("train", "t10k")

SHIFT: Final = 1.0
"""Pixels."""

ROTATION: Final = 10.0
"""Degrees."""

BLOCK: Final = 256
"""Images moved together: what they need in between stays in the cache."""

MARGIN: Final = 6
"""Black pixels around an image, which more than hold what a corner of 28x28 moves by."""

Images = npt.NDArray[np.uint8]


def write(folder: Path, *, times: int, seed: int = 0, source: Path = MNIST) -> None:
    """Write a data set of `times` as many rows into a folder.

    Args:
      folder: to be made; holds four IDX files, not compressed, once all are written.
      times: 1 gives the rows of `source` themselves.
      seed: of all that is drawn.
      source: folder with MNIST's four files, gzipped.
    """
    begun = folder.with_name(f"{folder.name}.begun")
    begun.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(PARTS):
        images = read(source / f"{part}-images-idx3-ubyte.gz")
        labels = read(source / f"{part}-labels-idx1-ubyte.gz")
        with (begun / f"{part}-images-idx3-ubyte").open("wb") as file:
            file.write(header(times * len(images), *images.shape[1:]))
            for block in copies(images, times, np.random.SeedSequence([seed, number])):
                file.write(block.tobytes())
        with (begun / f"{part}-labels-idx1-ubyte").open("wb") as file:
            file.write(header(times * len(labels)))
            for _ in range(times):
                file.write(labels.tobytes())
    begun.rename(folder)


def copies(images: Images, times: int, seed: np.random.SeedSequence) -> Iterator[Images]:
    """Yield blocks of `images` [N, H, W], `times` over; all but the first time they are moved."""
    for number, drawn in enumerate(seed.spawn(times)):
        rng = np.random.default_rng(drawn)
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            yield moved(block, rng) if number else block


def moved(images: Images, rng: np.random.Generator) -> Images:
    """Return uint8 images [N, H, W], each shifted and turned about its middle by amounts of its own, interpolated linearly."""
    count, height, width = images.shape
    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION, (count, 1))).astype(np.float32)
    down, right = rng.uniform(-SHIFT, SHIFT, (2, count, 1)).astype(np.float32)
    rows, columns = (axis.reshape(1, -1).astype(np.float32) for axis in np.indices((height, width)))
    rows, columns = rows - (height - 1) / 2, columns - (width - 1) / 2
    y = np.cos(angle) * rows - np.sin(angle) * columns + down + (height - 1) / 2 + MARGIN
    x = np.sin(angle) * rows + np.cos(angle) * columns + right + (width - 1) / 2 + MARGIN
    padded = np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
    stride = padded.shape[2]
    top, left = y.astype(np.int32), x.astype(np.int32)
    y, x = y - top, x - left
    place = np.arange(count, dtype=np.int32)[:, None] * (padded.shape[1] * stride) + top * stride + left
    flat = padded.ravel()
    upper = flat[place] * (1 - x) + flat[place + 1] * x
    lower = flat[place + stride] * (1 - x) + flat[place + stride + 1] * x
    return np.rint(upper * (1 - y) + lower * y).astype(np.uint8).reshape(images.shape)


def header(*shape: int) -> bytes:
    """Return the beginning of an IDX file of unsigned bytes: two zeros, 8 for the type, and the sizes, big-endian."""
    return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)


def read(path: Path) -> npt.NDArray[Any]:
    """Return what a gzipped IDX file of unsigned bytes holds."""
    with gzip.open(path) as file:
        dimensions = file.read(4)[3]
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        return np.frombuffer(file.read(), np.uint8).reshape(shape)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("times", type=int, help="how many times MNIST's rows")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    write(asked.folder, times=asked.times, seed=asked.seed)


if __name__ == "__main__":
    main()
