"""Reproduction of a served version: the same recipe, code and data in a fresh root, and how close the model comes.

The bytes of a SavedModel are not stable, its tensors are: where both trainings were deterministic and nothing had to be
taken from elsewhere, every one of them has to come out bit for bit. Otherwise the metrics have to agree within
`TOLERANCES`, and what could not be pinned is said.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem, MnistTfxError, Refused
from pipeline.config.pipeline_config import Reuse
from pipeline.config.request import Request
from pipeline.lineage.diff import diff
from pipeline.lineage.diff.diff import Section, VersionDiff
from pipeline.lineage.diff.facts import BASELINE
from pipeline.lineage.diff.tensors import Tensor, differing, tensors
from pipeline.lineage.versions import RecordedVersion, recorded, trained
from pipeline.process import scratch
from pipeline.process.signals import Interrupted
from pipeline.provenance import records
from pipeline.provenance.git import PROJECT
from pipeline.runner import local
from pipeline.runner.progress import RunView
from pipeline.runner.reproduce import checkout, recorded_inputs

RECONSTRUCTION_MSE: Final = "reconstruction_mse"
TOLERANCES: Final[Mapping[str, tuple[float, float]]] = {
    "accuracy": (0.0, 0.01),
    "loss": (0.25, 0.01),
    RECONSTRUCTION_MSE: (0.15, 0.0),
}
"""{metric: (relative, absolute)}: how far trainings that differ in the last bits of every step may end apart."""

BITS, TOLERANCE, NOT, CANNOT_TELL = "bit for bit", "within tolerance", "not reproduced", "cannot tell"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One metric, as recorded and as it came out; None if it is not known."""

    name: str
    recorded: float | None
    found: float | None

    @property
    def is_known(self) -> bool:
        """Return whether both are known, so that they can be compared."""
        return self.recorded is not None and self.found is not None

    @property
    def equal(self) -> bool:
        """Return whether it is the same, but for the order in which terms were summed."""
        return self._close(diff.SAME_FIGURE, 0.0)

    @property
    def within_tolerance(self) -> bool:
        """Return whether it is within its tolerance."""
        return self._close(*TOLERANCES[self.name])

    def _close(self, relative: float, absolute: float) -> bool:
        if self.recorded is None or self.found is None:
            return False
        return math.isclose(self.recorded, self.found, rel_tol=relative, abs_tol=absolute)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reproduction:
    """How a version came out when it was run again.

    Attributes:
      version: the version as it is recorded.
      root: of the new run; None if it was a temporary one.
      tensors: names of all tensors of either model; None if one of the two is gone.
      differing: names of those that are not the same.
      metrics: of the whole test split, without that of reconstructions where the version has no autoencoder.
      unpinned: what is not as recorded and may change the model, section by section.
      deterministic: whether both trainings were set to be.
      findings: what speaks against the version itself, such as served bytes that are not those recorded.
      notes: what was taken from elsewhere, or cannot be known.
    """

    version: RecordedVersion
    root: Path | None
    tensors: tuple[str, ...] | None
    differing: tuple[str, ...]
    metrics: tuple[Figure, ...]
    unpinned: tuple[Section, ...]
    deterministic: bool
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bits_promised(self) -> bool:
        """Return whether nothing but the machine's own processor could make a difference."""
        return self.deterministic and not self.unpinned

    @property
    def verdict(self) -> str:
        """`bit for bit`, `within tolerance`, `not reproduced`, or `cannot tell` where too little is left to compare."""
        known = [figure for figure in self.metrics if figure.is_known]
        if self.findings or not all(figure.within_tolerance for figure in known):
            return NOT
        if self.tensors and not self.differing:
            return BITS
        if self.bits_promised and self.tensors is not None:
            return NOT
        return TOLERANCE if len(known) == len(self.metrics) else CANNOT_TELL

    @property
    def reproduced(self) -> bool:
        """Return whether it came out as it had to."""
        return self.verdict in (BITS, TOLERANCE)

    @property
    def unknown(self) -> str | None:
        """What there is nothing left to compare with, in words; None if the verdict does not need it."""
        if self.verdict != CANNOT_TELL:
            return None
        gone = [figure.name for figure in self.metrics if figure.recorded is None]
        missing = [figure.name for figure in self.metrics if figure.recorded is not None and not figure.is_known]
        told = [f"{', '.join(gone)} of the version are not on record any more"] if gone else []
        told += [f"{', '.join(missing)} of the new run are not there"] if missing else []
        return "; ".join(told)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "version": self.version.version,
            "sha256": self.version.sha256,
            "root": None if self.root is None else str(self.root),
            "verdict": self.verdict,
            "bits_promised": self.bits_promised,
            "deterministic": self.deterministic,
            "tensors": None if self.tensors is None else len(self.tensors),
            "differing_tensors": list(self.differing),
            "metrics": [
                {**dataclasses.asdict(figure), "equal": figure.equal, "within_tolerance": figure.within_tolerance}
                for figure in self.metrics
            ],
            "unpinned": [section.to_dict() for section in self.unpinned],
            "findings": list(self.findings),
            "notes": list(self.notes),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to run again.

    Attributes:
      to: the fresh root; None takes a temporary one, which is removed afterwards.
      data: the data files, where the root's copies are gone.
      at_commit: whether to run the code of the recorded commit.
    """

    to: Path | None = None
    data: tuple[Path, ...] = ()
    at_commit: bool = False


def reproduce(root: Path, version: int, options: Options, view: RunView) -> Reproduction:
    """Run a version again and compares.

    Raises:
      BadInput: if there is no such version, the data given is unusable, the fresh root is not empty, or the recorded
        code was never committed.
      EnvironmentProblem: if a record, a copy of the data or the recorded commit is gone, or the run failed.
    """
    wanted = recorded(root, version)
    with _working(options.to) as (work, fresh):
        prepared = recorded_inputs.prepare(wanted, work, options.data)
        request = dataclasses.replace(prepared.request, root=fresh)
        metrics, refusal = _run(wanted, request, work, options, view)
        found = trained(fresh, metrics)
        done = _compared(wanted, found, metrics, refusal)
    kept = None if options.to is None else fresh
    return dataclasses.replace(done, root=kept, notes=prepared.notes + done.notes)


@contextlib.contextmanager
def _working(to: Path | None) -> Iterator[tuple[Path, Path]]:
    """Give a temporary folder, and the fresh root in it or where it was asked for."""
    if to is not None and to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise BadInput("not an empty folder", where=to, hint="name one that is not there yet with --to")
    with scratch.folder() as folder:
        yield folder, folder / "root" if to is None else to.absolute()


def _run(
    wanted: RecordedVersion, request: Request, work: Path, options: Options, view: RunView
) -> tuple[Mapping[str, Any], str | None]:
    """Run, and return the metrics, and what refused the model, if anything did: that is a result as well."""
    if options.at_commit:
        code = checkout.extracted(wanted, work / "code")
        answer = checkout.run(code, checkout.commit_of(wanted), request)
        error, data = _error(answer), answer["data"]
    else:
        _warn_of_other_code(wanted, view)
        finished = local.run(request, Reuse(), view)
        error, data = finished.outcome.error, finished.to_dict()
    if data is not None and (error is None or isinstance(error, Refused)):
        return data["metrics"], None if error is None else str(error)
    if isinstance(error, MnistTfxError) and options.to is None:
        error.hint = "with --to DIR the log is kept"
    raise error or EnvironmentProblem("the run gave no answer")


def _error(answer: Mapping[str, Any]) -> MnistTfxError | Interrupted | None:
    """Return what the answer of a recorded commit says, whose statuses may be those of an older release."""
    if answer["status"] == "ok":
        return None
    if answer["status"] == "interrupted":
        return Interrupted(signal.SIGINT)
    kind = Refused if answer["status"] == "refused" else EnvironmentProblem
    parts = ("what", "where", "wanted", "got", "hint")
    return kind(**{name: answer["error"].get(name) for name in parts})


def _warn_of_other_code(wanted: RecordedVersion, view: RunView) -> None:
    other = checkout.other_files(wanted, PROJECT)
    if other:
        named = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        view.say(f"warning: the code is not what was recorded: {named}")
        if checkout.is_available(wanted):
            view.say(f"  --checkout runs that of commit {checkout.commit_of(wanted)[:12]}")


def _compared(
    wanted: RecordedVersion, found: RecordedVersion | None, metrics: Mapping[str, Any], refusal: str | None
) -> Reproduction:
    changes = None if found is None else diff.compare(wanted, found)
    old, new = _tensors(wanted), _tensors(found)
    both = old is not None and new is not None
    return Reproduction(
        version=wanted,
        root=None,
        tensors=tuple(sorted({**(old or {}), **(new or {})})) if both else None,
        differing=differing(old or {}, new or {}) if both else (),
        metrics=_figures(wanted, metrics),
        unpinned=() if changes is None else tuple(section for section in changes.sections if section.is_cause),
        deterministic=diff.is_deterministic(wanted.executions),
        findings=_findings(wanted, refusal),
        notes=() if changes is None else tuple(_notes(changes, both=both)),
    )


def _tensors(version: RecordedVersion | None) -> dict[str, Tensor] | None:
    return None if version is None or version.model_folder is None else tensors(version.model_folder)


def _figures(wanted: RecordedVersion, found: Mapping[str, Any] | None) -> tuple[Figure, ...]:
    sides = diff.measured(wanted) or {}, found or {}
    reconstructs = records.has_autoencoder(wanted.executions)
    names = [name for name in TOLERANCES if reconstructs or name != RECONSTRUCTION_MSE]
    return tuple(Figure(name=name, recorded=sides[0].get(name), found=sides[1].get(name)) for name in names)


def _findings(wanted: RecordedVersion, refusal: str | None) -> tuple[str, ...]:
    found = []
    folder = wanted.model_folder
    if folder is not None and (got := tree_digest(folder)) != wanted.sha256:
        shown = os.path.relpath(folder, wanted.root)
        found.append(f"{shown}: not the bytes that were recorded: wanted {wanted.sha256}, got {got}")
    if refusal is not None:
        found.append(f"the run ended with a refusal: {refusal}")
    return tuple(found)


def _notes(changes: VersionDiff, *, both: bool) -> Iterator[str]:
    yield from changes.unknown_causes
    if not both:
        yield "the model is gone, so there are no tensors to compare with"
    if any(section.kind == BASELINE for section in changes.sections):
        yield "its baseline was another one: that decides whether a model is served, not what it is"
    if changes.weights and changes.weights[1]:
        yield "the records do not name the processor, and bits are promised on the same one only"
