"""A comparison of two versions in words: what the terminal and the page of a version print, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pipeline.lineage.diff.diff import METRICS, Change, Section, VersionDiff
from pipeline.lineage.diff.facts import BASELINE, CODE, FILES, GIT, LOCK, SCHEMA
from pipeline.lineage.diff.row_changes import RowChange, SplitChange

DIGEST_SHOWN: Final = 12
OVERALL: Final = ("accuracy", "loss", "reconstruction_mse", "rows")
"""Figures of the whole test split; those of single classes are counted only."""

NOT_A_CAUSE: Final = "the served bytes do not depend on it"
DIGESTS: Final = (CODE, FILES, SCHEMA, LOCK, BASELINE, GIT)

Cells = tuple[str, str, str]


def note(section: Section) -> str:
    """Return what is to be said of a whole section; empty where its changes are those of the model."""
    return "" if section.is_cause or section.kind == METRICS else NOT_A_CAUSE


def lines(section: Section) -> list[Cells]:
    """Return a line for each change: what, from what to what, and where."""
    return [*_row_lines(section), *_change_lines(section)]


def models(found: VersionDiff) -> tuple[str, str]:
    """Return the digests of both models, cut to readable length."""
    return found.before.sha256[:DIGEST_SHOWN], found.after.sha256[:DIGEST_SHOWN]


def weights(found: VersionDiff) -> str:
    """Return how many tensors differ; empty where a model is gone."""
    return "" if found.weights is None else f"{found.weights[1]} of {found.weights[0]} tensors differ"


def choices(found: VersionDiff) -> list[str]:
    """Return what the versions were chosen from, of those that came out of a sweep."""
    sides = found.before, found.after
    return [f"version {side.version} was {side.choice.sentence}" for side in sides if side.choice]


def _change_lines(section: Section) -> Iterator[Cells]:
    per_class = [change for change in section.changes if section.kind == METRICS and change.key not in OVERALL]
    for change in section.changes:
        if change not in per_class:
            values = f"{_value(section.kind, change.old)} -> {_value(section.kind, change.new)}"
            yield change.key, values, _nodes(change) if section.is_cause else ""
    if per_class:
        yield f"and {len(per_class)} figures of single classes", "", ""


def _nodes(change: Change) -> str:
    few = ", ".join(change.nodes) if len(change.nodes) < 3 else f"{len(change.nodes)} nodes"
    return few if change.reaches_model else f"{few}, after the model"


def _row_lines(section: Section) -> Iterator[Cells]:
    for split in section.rows:
        counts = ", ".join(f"{count} {kind}" for kind, count in (split.counts or {}).items() if count)
        yield split.split, f"{split.before} -> {split.after} rows", counts
        yield from (("", kind, _row(row)) for kind, rows in split.first.items() for row in rows)
        yield from _rest(split)


def _rest(split: SplitChange) -> Iterator[Cells]:
    for kind, rows in split.first.items():
        left = (split.counts or {}).get(kind, 0) - len(rows)
        if left:
            yield "", kind, f"and {left} more"


def _row(row: RowChange) -> str:
    where = "" if row.split is None else f" to {row.split}"
    label = row.label if row.new_label is None else f"{row.label} -> {row.new_label}"
    return f"{row.row[:DIGEST_SHOWN]}  label {label}{where}"


def _value(kind: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float) and kind == METRICS:
        return f"{value:.4f}"
    return str(value)[:DIGEST_SHOWN] if kind in DIGESTS and len(str(value)) >= 40 else str(value)
