"""Suggestions of the name that was probably meant, for every message about a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable


def _as_it_is(name: str) -> str:
    return name


def closest(name: str, known: Iterable[str], key: Callable[[str], str] = _as_it_is) -> str | None:
    """Return the known name that was probably meant; None if nothing is like it.

    Args:
      name: that is not known.
      known: the names that are.
      key: what is compared of a name, such as `str.lower` where case does not matter.
    """
    by_key = {key(one): one for one in known}
    close = difflib.get_close_matches(key(name), by_key, n=1)
    return by_key[close[0]] if close else None


def did_you_mean(meant: object | None) -> str | None:
    """Return the hint at what was probably meant; None where nothing is like it."""
    return None if meant is None else f"did you mean {meant}?"
