"""The export as a Mermaid flowchart, as Markdown on GitHub and GitLab draws it, left to right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.lineage.export.cards import CACHED, MISSING, Card, Finding, Picture, picture
from pipeline.lineage.show import ServedLineage
from pipeline.provenance.ancestry import DATA, SERVED

SHAPES: Final = {DATA: ("[/", "/]"), SERVED: ("([", "])")}
CLASSES: Final = (
    "classDef cached stroke-dasharray:4 3",
    "classDef served stroke-width:3px",
    "classDef broken stroke:#c62828,color:#c62828,stroke-width:2px,stroke-dasharray:4 3",
)
BROKEN_LINK: Final = "stroke:#c62828,stroke-dasharray:4 3"
PLAIN: Final = frozenset(" .,:+-_/()")


def mermaid(lineage: ServedLineage, findings: Sequence[Finding] = ()) -> str:
    """Return the flowchart; what is broken is red and dashed, what came from the cache has a dashed border."""
    shown = picture(lineage, findings)
    numbers = {id_: f"n{number}" for number, id_ in enumerate(shown.cards)}
    lines = ["flowchart LR"]
    lines += [f"  {numbers[card.id]}{_box(card)}" for card in shown.cards.values()]
    lines += [
        f'  {numbers[link.edge.source]} -->|"{escaped(link.edge.channel)}"| {numbers[link.edge.target]}'
        for link in shown.links
    ]
    return "\n".join([*lines, *(f"  {line}" for line in (*CLASSES, *_broken_links(shown)))]) + "\n"


def escaped(text: str) -> str:
    """Return `text` with all but letters, digits and a few signs as entity codes, so that none of it is syntax or HTML.

    The codes are those of https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters.
    """
    shown = (letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return "".join(letter if letter.isalnum() or letter in PLAIN else f"#{ord(letter)};" for letter in shown)


def _box(card: Card) -> str:
    lines = (card.title, card.short, " ".join(filter(None, (card.time, card.state))), card.note)
    left, right = SHAPES.get(card.kind, ("[", "]"))
    label = "<br>".join(escaped(line) for line in lines if line)
    return f'{left}"{label}"{right}{_class(card)}'


def _class(card: Card) -> str:
    if card.problems or card.kind == MISSING:
        return ":::broken"
    return {CACHED: ":::cached"}.get(card.state, ":::served" if card.kind == SERVED else "")


def _broken_links(shown: Picture) -> list[str]:
    broken = [str(number) for number, link in enumerate(shown.links) if link.broken]
    return [f"linkStyle {','.join(broken)} {BROKEN_LINK}"] if broken else []
