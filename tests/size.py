"""Lines of product code by room: `make size`. Python and JSON of `components`, `pipeline` and `mnist_tfx`, blank lines counted."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
KINDS: Final = (".py", ".json")


def lines() -> dict[str, Counter[str]]:
    """Return {room: {suffix: lines}}; a package's own modules are a room named as the package."""
    found: dict[str, Counter[str]] = {}
    for package in ("components", "pipeline", "mnist_tfx"):
        for path in sorted((PROJECT / package).rglob("*")):
            if path.suffix in KINDS:
                inner = path.relative_to(PROJECT).parts[:-1][:2]
                room = found.setdefault("/".join(inner), Counter())
                room[path.suffix] += len(path.read_bytes().splitlines())
                room["files"] += 1
    return found


def main() -> None:
    """Print a line for each room, and the sum."""
    rooms = lines()
    total: Counter[str] = sum(rooms.values(), Counter())
    shown = [f"{'':24}{'Python':>8}{'JSON':>8}{'files':>7}"]
    for room, count in [*rooms.items(), ("all", total)]:
        shown.append(f"{room:24}{count['.py']:8,}{count['.json']:8,}{count['files']:7,}")
    sys.stdout.write("\n".join(shown) + "\n")


if __name__ == "__main__":
    main()
