"""A real browser for tests: Chromium without a window or any network but this machine, driven over its debugging pipe.

The protocol is https://chromedevtools.github.io/devtools-protocol: JSON messages, each ended by a NUL byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
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
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
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
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Returns the answer to a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._send(message if self._session is None else {**message, "sessionId": self._session})
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, page: Path | str, *, width: int, dark: bool = False, medium: str = "") -> None:
        """Loads a file, or an address, in a window of a width; the events are those since then."""
        self.events.clear()
        self.look(width=width, dark=dark, medium=medium)
        loader = self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())["loaderId"]
        # The page before may be at it still, and its end is not that of this one.
        loaded = {"loaderId": loader, "name": "load"}
        while not any(loaded.items() <= event.items() for event in self.seen("Page.lifecycleEvent")):
            self.events.append(self._next())

    def look(self, *, width: int, dark: bool = False, medium: str = "") -> None:
        """Gives the window, and the page in it, a width and a theme."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def seen(self, method: str) -> list[dict[str, Any]]:
        """Returns the parameters of all events of a kind."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def evaluate(self, script: str) -> Any:
        """Returns the value of an expression in the page; the page's own policy does not apply to it."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, script: str, seconds: float = 30) -> Any:
        """Returns the value of an expression as soon as it is true."""
        ends = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            assert time.monotonic() < ends, f"never: {script}"
            time.sleep(0.05)
        return value

    def drag(self, points: Sequence[tuple[float, float]], pointer: str = "mouse") -> None:
        """Draws through points of the window with a mouse or a pen that is pressed."""
        kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
            held = {
                "button": "left",
                "buttons": 0 if kind == "mouseReleased" else 1,
                "clickCount": 1,
                "pointerType": pointer,
            }
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, force=0.5, **held)

    def touch(self, points: Sequence[tuple[float, float]]) -> None:
        """Draws through points of the window with a finger."""
        kinds = ["touchStart", *["touchMove"] * (len(points) - 1)]
        for kind, (x, y) in zip(kinds, points, strict=True):
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str, code: int, text: str = "") -> None:
        """Presses a key, such as `Tab`, whose code Windows has as 9; `text` is what it types."""
        typed = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **(typed if kind == "keyDown" else {}),
            )

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Chooses files for an input."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")["result"]
        self.call("DOM.setFileInputFiles", objectId=found["objectId"], files=[str(path) for path in paths])

    def drop_files(self, at: tuple[float, float], *paths: Path) -> None:
        """Drops files at a point of the window."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=at[0], y=at[1], data=data)

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
