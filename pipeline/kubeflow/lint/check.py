"""Linter of compiled files: what a cluster would refuse, get wrong, or do otherwise than was meant.

Any compiler's file can be looked at: the stock one's output fails on open-source Kubeflow Pipelines by several of
these rules at once. A clean file is no proof that it runs; `kubeflow simulate` executes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from components.errors import BadInput
from pipeline.kubeflow.compiler.targets import TARGETS, Target
from pipeline.kubeflow.document import Document
from pipeline.kubeflow.kfp_version import NEWEST, KfpVersion
from pipeline.kubeflow.lint import containers, fields, graph, header, mounts, platform, values, volumes
from pipeline.kubeflow.lint.fault import LEVELS, Fault, Rule

RULES: Final[Mapping[str, Rule]] = {
    "form": header.form,
    "messages": header.messages,
    "unknown-field": fields.unknown_fields,
    "schema-version": header.schema_version,
    "pipeline-name": header.pipeline_name,
    "pipeline-root": header.pipeline_root,
    "default-root": header.default_root,
    "profile-root": header.profile_root,
    "runtime-default": header.runtime_default,
    "task-name": graph.task_name,
    "task-info": graph.task_info,
    "dependencies": graph.dependencies,
    "producers": graph.producers,
    "references": graph.references,
    "sources": graph.sources,
    "required-inputs": graph.required_inputs,
    "parameter-type": values.parameter_type,
    "trigger": values.trigger,
    "executor-kind": graph.executor_kind,
    "pre-cache-check": graph.pre_cache_check,
    "importer-uri": graph.importer_uri,
    "importer-folder": graph.importer_folder,
    "other-bucket": graph.other_bucket,
    "no-tasks": graph.no_tasks,
    "placeholders": values.placeholders,
    "variables": containers.variables,
    "artifact-types": containers.artifact_types,
    "openable-root": containers.openable_root,
    "image": containers.image,
    "trainer-resources": containers.trainer_resources,
    "accelerator": containers.accelerator,
    "clear-text-secret": containers.clear_text_secret,
    "argument-size": containers.argument_size,
    "platform-executors": platform.platform_executors,
    "platform-fields": platform.platform_fields,
    "platform-values": platform.platform_values,
    "mounts": mounts.mounts,
    "shared-places": mounts.shared_places,
    "serving-volume": volumes.serving_volume,
    "serving-bucket": volumes.serving_bucket,
    "input-volume": volumes.input_volume,
}
"""{name of a rule: what it looks for}, in the order in which findings of one level are told."""


OF_THE_SERVER: Final = frozenset(
    {
        "messages",
        "unknown-field",
        "schema-version",
        "task-name",
        "dependencies",
        "references",
        "sources",
        "trigger",
        "executor-kind",
        "no-tasks",
        "placeholders",
        "platform-fields",
        "platform-values",
    }
)
"""Rules whose errors Kubeflow's server, its compiler or Argo may refuse a file for, before anything runs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(Fault):
    """A fault, and the rule that found it.

    Attributes:
      rule: its name.
    """

    rule: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.hint} [{self.rule}]"


def lint(
    document: Document, target: str | None = None, version: KfpVersion | None = None, namespace: str | None = None
) -> tuple[Finding, ...]:
    """Return all findings, errors first.

    Args:
      document: the compiled file.
      target: what it is meant for; None for what its form says.
      version: of the server; None for what the file says, else the newest.
      namespace: of the runs, where an installation serves several users.
    """
    meant_for = dataclasses.replace(
        TARGETS[target or document.target], version=version or document.version or NEWEST, namespace=namespace
    )
    document = document.without_nulls()
    findings = [
        Finding(rule=name, **dataclasses.asdict(fault))
        for name, rule in RULES.items()
        for fault in _faults(rule, document, meant_for)
    ]
    return tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level)))


def require_accepted(document: Document, target: str | None = None) -> None:
    """Refuse a file that a server refuses; what it accepts and a pod fails of is for the run to show.

    Raises:
      BadInput: naming the first error.
    """
    errors = (one for one in lint(document, target) if one.level == "error" and one.rule in OF_THE_SERVER)
    if (first := next(errors, None)) is not None:
        raise BadInput(
            f"a cluster would not run this as it is: {first.what}",
            where=first.where,
            hint=f"{first.hint}; mnist-tfx kubeflow lint lists all errors",
        )


def _faults(rule: Rule, document: Document, target: Target) -> list[Fault]:
    try:
        return list(rule(document, target))
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        # Rules go by the form of the messages; a hand-made file may have a list where there is a mapping.
        what = f"cannot be looked at: {type(err).__name__}: {err}"
        return [Fault(where="file", what=what, hint="something in it is of another form than in a PipelineSpec")]
