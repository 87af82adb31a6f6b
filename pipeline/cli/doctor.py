"""`mnist-tfx doctor`: interpreter and lane, installed versions against the lock, devices, disk."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.errors import EnvironmentProblem
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import AnyRoot
from pipeline.provenance import code
from pipeline.runner import devices

WORTH_NAMING: Final = ("tfx", "tensorflow", "keras", "apache-beam", "tensorflow-data-validation", "ml-metadata")
MIN_FREE_BYTES: Final = 2 << 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report.

    Attributes:
      check: what was looked at.
      found: what was seen.
      wrong: what is wrong with it and what to do; None if nothing is.
    """

    check: str
    found: str
    wrong: str | None = None


def examine(folder: Path, *, with_devices: bool = True) -> Iterator[Finding]:
    """Yield the findings; `with_devices` imports TensorFlow in a process of its own, which takes some seconds."""
    yield _interpreter()
    yield _libc()
    yield from _versions()
    yield _disk(folder)
    if with_devices:
        yield _devices()


def lane() -> str:
    """Return which half of the lock this interpreter takes."""
    return "one (TFX 1.16)" if sys.version_info < (3, 11) else "two (TFX 1.21)"


def _interpreter() -> Finding:
    found = f"Python {platform.python_version()}, lane {lane()}, {sys.executable}"
    usable = (3, 10) <= sys.version_info[:2] < (3, 14)
    wrong = None if usable else "wanted 3.10 to 3.13: `make clean; rm -rf .venv; make PYTHON=3.10 install`"
    return Finding(check="interpreter", found=found, wrong=wrong)


def _libc() -> Finding:
    name, version = platform.libc_ver()
    too_old = sys.version_info >= (3, 11) and tuple(map(int, version.split("."))) < (2, 38)
    wrong = "lane two needs 2.38 or newer: use Python 3.10 here" if too_old else None
    return Finding(check="system", found=f"{platform.system()} {platform.machine()}, {name} {version}", wrong=wrong)


def locked_versions(text: str) -> dict[str, str]:
    """Return {distribution: version} of the lock's lines that apply to this interpreter."""
    pins = {}
    for match in re.finditer(r"^([A-Za-z0-9][^\s=]*)==([^\s;\\]+)\s*(;[^\\\n]+)?", text, re.MULTILINE):
        requirement = Requirement(f"{match[1]} {match[3] or ''}")
        if requirement.marker is None or requirement.marker.evaluate():
            pins[requirement.name.lower()] = match[2]
    return pins


def _versions() -> Iterator[Finding]:
    lock = code.lock_file()
    if lock is None:
        named = ", ".join(f"{name} {_installed(name)}" for name in WORTH_NAMING)
        yield Finding(check="packages", found=f"{named} (no lock to compare with)")
        return
    pins = locked_versions(lock.read_text())
    for name in WORTH_NAMING:
        found, wanted = _installed(name), pins.get(name)
        wrong = None if found == wanted else f"the lock has {wanted}: `make install`"
        yield Finding(check=name, found=found or "missing", wrong=wrong)
    others = {name: _installed(name) for name in pins if name not in WORTH_NAMING}
    needed = _asked_for()
    differing = sorted(name for name, found in others.items() if found != pins[name] and (found or name in needed))
    wrong = f"differ from the lock: {', '.join(differing[:8])}: `make install`" if differing else None
    yield Finding(check="other packages", found=f"{len(others)} in the lock", wrong=wrong)


def _asked_for() -> set[str]:
    """Return what installed distributions require; a lock also names what only installs, tests and lints."""
    asked = (Requirement(line) for found in metadata.distributions() for line in found.requires or ())
    plain = (
        requirement for requirement in asked if not requirement.marker or requirement.marker.evaluate({"extra": ""})
    )
    return {canonicalize_name(requirement.name) for requirement in plain}


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _disk(folder: Path) -> Finding:
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free
    wrong = None
    if not os.access(place, os.W_OK):
        wrong = "not writable: choose another --root"
    elif free < MIN_FREE_BYTES:
        wrong = f"under {MIN_FREE_BYTES >> 30} GiB: make room or choose another --root"
    return Finding(check="disk", found=f"{free / 2**30:.1f} GiB free at {place}", wrong=wrong)


def _devices() -> Finding:
    found = devices.look()
    if found.broken is not None:
        return Finding(check="devices", found="TensorFlow does not import", wrong=found.broken)
    wrong = "the driver shows a GPU, but TensorFlow sees none" if found.has_driver and not found.gpus else None
    return Finding(check="devices", found=f"{os.cpu_count()} CPU cores, {found}", wrong=wrong)


@options.command()
@click.option(
    "--root", type=AnyRoot(), metavar="FOLDER", default="runs", show_default=True, help="Where there has to be room."
)
@click.option("--devices/--no-devices", default=True, help="Ask TensorFlow for devices (some seconds).")
@options.as_json
def doctor(root: Path, devices: bool, as_json: bool) -> int:
    """Check interpreter, lane, packages against the lock, devices and disk; exit 4 if something is wrong.

    \b
    Example:
      mnist-tfx doctor --no-devices
    """
    findings = list(examine(root, with_devices=devices))
    wrong = [EnvironmentProblem(one.wrong, where=one.check, got=one.found) for one in findings if one.wrong]
    answer = Answer(
        data={"findings": [dataclasses.asdict(finding) for finding in findings]},
        error=EnvironmentProblem.of_several(wrong) if wrong else None,
    )
    if as_json:
        print_answer(answer)
        return answer.exit_code
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark = Text("wrong", "bold red") if finding.wrong else Text("ok", "green")
        table.add_row(mark, Text(finding.check), Text(finding.found + (f": {finding.wrong}" if finding.wrong else "")))
    Console(markup=False).print(table)
    return answer.exit_code
