"""Beam's arguments as stages read them, without an import of Beam."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

ALONE: Final = ("FnApiRunner", "DirectRunner")
"""Runners without anybody to share the work with."""

IN_MEMORY: Final = "in_memory"
"""Beam's direct runner as it is by default: one worker, in this process."""


def works_alone(arguments: Sequence[str]) -> bool:
    """Return whether a Beam pipeline with these arguments would run in one process of this machine."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner", default="")
    parser.add_argument("--direct_running_mode", default=IN_MEMORY)
    known, _ = parser.parse_known_args(list(arguments))
    return str(known.runner).endswith(ALONE) and known.direct_running_mode == IN_MEMORY
