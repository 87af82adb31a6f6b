"""`mnist-tfx kubeflow doctor`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.errors import BadInput, CannotTell, EnvironmentProblem, MnistTfxError, printable
from pipeline.cli import options
from pipeline.cli.kubeflow import options as cluster_options
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import InputFile, Text
from pipeline.cli.parsing import checked_by
from pipeline.kubeflow.client.connection import Address
from pipeline.kubeflow.compiler.cluster import DEFAULT, Cluster, read
from pipeline.kubeflow.document import VERTEX

if TYPE_CHECKING:
    from pipeline.kubeflow.client.readiness import Finding


def _consistent(given: Mapping[str, Any]) -> None:
    _cluster(given["cluster"])


@options.command()
@cluster_options.server()
@click.option(
    "--cluster",
    type=InputFile(),
    metavar="FILE",
    help="The cluster file of the pipeline, which names volumes and secrets.",
)
@click.option(
    "--kubeconfig", type=InputFile(), metavar="FILE", help="How to reach Kubernetes.  [default: as kubectl does]"
)
@click.option("--context", type=Text(), metavar="NAME", help="Context in it.  [default: the current one]")
@options.as_json
@checked_by(_consistent)
def doctor(address: Address, cluster: Path | None, kubeconfig: Path | None, context: str | None, as_json: bool) -> int:
    """Ask a cluster whether it has what a run will ask for.

    The Pipelines API is asked for its version and for leave to list runs; Kubernetes for the namespace, rights, secrets,
    volumes and nodes that the cluster file names, and for the credentials of the bucket. Nothing is changed. Exit code 4
    if something is missing, 5 if nothing is, but not everything can be told.

    \b
    Example:
      mnist-tfx kubeflow doctor --host http://localhost:8080 --cluster cluster.yaml
      mnist-tfx kubeflow doctor --host https://kubeflow.example/pipeline --namespace me --token-file token
    """
    from pipeline.kubeflow.client import kubernetes_api, readiness

    kubernetes: kubernetes_api.Kubernetes | CannotTell
    try:
        kubernetes = kubernetes_api.connect(kubeconfig, context, timeout=address.retry.timeout)
    except CannotTell as err:
        kubernetes = err
    findings: list[Finding] = []
    for finding in readiness.examine(address, kubernetes, _cluster(cluster)):
        findings.append(finding)
        if not as_json:
            click.echo(printable(f"{finding.state:<12} {finding.what}: {finding.said}"))
            if finding.command is not None:
                click.echo(printable(f"{'':<13}{finding.command}"))
    answer = Answer(data={"findings": [dataclasses.asdict(one) for one in findings]}, error=_error(findings))
    if as_json:
        print_answer(answer)
    return answer.exit_code


def _cluster(file: Path | None) -> Cluster:
    if file is None:
        return DEFAULT
    cluster = read(file)
    if cluster.target == VERTEX:
        raise BadInput("Vertex AI has no Kubernetes that could be asked", where=file, wanted="target: oss")
    return cluster


def _error(findings: list[Finding]) -> MnistTfxError | None:
    """Return what is missing, or else what cannot be told."""
    for kind, state in ((EnvironmentProblem, "missing"), (CannotTell, "cannot tell")):
        problems: list[MnistTfxError] = [
            kind(one.said, where=one.what, commands=() if one.command is None else (one.command,))
            for one in findings
            if one.state == state
        ]
        if problems:
            return kind.of_several(problems)
    return None
