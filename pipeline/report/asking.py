"""Answers of a run's models: those that were kept, or new ones from a process with TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from components.arrays import parse_npz
from components.digest import canonical_json, sha256_bytes
from components.errors import BadInput, EnvironmentProblem
from components.files import remove_dead_parts, replacing
from components.serving import FORMAT_SERVING
from components.settings import DataSettings
from pipeline.process import child
from pipeline.provenance.artifacts import ArtifactEntry
from pipeline.provenance.records import ExecutionRecord
from pipeline.report import model_answers
from pipeline.report.model_answers import Arrays, Question
from pipeline.report.run_data import RunData
from pipeline.root.paths import RunPaths
from pipeline.stages import AUTOENCODER, CLASSIFIER, INGEST, TRANSFORM

FUNCTION: Final = "pipeline.report.model_answers:answer"

KEPT: Final = 12
"""Files of answers in a root, the newest; each is about a megabyte, and can be asked for again."""

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
    paths, executions = evidence.paths, evidence.executions
    kept = kept_answers(paths, executions)
    if kept is None:
        return {}
    try:
        return model_answers.read(kept)
    except BadInput:
        pass  # never asked, or not wholly written: asked now
    answers = ask(dataclasses.asdict(question_about(paths, executions, evidence.settings.data)))
    if not keep:
        return parse_npz(answers, where="report", error=EnvironmentProblem)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with replacing(kept) as file:
        file.write(answers)
    _forget_old(kept.parent)
    return model_answers.read(kept)


def kept_answers(paths: RunPaths, executions: Mapping[str, ExecutionRecord]) -> Path | None:
    """Return the file that has the answers of a run's models once they were given.

    Args:
      paths: of the root.
      executions: {node: record of the execution whose outputs the run has}.

    Returns:
      None, where there is no model, or no row to ask it about.
    """
    examples = _entry(executions, INGEST, "examples")
    if examples is None or not (paths.root / examples.path).is_dir():
        return None
    entries = {field: _entry(executions, node, channel) for field, (node, channel, _) in MODELS.items()}
    if not _folders(paths, executions).keys() & {"autoencoder", "classifier"}:
        return None
    digests = {field: None if entry is None else entry.sha256 for field, entry in entries.items()}
    key = {**digests, "examples": examples.sha256, "version": model_answers.VERSION}
    return paths.report_answers(sha256_bytes(canonical_json(key)))


def question_about(paths: RunPaths, executions: Mapping[str, ExecutionRecord], data: DataSettings) -> Question:
    """Return what is asked of a run's models; see `kept_answers`.

    Args:
      paths: of the root.
      executions: of the run, which has a model and rows.
      data: settings of its data.
    """
    folders = _folders(paths, executions)
    return Question(
        examples=str(paths.root / executions[INGEST].outputs["examples"][0].path),
        transform=folders.get("transform"),
        autoencoder=folders.get("autoencoder"),
        classifier=folders.get("classifier"),
        data=data.to_json(),
    )


def _folders(paths: RunPaths, executions: Mapping[str, ExecutionRecord]) -> dict[str, str]:
    """Return {field of a `Question`: folder} of the models that are there."""
    found = {}
    for field, (node, channel, inner) in MODELS.items():
        entry = _entry(executions, node, channel)
        if entry is not None and (paths.root / entry.path).is_dir():
            found[field] = str(paths.root / entry.path / inner)
    return found


def _entry(executions: Mapping[str, ExecutionRecord], node: str, channel: str) -> ArtifactEntry | None:
    entries = executions[node].outputs.get(channel) if node in executions else None
    return entries[0] if entries else None


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
    """Remove all answers but the newest, and what a killed report left of a file."""
    if folder.is_symlink():
        return  # what it points at may be somebody's own folder, with arrays of theirs
    with contextlib.suppress(OSError):  # another report may be at the same
        kept = [file for file in folder.glob("*.npz") if _NAME.fullmatch(file.name)]
        kept.sort(key=lambda file: file.stat().st_mtime, reverse=True)
        for file in kept[KEPT:]:
            file.unlink(missing_ok=True)
        remove_dead_parts(folder)
