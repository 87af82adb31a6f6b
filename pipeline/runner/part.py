"""The part that a run has in a sweep: one of several candidates, or the one that was chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

CANDIDATE: Final = "candidate"
"""Status of a run that was one of several: another one may push what it has trained."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """What part a run has in a sweep.

    Attributes:
      facts: for its record.
      last: the node after which it ends; None for the one that was chosen, which pushes.
    """

    facts: Mapping[str, Any]
    last: str | None = None

    @property
    def status(self) -> str:
        """Of a run that nothing stopped."""
        return "ok" if self.last is None else CANDIDATE
