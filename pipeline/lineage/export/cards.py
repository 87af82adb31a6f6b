"""The text of each node in a picture of a lineage, and which links an audit found broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from pipeline.lineage.show import ServedLineage
from pipeline.provenance.ancestry import DATA, EXECUTION, SERVED, Edge, Node
from pipeline.provenance.records import moment

SHORT: Final = 12
"""Hex digits of a digest in a picture."""

NEW, CACHED, MISSING = "new", "cached", "missing"


class Finding(Protocol):
    """Something an audit found."""

    @property
    def node(self) -> str | None:
        """Id of a node in the graph, hash of a record, or name of a node."""

    @property
    def message(self) -> str:
        """What is wrong, in one line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """One node as it is drawn.

    Attributes:
      id: of the node in the graph.
      kind: `served`, `execution`, `data`, or `missing` for a record that others name and nobody has.
      title: node id, file name or `version 3`.
      digests: of what it made or is, each once; the record's hash if nothing of it was read.
      time: when it started or was pushed, such as `2026-11-20 22:46:36`; empty if not known.
      state: `new` if the run that pushed the version executed it, `cached` if an earlier one did; else empty.
      note: such as `baseline: none`.
      problems: messages of the findings about it.
    """

    id: str
    kind: str
    title: str
    digests: tuple[str, ...]
    time: str = ""
    state: str = ""
    note: str = ""
    problems: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The first digest, shortened, and how many more there are."""
        more = f" +{len(self.digests) - 1}" if len(self.digests) > 1 else ""
        return self.digests[0][:SHORT] + more

    @property
    def details(self) -> str:
        """Everything in full, one fact per line."""
        facts = [self.title, *(f"sha256 {digest}" for digest in self.digests)]
        facts += [f"record {self.id}"] if self.kind == EXECUTION else []
        facts += [f"{self.time} UTC"] if self.time else []
        return "\n".join([*facts, *filter(None, (self.state, self.note)), *self.problems])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Link:
    """One edge as it is drawn; broken if what went over it cannot be trusted."""

    edge: Edge
    broken: bool


@dataclasses.dataclass(frozen=True)
class Picture:
    """Cards by node id, from the data to the version, and the links between them."""

    cards: dict[str, Card]
    links: tuple[Link, ...]


def picture(lineage: ServedLineage, findings: Sequence[Finding] = ()) -> Picture:
    """Return what is to be drawn of a lineage.

    A finding about a node breaks the links that leave it; one about the version breaks those that lead to it.
    """
    nodes = lineage.graph.nodes
    unknown = dict.fromkeys(edge.source for edge in lineage.graph.edges if edge.source not in nodes)
    ghosts = [Card(id=id_, kind=MISSING, title="missing record", digests=(id_,)) for id_ in unknown]
    drawn = {card.id: card for card in (*ghosts, *(_card(lineage, node) for node in _upstream_first(lineage)))}
    cards = {id_: dataclasses.replace(card, problems=_problems(card, findings)) for id_, card in drawn.items()}
    broken = {card.id for card in cards.values() if card.problems or card.kind == MISSING}
    links = [Link(edge=edge, broken=_is_broken(edge, broken, lineage.id)) for edge in lineage.graph.edges]
    return Picture(cards, tuple(links))


def elsewhere(shown: Picture, findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the messages of the findings that concern no node of the picture."""
    shown_problems = {problem for card in shown.cards.values() for problem in card.problems}
    return tuple(dict.fromkeys(finding.message for finding in findings if finding.message not in shown_problems))


def _upstream_first(lineage: ServedLineage) -> list[Node]:
    kinds = (DATA, EXECUTION, SERVED)
    return sorted(lineage.graph.nodes.values(), key=lambda node: kinds.index(node.kind))


def _card(lineage: ServedLineage, node: Node) -> Card:
    if node.kind != EXECUTION:
        title = f"version {lineage.version}" if node.id == lineage.id else node.name
        return Card(id=node.id, kind=node.kind, title=title, digests=(node.sha256,), time=moment(node.time))
    digests = tuple(dict.fromkeys(edge.sha256 for edge in lineage.graph.outgoing.get(node.id, ())))
    return Card(
        id=node.id,
        kind=node.kind,
        title=node.name,
        digests=digests or (node.sha256,),
        time=moment(node.time),
        state=NEW if lineage.state(node) == "executed" else CACHED,
        note=f"baseline: {node.properties['baseline']}" if "baseline" in node.properties else "",
    )


def _problems(card: Card, findings: Sequence[Finding]) -> tuple[str, ...]:
    names = {card.id, card.title} | ({card.digests[0]} if card.kind != EXECUTION else set())
    return tuple(dict.fromkeys(finding.message for finding in findings if finding.node in names))


def _is_broken(edge: Edge, broken: set[str], served: str) -> bool:
    return edge.source in broken or (edge.target == served and served in broken)
