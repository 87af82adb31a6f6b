"""Memory that this process and those it starts can still have, as the kernel and the container's limit say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

MEMINFO: Final = "proc/meminfo"

CGROUPS: Final = (
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Folder, limit, use, and the line of memory.stat about pages of files: control groups version 2, and version 1."""


def available(system: Path = Path("/")) -> int:
    """Return the bytes that can be had without swapping, 0 where nothing tells.

    Args:
      system: folder in which `proc` and `sys` are mounted.
    """
    return min((*_of_machine(system), *_of_container(system)), default=0)


def _of_machine(system: Path) -> Iterator[int]:
    file = system / MEMINFO
    for line in file.read_text().splitlines() if file.is_file() else ():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_container(system: Path) -> Iterator[int]:
    for folder, limit, used, cached in CGROUPS:
        place = system / folder
        if not (place / limit).is_file() or not (most := (place / limit).read_text().strip()).isdigit():
            continue  # no control group of this version, or "max"
        # What was read from files long ago counts as used, and is given back for the asking; the kubelet reckons so too.
        lines = (line.split() for line in (place / "memory.stat").read_text().splitlines())
        reclaimable = next((int(fields[1]) for fields in lines if fields[0] == cached), 0)
        yield max(0, int(most) - int((place / used).read_text()) + reclaimable)
