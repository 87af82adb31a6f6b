"""The row index of an artifact, and the digests of its rows, from the parts that the writers of shards leave.

Nobody holds an index as a whole: parts are joined as files, and the Merkle trees over row digests grow from buckets,
equal ranges of digests. A bucket takes its rows from the files of all splits, each of which it opens at its own range,
so that the tree over all rows needs no sorted whole either.
"""

from __future__ import annotations

import bisect
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from components.digest import MerkleFrontier, leaf_hashes, subtree_roots
from components.errors import EnvironmentProblem
from components.features import SPLITS
from components.ingest.rows import INDEX, Rows, first_prefix
from components.ingest.spill import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ALL: Final = "all"
"""Stands for the rows of all splits together."""

BUCKET_ROWS: Final = 1 << 16
"""Rows of a bucket, about: 5 MB of index, and ten as Python's bytes."""

Nodes = dict[str, list[tuple[int, bytes]]]
"""{split or `ALL`: what a bucket adds to its tree, as `components.digest.subtree_roots` returns it}."""


@dataclass(frozen=True, kw_only=True)
class IndexPart:
    """The part of a split's index that the writer of one shard left.

    Attributes:
      file: its name in the artifact's folder; entries of `INDEX`, sorted by row digest.
      rows: how many it has.
    """

    file: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Rows of all splits whose digests are in one of several equal ranges.

    Attributes:
      number: of the range, from 0.
      count: how many ranges there are.
      parts: {split: its index, a part to a shard, in order}.
    """

    number: int
    count: int
    parts: Mapping[str, Sequence[IndexPart]]


def buckets_of(parts: Mapping[str, Sequence[IndexPart]]) -> list[Bucket]:
    """Return the buckets, at least one, for the index of all splits."""
    rows = sum(part.rows for of_split in parts.values() for part in of_split)
    count = max(1, -(-rows // BUCKET_ROWS))
    return [Bucket(number=number, count=count, parts=parts) for number in range(count)]


def nodes_of(folder: Path, bucket: Bucket) -> Nodes:
    """Return what the rows of a bucket add to the tree of each split and to that of all rows.

    Raises:
      EnvironmentProblem: when a part of an index is not here.
    """
    nodes: Nodes = {}
    before = 0
    digests: list[bytes] = []
    hashes: list[bytes] = []
    for split, parts in bucket.parts.items():
        start, own = _rows_of(folder, parts, bucket)
        own_hashes = leaf_hashes(own)
        nodes[split] = subtree_roots(own_hashes, start)
        before, digests, hashes = before + start, digests + own, hashes + own_hashes
    order = sorted(range(len(digests)), key=digests.__getitem__)
    nodes[ALL] = subtree_roots([hashes[at] for at in order], before)
    return nodes


def _rows_of(folder: Path, parts: Sequence[IndexPart], bucket: Bucket) -> tuple[int, list[bytes]]:
    """Return how many rows of a split come before a bucket, and the digests of those in it."""
    first, end = (first_prefix(number, bucket.count) for number in (bucket.number, bucket.number + 1))
    before, found = 0, []
    for number, part in enumerate(parts):
        # Shards are ranges of digests too.
        if first_prefix(number + 1, len(parts)) <= first:
            before += part.rows
        elif part.rows and first_prefix(number, len(parts)) < end:
            entries = read_part(folder, part)
            places = [bisect.bisect_left(range(part.rows), prefix, key=_Prefix(entries)) for prefix in (first, end)]
            before += places[0]
            found += [digest.tobytes() for digest in entries["row"][places[0] : places[1]]]
    return before, found


class _Prefix:
    def __init__(self, entries: Rows) -> None:
        self._entries = entries

    def __call__(self, number: int) -> int:
        return int.from_bytes(self._entries[number]["row"].tobytes()[:4], "big")


def read_part(folder: Path, part: IndexPart) -> Rows:
    """Return the entries of a part; they are read from disk where they are looked at.

    Raises:
      EnvironmentProblem: when it is not here, or not whole.
    """
    if not part.rows:
        return np.empty(0, INDEX)
    try:
        entries: Rows = np.memmap(folder / part.file, INDEX, "r", shape=(part.rows,))
    except (OSError, ValueError) as err:
        what = "a part of the row index is not here"
        raise EnvironmentProblem(what, where=folder / part.file, got=err, hint=SHARED) from err
    return entries


def trees_of(nodes: Iterable[Nodes]) -> dict[str, MerkleFrontier]:
    """Return the Merkle tree over the row digests of each split, and of all rows, from all buckets in order."""
    trees = {name: MerkleFrontier() for name in (*SPLITS, ALL)}
    for of_bucket in nodes:
        for name, roots in of_bucket.items():
            for level, root in roots:
                trees[name].add(level, root)
    return trees


def write_index(folder: Path, parts: Sequence[IndexPart], target: Path) -> None:
    """Join the parts of a split's index into the file that `numpy.save` would write of them."""
    header = {
        "descr": INDEX.descr,
        "fortran_order": False,
        "shape": (sum(part.rows for part in parts),),
    }
    with open(target, "xb") as file:
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]  # numpy left it out
        for part in parts:
            with open(folder / part.file, "rb") as entries:
                shutil.copyfileobj(entries, file, 1 << 20)
