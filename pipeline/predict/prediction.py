"""Predictions for files by a served version, and whether to doubt them: the way through this package."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from components.errors import BadInput, CannotTell, Problems
from pipeline.datasets import orientation
from pipeline.datasets.orientation import Orientation
from pipeline.predict import doubt, files, photograph, training_data
from pipeline.predict.answer import Answer, Model, Version, choose
from pipeline.predict.digit import Frame, find_digit
from pipeline.predict.doubt import Calibration
from pipeline.predict.files import Ignored, Source, reason
from pipeline.predict.training_data import TrainingData

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
      doubts: why the answer is to be doubted; none where nothing speaks against it, or nobody can tell.
    """

    source: Source
    thumbnail: UINT8
    dark: bool
    count: int
    image: UINT8 | None
    answer: Answer | None = None
    doubts: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Return whether there was exactly one digit, none, or more."""
        return SEVERAL if self.count > 1 else (READ if self.count else EMPTY)

    @property
    def right(self) -> bool | None:
        """Return whether the answer is the true digit; None where that is not known. No answer is a wrong one."""
        if self.source.truth is None:
            return None
        return self.answer is not None and self.answer.label == self.source.truth

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
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
            "doubts": list(self.doubts),
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
      unreadable: files that the user named and that are no photographs.
      orientation: how the version's data are stored, and the pictures were turned.
      calibration: how often rows held out from training are doubted; None where answers are not judged.
      unjudged: why they are not.
    """

    version: Version
    files: tuple[Prediction, ...]
    ignored: tuple[Ignored, ...]
    unreadable: tuple[Ignored, ...] = ()
    orientation: Orientation = orientation.AS_DRAWN
    calibration: Calibration | None = None
    unjudged: str | None = None

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
    def notes(self) -> tuple[str, ...]:
        """What has to be known of all answers: how pictures were turned, and what could not be told."""
        found = []
        if not self.orientation.known:
            why = self.orientation.why
            found.append(f"orientation not known: {why}; pictures are shown to the model upright, light on dark")
        elif self.orientation != orientation.AS_DRAWN:
            found.append(f"the model's data are {self.orientation}, and so the pictures were made before it saw them")
        if self.unjudged is not None:
            found.append(f"doubt not known: {self.unjudged}")
        return tuple(found)

    @property
    def doubted(self) -> tuple[Prediction, ...]:
        """The files whose answer is to be doubted."""
        return tuple(one for one in self.files if one.doubts)

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
        """Return JSON values."""
        data, served = self.version.data, self.version.served
        return {
            "version": served.version,
            "path": str(served.path),
            "digest": served.digest,
            "shape": list(data.shape),
            "pixel_max": data.pixel_max,
            "files": [one.to_dict() for one in self.files],
            "ignored": [{"path": str(one.path), "why": one.why} for one in self.ignored],
            "unreadable": [{"path": str(one.path), "why": one.why} for one in self.unreadable],
            "orientation": self.orientation.name,
            "inverted": self.orientation.inverted,
            "held_out": None if self.calibration is None else dataclasses.asdict(self.calibration),
            "notes": list(self.notes),
            "accuracy": self.accuracy,
        }


def predict(request: Request, say: Callable[[str], None], progress: Progress) -> Predictions:
    """Read photographs and ask a served version about them.

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
        _refuse(ignored)
    return _asked(version, seen, ignored, request.root, say, progress)


def _refuse(ignored: Sequence[Ignored]) -> NoReturn:
    """Raise that nothing can be read: what was named all together, of what only lay in a folder the first."""
    problems = Problems()
    named = [one for one in ignored if one.named]
    problems.found = [BadInput("cannot be read", where=one.path, got=one.why) for one in named]
    problems.raise_any()
    raise BadInput("none of the images can be read", where=ignored[0].path, got=ignored[0].why)


def _looked_at(source: Source, frame: Frame, dark: bool | None) -> Prediction | Ignored:
    try:
        read = photograph.read(source.path)
    except BadInput as err:
        return Ignored(source.path, reason(err), named=source.named)
    found = find_digit(read.grey, frame, dark=dark)
    return Prediction(source=source, thumbnail=read.thumbnail, dark=found.dark, count=found.count, image=found.image)


def _asked(  # noqa: PLR0913  # what was seen, what was not, and whom to tell
    version: Version,
    seen: Sequence[Prediction],
    ignored: Sequence[Ignored],
    root: Path,
    say: Callable[[str], None],
    progress: Progress,
) -> Predictions:
    """Ask the version about what was seen, each picture turned as its data are, and judge the answers."""
    data, unjudged = _data_behind(root, version)
    turned = Orientation(name=None, why=unjudged) if data is None else orientation.of(data.profile, version.data)
    seen = [_turned(one, turned, version.data.pixel_max) for one in seen]
    calibration: Calibration | None = None
    images = [one.image for one in seen if one.image is not None]
    if images:
        say(f"loading {version.served}")
        model = Model(version)
        answers = model.answers(images, lambda done: progress("asking", done, len(images)))
        doubts: list[tuple[str, ...]] = [()] * len(images)
        if data is not None:
            try:
                judge = doubt.Judge(data, version.data, lambda rows: model.answers(rows, lambda _: None))
                calibration, doubts = judge.calibration, judge.doubts(np.stack(images), answers)
            except ValueError as err:
                unjudged = str(err)
        told = iter(zip(answers, doubts, strict=True))
        seen = [one if one.image is None else _answered(one, *next(told)) for one in seen]
    return Predictions(
        version=version,
        files=tuple(seen),
        ignored=tuple(one for one in ignored if not one.named),
        unreadable=tuple(one for one in ignored if one.named),
        orientation=turned,
        calibration=calibration,
        unjudged=unjudged,
    )


def _data_behind(root: Path, version: Version) -> tuple[TrainingData | None, str | None]:
    try:
        return training_data.read(root, version), None
    except CannotTell as err:
        return None, str(err)


def _turned(one: Prediction, turned: Orientation, pixel_max: int) -> Prediction:
    if one.image is None or not turned.known:
        return one
    return dataclasses.replace(one, image=turned.stored(one.image, pixel_max))


def _answered(one: Prediction, answer: Answer, doubts: tuple[str, ...]) -> Prediction:
    return dataclasses.replace(one, answer=answer, doubts=doubts)
