"""A run of rows on their way from a data file to Examples, the same whether it came from IDX or CSV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Neighbouring rows of one file.

    Attributes:
      start: number of the first row in its file, from 0; a CSV's header is no row.
      pixels: uint8 [n, height * width], in row order.
      labels: int64 [n].
    """

    start: int
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)
