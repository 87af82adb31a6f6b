"""RFC 6962 Merkle trees, and proofs about them that are checked with nothing but the root.

Audit paths are those of RFC 9162 section 2.1.3, over the tree whose root `components.digest.merkle_root` gives. The RFC
leaves the number of leaves to a signed tree head; here a root stands alone, so `SizeProof` shows it as well. Absence
needs leaves in ascending order, as row digests are: two neighbours enclose whatever is not there.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from components.digest import BLOCK_LEVEL
from components.errors import BadInput, EnvironmentProblem

_HEX: Final = frozenset("0123456789abcdef")
_MOST_HASHES: Final = 64
"""In one path: a tree of 2**64 leaves is larger than any."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inclusion:
    """A leaf and its audit path.

    Attributes:
      leaf: its bytes.
      index: its number, from 0.
      path: hashes of the siblings on the way to the root, nearest first.
    """

    leaf: bytes
    index: int
    path: tuple[bytes, ...]

    def proves(self, size: int, root: bytes) -> bool:
        """Whether the leaf has this index in the tree of `size` leaves with this root (RFC 9162 section 2.1.3.2)."""
        if not 0 <= self.index < size:
            return False
        first, last, node = self.index, size - 1, leaf_hash(self.leaf)
        for sibling in self.path:
            if last == 0:
                return False
            if first % 2 or first == last:
                node = node_hash(sibling, node)
                while first and not first % 2:
                    first, last = first >> 1, last >> 1
            else:
                node = node_hash(node, sibling)
            first, last = first >> 1, last >> 1
        return last == 0 and node == root

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"leaf": self.leaf.hex(), "index": self.index, "path": _texts(self.path)}

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Inclusion:
        """Restore what `to_dict` returned; raises BadInput if it is something else."""
        _require(fields, {"leaf", "index", "path"})
        if type(fields["index"]) is not int:
            raise BadInput("not an index", where="proof", got=repr(fields["index"])[:80])
        return Inclusion(leaf=digest_bytes(fields["leaf"]), index=fields["index"], path=_raws(fields["path"]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Absence:
    """The neighbours that enclose a digest which is no leaf.

    Attributes:
      before: the last leaf below it; None if it would come first.
      after: the first leaf above it; None if it would come last.
    """

    before: Inclusion | None
    after: Inclusion | None

    def proves(self, digest: bytes, size: int, root: bytes) -> bool:
        """Whether `digest` is missing from the ascending leaves of the tree of `size` leaves with this root."""
        ends = [end for end in (self.before, self.after) if end is not None]
        index_before = -1 if self.before is None else self.before.index
        index_after = size if self.after is None else self.after.index
        return (
            bool(ends)
            and index_after == index_before + 1
            and (self.before is None or self.before.leaf < digest)
            and (self.after is None or digest < self.after.leaf)
            and all(end.proves(size, root) for end in ends)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {name: end and end.to_dict() for name, end in (("before", self.before), ("after", self.after))}

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Absence:
        """Restore what `to_dict` returned; raises BadInput if it is something else."""
        _require(fields, {"before", "after"})
        before, after = (
            None if fields[end] is None else Inclusion.from_dict(fields[end]) for end in ("before", "after")
        )
        return Absence(before=before, after=after)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SizeProof:
    """How many leaves a tree has.

    To the left of the way down to the last leaf hang perfect subtrees, one for each bit of the size less one. Each shows
    its depth by the path to its first leaf; depths give the size, and all together give the root.

    Attributes:
      last: the last leaf.
      subtrees: (first leaf, path inside the subtree), smallest subtree first.
    """

    last: bytes
    subtrees: tuple[tuple[bytes, tuple[bytes, ...]], ...]

    @property
    def size(self) -> int:
        """The number of leaves that it shows."""
        return 1 + sum(1 << len(path) for _, path in self.subtrees)

    def proves(self, root: bytes) -> bool:
        """Whether the tree with this root has `size` leaves."""
        depths = [len(path) for _, path in self.subtrees]
        node = leaf_hash(self.last)
        for first, path in self.subtrees:
            subtree = leaf_hash(first)
            for sibling in path:
                subtree = node_hash(subtree, sibling)
            node = node_hash(subtree, node)
        return depths == sorted(set(depths)) and node == root

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        subtrees = [{"first": first.hex(), "path": _texts(path)} for first, path in self.subtrees]
        return {"last": self.last.hex(), "subtrees": subtrees}

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> SizeProof:
        """Restore what `to_dict` returned; raises BadInput if it is something else."""
        _require(fields, {"last", "subtrees"})
        for subtree in items(fields["subtrees"]):
            _require(subtree, {"first", "path"})
        subtrees = tuple((digest_bytes(subtree["first"]), _raws(subtree["path"])) for subtree in fields["subtrees"])
        return SizeProof(last=digest_bytes(fields["last"]), subtrees=subtrees)


class Tree:
    """A tree over leaves, of which the nodes above blocks of them are kept; those below are made when needed.

    So a tree of a million leaves takes 60 kB beside them, wherever they are.

    Args:
      leaves: in order.
      blocks: the hash over each 2**height of them in order, and over those that are left; None has them computed, which
        reads all leaves.
      height: of the blocks.

    Attributes:
      leaves: in order.

    Raises:
      ValueError: without leaves, or where there are more or fewer blocks than they fill.
    """

    def __init__(
        self, leaves: Sequence[bytes], blocks: Sequence[bytes] | None = None, height: int = BLOCK_LEVEL
    ) -> None:
        if not leaves:
            raise ValueError("a tree without leaves proves nothing")
        self.leaves = leaves
        self._height = height
        self._lower: dict[int, list[list[bytes]]] = {}
        count = (len(leaves) - 1 >> height) + 1
        if blocks is not None and len(blocks) != count:
            raise ValueError(f"{len(leaves)} leaves have {count} blocks, not {len(blocks)}")
        self._upper = _levels([self._block(n)[-1][0] for n in range(count)] if blocks is None else list(blocks))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self.leaves)

    @property
    def root(self) -> bytes:
        """The tree's hash."""
        return self._upper[-1][0]

    def place(self, digest: bytes) -> int:
        """Return how many leaves are lower than `digest`; they must be in ascending order."""
        return bisect.bisect_left(self.leaves, digest)

    def inclusion(self, index: int) -> Inclusion:
        """Return the proof that leaf number `index` is there.

        Raises:
          EnvironmentProblem: if leaves are not those that a block was computed from.
        """
        path, position, width, level = [], index, self.size, 0
        while width > 1:
            if position ^ 1 < width:
                path.append(self._node(level, position ^ 1))
            position, width, level = position >> 1, (width + 1) >> 1, level + 1
        return Inclusion(leaf=self.leaves[index], index=index, path=tuple(path))

    def absence(self, digest: bytes) -> Absence:
        """Return the proof that `digest` is no leaf; the leaves must be in ascending order.

        Raises:
          ValueError: if it is one.
        """
        index = self.place(digest)
        if index < self.size and self.leaves[index] == digest:
            raise ValueError(f"{digest.hex()} is leaf {index}")
        before = self.inclusion(index - 1) if index > 0 else None
        return Absence(before=before, after=self.inclusion(index) if index < self.size else None)

    def size_proof(self) -> SizeProof:
        """Return the proof of the number of leaves."""
        subtrees, start = [], self.size - 1
        for depth in range(start.bit_length()):
            if start >> depth & 1:
                start -= 1 << depth
                path = tuple(self._node(level, (start >> level) + 1) for level in range(depth))
                subtrees.append((self.leaves[start], path))
        return SizeProof(last=self.leaves[-1], subtrees=tuple(subtrees))

    def _node(self, level: int, index: int) -> bytes:
        """Return a node; the hashes of leaves are level 0."""
        if level >= self._height:
            return self._upper[level - self._height][index]
        number = index >> (self._height - level)
        if number not in self._lower:
            self._lower[number] = self._block(number)
            if self._lower[number][-1][0] != self._upper[0][number]:
                where = f"rows from {number << self._height}"
                raise EnvironmentProblem("the rows are not those of their Merkle tree", where=where)
        levels = self._lower[number]
        # The last block may be a lower tree, whose root moves up.
        return levels[min(level, len(levels) - 1)][index - (number << (self._height - level))]

    def _block(self, number: int) -> list[list[bytes]]:
        return _levels(_hashed(self.leaves[number << self._height : (number + 1) << self._height]))


def _hashed(leaves: Sequence[bytes]) -> list[bytes]:
    # Without a call of `leaf_hash` for each: there can be millions.
    sha256 = hashlib.sha256
    return [sha256(b"\0" + leaf).digest() for leaf in leaves]


def _levels(level: list[bytes]) -> list[list[bytes]]:
    """Return a level and all above it, the root's the last."""
    sha256, levels = hashlib.sha256, [level]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        # An odd node moves up.
        level = [sha256(b"\1" + left + right).digest() for left, right in pairs] + level[len(level) & ~1 :]
        levels.append(level)
    return levels


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def items(value: Any) -> list[Any]:
    """Return `value` if it is a list of plausible length; raises BadInput if not."""
    if not isinstance(value, list) or len(value) > 1 << 16:
        raise BadInput("not a list", where="proof", got=repr(value)[:80])
    return value


def digest_bytes(text: object) -> bytes:
    """Return the 32 bytes that 64 hex digits stand for; raises BadInput for anything else."""
    if not isinstance(text, str) or len(text) != 64 or not _HEX.issuperset(text):
        raise BadInput("not a digest", where="proof", wanted="64 hex digits", got=repr(text)[:80])
    return bytes.fromhex(text)


def _texts(path: Sequence[bytes]) -> list[str]:
    return [sibling.hex() for sibling in path]


def _raws(value: Any) -> tuple[bytes, ...]:
    return tuple(digest_bytes(text) for text in itertools.islice(items(value), _MOST_HASHES + 1))


def _require(fields: Any, names: set[str]) -> None:
    if not isinstance(fields, Mapping) or set(fields) != names:
        got = ", ".join(map(str, fields)) if isinstance(fields, Mapping) else repr(fields)[:80]
        raise BadInput("has other fields", where="proof", wanted=", ".join(sorted(names)), got=got[:200])
