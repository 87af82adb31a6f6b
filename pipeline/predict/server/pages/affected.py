"""The page that says what a digest went into: `lineage impact` of something that is on record."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from components.errors import BadInput
from pipeline.lineage.impact import Impact, impact
from pipeline.lineage.index import open_lineage

DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def affected(root: Path, digest: str) -> Impact:
    """Return everything downstream of a digest.

    Raises:
      BadInput: if it is none: nothing else is looked up, and no file is opened by what an address says.
    """
    if not DIGEST.fullmatch(digest):
        raise BadInput("no digest", where="address", wanted="64 hex digits", got=digest)
    return impact(open_lineage(root), [digest])
