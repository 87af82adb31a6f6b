"""The SavedModelCheck node: does the exported model answer real test images, rightly shaped, without our code?

The model is loaded by `savedmodel_probe` in an interpreter of its own, which has TensorFlow and nothing of ours, as a
model server has. What comes back is judged by `savedmodel_answers`. A crash, a hang or a wrong answer is no error of the
pipeline but a model that is not blessed, with the reason in check.json. An interpreter that ends or hangs before it has
TensorFlow has not looked at any model: that is an error, and nothing is recorded that a later run could take from the
cache.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from tensorflow.core.example import example_pb2
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.base import Component, Executor
from components.declaration import OWN_PARAMETERS
from components.errors import BadInput, EnvironmentProblem
from components.features import IMAGE, TEST
from components.savedmodel_answers import Finding, judge
from components.serving import FORMAT_SERVING
from components.settings import DataSettings
from components.untrusted import parse_object, read_object

ROWS: Final = 64
TIMEOUT: Final = 120.0
"""Seconds a model has to load and answer; a second is usual."""

READY_TIMEOUT: Final = 300.0
"""Seconds an interpreter has to import TensorFlow; seven are usual, and many more on a machine that swaps."""

READY: Final = b"ready\n"

CHECK_FILE: Final = "check.json"
BLESSED_FILES: Final = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}
"""The stock InfraValidator's names."""

PROBE: Final = Path(__file__).with_name("savedmodel_probe.py")


class Probe:
    """The bare interpreter with its one question: it imports TensorFlow, asks the model, and holds the answer ready.

    Args:
      request: as `savedmodel_probe` describes it.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process that writes to it
        # A file and no pipe, which would be full before the interpreter begins to read.
        with tempfile.TemporaryFile() as question:
            question.write(json.dumps(request).encode() + b"\n")
            question.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(PROBE), str(os.getpid())],
                stdin=question,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"},
            )
        self._answers = -1 if self._process.stdout is None else self._process.stdout.fileno()
        atexit.register(self.kill)

    def answer(self, timeout: float = TIMEOUT, ready_timeout: float = READY_TIMEOUT) -> dict[str, Any]:
        """Wait for the answer.

        Args:
          timeout: seconds for the model, from now on or from when the interpreter is ready.
          ready_timeout: seconds for the interpreter to get ready for it.

        Returns:
          The answer as `savedmodel_probe` describes it, or {"crash": reason}.

        Raises:
          EnvironmentProblem: if the interpreter does not get as far as the question.
        """
        try:
            self._await_ready(ready_timeout)
            out, _ = self._process.communicate(timeout=timeout)
            answer = parse_object(out, where="savedmodel_probe")
        except subprocess.TimeoutExpired:
            return {"crash": f"no answer within {timeout:g} s"}
        except (BadInput, ValueError):  # ValueError: its pipe was closed
            return {"crash": f"the interpreter ended with {self._ending()}"}
        else:
            return answer
        finally:
            self.kill()

    def kill(self) -> None:
        """End the interpreter, whatever it is doing."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        atexit.unregister(self.kill)

    def _await_ready(self, timeout: float) -> None:
        said, deadline = b"", time.monotonic() + timeout
        while said != READY:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                raise _no_probe(f"not ready within {timeout:g} s")
            # Past the buffer of the file object, into which `communicate` does not look.
            piece = os.read(self._answers, len(READY) - len(said))
            said += piece
            if not piece:
                raise _no_probe(f"it ended with {self._ending()}")
            if not READY.startswith(said):
                raise _no_probe(f"it said {said!r}")

    def _ending(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        return (f"signal {-code}" if code < 0 else f"status {code}") + "".join(f": {line}" for line in last)


def _no_probe(got: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        "the interpreter that checks the model did not get ready",
        where=sys.executable,
        wanted="TensorFlow imported",
        got=got,
        hint="killed, or out of memory? run again; `mnist-tfx doctor` looks at the installation",
    )


_ahead: list[Probe] = []


def ask_ahead(model: Path, examples: Path, data: DataSettings) -> None:
    """Have a bare interpreter ask the model for the check to come, while others work; return at once.

    Args:
      model: folder of the Model artifact.
      examples: folder of the Examples artifact.
      data: how its images are shaped.
    """
    request = _request(model, examples / f"Split-{TEST}", data)
    if request is not None and not any(probe.request == request for probe in _ahead):
        _ahead.append(Probe(request))


def _probe(request: Mapping[str, Any]) -> Probe:
    """Return the interpreter that was asked this ahead, or a new one; one with another question is ended."""
    while _ahead:
        if (probe := _ahead.pop()).request == request:
            return probe
        probe.kill()
    return Probe(request)


def _request(model: Path, split: Path, data: DataSettings) -> dict[str, Any] | None:
    """Return the question about a model and the first rows of a split; None without any."""
    records = first_records(split, ROWS)
    return request_for(model / FORMAT_SERVING, records, data) if records else None


def first_records(split: Path, count: int) -> list[bytes]:
    """Return the first `count` records of a split's uncompressed TFRecord files; checksums are TensorFlow's to check."""
    found: list[bytes] = []
    for path in sorted(split.iterdir()):
        with path.open("rb") as file:
            while len(found) < count and (header := file.read(12)):
                (length,) = struct.unpack("<Q", header[:8])
                found.append(file.read(length))
                file.read(4)
    return found


def request_for(model: Path, examples: list[bytes], data: DataSettings) -> dict[str, Any]:
    """Return the question about one model; images are uint8 [N, H, W]."""
    rows = [example_pb2.Example.FromString(example).features.feature[IMAGE].int64_list.value for example in examples]
    images = np.array(rows, np.uint8).reshape(-1, *data.shape)
    return {
        "model": str(model),
        "images": {
            "dtype": "uint8",
            "shape": list(images.shape),
            "data": base64.b64encode(images.tobytes()).decode(),
        },
        "examples": [base64.b64encode(example).decode() for example in examples],
    }


def read_check(uri: str | Path) -> dict[str, Any]:
    """Return the content of an InfraBlessing's check.json: `blessed`, `rows`, `reasons`, `tensorflow`, `load_s`.

    Raises:
      EnvironmentProblem: if there is none.
    """
    return read_object(Path(uri) / CHECK_FILE, error=EnvironmentProblem)


class SavedModelCheckSpec(ComponentSpec):  # type: ignore[misc]  # tfx has no annotations
    """Model and examples in, the stock InfraValidator's blessing out."""

    PARAMETERS = {
        "data": ExecutionParameter(type=str),
        "reconstructs": ExecutionParameter(type=int),
        **OWN_PARAMETERS,
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}


class SavedModelCheckExecutor(Executor):
    """Asks the probe, judges, and blesses or does not."""

    def execute(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
        """Run the check; a model that fails it is no error here, but a blessing that says no.

        Raises:
          EnvironmentProblem: if no interpreter could be got ready to look at the model.
        """
        data = DataSettings.from_json(properties["data"])
        split = Path(artifact_utils.get_split_uri([inputs["examples"]], TEST))
        request = _request(Path(inputs["model"].uri), split, data)
        rows = len(request["examples"]) if request is not None else 0
        answer = {"crash": "no test rows to ask about"} if request is None else _probe(request).answer()
        findings = judge(answer, rows, data, reconstructs=bool(properties["reconstructs"]))
        _bless(outputs["blessing"], answer, findings, rows)


def _bless(blessing: Any, answer: Mapping[str, Any], findings: list[Finding], rows: int) -> None:
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BLESSED_FILES[not findings]).touch()
    blessing.set_int_custom_property("blessed", int(not findings))
    report = {
        "blessed": not findings,
        "rows": rows,
        "reasons": [str(finding) for finding in findings],
        "tensorflow": answer.get("tensorflow"),
        "load_s": answer.get("load_s"),
    }
    (folder / CHECK_FILE).write_text(json.dumps(report, indent=1) + "\n")


class SavedModelCheck(Component):
    """Loads the exported model where nothing of ours is, and asks it real questions."""

    SPEC_CLASS = SavedModelCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SavedModelCheckExecutor)
