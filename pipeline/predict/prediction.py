"""Files and a served version -> a prediction for each file: the way through all of this package."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from components.errors import BadInput
from pipeline.predict import files, photograph
from pipeline.predict.answer import Answer, Model, Version, choose
from pipeline.predict.digit import Frame, find_digit
from pipeline.predict.files import Ignored, Source

UINT8 = npt.NDArray[np.uint8]
State = Literal["read", "empty", "several"]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and out of how much."""

READ: Final = "read"
EMPTY: Final = "empty"
SEVERAL: Final = "several"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for.

    Attributes:
      named: files and folders.
      root: of the pipeline.
      version: its number; None takes the newest.
      dark: whether the ink is darker than the paper; None has it told from each photograph.
      labelled: whether names begin with the true digit.
      besides: a file to leave out of the folders.
    """

    named: tuple[Path, ...]
    root: Path
    version: int | None = None
    dark: bool | None = None
    labelled: bool = False
    besides: Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """One file's.

    Attributes:
      source: the file.
      thumbnail: uint8 [h, w, 3].
      dark: whether it shows dark ink on light paper.
      count: number of digits on it.
      image: what the model saw; None unless there is exactly one digit.
      answer: of the model, where it saw something.
    """

    source: Source
    thumbnail: UINT8
    dark: bool
    count: int
    image: UINT8 | None
    answer: Answer | None = None

    @property
    def state(self) -> State:
        """Whether there was exactly one digit, none, or more."""
        return SEVERAL if self.count > 1 else (READ if self.count else EMPTY)

    @property
    def right(self) -> bool | None:
        """Whether the answer is the true digit; None where that is not known. No answer is a wrong one."""
        if self.source.truth is None:
            return None
        return self.answer is not None and self.answer.label == self.source.truth

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        answer = self.answer
        return {
            "path": str(self.source.path),
            "state": self.state,
            "digits": self.count,
            "dark_on_light": self.dark,
            "class": None if answer is None else answer.label,
            "probability": None if answer is None else answer.probability,
            "second": None if answer is None else answer.second,
            "second_probability": None if answer is None else answer.second_probability,
            "truth": self.source.truth,
            "right": self.right,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
    """All files'.

    Attributes:
      version: that was asked.
      files: one prediction each, in the order in which they were named.
      ignored: what lay in the folders beside them.
    """

    version: Version
    files: tuple[Prediction, ...]
    ignored: tuple[Ignored, ...]

    @property
    def accuracy(self) -> float | None:
        """The share of right answers; None where names say nothing."""
        judged = [one.right for one in self.files if one.right is not None]
        return sum(judged) / len(judged) if judged else None

    @property
    def wrong(self) -> tuple[Prediction, ...]:
        """The files with another answer than their name's, or with none."""
        return tuple(one for one in self.files if one.right is False)

    @property
    def refusal(self) -> str | None:
        """What to say if a photograph shows several digits."""
        crowded = [one for one in self.files if one.state == SEVERAL]
        if not crowded:
            return None
        first, more = crowded[0], len(crowded) - 1
        others = f", and {more} more like it" if more else ""
        return f"{first.source.path}: wanted one digit, got {first.count}{others}: cut out a file for each digit"

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        data, served = self.version.data, self.version.served
        return {
            "version": served.version,
            "path": str(served.path),
            "digest": served.digest,
            "shape": list(data.shape),
            "pixel_max": data.pixel_max,
            "files": [one.to_dict() for one in self.files],
            "ignored": [{"path": str(one.path), "why": one.why} for one in self.ignored],
            "accuracy": self.accuracy,
        }


def predict(request: Request, say: Callable[[str], None], progress: Progress) -> Predictions:
    """Reads photographs and asks a served version about them.

    Raises:
      BadInput: if a file, its name or the version's number is unusable.
      Refused: if the version is not as it was pushed.
      EnvironmentProblem: if it cannot be loaded.
    """
    sources, ignored = files.gather(request.named, labelled=request.labelled, besides=request.besides)
    version = choose(request.root, request.version)
    seen: list[Prediction] = []
    frame = Frame.of(version.data)
    for number, source in enumerate(sources, start=1):
        found = _looked_at(source, frame, request.dark)
        if isinstance(found, Ignored):
            ignored.append(found)
        else:
            seen.append(found)
        progress("reading", number, len(sources))
    if not seen:
        raise BadInput("none of the images can be read", where=ignored[0].path, got=ignored[0].why)
    return Predictions(version=version, files=tuple(_answered(seen, version, say, progress)), ignored=tuple(ignored))


def _looked_at(source: Source, frame: Frame, dark: bool | None) -> Prediction | Ignored:
    try:
        read = photograph.read(source.path)
    except BadInput as err:
        if source.named:
            raise
        return Ignored(source.path, err.what)
    found = find_digit(read.grey, frame, dark=dark)
    return Prediction(source=source, thumbnail=read.thumbnail, dark=found.dark, count=found.count, image=found.image)


def _answered(
    seen: Sequence[Prediction], version: Version, say: Callable[[str], None], progress: Progress
) -> Iterator[Prediction]:
    images = [one.image for one in seen if one.image is not None]
    answers: Iterator[Answer] = iter(())
    if images:
        say(f"loading {version.served}")
        answers = iter(Model(version).answers(images, lambda done: progress("asking", done, len(images))))
    for one in seen:
        yield one if one.image is None else dataclasses.replace(one, answer=next(answers))
