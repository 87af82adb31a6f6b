"""The export as an HTML page: the graph, and under it every digest in full.

The page has no script and asks nothing of the network, which its Content-Security-Policy states: only the one style
element, by its hash. Jinja escapes every value, so that a file name with markup in it is text.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jinja2

from pipeline.lineage.export.cards import Card, Finding, Picture, elsewhere, moment, picture
from pipeline.lineage.export.details import Details
from pipeline.lineage.export.svg import Drawing, draw
from pipeline.lineage.show import ServedLineage
from pipeline.provenance import parameters
from pipeline.provenance.ancestry import DATA, EXECUTION, Edge
from pipeline.provenance.records import ExecutionRecord

FOLDER: Final = Path(__file__).parent


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


def page(lineage: ServedLineage, findings: Sequence[Finding] = (), *, details: Details | None = None) -> str:
    """Return the page.

    Args:
      lineage: what is drawn.
      findings: broken links, as an audit found them; none does not mean that there was an audit.
      details: what the records know, by `details.gather`; without them parameters and metrics are left out.
    """
    known = details or Details()
    shown = picture(lineage, findings)
    drawing = draw(shown)
    style = _style(drawing)
    return _template().render(
        lineage=lineage,
        drawing=drawing,
        style=style,  # not escaped: our own file, and two numbers
        style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        pushed=moment(lineage.graph.nodes[lineage.id].time),
        problems=[(card, problem) for card in shown.cards.values() for problem in card.problems],
        elsewhere=elsewhere(shown, findings),
        anchors=drawing.anchors,
        steps=_steps(lineage, shown, drawing, known),
        files=_files(shown, drawing, known),
        splits=known.splits,
        metrics=known.metrics,
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "size": _size}
    return environment.get_template("page.html.j2")


def _style(drawing: Drawing) -> str:
    # Digests in the drawing are 9.6 pixels high: never much less than that, rather scroll inside the frame.
    sizes = f"\n.graph {{ min-width: {0.88 * drawing.width:.0f}px; max-width: {1.3 * drawing.width:.0f}px; }}\n"
    return (FOLDER / "page.css").read_text(encoding="utf-8") + sizes


def _steps(lineage: ServedLineage, shown: Picture, drawing: Drawing, known: Details) -> list[Step]:
    nodes = lineage.graph.nodes
    steps = []
    for card in shown.cards.values():
        if card.kind != EXECUTION:
            continue
        record = known.records.get(card.id)
        steps.append(
            Step(
                card=card,
                anchor=drawing.anchors[card.id],
                run_id=nodes[card.id].run_id or "",
                seconds="" if record is None else f"{record.seconds:.1f} s",
                device="" if record is None else record.environment.device,
                reads=_parts(lineage.graph.incoming.get(card.id, ()), "source", shown),
                made=_made(lineage, known, shown, card),
                parameters={} if record is None else _parameters(record),
            )
        )
    return steps


def _parameters(record: ExecutionRecord) -> dict[str, str]:
    told = {"code_digest": record.code.digest, **parameters.flatten(record)}
    return {name: str(value) for name, value in told.items() if value not in ("", None, [], {})}


def _made(lineage: ServedLineage, known: Details, shown: Picture, card: Card) -> tuple[Part, ...]:
    record = known.records.get(card.id)
    if record is None:
        return _parts(lineage.graph.outgoing.get(card.id, ()), "target", shown)
    outputs = [(channel, entry) for channel, made in sorted(record.outputs.items()) for entry in made]
    return tuple(Part(channel=channel, other=entry.type, sha256=entry.sha256) for channel, entry in outputs)


def _parts(edges: Sequence[Edge], end: str, shown: Picture) -> tuple[Part, ...]:
    return tuple(
        Part(channel=edge.channel, other=shown.cards[getattr(edge, end)].title, sha256=edge.sha256) for edge in edges
    )


def _files(shown: Picture, drawing: Drawing, known: Details) -> list[File]:
    found = []
    for card in shown.cards.values():
        if card.kind == DATA:
            file = known.files.get(card.digests[0], {})
            found.append(
                File(card=card, anchor=drawing.anchors[card.id], bytes=file.get("bytes"), rows=file.get("rows"))
            )
    return sorted(found, key=lambda file: file.card.title)


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
