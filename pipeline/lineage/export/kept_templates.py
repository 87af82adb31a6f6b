"""Templates that were compiled before, kept in the user's own cache: Jinja takes a tenth of a second for those of a report.

A template is known by its source, its name, and what compiled it. As Python does with its own bytecode, what is kept is
used as it is, so it is used only if nobody but the user can write to it. Jinja's own cache of files would do the same by way
of pickle, and believe whoever can write to the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import jinja2
from jinja2.bccache import Bucket

from pipeline.root.user_cache import is_own, keep, user_cache

MOST: Final = 200
"""Templates that are kept, the newest; there are some forty."""


class KeptTemplates(jinja2.BytecodeCache):
    """Compiled templates from the user's cache, and for it."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill in what was kept; Jinja compiles where nothing was."""
        try:
            path = _file(bucket)
            if is_own(path.parent) and is_own(path):
                bucket.code = marshal.loads(path.read_bytes())  # noqa: S302  # the user's own file
        except (OSError, RuntimeError, ValueError, TypeError, EOFError):  # RuntimeError: no home
            bucket.reset()  # there is none, or no whole one

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled; where it cannot be kept, it is compiled again next time."""
        with contextlib.suppress(OSError, RuntimeError):
            path = _file(bucket)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_own(path.parent):
                keep(path, marshal.dumps(bucket.code), MOST)


def _file(bucket: Bucket) -> Path:
    """Return where a template is kept; Jinja gives it a key by its name and a checksum by its source."""
    compiled_by = f"{sys.version} {version('jinja2')}"
    name = hashlib.sha256(f"{compiled_by}\n{bucket.key}\n{bucket.checksum}".encode()).hexdigest()
    return user_cache() / "templates" / f"{name}.marshal"
