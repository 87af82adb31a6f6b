"""Answers to the rows of data files, counted, and the CSV of all answers.

Rows are read, answered and written block by block: a file of any length takes the same memory, and the CSV is there
whole or not at all.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components import disk
from components.errors import BadInput
from components.files import replacing
from pipeline.predict import rows
from pipeline.predict.answer import Answer, Model
from pipeline.predict.rows import Block, Table

if TYPE_CHECKING:
    from components.settings import DataSettings
    from pipeline.predict.doubt import Judge

HEADER: Final = ("ImageId", "Label")
"""Columns of a submission to Kaggle's digit recognizer."""

Sink = Callable[[object, str], None]
"""Called with what an answer is about, and the class as the user knows it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnsweredTable:
    """The answers to the rows of one file.

    Attributes:
      path: of it.
      rows: how many were answered.
      counts: of the answers, by class.
      labelled: whether the file says the true classes.
      right: how many answers are those.
      doubted: how many are doubted; None where answers are not judged.
    """

    path: Path
    rows: int
    counts: tuple[int, ...]
    labelled: bool
    right: int
    doubted: int | None = None

    def with_block(self, block: Block, answers: Sequence[Answer], judge: Judge | None) -> AnsweredTable:
        """Return the same with the answers to further rows."""
        labels = np.array([answer.label for answer in answers])
        counts = np.bincount(labels, minlength=len(self.counts)) + self.counts
        doubted = None if judge is None else sum(map(bool, judge.doubts(block.images, answers)))
        return dataclasses.replace(
            self,
            rows=self.rows + len(answers),
            counts=tuple(counts.tolist()),
            labelled=self.labelled and block.labels is not None,
            right=self.right + (0 if block.labels is None else int((labels == block.labels).sum())),
            doubted=doubted if doubted is None else doubted + (self.doubted or 0),
        )

    @property
    def accuracy(self) -> float | None:
        """The share of right answers; None where the file has no labels."""
        return self.right / self.rows if self.labelled else None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "path": str(self.path),
            "rows": self.rows,
            "counts": list(self.counts),
            "doubted": self.doubted,
            "accuracy": self.accuracy,
        }


def answer_rows(  # noqa: PLR0913  # the files, who is asked and who judges, and whom to tell
    tables: Sequence[Table],
    model: Model,
    judge: Judge | None,
    data: DataSettings,
    progress: Callable[[str, int, int], None],
    sink: Sink,
) -> tuple[AnsweredTable, ...]:
    """Answer the rows of all files, in the order in which they were named, numbered from 1 over all of them.

    Raises:
      BadInput: if a file has rows that are no images of this geometry.
    """
    found: list[AnsweredTable] = []
    called = data.names
    first = 1
    for table in tables:
        answered = AnsweredTable(path=table.path, rows=0, counts=(0,) * data.label_count, labelled=True, right=0)
        for block in rows.read(table, data):
            answers = model.answers(list(block.images), lambda _: None)
            for number, answer in enumerate(answers, first + answered.rows):
                sink(number, called[answer.label])
            answered = answered.with_block(block, answers, judge)
            progress(f"rows of {table.path.name}", answered.rows, 0)
        if not answered.rows:
            raise BadInput("holds no rows", where=table.path)
        first += answered.rows
        found.append(answered)
    return tuple(found)


@contextlib.contextmanager
def answers_file(path: Path | None, header: Sequence[str] | None) -> Iterator[Sink]:
    """Open the CSV of answers, which is there whole when the block ends well; without a path nothing is written.

    Raises:
      EnvironmentProblem: if it cannot be written.
    """
    if path is None:
        yield lambda *_: None
        return
    try:
        with replacing(path) as file:
            text = io.TextIOWrapper(file, "utf-8", newline="", errors="surrogateescape")
            try:
                writer = csv.writer(text, lineterminator="\n")
                if header:
                    writer.writerow(header)
                yield lambda about, label: writer.writerow((about, label))
            finally:
                # The file stays open for who opened it; what a full disk did not take is said here.
                text.detach()
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=path) from err


def require_writable(path: Path, named: Sequence[Path]) -> None:
    """Refuse a place for the answers before anything is loaded.

    Raises:
      BadInput: if the file would replace a folder or what was named, or is to go where no folder is.
    """
    if not path.absolute().parent.is_dir():
        raise BadInput("no such folder", where=path.absolute().parent)
    if path.is_dir():
        raise BadInput("is a folder", where=path, wanted="a file for the answers")
    if path.exists() and any(given.exists() and path.samefile(given) for given in named):
        raise BadInput("would replace what is to be read", where=path, hint="choose another name with -o")
