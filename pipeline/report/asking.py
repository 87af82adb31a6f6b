"""Answers of a run's models: those that were kept, or new ones from a process with TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from components.arrays import parse_npz
from components.digest import canonical_json, sha256_bytes
from components.errors import BadInput, EnvironmentProblem
from components.files import PART_PATTERN, replacing
from components.serving import FORMAT_SERVING
from pipeline.process import child
from pipeline.report import model_answers
from pipeline.report.model_answers import Arrays, Question
from pipeline.report.run_data import NotThereError, RunData
from pipeline.stages import AUTOENCODER, CLASSIFIER, INGEST, TRANSFORM

FUNCTION: Final = "pipeline.report.model_answers:answer"

KEPT: Final = 12
"""Files of answers in a root, the newest; each is about a megabyte, and can be asked for again."""

DAY: Final = 86_400

_NAME: Final = re.compile(r"[0-9a-f]{64}\.npz")
"""As `_key` names them; whatever else is in the folder is not ours."""

Ask = Callable[[Mapping[str, Any]], bytes]
"""The fields of a `Question` -> an .npz file, from a process that has TensorFlow."""

MODELS: Final = {
    "transform": (TRANSFORM, "transform_graph", ""),
    "autoencoder": (AUTOENCODER, "model", FORMAT_SERVING),
    "classifier": (CLASSIFIER, "model", FORMAT_SERVING),
}
"""{field of a `Question`: node, channel, folder in the artifact}."""


def answered(evidence: RunData, ask: Ask, *, keep: bool = True) -> Arrays:
    """Return what the models of a run answer; nothing where it has no model.

    Args:
      evidence: of the run.
      ask: what asks the models, if no answers were kept.
      keep: whether new answers are kept in the root, for the next report.

    Raises:
      EnvironmentProblem: if the process that is asked fails.
    """
    try:
        examples = evidence.artifact(INGEST, "examples")
    except NotThereError:
        return {}
    models = {field: _folder(evidence, *place) for field, place in MODELS.items()}
    if models["autoencoder"] is None and models["classifier"] is None:
        return {}
    kept = evidence.paths.report_answers(_key(evidence))
    try:
        return model_answers.read(kept)
    except BadInput:
        pass  # never asked, or not wholly written: asked now
    data = evidence.settings.data.to_json()
    question = Question(examples=str(examples), data=data, **models)
    answers = ask(dataclasses.asdict(question))
    if not keep:
        return parse_npz(answers, where="report", error=EnvironmentProblem)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with replacing(kept) as file:
        file.write(answers)
    _forget_old(kept.parent)
    return model_answers.read(kept)


def own_process(question: Mapping[str, Any]) -> bytes:
    """Ask a process of its own, which imports TensorFlow first.

    Raises:
      EnvironmentProblem: if it fails.
    """
    env = {**child.ENGINE_ENV, **child.CPU_ONLY}
    done = child.run("pipeline.report.model_answers_process", env=env, input=canonical_json(dict(question)))
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EnvironmentProblem("the model cannot be asked", where="report", got=last)
    return bytes(done.stdout)


def _forget_old(folder: Path) -> None:
    """Remove all answers but the newest, and what a killed report left of a file a day ago or earlier."""
    if folder.is_symlink():
        return  # what it points at may be somebody's own folder, with arrays of theirs
    with contextlib.suppress(OSError):  # another report may be at the same
        kept = [file for file in folder.glob("*.npz") if _NAME.fullmatch(file.name)]
        kept.sort(key=lambda file: file.stat().st_mtime, reverse=True)
        parts = [part for part in folder.glob(PART_PATTERN) if part.stat().st_mtime < time.time() - DAY]
        for file in kept[KEPT:] + parts:
            file.unlink(missing_ok=True)


def _folder(evidence: RunData, node: str, channel: str, inner: str) -> str | None:
    try:
        return str(evidence.artifact(node, channel) / inner)
    except NotThereError:
        return None


def _key(evidence: RunData) -> str:
    digests = {field: evidence.digest(node, channel) for field, (node, channel, _) in MODELS.items()}
    examples = evidence.digest(INGEST, "examples")
    return sha256_bytes(canonical_json({**digests, "examples": examples, "version": model_answers.VERSION}))
