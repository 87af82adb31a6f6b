"""The SchemaGate node: the schema that may be used, or the run stops here.

Also the node's report, `gate.json`: every check with its value, threshold, action and outcome.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tfx.dsl.components.base import executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.base import Component, Executor
from components.declaration import OWN_PARAMETERS
from components.errors import BadInput
from components.schema_files import PROFILE_NAME, SCHEMA_NAME, profile_file, schema_file
from components.schema_gate.diagnosis import refusal
from components.schema_gate.evidence import read_evidence
from components.schema_gate.rules import judge
from components.settings import DataSettings, GateSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.schema_gate.check import Check

REPORT_NAME: Final = "gate.json"
REPORT_VERSION: Final = 1


class SchemaGateSpec(ComponentSpec):  # type: ignore[misc]  # tfx has no annotations
    """Everything that is known about the rows in, an approved schema and a report out."""

    PARAMETERS = {
        "data": ExecutionParameter(type=str),
        **OWN_PARAMETERS,
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "reviewed_schema": ChannelParameter(type=standard_artifacts.Schema),
        "reference": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies, optional=True),
    }
    OUTPUTS = {
        "schema": ChannelParameter(type=standard_artifacts.Schema),
        "report": ChannelParameter(type=standard_artifacts.ExampleAnomalies),
    }


class SchemaGateExecutor(Executor):
    """Judges the evidence; passes the schema on, or refuses."""

    def execute(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
        """Run the gate.

        Raises:
          Refused: when a check fails whose action is `refuse`; its `report` is what `gate.json` would have held.
          EnvironmentProblem: when an input artifact is incomplete.
        """
        folders = {channel: Path(artifact.uri) for channel, artifact in inputs.items()}
        evidence = read_evidence(
            folders["examples"], folders["statistics"], folders["reference"], folders.get("anomalies")
        )
        gates = GateSettings.from_json(properties["settings"])
        data = DataSettings.from_json(properties["data"])
        checks = judge(evidence, gates, data)
        require(checks, data, built_in=_is_built_in(folders["reference"], data.geometry))
        write_outputs(checks, folders["reviewed_schema"], approved=outputs["schema"], report=outputs["report"])


def require(checks: Sequence[Check], data: DataSettings, *, built_in: bool = True) -> None:
    """Let checks pass, or stop the run.

    Args:
      checks: all of them.
      data: geometry of the reviewed schema, and names of the classes.
      built_in: whether its reference is the program's own.

    Raises:
      Refused: with the cause, and every check in its report.
    """
    if any(check.stops for check in checks):
        refused = refusal(checks, data, built_in=built_in)
        refused.report = report_of(checks)
        raise refused


def _is_built_in(reference: Path, geometry: str) -> bool:
    """Return whether a reference is the one that comes with the program, and not a user's own of the same geometry."""
    try:
        return profile_file(schema_file(geometry)).read_bytes() == (reference / PROFILE_NAME).read_bytes()
    except (BadInput, OSError):
        return False


def write_outputs(checks: Sequence[Check], schema: Path, *, approved: Any, report: Any) -> None:
    """Copy the schema into its artifact and write `gate.json` into the report's."""
    for artifact in (approved, report):
        Path(artifact.uri).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(schema / SCHEMA_NAME, Path(approved.uri) / SCHEMA_NAME)
    (Path(report.uri) / REPORT_NAME).write_text(report_json(checks), encoding="utf-8")
    approved.set_int_custom_property("checks", len(checks))
    approved.set_int_custom_property("warnings", sum(check.warns for check in checks))


def report_of(checks: Sequence[Check]) -> dict[str, Any]:
    """Return what `gate.json` holds: `version`, whether the gate opened (`passed`), and every check under `checks`."""
    return {
        "version": REPORT_VERSION,
        "passed": not any(check.stops for check in checks),
        "checks": [check.to_dict() for check in checks],
    }


def report_json(checks: Sequence[Check]) -> str:
    """Return the text of `gate.json`, a line to each check."""
    report = report_of(checks)
    lines = ",\n".join(json.dumps(check, sort_keys=True) for check in report["checks"])
    return f'{{"version": {report["version"]}, "passed": {json.dumps(report["passed"])}, "checks": [\n{lines}\n]}}\n'


class SchemaGate(Component):
    """The statistics' judge: what stock TFX leaves to whoever reads the anomalies."""

    SPEC_CLASS = SchemaGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(SchemaGateExecutor)
