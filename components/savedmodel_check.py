"""The exported model and real test images -> InfraBlessing: does it answer, rightly shaped, without our code?

The model is loaded by `savedmodel_probe` in an interpreter of its own, which has TensorFlow and nothing of ours, as a
model server has. What comes back is judged here, in NumPy. A crash, a hang or a wrong answer is no error of the
pipeline but a model that is not blessed, with the reason in check.json.
"""

from __future__ import annotations

import atexit
import base64
import dataclasses
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tensorflow.core.example import example_pb2
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.declaration import OWN_PARAMETERS
from components.features import IMAGE, RECONSTRUCT, SERVING_DEFAULT, SERVING_EXAMPLES, SERVING_IMAGES, TEST
from components.serving import FORMAT_SERVING
from components.settings import DataSettings

ROWS: Final = 64
TIMEOUT: Final = 120.0
"""Seconds a model has to load and answer; a second is usual."""

SUM_TOLERANCE: Final = 1e-3
SAME_TOLERANCE: Final = 1e-4
"""How far the signatures' probabilities for one image may lie apart: batches of other sizes round differently."""

CHECK_FILE: Final = "check.json"
BLESSED_FILES: Final = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}
"""The stock InfraValidator's names."""

PROBE: Final = Path(__file__).with_name("savedmodel_probe.py")

Array = npt.NDArray[Any]
Outputs = Mapping[str, tuple[str, tuple[int, ...]]]
"""{output name: (dtype, shape)}."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What is wrong with one signature, or with the model as a whole where `signature` is empty."""

    signature: str
    reason: str

    def __str__(self) -> str:
        return f"{self.signature}: {self.reason}" if self.signature else self.reason


class Probe:
    """The bare interpreter: started early, it imports TensorFlow (7 s) while others work, then waits for its question."""

    def __init__(self) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process that writes to it
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(PROBE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
        atexit.register(self.kill)

    def ask(self, request: Mapping[str, Any], timeout: float = TIMEOUT) -> dict[str, Any]:
        """Puts the one question.

        Returns:
          The answer as `savedmodel_probe` describes it, or {"crash": reason}.
        """
        try:
            out, _ = self._process.communicate(json.dumps(request).encode() + b"\n", timeout=timeout)
            answer: dict[str, Any] = json.loads(out)
        except subprocess.TimeoutExpired:
            return {"crash": f"no answer within {timeout:g} s"}
        except ValueError:
            return {"crash": f"the interpreter ended with {self._ending()}"}
        else:
            return answer
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends the interpreter, whatever it is doing."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        atexit.unregister(self.kill)

    def _ending(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        return (f"signal {-code}" if code < 0 else f"status {code}") + "".join(f": {line}" for line in last)


_warm: list[Probe] = []


def prewarm() -> None:
    """Starts the bare interpreter for the check to come; returns at once, and does nothing the second time."""
    if not _warm:
        _warm.append(Probe())


def _take_probe() -> Probe:
    return _warm.pop() if _warm else Probe()


def first_records(split: Path, count: int) -> list[bytes]:
    """Returns the first `count` records of a split's uncompressed TFRecord files; checksums are TensorFlow's to check."""
    found: list[bytes] = []
    for path in sorted(split.iterdir()):
        with path.open("rb") as file:
            while len(found) < count and (header := file.read(12)):
                (length,) = struct.unpack("<Q", header[:8])
                found.append(file.read(length))
                file.read(4)
    return found


def request_for(model: Path, examples: list[bytes], data: DataSettings) -> dict[str, Any]:
    """Returns the question about one model; images are uint8 [N, H, W]."""
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


def judge(answer: Mapping[str, Any], rows: int, data: DataSettings) -> list[Finding]:
    """Compares answers with what `components.features` promises.

    Args:
      answer: the probe's.
      rows: images it was asked about.
      data: gives pixels and label count.

    Returns:
      What is wrong; nothing, for a sound model.
    """
    if "crash" in answer:
        return [Finding("", answer["crash"])]
    classes: Outputs = {"classes": ("int64", (rows,)), "probabilities": ("float32", (rows, data.label_count))}
    promised: dict[str, Outputs] = {
        SERVING_DEFAULT: classes,
        SERVING_IMAGES: classes,
        SERVING_EXAMPLES: {**classes, "reconstruction_mse": ("float32", (rows,))},
        RECONSTRUCT: {"images": ("float32", (rows, data.pixels))},
    }
    answers = answer["answers"]
    findings = [
        Finding(name, reason) for name, outputs in promised.items() for reason in _misshapen(answers[name], outputs)
    ]
    if findings:
        return findings
    arrays = {name: {key: _array(value) for key, value in outputs.items()} for name, outputs in answers.items()}
    findings = [Finding(name, reason) for name, outputs in arrays.items() for reason in _wrong_values(outputs)]
    return findings or list(_disagreements(arrays))


def _misshapen(outputs: Mapping[str, Any], promised: Outputs) -> Iterator[str]:
    if "error" in outputs:
        yield outputs["error"]
    elif set(outputs) != set(promised):
        yield f"wanted outputs {', '.join(sorted(promised))}, got {', '.join(sorted(outputs))}"
    else:
        for name, (dtype, shape) in promised.items():
            got = outputs[name]
            if (got["dtype"], tuple(got["shape"])) != (dtype, shape):
                yield f"{name}: wanted {dtype} {list(shape)}, got {got['dtype']} {got['shape']}"


def _wrong_values(outputs: Mapping[str, Array]) -> Iterator[str]:
    for name, array in outputs.items():
        if not np.isfinite(array).all():
            yield f"{name}: {np.count_nonzero(~np.isfinite(array))} of {array.size} values are not finite"
    if "probabilities" in outputs:
        yield from _wrong_probabilities(outputs["probabilities"], outputs["classes"])
    if "reconstruction_mse" in outputs and (outputs["reconstruction_mse"] < 0).any():
        yield "reconstruction_mse: a squared error below zero"


def _wrong_probabilities(probabilities: Array, classes: Array) -> Iterator[str]:
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if (probabilities < 0).any():
        yield f"probabilities: {probabilities.min():.4g} is below zero"
    if (off := np.abs(sums - 1)).max() > SUM_TOLERANCE:
        yield f"probabilities: a row sums to {sums[off.argmax()]:.4g}"
    if (wrong := np.flatnonzero(classes != probabilities.argmax(axis=1))).size:
        row = wrong[0]
        yield f"classes: row {row} is {classes[row]}, but class {probabilities[row].argmax()} is the most probable"


def _disagreements(arrays: Mapping[str, Mapping[str, Array]]) -> Iterator[Finding]:
    reference = arrays[SERVING_DEFAULT]["probabilities"]
    for name in (SERVING_IMAGES, SERVING_EXAMPLES):
        apart = float(np.abs(arrays[name]["probabilities"] - reference).max())
        if apart > SAME_TOLERANCE:
            yield Finding(name, f"probabilities: up to {apart:.4g} away from {SERVING_DEFAULT} on the same images")


def _array(described: Mapping[str, Any]) -> Array:
    return np.frombuffer(base64.b64decode(described["data"]), described["dtype"]).reshape(described["shape"])


def read_check(uri: str | Path) -> dict[str, Any]:
    """Returns the content of an InfraBlessing's check.json: `blessed`, `rows`, `reasons`, `tensorflow`, `load_s`."""
    found: dict[str, Any] = json.loads((Path(uri) / CHECK_FILE).read_text())
    return found


class SavedModelCheckSpec(ComponentSpec):  # type: ignore[misc]  # tfx has no annotations
    """Model and examples in, the stock InfraValidator's blessing out."""

    PARAMETERS = {"data": ExecutionParameter(type=str), **OWN_PARAMETERS}  # noqa: RUF012  # TFX's idiom
    INPUTS = {  # noqa: RUF012  # TFX's idiom
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}  # noqa: RUF012  # TFX's idiom


class SavedModelCheckExecutor(base_executor.BaseExecutor):  # type: ignore[misc]  # tfx has no annotations
    """Asks the probe, judges, and blesses or does not."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: Mapping[str, list[Any]],
        output_dict: Mapping[str, list[Any]],
        exec_properties: Mapping[str, Any],
    ) -> None:
        """Runs the check; a model that fails it is no error here, but a blessing that says no."""
        self._log_startup(input_dict, output_dict, exec_properties)
        data = DataSettings.from_json(exec_properties["data"])
        examples = artifact_utils.get_split_uris(input_dict["examples"], TEST)
        records = first_records(Path(examples[0]), ROWS)
        model = Path(artifact_utils.get_single_uri(input_dict["model"])) / FORMAT_SERVING
        answer = (
            _take_probe().ask(request_for(model, records, data)) if records else {"crash": "no test rows to ask about"}
        )
        _bless(
            artifact_utils.get_single_instance(output_dict["blessing"]),
            answer,
            judge(answer, len(records), data),
            len(records),
        )


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


class SavedModelCheck(base_component.BaseComponent):  # type: ignore[misc]  # tfx has no annotations
    """Loads the exported model where nothing of ours is, and asks it real questions."""

    SPEC_CLASS = SavedModelCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SavedModelCheckExecutor)

    def __init__(
        self, *, model: channel.BaseChannel, examples: channel.BaseChannel, data: str, code_digest: str
    ) -> None:
        """Declares the node.

        Args:
          model: the candidate.
          examples: its first test rows are the questions.
          data: `DataSettings` as canonical JSON.
          code_digest: of this node's code.
        """
        super().__init__(
            SavedModelCheckSpec(
                model=model,
                examples=examples,
                data=data,
                code_digest=code_digest,
                blessing=channel.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
