"""The process that a simulated pod runs."""

import subprocess
import time
from pathlib import Path

from pipeline.kubeflow import names


def pod_of(node: str, process: "subprocess.Popen[str]") -> int:
    """Waits for a task's process and returns its id."""
    while process.poll() is None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if names.ENTRYPOINT.encode() in words and [b"--node", node.encode()] == words[3:5]:
                return int(folder.name)
        time.sleep(0.05)
    raise AssertionError(f"{node} never started")
