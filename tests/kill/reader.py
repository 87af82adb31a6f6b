"""A reader that polls a serving directory as TensorFlow Serving does: the highest number is loaded, whole."""

from __future__ import annotations

import json
import mmap
import os
import time
from pathlib import Path
from typing import Any, Final

from components.digest import tree_digest

POLL_S: Final = 0.002
MODEL: Final = "saved_model.pb"


class Watch:
    """A process that reads until it is asked what it saw."""

    def __init__(self, serving: Path) -> None:
        self._polls = mmap.mmap(-1, 8)
        answers, self._to = os.pipe()
        stop, self._stop = os.pipe()
        self._answers = answers
        self._process = os.fork()
        if self._process == 0:
            code = 1
            try:
                os.close(self._stop)
                os.close(answers)
                os.set_blocking(stop, False)
                os.write(self._to, json.dumps(_read_until_closed(serving, stop, self._polls)).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(self._to)
        os.close(stop)

    def await_polls(self, count: int) -> None:
        """Waits until the reader has polled a number of times more."""
        wanted = self._polled() + count
        while self._polled() < wanted:
            time.sleep(POLL_S)

    def _polled(self) -> int:
        return int.from_bytes(self._polls[:], "little")

    def end(self) -> dict[str, Any]:
        """Returns `{"polls", "digests": {version: digest}, "wrong": [what was seen and must never be]}`."""
        os.close(self._stop)
        with os.fdopen(self._answers, "rb") as answers:
            seen = json.loads(answers.read())
        os.waitpid(self._process, 0)
        return dict(seen)


def _read_until_closed(serving: Path, stop: int, shown: mmap.mmap) -> dict[str, Any]:
    digests: dict[int, str] = {}
    wrong: set[str] = set()
    polls = 0
    while not _is_closed(stop):
        polls += 1
        newest = _newest(serving)
        if newest is None:
            if digests:
                wrong.add("no version is there, where there was one")
        else:
            found = _load(serving / str(newest))
            if found is not None:
                if digests.setdefault(newest, found) != found:
                    wrong.add(f"version {newest} has other bytes than before")
            elif _newest(serving) in (newest, None):
                wrong.add(f"version {newest} is the newest and cannot be loaded")
        shown[:] = polls.to_bytes(8, "little")
        time.sleep(POLL_S)
    return {"polls": polls, "digests": digests, "wrong": sorted(wrong)}


def _is_closed(stop: int) -> bool:
    try:
        return os.read(stop, 1) == b""
    except BlockingIOError:
        return False


def _newest(serving: Path) -> int | None:
    try:
        return max((int(name) for name in os.listdir(serving) if name.isdecimal()), default=None)
    except FileNotFoundError:
        return None


def _load(version: Path) -> str | None:
    """Returns the digest of a version's model, or None if something of it is not there."""
    try:
        if not (version / MODEL).stat().st_size or not any((version / "variables").iterdir()):
            return None
        return tree_digest(version)
    except OSError:
        return None
