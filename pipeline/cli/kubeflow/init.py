"""`mnist-tfx kubeflow init`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from components import disk
from components.errors import BadInput, Problems, printable
from components.files import replacing
from pipeline.cli import options
from pipeline.cli.again import PROGRAM, complete
from pipeline.cli.output import Answer, below_here, print_answer
from pipeline.cli.parameters import Integer, OneOf, OutputFile, Text
from pipeline.cli.parsing import checked_by
from pipeline.kubeflow.compiler import cluster, cluster_text
from pipeline.kubeflow.compiler.platform_document import refuse_for_vertex
from pipeline.kubeflow.compiler.targets import TARGETS as BY_NAME
from pipeline.kubeflow.document import OSS, TARGETS, VERTEX
from pipeline.stages import TRAINERS

CPU: Final = "1"
MEMORY: Final = "4Gi"
"""Limits of every task, which Kubernetes takes for requests as well; a pod without any is the first that a full node ends."""

NEEDED: Final = {"target": "--target", "image": "--image", "pipeline_root": "--pipeline-root"}
"""{parameter without which no file can be compiled: its option}."""

OPTIONS: Final = {
    **NEEDED,
    "kfp_version": "--kfp-version",
    "gpu_image": "--gpu-image",
    "serving.claim": "--claim",
    "serving.path": "--serving",
    "schema": "--schema",
    "sign_key.secret": "--sign-key",
    "sign_key.key": "--sign-key",
    "service_account": "--service-account",
    "defaults.image_pull_secrets": "--pull-secret",
    "defaults.cpu": "--cpu",
    "defaults.memory": "--memory",
    "defaults.retries": "--retries",
}
"""{key of the file: the option that it comes from}."""

QUESTIONS: Final[Mapping[str, tuple[str, str | None]]] = {
    "target": ("Kubeflow Pipelines (oss) or Vertex AI (vertex)", OSS),
    "image": ("Image of the tasks", None),
    "pipeline_root": ("Bucket and prefix for artifacts, such as minio://mlpipeline/v2/artifacts/mnist", None),
    "gpus": ("GPUs of each Trainer", "0"),
    "claim": ("PersistentVolumeClaim for served versions", cluster.CLAIM),
    "sign_key": ("Secret with the signing key, as SECRET/KEY; empty for none", ""),
    "pull_secret": ("Secret with the credentials of the image's registry; empty for none", ""),
    "service_account": ("Account that the pods run as; empty for KFP's own", ""),
}
"""{parameter: the question, and the usual answer}."""

ON_KUBERNETES: Final = ("claim", "sign_key", "pull_secret")


def _consistent(given: Mapping[str, Any]) -> None:
    problems = Problems()
    if not _may_ask(given):
        problems.found.extend(
            BadInput("an option that is needed is missing", where=option, hint="on a terminal it is asked for")
            for name, option in NEEDED.items()
            if given[name] is None and not options.is_given(name)
        )
    with problems.noted():
        _check(_values(given))
    with problems.noted():
        if given["output"] is not None and given["output"].exists() and not given["replace"]:
            raise _taken(given["output"])
    problems.raise_any()


def _may_ask(given: Mapping[str, Any]) -> bool:
    return bool(sys.stdin.isatty() and sys.stderr.isatty() and not given["as_json"])


@options.command()
@click.option("--target", type=OneOf(TARGETS), help="Kubeflow Pipelines, or Vertex AI.")
@click.option("--image", type=Text("image"), metavar="IMAGE", help="Image of the tasks, best with its digest.")
@click.option("--gpu-image", type=Text("image"), metavar="IMAGE", help="Image of the tasks that ask for a GPU.")
@click.option(
    "--pipeline-root",
    type=Text("URI", longest=2048),
    metavar="URI",
    help="Bucket and prefix for artifacts: minio://, s3:// or gs://.",
)
@click.option("--gpus", type=Integer(0, 16), help="GPUs of each Trainer; 0 trains on CPUs.  [default: 0]")
@click.option(
    "--claim",
    type=Text(),
    metavar="NAME",
    help=f"PersistentVolumeClaim for served versions.  [default: {cluster.CLAIM}]",
)
@click.option(
    "--serving",
    type=Text("path", longest=1024),
    metavar="PATH",
    help=f"Where the pods mount it.  [default: {cluster.SERVING}]",
)
@click.option(
    "--schema", type=Text("path", longest=1024), metavar="PATH", help="Folder in the pods with your reviewed schemas."
)
@click.option(
    "--sign-key",
    type=Text("SECRET/KEY"),
    metavar="SECRET/KEY",
    help="Entry of a Secret that provenance is signed with.",
)
@click.option("--service-account", type=Text(), metavar="NAME", help="Account that the pods run as.")
@click.option(
    "--kfp-version",
    type=Text("version"),
    metavar="VERSION",
    help="Version of the Kubeflow Pipelines server, such as 2.15.0.",
)
@click.option("--pull-secret", type=Text(), metavar="NAME", help="Secret with the credentials of the image's registry.")
@click.option("--cpu", type=Text(), metavar="CORES", help=f"Limit of every task, such as 2 or 500m.  [default: {CPU}]")
@click.option("--memory", type=Text(), metavar="BYTES", help=f"Limit of every task.  [default: {MEMORY}]")
@click.option("--retries", type=Integer(0, 10), help="How often a failed pod is tried again.")
@click.option(
    "-o", "--output", type=OutputFile(), metavar="FILE", default="cluster.yaml", show_default=True, help="The file."
)
@click.option("--replace", is_flag=True, help="Write over a file that is there.")
@options.as_json
@checked_by(_consistent)
def init(output: Path, replace: bool, as_json: bool, **given: Any) -> None:
    """Write a cluster file: what a compiled pipeline asks its cluster for, with a comment to each key.

    What is needed and was not given is asked for on a terminal. `kubeflow compile --cluster FILE -o p.yaml` then needs no
    other option. A file that is there stays as it is unless --replace is given.

    \b
    Example:
      mnist-tfx kubeflow init
      mnist-tfx kubeflow init --target oss --image registry.example/mnist-tfx:1 \\
        --pipeline-root minio://mlpipeline/v2/artifacts/m -o cluster.yaml
    """
    if any(given[name] is None for name in NEEDED):
        given = {**given, **_answers(given)}
    values = _values(given)
    _check(values)
    _write(output, cluster_text.text(values, shlex.quote(str(below_here(output)))), replace=replace)
    following = list(_next(output, given["target"]))
    if as_json:
        print_answer(Answer(data={"file": str(output), "cluster": values, "next": following}))
        return
    click.echo(printable(f"{below_here(output)}: {BY_NAME[given['target']].title}, {given['pipeline_root']}"))
    for heading, command in zip(("next", *[""] * len(following)), following, strict=False):
        click.echo(printable(f"{heading:<10}{complete(command)}"))


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of the file that something was said about."""
    secret, _, key = (given["sign_key"] or "").partition("/")
    gpus = given["gpus"] or 0
    values = {
        "target": given["target"],
        "pipeline_root": given["pipeline_root"],
        "kfp_version": given["kfp_version"],
        "image": given["image"],
        "gpu_image": given["gpu_image"],
        "serving": _said({"claim": given["claim"], "path": given["serving"]})
        or (None if given["target"] == VERTEX else {"claim": cluster.CLAIM, "path": cluster.SERVING}),
        "schema": given["schema"],
        "sign_key": {"secret": secret, "key": key} if given["sign_key"] else None,
        "service_account": given["service_account"],
        "defaults": _said(
            {
                "image_pull_secrets": [given["pull_secret"]] if given["pull_secret"] else None,
                "cpu": given["cpu"] or CPU,
                "memory": given["memory"] or MEMORY,
                "retries": given["retries"],
            }
        ),
        "nodes": {node: {"accelerator": {"count": gpus}} for node in TRAINERS},
    }
    return _said(values)


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, {})}


def _check(values: Mapping[str, Any]) -> None:
    """Refuse what the reader of cluster files would refuse, by the name of the option.

    Raises:
      BadInput: with the reader's words.
    """
    problems = Problems()
    file = None
    with problems.noted():
        file = cluster.parsed({"version": 1, **values}, where=None)
    for problem in problems.found:
        if problem.what in OPTIONS:
            problem.where, problem.what = OPTIONS[problem.what], "not usable"
    with problems.noted():
        if file is not None and file.target is not None and file.pipeline_root is not None:
            BY_NAME[file.target].check_uri(file.pipeline_root, "--pipeline-root")
    with problems.noted():
        if file is not None and file.target == VERTEX:
            refuse_for_vertex(file)
    problems.raise_any()


def _answers(given: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for what was not given, on standard error, until each answer is usable."""
    answers: dict[str, Any] = {}
    for name, (question, default) in QUESTIONS.items():
        if given[name] is None and not (name in ON_KUBERNETES and answers.get("target", given["target"]) == VERTEX):
            answers[name] = _ask(question, default, _reader(name, {**given, **answers}))
    return answers


def _ask(question: str, default: str | None, read: Callable[[str], Any]) -> Any:
    return click.prompt(question, default=default, value_proc=read, show_default=bool(default), err=True)


def _reader(name: str, given: Mapping[str, Any]) -> Callable[[str], Any]:
    def read(answer: str) -> Any:
        try:
            value = Integer(0, 16).read(answer, None) if name == "gpus" else answer.strip() or None
            _check(_values({**given, name: value}))
        except BadInput as err:
            raise click.UsageError(str(err)) from err
        return value

    return read


def _taken(file: Path) -> BadInput:
    return BadInput("a file that is there", where=file, hint="--replace writes over it, -o FILE names another")


def _write(file: Path, text: str, *, replace: bool) -> None:
    """Write the file, whole or not at all; a file that came meanwhile is not written over."""
    try:
        with replacing(file, place=os.replace if replace else os.link) as opened:
            opened.write(text.encode())
    except FileExistsError as err:
        raise _taken(file) from err
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=file, need=len(text.encode())) from err


def _next(file: Path, target: str) -> Iterator[str]:
    """Yield the commands to go on with."""
    name = shlex.quote(str(below_here(file)))
    if target != VERTEX:
        yield f"{PROGRAM} kubeflow doctor --host URL --cluster {name}"
    yield f"{PROGRAM} kubeflow compile --cluster {name} -o {'p.json' if target == VERTEX else 'p.yaml'}"
