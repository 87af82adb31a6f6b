"""A signal at the n-th change of a file below some folders, whichever of a command's processes makes it.

Python tells an audit hook of each file that is opened to be written, renamed, linked or removed, and of each folder that
is made or removed. It does not tell of writes and fsyncs: these are wrapped. What C++ writes by itself (ML Metadata's
SQLite, checkpoints of TensorFlow) passes unseen.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

CHANGES: Final = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
OPENED_TO_WRITE: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Trigger:
    """Counts changes of files, and sends one signal.

    Args:
      count: gets a byte for each change: several processes count together.
      places: folders whose files count.
      at: the change before which the signal is sent; None only counts.
      number: the signal, which the process that is about to make the change gets.
    """

    def __init__(self, count: Path, places: tuple[Path, ...], at: int | None, number: int) -> None:
        self._at, self._number = at, number
        self._places = tuple(os.fspath(place) for place in places)
        self._counter = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self._write = os.write

    def arm(self) -> None:
        """Watches this process from now on, and those that it forks."""
        sys.addaudithook(self._audited)
        for name in ("fsync", "write", "pwrite"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: int, *arguments: Any) -> Any:
            if self._counts(descriptor) and self._is_due():
                if name != "fsync" and self._number == signal.SIGKILL:
                    data, *rest = arguments
                    real(descriptor, data[: len(data) // 2], *rest)  # a kill can come in the middle of a long write
                self._fire()
            return real(descriptor, *arguments)

        return call

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & OPENED_TO_WRITE:
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        folder = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
        if self._counts(path, folder) and self._is_due():
            self._fire()

    def _counts(self, path: Any, folder: int = -1) -> bool:
        """Returns whether a path, or a descriptor, is of a file below the places."""
        try:
            if isinstance(path, int):
                path = os.readlink(f"/proc/self/fd/{path}")
            path = os.fsdecode(path)
            if folder != -1:
                path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        except (OSError, TypeError):
            return False
        return os.path.abspath(path).startswith(self._places)

    def _is_due(self) -> bool:
        self._write(self._counter, b".")
        return os.fstat(self._counter).st_size == self._at

    def _fire(self) -> None:
        os.kill(os.getpid(), self._number)


class AtNode:
    """Does something in the process of a run when one of its nodes begins; `forked` arms it in a command.

    Args:
      node: the node's id.
      act: what to do.
    """

    def __init__(self, node: str, act: Callable[[], None]) -> None:
        self._node, self._act = node, act

    def arm(self) -> None:
        """Watches the nodes of this process's run from now on."""
        from pipeline.runner.progress import RunView

        started = RunView.started

        def watched(view: RunView, node: str) -> None:
            if node == self._node:
                self._act()
            started(view, node)

        RunView.started = watched  # type: ignore[method-assign]  # in this process alone
