"""The process that a simulated pod runs."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.kubeflow import names


def pod_of(node: str, process: "subprocess.Popen[str]") -> int:
    """Waits for the process of a task that `process` simulates, and returns its id."""
    while process.poll() is None:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                if _is_pod(folder, node) and process.pid in _ancestors(folder):
                    return int(folder.name)
        time.sleep(0.05)
    raise AssertionError(f"{node} never started")


def _is_pod(folder: Path, node: str) -> bool:
    words = (folder / "cmdline").read_bytes().split(b"\0")
    return names.ENTRYPOINT.encode() in words and [b"--node", node.encode()] == words[3:5]


def _ancestors(folder: Path) -> Iterator[int]:
    """Yields the ids of a process's parent, of its parent, and so on: other tests simulate at the same time."""
    while parent := int((folder / "stat").read_text().rpartition(")")[2].split()[1]):
        yield parent
        folder = folder.with_name(str(parent))
