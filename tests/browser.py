"""A real browser for tests: Chromium without a window or a network, driven over its debugging pipe.

The protocol is https://chromedevtools.github.io/devtools-protocol: JSON messages, each ended by a NUL byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)


def executable() -> str | None:
    """Returns the path of Chromium, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """A browser with one tab; `events` are the messages that nothing asked for."""

    def __init__(self, reader: int, writer: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._reader, self._writer = os.fdopen(reader, "rb"), os.fdopen(writer, "wb")
        self._rest, self._number, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Returns the answer to a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._send(message if self._session is None else {**message, "sessionId": self._session})
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, page: Path, *, width: int, dark: bool = False, medium: str = "") -> None:
        """Loads a file in a window of a width; the events are those since then."""
        self.events.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=page.as_uri())
        while not self.seen("Page.loadEventFired"):
            self.events.append(self._next())

    def seen(self, method: str) -> list[dict[str, Any]]:
        """Returns the parameters of all events of a kind."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def evaluate(self, script: str) -> Any:
        """Returns the value of an expression in the page; the page's own policy does not apply to it."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\0")
        self._writer.flush()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = self._reader.read1(1 << 16)
            if not read:
                raise EOFError("the browser ended")
            self._rest += read
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


@contextlib.contextmanager
def started(chromium: str, profile: Path) -> Iterator[Browser]:
    """Starts the browser with a profile of its own, and ends it."""
    (its_in, our_out), (our_in, its_out) = os.pipe(), os.pipe()
    # It reads commands from descriptor 3 and answers on 4; the pipes must not lie there already.
    commands, answers = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (its_in, its_out))

    def connect() -> None:
        os.dup2(commands, 3)
        os.dup2(answers, 4)

    process = subprocess.Popen(
        [chromium, *FLAGS, f"--user-data-dir={profile}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(3, 4),
        preexec_fn=connect,  # noqa: PLW1509 - two calls of dup2, and no other way to a descriptor's number
    )
    for end in (its_in, its_out, commands, answers):
        os.close(end)
    try:
        yield Browser(our_in, our_out)
    finally:
        process.kill()
        process.wait()
