"""Terminal output of a comparison of two versions; nothing in it is parsed as markup."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from pipeline.lineage.diff import words
from pipeline.lineage.diff.diff import Section, VersionDiff


def diff_lines(found: VersionDiff) -> list[Text]:
    """Return the verdict, every section, what came of it and what could not be told."""
    before, after = found.before, found.after
    heading = Text.assemble((f"version {before.version} -> {after.version}  ", "bold"), (found.verdict, "bold green"))
    sections = [line for section in found.sections for line in section_lines(section)]
    return [
        heading,
        _models(found),
        *(Text(choice, "dim") for choice in words.choices(found)),
        *sections,
        *(Text(f"\ncannot tell {what}", "yellow") for what in found.unknown),
    ]


def section_lines(section: Section) -> list[Text]:
    """Return a section's heading and a line for each change in it."""
    note = words.note(section)
    heading = Text.assemble(("\n" + section.kind, "bold"), (f" ({section.count}){'  ' if note else ''}{note}", "dim"))
    return [heading, *_aligned(words.lines(section)), *_code_lines(section)]


def _code_lines(section: Section) -> Iterator[Text]:
    """Yield the changed lines of the user's own files."""
    for change in section.changes:
        if change.lines:
            yield Text(f"\n  {change.key}", "bold")
        for line in change.lines:
            yield Text(f"    {line}", {"+": "green", "-": "red", "@": "dim"}.get(line[:1], ""))


def _aligned(lines: list[words.Cells]) -> Iterator[Text]:
    """Yield lines whose cells start in the same columns."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for cells in lines:
        yield Text("  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _models(found: VersionDiff) -> Text:
    before, after = words.models(found)
    text = Text.assemble("served  ", (before, "cyan"), " -> ", (after, "cyan"))
    weights = words.weights(found)
    return text.append(f"  {weights}") if weights else text
