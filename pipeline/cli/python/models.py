"""A served model in this process, and what it answers."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.predict.answer import Version


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model answers about one picture or array.

    Attributes:
      label: number of the most probable class, from 0; None where the picture does not show exactly one digit.
      name: of that class, as the data call it: their own label, such as `1` of labels from 1 on, or a name such as `A`.
      probability: of it.
      second: the second most probable class.
      second_probability: of that.
      doubts: why the answer is to be doubted; always none of an array, which is taken as the model's data are.
      state: `read`, `empty` or `several`.
      path: of the picture; None of an array.
    """

    label: int | None
    name: str | None
    probability: float | None
    second: int | None
    second_probability: float | None
    doubts: tuple[str, ...] = ()
    state: str = "read"
    path: Path | None = None


class Model:
    """A served version, loaded from bytes that are those that were pushed; it answers on the CPU.

    Attributes:
      shape: height and width of its images.
      pixel_max: the largest value of a pixel.
      names: of the classes, in the order of their numbers.
    """

    def __init__(self, version: Version) -> None:
        from pipeline.predict import answer  # TensorFlow comes with the first model

        self.shape: tuple[int, int] = version.data.shape
        self.pixel_max: int = version.data.pixel_max
        self.names: tuple[str, ...] = version.data.names
        with environment_kept():
            self._model = answer.Model(version)

    @property
    def saved_model(self) -> Any:
        """The SavedModel as TensorFlow loaded it, with all its signatures."""
        return self._model.saved_model

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities of all classes, float32 [N, classes].

        Args:
          images: uint8 [N, H, W], or [H, W] for a single one, as the model's data are: their size, tone and orientation.

        Raises:
          BadInput: for an array of another shape or type, or with larger values.
        """
        return self._model.probabilities(self._checked(images))

    def predict(self, images: NDArray[np.uint8]) -> tuple[Prediction, ...]:
        """Return the answer for each image of an array, as `__call__` takes it."""
        answers = self._model.answers(list(self._checked(images)), lambda _: None)
        return tuple(
            Prediction(
                label=one.label,
                name=self.names[one.label],
                probability=one.probability,
                second=one.second,
                second_probability=one.second_probability,
            )
            for one in answers
        )

    def _checked(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import numpy as np

        given = np.asarray(images)
        given = given[np.newaxis] if given.ndim == len(self.shape) else given
        size = "x".join(map(str, self.shape))
        wanted = f"uint8 of N x {size} with values up to {self.pixel_max}, such as the model was trained on"
        if given.dtype != np.uint8 or given.shape[1:] != self.shape:
            got = f"{given.dtype} of {' x '.join(map(str, given.shape))}"
            raise BadInput("not images of this model", wanted=wanted, got=got)
        if given.size and int(given.max()) > self.pixel_max:
            raise BadInput("not images of this model", wanted=wanted, got=f"a value of {int(given.max())}")
        return given


@contextlib.contextmanager
def environment_kept() -> Iterator[None]:
    """Put the environment back: TensorFlow is loaded without GPUs here, and a later run of this process may want them."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def of_answers(files: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[Prediction, ...]:
    """Return the predictions of an answer of `mnist-tfx predict`, with the names of the classes."""
    return tuple(
        Prediction(
            label=one["class"],
            name=None if one["class"] is None else names[one["class"]],
            probability=one["probability"],
            second=one["second"],
            second_probability=one["second_probability"],
            doubts=tuple(one["doubts"]),
            state=one["state"],
            path=Path(one["path"]),
        )
        for one in files
    )
