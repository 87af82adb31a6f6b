"""The layout of a graph from left to right: the place of each box, and the way of each link.

A layered drawing (Sugiyama, Tagawa and Toda, 1981): the rank of a box is its longest path from a source; within a rank
boxes are ordered by the barycentre of their neighbours; heights are the least-squares fit to the neighbours' that keeps
this order. Links from one box share a lane through the ranks they pass, so that what many read looks like a bus line.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

Pair = tuple[str, str]
Point = tuple[float, float]
Cell = tuple[str, int]
"""A box, with its own rank, or the lane of a box through a further rank."""

SWEEPS: Final = 12
LANE: Final = 5.0
"""Height of a lane where it passes a rank."""

LANE_WEIGHT: Final = 4.0
"""How much more a lane resists bending than a box."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Box:
    """What is to be placed, in pixels."""

    id: str
    width: float
    height: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a box; it is as wide as the widest of its rank."""

    x: float
    y: float
    width: float
    height: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """A drawing.

    Attributes:
      width: of all of it.
      height: of all of it.
      places: {id: the box's place}.
      routes: {link: points from the source's right side to the target's left side; each pair of points is the way
        across the gap between two ranks}.
    """

    width: float
    height: float
    places: Mapping[str, Place]
    routes: Mapping[Pair, tuple[Point, ...]]


def lay_out(boxes: Sequence[Box], links: Iterable[Pair], *, gap: Point) -> Layout:
    """Return the drawing of `boxes`; `gap` is the least distance between two ranks, and between two boxes of one.

    Raises:
      ValueError: if the links go round in a circle.
    """
    pairs = tuple(dict.fromkeys(links))
    sizes = {box.id: box for box in boxes}
    rank = ranks(sizes, pairs)
    columns, sides = _columns(rank, pairs)
    columns = _ordered(columns, sides)
    heights = _heights(columns, sides, lambda cell: _height(cell, sizes, rank) + gap[1])
    spans = _spans(columns, sizes, rank, gap[0])
    top = min((middle - _height(cell, sizes, rank) / 2 for cell, middle in heights.items()), default=0.0)
    middles = {cell: height - top for cell, height in heights.items()}
    places = {
        id_: Place(x=left, y=middles[id_, rank[id_]] - box.height / 2, width=right - left, height=box.height)
        for id_, box in sizes.items()
        for left, right in [spans[rank[id_]]]
    }
    return Layout(
        width=spans[-1][1] if spans else 0.0,
        height=max((middle + _height(cell, sizes, rank) / 2 for cell, middle in middles.items()), default=0.0),
        places=places,
        routes={pair: _route(pair, rank, spans, middles) for pair in pairs},
    )


def ranks(ids: Iterable[str], links: Iterable[Pair]) -> dict[str, int]:
    """Return the longest path to each id from a source; a source is placed right before the first that reads it.

    Raises:
      ValueError: if the links go round in a circle.
    """
    readers: dict[str, list[str]] = {id_: [] for id_ in ids}
    waits = dict.fromkeys(readers, 0)
    for source, target in links:
        readers[source].append(target)
        waits[target] += 1
    sources = [id_ for id_, count in waits.items() if not count]
    longest = dict.fromkeys(readers, 0)
    ready = list(sources)
    for id_ in ready:  # grows while it is walked
        for reader in readers[id_]:
            longest[reader] = max(longest[reader], longest[id_] + 1)
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    if len(ready) < len(readers):
        raise ValueError("the links go round in a circle")
    return {**longest, **{id_: min((longest[r] for r in readers[id_]), default=1) - 1 for id_ in sources}}


@dataclasses.dataclass(frozen=True)
class _Sides:
    """Neighbours of each cell in the rank before and in the rank after."""

    before: Mapping[Cell, list[Cell]]
    after: Mapping[Cell, list[Cell]]


def _columns(rank: Mapping[str, int], pairs: Iterable[Pair]) -> tuple[list[list[Cell]], _Sides]:
    columns: list[list[Cell]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for id_, place in rank.items():
        columns[place].append((id_, place))
    before: dict[Cell, list[Cell]] = defaultdict(list)
    after: dict[Cell, list[Cell]] = defaultdict(list)
    farthest = dict(rank)
    for source, target in pairs:
        for place in range(farthest[source] + 1, rank[target]):
            columns[place].append((source, place))
            before[source, place].append((source, place - 1))
            after[source, place - 1].append((source, place))
        farthest[source] = max(farthest[source], rank[target] - 1)
        before[target, rank[target]].append((source, rank[target] - 1))
        after[source, rank[target] - 1].append((target, rank[target]))
    return columns, _Sides(before, after)


def _ordered(columns: list[list[Cell]], sides: _Sides) -> list[list[Cell]]:
    best, fewest = columns, _crossings(columns, sides)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        columns = _swept(columns, sides.before if forward else sides.after, forward=forward)
        crossings = _crossings(columns, sides)
        if crossings < fewest:
            best, fewest = columns, crossings
    return best


def _swept(columns: list[list[Cell]], neighbours: Mapping[Cell, list[Cell]], *, forward: bool) -> list[list[Cell]]:
    position: dict[Cell, float] = {}
    swept = []
    for column in columns if forward else reversed(columns):
        # A cell without neighbours keeps its relative place.
        wanted = {
            cell: _mean([position[other] for other in neighbours.get(cell, ())], number / len(column))
            for number, cell in enumerate(column)
        }
        ordered = sorted(column, key=wanted.__getitem__)
        position |= {cell: (number + 0.5) / len(ordered) for number, cell in enumerate(ordered)}
        swept.append(ordered)
    return swept if forward else swept[::-1]


def _crossings(columns: Sequence[Sequence[Cell]], sides: _Sides) -> int:
    total = 0
    for left, right in itertools.pairwise(columns):
        place = {cell: number for number, cell in enumerate(right)}
        ends = [end for cell in left for end in sorted(place[other] for other in sides.after.get(cell, ()))]
        seen: list[int] = []
        for end in ends:
            total += len(seen) - bisect.bisect_right(seen, end)
            bisect.insort(seen, end)
    return total


def _heights(columns: Sequence[Sequence[Cell]], sides: _Sides, size: Callable[[Cell], float]) -> dict[Cell, float]:
    heights = {cell: 0.0 for column in columns for cell in column}
    for sweep in range(SWEEPS + 1):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            near = [[*sides.before.get(cell, ()), *sides.after.get(cell, ())] for cell in column]
            wanted = [_mean([heights[o] for o in others], 0.0) for others in near]
            weights = [LANE_WEIGHT if _is_lane(cell, sides) else 1.0 for cell in column]
            heights |= zip(column, _apart(wanted, [size(cell) for cell in column], weights), strict=True)
    return heights


def _apart(wanted: Sequence[float], sizes: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the centres nearest to `wanted`, by weighted squares, of which none comes closer than the sizes allow.

    Without the sizes' offsets this is a monotone regression, which pooling adjacent violators solves exactly.
    """
    offsets = [0.0]
    for above, below in itertools.pairwise(sizes):
        offsets.append(offsets[-1] + (above + below) / 2)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members
    for place, offset, weight in zip(wanted, offsets, weights, strict=True):
        mean, total, members = place - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            above, heavier, more = blocks.pop()
            mean = (above * heavier + mean * total) / (heavier + total)
            total, members = total + heavier, members + more
        blocks.append((mean, total, members))
    level = [mean for mean, _, members in blocks for _ in range(members)]
    return [mean + offset for mean, offset in zip(level, offsets, strict=True)]


def _spans(
    columns: Sequence[Sequence[Cell]], sizes: Mapping[str, Box], rank: Mapping[str, int], gap: float
) -> list[Point]:
    """Return the left and right side of each rank."""
    spans: list[Point] = []
    for place, column in enumerate(columns):
        left = spans[-1][1] + gap if spans else 0.0
        spans.append((left, left + max(sizes[id_].width for id_, _ in column if rank[id_] == place)))
    return spans


def _route(
    pair: Pair, rank: Mapping[str, int], spans: Sequence[Point], middles: Mapping[Cell, float]
) -> tuple[Point, ...]:
    source, target = pair
    start, end = rank[source], rank[target]
    lanes = [(side, middles[source, place]) for place in range(start + 1, end) for side in spans[place]]
    return ((spans[start][1], middles[source, start]), *lanes, (spans[end][0], middles[target, end]))


def _height(cell: Cell, sizes: Mapping[str, Box], rank: Mapping[str, int]) -> float:
    return sizes[cell[0]].height if rank[cell[0]] == cell[1] else LANE


def _is_lane(cell: Cell, sides: _Sides) -> bool:
    return any(other[0] == cell[0] for other in sides.before.get(cell, ()))


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
