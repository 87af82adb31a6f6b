"""The executions of a root by record hash, and the look-ups that questions about lineage need, from memory."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class InputRef(NamedTuple):
    """An artifact that a step read: over which channel, of which type and digest, and the record of its maker."""

    channel: str
    type: str
    sha256: str
    maker: str | None


class OutputRef(NamedTuple):
    """An artifact that a step made; `files` are the SHA-256 of its files, 32 bytes each, one after the other."""

    channel: str
    type: str
    path: str
    sha256: str
    files: bytes


class ExecutionSummary(NamedTuple):
    """One execution.

    Attributes:
      record: hash of its record.
      node: node id.
      run_id: the run that executed it.
      started: UTC time, for people.
      code: digest of its code.
      reads: its inputs.
      makes: its outputs.
      mentions: every other SHA-256 in the record (parameters, key, lock), 32 bytes each.
      data: what ExampleGen recorded of the data, else None.
      parameters: ExampleGen's execution properties, else None.
    """

    record: str
    node: str
    run_id: str
    started: str
    code: str
    reads: tuple[InputRef, ...]
    makes: tuple[OutputRef, ...]
    mentions: bytes
    data: Mapping[str, Any] | None
    parameters: Mapping[str, Any] | None


Reading = tuple[ExecutionSummary, InputRef]


class Steps(Protocol):
    """Executions by record hash."""

    def __getitem__(self, record: str, /) -> ExecutionSummary: ...
    def __contains__(self, record: object, /) -> bool: ...
    def __len__(self) -> int: ...

    def get(self, record: str, /) -> ExecutionSummary | None:
        """Return an execution; None if there is none."""

    def readers_of(self, record: str) -> Sequence[Reading]:
        """Return who read what an execution made, and which of it."""

    def that_may_know(self, digests: Iterable[str]) -> Iterator[ExecutionSummary]:
        """Yield every execution whose record holds one of some digests, and possibly others."""

    def of_node(self, node: str) -> Iterator[ExecutionSummary]:
        """Yield the executions of a node."""

    def ingests(self) -> Iterator[ExecutionSummary]:
        """Yield the executions that read data files."""


class StepsInMemory(dict[str, ExecutionSummary]):
    """Executions that are held, as those of most roots are."""

    def readers_of(self, record: str) -> Sequence[Reading]:
        """Return who read what an execution made, and which of it."""
        return self._readers.get(record, ())

    def that_may_know(self, digests: Iterable[str]) -> Iterator[ExecutionSummary]:
        """Yield all executions: to look at each takes no longer than to look it up."""
        del digests
        return iter(self.values())

    def of_node(self, node: str) -> Iterator[ExecutionSummary]:
        """Yield the executions of a node."""
        return (step for step in self.values() if step.node == node)

    def ingests(self) -> Iterator[ExecutionSummary]:
        """Yield the executions that read data files."""
        return (step for step in self.values() if step.data is not None)

    @functools.cached_property
    def _readers(self) -> Mapping[str, Sequence[Reading]]:
        result: dict[str, list[Reading]] = defaultdict(list)
        for step in self.values():
            for read in step.reads:
                if read.maker is not None:
                    result[read.maker].append((step, read))
        return result
