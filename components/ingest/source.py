"""Verified copies of data files under `<root>/inputs/<digest>/`, and execution properties that hold content alone.

TFX's cache key holds the execution properties as they are. The stock driver puts the folder's name, and each file's
size and time, into them; here they hold the digest of the decompressed bytes and names that follow from it. So a
renamed, touched, moved or compressed file is the same input, and an edit is another one even when size and time are
not. Copies, not links: what an execution has read stays as it was.

A folder of inputs holds the files under canonical names (`train-images`, `test.csv`), `contents.json` (what they are;
the folder's name is its digest) and `sources.json` (from which files they came).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from typing_extensions import NotRequired, TypedDict

from components import disk, locks
from components.digest import CHUNK, canonical_json, sha256_bytes, sha256_file
from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.features import TEST, TRAIN
from components.files import remove_parts, replacing
from components.ingest import import_record, known_digests, origins
from components.ingest.beginnings import check_beginnings
from components.ingest.data_files import Part
from components.ingest.forms import READERS
from components.ingest.payload import PayloadDigest, payload_digest
from components.settings import DataSettings, HashSplit
from components.shapes import Shape
from components.untrusted import parse_json, read_json, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from components.ingest.forms import Reader
    from components.ingest.import_record import ImportRecord

_T = TypeVar("_T")
_R = TypeVar("_R")

_THREADS: Final = 4
"""Files that are digested or copied beside each other; more would seek on a disk that turns."""

INPUTS: Final = "inputs"
CONTENTS: Final = "contents.json"
SOURCES: Final = "sources.json"
FINGERPRINT: Final = "input_fingerprint"
"""The stock drivers' name for what identifies the input."""

SPAN: Final = "span"
"""The stock drivers' name for the number of the newest span, 0 where there are none.

It only says where the data lay, like a file's name: the fingerprint does not hold it, and neither does a node key
(`pipeline.provenance.records.NAMES_ONLY`). So the same bytes under another number are the same input.
"""


class _Content(TypedDict):
    name: str
    payload_digest: str
    bytes: int


class _Contents(TypedDict):
    files: list[_Content]


class _Note(TypedDict):
    name: str
    path: str
    payload_digest: str
    container_digest: NotRequired[str]


class _Notes(TypedDict):
    sources: list[_Note]


class _Part(TypedDict):
    split: Literal["train", "test"]
    files: list[str]
    span: NotRequired[int]


class _Parts(TypedDict):
    parts: list[_Part]


_CONTENTS: Final = Shape(_Contents)
_NOTES: Final = Shape(_Notes)
_PARTS: Final = Shape(_Parts)


@dataclass(frozen=True, kw_only=True)
class Input:
    """One data file.

    Attributes:
      split: the part it belongs to, "train" or "test".
      name: its canonical name, which follows from part, role and content.
      path: where it was found.
      digest: what it holds.
    """

    split: str
    name: str
    path: Path
    digest: PayloadDigest


def parts_from_json(text: str, root: Path) -> list[Part]:
    """Read the execution property `source`; relative paths are taken from `root`.

    Raises:
      BadInput: if it is none.
    """
    return [Part(split=part["split"], files=tuple(root / file for file in part["files"])) for part in _told_parts(text)]


def _told_parts(text: str) -> list[_Part]:
    parts = parse_json(text, where="source")
    return _PARTS.read({"parts": parts}, what="not the parts of a data set", where="source")["parts"]


def parts_to_json(parts: Sequence[Part]) -> str:
    """Return the execution property `source`: absolute paths and, for spans, their numbers and how to name the files."""
    return json.dumps([_part_fields(part) for part in parts])


def _part_fields(part: Part) -> dict[str, Any]:
    fields = {"split": part.split, "files": [str(file.absolute()) for file in part.files]}
    if part.span is None:
        return fields
    return {**fields, SPAN: part.span.number, "names": [part.span.name_of(file) for file in part.files]}


def _newest_span(exec_properties: Mapping[str, Any]) -> int:
    numbers = [part[SPAN] for part in _told_parts(exec_properties["source"]) if SPAN in part]
    # Properties that were resolved before name content alone, and keep the number beside it.
    return max(numbers, default=exec_properties.get(SPAN) or 0)


def resolve(exec_properties: Mapping[str, Any], root: str | os.PathLike[str]) -> dict[str, Any]:
    """Return execution properties that name the content of the data, after copying it below `root`.

    Needs no metadata store, changes nothing that is right already, and gives its own result back when called on it.

    Args:
      exec_properties: `source`, `form` and `settings` as `MnistIdxExampleGen` declares them, and any others.
      root: the pipeline's root folder.

    Raises:
      BadInput: when a file is missing or unusable, or the parts do not fit the recipe's split.
      EnvironmentProblem: when the copies cannot be written.
    """
    root = Path(root)
    data = DataSettings.from_json(exec_properties["settings"])
    parts = parts_from_json(exec_properties["source"], root)
    inputs = named_inputs(parts, form=exec_properties["form"], data=data)
    contents = [{"name": i.name, "payload_digest": i.digest.payload, "bytes": i.digest.payload_bytes} for i in inputs]
    digest = contents_digest(contents)
    folder = root / INPUTS / digest
    imported = import_record_of(inputs, exec_properties.get(import_record.PROPERTY))
    with _writing(folder, inputs):
        _side_by_side(lambda one: _keep(one, folder / one.name), inputs)
        if imported is not None:
            _write(folder / import_record.kept_name(imported.digest), import_record.to_bytes(imported.fields))
        _write(folder / CONTENTS, canonical_json(contents))
        _note_sources([one for one in inputs if one.path != folder / one.name], folder / SOURCES)
    return {
        **exec_properties,
        "input_base": f"{INPUTS}/{digest}",
        "source": _canonical_source(inputs, exec_properties["form"], digest),
        SPAN: _newest_span(exec_properties),
        FINGERPRINT: digest,
        **({} if imported is None else {import_record.PROPERTY: imported.digest}),
    }


def import_record_of(inputs: Sequence[Input], known: str | None = None) -> ImportRecord | None:
    """Return the record of the import that wrote the files, if it lies beside them.

    Args:
      inputs: the files.
      known: digest of the record, if the files are copies that were made of others before.
    """
    folders = {one.path.parent for one in inputs}
    if len(folders) != 1:
        return None
    name = import_record.FILE if known is None else import_record.kept_name(str(known))
    # Why it is not believed where it is not, a run says before it starts.
    return import_record.beside(folders.pop() / name, [one.digest.payload for one in inputs])[0]


def named_inputs(parts: Sequence[Part], *, form: str, data: DataSettings) -> list[Input]:
    """Return the files of all parts, digested, under their canonical names.

    Several files of one part keep their order where the recipe counts rows. Otherwise they are taken in the order of
    their digests, so that renaming them cannot shuffle them.

    Args:
      parts: the parts of the data; some forms have an images file and its labels file.
      form: of the files, one of `components.ingest.forms`.
      data: geometry and split.

    Raises:
      BadInput: when a file cannot be decompressed, an IDX pair does not fit itself or the geometry, or the test part
        is the training part once more.
    """
    check_beginnings(parts, form=form, data=data)
    named, reader = [], READERS[form]
    files = [(part.split, unit) for part in parts for unit in _units(part, reader)]
    digested = _side_by_side(lambda one: _digests(reader, one[1], data), files)
    for split in (TRAIN, TEST):
        units = [
            list(zip(unit, digests, strict=True))
            for (own, unit), digests in zip(files, digested, strict=True)
            if own == split
        ]
        if isinstance(data.split, HashSplit):
            units.sort(key=lambda unit: [digest.payload for _, digest in unit])
        for number, unit in enumerate(units, start=1):
            suffix = f"-{number:05d}" if len(units) > 1 else ""
            for role, (path, digest) in zip(reader.roles, unit, strict=True):
                name = f"{split}{role}{suffix}{reader.extension}"
                named.append(Input(split=split, name=name, path=path, digest=digest))
    _require_another_test_part(named, form)
    return named


def digest_ahead(parts: Sequence[Part], *, form: str, data: DataSettings) -> None:
    """Begin to digest all files, for whoever asks for them by `named_inputs` later; what is wrong is said then.

    The thread is not waited for by a process that ends.
    """

    def digest() -> None:
        with contextlib.suppress(Exception):
            named_inputs(parts, form=form, data=data)

    threading.Thread(target=digest, name="digest_ahead", daemon=True).start()


def _digests(reader: Reader, files: Sequence[Path], data: DataSettings) -> list[PayloadDigest]:
    """Return the digests of the files of a unit, computed once in a process."""
    with known_digests.one_at_a_time(files):
        found = [known_digests.known(file) for file in files]
        if all(digest is not None for digest in found):
            # What else a reader looks at before it digests depends on the content, or `check_beginnings` has looked at it.
            return [digest for digest in found if digest is not None]
        before = [known_digests.settled(file) for file in files]
        digests = reader.digests(files, data)
        for file, digest, status in zip(files, digests, before, strict=True):
            known_digests.remember(file, digest, before=status)
        return digests


def _side_by_side(work: Callable[[_T], _R], values: Sequence[_T]) -> list[_R]:
    """Return what `work` gives for each value; hashing and decompressing release Python's lock.

    Of several that fail, the first is raised, and those that have not begun do not begin.
    """
    if len(values) <= 1:
        return [work(value) for value in values]
    pool = ThreadPoolExecutor(min(_THREADS, len(values)))
    try:
        return list(pool.map(work, values))
    finally:
        pool.shutdown(cancel_futures=True)


def _require_another_test_part(inputs: Sequence[Input], form: str) -> None:
    """Refuse a test part with the rows of the training part: its answers would be those that were learnt."""
    rows = [one for one in inputs if one.name.startswith(f"{one.split}{READERS[form].roles[0]}")]
    train = {one.digest.payload: one.path for one in rows if one.split == TRAIN}
    for one in rows:
        if one.split == TEST and one.digest.payload in train:
            raise BadInput(
                "the test part is the training part once more",
                where=one.path,
                wanted="other rows to test on",
                got=f"the content of {train[one.digest.payload].name}",
                hint="leave the test part out, and rows are taken from the training part by data.split",
            )


def _units(part: Part, reader: Reader) -> list[tuple[Path, ...]]:
    """Return what is parsed in one go: images with their labels, or each file that has both by itself."""
    return [part.files] if len(reader.roles) > 1 else [(file,) for file in part.files]


def contents_digest(contents: Sequence[Mapping[str, Any]]) -> str:
    """Return the digest of a data set: of the list of its canonical names and payload digests."""
    return sha256_bytes(canonical_json([[entry["name"], entry["payload_digest"]] for entry in contents]))


def read_contents(folder: Path) -> list[dict[str, Any]]:
    """Return `contents.json` of a folder of inputs: name, payload digest and bytes of each file.

    Raises:
      EnvironmentProblem: when it is missing, or is not what the folder's name says.
    """
    place, what = folder / CONTENTS, "unreadable list of inputs"
    told = read_json(place, error=EnvironmentProblem)
    files = _CONTENTS.read({"files": told}, what=what, where=place, error=EnvironmentProblem)["files"]
    names = [file["name"] for file in files]
    if odd := [name for name in names if name in {"", ".", ".."} or set(name) & {"/", "\0"}]:
        raise EnvironmentProblem(what, where=place, wanted="names of files", got=odd[0])
    contents = [dict(file) for file in files]
    found = contents_digest(contents)
    if found != folder.name:
        raise EnvironmentProblem("list of inputs was changed", where=folder / CONTENTS, wanted=folder.name, got=found)
    return contents


def read_sources(path: Path) -> list[dict[str, Any]]:
    """Return the notes on where the files of a folder of inputs came from, the latest last.

    Raises:
      EnvironmentProblem: when there is no such list.
    """
    told = read_object(path, error=EnvironmentProblem)
    return [
        dict(one)
        for one in _NOTES.read(told, what="no note of sources", where=path, error=EnvironmentProblem)["sources"]
    ]


def _canonical_source(inputs: Sequence[Input], form: str, digest: str) -> str:
    files = [f"{INPUTS}/{digest}/{one.name}" for one in inputs]
    size = len(READERS[form].roles)
    parts = [{"split": inputs[i].split, "files": files[i : i + size]} for i in range(0, len(files), size)]
    return canonical_json(parts).decode()


@contextlib.contextmanager
def _writing(folder: Path, inputs: Sequence[Input]) -> Iterator[None]:
    """Make the folder and holds the lock of all inputs; a full disk or a missing permission becomes one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locks.locked(folder.parent / ".lock", math.inf):
            remove_parts(folder)
            yield
    except OSError as err:
        size = sum(one.digest.container_bytes for one in inputs)
        raise disk.problem(err, "the data cannot be kept", where=folder, need=size) from err


def _keep(one: Input, target: Path) -> None:
    if one.path != target and not _holds(target, one.digest):
        _copy(one, target)
        known_digests.remember_own(target, one.digest)


def _holds(target: Path, wanted: PayloadDigest) -> bool:
    """Return whether the copy is there and has the wanted payload, in whatever container."""
    if target.is_symlink() or not target.is_file():
        return False
    if (found := known_digests.known(target)) is not None:
        return found.payload == wanted.payload
    before = known_digests.settled(target)
    # Equal containers are the usual case, and comparing them saves decompressing the copy.
    if sha256_file(target) == wanted.container:
        known_digests.remember(target, wanted, before=before)
        return True
    try:
        return payload_digest(target, limit=wanted.payload_bytes).payload == wanted.payload
    except MnistTfxError:
        return False


def _copy(one: Input, target: Path) -> None:
    copied = hashlib.sha256()
    with replacing(target) as file, open(one.path, "rb") as original:
        while block := original.read(CHUNK):
            copied.update(block)
            file.write(block)
        if copied.hexdigest() != one.digest.container:
            raise BadInput("changed while it was being read", where=one.path, hint="run again once it is complete")


def _write(target: Path, text: bytes) -> None:
    if not target.is_file() or target.read_bytes() != text:
        with replacing(target) as file:
            file.write(text)


def _note_sources(inputs: Sequence[Input], target: Path) -> None:
    """Add where the files came from, once for each path and container, the latest last."""
    known: list[dict[str, Any]] = []
    with contextlib.suppress(EnvironmentProblem):
        known = read_sources(target)
    new = [
        {
            "name": one.name,
            "payload_digest": one.digest.payload,
            "container_digest": one.digest.container,
            "container_bytes": one.digest.container_bytes,
            **origins.noted(one.path.absolute(), one.digest.container),
        }
        for one in inputs
    ]
    entries = [entry for entry in known if entry not in new] + new
    if new:
        _write(target, canonical_json({"sources": entries}))


def under_original_names(err: MnistTfxError, folder: Path) -> MnistTfxError:
    """Return the error with the copy it names replaced by the file that the copy was made from."""
    with contextlib.suppress(EnvironmentProblem):
        for entry in reversed(read_sources(folder / SOURCES)):
            if err.where is not None:
                err.where = str(err.where).replace(str(folder / entry["name"]), entry["path"])
    return err
