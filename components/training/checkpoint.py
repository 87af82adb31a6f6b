"""A training's state after an epoch <-> one file, so that a killed training goes on where it was.

Weights, optimiser, the seeds of noise and dropout, the history and the best weights so far: a training that resumes
from it ends in the same weights as one that was never interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from components.training.process import CHECKPOINTS
from components.training.progress import Epoch

Arrays: TypeAlias = tuple[npt.NDArray[np.generic], ...]

_FILE: Final = "training.npz"


@dataclass(frozen=True)
class Snapshot:
    """The state of a training between two epochs.

    Attributes:
      epochs: those done so far.
      variables: of model and optimiser, in their own order.
      best: the model's variables after the epoch with the lowest validation loss; empty where nobody asks for them.
    """

    epochs: tuple[Epoch, ...]
    variables: Arrays
    best: Arrays = ()

    def fits(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether the variables have these shapes."""
        return [array.shape for array in self.variables] == list(shapes)


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of one training is kept between processes; with no folder, nowhere."""

    folder: Path | None

    @classmethod
    def from_environment(cls) -> Checkpoint:
        """Takes the folder from $MNIST_TFX_CHECKPOINTS."""
        folder = os.environ.get(CHECKPOINTS)
        return cls(Path(folder) if folder else None)

    def save(self, snapshot: Snapshot) -> None:
        """Replaces what was kept; a kill at any moment leaves the old file or the new one."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        stage = self.folder / f".{_FILE}.{os.getpid()}"
        with open(stage, "wb") as file:
            np.savez(file, **_to_arrays(snapshot))
        os.replace(stage, self.folder / _FILE)

    def load(self) -> Snapshot | None:
        """Returns what was kept, or None where there is nothing or nothing readable."""
        if self.folder is None or not (self.folder / _FILE).exists():
            return None
        try:
            with np.load(self.folder / _FILE) as arrays:
                return _from_arrays(dict(arrays))
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as err:
            # A lost checkpoint costs time and nothing else, and the history tells that training started over.
            logging.getLogger(__name__).warning("%s: unreadable, training starts over: %s", self.folder / _FILE, err)
            return None

    def discard(self) -> None:
        """Forgets what was kept: the training is over, and a forced rerun has to train again."""
        if self.folder is not None:
            (self.folder / _FILE).unlink(missing_ok=True)


def _to_arrays(snapshot: Snapshot) -> dict[str, npt.NDArray[np.generic]]:
    history = json.dumps([epoch.to_dict() for epoch in snapshot.epochs])
    return {
        "history": np.array(history),
        **{f"variable{i}": array for i, array in enumerate(snapshot.variables)},
        **{f"best{i}": array for i, array in enumerate(snapshot.best)},
    }


def _from_arrays(arrays: dict[str, npt.NDArray[np.generic]]) -> Snapshot:
    def numbered(name: str) -> Arrays:
        return tuple(arrays[f"{name}{i}"] for i in range(sum(key.startswith(name) for key in arrays)))

    epochs = tuple(Epoch(**fields) for fields in json.loads(str(arrays["history"])))
    return Snapshot(epochs=epochs, variables=numbered("variable"), best=numbered("best"))
