"""The export as an HTML page: the graph, and under it every digest in full.

`html` has its shell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.lineage.export.cards import Card, Finding, Picture, elsewhere, picture
from pipeline.lineage.export.details import Details
from pipeline.lineage.export.html import rendered
from pipeline.lineage.export.svg import Drawing, draw
from pipeline.lineage.show import ServedLineage
from pipeline.provenance import parameters
from pipeline.provenance.ancestry import DATA, EXECUTION, Edge
from pipeline.provenance.records import ExecutionRecord, moment

TEMPLATE: Final = Path(__file__).with_name("page.html.j2")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One artifact that a step read or made: its channel, the step on the other side, its type and digest."""

    channel: str
    other: str
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One execution, as the table tells it."""

    card: Card
    anchor: str
    run_id: str
    seconds: str
    device: str
    reads: tuple[Part, ...]
    made: tuple[Part, ...]
    parameters: dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """One data file, as the table tells it."""

    card: Card
    anchor: str
    bytes: int | None
    rows: int | None


def page(
    lineage: ServedLineage, findings: Sequence[Finding] = (), *, details: Details | None = None, report: str = ""
) -> str:
    """Return the page.

    Args:
      lineage: what is drawn.
      findings: broken links, as an audit found them; none does not mean that there was an audit.
      details: what the records know, by `details.gather`; without them parameters and metrics are left out.
      report: address of the report on the run that pushed it; empty where there is none.
    """
    drawing, values = drawn(lineage, findings, details=details)
    style = TEMPLATE.with_name("page.css").read_text(encoding="utf-8") + style_of(drawing)
    return rendered(TEMPLATE, style=style, report=report, **values)


def drawn(
    lineage: ServedLineage,
    findings: Sequence[Finding] = (),
    *,
    details: Details | None = None,
    affected: str = "",
) -> tuple[Drawing, dict[str, Any]]:
    """Return the drawing of a lineage and the values of the templates that show it; as `page`.

    Args:
      lineage: what is drawn.
      findings: broken links.
      details: what the records know.
      affected: beginning of an address at which it is said what a digest went into; empty without a server.
    """
    known = details or Details()
    shown = picture(lineage, findings)
    drawing = draw(shown)
    return drawing, {
        "lineage": lineage,
        "drawing": drawing,
        "pushed": moment(lineage.graph.nodes[lineage.id].time),
        "problems": [(card, problem) for card in shown.cards.values() for problem in card.problems],
        "elsewhere": elsewhere(shown, findings),
        "anchors": drawing.anchors,
        "steps": _steps(lineage, shown, drawing, known),
        "files": _files(shown, drawing, known),
        "splits": known.splits,
        "metrics": known.metrics,
        "affected": affected,
    }


def style_of(drawing: Drawing) -> str:
    """Return the CSS of one drawing, beside that of all of them."""
    # Digests in the drawing are 9.6 pixels high: never much less than that, rather scroll inside the frame.
    return f"\n.graph {{ min-width: {0.88 * drawing.width:.0f}px; max-width: {1.3 * drawing.width:.0f}px; }}\n"


def _steps(lineage: ServedLineage, shown: Picture, drawing: Drawing, details: Details) -> list[Step]:
    nodes = lineage.graph.nodes
    steps = []
    for card in shown.cards.values():
        if card.kind != EXECUTION:
            continue
        record = details.records.get(card.id)
        steps.append(
            Step(
                card=card,
                anchor=drawing.anchors[card.id],
                run_id=nodes[card.id].run_id or "",
                seconds="" if record is None else f"{record.seconds:.1f} s",
                device="" if record is None else record.environment.device,
                reads=_parts(lineage.graph.incoming.get(card.id, ()), "source", shown),
                made=_output_parts(lineage, details, shown, card),
                parameters={} if record is None else _parameters(record),
            )
        )
    return steps


def _parameters(record: ExecutionRecord) -> dict[str, str]:
    values = {"code_digest": record.code.digest, **parameters.flatten(record)}
    return {name: str(value) for name, value in values.items() if value not in ("", None, [], {})}


def _output_parts(lineage: ServedLineage, details: Details, shown: Picture, card: Card) -> tuple[Part, ...]:
    record = details.records.get(card.id)
    if record is None:
        return _parts(lineage.graph.outgoing.get(card.id, ()), "target", shown)
    return tuple(
        Part(channel=channel, other=entry.type, sha256=entry.sha256) for channel, entry in record.outputs_by_channel
    )


def _parts(edges: Sequence[Edge], end: str, shown: Picture) -> tuple[Part, ...]:
    return tuple(
        Part(channel=edge.channel, other=shown.cards[getattr(edge, end)].title, sha256=edge.sha256) for edge in edges
    )


def _files(shown: Picture, drawing: Drawing, details: Details) -> list[File]:
    result = []
    for card in shown.cards.values():
        if card.kind == DATA:
            file = details.files.get(card.digests[0], {})
            result.append(
                File(card=card, anchor=drawing.anchors[card.id], bytes=file.get("bytes"), rows=file.get("rows"))
            )
    return sorted(result, key=lambda file: file.card.title)
