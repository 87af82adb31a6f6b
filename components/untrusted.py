"""Files, JSON and YAML that somebody else may have written, read within stated limits.

Each function either returns plain values or raises one error of ours that names the file: no exception of a parser
leaves this module, and neither a device, a FIFO, an endless line nor nested brackets can hold or exhaust the process.
What the values mean is the caller's to check, with types first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import yaml
from pydantic_core import from_json

from components.errors import BadInput, MnistTfxError, shortened

MIB: Final = 1 << 20
LARGEST_ARRAYS: Final = 4 << 30
"""Bytes of a file of numbers; a checkpoint, or an index of 50 million rows, has less."""

MOST_YAML_NODES: Final = 200_000
"""Scalars, lists and mappings of a document with its aliases written out; the largest recipe of ours has 80."""

DEEPEST_YAML: Final = 100
"""Lists within lists; PyYAML's own composer recurses once for each."""

LARGEST_INTEGER: Final = (1 << 63) - 1
"""Of JSON; every number that the pipeline writes fits 64 bits, and longer ones overflow wherever they are used."""

LONGEST_INTEGER: Final = 100
"""Characters of one in YAML; whoever asks for a number has closer bounds, and Python converts no more than 4,300."""

_LONG_NUMBER: Final = re.compile(rb"[:\[,\s]-?\d[\d.]*(?:\d{18}|[eE]\+?\d{3})")
"""What may be a number beyond 64 bits. Few documents hold any, so that the others need not be walked through, which takes three times as long."""

_TOO_LARGE: Final = "too large for what it should be"
_INFINITE: Final = (float("inf"), float("-inf"))


def read_bytes(path: str | os.PathLike[str], *, limit: int, error: type[MnistTfxError] = BadInput) -> bytes:
    """Read a regular file of at most `limit` bytes; a link to one is followed.

    Args:
      path: the file.
      limit: bytes; one more is refused without reading on.
      error: class of the error that is raised.

    Raises:
      MnistTfxError: of class `error`, if there is no such file, it is a folder, FIFO, socket or device, is larger than
        `limit`, or cannot be read.
    """
    with opened(path, limit=limit, error=error) as descriptor:
        data = _content(descriptor, os.fstat(descriptor).st_size, limit)
    if len(data) > limit:
        raise error(_TOO_LARGE, where=path, wanted=f"at most {limit} bytes", got="more")
    return data


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], *, limit: int, error: type[MnistTfxError] = BadInput) -> Iterator[int]:
    """Open a regular file of at most `limit` bytes for reading, as a descriptor; see `read_bytes`.

    Raises:
      MnistTfxError: as `read_bytes`, also for what goes wrong while it is read.
    """
    descriptor, status = _opened(path, error)
    try:
        if status.st_size > limit:
            raise error(_TOO_LARGE, where=path, wanted=f"at most {limit} bytes", got=f"{status.st_size} bytes")
        yield descriptor
    except OSError as err:
        raise error("cannot read it", where=path, got=err.strerror) from err
    finally:
        os.close(descriptor)


def open_regular(path: str | os.PathLike[str], *, error: type[MnistTfxError] = BadInput) -> BinaryIO:
    """Open a regular file to read parts of it; a link to one is followed.

    Raises:
      MnistTfxError: of class `error`, if there is no such file, it is a folder, FIFO, socket or device, or cannot be read.
    """
    return open(_opened(path, error)[0], "rb")


def _opened(path: str | os.PathLike[str], error: type[MnistTfxError]) -> tuple[int, os.stat_result]:
    """Return the descriptor of a regular file that was opened, and what it is."""
    try:
        # Opening a FIFO would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as err:  # ValueError: a NUL byte in the name
        missing = isinstance(err, OSError) and err.errno == errno.ENOENT
        got = None if missing else getattr(err, "strerror", None) or err
        raise error("no such file" if missing else "cannot read it", where=path, got=got) from err
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise error("not a regular file", where=path, got=kind_of(status.st_mode))
    return descriptor, status


def _content(descriptor: int, size: int, limit: int) -> bytes:
    """Return the bytes of an open file, or a few more than `limit` of them."""
    # One call for the usual file: a file object takes as long again, and there can be 80,000 records.
    data = os.read(descriptor, size + 1)
    if 0 < len(data) == size:
        return data
    # A file of /proc says that it has no bytes, one of gigabytes comes in parts, and one may grow while it is read.
    parts = [data]
    while parts[-1] and sum(map(len, parts)) <= limit:
        parts.append(os.read(descriptor, min(limit + 1, 16 * MIB)))
    return b"".join(parts)


def kind_of(mode: int) -> str:
    """Return what a file with this `st_mode` is, in words."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFLNK: "a link",
    }
    return kinds.get(stat.S_IFMT(mode), "a regular file")


def parse_json(
    data: bytes | str, *, where: object, error: type[MnistTfxError] = BadInput, any_number: bool = False
) -> Any:
    """Parse JSON as RFC 8259 has it: UTF-8 without lone surrogates, no NaN, at most 200 levels deep.

    Args:
      data: the document.
      where: for the message.
      error: class of the error that is raised.
      any_number: also those beyond 64 bits, and infinite ones: for what a `components.shapes.Shape` looks at anyway.

    Raises:
      MnistTfxError: of class `error`, if it is anything else.
    """
    try:
        found = from_json(data, allow_inf_nan=False, cache_strings="keys")
    except (ValueError, TypeError, RecursionError, OverflowError) as err:
        raise error("not readable as JSON", where=where, got=shortened(err, 120)) from err
    if any_number:
        return found
    text = data if isinstance(data, bytes) else data.encode()
    if _LONG_NUMBER.search(b":" + text):
        for number in _numbers(found):
            if abs(number) > LARGEST_INTEGER and (isinstance(number, int) or number in _INFINITE):
                raise error("a number that is too large", where=where, wanted="at most 64 bits", got=number)
    return found


def read_json(path: str | os.PathLike[str], *, limit: int = 16 * MIB, error: type[MnistTfxError] = BadInput) -> Any:
    """Read and parses a JSON file; see `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, limit=limit, error=error), where=path, error=error)


def parse_object(
    data: bytes | str, *, where: object, error: type[MnistTfxError] = BadInput, any_number: bool = False
) -> dict[str, Any]:
    """Parse a JSON object; see `parse_json`, which takes any value."""
    found = parse_json(data, where=where, error=error, any_number=any_number)
    if not isinstance(found, dict):
        raise error("not a JSON object", where=where, got=type(found).__name__)
    return found


def read_object(
    path: str | os.PathLike[str], *, limit: int = 16 * MIB, error: type[MnistTfxError] = BadInput
) -> dict[str, Any]:
    """Read and parses a JSON object; see `read_bytes` and `parse_json`."""
    return parse_object(read_bytes(path, limit=limit, error=error), where=path, error=error)


def parse_yaml(data: bytes | str, *, where: object, error: type[MnistTfxError] = BadInput) -> Any:
    """Parse one YAML document, with the plain values of YAML 1.2 and aliases within reason.

    A date, `on`, `yes` and `1:30` are text; `1e-3` is a number. PyYAML alone has the rules of YAML 1.1 there.

    Args:
      data: the document.
      where: for the message.
      error: class of the error that is raised.

    Raises:
      MnistTfxError: of class `error`, if it is not YAML or not UTF-8, names a key twice or one that is no text, is
        nested too deeply, or grows too large once its aliases are written out.
    """
    documents = parse_yaml_documents(data, where=where, error=error)
    if len(documents) > 1:
        raise error("more than one YAML document", where=where, wanted="one", got=len(documents))
    return documents[0] if documents else None


def parse_yaml_documents(data: bytes | str, *, where: object, error: type[MnistTfxError] = BadInput) -> list[Any]:
    """Parse every YAML document of a file; see `parse_yaml`."""
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        _bound_yaml(text, where, error)
        return list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        lines = text.split("\n")
        is_tab = mark is not None and mark.line < len(lines) and lines[mark.line][mark.column :].startswith("\t")
        problem = "a tab, and YAML is indented with spaces" if is_tab else err.problem or err.context
        raise error("not readable as YAML", where=where, got=f"{place}{problem}") from err
    except (yaml.YAMLError, ValueError, TypeError, LookupError, OverflowError, RecursionError) as err:
        # A value that its own tag (`!!bool maybe`) contradicts is a LookupError of the constructor's table.
        raise error("not readable as YAML", where=where, got=" ".join(str(err).split())) from err


def read_yaml(path: str | os.PathLike[str], *, limit: int = MIB, error: type[MnistTfxError] = BadInput) -> Any:
    """Read and parses a YAML file; see `read_bytes` and `parse_yaml`."""
    return parse_yaml(read_bytes(path, limit=limit, error=error), where=path, error=error)


def _bound_yaml(text: str, where: object, error: type[MnistTfxError]) -> None:
    """Refuse a document that is nested too deeply or grows too large, before anything is built from it."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor and nodes so far, the document itself first
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        size = 0
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
            _remember(sizes, anchor, size)
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            _remember(sizes, event.anchor, size)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:  # unknown, or still open: a list that holds itself
                raise error("an alias of what is not complete before it", where=where, got=f"*{event.anchor}")
            size = sizes[event.anchor]
        anchor, before = open_nodes[-1]
        open_nodes[-1] = (anchor, before + size)
        if len(open_nodes) > DEEPEST_YAML:
            raise error("nested too deeply", where=where, wanted=f"at most {DEEPEST_YAML} levels")
        if before + size > MOST_YAML_NODES:
            raise error("too many values", where=where, wanted=f"at most {MOST_YAML_NODES}, aliases written out")


class _Loader(yaml.CSafeLoader):
    """The safe loader with the plain values of YAML 1.2's core schema, and without keys that hide one another."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping whose keys are different texts; what `<<` brings along may be overridden."""
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode) or key.tag not in (_TEXT, _MERGE):
                raise yaml.constructor.ConstructorError(
                    None, None, f"a key that is no text: {_as_written(key)}; quotes make it one", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
            seen.add(key.value)
        built: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return built

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return a decimal number, or an octal or hexadecimal one with its prefix."""
        text = self.construct_scalar(node)
        if len(text) > LONGEST_INTEGER:
            raise yaml.constructor.ConstructorError(None, None, f"a number of {len(text)} digits", node.start_mark)
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


_TEXT: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "tag:yaml.org,2002:merge"
# https://yaml.org/spec/1.2.2/#1032-tag-resolution, and the merge key, which manifests of Kubernetes use.
_PLAIN_VALUES: Final = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in _PLAIN_VALUES:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), _first)
# No tag gives anything that JSON does not have: no set, date or bytes.
_Loader.yaml_constructors = {
    f"tag:yaml.org,2002:{name}": getattr(_Loader, f"construct_yaml_{name}")
    for name in ("null", "bool", "int", "float", "str", "seq", "map")
} | {None: _Loader.construct_undefined}


def _as_written(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "a list or a mapping"


def _numbers(value: Any) -> Iterator[int | float]:
    """Yield the numbers in JSON values, which `parse_json` has bounded in depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, int | float) and not isinstance(one, bool):
            yield one


def _remember(sizes: dict[str, int], anchor: str | None, size: int) -> None:
    if anchor is not None:
        sizes[anchor] = size


def is_file(path: Path) -> bool:
    """Return whether a path names a regular file; never raises for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
