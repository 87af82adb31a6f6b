"""Trainings that were still getting better when their epochs were over: what to say where their model is not good enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from components.errors import AGAIN, MnistTfxError
from components.untrusted import read_object
from pipeline.provenance.records import ExecutionRecord
from pipeline.stages import SECTIONS, TRAINERS

MODEL_RUN: Final = "model_run"
TRAINING_FILE: Final = "training.json"


def commands(root: Path, trained: Mapping[str, ExecutionRecord]) -> Iterator[str]:
    """Yield the command that trains for twice as long, for trainings whose last epoch was their best.

    Args:
      root: of the pipeline.
      trained: {Trainer: the execution whose model was refused}.
    """
    longer = {node: epochs for node in TRAINERS if node in trained and (epochs := _ended_learning(root, trained[node]))}
    if longer:
        settings = " ".join(f"--set {SECTIONS[node]}.epochs={2 * epochs}" for node, epochs in longer.items())
        yield f"{AGAIN} {settings} # {' and '.join(longer)} ended with the best epoch: train longer"


def _ended_learning(root: Path, record: ExecutionRecord) -> int | None:
    """Return the epochs of a training whose last one had the lowest loss on validation; None for any other."""
    try:
        training = read_object(root / record.outputs[MODEL_RUN][0].path / TRAINING_FILE)
        losses = [float(epoch["val_loss"]) for epoch in training["history"]]
        epochs = int(training["epochs_run"])
    except (MnistTfxError, LookupError, TypeError, ValueError):
        return None  # gone, or of another release: nothing is advised then
    return epochs if len(losses) > 1 and losses[-1] < min(losses[:-1]) else None
