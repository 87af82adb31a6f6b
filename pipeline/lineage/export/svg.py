"""The geometry of the inline SVG: cards, curves, and text that is cut to what fits, with the rest as a tooltip."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from pipeline.lineage.export.cards import MISSING, Card, Link, Picture
from pipeline.lineage.export.layout import Box, Place, Point, lay_out
from pipeline.provenance.ancestry import DATA

SIZE: Final = 11.5
"""Height in pixels of a title's letters."""

WIDTHS: Final = {**dict.fromkeys("fijlrtI .,:;-'|()[]!/", 0.33), **dict.fromkeys("mwMW@%\N{HORIZONTAL ELLIPSIS}", 0.92)}
"""Width of a letter in a bold sans serif, in units of its height; others are 0.6 wide, capitals 0.71.

A browser squeezes or stretches the title to the width that these give, whatever font it has.
"""

NARROW, WIDE = 91.0, 128.0
HEIGHTS: Final = {DATA: 36.0, MISSING: 36.0}
HEIGHT: Final = 50.0
PADDING: Final = 8.0
GAP: Final = (25.0, 11.0)
MARGIN: Final = 6.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """A card in its place; `title` is what fits of its title, `length` how wide that is."""

    card: Card
    place: Place
    title: str
    length: float
    anchor: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """A link in its place; `path` is the `d` of an SVG path."""

    link: Link
    path: str
    words: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """All shapes and curves, broken curves last; `anchors` is {node id: name of its row in the tables}."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
    curves: tuple[Curve, ...]
    anchors: Mapping[str, str]


def draw(shown: Picture) -> Drawing:
    """Return the drawing of a picture."""
    boxes = [
        Box(id=card.id, width=_width(card), height=HEIGHTS.get(card.kind, HEIGHT)) for card in shown.cards.values()
    ]
    layout = lay_out(boxes, [(link.edge.source, link.edge.target) for link in shown.links], gap=GAP)
    anchors = {id_: f"n{number}" for number, id_ in enumerate(shown.cards)}
    shapes = [
        Shape(
            card=card,
            place=dataclasses.replace(place, x=place.x + MARGIN, y=place.y + MARGIN),
            title=title,
            length=length(title),
            anchor=anchors[id_],
        )
        for id_, card in shown.cards.items()
        for place in [layout.places[id_]]
        for title in [cut(card.title, place.width - 2 * PADDING)]
    ]
    curves = [
        Curve(link=link, path=curve(layout.routes[link.edge.source, link.edge.target]), words=_words(link, shown))
        for link in sorted(shown.links, key=lambda link: link.broken)
    ]
    return Drawing(
        width=layout.width + 2 * MARGIN,
        height=layout.height + 2 * MARGIN,
        shapes=tuple(shapes),
        curves=tuple(curves),
        anchors=anchors,
    )


def curve(points: Iterable[Point]) -> str:
    """Return an SVG path through `points`: level along the lanes, bent in the gaps between ranks."""
    (x, y), *rest = [(x + MARGIN, y + MARGIN) for x, y in points]
    path = f"M{x:.1f} {y:.1f}"
    for number, ((left, above), (right, below)) in enumerate(pairwise([(x, y), *rest])):
        middle = (left + right) / 2
        bend = f"C{middle:.1f} {above:.1f} {middle:.1f} {below:.1f} {right:.1f} {below:.1f}"
        path += f"H{right:.1f}" if number % 2 or above == below else bend
    return path


def cut(title: str, room: float) -> str:
    """Return what fits of a title, its middle left out: names of files differ at both ends."""
    kept, shown = len(title), title
    while length(shown) > room and kept > 1:
        kept -= 1
        shown = f"{title[: (kept + 1) // 2]}\N{HORIZONTAL ELLIPSIS}{title[len(title) - kept // 2 :]}"
    return shown


def length(title: str) -> float:
    """Return the width of a title in pixels."""
    return SIZE * sum(WIDTHS.get(letter, _width_class(letter)) for letter in title)


def _width_class(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.71 if letter.isupper() else 0.6


def _width(card: Card) -> float:
    return min(WIDE, max(NARROW, length(card.title) + 2 * PADDING))


def _words(link: Link, shown: Picture) -> str:
    source, target = (shown.cards[end].title for end in (link.edge.source, link.edge.target))
    return f"{target} reads {link.edge.channel} of {source}\nsha256 {link.edge.sha256}"
