"""Known holes in the packages of the lock, for both lanes: `make audit-deps`.

pip-audit asks OSV (https://osv.dev, which has the advisories of PyPA and GitHub) about every package that a lane's Python
takes from the lock. What docs/limits.md has weighed does not fail the command; anything else does.

    make audit-deps
    make audit-deps AUDIT_OPTIONS="--osv-url http://osv.example/v1/query"    # a mirror
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table

from pipeline.provenance.code import LOCK_PLACES

PROJECT: Final = Path(__file__).resolve().parents[1]
LANES: Final = {"one": ("3.10",), "two": ("3.11", "3.12", "3.13")}
LIMITS: Final = PROJECT / "docs" / "limits.md"
PIP_AUDIT: Final = "pip-audit==2.10.0"
UNKNOWN: Final = 4
"""Exit status where no advisory could be asked for: neither good news nor bad."""


@dataclass(frozen=True, kw_only=True, order=True)
class Hole:
    """An advisory about a package of a lane.

    Attributes:
      lane: by its number in words.
      package: name and version.
      ids: of the advisory, in all lists that have it.
      fixed: first versions without it.
    """

    lane: str
    package: str
    ids: tuple[str, ...]
    fixed: tuple[str, ...]


class CannotTellError(Exception):
    """The source of advisories did not answer."""


def pins(lock: str, python: str) -> Iterator[str]:
    """Yield NAME==VERSION of every package that a Python takes from a lock."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    for line in lock.replace("\\\n", " ").splitlines():
        if line and not line.startswith((" ", "#")):
            one = Requirement(line.partition("--hash")[0].strip())
            if one.marker is None or one.marker.evaluate(environment):
                yield f"{one.name}{one.specifier}"


def holes(lane: str, wanted: Sequence[str], options: Sequence[str] = ()) -> list[Hole]:
    """Ask about packages of a lane.

    Args:
      lane: of which they are.
      wanted: NAME==VERSION of each.
      options: of pip-audit.

    Raises:
      CannotTellError: if there was no answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(wanted) + "\n")
        command = [str(PROJECT / ".tools" / "bin" / "uv"), "tool", "run", "--quiet", "--from", PIP_AUDIT, "pip-audit"]
        command += [
            "--no-deps",
            "--disable-pip",
            "--progress-spinner=off",
            "--vulnerability-service=osv",
            "--format=json",
        ]
        command += ["--requirement", str(requirements), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise CannotTellError(done.stderr.strip().rpartition("\n")[2]) from None
    return [
        Hole(
            lane=lane,
            package=f"{package['name']} {package['version']}",
            ids=tuple(sorted({one["id"], *one["aliases"]})),
            fixed=tuple(one["fix_versions"]),
        )
        for package in answer["dependencies"]
        for one in package.get("vulns", ())
    ]


def is_weighed(hole: Hole, text: str) -> bool:
    """Return whether the documentation has an advisory, under any of its numbers."""
    return any(f"`{one}`" in text for one in hole.ids)


def main(options: Sequence[str]) -> int:
    """Print what is known about the packages of both lanes."""
    console, lock, asked = Console(highlight=False), LOCK_PLACES[0].read_text(), set[str]()
    seen: list[Hole] = []
    for lane, pythons in LANES.items():
        for python in pythons:
            wanted = sorted(set(pins(lock, python)) - asked)
            asked.update(wanted)
            with console.status(f"lane {lane}, Python {python}: {len(wanted)} packages"):
                try:
                    seen += holes(lane, wanted, options) if wanted else []
                except CannotTellError as err:
                    console.print(f"cannot tell: no advisories could be read: {err}", soft_wrap=True)
                    return UNKNOWN
    text = LIMITS.read_text()
    table = Table("lane", "package", "advisory", "without it", "in docs/limits.md")
    for hole in sorted(seen):
        table.add_row(
            hole.lane,
            hole.package,
            "\n".join(hole.ids),
            "\n".join(hole.fixed),
            "yes" if is_weighed(hole, text) else "no",
        )
    if seen:
        console.print(table)
    new = [hole for hole in seen if not is_weighed(hole, text)]
    console.print(f"packages: {len(asked)}, advisories: {len(seen)}, not in docs/limits.md: {len(new)}")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
