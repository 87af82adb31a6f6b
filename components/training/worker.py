"""The process of one worker of a multiworker training; see `workers`.

Standard input begins with the fields of FnArgs as a JSON line, and stays open as long as the chief lives. The argument is
the Trainer's module: `python -m components.training.worker components.classifier.trainer`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import types


def main() -> None:
    """Call the `run_fn` of the module that is named, and end at once when standard input does."""
    fields = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_chief, daemon=True).start()
    # Stands for TFX's FnArgs, which would bring all of TFX.
    importlib.import_module(sys.argv[1]).run_fn(types.SimpleNamespace(**fields))


def _end_with_chief() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
