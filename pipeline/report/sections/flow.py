"""The graph of a run with times and what was cached, and its timeline."""

from __future__ import annotations

import dataclasses
from typing import Final

from pipeline.lineage.export.layout import Box, Layout, lay_out
from pipeline.lineage.export.svg import MARGIN, curve, length
from pipeline.provenance.records import NodeOutcome, timestamp
from pipeline.report.run_data import RunData

HEIGHT, GAP = 44.0, (26.0, 12.0)
PADDING: Final = 10.0
SPARE: Final = 1.1
"""Fonts differ in width, and a name must not run out of its card."""

NARROW: Final = 112.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """One node in its place in the graph."""

    id: str
    state: str
    seconds: str
    x: float
    y: float
    width: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrow:
    """What one node reads of another; `supposed` if no record says so, since the node left none."""

    path: str
    supposed: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bar:
    """One node on the timeline, in thousandths of its length."""

    id: str
    state: str
    seconds: float
    why: str
    start: int
    width: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flow:
    """The graph, `width` by `height` pixels, and the timeline of `total` seconds."""

    width: float
    height: float
    cards: tuple[Card, ...]
    arrows: tuple[Arrow, ...]
    bars: tuple[Bar, ...]
    total: float

    @property
    def text(self) -> str:
        """The graph in words."""
        counts = {
            state: sum(card.state == state for card in self.cards)
            for state in dict.fromkeys(c.state for c in self.cards)
        }
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        return f"{len(self.cards)} nodes, {states}; {self.total:.1f} s from the first to the last."


def flow(evidence: RunData) -> Flow:
    """Return graph and timeline of a run."""
    nodes = evidence.run.nodes
    links = _links(evidence)
    boxes = [Box(id=n.id, width=max(NARROW, SPARE * length(n.id) + 2 * PADDING), height=HEIGHT) for n in nodes]
    layout = lay_out(boxes, links, gap=GAP)
    total = max(0.001, timestamp(evidence.run.finished) - timestamp(evidence.run.started))
    return Flow(
        width=layout.width + 2 * MARGIN,
        height=layout.height + 2 * MARGIN,
        cards=tuple(_card(node, layout) for node in nodes),
        arrows=tuple(Arrow(path=curve(layout.routes[pair]), supposed=guess) for pair, guess in links.items()),
        bars=_bars(nodes, total),
        total=total,
    )


def _links(evidence: RunData) -> dict[tuple[str, str], bool]:
    """Return {(source, target): whether it is only supposed}; a node without a record hangs on the one before it."""
    makers = {node.record: node.id for node in evidence.run.nodes if node.record is not None}
    links: dict[tuple[str, str], bool] = {}
    before: str | None = None
    for node in evidence.run.nodes:
        record = evidence.executions.get(node.id)
        if record is not None:
            sources = [makers[hash_] for hash_ in record.input_records if hash_ in makers]
            links |= {(source, node.id): False for source in sources if source != node.id}
        elif before is not None:
            links[before, node.id] = True
        before = node.id
    return links


def _card(node: NodeOutcome, layout: Layout) -> Card:
    place = layout.places[node.id]
    seconds = f"{node.seconds:.1f} s" if node.state != "skipped" else ""
    return Card(
        id=node.id, state=node.state, seconds=seconds, x=place.x + MARGIN, y=place.y + MARGIN, width=place.width
    )


def _bars(nodes: tuple[NodeOutcome, ...], total: float) -> tuple[Bar, ...]:
    """Nodes are executed one after the other; what lies before the first is the start of the run itself."""
    spent = sum(node.seconds for node in nodes)
    start, bars = max(0.0, total - spent), []
    scale = 1000 / max(total, spent)
    for node in nodes:
        bar = Bar(
            id=node.id,
            state=node.state,
            seconds=node.seconds,
            why=node.why,
            start=round(start * scale),
            width=max(2, round(node.seconds * scale)) if node.state != "skipped" else 0,
        )
        bars.append(bar)
        start += node.seconds
    return tuple(bars)
