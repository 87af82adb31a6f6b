"""Checkpoints of a training, after each epoch and within long ones, so that a killed training goes on where it was.

Weights, optimiser, the seeds of noise and dropout, the history and the best weights so far: a training that resumes
from it ends in the same weights as one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from components.arrays import parse_npz
from components.errors import BadInput
from components.files import remove_parts, replacing
from components.shapes import Shape
from components.training.cluster import Cluster
from components.training.kernels import Kernels
from components.training.process import CHECKPOINTS
from components.training.progress import Epoch
from components.untrusted import LARGEST_ARRAYS, parse_json, read_bytes

Arrays: TypeAlias = tuple[npt.NDArray[np.generic], ...]

_FILE: Final = "training.npz"


@dataclass(frozen=True)
class Begun:
    """How far the epoch is that is not over yet.

    Attributes:
      rows: of its order that were learned from.
      loss: sum over them.
      seconds: of wall time.
    """

    rows: int = 0
    loss: float = 0.0
    seconds: float = 0.0

    def is_in(self, rows: int, batch: int) -> bool:
        """Return whether it is between two batches of an epoch of `rows` rows."""
        return 0 <= self.rows < rows and self.rows % batch == 0


@dataclass(frozen=True)
class _History:
    epochs: tuple[Epoch, ...]
    begun: Begun


_HISTORY: Final = Shape(_History)


@dataclass(frozen=True)
class Snapshot:
    """The state of a training between two steps.

    Attributes:
      epochs: those done so far.
      variables: of model and optimiser, in their own order.
      best: the model's variables after the epoch with the lowest validation loss; empty where nobody asks for them.
      kernels: of the first layer, so far.
      begun: the epoch after `epochs`, as far as it has come.
    """

    epochs: tuple[Epoch, ...]
    variables: Arrays
    best: Arrays = ()
    kernels: Kernels = field(default_factory=dict)
    begun: Begun = Begun()

    @classmethod
    def from_bytes(cls, content: bytes) -> Snapshot | None:
        """Restore a snapshot from `to_bytes`'s content, or return None where it is nothing readable."""
        if not content:
            return None
        try:
            return _from_arrays(parse_npz(content, where=_FILE))
        except BadInput as err:
            # A lost checkpoint costs time and nothing else, and the history tells that training started over.
            logging.getLogger(__name__).warning("unreadable checkpoint, training starts over: %s", err)
            return None

    def to_bytes(self) -> bytes:
        """Return the snapshot as a NumPy archive."""
        file = io.BytesIO()
        np.savez(file, **_to_arrays(self))
        return file.getvalue()

    def fits(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Return whether the variables have these shapes, and the best ones those of the first of them."""
        best = [array.shape for array in self.best]
        return [array.shape for array in self.variables] == list(shapes) and best == list(shapes)[: len(best)]


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of one training is kept between processes; with no folder, nowhere."""

    folder: Path | None

    @classmethod
    def from_environment(cls) -> Checkpoint:
        """Take the folder from $MNIST_TFX_CHECKPOINTS; of several workers, the chief alone has one."""
        folder = os.environ.get(CHECKPOINTS) if Cluster.from_environment().is_chief else None
        return cls(Path(folder) if folder else None)

    def save(self, snapshot: Snapshot) -> None:
        """Replace what was kept; a kill at any moment leaves the old file or the new one."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Not durable: syncing after every epoch costs more than training again after a power failure.
        with replacing(self.folder / _FILE, durable=False) as file:
            file.write(snapshot.to_bytes())

    def content(self) -> bytes:
        """Return what was kept, for `Snapshot.from_bytes`; nothing where there is nothing."""
        if self.folder is None or not os.path.lexists(self.folder / _FILE):
            return b""
        try:
            return read_bytes(self.folder / _FILE, limit=LARGEST_ARRAYS)
        except BadInput as err:
            logging.getLogger(__name__).warning("unreadable checkpoint, training starts over: %s", err)
            return b""

    def load(self) -> Snapshot | None:
        """Return what was kept, or None where there is nothing or nothing readable."""
        return Snapshot.from_bytes(self.content())

    def discard(self) -> None:
        """Forget what was kept: the training is over, and a forced rerun has to train again."""
        if self.folder is not None:
            (self.folder / _FILE).unlink(missing_ok=True)
            remove_parts(self.folder)
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # it is not there, or there is more in it


def _to_arrays(snapshot: Snapshot) -> dict[str, npt.NDArray[np.generic]]:
    history = json.dumps([epoch.to_dict() for epoch in snapshot.epochs])
    return {
        "history": np.array(history),
        "begun": np.array(json.dumps(asdict(snapshot.begun))),
        **{f"variable{i}": array for i, array in enumerate(snapshot.variables)},
        **{f"best{i}": array for i, array in enumerate(snapshot.best)},
        **snapshot.kernels,
    }


def _from_arrays(arrays: dict[str, npt.NDArray[np.generic]]) -> Snapshot:
    def numbered(name: str) -> Arrays:
        names = [f"{name}{i}" for i in range(sum(key.startswith(name) for key in arrays))]
        if lost := [one for one in names if one not in arrays]:
            raise BadInput("an array is missing", where=_FILE, wanted=lost[0])
        return tuple(arrays[one] for one in names)

    history = parse_json(str(arrays.get("history", "")), where=_FILE)
    begun = parse_json(str(arrays.get("begun", "{}")), where=_FILE)  # older ones have none
    read = _HISTORY.read({"epochs": history, "begun": begun}, what="not a history", where=_FILE)
    epochs = read.epochs
    if [epoch.number for epoch in epochs] != list(range(1, len(epochs) + 1)):
        raise BadInput("not a history", where=_FILE, wanted="epochs from 1 on")
    kernels = {name: array for name, array in arrays.items() if name.startswith("step_")}
    return Snapshot(epochs, numbered("variable"), numbered("best"), kernels, read.begun)
