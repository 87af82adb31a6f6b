"""Tables of a page: sorted, filtered and cut into pages by what its address says, several of them side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

Row = TypeVar("Row")

ROWS: Final = 50
"""To a page: what takes long is worked out for these alone."""

ASCENDING, DESCENDING = "ascending", "descending"
ORDERS: Final = (DESCENDING, ASCENDING)

FIELDS: Final = ("text", "state", "sort", "order", "page")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column(Generic[Row]):
    """A column of a table.

    Attributes:
      name: heading.
      key: by which an address names it; empty if it cannot be sorted by.
      value: that it is sorted by; None of a row without the fact.
    """

    name: str
    key: str = ""
    value: Callable[[Row], Any] = lambda _: None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """What is shown of a table.

    Attributes:
      text: only rows with it in one of their texts.
      state: only rows in this state; empty for all.
      sort: key of the order.
      order: `ascending` or `descending`.
      page: from 1.
    """

    text: str = ""
    state: str = ""
    sort: str = ""
    order: str = DESCENDING
    page: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heading:
    """A column as it is shown: its name, the address that sorts by it, and how it is sorted now."""

    name: str
    address: str
    sorted: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown(Generic[Row]):
    """A page of a table.

    Attributes:
      rows: of this page.
      count: of all rows that the filter lets through.
      total: of all rows.
      headings: of the table.
      states: that rows are in, for the filter.
      query: as it was understood.
      newer: address of the page before; None on the first.
      older: address of the page after; None on the last.
      others: (name, value) of what the address says of other tables, which a filter is to leave as it is.
      all: address of the table without a filter.
    """

    rows: tuple[Row, ...]
    count: int
    total: int
    headings: tuple[Heading, ...]
    states: tuple[str, ...]
    query: Query
    newer: str | None
    older: str | None
    others: tuple[tuple[str, str], ...]
    all: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table(Generic[Row]):
    """What a table has.

    Attributes:
      prefix: of its fields in an address: each table of a page has its own.
      anchor: id of its place on the page.
      columns: of it, the first one sortable: its key is the default order.
      texts: of a row, in which a filter looks.
      state: of a row; None for a table without states.
    """

    prefix: str
    anchor: str
    columns: tuple[Column[Row], ...]
    texts: Callable[[Row], Iterable[str]]
    state: Callable[[Row], str] | None = None

    def query(self, fields: Mapping[str, str]) -> Query:
        """Return the query in the fields of an address; what is nothing we know is left at its default."""
        said = {name: fields.get(self.prefix + name, "") for name in FIELDS}
        page, keys = said["page"], [column.key for column in self.columns if column.key]
        return Query(
            text=said["text"][:200].strip(),
            state=said["state"][:40],
            sort=said["sort"] if said["sort"] in keys else keys[0],
            order=ASCENDING if said["order"] == ASCENDING else DESCENDING,
            page=max(1, int(page)) if page.isascii() and page.isdecimal() and len(page) < 7 else 1,
        )

    def shown(self, rows: Iterable[Row], fields: Mapping[str, str], others: Iterable[Table[Any]] = ()) -> Shown[Row]:
        """Return the page of the table that an address asks for.

        Args:
          rows: of the whole table, oldest first.
          fields: of the address.
          others: the other tables of the page.
        """
        query, every = self.query(fields), list(rows)
        kept = tuple(pair for other in others for pair in other._fields(other.query(fields)))
        wanted = self._sorted([row for row in every if self._passes(row, query)], query)
        last = max(1, -(-len(wanted) // ROWS))
        page = min(query.page, last)

        def address(**changes: Any) -> str:
            said = urlencode((*kept, *self._fields(dataclasses.replace(query, **changes))))
            return f"/{'?' if said else ''}{said}#{self.anchor}"

        return Shown(
            rows=tuple(wanted[(page - 1) * ROWS : page * ROWS]),
            count=len(wanted),
            total=len(every),
            headings=tuple(_heading(column, query, address) for column in self.columns),
            states=() if self.state is None else tuple(sorted({self.state(row) for row in every})),
            query=query,
            newer=address(page=page - 1) if page > 1 else None,
            older=address(page=page + 1) if page < last else None,
            others=kept,
            all=address(text="", state="", page=1),
        )

    def _fields(self, query: Query) -> tuple[tuple[str, str], ...]:
        """Return the fields of an address that say a query, those at their default left out."""
        default = dataclasses.asdict(self.query({}))
        said = dataclasses.asdict(query).items()
        return tuple((self.prefix + name, str(value)) for name, value in said if value != default[name])

    def _passes(self, row: Row, query: Query) -> bool:
        if query.state and (self.state is None or self.state(row) != query.state):
            return False
        return not query.text or query.text.casefold() in "\n".join(self.texts(row)).casefold()

    def _sorted(self, rows: Sequence[Row], query: Query) -> list[Row]:
        """Return rows in order; those without the fact come last, whichever the order."""
        value = next(column.value for column in self.columns if column.key == query.sort)
        newest_first = rows[::-1]
        known = [row for row in newest_first if value(row) is not None]
        known.sort(key=value, reverse=query.order == DESCENDING)
        return [*known, *(row for row in newest_first if value(row) is None)]


def _heading(column: Column[Any], query: Query, address: Callable[..., str]) -> Heading:
    if not column.key:
        return Heading(name=column.name, address="", sorted="")
    now = query.order if column.key == query.sort else ""
    turned = ASCENDING if now == DESCENDING else DESCENDING
    return Heading(name=column.name, address=address(sort=column.key, order=turned, page=1), sorted=now)
