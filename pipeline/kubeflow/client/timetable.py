"""Timetable of a schedule: `--cron`, `--every`, `--start` and `--end`, in the form that KFP takes.

KFP reads cron with https://pkg.go.dev/github.com/robfig/cron (version 1). Its first field is seconds and its last one may
be missing: so it takes the five fields of a crontab for something else, `0 2 * * *` for two minutes past every hour.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from typing import Final

from components.errors import BadInput

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

FIELDS: Final = {
    "second": (0, 59, ()),
    "minute": (0, 59, ()),
    "hour": (0, 23, ()),
    "day of month": (1, 31, ()),
    "month": (1, 12, _MONTHS),
    "day of week": (0, 6, _DAYS),
}
"""{field: (lowest, highest, names for lowest and up)}."""

ANY: Final = ("*", "?")
LONGEST: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month, in the year in which it has most."""

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""{unit of an interval: seconds}."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timetable:
    """When runs start: exactly one of `cron` and `every`.

    Attributes:
      cron: six fields.
      every: seconds between two runs.
      start: RFC 3339 time before which none starts.
      end: RFC 3339 time after which none starts.
    """

    cron: str | None = None
    every: int | None = None
    start: str | None = None
    end: str | None = None

    def __str__(self) -> str:
        return f"cron {self.cron}" if self.cron is not None else f"every {self.every} s"


def read(cron: str | None, every: str | None, start: str | None = None, end: str | None = None) -> Timetable:
    """Return the timetable that the options describe.

    Raises:
      BadInput: if both or neither of `cron` and `every` are given, one of the four cannot be read, or it is never due.
    """
    if (cron is None) == (every is None):
        got = "neither" if cron is None else "both"
        raise BadInput("when is it due", where="schedule", wanted="exactly one of --cron and --every", got=got)
    begins, ends = _moment("--start", start), _moment("--end", end)
    if begins is not None and ends is not None and ends <= begins:
        raise BadInput("over before it begins", where="--end", wanted=f"a time after {start}", got=end)
    now = datetime.datetime.now(datetime.timezone.utc)
    if ends is not None and ends <= now:
        raise BadInput("over already", where="--end", wanted=f"a time after {now:%Y-%m-%dT%H:%M:%SZ}", got=end)
    return Timetable(
        cron=None if cron is None else six_fields(cron),
        every=None if every is None else seconds(every),
        start=None if begins is None else begins.isoformat(),
        end=None if ends is None else ends.isoformat(),
    )


def six_fields(text: str) -> str:
    """Return a cron expression with single blanks.

    Raises:
      BadInput: if it has not six fields, one of them is out of its range, or no month has such a day.
    """
    fields = text.split()
    if len(fields) == len(FIELDS) - 1:
        hint = f'that is a crontab line; with the seconds in front: --cron "0 {" ".join(fields)}"'
        raise BadInput("five fields", where="--cron", wanted=f"six: {', '.join(FIELDS)}", got=text, hint=hint)
    if len(fields) != len(FIELDS):
        hint = 'such as "0 0 2 * * *", every night at two'
        raise BadInput(f"{len(fields)} fields", where="--cron", wanted=f"six: {', '.join(FIELDS)}", got=text, hint=hint)
    for name, field in zip(FIELDS, fields, strict=True):
        for part in field.split(","):
            _check_part(name, part)
    _check_day(*fields[3:])
    return " ".join(fields)


def seconds(text: str) -> int:
    """Return the seconds of an interval such as `90s`, `15m`, `6h` or `1d`.

    Raises:
      BadInput: if it is none, or shorter than a second.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip())
    if match is None or int(match[1]) == 0:
        raise BadInput("no interval", where="--every", wanted="a number with s, m, h or d, such as 6h", got=text)
    return int(match[1]) * UNITS[match[2]]


def _check_part(field: str, part: str) -> None:
    lowest, highest, names = FIELDS[field]
    span, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        raise BadInput(f"no step for the {field}", where="--cron", wanted="a whole number above 0", got=part)
    if span in ANY:
        return
    values = [_number(value, lowest, names) for value in span.split("-", 1)]
    if any(value is None or not lowest <= value <= highest for value in values) or values != sorted(values, key=_last):
        wanted = f"{lowest} to {highest}{f' or {names[0]} to {names[-1]}' if names else ''}"
        raise BadInput(f"no {field}", where="--cron", wanted=f"{wanted}, a range of them, * or */N", got=part)


def _check_day(days: str, months: str, weekdays: str) -> None:
    """Refuse days that none of the months has; with days of the week given as well, either is enough."""
    if not any(part[0] in ANY for field in (days, weekdays) for part in field.split(",")):
        return
    longest = max(LONGEST[month - 1] for part in months.split(",") for month in _values("month", part))
    first = min(day for part in days.split(",") for day in _values("day of month", part))
    if first > longest:
        got = f"{days} {months}"
        raise BadInput("never due", where="--cron", wanted=f"a day of at most {longest} in these months", got=got)


def _values(field: str, part: str) -> range:
    """Return what a part that has been checked stands for."""
    lowest, highest, names = FIELDS[field]
    span, slash, step = part.partition("/")
    ends = [lowest, highest] if span in ANY else [_last(_number(text, lowest, names)) for text in span.split("-", 1)]
    last = highest if slash and len(ends) == 1 else ends[-1]
    return range(ends[0], last + 1, int(step or 1))


def _last(value: int | None) -> int:
    return -1 if value is None else value


def _number(text: str, lowest: int, names: tuple[str, ...]) -> int | None:
    if text.lower() in names:
        return lowest + names.index(text.lower())
    return int(text) if text.isascii() and text.isdecimal() else None


def _moment(option: str, text: str | None) -> datetime.datetime | None:
    if text is None:
        return None
    try:
        # Python 3.10 knows no Z.
        moment = datetime.datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text.strip()))
    except ValueError as err:
        raise BadInput("no time", where=option, wanted="such as 2026-03-01T02:00:00Z", got=text) from err
    if moment.tzinfo is None:
        raise BadInput("no time zone", where=option, wanted="such as 2026-03-01T02:00:00Z", got=text)
    return moment
