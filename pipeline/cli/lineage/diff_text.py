"""Terminal output of a comparison of two versions; nothing in it is parsed as markup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich.text import Text

from pipeline.lineage.diff.diff import METRICS, Change, Section, VersionDiff
from pipeline.lineage.diff.facts import CODE, FILES, SCHEMA
from pipeline.lineage.diff.row_changes import RowChange, SplitChange

DIGEST_SHOWN: Final = 12
OVERALL: Final = ("accuracy", "loss", "reconstruction_mse", "rows")
"""Figures of the whole test split; those of single classes are counted only."""


def diff_lines(found: VersionDiff) -> list[Text]:
    """Return the verdict, every section, what came of it and what could not be told."""
    before, after = found.before, found.after
    heading = Text.assemble((f"version {before.version} -> {after.version}  ", "bold"), (found.verdict, "bold green"))
    sections = [line for section in found.sections for line in section_lines(section)]
    choices = [
        Text(f"version {side.version} was {side.choice.sentence}", "dim") for side in (before, after) if side.choice
    ]
    return [
        heading,
        _models(found),
        *choices,
        *sections,
        *(Text(f"\ncannot tell {what}", "yellow") for what in found.unknown),
    ]


def section_lines(section: Section) -> list[Text]:
    """Return a section's heading and a line for each change in it."""
    of_model = section.is_cause or section.kind == METRICS
    note = "" if of_model else "  the served bytes do not depend on it"
    heading = Text.assemble(("\n" + section.kind, "bold"), (f" ({section.count}){note}", "dim"))
    return [heading, *_aligned([*_row_lines(section), *_change_lines(section)]), *_code_lines(section)]


def _code_lines(section: Section) -> Iterator[Text]:
    """Yield the changed lines of the user's own files."""
    for change in section.changes:
        if change.lines:
            yield Text(f"\n  {change.key}", "bold")
        for line in change.lines:
            yield Text(f"    {line}", {"+": "green", "-": "red", "@": "dim"}.get(line[:1], ""))


def _aligned(lines: list[tuple[str, ...]]) -> Iterator[Text]:
    """Yield lines whose cells start in the same columns."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for cells in lines:
        yield Text("  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _models(found: VersionDiff) -> Text:
    before, after = found.before.sha256[:DIGEST_SHOWN], found.after.sha256[:DIGEST_SHOWN]
    text = Text.assemble("served  ", (before, "cyan"), " -> ", (after, "cyan"))
    if found.weights is not None:
        tensors, differing = found.weights
        text.append(f"  {differing} of {tensors} tensors differ")
    return text


def _change_lines(section: Section) -> Iterator[tuple[str, ...]]:
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


def _row_lines(section: Section) -> Iterator[tuple[str, ...]]:
    for split in section.rows:
        counts = split.counts or {}
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        yield split.split, f"{split.before} -> {split.after} rows", told
        yield from (("", kind, _row(row)) for kind, rows in split.first.items() for row in rows)
        yield from _rest(split)


def _rest(split: SplitChange) -> Iterator[tuple[str, ...]]:
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
    is_digest = kind in (CODE, FILES, SCHEMA, "lock", "baseline", "git") and len(str(value)) >= 40
    return str(value)[:DIGEST_SHOWN] if is_digest else str(value)
