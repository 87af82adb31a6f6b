"""A trace of a command: what each of its processes did when, in Chrome's trace event format.

Every process of a traced command appends its spans to one file of JSON lines, named by $MNIST_TFX_TRACE, so no process has
to live until another one collects them; the command turns the lines into one JSON document in the end, for Perfetto
(ui.perfetto.dev) or chrome://tracing. Where the variable is not set a span costs a look at the environment.

The format is that of the document "Trace Event Format" of the Chromium project: complete events (`ph` X) with `ts` and `dur`
in microseconds, and metadata events (`ph` M) that name processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components import disk
from components.errors import BadInput
from components.files import replacing

TRACE: Final = "MNIST_TFX_TRACE"
"""Environment variable: the file that spans are appended to; unset, nothing is written."""

WAIT: Final = "wait"
"""Category of a span in which its process waits for another one, which has spans of its own."""

RUN: Final = "run"
IMPORT: Final = "import"
LARGEST: Final = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    """Something that a process did.

    Attributes:
      name: what.
      category: `run`, `import` or `wait`.
      start: seconds of the machine's boot clock.
      seconds: how long it took.
      pid: of the process.
      tid: of the thread.
    """

    name: str
    category: str
    start: float
    seconds: float
    pid: int
    tid: int

    @property
    def end(self) -> float:
        """When it was over, by the same clock as `start`."""
        return self.start + self.seconds

    def event(self) -> dict[str, Any]:
        """Return the span as an event of the format."""
        when = {"ts": round(self.start * 1e6, 1), "dur": round(self.seconds * 1e6, 1)}
        return {"ph": "X", "name": self.name, "cat": self.category, **when, "pid": self.pid, "tid": self.tid}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """The time that one kind of span took without the spans inside it.

    Attributes:
      process: what the process was called.
      name: of the spans.
      seconds: of all of them together.
    """

    process: str
    name: str
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trace:
    """What a traced command did.

    Attributes:
      spans: of all processes, by their start.
      processes: {process id: its name}.
    """

    spans: Sequence[Span]
    processes: Mapping[int, str]

    def document(self) -> dict[str, Any]:
        """Return the trace as a document of the format."""
        names = [
            {"ph": "M", "name": "process_name", "pid": pid, "tid": pid, "args": {"name": name}}
            for pid, name in self.processes.items()
        ]
        largest = [dataclasses.asdict(share) for share in self.largest()]
        return {
            "displayTimeUnit": "ms",
            "otherData": {"largest": largest},
            "traceEvents": [*names, *(span.event() for span in self.spans)],
        }

    def largest(self, count: int = LARGEST) -> list[Share]:
        """Return where the most time went, largest first; a span's time is without that of the spans inside it.

        Waiting is left out: what was waited for is there under its own process. Processes work beside each other, so
        the shares may come to more than the whole.
        """
        seconds: dict[tuple[str, str], float] = defaultdict(float)
        for span, own in _own_times(self.spans):
            if span.category != WAIT:
                seconds[self.processes.get(span.pid, str(span.pid)), span.name] += own
        by_size = sorted(seconds.items(), key=lambda item: -item[1])[:count]
        return [Share(process=process, name=name, seconds=own) for (process, name), own in by_size]


@contextlib.contextmanager
def span(name: str, category: str = RUN) -> Iterator[None]:
    """Note how long the block takes, if the command is traced."""
    if TRACE not in os.environ:
        yield
        return
    end = begin(name, category)
    try:
        yield
    finally:
        end()


def begin(name: str, category: str = RUN) -> Callable[[], None]:
    """Begin a span that ends elsewhere; return what ends it."""
    started, thread = now(), threading.get_native_id()

    def end() -> None:
        note(name, started, now() - started, category=category, tid=thread)

    return end


def note(name: str, start: float, seconds: float, *, category: str = RUN, tid: int | None = None) -> None:
    """Write down a span of this process that is over, if the command is traced."""
    thread = threading.get_native_id() if tid is None else tid
    _append(Span(name=name, category=category, start=start, seconds=seconds, pid=os.getpid(), tid=thread).event())


def name_process(name: str) -> None:
    """Say what this process is called in the trace."""
    _append({"ph": "M", "name": "process_name", "pid": os.getpid(), "args": {"name": name}})


def now() -> float:
    """Return seconds of the boot clock, which all processes of a machine share, and which /proc counts starts in."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextlib.contextmanager
def traced(path: Path, name: str, began: float) -> Iterator[list[Trace]]:
    """Trace this process and those that it starts, and write the trace to `path` in the end, however it ends.

    Args:
      path: of the document; its folder exists.
      name: of this process.
      began: when this process started, by the boot clock.

    Yields:
      A list that holds the trace once it is written.

    Raises:
      EnvironmentProblem: if the file cannot be written.
      BadInput: inside a command that is traced already: the two would share a file.
    """
    if TRACE in os.environ:
        raise BadInput("is set: another command is being traced", where=TRACE, hint=f"unset {TRACE}")
    lines = path.with_name(f".{path.name}.{os.getpid()}.spans")
    written: list[Trace] = []
    try:
        lines.touch(exist_ok=False)
    except OSError as err:
        raise disk.problem(err, "cannot write the trace", where=path) from err
    os.environ[TRACE] = str(lines)
    name_process(name)
    note("starting Python and the command", began, now() - began)
    try:
        yield written
    finally:
        del os.environ[TRACE]
        try:
            trace = read(lines.read_text().splitlines())
            _write(path, trace)
            written.append(trace)
        finally:
            lines.unlink(missing_ok=True)


def read(lines: Iterable[str]) -> Trace:
    """Return the trace in lines that processes have appended; a line that a kill cut short is left out."""
    spans, processes = [], {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event["ph"] == "M":
            processes[event["pid"]] = event["args"]["name"]
        else:
            start, seconds = event["ts"] / 1e6, event["dur"] / 1e6
            place = {"pid": event["pid"], "tid": event["tid"]}
            spans.append(Span(name=event["name"], category=event["cat"], start=start, seconds=seconds, **place))
    return Trace(spans=sorted(spans, key=lambda one: (one.start, -one.seconds)), processes=processes)


def _append(event: Mapping[str, Any]) -> None:
    if (path := os.environ.get(TRACE)) is None:
        return
    # One write at the end of the file: lines of processes beside each other never mix. A full disk costs the trace alone.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(descriptor, json.dumps(event).encode() + b"\n")
        finally:
            os.close(descriptor)


def _write(path: Path, trace: Trace) -> None:
    try:
        with replacing(path) as file:
            file.write(json.dumps(trace.document()).encode() + b"\n")
    except OSError as err:
        raise disk.problem(err, "cannot write the trace", where=path) from err


def _own_times(spans: Iterable[Span]) -> list[tuple[Span, float]]:
    """Return each span with its seconds less those of the spans inside it; `spans` are ordered by their start."""
    own: list[list[Any]] = []
    open_spans: dict[tuple[int, int], list[int]] = defaultdict(list)
    for one in spans:
        around = open_spans[one.pid, one.tid]
        while around and own[around[-1]][0].end <= one.start:
            around.pop()
        if around:
            own[around[-1]][1] -= one.seconds
        around.append(len(own))
        own.append([one, one.seconds])
    return [(one, max(seconds, 0.0)) for one, seconds in own]
