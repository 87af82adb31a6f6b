"""Files, JSON and YAML that somebody else may have written, read within stated limits.

Each function either returns plain values or raises one error of ours that names the file: no exception of a parser
leaves this module, and neither a device, a FIFO, an endless line nor nested brackets can hold or exhaust the process.
What the values mean is the caller's to check, with types first.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic_core import from_json

from components.errors import BadInput, MnistTfxError, shortened

MIB: Final = 1 << 20
MOST_YAML_NODES: Final = 200_000
"""Scalars, lists and mappings of a document with its aliases written out; the largest recipe of ours has 80."""

DEEPEST_YAML: Final = 100
"""Lists within lists; PyYAML's own composer recurses once for each."""


def read_bytes(path: str | os.PathLike[str], *, limit: int, error: type[MnistTfxError] = BadInput) -> bytes:
    """Reads a regular file of at most `limit` bytes; a link to one is followed.

    Args:
      path: the file.
      limit: bytes; one more is refused without reading on.
      error: class of the error that is raised.

    Raises:
      MnistTfxError: of class `error`, if there is no such file, it is a folder, FIFO, socket or device, is larger than
        `limit`, or cannot be read.
    """
    try:
        # Opening a FIFO would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as err:  # ValueError: a NUL byte in the name
        missing = isinstance(err, OSError) and err.errno == errno.ENOENT
        got = None if missing else getattr(err, "strerror", None) or err
        raise error("no such file" if missing else "cannot read it", where=path, got=got) from err
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise error("not a regular file", where=path, got=kind_of(status.st_mode))
        try:
            # A file of /proc says that it has no bytes, and one may grow while it is read.
            data = file.read(limit + 1) if status.st_size <= limit else b""
        except OSError as err:
            raise error("cannot read it", where=path, got=err.strerror) from err
    if len(data) > limit or status.st_size > limit:
        got = f"{status.st_size} bytes" if status.st_size > limit else "more"
        raise error("too large for what it should be", where=path, wanted=f"at most {limit} bytes", got=got)
    return data


def kind_of(mode: int) -> str:
    """Returns what a file with this `st_mode` is, in words."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFLNK: "a link",
    }
    return kinds.get(stat.S_IFMT(mode), "a regular file")


def parse_json(data: bytes | str, *, where: object, error: type[MnistTfxError] = BadInput) -> Any:
    """Parses JSON as RFC 8259 has it: UTF-8 without lone surrogates, no NaN, at most 200 levels deep.

    Args:
      data: the document.
      where: for the message.
      error: class of the error that is raised.

    Raises:
      MnistTfxError: of class `error`, if it is anything else.
    """
    try:
        return from_json(data, allow_inf_nan=False)
    except (ValueError, TypeError, RecursionError, OverflowError) as err:
        raise error("not readable as JSON", where=where, got=shortened(err, 120)) from err


def read_json(path: str | os.PathLike[str], *, limit: int = 16 * MIB, error: type[MnistTfxError] = BadInput) -> Any:
    """Reads and parses a JSON file; see `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, limit=limit, error=error), where=path, error=error)


def parse_yaml(data: bytes | str, *, where: object, error: type[MnistTfxError] = BadInput) -> Any:
    """Parses one YAML document with PyYAML's safe types, aliases within reason.

    Args:
      data: the document.
      where: for the message.
      error: class of the error that is raised.

    Raises:
      MnistTfxError: of class `error`, if it is not YAML or not UTF-8, holds a value that is none (a 31st of February,
        a number of thousands of digits), is nested too deeply, or grows too large once its aliases are written out.
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        _bound_yaml(text, where, error)
        return yaml.load(text, Loader=yaml.CSafeLoader)  # the safe loader, in C
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as err:
        raise error("not readable as YAML", where=where, got=shortened(" ".join(str(err).split()), 240)) from err


def read_yaml(path: str | os.PathLike[str], *, limit: int = MIB, error: type[MnistTfxError] = BadInput) -> Any:
    """Reads and parses a YAML file; see `read_bytes` and `parse_yaml`."""
    return parse_yaml(read_bytes(path, limit=limit, error=error), where=path, error=error)


def _bound_yaml(text: str, where: object, error: type[MnistTfxError]) -> None:
    """Refuses a document that is nested too deeply or grows too large, before anything is built from it."""
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


def _remember(sizes: dict[str, int], anchor: str | None, size: int) -> None:
    if anchor is not None:
        sizes[anchor] = size


def is_file(path: Path) -> bool:
    """Returns whether a path names a regular file; never raises for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
