"""What gates and pushes left in their artifacts -> whether the run goes on, and what it reports in the end.

A refused candidate is a result, not a failure of the node that refused it: Evaluator and SavedModelCheck succeed and
write why. Here the local runner turns that into the end of the run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import Refused
from components.evaluation.results import read_metrics
from components.evaluation.thresholds import read_verdict
from components.serving import versions
from pipeline.lineage.pushes import version_of
from pipeline.lineage.records import DATA, ExecutionRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pushed:
    """A served version: its number, its directory relative to the root, its tree digest."""

    version: int
    path: str
    digest: str


def require(node: str, root: Path, record: ExecutionRecord) -> None:
    """Checks that a node did not refuse the candidate.

    Raises:
      Refused: with every reason.
    """
    if node == "Evaluator":
        verdict = read_verdict(root / record.outputs["evaluation"][0].path)
        if not verdict.blessed:
            raise Refused("not blessed", where=node, got="; ".join(verdict.reasons))
    if node == "SavedModelCheck":
        check = json.loads((root / record.outputs["blessing"][0].path / "check.json").read_text())
        if not check["blessed"]:
            raise Refused("not blessed", where=node, got="; ".join(check["reasons"]))


def gate_warnings(root: Path, record: ExecutionRecord) -> list[str]:
    """Returns what the schema gate let through with a warning, a sentence to each."""
    report = json.loads((root / record.outputs["report"][0].path / "gate.json").read_text())
    warned = [check for check in report["checks"] if not check["passed"] and check["action"] == "warn"]
    return [f"{check['feature']} in {check['split']}, {check['rule']}: {check['detail']}" for check in warned]


def still_served(root: Path, record: ExecutionRecord) -> bool:
    """Whether what a Pusher's execution pushed is still the newest complete version, byte for byte."""
    known = pushed(root, record)
    if known is None:
        return True
    complete = [served for served in versions((root / known.path).parent) if served.complete]
    return bool(complete) and (complete[-1].version, complete[-1].digest) == (known.version, known.digest)


def pushed(root: Path, record: ExecutionRecord) -> Pushed | None:
    """Returns what a Pusher's execution put into the serving directory, or None.

    The number is the record's: whoever can write to the artifact could name another version there.
    """
    number = version_of(record)
    path = root / record.outputs["pushed_model"][0].path / "pushed.json"
    if number is None or not path.exists():
        return None
    fields = json.loads(path.read_text())
    return Pushed(version=number, path=fields["path"], digest=fields["digest"])


def summary(root: Path, done: Mapping[str, ExecutionRecord]) -> dict[str, Any]:
    """Returns the result fields of a run record, None where the run did not get that far."""
    fields: dict[str, Any] = dict.fromkeys(
        ("metrics", "blessed", "baseline", "version", "serving_path", "rows_digest"), None
    )
    fields["payload_digests"] = ()
    if "ExampleGen" in done:
        data = done["ExampleGen"].extra[DATA]
        fields["payload_digests"] = tuple(sorted(file["payload_digest"] for file in data["files"]))
        fields["rows_digest"] = data["rows_digest"]
    if "Evaluator" in done:
        evaluation = root / done["Evaluator"].outputs["evaluation"][0].path
        verdict = read_verdict(evaluation)
        fields["metrics"] = read_metrics(evaluation)
        fields["blessed"], fields["baseline"] = verdict.blessed, verdict.baseline
    if "Pusher" in done and (served := pushed(root, done["Pusher"])) is not None:
        fields["version"], fields["serving_path"] = served.version, served.path
    return fields
