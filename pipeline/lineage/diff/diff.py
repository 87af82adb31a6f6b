"""The difference between two served versions: causes, the smallest set first, then what came of them.

Everything is read from records, and of the data from the row indexes beside the examples. What is gone is named under
`unknown`; nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import EnvironmentProblem, Problems
from pipeline.lineage.diff.facts import (
    BASELINE,
    CODE,
    ENVIRONMENT,
    FILES,
    GIT,
    LOCK,
    SCHEMA,
    SETTINGS,
    Facts,
    facts,
)
from pipeline.lineage.diff.own_lines import own_lines
from pipeline.lineage.diff.row_changes import Ingest, SplitChange, row_changes, total
from pipeline.lineage.diff.tensors import Tensor, differing, tensors
from pipeline.lineage.versions import RecordedVersion, recorded
from pipeline.provenance import parameters
from pipeline.provenance.own_code import own_digests
from pipeline.provenance.records import DATA, ExecutionRecord
from pipeline.stages import EVALUATOR, INGEST

ROWS, NODES, METRICS = "data", "nodes", "metrics"
CAUSES: Final = (ROWS, SCHEMA, CODE, SETTINGS, ENVIRONMENT, LOCK, NODES)
"""What can make a model another one. Equal rows give equal bytes in whatever files they come, and a commit without
other code is a name: `files`, `git` and `baseline` are listed, but are no causes."""

SAME_FIGURE: Final = 1e-9
"""Relative difference below which a metric is the same: sums of equal terms differ that much by their order."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One fact that is not the same.

    Attributes:
      key: its name, such as `classifier.seed` or `components/digest.py`.
      old: before, None if it was not there.
      new: after, None if it is no longer there.
      nodes: those whose execution it is a fact of.
      reaches_model: whether the served bytes can depend on it; an Evaluator's setting decides about them only.
      lines: of a file of the user's own code, those that changed.
    """

    key: str
    old: Any
    new: Any
    nodes: tuple[str, ...] = ()
    reaches_model: bool = True
    lines: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """The changes of one kind.

    Attributes:
      kind: such as `settings`.
      changes: in the order of keys.
      rows: of the kind `data`, split by split.
    """

    kind: str
    changes: tuple[Change, ...] = ()
    rows: tuple[SplitChange, ...] = ()

    @property
    def count(self) -> int:
        """How many facts or rows changed."""
        return len(self.changes) + total(self.rows)

    @property
    def causes(self) -> int:
        """How many of them the served bytes can depend on."""
        reaching = sum(change.reaches_model for change in self.changes)
        return reaching + total(self.rows) if self.kind in CAUSES else 0

    @property
    def is_cause(self) -> bool:
        """Whether the served bytes can depend on one of them."""
        return self.causes > 0

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**dataclasses.asdict(self), "count": self.count, "is_cause": self.is_cause}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VersionDiff:
    """What changed between two versions.

    Attributes:
      before: the one.
      after: the other.
      sections: causes first and among them the smallest first, then what is no cause, then metrics.
      weights: how many tensors there are and how many of them differ; None if a model is gone.
      unknown_causes: what could not be found out about causes, in words.
      unknown_results: what could not be found out about weights and metrics, in words.
    """

    before: RecordedVersion
    after: RecordedVersion
    sections: tuple[Section, ...]
    weights: tuple[int, int] | None
    unknown_causes: tuple[str, ...] = ()
    unknown_results: tuple[str, ...] = ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """What could not be found out, in words."""
        return self.unknown_causes + self.unknown_results

    @property
    def same_bytes(self) -> bool:
        """Whether both serve the same model."""
        return self.before.sha256 == self.after.sha256

    @property
    def verdict(self) -> str:
        """What changed, in a few words."""
        causes = [section for section in self.sections if section.is_cause]
        named = ", ".join(f"{section.kind} ({section.causes})" for section in causes)
        if self.same_bytes:
            return "nothing: the same bytes" + (f", though {named} changed" if causes else "")
        if not causes:
            return self._without_cause()
        what = "nothing but the seed" if _is_seed_alone(causes) and not self.unknown_causes else named
        return what + (", and the weights are the same" if self.weights is not None and not self.weights[1] else "")

    @property
    def is_open(self) -> bool:
        """Whether something changed the model and what there is to read does not say what."""
        return not self.same_bytes and bool(self.unknown_causes) and not any(one.is_cause for one in self.sections)

    def _without_cause(self) -> str:
        if self.is_open:
            return "nothing that can still be told"
        reproducible = all(is_deterministic(version.executions) for version in (self.before, self.after))
        return "nothing that is recorded" + ("" if reproducible else ": training was not set to be deterministic")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        sides = {
            name: {
                "version": side.version,
                "sha256": side.sha256,
                "run_id": side.run_id,
                "choice": None if side.choice is None else side.choice.to_dict(),
            }
            for name, side in (("before", self.before), ("after", self.after))
        }
        fields = {
            "verdict": self.verdict,
            "same_bytes": self.same_bytes,
            **sides,
            "sections": [section.to_dict() for section in self.sections],
            "weights": None if self.weights is None else dict(zip(("tensors", "differing"), self.weights, strict=True)),
            "unknown": self.unknown,
        }
        plain: dict[str, Any] = json.loads(json.dumps(fields))  # lists where the fields are tuples
        return plain


def diff(root: Path, before: int, after: int) -> VersionDiff:
    """Compare two served versions of a root.

    Raises:
      BadInput: if there is no such version.
      RecordMissing: if a record behind one of them is gone.
      EnvironmentProblem: if provenance, a record or the ledger cannot be read.
    """
    problems = Problems()
    both: list[RecordedVersion] = []
    for version in (before, after):
        with problems.noted():
            both.append(recorded(root, version))
    problems.raise_any()
    return compare(*both)


def causes(before: RecordedVersion, after: RecordedVersion) -> VersionDiff:
    """Compare what two versions were made from, and nothing that came of it: neither metrics nor weights are read."""
    return _diff(before, after, ((), ()), (None, ()))


def compare(before: RecordedVersion, after: RecordedVersion) -> VersionDiff:
    """Compare what is recorded about two versions; of the data, what is left of it is read."""
    return _diff(before, after, _metrics(before, after), _weights(before, after))


def _diff(
    before: RecordedVersion,
    after: RecordedVersion,
    metrics: tuple[Iterable[Change], tuple[str, ...]],
    weights: tuple[tuple[int, int] | None, tuple[str, ...]],
) -> VersionDiff:
    upstream = after.model_nodes
    old, new = facts(before.executions), facts(after.executions)
    changes = [change for kind in old.keys() | new.keys() for change in _changed(kind, old, new, upstream)]
    changes = [(kind, _with_lines(kind, change, before, after)) for kind, change in changes]
    changes += [(NODES, change) for change in _other_nodes(before.executions, after.executions, upstream)]
    rows, unknown = _rows(before, after)
    changes += [(METRICS, change) for change in metrics[0]]
    sections = [
        Section(kind=kind, changes=_sort_changes(kind, changes), rows=rows if kind == ROWS else ())
        for kind in (*CAUSES, FILES, GIT, BASELINE, METRICS)
    ]
    return VersionDiff(
        before=before,
        after=after,
        sections=tuple(sorted((section for section in sections if section.count), key=_rank)),
        weights=weights[0],
        unknown_causes=unknown,
        unknown_results=metrics[1] + weights[1],
    )


def _with_lines(kind: str, change: Change, before: RecordedVersion, after: RecordedVersion) -> Change:
    if kind != CODE or not own_digests({change.key: ""}):
        return change
    return dataclasses.replace(change, lines=own_lines(change.key, before, after))


def _rank(section: Section) -> tuple[bool, bool, int]:
    """Order causes before the rest and the smallest first; metrics are what came of it all."""
    return section.kind == METRICS, not section.is_cause, section.causes or section.count


def _sort_changes(kind: str, changes: Iterable[tuple[str, Change]]) -> tuple[Change, ...]:
    return tuple(
        sorted((change for of, change in changes if of == kind), key=lambda change: (change.key, change.nodes))
    )


def _changed(kind: tuple[str, str], old: Facts, new: Facts, upstream: frozenset[str]) -> Iterator[tuple[str, Change]]:
    """Yield a fact's changes: nodes in which it changed alike are one change."""
    before, after = old.get(kind, {}), new.get(kind, {})
    groups: dict[str, tuple[Any, Any, list[str]]] = {}
    for node in sorted(before.keys() | after.keys()):
        pair = before.get(node), after.get(node)
        if pair[0] != pair[1]:
            groups.setdefault(json.dumps(pair, sort_keys=True), (*pair, []))[2].append(node)
    for was, is_now, nodes in groups.values():
        yield (
            kind[0],
            Change(key=kind[1], old=was, new=is_now, nodes=tuple(nodes), reaches_model=not upstream.isdisjoint(nodes)),
        )


def _other_nodes(
    before: Mapping[str, ExecutionRecord], after: Mapping[str, ExecutionRecord], upstream: frozenset[str]
) -> Iterator[Change]:
    for node in sorted(before.keys() ^ after.keys()):
        sides = ["executed" if node in side else None for side in (before, after)]
        yield Change(key=node, old=sides[0], new=sides[1], nodes=(node,), reaches_model=node in upstream)


def index_files(before: RecordedVersion, after: RecordedVersion) -> Iterator[Path]:
    """Yield the files that are read to find which rows changed: none where the recorded digests are equal."""
    sides = [_ingest(side) for side in (before, after) if INGEST in side.executions]
    if len(sides) == 2 and sides[0].digests() != sides[1].digests():
        yield from (path for side in sides for path in side.index_files())


def _ingest(side: RecordedVersion) -> Ingest:
    return Ingest(name=side.name, root=side.root, record=side.executions[INGEST])


def _rows(before: RecordedVersion, after: RecordedVersion) -> tuple[tuple[SplitChange, ...], tuple[str, ...]]:
    sides = [_ingest(side) for side in (before, after) if INGEST in side.executions]
    if len(sides) < 2 or not all(side.digests() for side in sides):
        return (), ("rows of the data: an ingest without row digests, or none",)
    if sides[0].record.extra[DATA].get("rows_digest") == sides[1].record.extra[DATA].get("rows_digest"):
        # The same rows can still be split otherwise.
        return row_changes(*sides) if sides[0].digests() != sides[1].digests() else ((), ())
    return row_changes(*sides)


def _metrics(before: RecordedVersion, after: RecordedVersion) -> tuple[list[Change], tuple[str, ...]]:
    sides = [measured(version) for version in (before, after)]
    lacking = tuple(
        f"metrics of {version.name}: neither its run's record nor its evaluation is there"
        for version, metrics in zip((before, after), sides, strict=True)
        if metrics is None
    )
    if lacking:
        return [], lacking
    old, new = (_figures(side or {}) for side in sides)
    keys = sorted(old.keys() | new.keys())
    return [
        Change(key=key, old=old.get(key), new=new.get(key), nodes=(EVALUATOR,), reaches_model=False)
        for key in keys
        if not _same_figure(old.get(key), new.get(key))
    ], ()


def _weights(before: RecordedVersion, after: RecordedVersion) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    try:
        old, new = (_tensors(version) for version in (before, after))
    except EnvironmentProblem as err:
        return None, (f"weights: {err}",)
    return (len(old.keys() | new.keys()), len(differing(old, new))), ()


def _tensors(version: RecordedVersion) -> dict[str, Tensor]:
    if version.model_folder is None:
        raise EnvironmentProblem("its model is gone", where=version.name)
    return tensors(version.model_folder)


def measured(version: RecordedVersion) -> Mapping[str, Any] | None:
    """Return a version's metrics from the record of its run, or from the evaluation itself; None if both are gone."""
    if version.metrics is not None or EVALUATOR not in version.executions:
        return version.metrics
    from components.evaluation.results import read_metrics

    evaluation = version.executions[EVALUATOR].outputs["evaluation"][0]
    try:
        return read_metrics(version.root / evaluation.path)
    except EnvironmentProblem:
        return None


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the candidate's own figures: what is beside them is its baseline's, or follows from them."""
    own = {key: value for key, value in metrics.items() if key not in ("baseline", "confusion_matrix")}
    return parameters.flatten_keys(own)


def _same_figure(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=SAME_FIGURE)
    return bool(old == new)


def _is_seed_alone(causes: Iterable[Section]) -> bool:
    return all(
        section.kind == SETTINGS
        and all(change.key.endswith(".seed") for change in section.changes if change.reaches_model)
        for section in causes
    )


def is_deterministic(executions: Mapping[str, ExecutionRecord]) -> bool:
    """Whether every training was set to give the same bits again."""
    recipe = parameters.recipe_of(executions)
    trainings = [recipe.get(part, {}) for part in ("autoencoder", "classifier")]
    return all(training.get("deterministic", False) for training in trainings if training is not None)
