"""Entry point of the process that is Beam's job service: it ends with its run from its first moment on.

The service itself takes seconds to import. Meanwhile, and as long as it serves, a thread waits for the run to close the
socket on standard input: then this process and every worker, a process group of their own, end at once, also when the
run was killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path


def main() -> None:
    """Serve until the socket on file descriptor 0 closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run decides when this ends
    run, scratch = socket.socket(fileno=os.dup(0)), Path(sys.argv[1])
    threading.Thread(target=_end_with, args=(run, scratch), daemon=True).start()
    from pipeline.runner.beam import job_service_process  # Beam, 3 s

    job_service_process.serve(run, scratch)


def _end_with(run: socket.socket, scratch: Path) -> None:
    while run.recv(1):
        pass
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
