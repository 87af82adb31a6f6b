"""Models of what commands print with `--json`.

`DATA` has one for the `data` of each command; `schema` makes one JSON Schema of all of them, which is kept as
`answers.schema.json` beside this folder. Everything here is imported when an answer is printed, and not before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from components.errors import ExitCode
from pipeline.cli.answers import kubeflow, lineage, runs
from pipeline.cli.answers.model import Error
from pipeline.cli.answers.records import DigestsFacet, ExecutionRecord, RunRecord

DATA: Final[dict[str, Any]] = {
    "run": runs.RunResult | runs.DryRun | runs.Sweep | runs.SweepPlan,
    "runs list": runs.Runs,
    "runs show": runs.Run,
    "runs stop": runs.StoppedRun,
    "root backup": lineage.CopiedRoot,
    "root restore": lineage.CopiedRoot,
    "data fetch": runs.FetchedData,
    "data import": runs.ImportedData,
    "data inspect": runs.InspectedData,
    "data exclude": runs.ExcludedRows,
    "recipe list": runs.Recipes,
    "recipe show": runs.ShownRecipe,
    "recipe check": runs.CheckedRecipe,
    "recipe new": runs.NewRecipe,
    "schema propose": runs.SchemaDraft,
    "schema diff": runs.SchemaChanges,
    "schema approve": runs.ApprovedSchema,
    "schema withdraw": runs.WithdrawnSchemaApprovals,
    "lineage show": lineage.Lineage,
    "lineage audit": lineage.Audits,
    "lineage head": lineage.LedgerHead,
    "lineage keygen": lineage.KeyPair,
    "lineage sign": lineage.Signature,
    "lineage verify": lineage.SignatureCheck,
    "lineage trace": lineage.Trace,
    "lineage impact": lineage.Impact,
    "lineage prove": lineage.ProofFile,
    "lineage check-proof": lineage.ProofCheck,
    "lineage diff": lineage.VersionDiff,
    "lineage reproduce": lineage.Reproduction,
    "lineage orphans": lineage.Orphans,
    "lineage repair": lineage.Repairs,
    "lineage gc": lineage.Collection,
    "lineage rebuild": lineage.RebuiltStore,
    "lineage export": lineage.Export,
    "lineage evidence": lineage.Evidence,
    "lineage erase-request": lineage.ErasureRequest | lineage.AbsenceCheck,
    "keys list": lineage.ApproverKeys,
    "keys add": lineage.ApproverKey,
    "keys rotate": lineage.ApproverKey,
    "keys revoke": lineage.ApproverKey,
    "serve": runs.ModelServer,
    "beam-pool": runs.WorkerPool,
    "serving list": runs.ServedVersions,
    "serving promote": runs.Promotion,
    "serving approve": lineage.Approval,
    "serving withdraw": runs.WithdrawnApprovals,
    "serving rollback": runs.Rollback,
    "serving prune": runs.Pruning,
    "serving monitor": runs.Monitoring,
    "predict": runs.Predictions,
    "kubeflow init": kubeflow.ClusterFile,
    "kubeflow doctor": kubeflow.Readiness,
    "kubeflow compile": kubeflow.CompiledPipeline,
    "kubeflow lint": kubeflow.Lint,
    "kubeflow simulate": kubeflow.Simulation,
    "kubeflow submit": kubeflow.Submission,
    "kubeflow schedule": kubeflow.Schedules,
    "kubeflow runs": kubeflow.ClusterRuns,
    "kubeflow watch": kubeflow.WatchedRun,
    "kubeflow audit": kubeflow.ClusterAudit,
    "report": runs.Page,
    "doctor": runs.Diagnosis,
}
"""{command: model of the `data` of its answer}."""

OTHERS: Final = {model.__name__: model for model in (Error, ExecutionRecord, RunRecord, DigestsFacet)}
"""Models of what is no answer: an error in one, records in a root, and a facet in what `lineage export` writes."""

SCHEMA_FILE: Final = Path(__file__).parents[1] / "answers.schema.json"
URN: Final = "urn:mnist-tfx:schema:answer:1"


class _Untitled(GenerateJsonSchema):
    """Leaves out titles of fields, which repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False."""
        del schema
        return False


def checked(command: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a command's answer, as its model has it.

    Raises:
      pydantic.ValidationError: if it does not fit the model.
    """
    model: TypeAdapter[Any] = TypeAdapter(DATA[command])
    fields: dict[str, Any] = model.dump_python(model.validate_json(json.dumps(data)), mode="json", by_alias=True)
    return fields


def schema() -> dict[str, Any]:
    """Return the JSON Schema of every answer; the models are under `$defs`."""
    models = [(name, "serialization", TypeAdapter(model)) for name, model in (DATA | OTHERS).items()]
    references, made = TypeAdapter.json_schemas(models, schema_generator=_Untitled)  # type: ignore[arg-type]  # a literal, widened to str
    data = {name: {"anyOf": [references[name, "serialization"], {"type": "null"}]} for name in DATA}
    properties = {
        "schema_version": {"const": 1},
        # A group's own name stands where the command line ends before its command; null where it is not read yet.
        "command": {"enum": [*DATA, *dict.fromkeys(name.split()[0] for name in DATA if " " in name), None]},
        "status": {"enum": list(dict.fromkeys(code.status for code in ExitCode))},
        "error": {"anyOf": [references["Error", "serialization"], {"type": "null"}]},
        "data": {"type": ["object", "null"]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": URN,
        "title": "What a command prints with --json, whatever becomes of it",
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
        "if": {"properties": {"status": {"enum": [ExitCode.OK.status, ExitCode.FINDINGS.status]}}},
        "then": {"properties": {"error": {"type": "null"}, "data": {"type": "object"}}},
        "else": {"properties": {"error": {"type": "object"}}},
        "allOf": [
            {"if": {"properties": {"command": {"const": name}}}, "then": {"properties": {"data": one}}}
            for name, one in data.items()
        ],
        **made,
    }


def schema_text() -> str:
    """Return the text of `answers.schema.json`: a line to each command, and one to each model."""
    whole = schema()
    rules = ",\n  ".join(map(json.dumps, whole.pop("allOf")))
    models = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in whole.pop("$defs").items())
    head = json.dumps(whole, indent=1).removesuffix("\n}")
    return f'{head},\n "allOf": [\n  {rules}\n ],\n "$defs": {{\n  {models}\n }}\n}}\n'
