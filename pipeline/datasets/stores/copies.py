"""Copies of what lies at an address, on this machine: fetched once, kept, and fetched again where the store says it changed.

    <cache>/remote/<digest of address and endpoint>/
      origin.json            what was received: version, ETag, time, size and SHA-256 of each object
      s3/<bucket>/<key>      the copies, under the objects' own keys
      parts/                 objects that are on their way; a later command goes on with them

The cache is the user's (`pipeline.root.user_cache`) and no part of a root: a root is only known once the data has said its
shape, and several commands and roots share what was fetched. It may be removed at any time: a run keeps copies of
its own, and these are what its records and the audit name. An ETag only saves a download; nothing is trusted by it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import math
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from components import disk, locks
from components.digest import CHUNK, canonical_json, sha256_bytes
from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.files import replacing
from components.ingest import copy_paths, origins, spans
from components.ingest.origins import Kept
from components.suggestions import closest, did_you_mean
from pipeline.datasets.stores.address import Address, require_usable
from pipeline.datasets.stores.store import (
    PARALLEL,
    BrokenError,
    ChangedError,
    Reading,
    Store,
    StoredObject,
    open_store,
)
from pipeline.root.user_cache import CACHE, user_cache

Show = Callable[[str, int, int], None]

MOST: Final = 1_000_000
"""Objects at one address: what a listing of a thousand requests has, and some 400 MB of `origin.json`."""

ATTEMPTS: Final = 4
"""Times that an object is asked for without a single byte more, before it is given up."""

PAUSE_S: Final = 0.5
"""Seconds before the first of these; each waits as long again."""

SAVED_S: Final = 20.0
"""Seconds between two notes of what was received: what a kill leaves beyond is received again."""

NAMES: Final = 2000
"""Names beside one that is not there that are looked at for a suggestion."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Place:
    """The folder of one address."""

    folder: Path
    address: Address

    @property
    def bucket(self) -> Path:
        return self.folder / self.address.scheme / self.address.bucket

    @property
    def origin(self) -> Path:
        return self.folder / origins.FILE

    @property
    def parts(self) -> Path:
        return self.folder / "parts"

    def path(self, key: str) -> str:
        """Return the path of a copy as `origin.json` has it."""
        return f"{self.address.scheme}/{self.address.bucket}/{key}"


def fetch(address: Address, *, count: int = 1, show: Show = lambda *_: None) -> Path:
    """Return the copy of an object, or the folder of all below a prefix, or the pattern of the newest spans' copies.

    Args:
      address: where the data lies.
      count: how many spans, of a pattern.
      show: called with the progress: what is being done, bytes so far, and all of them.

    Raises:
      BadInput: if there is nothing at the address, too much, or what no files can hold; or if it changed meanwhile.
      EnvironmentProblem: if the store cannot be read, or the copies cannot be written.
    """
    show(f"listing {address}", 0, 0)
    store = open_store(address)
    place = _Place(folder=user_cache() / copy_paths.FOLDER / _digest(address, store.endpoint), address=address)
    listed = _listed(store, address, count)
    try:
        place.parts.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(place, show):
            _Fetching(store, place, show).bring(listed)
    except OSError as err:
        raise disk.problem(err, "copies of the data cannot be kept", where=place.folder) from err
    return place.bucket / address.key.removesuffix("/")


def _digest(address: Address, endpoint: str) -> str:
    """Return the name of an address' folder: buckets of one name at two servers are two."""
    return sha256_bytes(canonical_json([endpoint, str(address).rstrip("/")]))[:32]


@contextlib.contextmanager
def _locked(place: _Place, show: Show) -> Iterator[None]:
    """Hold the lock of an address' folder; who waits for it is told."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locks.locked(place.folder / ".lock", 0))
        except BlockingIOError:
            show(f"waiting for another command that fetches {place.address}", 0, 0)
            held.enter_context(locks.locked(place.folder / ".lock", math.inf))
        yield


def _listed(store: Store, address: Address, count: int) -> list[StoredObject]:
    """Return the objects at an address, each of a key that a file can have."""
    if address.is_pattern:
        found = _of_spans(store, address, count)
    else:
        one = None if address.is_prefix else store.find(address.key)
        found = [one] if one is not None else _below(store, address, address.key)
    if not found:
        raise BadInput(
            "there is nothing at this address",
            where=address,
            wanted="an object, or a prefix with objects below it",
            got=f"none at {store.endpoint}",
            hint=_meant(store, address),
        )
    for one in found:
        require_usable(one.key, address.of(one.key))
    folders = {str(parent) for one in found for parent in PurePosixPath(one.key).parents}
    if both := [one.key for one in found if one.key in folders]:
        got = f"{both[0]} and {both[0]}/..."
        raise BadInput("an object and a prefix have one name, as no file and folder can", where=address, got=got)
    return found


def _below(store: Store, address: Address, key: str) -> list[StoredObject]:
    """Return all objects below a prefix; what only marks a folder is none."""
    prefix = f"{key.removesuffix('/')}/" if key.strip("/") else ""
    found: list[StoredObject] = []
    for one in store.below(prefix):
        if one.key.endswith("/"):
            continue
        found.append(one)
        if len(found) > MOST:
            hint = "name a longer prefix, or several objects"
            raise BadInput("too many objects", where=address, wanted=f"at most {MOST}", got="more", hint=hint)
    return found


def _meant(store: Store, address: Address) -> str | None:
    """Return the hint at a name beside the one that is not there."""
    parent, _, name = address.key.removesuffix("/").rpartition("/")
    prefix = f"{parent}/" if parent else ""
    beside = [each for each, _ in zip(store.names(prefix), range(NAMES), strict=False)]
    meant = closest(name, [each.removesuffix("/") for each in beside], str.lower)
    return did_you_mean(None if meant is None else address.of(prefix + meant))


def _of_spans(store: Store, address: Address, count: int) -> list[StoredObject]:
    """Return the objects of the newest spans: their names are listed, and nothing else of older ones."""
    names = address.key.removesuffix("/").split("/")
    plain = next((number for number, name in enumerate(names) if "{" in name), len(names))
    base, rest = "".join(f"{name}/" for name in names[:plain]), names[plain:]
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-") as temporary:
        # The spans as empty folders and files: which are the newest is decided in one place.
        for path in _matching(store, base, rest):
            stub = Path(temporary, path)
            stub.parent.mkdir(parents=True, exist_ok=True)
            stub.mkdir(exist_ok=True) if path.endswith("/") else stub.touch()
        try:
            newest = spans.newest(os.path.join(temporary, *rest), count)
        except BadInput as err:
            raise BadInput(err.what, where=address, wanted=err.wanted, got=err.got, hint=err.hint) from err
    found = []
    for span in newest:
        one = store.find(base + span.name)
        found += [one] if one is not None else _below(store, address, base + span.name)
    return found


def _matching(store: Store, prefix: str, rest: Sequence[str], path: str = "") -> Iterator[str]:
    """Yield the paths below a prefix that fit the names in `rest`; those of folders end with a slash."""
    if not rest:
        yield path
        return
    if "{" not in rest[0]:
        yield from _matching(store, f"{prefix}{rest[0]}/", rest[1:], f"{path}{rest[0]}/")
        return
    expression = spans.expression(rest[0])
    for name in store.names(prefix):
        if expression.fullmatch(name.removesuffix("/")) and (name.endswith("/") or len(rest) == 1):
            yield from _matching(store, prefix + name, rest[1:], path + name)


class _Fetching:
    """One visit to the folder of an address, whose lock is held."""

    def __init__(self, store: Store, place: _Place, show: Show) -> None:
        self._store = store
        self._place = place
        self._show = show
        self._doing = f"fetching {place.address}"
        self._counts = threading.Lock()
        self._received = 0
        self._total = 0
        self._stop = threading.Event()

    def bring(self, listed: Sequence[StoredObject]) -> None:
        """Make the copies what was listed: what changed is fetched, what is gone is removed, the rest stays."""
        kept = dict(self._kept(listed))
        wanted = [one for one in listed if one.key not in kept]
        self._remove_others({self._place.path(one.key) for one in listed})
        if not wanted:
            if kept.keys() != self._known().keys():
                self._save(kept)
            shutil.rmtree(self._place.parts, ignore_errors=True)
            return
        self._require_space(wanted)
        saved = time.monotonic()
        try:
            for one in self._fetched(wanted):
                kept[one["path"].removeprefix(self._place.path(""))] = one
                if time.monotonic() - saved > SAVED_S:
                    self._save(kept)
                    saved = time.monotonic()
        finally:
            self._save(kept)
        shutil.rmtree(self._place.parts, ignore_errors=True)

    def _known(self) -> Mapping[str, Kept]:
        """Return what was received before, by key; what cannot be read is received again."""
        if not self._place.origin.is_file():
            return {}
        try:
            objects = origins.read(self._place.origin)["objects"]
        except MnistTfxError:
            return {}
        return {one["path"].removeprefix(self._place.path("")): one for one in objects}

    def _kept(self, listed: Iterable[StoredObject]) -> Iterator[tuple[str, Kept]]:
        """Yield what need not be fetched: the store says that it is the same, and the copy is as it was received."""
        known = self._known()
        for one in listed:
            before = known.get(one.key)
            if before is None or (before["bytes"], before["etag"], before["modified"]) != one.state:
                continue
            if one.version and before["version"] != one.version:
                continue
            with contextlib.suppress(OSError):
                status = os.lstat(self._place.bucket / one.key)
                if status.st_size == one.bytes and status.st_mtime_ns == _mtime_ns(one):
                    yield one.key, before

    def _remove_others(self, paths: set[str]) -> None:
        """Remove copies of what is no longer at the address, and the folders that are empty then."""
        for folder, _, files in os.walk(self._place.bucket, topdown=False):
            below = Path(folder).relative_to(self._place.folder).as_posix()
            for name in files:
                if f"{below}/{name}" not in paths:
                    os.unlink(os.path.join(folder, name))
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(folder)

    def _require_space(self, wanted: Sequence[StoredObject]) -> None:
        there = sum(part.stat().st_size for part in map(self._part, wanted) if part.is_file())
        self._total = sum(one.bytes for one in wanted)
        need = self._total - there
        if need > shutil.disk_usage(self._place.folder).free:
            hint = (
                f"make room there, or name a folder on another disk in {CACHE}; a run needs as much again in its root"
            )
            raise disk.no_space(self._place.folder, need, hint=hint)

    def _fetched(self, wanted: Sequence[StoredObject]) -> Iterator[Kept]:
        """Fetch several objects at a time, and yield each as it is whole; the first failure stops the others."""
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch") as pool:
            try:
                for done in as_completed([pool.submit(self._fetch, one) for one in wanted]):
                    yield done.result()
            finally:
                # Also of Ctrl-C: the pool waits for its threads, and these for a byte at most.
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, one: StoredObject) -> Kept:
        target, part = self._place.bucket / one.key, self._part(one)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.parent.mkdir(exist_ok=True, mode=0o700)
        version, sha256 = self._receive(one, part)
        os.utime(part, ns=(_mtime_ns(one), _mtime_ns(one)))
        os.replace(part, target)
        return {
            "path": self._place.path(one.key),
            "address": self._place.address.of(one.key),
            "etag": one.etag,
            "version": version,
            "modified": one.modified,
            "bytes": one.bytes,
            "sha256": sha256,
        }

    def _receive(self, one: StoredObject, part: Path) -> tuple[str, str]:
        """Write an object to a file, from where an earlier attempt ended; return its version and SHA-256."""
        with open(part, "ab") as file:
            if file.tell() >= one.bytes:
                file.truncate(0)
            digest = _digest_of(part)
            self._count(file.tell())
            version, idle = one.version, 0
            while True:
                before = file.tell()
                try:
                    reading = self._store.read(one, before)
                    version = reading.version
                    self._write(reading, file, digest)
                    break
                except BrokenError as err:
                    if file.tell() == one.bytes:
                        break
                    idle = 1 if file.tell() > before else idle + 1
                    if idle > ATTEMPTS or self._stop.wait(PAUSE_S * idle):
                        raise self._broken(one, err) from err
                except ChangedError as err:
                    part.unlink()
                    raise self._changed(one) from err
            if file.tell() != one.bytes:
                part.unlink()
                raise self._changed(one, got=f"{file.tell()} bytes")
            file.flush()
            os.fsync(file.fileno())
        return version, digest.hexdigest()

    def _write(self, reading: Reading, file: BinaryIO, digest: Any) -> None:
        for block in reading:
            if self._stop.is_set():
                raise BrokenError("another object could not be fetched")
            file.write(block)
            digest.update(block)
            self._count(len(block))

    def _count(self, amount: int) -> None:
        with self._counts:
            self._received += amount
            self._show(self._doing, self._received, self._total)

    def _broken(self, one: StoredObject, err: BrokenError) -> EnvironmentProblem:
        where, hint = self._place.address.of(one.key), "try again: what was received is kept, and the rest is asked for"
        return EnvironmentProblem("the connection breaks off again and again", where=where, got=str(err), hint=hint)

    def _changed(self, one: StoredObject, got: str | None = None) -> BadInput:
        hint = "run again once nobody writes there"
        where = self._place.address.of(one.key)
        wanted = f"{one.bytes} bytes of {one.modified}"
        return BadInput("changed while it was being fetched", where=where, wanted=wanted, got=got, hint=hint)

    def _part(self, one: StoredObject) -> Path:
        """Return where an object is on its way: another content has another name, so no two are ever joined."""
        return self._place.parts / sha256_bytes(canonical_json([one.key, one.version, list(one.state)]))

    def _save(self, kept: Mapping[str, Kept]) -> None:
        fields: origins.Fields = {
            "schema_version": origins.VERSION,
            "address": str(self._place.address),
            "endpoint": self._store.endpoint,
            "objects": [kept[key] for key in sorted(kept)],
        }
        with replacing(self._place.origin) as file:
            file.write(canonical_json(fields))


def _digest_of(part: Path) -> Any:
    digest = hashlib.sha256()
    with open(part, "rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest


def _mtime_ns(one: StoredObject) -> int:
    """Return the time that a copy carries: the object's, to the second, as no disk keeps less."""
    return int(datetime.datetime.fromisoformat(one.modified).timestamp()) * 1_000_000_000
