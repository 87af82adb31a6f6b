"""The process that answers one report: a `Question` as JSON on standard input, an .npz file on standard output."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Answer one question."""
    from pipeline.report.model_answers import answer

    # What TensorFlow prints must not get into the file.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    out.write(answer(**json.load(sys.stdin)))
    out.flush()
    out.close()
    os._exit(0)  # TensorFlow's threads take a second to end
