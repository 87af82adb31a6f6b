"""Trainings that go on from a checkpoint, in words: what there is to go on from, and what a training then did."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from components.arrays import read_npz
from components.errors import MnistTfxError
from components.untrusted import parse_json, read_json
from pipeline.provenance.records import ExecutionRecord

CHECKPOINT: Final = "training.npz"
"""As `components.training.checkpoint` has it, which cannot be imported without TensorFlow."""

HISTORY: Final = "history"
BEGUN: Final = "begun"
TRAINING: Final = "training.json"


def epochs_kept(folder: Path) -> int | None:
    """Return the number of whole epochs after which a training would go on, None if it would begin.

    Args:
      folder: of the checkpoints of exactly this training.
    """
    try:
        arrays = read_npz(folder / CHECKPOINT)
        epochs = parse_json(str(arrays[HISTORY]), where=folder)
        is_begun = BEGUN in arrays and parse_json(str(arrays[BEGUN]), where=folder).get("rows")
    except (KeyError, AttributeError, MnistTfxError):
        return None  # the Trainer starts over as well
    return len(epochs) if isinstance(epochs, list) and (epochs or is_begun) else None


def resumed(root: Path, record: ExecutionRecord) -> str | None:
    """Return what a Trainer's execution says of going on, such as "resumed at epoch 5 of 8"; None if it began anew."""
    for run in record.outputs.get("model_run", ()):
        try:
            training = read_json(root / run.path / TRAINING)
        except MnistTfxError:
            continue  # the audit reports it
        if isinstance(training, dict) and (text := _resumed(training)) is not None:
            return text
    return None


def _resumed(training: dict[str, Any]) -> str | None:
    done, total = training.get("resumed_from_epoch"), training.get("epochs_run")
    if not isinstance(done, int) or not isinstance(total, int):
        return None
    # Killed after its last epoch, it has only the model left to write.
    return f"resumed at epoch {done + 1} of {total}" if done < total else f"resumed after all of its {total} epochs"
