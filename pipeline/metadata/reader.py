"""Queries about URIs to a metadata store, sent to a process that may die over them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from components.errors import EnvironmentProblem
from pipeline.metadata.address import Address, SqliteFile
from pipeline.process import child

if TYPE_CHECKING:
    from typing_extensions import Self

PROCESS: Final = "pipeline.metadata.reader_process"


class Unasked(EnvironmentProblem):
    """The store could not be asked, which says nothing about what is in it."""


class BrokeDown(EnvironmentProblem):
    """ml_metadata could not cope with what is in the store, and took its process with it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artifact:
    """A stored artifact: its id, type in TFX's name, custom and declared properties, and contexts as (type, name)."""

    id: int
    type: str
    state: str
    properties: Mapping[str, Any]
    declared: Mapping[str, Any]
    contexts: frozenset[tuple[str, str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """A stored event of type `INPUT`, `OUTPUT` or another; `path` in words where it is not a channel and an index."""

    artifact: int
    type: str
    channel: str
    index: int
    path: str | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """What executions that repeat each other have alike; of the same content they hold the same object."""

    type: str
    state: str
    properties: Mapping[str, Any]
    declared: Mapping[str, Any]
    events: tuple[Event, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution:
    """A stored execution: its id, content, and contexts as (type, name)."""

    id: int
    content: Content
    contexts: frozenset[tuple[str, str]]

    @property
    def state(self) -> str:
        """Its last known state, in ml_metadata's words."""
        return self.content.state


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the store knows about some URIs.

    Attributes:
      artifacts: {URI: artifacts}.
      executions: that made one of those made, or had it cached, by id.
    """

    artifacts: Mapping[str, tuple[Artifact, ...]]
    executions: Mapping[int, Execution]

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Snapshot:
        """Restore what the process wrote."""
        names = [(kind, name) for kind, name in fields["contexts"]]

        def contexts(numbers: Sequence[int]) -> frozenset[tuple[str, str]]:
            return frozenset([names[number] for number in numbers])

        contents = [
            Content(**{**one, "events": tuple(Event(**e) for e in one["events"])}) for one in fields["contents"]
        ]
        return Snapshot(
            artifacts={
                uri: tuple(Artifact(**{**one, "contexts": contexts(one["contexts"])}) for one in all_)
                for uri, all_ in fields["artifacts"].items()
            },
            executions={
                id_: Execution(id=id_, content=contents[content], contexts=contexts(numbers))
                for id_, content, numbers in fields["executions"]
            },
        )


def _request(address: Address, made: Sequence[str], read: Sequence[str]) -> str:
    return json.dumps({"metadata": address.url(), "made": made, "read": read})


class StoreReader:
    """Asks stores, in one process for all of them until it dies; a context manager."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._silent: dict[Address, str] = {}
        self._sent: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process, so that it imports ml_metadata while something else is done."""
        if self._process is None:
            pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
            self._process = child.start(PROCESS, env={}, stdin=pipe, stdout=pipe, stderr=nothing, text=True)

    def ask_ahead(self, address: Address, made: Sequence[str], read: Sequence[str]) -> None:
        """Send what `ask` is about to be asked, so that the store is read while something else is done."""
        if address not in self._silent:
            self.start()
            if self._sent is not None:  # nobody waits for it any more, and its answer is of then
                self._drop_answer()
            self._send(_request(address, made, read))

    def ask(self, address: Address, made: Sequence[str], read: Sequence[str]) -> Snapshot:
        """Return what a store knows.

        Args:
          address: of the store.
          made: URIs whose executions are wanted too.
          read: URIs of other artifacts that these executions may have read.

        Raises:
          Unasked: if another process holds the store, its server gives no answer, or ml_metadata is not installed.
          BrokeDown: if the process that asked died over it.
          EnvironmentProblem: if it is no store.
        """
        if address in self._silent:  # waited for once, not once for every version
            raise Unasked("cannot be used", where=address, got=self._silent[address])
        self.start()
        line = self._exchange(_request(address, made, read))
        if not line:
            raise BrokeDown("ml_metadata breaks down over it", where=address, got=self._ending())
        answer = json.loads(line)
        if "answer" not in answer:
            kind = Unasked if answer.get("unknown") else EnvironmentProblem
            if kind is Unasked and not isinstance(address, SqliteFile):
                self._silent[address] = answer["error"]
            raise kind("cannot be used", where=address, got=answer["error"])
        return Snapshot.from_dict(answer["answer"])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._ending()

    def _exchange(self, request: str) -> str:
        if self._sent not in (None, request):
            self._drop_answer()
        if self._sent is None:
            self._send(request)
        return self._receive()

    def _drop_answer(self) -> None:
        """Read the answer to a question that is not asked any more; a process that died over it is replaced."""
        if not self._receive():
            self._ending()
            self.start()

    def _send(self, request: str) -> None:
        self._sent = request
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(request + "\n")
                self._process.stdin.flush()

    def _receive(self) -> str:
        self._sent = None
        return "" if self._process is None or self._process.stdout is None else self._process.stdout.readline()

    def _ending(self) -> str:
        """Wait for the process to end and return how it did."""
        process, self._process, self._sent = self._process, None, None
        if process is None:
            return "no process"
        with contextlib.suppress(BrokenPipeError):
            process.communicate()
        code = process.returncode
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
