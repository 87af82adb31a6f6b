"""The lineage of a served version -> a tree for the terminal, from the version down to its data files.

A node that several others read is drawn where it is met first and named elsewhere. Nothing is parsed as markup, so a
file name stays text.
"""

from __future__ import annotations

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from pipeline.lineage import graph
from pipeline.lineage.graph import Edge, Node
from pipeline.lineage.served import ServedLineage

LEVELS = 16
"""A path deeper than this goes on as a tree of its own: each level indents by four columns."""


def lineage_tree(lineage: ServedLineage) -> Group:
    """Returns the tree; a path of more than `LEVELS` nodes continues in further trees below it."""
    trees: list[Tree] = []
    drawn: set[str] = set()
    starts = [lineage.id]
    for start in starts:  # grows while it is walked
        tree = Tree(
            _heading(lineage) if start == lineage.id else _label(lineage, lineage.graph.nodes[start], "continued")
        )
        trees.append(tree)
        starts += _grow(lineage, start, tree, drawn)
    return Group(*trees)


def _grow(lineage: ServedLineage, start: str, tree: Tree, drawn: set[str]) -> list[str]:
    """Adds what lies behind `start` to `tree`; returns the nodes that were too deep to go on from."""
    cut: list[str] = []
    incoming = lineage.graph.incoming
    stack = [(edge, tree, 1) for edge in reversed(incoming.get(start, ()))]
    while stack:
        edge, parent, level = stack.pop()
        node = lineage.graph.nodes[edge.source]
        behind = incoming.get(node.id, ())
        again, deep = bool(behind) and node.id in drawn, bool(behind) and level >= LEVELS
        drawn.add(node.id)
        if again:
            parent.add(Text.assemble(_artifact(node, edge), (" (drawn above)", "dim")))
            continue
        branch = parent.add(_label(lineage, node, "continued below" if deep else "", edge))
        if deep:
            cut.append(node.id)
        else:
            stack += [(further, branch, level + 1) for further in reversed(behind)]
    return cut


def _heading(lineage: ServedLineage) -> Text:
    served = lineage.graph.nodes[lineage.id]
    pushed = f"pushed {_moment(served)}by run {lineage.run_id}" if lineage.recorded else "its push is not recorded"
    return Text.assemble(
        (f"version {lineage.version}", "bold green"),
        f"  {lineage.path}  ",
        (lineage.sha256[:12], "cyan"),
        f"  {pushed}  baseline: {lineage.baseline}",
    )


def _label(lineage: ServedLineage, node: Node, note: str, edge: Edge | None = None) -> Text:
    text = _artifact(node, edge)
    if node.kind == graph.EXECUTION:
        state = lineage.state(node)
        text.append(f" {_moment(node)}")
        text.append(state, "green" if state == "executed" else "blue")
    if "baseline" in node.properties:
        text.append(f" baseline: {node.properties['baseline']}")
    return text.append(f" ({note})" if note else "", "dim")


def _artifact(node: Node, edge: Edge | None) -> Text:
    channel, digest = ("", node.sha256) if edge is None else (f"{edge.channel}: ", edge.sha256)
    return Text.assemble((channel, "dim"), (node.name, "bold"), " ", (digest[:12], "cyan"))


def _moment(node: Node) -> str:
    return f"{node.time[:19]}Z " if node.time else ""
