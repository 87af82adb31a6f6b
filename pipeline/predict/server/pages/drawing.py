"""What a version makes of a picture, and the training rows nearest to it: the page `/draw` without its frame."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.errors import BadInput, CannotTell
from pipeline.lineage.trace import DataFile
from pipeline.predict.digit import Frame
from pipeline.predict.files import Ignored, Source
from pipeline.predict.nearest import Neighbour, TrainingRows
from pipeline.predict.prediction import EMPTY, Prediction, Predictions, Reader, Reading, look_at
from pipeline.predict.server.model import LoadedModel
from pipeline.predict.server.pages.reading import Progress, Rows
from pipeline.predict.server.pages.uploads import require_small_picture

SOON: Final = 0.25
"""Seconds that an answer waits for rows that may be there soon."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bar:
    """A class and its probability.

    Attributes:
      name: what the user calls it.
      probability: of it.
    """

    name: str
    probability: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Origin:
    """Where an answer comes from.

    Attributes:
      nearest: training rows, nearest first.
      count: of all rows that were searched.
      layer: in which distances are measured, in words.
      root: Merkle root that the proofs stand on, in hex.
      files: the data files behind the version.
      unplaced: why rows have no number in them; None where they have.
    """

    nearest: tuple[Neighbour, ...]
    count: int
    layer: str
    root: str
    files: tuple[DataFile, ...]
    unplaced: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "layer": self.layer,
            "rows": self.count,
            "merkle_root": self.root,
            "nearest": [{**one.to_dict(), "proven": True} for one in self.nearest],
            "data": [dataclasses.asdict(one) for one in self.files],
            "unplaced": self.unplaced,
        }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PictureAnswer:
    """A picture and its answer.

    Attributes:
      model: that was asked.
      predictions: what `mnist-tfx predict` says of the picture.
      origin: where the answer comes from; None where that is not known yet, or cannot be told.
      progress: how far the rows are that it is looked for in.
      unknown: why it cannot be told.
    """

    model: LoadedModel
    predictions: Predictions
    origin: Origin | None = None
    progress: Progress | None = None
    unknown: str | None = None

    @property
    def prediction(self) -> Prediction:
        """Of the picture."""
        return self.predictions.files[0]

    @property
    def reading(self) -> Reading | None:
        """Of the one digit."""
        return self.prediction.single

    @property
    def answer(self) -> str | None:
        """The class that was read, by its name."""
        return self._name(None if self.prediction.answer is None else self.prediction.answer.label)

    @property
    def second(self) -> str | None:
        """The second guess."""
        return self._name(None if self.prediction.answer is None else self.prediction.answer.second)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """All classes with their probabilities, in their order."""
        answer = self.prediction.answer
        if answer is None:
            return ()
        pairs = zip(self.predictions.names, answer.probabilities.tolist(), strict=True)
        return tuple(Bar(name=name, probability=share) for name, share in pairs)

    @property
    def seen(self) -> str | None:
        """What the model saw, as a data: URI."""
        return None if self.reading is None else self.picture(self.reading.image)

    @property
    def reconstruction(self) -> str | None:
        """What its autoencoder makes of that."""
        answer = self.prediction.answer
        return None if answer is None or answer.reconstruction is None else self.picture(answer.reconstruction)

    @property
    def problem(self) -> str | None:
        """Why there is no answer; None where there is one."""
        if self.prediction.answer is not None:
            return None
        if self.prediction.state == EMPTY:
            return "nothing is drawn that could be read"
        return f"wanted one digit, got {self.prediction.count}; mnist-tfx predict --many reads each"

    def picture(self, image: npt.NDArray[Any]) -> str:
        """Return an image on the scale of the data as a data: URI."""
        return data_uri(image, self.predictions.version.data.pixel_max)

    def name(self, label: int) -> str:
        """Return what the user calls a class."""
        return self.predictions.names[label]

    def _name(self, label: int | None) -> str | None:
        return None if label is None else self.name(label)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        probabilities = {bar.name: bar.probability for bar in self.bars} if self.bars else None
        return {
            "version": self.model.version,
            "digest": self.model.digest,
            "prediction": {**self.prediction.to_dict(), "path": self.prediction.source.path.name},
            "names": list(self.predictions.names),
            "probabilities": probabilities,
            "problem": self.problem,
            "notes": list(self.predictions.notes),
            "origin": None if self.origin is None else self.origin.to_dict(),
            "origin_in_the_making": None if self.progress is None else str(self.progress),
            "origin_unknown": self.unknown,
        }


def read(model: LoadedModel, reader: Reader, rows: Rows, path: Path) -> PictureAnswer:
    """Return the answer about one picture.

    Raises:
      BadInput: if it is no picture that can be read.
    """
    require_small_picture(path)
    seen = look_at(Source(path, named=True), Frame.of(reader.version.data))
    if isinstance(seen, Ignored):
        raise BadInput(seen.why, where=path)
    (prediction,) = reader.answered([seen], lambda *_: None)
    drawn = PictureAnswer(
        model=model,
        predictions=Predictions(
            version=reader.version,
            files=(prediction,),
            ignored=(),
            orientation=reader.orientation,
            calibration=None if reader.judge is None else reader.judge.calibration,
            unjudged=reader.unjudged,
        ),
    )
    return drawn if drawn.reading is None else _with_origin(drawn, rows, drawn.reading.image)


def data_uri(image: npt.NDArray[Any], pixel_max: int) -> str:
    """Return a grey image as a PNG in a data: URI."""
    grey = np.clip(np.asarray(image, np.float32) * (255 / pixel_max) + 0.5, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _with_origin(drawn: PictureAnswer, rows: Rows, image: npt.NDArray[np.uint8]) -> PictureAnswer:
    try:
        found = rows.get()
        if isinstance(found, Progress):
            rows.wait(SOON)
            found = rows.get()
        if isinstance(found, Progress):
            return dataclasses.replace(drawn, progress=found)
        return dataclasses.replace(drawn, origin=_origin(found, found.nearest(image)))
    except CannotTell as err:
        return dataclasses.replace(drawn, unknown=str(err))


def _origin(rows: TrainingRows, nearest: Sequence[Neighbour]) -> Origin:
    return Origin(
        nearest=tuple(nearest),
        count=len(rows),
        layer=rows.encoder.layer,
        root=rows.root.hex(),
        files=rows.files,
        unplaced=rows.unplaced,
    )
