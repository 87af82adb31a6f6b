"""The process of a run from Python: the command line, in the caller's folder, with arguments from standard input.

Arguments are no part of its command line, where every user of the machine could read the password of a metadata store.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys

from pipeline.process import lifeline


def main() -> None:
    """Run the command that standard input names, and exit as it does."""
    # A run settles what is open when it is asked to end; `child` would have it killed.
    lifeline.die_with_parent(signal.SIGTERM)
    told = json.loads(sys.stdin.read())
    os.chdir(told["folder"])
    sys.argv = ["mnist-tfx", *told["arguments"]]
    # As `python -m pipeline`: an import would point upwards.
    runpy.run_module("pipeline", run_name="__main__")
