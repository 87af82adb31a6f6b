"""`mnist-tfx kubeflow compile`."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from components.digest import sha256_file
from components.errors import BadInput, Problems, printable
from pipeline.cli import options
from pipeline.cli.again import PROGRAM, complete
from pipeline.cli.kubeflow.options import kfp_version
from pipeline.cli.output import Answer, below_here, print_answer, say
from pipeline.cli.parameters import InputFile, InputFolder, Integer, OneOf, OutputFile, Pair, Recipe, Text
from pipeline.cli.parsing import checked_by
from pipeline.config.beam import arguments
from pipeline.config.exclusions import read_exclusions
from pipeline.config.recipe import DEFAULT_RECIPE, load_recipe
from pipeline.config.recipe_file import recipe_names
from pipeline.config.request import reading_overrides
from pipeline.kubeflow.compiler.cluster import CLAIM, DEFAULT, SERVING, Cluster, read
from pipeline.kubeflow.compiler.data_source import parse
from pipeline.kubeflow.compiler.targets import TARGETS as BY_NAME
from pipeline.kubeflow.document import TARGETS, VERTEX, Document, write
from pipeline.stages import FORMS

_URI = Text("URI", longest=2048)

IN_CLUSTER_FILE: Final = {"--target": "target", "--image": "image", "--pipeline-root": "pipeline_root"}
"""{option that every compiled file needs: key of the cluster file that stands for it}."""


def _consistent(given: Mapping[str, Any]) -> None:
    """Check what may stand in the cluster file instead, what goes with the target and the data, and the engine's options."""
    problems = Problems()
    cluster: Cluster | None = None
    with problems.noted():
        cluster = _cluster(given["cluster"])
    if cluster is not None:
        problems.found.extend(_missing(given, cluster))
        _check_target(given, cluster, problems)
    with problems.noted():
        if given["beam"] is not None:
            arguments(given["beam"], given["beam_options"] or ())
    with problems.noted():
        if given["data"] is not None and given["recipe"] is None and not options.is_given("recipe"):
            wanted = f"one of {', '.join(recipe_names())}, or FILE.yaml"
            raise BadInput("no recipe for this data", where="--recipe", wanted=wanted)
    with problems.noted():
        if given["recipe"] is not None or given["data"] is None:
            load_recipe(
                given["recipe"] or DEFAULT_RECIPE,
                profile=given["profile"],
                overrides=_named(given["name"], (*reading_overrides(given), *(given["overrides"] or ()))),
                seed=given["seed"],
                exclude=() if given["exclude"] is None else read_exclusions(given["exclude"]),
            )
    problems.raise_any()


def _cluster(file: Path | None) -> Cluster:
    return DEFAULT if file is None else read(file)


def _missing(given: Mapping[str, Any], cluster: Cluster) -> Iterator[BadInput]:
    """Yield what neither the command line nor the cluster file says, although a compiled file needs it."""
    for option, key in IN_CLUSTER_FILE.items():
        name = "root" if option == "--pipeline-root" else key
        if given[name] is None and getattr(cluster, key) is None and not options.is_given(name):
            wanted = f"the option, or `{key}` in the file that --cluster names"
            hint = "mnist-tfx kubeflow init writes such a file" if given["cluster"] is None else None
            yield BadInput("an option that is needed is missing", where=option, wanted=wanted, hint=hint)


def _check_target(given: Mapping[str, Any], cluster: Cluster, problems: Problems) -> None:
    name = given["target"] or cluster.target
    if name is None:
        return
    target = BY_NAME[name]
    root = given["root"] or cluster.pipeline_root
    with problems.noted():
        if root is not None:
            target.check_uri(root, "--pipeline-root" if given["root"] else f"{given['cluster']}: pipeline_root")
    with problems.noted():
        if given["output"] is not None:
            target.check_suffix(given["output"])
    with problems.noted():
        parse(given["data"], given["spans"], target)


def _named(name: str | None, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Return the overrides with the pipeline's name, which is a key of the recipe like any other."""
    return overrides if name is None else (*overrides, f"name={json.dumps(name)}")


@options.command("compile")
@click.option(
    "--target",
    type=OneOf(TARGETS),
    help="Kubeflow Pipelines, or Vertex AI; required unless the cluster file says it, as are the next two.",
)
@click.option("--image", type=Text("image"), metavar="IMAGE", help="Image of the containers, best with its digest.")
@click.option(
    "--gpu-image",
    type=Text("image"),
    metavar="IMAGE",
    help="Image of the containers that ask for a GPU.  [default: the image's tag with -gpu]",
)
@click.option(
    "--gpus",
    type=Integer(0, 16),
    help="GPUs of each Trainer; 0 trains on CPUs.  [default: what the cluster file says, else 0]",
)
@click.option(
    "--pipeline-root",
    "root",
    type=_URI,
    metavar="URI",
    help="Bucket and prefix for artifacts: minio://, s3:// or gs://.",
)
@click.option(
    "--data",
    type=_URI,
    metavar="URI|PATH",
    help="Place in the root's bucket, or path in the pod; may hold {SPAN}.  [default: the UCI digits]",
)
@click.option("--form", type=OneOf(FORMS), default="idx", show_default=True, help="What the data is.")
@click.option(
    "--spans", type=Integer(1, 1_000_000), help="Newest spans to take, where --data holds {SPAN}.  [default: 1]"
)
@click.option(
    "--recipe",
    type=Recipe(),
    metavar="NAME|FILE",
    help="Name of a recipe, or a YAML file; required with --data.  [default: digits]",
)
@options.profile
@options.overrides
@options.seed
@options.reading
@options.exclude
@click.option(
    "--schema",
    type=InputFolder(),
    metavar="FOLDER",
    help="Folder with your reviewed schemas; the cluster file says where the pod has it.",
)
@click.option(
    "--serving",
    type=Text("path", longest=1024),
    metavar="PATH",
    help=f"Where the volume of served versions is mounted.  [default: {SERVING}]",
)
@click.option("--claim", type=Text(), metavar="NAME", help=f"PersistentVolumeClaim of that volume.  [default: {CLAIM}]")
@click.option(
    "--cluster",
    type=InputFile(),
    metavar="FILE",
    help="What the tasks ask their cluster for, as `kubeflow init` writes it; see kubeflow/cluster.example.yaml.",
)
@click.option("--name", type=Text(longest=128), metavar="NAME", help="Name of the pipeline.  [default: the recipe's]")
@click.option(
    "--description", type=Text(longest=1024), metavar="TEXT", help="What the pipeline is for, as its page shows it."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    type=Pair("KEY=VALUE"),
    metavar="KEY=VALUE",
    help="Label of every pod; repeatable.",
)
@kfp_version
@click.option("-o", "--output", type=OutputFile(), metavar="FILE", required=True, help="The file: .yaml, or .json.")
@options.beam
@options.as_json
@checked_by(_consistent)
def compile(  # noqa: A001, PLR0913  # named as its verb
    output: Path,
    image: str | None,
    gpu_image: str | None,
    gpus: int | None,
    beam: str,
    beam_options: tuple[str, ...],
    name: str | None,
    overrides: tuple[str, ...],
    target: str | None,
    root: str | None,
    cluster: Path | None,
    labels: tuple[str, ...],
    as_json: bool,
    **asked: Any,
) -> None:
    """Write the pipeline as a file for Kubeflow Pipelines (.yaml) or Vertex AI (.json).

    The graph is the one that `mnist-tfx run` executes. Neither network nor bucket is needed, and nothing but the file
    is written.

    \b
    Example:
      mnist-tfx kubeflow compile --target oss --image registry.example/mnist-tfx:1 --pipeline-root minio://mlpipeline/v2/artifacts/mnist -o p.yaml
      mnist-tfx kubeflow compile --target vertex --image registry.example/mnist-tfx:1 --pipeline-root gs://bucket/mnist -o p.json
      mnist-tfx kubeflow compile --cluster cluster.yaml -o p.yaml
      mnist-tfx kubeflow compile --target oss --image registry.example/mnist-tfx:1 --pipeline-root s3://bucket/mnist \\
        --data s3://bucket/days/{SPAN}/ --spans 7 --recipe mnist --cluster cluster.yaml -o p.yaml
    """
    from pipeline.kubeflow.compiler.compile import CompileRequest, compile_pipeline, own_code, with_class_names
    from pipeline.kubeflow.compiler.pods import Images
    from pipeline.kubeflow.compiler.warnings import warnings

    said = _cluster(cluster)
    request = CompileRequest(
        target=str(target or said.target),
        root=str(root or said.pipeline_root),
        images=Images(cpu=image, gpu=gpu_image, gpus=gpus),
        cluster=cluster,
        beam_args=arguments(beam, beam_options),
        overrides=_named(name, overrides),
        labels=dict(label.split("=", 1) for label in labels),
        **asked,
    )
    request, named = with_class_names(request)
    if named is not None:
        say(f"data: {named}")
    document, own = compile_pipeline(request), own_code(request)
    write(document, output)
    for warning in warnings(document):
        say(f"warning: {warning}")
    if as_json:
        data = {
            "file": str(output),
            "sha256": sha256_file(output),
            "target": document.target,
            "pipeline": document.name,
            "pipeline_root": document.root,
            "parameters": document.values,
            "tasks": [task.name for task in document.in_order()],
            "images": _images(document),
            "own_code": own,
            "next": _next(document, output),
        }
        print_answer(Answer(data=data))
        return
    for line in _lines(document, output, own):
        click.echo(printable(line))


def _lines(document: Document, output: Path, own: Mapping[str, str]) -> Iterator[str]:
    """Yield what was made, and the commands to go on with."""
    yield f"{below_here(output)}: pipeline {document.name} for {BY_NAME[document.target].title}, {len(document.tasks)} tasks"
    yield f"root      {document.root}"
    for image, tasks in _images(document).items():
        yield f"image     {image}  ({len(tasks)} tasks)"
    for path in sorted({task.serving for task in document.tasks.values() if task.serving is not None}):
        yield f"serving   {path} in the pods"
    if own:
        yield "the images have to hold this code of yours, below a folder that their PYTHONPATH names:"
        yield from (f"  {path}  sha256 {sha256}" for path, sha256 in own.items())
    for heading, command in itertools.zip_longest(("next",), _next(document, output), fillvalue=""):
        yield f"{heading:<10}{complete(command)}"


def _images(document: Document) -> dict[str, list[str]]:
    """Return {image: tasks that run in it}, the one of the most tasks first."""
    images: dict[str, list[str]] = {}
    for task in document.in_order():
        if task.container is not None:
            images.setdefault(task.container["image"], []).append(task.name)
    return dict(sorted(images.items(), key=lambda entry: -len(entry[1])))


def _next(document: Document, output: Path) -> list[str]:
    """Return the commands that the file is made for, in their order; who submits to Vertex AI needs Google's client."""
    file = shlex.quote(str(below_here(output)))
    commands = [f"{PROGRAM} kubeflow lint {file}", f"{PROGRAM} kubeflow simulate {file}"]
    return commands if document.target == VERTEX else [*commands, f"{PROGRAM} kubeflow submit {file} --host URL --wait"]
