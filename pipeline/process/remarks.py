"""Lines for people of which there may be thousands: the first ones, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

MOST: Final = 20
"""Lines of a kind; a directory into which somebody unpacked 10,000 folders would scroll everything else away."""


def shorten(lines: Sequence[str], rest: str) -> Iterator[str]:
    """Yield the first lines, and in place of the others one that counts them.

    Args:
      lines: of one kind.
      rest: what lists the others, such as `--json lists them`.
    """
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield f"and {len(lines) - MOST} more: {rest}"
