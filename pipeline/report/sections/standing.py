"""Where a run stands: what changed since the version before, whether its bytes are what the records say, and what to do next."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator

from components.errors import MnistTfxError, shortened
from pipeline.audit.findings import Finding
from pipeline.lineage.history import HistoryReader
from pipeline.provenance.choice import part_of
from pipeline.report.run_data import RunData


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """A verdict of the audit, and its first finding in words."""

    name: str
    state: str
    why: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """Something to do next: why, and the command."""

    why: str
    command: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a run stands.

    Attributes:
      changed: what changed since the version before, in words; empty where there was none.
      part: its part in a sweep, in words; empty if it was a run of its own.
      verdicts: of the audit of its version.
      unaudited: why there are none, if so.
      lineage: address of the page of its lineage, beside the report; empty where there is none.
      steps: what to do next.
    """

    changed: str
    part: str
    verdicts: tuple[Verdict, ...]
    unaudited: str
    lineage: str
    steps: tuple[Step, ...]


def standing(evidence: RunData, lineage: str = "") -> Standing:
    """Return where a run stands.

    Args:
      evidence: what it left.
      lineage: address of the page of its lineage.
    """
    changed, part = _history(evidence)
    verdicts, unaudited = _audited(evidence)
    return Standing(
        changed=changed,
        part=part,
        verdicts=verdicts,
        unaudited=unaudited,
        lineage=lineage,
        steps=tuple(_steps(evidence)),
    )


def _history(evidence: RunData) -> tuple[str, str]:
    try:
        changed = HistoryReader(evidence.paths.root).change(evidence.run.run_id)
    except MnistTfxError as err:
        changed = f"cannot be told: {shortened(err)}"
    return changed, part_of(evidence.run)


def _audited(evidence: RunData) -> tuple[tuple[Verdict, ...], str]:
    """Return the verdicts on the version that the run ended with, or why there are none."""
    try:
        audit = evidence.audit
    except MnistTfxError as err:
        return (), shortened(err)
    if audit is None:
        return (), "no version came of this run"
    return tuple(
        Verdict(name=name, state=state, why=_why(audit.first(name))) for name, state in audit.verdicts.items()
    ), ""


def _why(finding: Finding | None) -> str:
    return "" if finding is None else shortened(str(finding).removeprefix(f"{finding.verdict} {finding.level} "))


def _steps(evidence: RunData) -> Iterator[Step]:
    root, run = shlex.quote(str(evidence.paths.root)), evidence.run
    for command in (run.error or {}).get("commands") or ():
        line, _, why = str(command).partition(" # ")
        yield Step(why=why or "go on", command=line)
    if run.error is not None:
        return
    if run.version is None:
        yield Step(why="all runs", command=f"mnist-tfx runs list --root {root}")
        return
    yield Step(why="try it", command=f"mnist-tfx predict photo.png --root {root}")
    yield Step(why="serve it", command=f"mnist-tfx serve --root {root}")
    yield Step(why="where it came from", command=f"mnist-tfx lineage show {run.version} --root {root}")
    yield Step(why="check it again", command=f"mnist-tfx lineage audit {run.version} --root {root}")
    yield Step(why="for an auditor", command=f"mnist-tfx lineage evidence {run.version} --root {root} -o evidence.html")
