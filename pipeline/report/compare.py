"""The page that compares two runs: settings, figures, curves, confusions, and images they disagree on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import BadInput, MnistTfxError
from components.features import TEST
from pipeline.provenance import parameters
from pipeline.provenance.records import timestamp
from pipeline.report import charts, example_rows, mosaics, run_data
from pipeline.report.asking import Ask, answered, own_process
from pipeline.report.model_answers import TEST_ROWS, Arrays
from pipeline.report.page import rendered
from pipeline.report.picture import Picture
from pipeline.report.run_data import NotThereError, RunData
from pipeline.report.sections.classification import confusion
from pipeline.report.sections.environment import shown
from pipeline.report.significance import Significance, mcnemar
from pipeline.report.write import check_output, keep
from pipeline.root.paths import RunPaths
from pipeline.stages import INGEST, TRAINERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS: Final = (("accuracy", 1), ("loss", -1), ("reconstruction_mse", -1))
"""Figures of the test split, and whether more is better."""

DISAGREEMENTS: Final = 36
STEPS: Final = 5
"""Of a cell's shade; the page has a class for each, in both colours."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting that differs, as each run had it."""

    name: str
    values: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of both runs; `better` is the run that has the better one, 0 or 1, None where that has no meaning."""

    name: str
    values: tuple[Any, Any]
    change: float | None
    better: int | None
    digits: int = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """A cell of the confusion difference: points of percent from the first run to the second, and its shade."""

    points: float
    shade: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A test row, what it is, and what each run took it for."""

    label: str
    said: tuple[str, str]
    picture: Picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the page shows of two runs.

    Attributes:
      run_ids: of both.
      statuses: how they ended.
      settings: those that differ.
      figures: of both.
      curves: on the same axes.
      confusion: [label][predicted], empty where one has no model.
      class_names: of its rows and columns.
      disagreements: the rows on which they are the surest of different things.
      disagreed: how many rows those are taken from.
      rows: compared.
      significance: whether the models differ by more than chance on these rows; None where they are not compared.
      absent: why images and confusions are not compared, if so.
    """

    run_ids: tuple[str, str]
    statuses: tuple[str, str]
    settings: tuple[Setting, ...]
    figures: tuple[Figure, ...]
    curves: tuple[Picture, ...]
    confusion: tuple[tuple[Change, ...], ...] = ()
    class_names: tuple[str, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    disagreed: int = 0
    rows: int = 0
    significance: Significance | None = None
    absent: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """A comparison that was written."""

    run_ids: list[str]
    path: Path
    bytes: int
    unanswered: str


def write(root: Path, names: tuple[str, str], *, output: Path | None = None, ask: Ask = own_process) -> Compared:
    """Write the comparison of two runs.

    Raises:
      BadInput: if one of them is not there, or they are the same.
      EnvironmentProblem: if a record cannot be read, or the file not be written.
    """
    check_output(RunPaths(root), output)
    first, second = (run_data.gather(root, name) for name in names)
    ids = (first.run.run_id, second.run.run_id)
    if ids[0] == ids[1]:
        raise BadInput("the same run twice", where="--compare", got=ids[0])
    unanswered = ""
    answers: tuple[Arrays, Arrays] = ({}, {})
    try:
        answers = (answered(first, ask), answered(second, ask))
    except MnistTfxError as err:
        unanswered = str(err)
    page = rendered("compare.html.j2", it=comparison((first, second), answers), unanswered=unanswered)
    path = output or first.paths.report(f"{ids[0]}--{ids[1]}")
    return Compared(run_ids=list(ids), path=path, bytes=keep(path, page), unanswered=unanswered)


def comparison(both: tuple[RunData, RunData], answers: tuple[Arrays, Arrays]) -> Comparison:
    """Return what two runs differ in."""
    first, second = both
    common = Comparison(
        run_ids=(first.run.run_id, second.run.run_id),
        statuses=(first.run.status, second.run.status),
        settings=differing(first.run.settings, second.run.settings),
        figures=_figures(both),
        curves=_curves(both),
    )
    try:
        test = common_rows(both, answers)
    except NotThereError as err:
        return dataclasses.replace(common, absent=str(err))
    return _with_rows(common, answers, test, first)


def common_rows(both: tuple[RunData, RunData], answers: tuple[Arrays, Arrays]) -> example_rows.ImageRows:
    """Return the test rows that the models of two runs have answered, both in this order.

    Raises:
      NotThereError: if there are none such, saying why.
    """
    first, second = both
    if not all("probabilities" in one for one in answers):
        raise NotThereError("one of the runs has no model")
    if first.digest(INGEST, "examples") != second.digest(INGEST, "examples"):
        raise NotThereError("the runs have different data, so rows are not set side by side")
    try:
        test = example_rows.read(first.artifact(INGEST, "examples"), TEST, first.settings.data.pixels, TEST_ROWS)
    except (OSError, ValueError) as err:
        raise NotThereError(str(err)) from err
    if any(len(one["probabilities"]) != len(test) for one in answers):
        raise NotThereError("the answers are about other rows")
    return test


def significance(answers: tuple[Arrays, Arrays], test: example_rows.ImageRows) -> Significance:
    """Return whether two models differ by more than chance on rows that both have answered."""
    first, second = (answer["probabilities"].argmax(axis=1) == test.labels for answer in answers)
    return mcnemar(first, second)


def differing(*settings: Any) -> tuple[Setting, ...]:
    """Return the settings that are not the same in all, by name; one that a run has not is a dash."""
    flat = [parameters.flatten_keys(one) for one in settings]
    names = sorted({name for one in flat for name in one})
    dash = "\N{EN DASH}"
    return tuple(
        Setting(name=name, values=tuple(shown(one[name]) if name in one else dash for one in flat))
        for name in names
        if any(one.get(name, ...) != flat[0].get(name, ...) for one in flat[1:])
    )


def _figures(both: tuple[RunData, RunData]) -> tuple[Figure, ...]:
    result = []
    for name, sign in METRICS:
        values = [(one.run.metrics or {}).get(name) for one in both]
        result.append(_figure(name.replace("_", " "), values, sign))
    seconds = [round(timestamp(one.run.finished) - timestamp(one.run.started), 1) for one in both]
    trained = [round(sum(n.seconds for n in one.run.nodes if n.id in TRAINERS), 1) for one in both]
    executed = [sum(node.state == "executed" for node in one.run.nodes) for one in both]
    versions = [one.run.version for one in both]
    return (
        *result,
        _figure("seconds", seconds, -1, digits=1),
        _figure("seconds of training", trained, -1, digits=1),
        _figure("nodes executed", executed, 0, digits=0),
        Figure(name="served version", values=(versions[0], versions[1]), change=None, better=None),
    )


def _figure(name: str, values: Sequence[float | None], sign: int, digits: int = 4) -> Figure:
    first, second = values
    if first is None or second is None:
        return Figure(name=name, values=(first, second), change=None, better=None)
    change = second - first if round(second - first, digits) else 0.0  # what the page cannot show is no difference
    better = None if not sign or not change else int(change * sign > 0)
    return Figure(name=name, values=(first, second), change=change, better=better, digits=digits)


def _curves(both: tuple[RunData, RunData]) -> tuple[Picture, ...]:
    curves = [(node, key) for node in TRAINERS for key in ("val_loss", "val_accuracy")]
    return tuple(picture for node, key in curves if (picture := _curve(both, node, key)) is not None)


def _curve(both: tuple[RunData, RunData], node: str, key: str) -> Picture | None:
    series = [_series(one, node, key) for one in both]
    if not any(series):
        return None
    figure, axes = charts.chart()
    facts = []
    for one, values, colour, line in zip(both, series, (charts.FIRST, charts.SECOND), ("-", (0, (4, 2))), strict=True):
        if values:
            axes.plot(range(1, len(values) + 1), values, color=colour, linestyle=line, label=one.run.run_id[:15])
            facts.append(f"run {one.run.run_id[:15]} ends at {values[-1]:.4f} after {len(values)} epochs")
    what = {"val_loss": "loss", "val_accuracy": "accuracy"}[key]
    if key == "val_loss":
        charts.log_axis(axes.yaxis, [value for values in series for value in values])
    charts.whole_numbers(axes.xaxis)
    axes.set(xlabel="epoch", ylabel=f"{what} on validation")
    axes.legend()
    return charts.drawn(figure, f"{node}, {what} on validation: {'; '.join(facts)}.")


def _series(one: RunData, node: str, key: str) -> list[float]:
    try:
        history = one.read_json(node, "model_run", "training.json")["history"]
    except (NotThereError, KeyError):
        return []
    values = [epoch.get(key, epoch["metrics"].get(key)) for epoch in history]
    return [] if None in values else values


def _with_rows(
    common: Comparison, answers: tuple[Arrays, Arrays], test: example_rows.ImageRows, one: RunData
) -> Comparison:
    data = one.settings.data
    shares = []
    for answer in answers:
        counts = confusion(answer["probabilities"], test.labels, data.label_count)
        shares.append(counts / np.maximum(1, counts.sum(axis=1, keepdims=True)) * 100)
    rows = disagreeing(answers[0]["probabilities"], answers[1]["probabilities"])
    said = [answer["probabilities"].argmax(axis=1) for answer in answers]
    pictures = []
    for row in rows[:DISAGREEMENTS].tolist():
        label, *pair = (data.names[int(known[row])] for known in (test.labels, *said))
        text = f"A {label}, taken for a {pair[0]} by the first run and for a {pair[1]} by the second."
        image = test.images[row].reshape(1, *data.shape)
        picture = mosaics.ink(image, peak=data.pixel_max, text=text, columns=1, scale=84 / max(data.shape))
        pictures.append(Disagreement(label=label, said=(pair[0], pair[1]), picture=picture))
    return dataclasses.replace(
        common,
        confusion=_changes(shares[1] - shares[0]),
        class_names=tuple(data.names),
        disagreements=tuple(pictures),
        disagreed=len(rows),
        rows=len(test),
        significance=significance(answers, test),
    )


def disagreeing(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the numbers of the rows that two models take for different classes, the surest first."""
    rows = np.flatnonzero(first.argmax(axis=1) != second.argmax(axis=1))
    sure = np.minimum(first[rows].max(axis=1), second[rows].max(axis=1))
    return rows[np.argsort(-sure, kind="stable")]


def _changes(points: NDArray[np.floating[Any]]) -> tuple[tuple[Change, ...], ...]:
    """Return the cells; more on the diagonal is as good as less beside it, and both are blue."""
    good = np.where(np.eye(len(points), dtype=bool), points, -points)
    most = max(float(np.abs(points).max(initial=0.0)), 1e-9)
    steps = np.ceil(np.abs(points) / most * STEPS).astype(int)
    return tuple(
        tuple(
            Change(points=float(points[i, j]), shade=f"{'up' if good[i, j] > 0 else 'down'}{steps[i, j]}")
            for j in range(len(points))
        )
        for i in range(len(points))
    )
