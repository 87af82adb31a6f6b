"""Charts that were drawn before of the same figures, kept in the user's own cache.

Matplotlib takes a second for the charts of a report, and a run that reuses everything reports the same figures again. A
chart is known by what it was drawn of, the code of this package and matplotlib's version. The files are not in the root:
they become a part of the page as they are, and whoever can write to a root is not trusted with that. They are used only if
nobody but the user can write to them; where none can be kept, charts are drawn.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from markupsafe import Markup

from pipeline.report.picture import Picture
from pipeline.root.user_cache import is_own, keep, user_cache

MOST: Final = 200
"""Charts that are kept, the ones that were used last; each has some 50 kB."""

_Draw = TypeVar("_Draw", bound=Callable[..., "Picture | None"])


class _UnknownError(TypeError):
    """Says that a value has no digest here."""


def kept(draw: _Draw) -> _Draw:
    """Return a function that gives what `draw` gave for equal arguments before, and else draws and keeps it."""

    @functools.wraps(draw)
    def looked_up(*arguments: Any) -> Picture | None:
        try:
            path = _folder() / f"{_key(draw, arguments)}.json"
            if (picture := _read(path)) is not None:
                return picture
        except (_UnknownError, OSError, RuntimeError):  # RuntimeError: no home
            return draw(*arguments)
        picture = draw(*arguments)
        if picture is not None:
            # Without room, or beside another process at the same, it is drawn once more next time.
            with contextlib.suppress(OSError):
                _write(path, picture)
        return picture

    return looked_up  # type: ignore[return-value]  # the same parameters and the same result


def _folder() -> Path:
    folder = user_cache() / "charts"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_own(folder):
        raise PermissionError(folder)
    return folder


def _read(path: Path) -> Picture | None:
    try:
        if not is_own(path):
            return None
        fields = json.loads(path.read_bytes())
        os.utime(path)
        svg = Markup(fields.pop("svg"))  # noqa: S704  # the user's own file, as `charts.page_svg` gave it
        return Picture(**fields, svg=svg)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # there is none, or no whole one


def _write(path: Path, picture: Picture) -> None:
    fields = {"text": picture.text, "svg": str(picture.svg), "width": picture.width, "height": picture.height}
    keep(path, json.dumps(fields).encode(), MOST)


def _key(draw: Callable[..., Any], arguments: Sequence[Any]) -> str:
    digest = hashlib.sha256(_code())
    for part in _parts((draw.__module__, draw.__qualname__, *arguments)):
        # With its length, or two values could be parted elsewhere and come to the same.
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


@functools.cache
def _code() -> bytes:
    """Return what stands for the code that draws."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    digests = [hashlib.sha256(file.read_bytes()).digest() for file in files]
    return b"".join([*digests, *(version(name).encode() for name in ("matplotlib", "numpy"))])


def _parts(value: Any) -> Iterator[bytes]:
    """Yield bytes that stand for a value: equal ones for equal values alone."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            raise _UnknownError(array.dtype)
        yield f"array {array.dtype.str} {np.shape(value)}".encode()
        yield array.tobytes()
    elif dataclasses.is_dataclass(value):
        yield f"{type(value).__module__}.{type(value).__qualname__}".encode()
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for name in sorted(value, key=repr):
            yield from _parts(name)
            yield from _parts(value[name])
    elif isinstance(value, (list, tuple)):
        yield f"sequence {len(value)}".encode()
        for item in value:
            yield from _parts(item)
    else:
        raise _UnknownError(type(value))
