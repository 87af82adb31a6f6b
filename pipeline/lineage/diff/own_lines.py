"""Changed lines of the user's own code between two versions, read from the copies that each root keeps."""

from __future__ import annotations

import difflib
from typing import Final

from components.digest import sha256_bytes
from components.errors import MnistTfxError, printable
from components.untrusted import read_bytes
from pipeline.lineage.versions import RecordedVersion
from pipeline.provenance.artifacts import checked_path
from pipeline.provenance.own_code import INPUTS, LARGEST, folder_name, own_digests

MOST_LINES: Final = 200
"""Of one file; what is longer is rather another file than a changed one."""


def own_lines(path: str, before: RecordedVersion, after: RecordedVersion) -> tuple[str, ...]:
    """Return the changed lines of one file, each after `-`, `+` or a blank; none where a copy is gone or changed.

    Args:
      path: as the records name it.
      before: a version; a file that it does not have is empty there.
      after: the other.
    """
    old, new = _text(path, before), _text(path, after)
    if old is None or new is None:
        return ()
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2))[2:]
    more = [f"... and {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
    return tuple(printable(line.expandtabs()) for line in [*lines[:MOST_LINES], *more])


def _text(path: str, version: RecordedVersion) -> str | None:
    for record in version.executions.values():
        own = own_digests(record.code.files)
        if path in own:
            try:
                copy = version.root / INPUTS / folder_name(own) / checked_path(path)
                content = read_bytes(copy, limit=LARGEST)
            except MnistTfxError:
                return None
            return content.decode(errors="replace") if sha256_bytes(content) == own[path] else None
    return ""
