"""Tree of the lineage of a served version, drawn for the terminal from the version down to its data files.

Each node stands once, with digest, time and state in columns, below the reader that is nearest to the version; the
others that read it name it in one short line. Nothing is parsed as markup, so a file name stays text.
"""

from __future__ import annotations

import dataclasses
import functools
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from components.errors import printable
from pipeline.lineage.export.cards import SHORT
from pipeline.lineage.export.layout import ranks
from pipeline.lineage.show import IMPORTED, ServedLineage
from pipeline.provenance.ancestry import DATA, EXECUTION, Edge, Graph, Node
from pipeline.provenance.records import has_autoencoder, moment

LEVELS: Final = 8
"""A path deeper than this goes on as a tree of its own: each level indents by two columns, and 80 have to do."""

COLUMNS: Final = 2 + SHORT + 2 + len("2026-11-20 22:46:36") + 2 + len("executed")
"""What digest, time and state take on a line."""

LEAST: Final = 24
"""Columns left to the names on a narrow terminal."""

CANDIDATES: Final = 6
"""Runs of a sweep that are named."""

STATES: Final = {"executed": "green", "cached": "blue"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the tree: a node with its columns, or only a remark."""

    stem: str
    channel: str = ""
    name: str = ""
    columns: tuple[str, ...] = ()
    remark: str = ""

    @property
    def left(self) -> int:
        """Cells that stand before the columns."""
        return cell_len(self.stem + self.channel + self.name)


@dataclasses.dataclass(frozen=True)
class Tree:
    """A lineage and, for each node behind the version, the edge below which it is drawn."""

    lineage: ServedLineage
    owners: Mapping[str, Edge]

    @functools.cached_property
    def branches(self) -> Mapping[str, Sequence[Edge]]:
        """{node id: edges drawn below it}."""
        found: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.owners.values():
            found[edge.target].append(edge)
        return found


def lineage_tree(lineage: ServedLineage, width: int | None = None) -> Text:
    """Return the tree; a path of more than `LEVELS` nodes continues in further trees below it.

    Args:
      lineage: what is drawn.
      width: of the terminal; without one nothing is shortened or broken.
    """
    lines = list(_lines(Tree(lineage, _owners(lineage.graph, lineage.id))))
    widest = max((line.left for line in lines if line.columns), default=0)
    limit = widest if width is None else min(widest, max(LEAST, width - COLUMNS))
    drawn = [row for line in lines for row in _rows(line, limit, width)]
    return Text("\n").join([*_heading(lineage), Text(), *drawn])


def _owners(behind: Graph, start: str) -> dict[str, Edge]:
    """Return {node id: the edge to its reader nearest to `start`}, nearest first, what was made first before the rest."""
    rank = ranks(behind.nodes, ((edge.source, edge.target) for edge in behind.edges))
    owners: dict[str, Edge] = {}
    waiting = [start]
    for node in waiting:  # grows while it is walked
        for edge in sorted(behind.incoming.get(node, ()), key=lambda edge: rank[edge.source]):
            if edge.source not in owners:
                owners[edge.source] = edge
                waiting.append(edge.source)
    return owners


_Step = tuple[Line, str | None, str, int]
"""A line, the node it draws (None for a remark), the stem of what is below it, and its level."""


def _lines(tree: Tree) -> Iterator[Line]:
    starts = [tree.lineage.id]
    for start in starts:  # grows while it is walked
        if start in tree.owners:
            yield Line(stem="", remark="continued from above")
            yield _line(tree, tree.owners[start], "")
        stack = _below(tree, start, "", 1)
        while stack:
            line, node, stem, level = stack.pop()
            deep = node is not None and level >= LEVELS and node in tree.lineage.graph.incoming
            yield line
            if node is not None and deep:
                yield Line(stem=f"{stem}└ ", remark="continued below")
                starts.append(node)
            elif node is not None:
                stack += _below(tree, node, stem, level + 1)


def _below(tree: Tree, node: str, stem: str, level: int) -> list[_Step]:
    """Return the lines below a node, last first."""
    branches, remarks = tree.branches.get(node, ()), _remarks(tree, node)
    count = len(branches) + len(remarks)
    ends = ("├" * (count - 1) + "└")[:count]
    stems = iter([(f"{stem}{end} ", f"{stem}{'│' if end == '├' else ' '} ") for end in ends])
    nodes: list[_Step] = [
        (_line(tree, edge, twig), edge.source, further, level)
        for edge, (twig, further) in zip(branches, stems, strict=False)
    ]
    told: list[_Step] = [
        (Line(stem=twig, remark=remark), None, further, level)
        for remark, (twig, further) in zip(remarks, stems, strict=True)
    ]
    return [*nodes, *told][::-1]


def _remarks(tree: Tree, node: str) -> list[str]:
    """Return what the node was compared with, and what it reads that is drawn elsewhere."""
    nodes, told = tree.lineage.graph.nodes, []
    if "baseline" in nodes[node].properties:
        told.append(f"baseline: {nodes[node].properties['baseline']}")
    if IMPORTED in nodes[node].properties:
        told.append(f"imported from {nodes[node].properties[IMPORTED]}")
    read = [edge for edge in tree.lineage.graph.incoming.get(node, ()) if tree.owners[edge.source] is not edge]
    names = [_reference(nodes[edge.source], edge, tree.owners[edge.source]) for edge in read]
    return [*told, f"also reads {', '.join(dict.fromkeys(names))}"] if names else told


def _reference(node: Node, edge: Edge, owner: Edge) -> str:
    if edge.sha256 != owner.sha256:
        return f"{node.name} ({edge.channel} {edge.sha256[:SHORT]})"
    return node.name if edge.channel == owner.channel else f"{node.name} ({edge.channel})"


def _line(tree: Tree, edge: Edge, stem: str) -> Line:
    node = tree.lineage.graph.nodes[edge.source]
    if node.kind != EXECUTION:
        return Line(stem=stem, name=node.name, columns=(edge.sha256[:SHORT],))
    columns = (edge.sha256[:SHORT], moment(node.time), tree.lineage.state(node))
    return Line(stem=stem, channel=f"{edge.channel}: ", name=node.name, columns=columns)


def _heading(lineage: ServedLineage) -> list[Text]:
    nodes = [node for node in lineage.graph.nodes.values() if node.kind == EXECUTION]
    files = sum(1 for node in lineage.graph.nodes.values() if node.kind == DATA)
    cached = sum(1 for node in nodes if lineage.state(node) == "cached")
    pushed = f"{moment(lineage.graph.nodes[lineage.id].time)} UTC by run {lineage.run_id}"
    parts = [_count(len(nodes), "execution"), f"{cached} of them cached"]
    if has_autoencoder(node.name for node in nodes) is False:
        parts.append("no autoencoder")
    facts = {
        "pushed": pushed if lineage.recorded else "its push is not recorded",
        "baseline": lineage.baseline,
        "made from": f"{_count(files, 'data file')} by {', '.join(parts)}",
    }
    if lineage.removed is not None:
        facts["removed"] = f"{moment(lineage.removed)} UTC; this is what its records tell"
    if lineage.choice is not None:
        facts["sweep"] = lineage.choice.sentence
        ids = lineage.choice.run_ids
        more = [f"{len(ids) - CANDIDATES} more (--json)"] if len(ids) > CANDIDATES else []
        facts["candidates"] = ", ".join([*ids[:CANDIDATES], *more])
    digest = (lineage.sha256[:SHORT], "cyan")
    title = Text.assemble((f"version {lineage.version}", "bold green"), f"  {lineage.path}  ", digest)
    approvals = [("approval", printable(f"of {approval.name} {approval}")) for approval in lineage.approvals]
    return [title, *(Text.assemble("  ", (f"{name:<11}", "dim"), told) for name, told in [*facts.items(), *approvals])]


def _rows(line: Line, limit: int, width: int | None) -> Iterator[Text]:
    """Yield a line's rows: one, but for a remark that is wider than the terminal."""
    if not line.columns:
        room = None if width is None else max(LEAST, width - cell_len(line.stem))
        first, *rest = [line.remark] if room is None else textwrap.wrap(line.remark, room, break_long_words=False)
        stem = line.stem.replace("├", "│").replace("└", " ")
        yield from (Text(text, "dim") for text in (line.stem + first, *(stem + part for part in rest)))
        return
    channel = line.channel if line.left <= limit else ""  # rather than a part of the name
    name = _shortened(line.name, limit - cell_len(line.stem + channel))
    padding = " " * max(0, limit - cell_len(line.stem + channel + name))
    row = Text.assemble((line.stem, "dim"), (channel, "dim"), (name, "bold"), padding)
    digest, *others = line.columns
    row.append("  ").append(digest, "cyan")
    for column in others:
        row.append("  ").append(column, STATES.get(column, ""))
    yield row


def _shortened(name: str, room: int) -> str:
    """Return a name without its middle where it does not fit: names of files differ at both ends."""
    kept, shown = len(name), name
    while cell_len(shown) > room and kept > 1:
        kept -= 1
        shown = f"{name[: (kept + 1) // 2]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - kept // 2 :]}"
    return shown


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
