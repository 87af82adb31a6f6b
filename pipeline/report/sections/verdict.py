"""The outcome of a run: every question of gates, evaluation and check, with its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from components.errors import EnvironmentProblem
from components.evaluation.thresholds import read_verdict
from components.profile import ASPECTS
from components.untrusted import read_object
from pipeline.provenance.accuracy import accuracy_of
from pipeline.report.run_data import NotThereError, RunData
from pipeline.stages import EVALUATOR, SAVED_MODEL_CHECK, SCHEMA_GATE

PASSED, FAILED, WARNED, UNASKED = "passed", "failed", "warned", "not asked"

METRICS: Final = (("accuracy", "accuracy"), ("loss", "cross entropy"), ("reconstruction_mse", "reconstruction MSE"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """One question and its answer, as a row of a table."""

    name: str
    value: float | str | None
    threshold: float | str | None
    baseline: float | None
    state: str
    why: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distances:
    """One comparison of the schema gate that passed: its value and its threshold by aspect, None where not asked."""

    name: str
    measured: tuple[tuple[float, float] | None, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """The questions of one node.

    Attributes:
      node: its id.
      answers: one by one.
      distances: of the schema gate, those that passed, by `ASPECTS`.
      silent: how many passed that are not listed, having no size.
      absent: why there are none.
    """

    node: str
    answers: tuple[Answer, ...] = ()
    distances: tuple[Distances, ...] = ()
    silent: int = 0
    absent: str = ""

    @property
    def state(self) -> str:
        """The worst of its answers."""
        if self.absent:
            return UNASKED
        states = {answer.state for answer in self.answers}
        return next((state for state in (FAILED, WARNED) if state in states), PASSED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Headline:
    """A figure of the test split; `beside` is the baseline's, or its interval, in words."""

    name: str
    value: float | None
    beside: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """How the run ended.

    Attributes:
      status: ok, refused, failed or interrupted.
      title: the same in a sentence.
      error: what stopped it, field by field.
      baseline: what the candidate was compared with.
      headlines: the figures that matter most.
      gates: in the order of the run.
    """

    status: str
    title: str
    error: dict[str, str]
    baseline: str
    headlines: tuple[Headline, ...]
    gates: tuple[Gate, ...]


def verdict(evidence: RunData) -> Verdict:
    """Return how the run ended."""
    run = evidence.run
    error = {} if run.error is None else {k: str(v) for k, v in run.error.items() if v is not None and k != "kind"}
    return Verdict(
        status=run.status,
        title=_title(evidence),
        error=error,
        baseline=run.baseline or "none",
        headlines=_headlines(run.metrics or {}, reconstructs=evidence.settings.autoencoder is not None),
        gates=(_schema_gate(evidence), _evaluation(evidence), _check(evidence)),
    )


def _title(evidence: RunData) -> str:
    run = evidence.run
    if run.status == "ok":
        return "The run went through" if run.version is None else f"Served as version {run.version}"
    stopped = next((node.id for node in run.nodes if node.state == "failed"), None)
    stopped = stopped or (run.error or {}).get("where")
    where = f" by {stopped}" if stopped and run.status == "refused" else f" in {stopped}" if stopped else ""
    return f"{run.status.capitalize()}{where}"


def _headlines(metrics: Mapping[str, Any], *, reconstructs: bool) -> tuple[Headline, ...]:
    beside = metrics.get("baseline")
    baseline = beside if isinstance(beside, dict) else {}
    result = []
    for key, name in METRICS:
        if key not in metrics or (key == "reconstruction_mse" and not reconstructs):
            continue
        value = metrics[key]
        note = "" if baseline.get(key) is None else f"baseline {baseline[key]:.4f}"
        if key == "accuracy" and (measured := accuracy_of(metrics)) is not None:
            note = f"{measured.interval}; {note}" if note else measured.interval
        result.append(Headline(name=name, value=value, beside=note))
    return tuple(result)


def _evaluation(evidence: RunData) -> Gate:
    try:
        verdict = read_verdict(evidence.artifact(EVALUATOR, "evaluation"))
    except (NotThereError, EnvironmentProblem) as err:
        return Gate(node=EVALUATOR, absent=str(err))
    metrics = evidence.run.metrics or {}
    beside = metrics.get("baseline")
    baseline = beside if isinstance(beside, dict) else {}
    return Gate(
        node=EVALUATOR,
        answers=tuple(
            Answer(
                name=check.name.replace("_", " "),
                value=check.value,
                threshold=check.threshold,
                baseline=baseline.get(check.name),
                state={True: PASSED, False: FAILED, None: UNASKED}[check.passed],
                why=check.reason,
            )
            for check in verdict.checks
        ),
    )


def _check(evidence: RunData) -> Gate:
    try:
        check = evidence.read_json(SAVED_MODEL_CHECK, "blessing", "check.json")
    except NotThereError as err:
        return Gate(node=SAVED_MODEL_CHECK, absent=str(err))
    reasons = "; ".join(check["reasons"])
    answer = Answer(
        name="answers in a bare interpreter",
        value=f"{check['rows']} rows",
        threshold=None,
        baseline=None,
        state=PASSED if check["blessed"] else FAILED,
        why=reasons or f"loaded in {check['load_s']:.2f} s by TensorFlow {check['tensorflow']}",
    )
    return Gate(node=SAVED_MODEL_CHECK, answers=(answer,))


def _schema_gate(evidence: RunData) -> Gate:
    try:
        checks = _gate_report(evidence)["checks"]
    except (NotThereError, OSError, ValueError) as err:
        return Gate(node=SCHEMA_GATE, absent=str(err))
    measured = [check for check in checks if check["passed"] and check["aspect"] in ASPECTS]
    loud = [check for check in checks if not check["passed"]]
    return Gate(
        node=SCHEMA_GATE,
        answers=tuple(map(_gate_answer, loud)),
        distances=_distances(measured),
        silent=len(checks) - len(loud) - len(measured),
    )


def _distances(checks: list[dict[str, Any]]) -> tuple[Distances, ...]:
    result: dict[str, dict[str, tuple[float, float]]] = {}
    for check in checks:
        against = "the reference" if check["rule"] == "drift" else "each other"
        name = f"{check['split'].replace('/', ' and ')} against {against}"
        result.setdefault(name, {})[check["aspect"]] = (check["value"], check["threshold"])
    return tuple(Distances(name=k, measured=tuple(v.get(aspect) for aspect in ASPECTS)) for k, v in result.items())


def _gate_report(evidence: RunData) -> dict[str, Any]:
    """Return the gate's checks, where it refused, from the log folder: a failed node leaves no artifact."""
    refused = evidence.paths.gate_report(evidence.run.run_id)
    if refused.is_file():
        return read_object(refused)
    kept: dict[str, Any] = evidence.read_json(SCHEMA_GATE, "report", "gate.json")
    return kept


def _gate_answer(check: dict[str, Any]) -> Answer:
    question = " ".join(filter(None, (check["rule"], check["aspect"])))
    state = PASSED if check["passed"] else {"refuse": FAILED, "warn": WARNED}.get(check["action"], UNASKED)
    cause = f" ({check['cause']})" if check["cause"] else ""
    return Answer(
        name=f"{check['feature']}, {check['split']}: {question}",
        value=check["value"],
        threshold=check["threshold"],
        baseline=None,
        state=state,
        why=f"{check['detail']}{cause}",
    )
