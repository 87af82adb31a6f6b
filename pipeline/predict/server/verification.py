"""The check of a version before it is loaded: a private copy of its bytes against the ledger, its manifest and a signature.

The copy is what is checked and what is loaded, so nothing that happens to the serving directory in between, or later, can
get bytes into memory that nobody checked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components.digest import CHUNK, manifest_digest
from components.errors import EnvironmentProblem, Refused
from components.serving import PROVENANCE, ServedVersion
from pipeline.provenance import file_check, keys, signing
from pipeline.provenance.approvals import read_approvals
from pipeline.provenance.ledger import Head, LedgerBroken
from pipeline.provenance.plain_files import FILE, Hasher, listing, open_plain, read_plain
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
      approval: whether somebody must have approved it with a key that was in force then.
      approval_keys: PEM files of the public keys that may approve; none takes the ledger's own list at its word.
    """

    key: Path | None = None
    head: Head | None = None
    approval: bool = False
    approval_keys: tuple[Path, ...] = ()


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
        if (why := objection(directory, served.version, conditions)) is not None:
            raise why
        _copy(directory, served, folder)
        digest = _check(directory, served, conditions, folder)
        yield folder, digest
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(directory: ServingDirectory, served: ServedVersion, target: Path) -> None:
    """Copy the plain files of a version; what the ledger vouches for bounds how much is read."""
    statement = parse_statement(read_plain(served.path / PROVENANCE))
    files = manifest_of(statement)
    # The statement alone could ask for any size: the digest that the ledger holds covers its sizes.
    _require_pushed(directory, served, manifest_digest(files))
    seen = listing(served.path)
    if odd := next((f"{path}: {one.kind}" for path, one in seen.items() if one.kind != FILE), None):
        raise Refused("holds what is no file", where=served.path, got=odd)
    most = BESIDE_LIMIT + sum(int(file.get("bytes") or 0) for file in files.values())
    there = sum(one.bytes for one in seen.values())
    if there > most:
        raise Refused(
            "holds more than was pushed", where=served.path, wanted=f"{most} bytes at most", got=f"{there} bytes"
        )
    try:
        for path, one in seen.items():
            _copy_file(served.path / path, target / path, one.bytes)
    except OSError as err:
        raise EnvironmentProblem("cannot be copied", where=served.path, got=err.strerror) from err


def _copy_file(source: Path, target: Path, size: int) -> None:
    """Copy as many bytes as a plain file had, or one more: a file that grows meanwhile is another one, however large."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(open_plain(source), "rb") as reading, target.open("xb") as writing:
        left = size + 1
        while left and (block := reading.read(min(left, CHUNK))):
            writing.write(block)
            left -= len(block)


def _require_pushed(directory: ServingDirectory, served: ServedVersion, digest: str) -> None:
    push = directory.pushes.get(served.version)
    if push is None or push.sha256 != digest:
        wanted = None if push is None else push.sha256
        raise Refused("is not what the ledger says was pushed", where=served.path, wanted=wanted, got=digest)


def objection(
    directory: ServingDirectory, version: int, conditions: Conditions, digest: str | None = None
) -> Refused | None:
    """Return why people's word, as the ledger has it, keeps a version from being served; None if it does not.

    No file of the version is read.

    Args:
      directory: the ledger as it is now.
      version: its number.
      conditions: what is asked.
      digest: of the bytes; by default of those that the ledger says were pushed, which the copy is compared with later.
    """
    push = directory.pushes.get(version)
    digest = digest or (None if push is None else push.sha256)
    if digest is None:
        return None  # what no line tells of is refused as such
    folder = directory.paths.serving / str(version)
    if conditions.approval:
        trusted = tuple(map(keys.load_public, conditions.approval_keys)) or None
        found = read_approvals(directory.ledger, trusted)
        if not found.is_approved(digest):
            got = found.in_words(digest)
            hint = f"`mnist-tfx serving approve {version} --by NAME --key PRIVATE.pem`"
            return Refused("is not approved", where=folder, wanted="a valid approval", got=got, hint=hint)
    if conditions.key is not None:
        keyid = keys.load_public(conditions.key).keyid
        fault = signing.standing(directory.ledger, keyid, digest).fault
        if fault is not None:
            return Refused(fault.what, where=folder, wanted=fault.wanted, got=fault.found)
    return None


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
        _require_pushed(directory, served, digest)
        if conditions.key is not None:
            checked = signing.verify(folder, conditions.key, seen)
            if not checked.ok:
                raise Refused(
                    "is not signed by the key", where=served.path, wanted=checked.keyid, got=str(checked.faults[0])
                )
    return digest
