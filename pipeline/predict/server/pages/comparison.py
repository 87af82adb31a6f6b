"""The page that sets runs side by side: figures, settings that differ, and whether the difference means anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput, MnistTfxError
from pipeline.lineage.history import History, HistoryReader, RunFacts
from pipeline.predict.server.pages.background import Background
from pipeline.predict.server.pages.refusals import attempt, why_not
from pipeline.predict.server.pages.run import find
from pipeline.provenance import record_store
from pipeline.provenance.records import RunRecord
from pipeline.report import run_data
from pipeline.report.asking import answered, own_process
from pipeline.report.compare import METRICS, Setting, common_rows, differing, significance
from pipeline.report.model_answers import Arrays
from pipeline.report.run_data import NotThereError, RunData
from pipeline.report.significance import Significance
from pipeline.root.paths import RunPaths

MOST: Final = 6
"""Runs side by side; more are a table that nobody reads."""

PROBABILITIES: Final = "probabilities"

Answers = Background[str, Arrays | str]
"""By the hash of a run's record: what its models answer on the test rows, or in one line why they do not."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A metric of each run; `best` are the places of the best value, none where all are the same."""

    name: str
    values: tuple[Any, ...]
    best: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contest:
    """Two runs on the same test rows.

    Attributes:
      pair: their places in the comparison, from 1.
      significance: whether they differ by more than chance; None where that cannot be told.
      why_not: why, in one line.
      waits: whether the models are being asked.
    """

    pair: tuple[int, int]
    significance: Significance | None = None
    why_not: str = ""
    waits: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the page shows.

    Attributes:
      runs: side by side.
      figures: of the test split.
      settings: those that differ.
      same_data: whether all read the same rows.
      contests: of the first run with each other one.
    """

    runs: tuple[RunFacts, ...]
    figures: tuple[Figure, ...]
    settings: tuple[Setting, ...]
    same_data: bool
    contests: tuple[Contest, ...]


def answers_of(root: Path) -> Answers:
    """Return what the models of a root's runs answer, of which nothing is asked yet; nothing in the root is changed."""

    def ask(hash_: str) -> Arrays | str:
        evidence = run_data.of_record(RunPaths(root), _record(root, hash_))
        answers = answered(evidence, own_process, keep=False)
        # Of a megabyte, what is compared is a few kilobytes.
        return {PROBABILITIES: answers[PROBABILITIES]} if PROBABILITIES in answers else {}

    return Background(lambda hash_: attempt(lambda: ask(hash_), str))


def require(history: History, run_ids: Sequence[str]) -> tuple[str, ...]:
    """Return the hashes of the records of runs, each once.

    Raises:
      BadInput: if they are not two or more, too many, not there, or have no record.
    """
    wanted = list(dict.fromkeys(run_ids))
    if not 1 < len(wanted) <= MOST:
        hint = "tick them in the table of all runs"
        raise BadInput("which runs?", wanted=f"two to {MOST}", got=len(wanted), hint=hint)
    hashes = [history.chain.run_record(find(history, run_id).run_id) for run_id in wanted]
    for run_id, hash_ in zip(wanted, hashes, strict=True):
        if hash_ is None:
            raise BadInput("it has not ended, or left no record", where=f"run {run_id}")
    return tuple(hash_ for hash_ in hashes if hash_ is not None)


def comparison(reader: HistoryReader, root: Path, hashes: Sequence[str], answers: Answers) -> Comparison:
    """Return what the page shows of the runs with these records.

    Raises:
      EnvironmentProblem: if a record cannot be read.
    """
    history, records = reader.read(), [_record(root, hash_) for hash_ in hashes]
    sides = [run_data.of_record(RunPaths(root), record) for record in records]
    return Comparison(
        runs=tuple(find(history, record.run_id) for record in records),
        figures=tuple(_figure(name, sign, records) for name, sign in METRICS),
        settings=differing(*(record.settings for record in records)),
        same_data=len({record.rows_digest for record in records}) == 1,
        contests=tuple(_contest((0, place), sides, hashes, answers) for place in range(1, len(sides))),
    )


def _record(root: Path, hash_: str) -> RunRecord:
    record = record_store.read(RunPaths(root).records, hash_)
    if not isinstance(record, RunRecord):
        raise BadInput("its record is of no run", where=hash_)
    return record


def _figure(name: str, sign: int, records: Sequence[RunRecord]) -> Figure:
    found: list[Mapping[str, Any]] = [record.metrics or {} for record in records]
    values = [one.get(name) for one in found]
    known = [value * sign for value in values if isinstance(value, float | int)]
    best = tuple(place for place, value in enumerate(values) if value is not None and value * sign == max(known))
    return Figure(name=name.replace("_", " "), values=tuple(values), best=best if len(set(known)) > 1 else ())


def _contest(pair: tuple[int, int], sides: Sequence[RunData], hashes: Sequence[str], answers: Answers) -> Contest:
    shown = pair[0] + 1, pair[1] + 1
    both = answers.last(hashes[pair[0]]), answers.last(hashes[pair[1]])
    if both[0] is None or both[1] is None:
        return Contest(pair=shown, waits=True)
    for answer in both:
        if isinstance(answer, str):
            return Contest(pair=shown, why_not=f"the models could not be asked: {answer}")
    asked = tuple(one for one in both if isinstance(one, dict))
    try:
        test = common_rows((sides[pair[0]], sides[pair[1]]), (asked[0], asked[1]))
    except (NotThereError, MnistTfxError) as err:
        return Contest(pair=shown, why_not=why_not(err))
    return Contest(pair=shown, significance=significance((asked[0], asked[1]), test))
