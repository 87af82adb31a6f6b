"""The export as Graphviz DOT (https://graphviz.org/doc/info/lang.html), left to right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.lineage.export.cards import CACHED, MISSING, Card, Finding, Link, picture
from pipeline.lineage.show import ServedLineage
from pipeline.provenance.ancestry import DATA, SERVED

SHAPES: Final = {DATA: "note", SERVED: "doubleoctagon", MISSING: "box"}
BROKEN: Final = 'color="#c62828", fontcolor="#c62828", style=dashed'


def dot(lineage: ServedLineage, findings: Sequence[Finding] = ()) -> str:
    """Return the graph; what is broken is red and dashed, what came from the cache has a dashed border."""
    shown = picture(lineage, findings)
    numbers = {id_: f"n{number}" for number, id_ in enumerate(shown.cards)}
    lines = [
        f"digraph {quoted(f'lineage of version {lineage.version}')} {{",
        "  rankdir=LR;",
        '  node [shape=box, fontname="sans-serif", fontsize=11];',
        '  edge [fontname="sans-serif", fontsize=9, color="#78838f"];',
        *(f"  {numbers[card.id]} [{_look(card)}];" for card in shown.cards.values()),
        *(f"  {numbers[link.edge.source]} -> {numbers[link.edge.target]} [{_line(link)}];" for link in shown.links),
        "}",
    ]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Return a DOT string that shows `text`, whatever it holds: no escape in it is left to be interpreted."""
    # In a label `\N` is the node's name and `\n` a new line, so a backslash has to be doubled; control characters are
    # no part of the language.
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in plain) + '"'


def _look(card: Card) -> str:
    lines = [card.title, card.short, " ".join(filter(None, (card.time, card.state))), card.note]
    look = f"label={quoted(chr(10).join(filter(None, lines)))}, tooltip={quoted(card.details)}"
    if card.kind in SHAPES:
        look += f", shape={SHAPES[card.kind]}"
    if card.problems or card.kind == MISSING:
        return f"{look}, {BROKEN}"
    return f"{look}, style=dashed" if card.state == CACHED else look


def _line(link: Link) -> str:
    look = f"label={quoted(link.edge.channel)}, tooltip={quoted(f'{link.edge.channel} sha256 {link.edge.sha256}')}"
    return f"{look}, {BROKEN}" if link.broken else look
