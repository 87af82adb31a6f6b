"""The results of a run, as gates and pushes left them in their artifacts, and the builder of run records.

A refused candidate is a result, not a failure of the node that refused it: Evaluator and SavedModelCheck succeed and
write why. Here the local runner turns that into the end of the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from typing_extensions import TypedDict

from components.errors import AGAIN, EnvironmentProblem, Refused
from components.evaluation.refusal import MOST_FACTS, refusal
from components.evaluation.results import read_metrics
from components.evaluation.thresholds import NOT_BLESSED_FILE, VERDICT_FILE, read_verdict
from components.features import SPLITS
from components.serving import versions
from components.shapes import Shape
from components.untrusted import read_json
from pipeline.provenance.artifacts import checked_path
from pipeline.provenance.pushes import version_of
from pipeline.provenance.records import DATA, EXCLUDED, DataSource, ExecutionRecord, NodeOutcome, RunRecord
from pipeline.root.paths import RunPaths
from pipeline.stages import CLASSIFIER, EVALUATOR, INGEST, PUSHER, SAVED_MODEL_CHECK

CHECK_FILE: Final = "check.json"
"""In the blessing of SavedModelCheck."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pushed:
    """A served version: its number, its directory relative to the root, its tree digest."""

    version: int
    path: str
    digest: str


class _Check(TypedDict):
    blessed: bool
    reasons: list[str]


class _GateCheck(TypedDict):
    passed: bool
    action: str
    feature: str
    split: str
    rule: str
    detail: str


class _Gate(TypedDict):
    checks: list[_GateCheck]


class _Push(TypedDict):
    path: str
    digest: str


_CHECK: Final = Shape(_Check)
_GATE: Final = Shape(_Gate)
_PUSHED: Final = Shape(_Push)


def require(node: str, root: Path, record: ExecutionRecord) -> None:
    """Check that a node did not refuse the candidate.

    Raises:
      Refused: with the first reason, others as facts, and the file that has them all.
    """
    if node == EVALUATOR:
        verdict = read_verdict(_artifact(root, record, "evaluation"))
        if not verdict.blessed:
            refused = refusal(verdict, node)
            refused.page = str(_artifact(root, record, "evaluation") / VERDICT_FILE)
            raise refused
    if node == SAVED_MODEL_CHECK:
        path = _artifact(root, record, "blessing") / CHECK_FILE
        check = _CHECK.read(_json(path), what="not a check", where=path, error=EnvironmentProblem)
        if not check["blessed"]:
            refused = _of_export(check, node)
            refused.page = str(path)
            raise refused


def refusal_by(node: str, blessing: Path) -> Refused:
    """Return why a node did not bless a candidate, from the blessing alone, as `require` says it.

    Args:
      node: the Evaluator or SavedModelCheck.
      blessing: folder of its artifact.

    Raises:
      EnvironmentProblem: if the blessing does not say.
    """
    if node == EVALUATOR:
        return refusal(read_verdict(blessing, NOT_BLESSED_FILE), node)
    path = blessing / CHECK_FILE
    return _of_export(_CHECK.read(_json(path), what="not a check", where=path, error=EnvironmentProblem), node)


def _of_export(check: _Check, node: str) -> Refused:
    first, *others = check["reasons"] or ["no reason was recorded"]
    return Refused(
        f"the exported model does not answer as a server needs it: {first}",
        where=node,
        hint="nothing was pushed",
        facts=others[:MOST_FACTS],
        commands=["mnist-tfx doctor # interpreter and packages", f"{AGAIN} --force {CLASSIFIER} # export anew"],
    )


def gate_warnings(root: Path, record: ExecutionRecord) -> list[str]:
    """Return what the schema gate let through with a warning, a sentence to each."""
    path = _artifact(root, record, "report") / "gate.json"
    report = _GATE.read(_json(path), what="not a report of the gate", where=path, error=EnvironmentProblem)
    warned = [check for check in report["checks"] if not check["passed"] and check["action"] == "warn"]
    return [f"{check['feature']} in {check['split']}, {check['rule']}: {check['detail']}" for check in warned]


def left_out(record: ExecutionRecord) -> list[str]:
    """Return what an execution of ExampleGen left out by digest, a sentence to each remark; none where nothing was to be."""
    told = record.extra.get(DATA, {}).get(EXCLUDED)
    if told is None:
        return []
    counts = ", ".join(f"{split} {rows}" for split in SPLITS if (rows := told["splits"].get(split)))
    lines = [f"ExampleGen left out {told['rows']} row{'' if told['rows'] == 1 else 's'}{counts and f' ({counts})'}"]
    if unmatched := told["unmatched"]:
        few = ", ".join(digest[:12] for digest in unmatched[:MOST_FACTS])
        more = f" and {len(unmatched) - MOST_FACTS} more" if len(unmatched) > MOST_FACTS else ""
        lines.append(
            f"warning: ExampleGen: {len(unmatched)} of {told['digests']} digests to leave out match no row: {few}{more}"
        )
    return lines


def still_served(root: Path, record: ExecutionRecord) -> bool:
    """Whether what a Pusher's execution pushed is still the newest complete version, byte for byte."""
    push = pushed(root, record)
    if push is None:
        return True
    complete = [served for served in versions((root / push.path).parent) if served.complete]
    return bool(complete) and (complete[-1].version, complete[-1].digest) == (push.version, push.digest)


def pushed(root: Path, record: ExecutionRecord) -> Pushed | None:
    """Return what a Pusher's execution put into the serving directory, or None.

    The number is the record's: whoever can write to the artifact could name another version there.
    """
    number = version_of(record)
    path = _artifact(root, record, "pushed_model") / "pushed.json"
    if number is None or not path.exists():
        return None
    fields = _PUSHED.read(_json(path), what="not a push", where=path, error=EnvironmentProblem)
    checked_path(fields["path"])
    return Pushed(version=number, path=_place(root, number, fields["path"]), digest=fields["digest"])


def _place(root: Path, number: int, path: str) -> str:
    """Return where a version is that was pushed to `path`: one that was staged there may have been promoted since."""
    paths = RunPaths(root)
    if path != paths.relative(paths.staged / str(number)) or (root / path).is_dir():
        return path
    return paths.relative(paths.version(number)) if paths.version(number).is_dir() else path


def run_record(  # noqa: PLR0913  # a record is the sum of what is known
    root: Path,
    done: Mapping[str, ExecutionRecord],
    *,
    run_id: str,
    recipe: str,
    settings: Mapping[str, Any],
    status: str,
    error: Mapping[str, Any] | None,
    nodes: Sequence[NodeOutcome],
    sources: Sequence[DataSource],
    started: str,
    finished: str,
    sweep: Mapping[str, Any] | None = None,
) -> RunRecord:
    """Return the record of a run; its results are read from the artifacts of the nodes that are `done`.

    Raises:
      EnvironmentProblem: if an artifact with a result cannot be read.
    """
    return RunRecord(
        run_id=run_id,
        recipe=recipe,
        settings=settings,
        status=status,
        error=error,
        nodes=tuple(nodes),
        sources=tuple(sources),
        started=started,
        finished=finished,
        sweep=sweep,
        **_results(root, done),
    )


def _results(root: Path, done: Mapping[str, ExecutionRecord]) -> dict[str, Any]:
    """Return the result fields of a run record, None where the run did not get that far."""
    fields: dict[str, Any] = dict.fromkeys(
        ("metrics", "blessed", "baseline", "version", "serving_path", "rows_digest"), None
    )
    fields["payload_digests"] = ()
    if INGEST in done:
        data = done[INGEST].extra[DATA]
        fields["payload_digests"] = tuple(sorted(file["payload_digest"] for file in data["files"]))
        fields["rows_digest"] = data["rows_digest"]
    if EVALUATOR in done:
        evaluation = _artifact(root, done[EVALUATOR], "evaluation")
        verdict = read_verdict(evaluation)
        fields["metrics"] = read_metrics(evaluation)
        fields["blessed"], fields["baseline"] = verdict.blessed, verdict.baseline
    if PUSHER in done and (served := pushed(root, done[PUSHER])) is not None:
        fields["version"], fields["serving_path"] = served.version, served.path
    return fields


def _artifact(root: Path, record: ExecutionRecord, channel: str) -> Path:
    entries = record.outputs.get(channel)
    if not entries:
        raise EnvironmentProblem(f"made no {channel}", where=f"record of {record.node}")
    return root / entries[0].path


def _json(path: Path) -> Any:
    return read_json(path, error=EnvironmentProblem)
