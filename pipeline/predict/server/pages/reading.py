"""Readers of the versions that are loaded, and the rows that they were trained on: created on first use, dropped with the version.

Nothing here holds a `LoadedModel`: a version that is dropped takes its reader and its rows along.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from components.errors import CannotTell
from pipeline.predict.answer import Model, Version, choose
from pipeline.predict.nearest import TrainingRows, training_rows
from pipeline.predict.prediction import Reader, data_behind
from pipeline.predict.server.model import LoadedModel
from pipeline.predict.server.pages.refusals import why_not

T = TypeVar("T")

AGAIN: Final = 10.0
"""Seconds after which rows that could not be told are looked for again: somebody may have brought them back."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the rows of a version are.

    Attributes:
      doing: what is being done, in words; empty where it is over.
      done: how much of it.
      total: out of how much; 0 where that is not known.
    """

    doing: str
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        amount = f" {self.done:,}" if self.done else ""
        return f"{self.doing}{amount}{f' of {self.total:,}' if amount and self.total else ''}"


class _PerModel(Generic[T]):
    """One value for each loaded version, computed once however many ask, and dropped with the version."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[LoadedModel, T] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, model: LoadedModel, make: Callable[[], T]) -> T:
        with self._lock:
            if model not in self._kept:
                self._kept[model] = make()
            return self._kept[model]


class Readers:
    """What is read with.

    Args:
      root: of the pipeline.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._readers: _PerModel[Reader] = _PerModel()
        self._rows: _PerModel[Rows] = _PerModel()

    def reader(self, model: LoadedModel) -> Reader:
        """Return the reader of photographs for a version that is loaded.

        Raises:
          MnistTfxError: if the root does not tell what its images are like.
        """
        return self._readers.get(model, lambda: self._reader(model))

    def rows(self, model: LoadedModel) -> Rows:
        """Return the rows that a version was trained on, in the making if need be."""
        version = self.reader(model).version
        return self._rows.get(model, lambda: Rows(self._root, version, model.saved_model))

    def _reader(self, model: LoadedModel) -> Reader:
        version = choose(self._root, model.version)
        if version.served.told_digest != model.digest:
            raise CannotTell("its folder holds another model than the one that is loaded", where=version.served)
        data, why_not = data_behind(self._root, version)
        return Reader.of(version, Model(version, model.saved_model), data, why_not)


class Rows:
    """The rows that a version was trained on, or how far they are.

    Args:
      root: of the pipeline.
      version: which one.
      saved_model: it, as TensorFlow loaded it.
    """

    def __init__(self, root: Path, version: Version, saved_model: Any) -> None:
        self._root = root
        self._version = version
        self._saved_model = saved_model
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready: TrainingRows | None = None
        self._problem: CannotTell | None = None
        self._tried = 0.0
        self._progress = Progress(doing="waiting to begin")

    def get(self) -> TrainingRows | Progress:
        """Return the rows, or how far they are; they are begun to be made where they are not.

        Raises:
          CannotTell: if they are gone, or are not what was recorded.
        """
        with self._lock:
            if self._ready is not None:
                return self._ready
            if self._problem is not None and time.monotonic() - self._tried < AGAIN:
                raise self._problem
            if self._thread is None:
                self._problem = None
                self._thread = threading.Thread(target=self._make, name="training rows", daemon=True)
                self._thread.start()
        return self._progress

    def wait(self, seconds: float) -> None:
        """Wait until they are there, or cannot be, or some time has passed."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _make(self) -> None:
        ready, problem = None, None
        try:
            ready = training_rows(self._root, self._version, self._saved_model, Path(tempfile.gettempdir()), self._show)
        except CannotTell as err:
            problem = err
        except Exception as err:  # noqa: BLE001  # a thread that ends without a word would be waited for
            problem = CannotTell("the rows behind it cannot be read", where=self._version.served, got=why_not(err))
        with self._lock:
            self._ready, self._problem = ready, problem
            self._tried, self._thread = time.monotonic(), None

    def _show(self, doing: str, done: int, total: int) -> None:
        self._progress = Progress(doing=doing, done=done, total=total)
