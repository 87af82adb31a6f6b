"""Image files decoded to the exact grey values that a data file would hold, or the reason why these cannot be known."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.digest import pixels_digest, row_digest, row_prefix
from components.errors import BadInput, CannotTell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

PREDICT: Final = "mnist-tfx predict reads photographs; name the picture that the data was made from to ask about that"

_EXACT: Final = ("PNG", "BMP", "GIF", "TIFF", "PPM")
_LOSSY: Final = ("JPEG", "WEBP", "AVIF")
_LOSSY_TIFF: Final = ("jpeg", "tiff_jpeg", "webp")
_DEEP: Final = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """One image.

    Attributes:
      height: in pixels.
      width: in pixels.
      pixels: uint8 values in row order.
      label: None if it is not known.
    """

    height: int
    width: int
    pixels: bytes
    label: int | None = None

    @property
    def digest(self) -> bytes:
        """The digest of the pixels alone."""
        return pixels_digest(row_prefix(self.height, self.width), self.pixels)

    def row_digest(self, label: int) -> bytes:
        """Return the digest of the image with a label."""
        return row_digest(row_prefix(self.height, self.width), self.pixels, label)

    def values(self) -> NDArray[np.uint8]:
        """Return the pixels as uint8 [height, width]."""
        import numpy as np

        return np.frombuffer(self.pixels, np.uint8).reshape(self.height, self.width)

    @staticmethod
    def of(values: NDArray[Any], label: int | None = None) -> Picture:
        """Make a picture of uint8 [height, width]."""
        height, width = values.shape
        return Picture(height=height, width=width, pixels=values.tobytes(), label=label)

    def to_dict(self) -> dict[str, Any]:
        """Return size and digest as JSON values."""
        return {"height": self.height, "width": self.width, "pixels_digest": self.digest.hex()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """An image file, decoded.

    Attributes:
      picture: its grey values; None if it has none, or several sets of them.
      doubt: why a data file made from the same drawing can hold other values; None if the values are exact.
    """

    picture: Picture | None
    doubt: str | None = None


def decode(path: Path) -> Decoded:
    """Decode an image file of any common format.

    Raises:
      BadInput: if it is no image, or damaged.
    """
    with _opened(path) as image:
        if (frames := getattr(image, "n_frames", 1)) > 1:
            return Decoded(picture=None, doubt=f"it holds {frames} pictures: save the one that is meant by itself")
        lossy = image.format in _LOSSY or image.info.get("compression") in _LOSSY_TIFF
        values, doubt = _grey(image)
        if lossy and values is not None:
            doubt = f"{image.format} alters pixels when it saves them"
    return Decoded(picture=None if values is None else Picture.of(values), doubt=doubt)


def exact(path: Path) -> Picture:
    """Return the picture in a file whose grey values are exact.

    Raises:
      BadInput: if it is no image, or damaged.
      CannotTell: if the format or its colours leave open which grey values a data file would hold.
    """
    decoded = decode(path)
    if decoded.picture is None or decoded.doubt is not None:
        raise CannotTell("its pixels need not be those of a data file", where=path, got=decoded.doubt, hint=PREDICT)
    return decoded.picture


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=[*_EXACT, *_LOSSY]) as image:
                image.load()
                yield image
    except FileNotFoundError as err:
        raise BadInput("no such file", where=path) from err
    except MemoryError as err:
        raise BadInput("is too large for this machine's memory", where=path) from err
    except (BadInput, CannotTell):
        raise
    except Exception as err:  # Pillow's readers raise nearly anything on damaged files, struct.error among them
        text = " ".join(str(err).replace(str(path), "").split())
        raise BadInput("is no image that can be read", where=path, got=text or type(err).__name__) from err


def _grey(image: Image.Image) -> tuple[NDArray[np.uint8] | None, str | None]:
    """Return uint8 [height, width] and what is doubtful about them, at least one of the two."""
    import numpy as np

    if image.mode in _DEEP:
        return None, f"its pixels have more than 8 bits (mode {image.mode}), and a data file's have 8"
    if image.mode in ("1", "L") and not image.has_transparency_data:
        return np.asarray(image.convert("L")), None
    layers = np.asarray(image.convert("RGBA"))
    if (layers[..., 3] != 0xFF).any():
        return None, "it is transparent in places, and what lies behind it is not known"
    if (layers[..., :3] != layers[..., :1]).any():
        return None, "it is in colour, and grey can be made of colours in several ways"
    return np.ascontiguousarray(layers[..., 0]), None
