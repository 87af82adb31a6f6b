"""The check of a version before it is loaded: a private copy of its bytes against the ledger, its manifest and a signature.

The copy is what is checked and what is loaded, so nothing that happens to the serving directory in between, or later, can
get bytes into memory that nobody checked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem, Refused
from components.serving import PROVENANCE, ServedVersion
from pipeline.provenance import file_check, signing
from pipeline.provenance.ledger import Head, LedgerBroken
from pipeline.provenance.plain_files import Hasher, listing, read_plain
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.statement import digest_of, manifest_of, parse_statement

BESIDE_LIMIT: Final = 64 << 20
"""Bytes that the provenance and its signature may have together, beside the files that the provenance names."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a version has to meet beside being the bytes that were pushed.

    Attributes:
      key: PEM file of the public key that must have signed it; None asks for no signature.
      head: of the ledger, as it was kept elsewhere; the ledger must hold it.
    """

    key: Path | None = None
    head: Head | None = None


@contextlib.contextmanager
def verified_copy(
    directory: ServingDirectory, served: ServedVersion, conditions: Conditions, scratch: Path
) -> Iterator[tuple[Path, str]]:
    """Yield a folder that holds the version's bytes and nothing else, and their tree digest; remove it afterwards.

    Args:
      directory: the ledger as it is now.
      served: one of its versions.
      conditions: what else is asked.
      scratch: an existing folder of our own.

    Raises:
      Refused: naming the first thing that is not as it was pushed.
      EnvironmentProblem: if something cannot be read.
    """
    folder = scratch / str(served.version)
    try:
        _copy(served.path, folder)
        digest = _check(directory, served, conditions, folder)
        yield folder, digest
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder, links as links; its own statement bounds how much is read."""
    statement = parse_statement(read_plain(source / PROVENANCE))
    most = BESIDE_LIMIT + sum(int(file.get("bytes") or 0) for file in manifest_of(statement).values())
    there = sum(entry.stat(follow_symlinks=False).st_size for entry in _files(source))
    if there > most:
        raise Refused("holds more than was pushed", where=source, wanted=f"{most} bytes at most", got=f"{there} bytes")
    try:
        shutil.copytree(source, target, symlinks=True)
    except (OSError, shutil.Error) as err:
        raise EnvironmentProblem("cannot be copied", where=source, got=str(err)[:200]) from err


def _files(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            else:
                yield entry


def _check(directory: ServingDirectory, served: ServedVersion, conditions: Conditions, folder: Path) -> str:
    """Return the tree digest of a copy that is what was pushed."""
    if conditions.head is not None:
        try:
            directory.ledger.expect(conditions.head)
        except LedgerBroken as err:
            raise Refused("the ledger was rewritten", where=directory.paths.ledger, got=err.what) from err
    with Hasher() as hasher:
        seen = listing(folder, hasher)
        statement = parse_statement(read_plain(folder / PROVENANCE))
        faults = file_check.check(statement, seen)
        if faults:
            raise Refused("is not what was pushed", where=served.path, got=str(faults[0]))
        digest = digest_of(statement)
        push = directory.pushes.get(served.version)
        if push is None or push.sha256 != digest:
            wanted = None if push is None else push.sha256
            raise Refused("is not what the ledger says was pushed", where=served.path, wanted=wanted, got=digest)
        if conditions.key is not None:
            checked = signing.verify(folder, conditions.key, seen)
            if not checked.ok:
                raise Refused(
                    "is not signed by the key", where=served.path, wanted=checked.keyid, got=str(checked.faults[0])
                )
    return digest
