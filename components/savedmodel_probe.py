"""The probe of a SavedModel's signatures: a script for a bare interpreter, `python -I savedmodel_probe.py [PARENT]`.

Writes the line `ready` once TensorFlow is imported: what goes wrong before it is no fault of any model, and what goes
wrong after it is. Then reads one JSON line from standard input, a file: `model` (path), `images` (array, uint8 [N, H, W])
and `examples` (list of base64). Writes one JSON line: `tensorflow`, `load_s`, `ours` (which of our packages could be
imported, so none), and under `answers` for each signature either `error` or {output name: array}. An array is {`dtype`,
`shape`, `data` (base64)}. Whoever asks is the judge.

Nothing but TensorFlow may be needed to serve a model, so our own packages are hidden here, and with them what Keras looks for
and does without: a model server has neither, and importing it would take as long as TensorFlow itself.
"""

from __future__ import annotations

import base64
import ctypes
import importlib
import importlib.abc
import json
import os
import signal
import sys
import time
from typing import Any

OURS = ("components", "pipeline")
OPTIONAL = ("IPython", "googleapiclient", "matplotlib", "pandas", "scipy", "sklearn")
"""What TensorFlow and Keras import where it is installed: for notebooks, plots, tables and clouds."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when the thread that started it ends."""


class _Block(importlib.abc.MetaPathFinder):
    """Hides packages: ours an editable install would find even in an isolated interpreter."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        del path, target
        if fullname.partition(".")[0] in (*OURS, *OPTIONAL):
            raise ModuleNotFoundError(f"{fullname} is hidden from the check", name=fullname)


def main() -> None:
    """Answer one request and end; end without an answer when whoever started it ends."""
    _die_with_parent()
    # TensorFlow and whatever a model prints must not get between the answer and its reader.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.meta_path.insert(0, _Block())
    import tensorflow as tf

    answer.write("ready\n")
    answer.flush()
    json.dump(_probe(tf, json.loads(sys.stdin.readline())), answer)
    answer.close()
    os._exit(0)  # TensorFlow's threads take a second to end


def _die_with_parent() -> None:
    # As `pipeline.process.lifeline` has it, hidden from here.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if len(sys.argv) > 1 and os.getppid() != int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)


def _probe(tf: Any, request: dict[str, Any]) -> dict[str, Any]:
    images = _array(request["images"])
    flat = images.reshape(len(images), -1)
    examples = [base64.b64decode(text) for text in request["examples"]]
    started = time.monotonic()
    model = tf.saved_model.load(request["model"])
    load_s = time.monotonic() - started
    asked = {
        "serving_default": flat,
        "serving_images": images,
        "serving_examples": examples,
        "reconstruct": flat,
    }
    answers = {name: _ask(tf, model, name, rows) for name, rows in asked.items()}
    ours = [name for name in OURS if _importable(name)]
    return {"tensorflow": tf.__version__, "load_s": round(load_s, 3), "ours": ours, "answers": answers}


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _ask(tf: Any, model: Any, name: str, rows: Any) -> dict[str, Any]:
    try:
        signature = model.signatures[name]
        (argument,) = signature.structured_input_signature[1]
        outputs = signature(**{argument: tf.constant(rows)})
        return {key: _described(value.numpy()) for key, value in outputs.items()}
    except Exception as err:  # noqa: BLE001  # whatever a model raises is a finding
        return {"error": " ".join(f"{type(err).__name__}: {err}".split())[:500]}


def _array(described: dict[str, Any]) -> Any:
    import numpy as np

    data = base64.b64decode(described["data"])
    return np.frombuffer(data, described["dtype"]).reshape(described["shape"])


def _described(array: Any) -> dict[str, Any]:
    if array.dtype == object:  # strings, whose bytes are elsewhere
        texts = [text.decode(errors="replace") for text in array.ravel().tolist()]
        return {"dtype": "object", "shape": list(array.shape), "texts": texts}
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


if __name__ == "__main__":
    main()
