"""The steps from files of pixels and labels to sharded TFRecords and their row index.

    unit -> chunks -> rows with digests -> split -> shard -> spilled | grouped -> sorted, encoded, written
    facts of all shards -> buckets of the row index -> hashed | joined to the digests of all rows and of each split

What travels is small on every runner: a unit says which rows of which files to read, a piece where rows of one shard
were written meanwhile, and facts say what became of a shard. Which rows a shard holds, and in which order, follows from
their digests, so equal data gives equal bytes in whatever order and form it came. A step gets everything through its
constructor and writes below the artifact's folder, which workers share with the process that started the pipeline.

`components.ingest.beam_shards` makes a Beam pipeline of the steps, for engines that share the work out. `write_alone` takes
them one after the other in this process, which then needs no Beam: its import alone takes longer than many a data set.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.digest import canonical_json
from components.errors import BadInput
from components.features import SPLITS
from components.ingest.encode import encode, tfrecord
from components.ingest.partial import PARTIAL, carrying, keep, writing
from components.ingest.row_index import Bucket, IndexPart, Nodes, buckets_of, nodes_of, trees_of
from components.ingest.rows import INDEX, Rows, by_digest, digest_order, digested, row_type, shard_numbers, unit_rows
from components.ingest.spill import Piece, gather, spill
from components.ingest.units import Job, Unit
from components.profile import profile
from components.progress import Count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Key = tuple[str, int, int]
"""(split, shard, number of shards)."""

EXCLUDED: Final = "excluded-"
"""Before the name of a split: the rows of it that are left out, of which nothing but digest and label is handed back."""

NO_SPLIT: Final = "none"
"""Stands for the rows that no split takes, which a digest that is left out can match as well."""

FACTS: Final = f"{PARTIAL}/shards.json"
"""What became of each shard, in one file of a known name: nobody looks for files in folders, whose listing may be old."""

DIGESTS: Final = f"{PARTIAL}/digests.json"
"""{split or `ALL`: Merkle root over the digests of its rows}."""

ENCODED_ROWS: Final = 1 << 12
"""Rows that are encoded at a time: a shard is in memory once, as rows, and never as Examples."""


@dataclass(frozen=True, kw_only=True)
class ShardFacts:
    """What became of one shard.

    Attributes:
      split: the split, or one with `EXCLUDED` before it.
      shard: its number in the split.
      rows: how many it has.
      size: bytes of its TFRecord.
      name: of the TFRecord in the artifact's folder; "" for rows that are left out.
      index: of the file with its part of the row index, in the artifact's folder.
      profile: of the file with its profile; "" for rows that are left out.
    """

    split: str
    shard: int
    rows: int
    size: int
    name: str
    index: str
    profile: str


def write_alone(job: Job) -> None:
    """Take all steps in this process; `WriteShard` says what they write."""
    read, write, pieces = Read(job), WriteShard(job), defaultdict[Key, list["Piece | None"]](list)
    read.setup()
    for unit in job.units:
        for key, piece in read.process(unit):
            pieces[key].append(piece)
    facts = [fact for key, some in pieces.items() for _, fact in write.process((key, some))]
    buckets = WriteFacts(job).process((0, facts))
    WriteDigests(job).process((0, [nodes for bucket in buckets for _, nodes in HashBucket(job).process(bucket)]))


class Read:
    """Unit -> ((split, shard, number of shards), the piece with its rows), for each shard of which it has some.

    For the first unit the shards come without a piece as well, so that those are written too that have no rows: the
    files of a split are as many as their names say.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self) -> None:
        """Begin to count: a worker reads units of any part, in any order."""
        self._progress = Count("rows read", self.job.rows)

    def process(self, unit: Unit) -> Iterator[tuple[Key, Piece | None]]:
        """Parse, digest and deal out one unit."""
        with carrying(Path(self.job.folder)):
            if unit == self.job.units[0]:
                for split, shards in self.job.shards().items():
                    yield from (((split, shard, shards), None) for shard in range(shards))
            for start, rows in self._runs(unit):
                dealt = list(self._dealt(unit.part, start, rows))
                pieces = spill(Path(self.job.folder), [part for _, part in dealt])
                yield from zip((key for key, _ in dealt), pieces, strict=True)

    def _runs(self, unit: Unit) -> Iterator[tuple[int, Rows]]:
        """Yield rows with their digests, as many as a task holds at a time, and the number of the first in its part."""
        data, held, count, start = self.job.data, [], 0, unit.start
        for chunk in self.job.chunks(unit):
            held.append(digested(chunk, data))
            count += len(chunk)
            self._progress.add(len(chunk))
            if unit.start + count - start >= unit_rows(data):
                yield start, np.concatenate(held)
                held, start = [], unit.start + count
        if held:
            yield start, np.concatenate(held)
        if count != unit.rows:
            raise BadInput("changed while it was being read", where=unit.files[0], wanted=unit.rows, got=count)

    def _dealt(self, part: str, start: int, rows: Rows) -> Iterator[tuple[Key, Rows]]:
        """Yield the rows of each shard, sorted, and of what is left out; none of them empty."""
        codes, all_shards = self.job.assignment.codes(rows, part, start), self.job.shards()
        excluded = self.job.exclusions.among(rows)
        if excluded.any():
            for code, split in ((-1, NO_SPLIT), *enumerate(SPLITS)):
                if len(own := rows[excluded & (codes == code)]):
                    yield (f"{EXCLUDED}{split}", 0, 1), own
        for code, split in enumerate(SPLITS):
            shards = all_shards[split]
            # Shards are ranges of digests. Sorted parts are also what the writer sorts fastest.
            own = by_digest(rows[(codes == code) & ~excluded])
            ends = np.searchsorted(shard_numbers(own, shards), np.arange(shards + 1))
            for shard in range(shards):
                if ends[shard] < ends[shard + 1]:
                    yield (split, shard, shards), own[ends[shard] : ends[shard + 1]]


class WriteShard:
    """((split, shard, number of shards), pieces) -> its facts, after writing TFRecord, part of the row index, profile.

    Facts are keyed so that all come together.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(self, element: tuple[Key, Iterable[Piece | None]]) -> Iterator[tuple[int, ShardFacts]]:
        """Write one shard."""
        (split, shard, shards), pieces = element
        folder, data = Path(self.job.folder), self.job.data
        with carrying(folder):
            rows = gather(folder, [piece for piece in pieces if piece is not None], row_type(data.pixels))
            order = digest_order(rows)
            index = f"{PARTIAL}/{split}-{shard:05d}.index"
            keep(folder, index, index_of(rows)[order].tobytes())
            name = profiled = ""
            size = 0
            if not split.startswith(EXCLUDED):
                name = f"Split-{split}/data_tfrecord-{shard:05d}-of-{shards:05d}"
                profiled = f"{PARTIAL}/{split}-{shard:05d}.profile"
                size = self._write(name, rows, order)
                keep(folder, profiled, canonical_json(profile(rows["image"], rows["label"], data)))
        yield (
            0,
            ShardFacts(split=split, shard=shard, rows=len(rows), size=size, name=name, index=index, profile=profiled),
        )

    def _write(self, name: str, rows: Rows, order: Any) -> int:
        """Write the Examples of a shard, some rows at a time, and return how many bytes they take."""
        with writing(Path(self.job.folder), name) as file:
            size = 0
            for start in range(0, len(order), ENCODED_ROWS):
                some = rows[order[start : start + ENCODED_ROWS]]
                size += file.write(tfrecord(encode(np.ascontiguousarray(some["image"]), some["label"])))
        return size


class WriteFacts:
    """All facts -> `FACTS`, and the buckets of rows whose digests are still to be hashed into one."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(self, element: tuple[int, Iterable[ShardFacts]]) -> Iterator[Bucket]:
        """Write the facts in the order of splits and shards."""
        facts = sorted(element[1], key=lambda one: (one.split, one.shard))
        with carrying(Path(self.job.folder)):
            keep(Path(self.job.folder), FACTS, canonical_json([asdict(one) for one in facts]))
        yield from buckets_of({split: index_parts(facts, split) for split in SPLITS})


class HashBucket:
    """Bucket -> its number, and what its rows add to the trees; keyed so that all come together."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(self, bucket: Bucket) -> Iterator[tuple[int, tuple[int, Nodes]]]:
        """Hash one bucket."""
        with carrying(Path(self.job.folder)):
            yield 0, (bucket.number, nodes_of(Path(self.job.folder), bucket))


class WriteDigests:
    """What all buckets add -> `DIGESTS`, and a `blocks_file` to each tree."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def process(self, element: tuple[int, Iterable[tuple[int, Nodes]]]) -> None:
        """Put the trees together from left to right."""
        trees = trees_of(nodes for _, nodes in sorted(element[1], key=lambda one: one[0]))
        with carrying(Path(self.job.folder)):
            for name, tree in trees.items():
                keep(Path(self.job.folder), blocks_file(name), b"".join(tree.blocks()))
            digests = {name: tree.root() for name, tree in trees.items()}
            keep(Path(self.job.folder), DIGESTS, canonical_json(digests))


def blocks_file(name: str) -> str:
    """Return where the workers leave the nodes of a tree that are kept, `MerkleFrontier.blocks`, one after the other."""
    return f"{PARTIAL}/{name}.blocks"


def index_parts(facts: Iterable[ShardFacts], split: str) -> list[IndexPart]:
    """Return the row index of a split, a part to a shard, given facts in the order of shards."""
    return [IndexPart(file=one.index, rows=one.rows) for one in facts if one.split == split]


def index_of(rows: Rows) -> Rows:
    """Return the rows without their pixels, as they stand in the row index."""
    index = np.empty(len(rows), dtype=INDEX)
    for field in INDEX.fields or ():
        index[field] = rows[field]
    return index
