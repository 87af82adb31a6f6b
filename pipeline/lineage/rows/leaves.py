"""The row digests of one or several row indexes as one ascending sequence, read in pieces: the leaves of a Merkle tree."""

from __future__ import annotations

import bisect
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, overload

from pipeline.lineage.rows.merkle import Tree
from pipeline.provenance.row_file import DIGEST_BYTES, RowFile

PIECE: Final = 1 << 13
"""Leaves that are read and merged at once, about."""

_KEPT: Final = 16
"""Pieces that are remembered: the neighbours of the digests that a proof is about."""


class Leaves(Sequence[bytes]):
    """The row digests of some files, merged.

    Digests are uniform, so that equal ranges of them are pieces of about equal size, whose bounds are looked up in each
    file. Anything else than digests gives larger pieces, and the same leaves.

    Args:
      files: each in ascending order.
    """

    def __init__(self, files: Sequence[RowFile]) -> None:
        self._files = files
        total = sum(map(len, files))
        pieces = max(1, total // PIECE)
        # Four bytes tell a piece.
        first = [((number << 32) // pieces).to_bytes(4, "big") + bytes(DIGEST_BYTES - 4) for number in range(1, pieces)]
        bounds = [[0, *(file.position(digest) for digest in first), len(file)] for file in files]
        self._bounds = list(zip(*bounds, strict=True))
        self._starts: list[int] = [sum(places) for places in self._bounds]
        self._pieces: OrderedDict[int, list[bytes]] = OrderedDict()

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """Return a leaf, or neighbours."""
        chosen = range(len(self))[index]
        if isinstance(chosen, int):
            number = self._piece_of(chosen)
            return self._piece(number)[chosen - self._starts[number]]
        if not chosen:
            return []
        numbers = range(self._piece_of(chosen[0]), self._piece_of(chosen[-1]) + 1)
        read = [leaf for number in numbers for leaf in self._piece(number)]
        start = self._starts[numbers[0]]
        return read[chosen.start - start : chosen.stop - start : chosen.step]

    def place(self, digest: bytes) -> int:
        """Return how many leaves are lower than `digest`."""
        return sum(file.position(digest) for file in self._files)

    def _piece_of(self, index: int) -> int:
        return bisect.bisect_right(self._starts, index) - 1

    def _piece(self, number: int) -> list[bytes]:
        if number not in self._pieces:
            places = zip(self._files, self._bounds[number], self._bounds[number + 1], strict=True)
            self._pieces[number] = sorted(
                itertools.chain.from_iterable(file.row_digests(start, stop) for file, start, stop in places)
            )
            if len(self._pieces) > _KEPT:
                self._pieces.popitem(last=False)
        return self._pieces[number]


class RowTree(Tree):
    """The Merkle tree over the rows of some row indexes.

    Args:
      files: at least one of which has rows.
      blocks: as `Tree` takes them.
    """

    def __init__(self, files: Sequence[RowFile], blocks: Sequence[bytes] | None = None) -> None:
        self._sorted = Leaves(files)
        super().__init__(self._sorted, blocks)

    def place(self, digest: bytes) -> int:
        """Return how many leaves are lower than `digest`."""
        return self._sorted.place(digest)
