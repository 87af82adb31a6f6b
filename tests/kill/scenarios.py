"""The commands that are interrupted, each with the root that it starts from and the state that it has to reach."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from command_line import PROJECT, in_process
from lineage.audited_copy import audited_copy
from lineage.staged_root import staged_copy

from components.schema_files import find_reviewed
from components.serving import versions
from kill.command import Place, forked
from pipeline.maintenance.backup import backup
from pipeline.maintenance.prune import prune
from pipeline.maintenance.rollback import rollback
from pipeline.provenance.approvals import read_approvals
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.root.paths import RunPaths

GEOMETRY: Final = "8x8-max16-labels10"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One command.

    Attributes:
      prepare: makes the root below a folder.
      command: its arguments, given the folder.
      done: whether the command's work is done.
      again: exit codes of a rerun after work that is done already.
      roots: names of the roots below the folder that have to be whole at the end.
      wasted: names work that was done twice.
    """

    prepare: Callable[[Path], object]
    command: Callable[[Path], Sequence[object]]
    done: Callable[[Path], bool]
    again: tuple[int, ...] = (0,)
    roots: tuple[str, ...] = ("root",)
    wasted: Callable[[Path], list[str]] = lambda _: []


def _root(folder: Path) -> RunPaths:
    return RunPaths(folder / "root")


def _audited(folder: Path) -> RunPaths:
    return audited_copy(folder / "root")


def _served(folder: Path) -> list[int]:
    return [one.version for one in versions(_root(folder).serving)]


def _on(*arguments: object) -> Callable[[Path], Sequence[object]]:
    return lambda folder: (*arguments, "--root", folder / "root")


def _events(folder: Path) -> list[str]:
    return [line.event for line in read_ledger(_root(folder).ledger).lines]


def _pruned(folder: Path) -> None:
    paths = _audited(folder)
    prune(paths.root, 1)
    stray = paths.artifacts / "Stray" / "model" / "1"
    stray.mkdir(parents=True)
    (stray / "left").write_bytes(b"x")


def _unrecorded(folder: Path) -> None:
    """A push of the first model that was killed after its rename, and a run's intent."""
    paths = _audited(folder)
    shutil.copytree(paths.serving / "1", paths.serving / "3")
    Ledger.open(paths.ledger).intent(node="Transform", run_id="run-4", key="0" * 64)


def _lost_store(folder: Path) -> None:
    _audited(folder).metadata.write_bytes(b"no database" * 100)


def _backed_up(folder: Path) -> None:
    backup(_audited(folder).root, folder / "copy")
    shutil.move(folder / "root", folder / "lost")


def _with_key(folder: Path) -> None:
    staged_copy(folder / "root")
    made = in_process("lineage", "keygen", "--to", folder / "keys")
    added = in_process("keys", "add", folder / "keys" / "public.pem", "--by", "Ops", "--root", folder / "root")
    assert (made.code, added.code) == (0, 0)


def _drafted(folder: Path) -> None:
    _audited(folder)
    drafts = folder / "drafts"
    drafts.mkdir()
    for name in (f"{GEOMETRY}.pbtxt", f"{GEOMETRY}.profile.json"):
        shutil.copy(PROJECT / "schema" / name, drafts / name)


def _in_force(folder: Path) -> bool:
    schemas = folder / "schemas"
    if not (schemas / f"{GEOMETRY}.pbtxt").is_file():
        return False
    return find_reviewed(GEOMETRY, schemas).schema.is_file()


def _rolled_back_twice(folder: Path) -> None:
    paths = _audited(folder)
    for version in (1, 2):
        rollback(paths.root, version, lambda _: None)


def _trained(seed: int) -> tuple[object, ...]:
    """Returns a run on the digits with little training, whose model is served whatever it is worth."""
    short = {"autoencoder": ("epochs=2", "patience=2"), "classifier": ("epochs=2", "patience=2")}
    floors = ("accuracy=0.01", "class_accuracy=0", "loss=1000", "reconstruction_mse=1000", "baseline_margin=0.99")
    settings = [f"{section}.{one}" for section, some in {**short, "evaluation": floors}.items() for one in some]
    return ("run", "--seed", seed, *(word for one in settings for word in ("--set", one)))


@cache
def _served_once() -> Path:
    """Returns a root that one run has served a version in, made once for all points and kept until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="kill-root-"))
    atexit.register(_removed, folder, os.getpid())
    ended = forked(Place(folder), (*_trained(1), "--root", folder / "root"))
    if ended.code:
        raise RuntimeError(f"the first run: {ended}")
    return folder / "root"


def _removed(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # and no fork of it
        shutil.rmtree(folder)


def _run_once(folder: Path) -> None:
    shutil.copytree(_served_once(), folder / "root", symlinks=True)


def _committed_twice(folder: Path) -> list[str]:
    """Returns the nodes that were executed again although the same execution was on record, whole."""
    lines = read_ledger(_root(folder).ledger).lines
    keys = {line.sequence: (line.node, line.details["key"]) for line in lines if line.event == Event.INTENT}
    done = Counter(keys[line.details["intent"]] for line in lines if line.event == Event.COMMIT)
    return [f"executed {times} times: {node} {key[:12]}" for (node, key), times in done.items() if times > 1]


RUN: Final = "run"

SCENARIOS: Final = {
    RUN: Scenario(
        prepare=_run_once,
        command=_on(*_trained(2)),
        done=lambda folder: _served(folder) == [1, 2] and _events(folder).count(Event.PUSHED) == 2,
        wasted=_committed_twice,
    ),
    "rollback": Scenario(
        prepare=_audited,
        command=_on("serving", "rollback", 1),
        done=lambda folder: _served(folder) == [1, 2, 3] and _events(folder).count(Event.PUSHED) == 3,
        again=(0, 2),  # before its run is on record, and after it
    ),
    "prune": Scenario(
        prepare=_rolled_back_twice,
        command=_on("serving", "prune", "--keep", 1),
        done=lambda folder: _served(folder) == [4],
    ),
    "gc": Scenario(
        prepare=_pruned,
        command=_on("lineage", "gc", "--keep-runs", 1),
        done=lambda folder: (
            not (_root(folder).artifacts / "Stray/model/1").exists()
            and not (_root(folder).artifacts / "Classifier/model/run-1").exists()
        ),
    ),
    "repair": Scenario(
        prepare=_unrecorded,
        command=_on("lineage", "repair"),
        done=lambda folder: (
            _events(folder).count(Event.PUSHED) == 3 and not read_ledger(_root(folder).ledger).unsettled()
        ),
    ),
    "promote": Scenario(
        prepare=_with_key,
        command=lambda folder: (
            *("serving", "promote", 3, "--by", "Ada", "--reason", "error below 3 %"),
            *("--key", folder / "keys" / "private.pem", "--root", folder / "root"),
        ),
        done=lambda folder: _served(folder) == [1, 2, 3] and _events(folder).count(Event.PROMOTED) == 1,
        again=(2,),
    ),
    "approve": Scenario(
        prepare=_drafted,
        command=lambda folder: (
            *("schema", "approve", folder / "drafts" / f"{GEOMETRY}.pbtxt", "--by", "Ada"),
            *("--schema", folder / "schemas"),
        ),
        done=_in_force,
        again=(0, 2),
    ),
    "keys": Scenario(
        prepare=_with_key,
        command=lambda folder: ("keys", "revoke", folder / "keys/public.pem", "--by", "Ops", "--root", folder / "root"),
        done=lambda folder: all(
            key.ended is not None for key in read_approvals(read_ledger(_root(folder).ledger)).keys
        ),
        again=(3,),
    ),
    "rebuild": Scenario(
        prepare=_lost_store,
        command=_on("lineage", "rebuild"),
        # A kill can come between the old store's removal and the new one's arrival.
        done=lambda folder: _root(folder).metadata.is_file() and _root(folder).metadata.read_bytes()[:6] == b"SQLite",
        again=(3,),
    ),
    "backup": Scenario(
        prepare=_audited,
        command=lambda folder: ("root", "backup", folder / "copy", "--root", folder / "root"),
        done=lambda folder: (folder / "copy" / "ledger.jsonl").is_file(),
        again=(2,),
        roots=("root", "copy"),
    ),
    "restore": Scenario(
        prepare=_backed_up,
        command=lambda folder: ("root", "restore", folder / "copy", "--root", folder / "root"),
        done=lambda folder: (folder / "root" / "ledger.jsonl").is_file(),
        again=(2,),
    ),
}
