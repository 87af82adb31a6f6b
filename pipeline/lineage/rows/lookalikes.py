"""Pictures that are another one inverted, rescaled, turned or mirrored, looked for where the pixels themselves are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from pipeline.lineage.rows.images import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.lineage.rows.index import Occurrence, RowIndex

LARGEST: Final = 255
"""Of a byte: what image files, unlike some data files, scale white to."""

_TURNS: Final = {
    "transposed": "transposed (columns written as rows)",
    "turned by 90 degrees": "turned by 90 degrees to the left",
    "turned by 180 degrees": "turned by 180 degrees",
    "turned by 270 degrees": "turned by 90 degrees to the right",
    "mirrored": "mirrored left to right",
    "upside down": "mirrored top to bottom",
    "transposed and turned by 180 degrees": "transposed and turned by 180 degrees",
}
"""{how an answer says it: name of the turn in `components.schema_gate.cause`}."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lookalike:
    """A row of a data set that is a given picture in another form.

    Attributes:
      how: what turns the picture into the row, in words.
      rows_digest: of the data set.
      occurrence: where the row is there.
    """

    how: str
    rows_digest: str
    occurrence: Occurrence

    def __str__(self) -> str:
        return f"not these pixels, but the same {self.how} are in the data: {self.occurrence}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"how": self.how, "rows_digest": self.rows_digest, **self.occurrence.to_dict()}


def find(indexes: Sequence[tuple[RowIndex, int]], pictures: Sequence[Picture]) -> list[Lookalike]:
    """Return the first row that each picture is another form of; a picture of one value is passed over.

    Args:
      indexes: of data sets with the pictures' size, each with its largest pixel value.
      pictures: none of which is a row as it is.
    """
    result: dict[int, Lookalike] = {}
    for index, pixel_max in indexes:
        forms = {
            form.digest: (number, how)
            for number, picture in enumerate(pictures)
            # However it is turned or inverted, a blank picture says nothing about where it came from.
            if number not in result and len(set(picture.pixels)) > 1
            for how, form in _forms(picture.values(), pixel_max)
        }
        for digest in index.known(forms):
            number, how = forms[digest]
            one = index.occurrences(digest)[0]
            result.setdefault(number, Lookalike(how=how, rows_digest=index.rows_digest, occurrence=one))
    return [result[number] for number in sorted(result)]


def _forms(values: NDArray[np.uint8], pixel_max: int) -> Iterator[tuple[str, Picture]]:
    from components.schema_gate.cause import MIRRORS, TURNS  # brings numpy

    turns = {how: {**MIRRORS, **TURNS}[name] for how, name in _TURNS.items()}
    for tone, toned in _tones(values, pixel_max):
        if tone:
            yield tone, Picture.of(toned)
        for how, turn in turns.items():
            turned = turn(toned)
            if turned.shape == values.shape:
                yield f"{tone}, {how}" if tone else how, Picture.of(turned)


def _tones(values: NDArray[np.uint8], pixel_max: int) -> Iterator[tuple[str, NDArray[Any]]]:
    import numpy as np

    yield "", values
    yield f"inverted ({LARGEST} - x)", LARGEST - values
    if pixel_max != LARGEST:
        if int(values.max()) <= pixel_max:
            yield f"inverted ({pixel_max} - x)", np.subtract(pixel_max, values, dtype=np.uint8)
        scaled = np.rint(values.astype(np.float64) * pixel_max / LARGEST).astype(np.uint8)
        yield f"scaled to 0 to {pixel_max}", scaled
        yield f"scaled to 0 to {pixel_max} and inverted", np.subtract(pixel_max, scaled, dtype=np.uint8)
