"""SHA-256 identities of files, directory trees and rows, and the Merkle root over rows.

A fifth, the digest of what a data file decompresses to, is streamed by `components.ingest.payload`.
Tree hashing follows RFC 6962 section 2.1 (leaf prefix 0x00, node prefix 0x01), so a leaf can never pass for a node.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

CHUNK: Final = 1 << 20

PROVENANCE_PREFIX: Final = "assets.extra/provenance"
"""Left out of every tree's digest, so that a Model artifact and the served copy of it have equal digests."""

_SPECIAL: Final = {
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}

ROW_DOMAIN: Final = b"mnist-tfx row v1\0"

BLOCK_LEVEL: Final = 10
"""Of the nodes that are kept of a Merkle tree: 1,024 leaves below each, which are hashed again in half a millisecond."""


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits; memory is bounded by `CHUNK`."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of `value`: sorted keys, no white space, UTF-8, no NaN.

    Raises:
      ValueError: on NaN or an infinity, which JSON does not have.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def tree_files(root: str | os.PathLike[str]) -> list[str]:
    """Return the relative POSIX paths of everything below `root` that is not a directory, sorted as strings.

    Raises:
      OSError: when `root` is missing, or a folder in it cannot be read.
    """
    base = os.fspath(root)
    found = []
    for folder, folders, files in os.walk(base, onerror=_raise, followlinks=False):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found += [os.path.relpath(os.path.join(folder, name), base) for name in (*files, *links)]
    return sorted(path.replace(os.sep, "/") for path in found)


def _raise(err: OSError) -> None:
    raise err


def file_entry(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return one manifest entry of what has the name `path`; neither links nor special files are opened.

    Returns:
      `sha256` and `bytes` of a regular file, `symlink` with the target of a link, or `special` with the kind of
      anything else (a FIFO, a socket, a device), which no manifest that we write ever holds.

    Raises:
      OSError: when it is missing or cannot be read.
    """
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return {"symlink": os.readlink(path)}
    if not stat.S_ISREG(mode):
        return {"special": _SPECIAL.get(stat.S_IFMT(mode), "unknown")}
    return content_entry(path)


def content_entry(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return `sha256` and `bytes` of a file, of a link's target where `path` is a link."""
    return {"sha256": sha256_file(path), "bytes": os.path.getsize(path)}


def tree_manifest(root: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Return {relative path: `file_entry`} of every file below `root`, provenance files left out.

    A `root` that is itself a file gives one entry named after it.

    Raises:
      OSError: when `root` is missing, or something below it cannot be read.
    """
    if os.path.isfile(root):
        return {os.path.basename(root): file_entry(root)}
    base = Path(root)
    return {path: file_entry(base / path) for path in tree_files(base) if not is_provenance(path)}


def is_provenance(path: str) -> bool:
    """Return whether a relative path inside any artifact or served version is a provenance file (also below `Format-Serving/`)."""
    return path.removeprefix("Format-Serving/").startswith(PROVENANCE_PREFIX)


def manifest_digest(manifest: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the digest of a tree from its manifest: SHA-256 of the manifest's canonical JSON."""
    return sha256_bytes(canonical_json(manifest))


def tree_digest(root: str | os.PathLike[str]) -> str:
    """Return the digest of a file or directory tree: names, sizes and bytes, without times and modes.

    Raises:
      OSError: as `tree_manifest`.
    """
    return manifest_digest(tree_manifest(root))


def row_prefix(height: int, width: int) -> bytes:
    """Return what precedes the pixels of a `height` x `width` image in `pixels_digest` and `row_digest`."""
    return ROW_DOMAIN + struct.pack(">II", height, width)


def pixels_digest(prefix: bytes, pixels: bytes) -> bytes:
    """Return the 32-byte digest of one image alone: `row_prefix` and uint8 pixels in row order.

    It decides the split of a row, so that equal images stay on one side.
    """
    return hashlib.sha256(prefix + pixels).digest()


def row_digest(prefix: bytes, pixels: bytes, label: int) -> bytes:
    """Return the 32-byte digest of one labelled image: `row_prefix`, uint8 pixels in row order, label as int64."""
    return hashlib.sha256(prefix + pixels + struct.pack(">q", label)).digest()


def merkle_root(leaves: Iterable[bytes]) -> str:
    """Return the RFC 6962 Merkle tree hash over `leaves`, in the order given, as 64 hex digits.

    Callers sort row digests first, so that the root names a multiset of rows: IDX, CSV, gzip and re-sharded files of
    the same rows agree. No leaves give the SHA-256 of nothing, as the RFC says.
    """
    level = leaf_hashes(leaves)
    if not level:
        return sha256_bytes(b"")
    while len(level) > 1:
        level = _parents(level)
    return level[0].hex()


def leaf_hashes(leaves: Iterable[bytes]) -> list[bytes]:
    """Return the RFC 6962 hash of each leaf."""
    sha256 = hashlib.sha256
    return [sha256(b"\0" + leaf).digest() for leaf in leaves]


def subtree_roots(hashes: Sequence[bytes], start: int) -> list[tuple[int, bytes]]:
    """Return what neighbouring leaves add to a tree, wherever in it they are.

    They are the roots of the largest perfect subtrees that the leaves fill, up to `BLOCK_LEVEL`, from left to right: at
    most two for each level below it. A subtree of level k begins at a multiple of 2**k, so the number of the first leaf
    has to be known, and nothing about the others.

    Args:
      hashes: `leaf_hashes` of the leaves.
      start: how many leaves come before them.

    Returns:
      (level, root), for `MerkleFrontier.add`.
    """
    left: list[tuple[int, bytes]] = []
    right: list[tuple[int, bytes]] = []
    nodes, level = list(hashes), 0
    while nodes and level < BLOCK_LEVEL:
        if start % 2:  # its sibling is before them
            left.append((level, nodes.pop(0)))
            start += 1
        if len(nodes) % 2:  # its sibling is after them
            right.append((level, nodes.pop()))
        nodes, start, level = _parents(nodes), start // 2, level + 1
    return left + [(level, node) for node in nodes] + right[::-1]


class MerkleFrontier:
    """An RFC 6962 tree put together from left to right: one root for each power of two in the number of its leaves.

    Beside them it keeps the nodes of `BLOCK_LEVEL`, 32 bytes for 1,024 leaves.
    """

    def __init__(self) -> None:
        self._leaves = 0
        self._roots: list[tuple[int, bytes]] = []
        self._blocks: list[bytes] = []

    def add(self, level: int, root: bytes) -> None:
        """Take the next subtree, which has 2**level leaves, `level` at most `BLOCK_LEVEL`.

        Raises:
          ValueError: if a subtree of so many leaves cannot come next.
        """
        if self._leaves % (1 << level) or level > BLOCK_LEVEL:
            raise ValueError(f"after {self._leaves} leaves there is no subtree of {1 << level}")
        self._leaves += 1 << level
        if level == BLOCK_LEVEL:
            self._blocks.append(root)
        while self._roots and self._roots[-1][0] == level:
            root = hashlib.sha256(b"\1" + self._roots.pop()[1] + root).digest()
            level += 1
            if level == BLOCK_LEVEL:
                self._blocks.append(root)
        self._roots.append((level, root))

    def root(self) -> str:
        """Return what `merkle_root` returns for all leaves."""
        return _joined([root for _, root in self._roots]).hex()

    def blocks(self) -> list[bytes]:
        """Return the root over each 1,024 leaves in order, and over those that are left."""
        rest = [root for level, root in self._roots if level < BLOCK_LEVEL]
        return [*self._blocks, _joined(rest)] if rest else self._blocks


def _joined(roots: Sequence[bytes]) -> bytes:
    """Return the hash of the tree whose perfect subtrees, largest first, have these roots."""
    if not roots:
        return hashlib.sha256(b"").digest()
    root = roots[-1]
    for before in reversed(roots[:-1]):
        root = hashlib.sha256(b"\1" + before + root).digest()
    return root


def _parents(level: Sequence[bytes]) -> list[bytes]:
    # An odd node moves up unchanged: the same tree as the RFC's split at the largest power of two.
    sha256 = hashlib.sha256
    parents = [sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
    return parents if len(level) % 2 == 0 else [*parents, level[-1]]
