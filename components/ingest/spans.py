"""Spans of data: the newest at a path with `{SPAN}` or a date in it, oldest first, with numbers and places.

The fields are those of TFX's ExampleGen (tfx/components/example_gen/utils.py): `{SPAN}` is a number, `{SPAN:4}` one of
exactly four digits, and `{YYYY}`, `{MM}` and `{DD}` together are a day, numbered from 1970-01-01. What does not fit
the pattern, such as `span-7.tmp`, is no span. What does fit is taken as it is: a newest span that is empty or broken is
for its reader to refuse, and never a reason to fall back on an older one.
"""

from __future__ import annotations

import datetime
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from components.errors import BadInput, EnvironmentProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NUMBER: Final = "SPAN"
DATE: Final = {"YYYY": 4, "MM": 2, "DD": 2}
"""The fields of a date, and how many digits each has."""

FIELDS: Final = "{SPAN}, {SPAN:width}, or all of {YYYY}, {MM} and {DD}"
EPOCH: Final = datetime.date(1970, 1, 1)
MAX_SPAN: Final = (1 << 63) - 1
"""ML Metadata keeps a span as int64."""

_FIELD: Final = re.compile(r"\{(SPAN(?::0*([1-9][0-9]?))?|YYYY|MM|DD)\}")
_LISTED: Final = 5


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span of the data.

    Attributes:
      number: its number; of a date, the days since 1970-01-01.
      name: its path below the pattern's own folder, such as `span-7` or `2026/01/31`.
      folder: where it lies; the file itself, where the pattern stands for files.
    """

    number: int
    name: str
    folder: Path

    def name_of(self, file: Path) -> str:
        """Return how a record names one of its files: every span has a `train-images`."""
        return self.name if file == self.folder else f"{self.name}/{file.relative_to(self.folder).as_posix()}"


def is_pattern(text: str) -> bool:
    """Return whether a path stands for spans; unknown fields are for `newest` to refuse, unless a file has just that name."""
    return _FIELD.search(text) is not None or (re.search("[{}]", text) is not None and not os.path.lexists(text))


def resolve(text: str, count: int = 1) -> tuple[Span, ...]:
    """Return the newest `count` spans of a pattern, oldest first; none for a plain path.

    Raises:
      BadInput: as `newest`, and if spans are asked for of a plain path.
    """
    if is_pattern(text):
        return newest(text, count)
    if count != 1:
        raise BadInput(
            "not a pattern of spans", where=text, wanted=f"a path with {FIELDS}", got=f"{count} spans asked for"
        )
    return ()


def newest(pattern: str, count: int = 1) -> tuple[Span, ...]:
    """Return the newest `count` spans, oldest first; fewer, where there are no more.

    Args:
      pattern: path of a folder or a file, with fields in it.
      count: how many, at least 1.

    Raises:
      BadInput: if the pattern is malformed, matches nothing, or two of its matches have one number.
      EnvironmentProblem: if a folder cannot be read.
    """
    if count < 1:
        raise BadInput("no spans are asked for", where="--spans", wanted="1 or more", got=count)
    require_fields(pattern)
    base, rest = _divided(pattern)
    known: dict[int, Span] = {}
    for path, values in _matches(base, rest):
        span = Span(number=_number(values, path), name=path.relative_to(base).as_posix(), folder=path)
        if (other := known.setdefault(span.number, span)) is not span:
            got = f"{other.name} and {span.name}"
            raise BadInput(f"two spans have the number {span.number}", where=base, got=got, hint="keep one of them")
    if not known:
        raise BadInput("no span matches", where=pattern, wanted="/".join(rest), got=_content(base))
    return tuple(known[number] for number in sorted(known)[-count:])


def require_fields(pattern: str) -> None:
    """Check that the fields of a pattern make one span; asks no disk.

    Raises:
      BadInput: if one is unknown, missing or there twice.
    """
    if unknown := re.search(r"\{[^{}]*\}?|\}", _FIELD.sub("", pattern)):
        raise BadInput("unknown field", where=pattern, wanted=FIELDS, got=unknown.group())
    found = Counter(match[1].partition(":")[0] for match in _FIELD.finditer(pattern))
    if found not in ({NUMBER: 1}, dict.fromkeys(DATE, 1)):
        got = ", ".join(match.group() for match in _FIELD.finditer(pattern))
        raise BadInput("fields do not make one span", where=pattern, wanted=f"{FIELDS}, each once", got=got)


def base_of(pattern: str) -> Path:
    """Return the longest folder at the start of a pattern without a field in it."""
    return _divided(pattern)[0]


def _divided(pattern: str) -> tuple[Path, tuple[str, ...]]:
    """Return the folder without fields, and the names below it."""
    names = Path(pattern).parts
    plain = next(number for number, name in enumerate(names) if "{" in name)
    return Path(*names[:plain]), names[plain:]


def _matches(folder: Path, rest: Sequence[str]) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield what fits the names in `rest`, and the digits that stand for each field."""
    if not any("{" in name for name in rest):
        # Not asked whether it is there: a span whose folder lacks what it should hold is no older span.
        yield folder.joinpath(*rest), {}
        return
    pattern = expression(rest[0])
    for name in _names(folder):
        if (match := pattern.fullmatch(name)) is not None:
            for path, values in _matches(folder / name, rest[1:]):
                yield path, {**match.groupdict(), **values}


def expression(name: str) -> re.Pattern[str]:
    """Return what a name has to match; not `\\d`, which takes the digits of every script."""
    text, end = "", 0
    for field in _FIELD.finditer(name):
        kind = field[1].partition(":")[0]
        width = field[2] or DATE.get(kind)
        digits = "[0-9]+" if width is None else f"[0-9]{{{width}}}"
        text += f"{re.escape(name[end : field.start()])}(?P<{kind}>{digits})"
        end = field.end()
    return re.compile(text + re.escape(name[end:]), re.DOTALL)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder)) if folder.is_dir() else []
    except OSError as err:
        raise EnvironmentProblem("folder cannot be read", where=folder, got=err.strerror) from err


def _number(values: Mapping[str, str], path: Path) -> int:
    if NUMBER not in values:
        try:
            day = datetime.date(*(int(values[field]) for field in DATE))
        except ValueError as err:
            raise BadInput("not a date", where=path, wanted="year, month and day", got=err) from err
        return (day - EPOCH).days
    number = int(values[NUMBER])
    if number > MAX_SPAN:
        raise BadInput("span number is too large", where=path, wanted=f"at most {MAX_SPAN}")
    return number


def _content(folder: Path) -> str:
    names = _names(folder)
    if not names:
        return "an empty folder" if folder.is_dir() else "no such folder"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
