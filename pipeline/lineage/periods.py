"""When each version was what a server of the root loads: from its push to the push of a higher number, or its removal.

TensorFlow Serving, and `mnist-tfx serve`, load the highest number there is. So the ledger alone says which version was
in service when; whether a server was running at that time, it cannot say.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pipeline.provenance.ledger import Chain, Event


@dataclasses.dataclass(frozen=True, kw_only=True)
class Period:
    """When a version was the one to load.

    Attributes:
      version: its number.
      start: UTC time of its push; None if no push of it is recorded.
      end: UTC time at which another took its place, or it was removed; None while it is the one to load.
      why: what ended it, in words; None while nothing has.
    """

    version: int
    start: str | None
    end: str | None = None
    why: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the period as JSON values."""
        return dataclasses.asdict(self)


def period_of(ledger: Chain, version: int) -> Period:
    """Return when a version was the one to load."""
    push = ledger.push(version)
    if push is None:
        return Period(version=version, start=None)
    for line in ledger.of(Event.PUSHED, Event.PROMOTED, Event.PRUNED, after=push.line.sequence):
        number = line.details.get("version")
        if line.event != Event.PRUNED and isinstance(number, int) and number > version:
            return Period(version=version, start=push.line.time, end=line.time, why=f"version {number} took its place")
        if line.event == Event.PRUNED and number == version:
            return Period(version=version, start=push.line.time, end=line.time, why="it was removed")
    return Period(version=version, start=push.line.time)
