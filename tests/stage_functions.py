"""What the tests have a stage's process do; imported there by name."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def killed(number: int, says: str = "") -> bytes:
    os.write(2, says.encode() + b"\n")
    os.kill(os.getpid(), number)
    return b"alive"


def ended(code: int) -> bytes:
    os._exit(code)


def working(note: str) -> bytes:
    """Starts a process as Beam starts its workers, leaves a file as AutoGraph does, notes both and goes on for ever."""
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    _, path = tempfile.mkstemp(prefix="__autograph_generated_file")
    Path(f"{note}.part").write_text(f"{os.getpid()} {worker.pid} {path}")
    Path(f"{note}.part").rename(note)
    time.sleep(600)
    return b""


def fine() -> bytes:
    return b"fine"
