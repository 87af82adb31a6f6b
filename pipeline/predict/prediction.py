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
from pipeline.predict.digit import Digit, Frame, find_digits
from pipeline.predict.doubt import Calibration
from pipeline.predict.files import Ignored, Labels, Source, reason
from pipeline.predict.rows import Table
from pipeline.predict.tables import HEADER, AnsweredTable, answer_rows, answers_file
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
      labels: where the true classes of photographs are written; None where they are not.
      many: whether a photograph may show several digits, and each is read.
      besides: files to leave out of the folders.
      answers: a CSV to write the answers to.
      header: of its two columns; None writes none.
    """

    named: tuple[Path, ...]
    root: Path
    version: int | None = None
    dark: bool | None = None
    labels: Labels | None = None
    many: bool = False
    besides: tuple[Path, ...] = ()
    answers: Path | None = None
    header: tuple[str, str] | None = HEADER


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """One digit on a photograph, and what the model takes it for.

    Attributes:
      digit: as it was found.
      image: what the model saw.
      answer: of the model; None until it was asked.
      doubts: why the answer is to be doubted; none where nothing speaks against it, or nobody can tell.
    """

    digit: Digit
    image: UINT8
    answer: Answer | None = None
    doubts: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        answer = self.answer
        return {
            "class": None if answer is None else answer.label,
            "probability": None if answer is None else answer.probability,
            "second": None if answer is None else answer.second,
            "second_probability": None if answer is None else answer.second_probability,
            "doubts": list(self.doubts),
            "choices": [dataclasses.asdict(choice) for choice in self.digit.choices],
            "box": [round(side, 4) for side in self.digit.box],
        }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """One file's.

    Attributes:
      source: the file.
      thumbnail: uint8 [h, w, 3].
      dark: whether it shows dark ink on light paper.
      readings: of the digits on it, in reading order.
      many: whether there may be several.
    """

    source: Source
    thumbnail: UINT8
    dark: bool
    readings: tuple[Reading, ...]
    many: bool = False

    @property
    def count(self) -> int:
        """Return the number of digits on it."""
        return len(self.readings)

    @property
    def single(self) -> Reading | None:
        """Return the reading of the one digit; None where there is none, or are several."""
        return self.readings[0] if len(self.readings) == 1 else None

    @property
    def image(self) -> UINT8 | None:
        """Return what the model saw; None unless there is exactly one digit."""
        return None if self.single is None else self.single.image

    @property
    def answer(self) -> Answer | None:
        """Return the answer of the model about the one digit."""
        return None if self.single is None else self.single.answer

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return why its answers are to be doubted, each reason once."""
        return tuple(dict.fromkeys(doubt for reading in self.readings for doubt in reading.doubts))

    @property
    def state(self) -> State:
        """Return whether there was exactly one digit, none, or more."""
        return SEVERAL if self.count > 1 else (READ if self.count else EMPTY)

    def text(self, names: Sequence[str]) -> str:
        """Return the classes that were read, by their names, in reading order; nothing where there is no answer."""
        labels = [reading.answer.label for reading in self.readings if reading.answer is not None]
        between = "" if all(len(name) == 1 for name in names) else " "
        return between.join(names[label] for label in labels)

    @property
    def answerable(self) -> bool:
        """Return whether the model is asked: about one digit, or about each where there may be many."""
        return self.count == 1 or (self.many and self.count > 1)

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
            "doubts": [] if self.single is None else list(self.single.doubts),
            "choices": [] if self.single is None else self.single.to_dict()["choices"],
            "readings": [reading.to_dict() for reading in self.readings] if self.many else None,
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
      tables: the answers to rows of data files, counted.
      orientation: how the version's data are stored, and the pictures were turned.
      calibration: how often rows held out from training are doubted; None where answers are not judged.
      unjudged: why they are not.
    """

    version: Version
    files: tuple[Prediction, ...]
    ignored: tuple[Ignored, ...]
    unreadable: tuple[Ignored, ...] = ()
    tables: tuple[AnsweredTable, ...] = ()
    orientation: Orientation = orientation.AS_DRAWN
    calibration: Calibration | None = None
    unjudged: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the user calls the classes."""
        return self.version.data.names

    @property
    def accuracy(self) -> float | None:
        """The share of right answers to photographs; None where names say nothing."""
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
        crowded = [one for one in self.files if one.state == SEVERAL and not one.many]
        if not crowded:
            return None
        first, more = crowded[0], len(crowded) - 1
        others = f", and {more} more like it" if more else ""
        return f"{first.source.path}: wanted one digit, got {first.count}{others}: --many reads each"

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
            "tables": [table.to_dict() for table in self.tables],
            "names": list(self.names),
            "ignored": [{"path": str(one.path), "why": one.why} for one in self.ignored],
            "unreadable": [{"path": str(one.path), "why": one.why} for one in self.unreadable],
            "orientation": self.orientation.name,
            "inverted": self.orientation.inverted,
            "held_out": None if self.calibration is None else dataclasses.asdict(self.calibration),
            "notes": list(self.notes),
            "accuracy": self.accuracy,
        }


def predict(request: Request, say: Callable[[str], None], progress: Progress) -> Predictions:
    """Read photographs and rows, and ask a served version about them.

    Raises:
      BadInput: if a file, its name or the version's number is unusable.
      Refused: if the version is not as it was pushed.
      EnvironmentProblem: if it cannot be loaded.
    """
    gathered = files.gather(request.named, labels=request.labels, besides=request.besides)
    version = choose(request.root, request.version)
    sources, ignored = gathered.sources, list(gathered.ignored)
    if request.labels is not None:
        sources, unnamed = files.labelled(sources, request.labels, version.data.names)
        ignored += unnamed
    seen: list[Prediction] = []
    frame = Frame.of(version.data)
    for number, source in enumerate(sources, start=1):
        found = look_at(source, frame, dark=request.dark, many=request.many)
        if isinstance(found, Ignored):
            ignored.append(found)
        else:
            seen.append(found)
        progress("reading", number, len(sources))
    if not seen and not gathered.tables:
        _refuse(ignored)
    return _asked(version, seen, gathered.tables, ignored, request, say, progress)


def _refuse(ignored: Sequence[Ignored]) -> NoReturn:
    """Raise that nothing can be read: what was named all together, of what only lay in a folder the first."""
    problems = Problems()
    named = [one for one in ignored if one.named]
    problems.found = [BadInput("cannot be read", where=one.path, got=one.why) for one in named]
    problems.raise_any()
    raise BadInput("none of the images can be read", where=ignored[0].path, got=ignored[0].why)


def look_at(source: Source, frame: Frame, *, dark: bool | None = None, many: bool = False) -> Prediction | Ignored:
    """Return the digits on a photograph, which no model has been asked about yet, or why there are none to ask about."""
    try:
        read = photograph.read(source.path)
    except BadInput as err:
        return Ignored(source.path, reason(err), named=source.named)
    found = find_digits(read.grey, frame, dark=dark, detail=read.detail)
    return Prediction(
        source=source,
        thumbnail=read.thumbnail,
        dark=found.dark,
        readings=tuple(Reading(digit=digit, image=digit.image) for digit in found.digits),
        many=many,
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """A version with what it takes to ask it about photographs, and to judge what it answers.

    Attributes:
      version: that is asked.
      model: it, loaded.
      orientation: how its data are stored, and pictures are turned.
      judge: doubts its answers; None where nothing can be said of them.
      unjudged: why it cannot.
    """

    version: Version
    model: Model
    orientation: Orientation
    judge: doubt.Judge | None
    unjudged: str | None

    @classmethod
    def of(cls, version: Version, model: Model, data: TrainingData | None, unjudged: str | None = None) -> Reader:
        """Return the reader for a version.

        Args:
          version: that is asked.
          model: it, loaded.
          data: rows behind it; None where they cannot be told.
          unjudged: why they cannot.
        """
        judge = None
        if data is not None:
            try:
                judge = doubt.Judge(data, version.data, lambda rows: model.answers(rows, lambda _: None))
            except ValueError as err:
                unjudged = str(err)
        turned = _orientation(version, data, unjudged)
        return cls(version=version, model=model, orientation=turned, judge=judge, unjudged=unjudged)

    def answered(self, seen: Sequence[Prediction], progress: Progress) -> list[Prediction]:
        """Return what was seen with the answers of the model, and the doubts about them."""
        readings = [reading for one in seen if one.answerable for reading in one.readings]
        images = [self.stored(reading.image) for reading in readings]
        views = [[self.stored(view) for view in reading.digit.views] for reading in readings]
        answers = self.model.answers(images, lambda done: progress("asking", done, len(images)), views)
        doubts: Sequence[tuple[str, ...]] = [()] * len(images)
        if self.judge is not None and images:
            doubts = self.judge.doubts(np.stack(images), answers)
        choices = _doubtful_choices(readings, answers, self.model, self.stored)
        told = iter(
            dataclasses.replace(reading, image=image, answer=answer, doubts=(*doubted, *chosen))
            for reading, image, answer, doubted, chosen in zip(readings, images, answers, doubts, choices, strict=True)
        )
        return [
            dataclasses.replace(one, readings=tuple(next(told) for _ in one.readings)) if one.answerable else one
            for one in seen
        ]

    def stored(self, image: UINT8) -> UINT8:
        """Return an upright image as the version's data are stored."""
        known = self.orientation.known
        return self.orientation.stored(image, self.version.data.pixel_max) if known else image


def _orientation(version: Version, data: TrainingData | None, unknown: str | None) -> Orientation:
    return Orientation(name=None, why=unknown) if data is None else orientation.of(data.profile, version.data)


def _asked(  # noqa: PLR0913  # what was seen, what was not, and whom to tell
    version: Version,
    seen: Sequence[Prediction],
    tables: Sequence[Table],
    ignored: Sequence[Ignored],
    request: Request,
    say: Callable[[str], None],
    progress: Progress,
) -> Predictions:
    """Ask the version about what was seen, each picture turned as its data are, and judge the answers."""
    data, unjudged = data_behind(request.root, version)
    turned, calibration = _orientation(version, data, unjudged), None
    asked = [one for one in seen if one.answerable]
    answered: tuple[AnsweredTable, ...] = ()
    if asked or tables or request.answers is not None:
        say(f"loading {version.served}")
        reader = Reader.of(version, Model(version), data, unjudged)
        unjudged = reader.unjudged
        calibration = None if reader.judge is None else reader.judge.calibration
        seen = reader.answered(seen, progress)
        with answers_file(request.answers, request.header) as sink:
            answered = answer_rows(tables, reader.model, reader.judge, version.data, progress, sink)
            for one in seen:
                sink(one.source.path, one.text(version.data.names))
    return Predictions(
        version=version,
        files=tuple(seen),
        ignored=tuple(one for one in ignored if not one.named),
        unreadable=tuple(one for one in ignored if one.named),
        tables=answered,
        orientation=turned,
        calibration=calibration,
        unjudged=unjudged,
    )


def _doubtful_choices(
    readings: Sequence[Reading], answers: Sequence[Answer], model: Model, stored: Callable[[UINT8], UINT8]
) -> list[tuple[str, ...]]:
    """Return the choices that an answer rests on: had they been the other ones, it would be another answer."""
    found: list[tuple[str, ...]] = [()] * len(readings)
    open_to_doubt = [i for i, reading in enumerate(readings) if reading.digit.other is not None]
    others = [stored(other) for i in open_to_doubt if (other := readings[i].digit.other) is not None]
    for i, otherwise in zip(open_to_doubt, model.answers(others, lambda _: None), strict=True):
        if otherwise.label != answers[i].label:
            found[i] = tuple(choice.kind for choice in readings[i].digit.choices)
    return found


def data_behind(root: Path, version: Version) -> tuple[TrainingData | None, str | None]:
    """Return the data behind a version, or None and why they cannot be told."""
    try:
        return training_data.read(root, version), None
    except CannotTell as err:
        return None, str(err)
