"""`mnist-tfx kubeflow compile`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from components.digest import sha256_file
from components.errors import Problems, printable
from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer, say
from pipeline.cli.parameters import InputFile, InputFolder, Integer, OneOf, OutputFile, Recipe, Text
from pipeline.cli.parsing import checked_by
from pipeline.config.beam import arguments
from pipeline.config.exclusions import read_exclusions
from pipeline.config.recipe import DEFAULT_RECIPE, load_recipe
from pipeline.config.request import reading_overrides
from pipeline.kubeflow.compiler.cluster import CLAIM, SERVING
from pipeline.kubeflow.compiler.targets import TARGETS as BY_NAME
from pipeline.kubeflow.document import TARGETS, write
from pipeline.stages import FORMS

_URI = Text("URI", longest=2048)


def _consistent(given: Mapping[str, Any]) -> None:
    """Check what goes with the target, the engine and its options, and the recipe with what changes it."""
    problems = Problems()
    target = None if given["target"] is None else BY_NAME[given["target"]]
    with problems.noted():
        if target is not None and given["root"] is not None:
            target.check_uri(given["root"], "--pipeline-root")
    with problems.noted():
        if target is not None and given["output"] is not None:
            target.check_suffix(given["output"])
    with problems.noted():
        if given["beam"] is not None:
            arguments(given["beam"], given["beam_options"] or ())
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


def _named(name: str | None, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Return the overrides with the pipeline's name, which is a key of the recipe like any other."""
    return overrides if name is None else (*overrides, f"name={json.dumps(name)}")


@options.command("compile")
@click.option("--target", type=OneOf(TARGETS), required=True, help="Kubeflow Pipelines, or Vertex AI.")
@click.option(
    "--image",
    type=Text("image"),
    metavar="IMAGE",
    help="Image of the containers, best with its digest; required unless the cluster file names it.",
)
@click.option(
    "--gpu-image",
    type=Text("image"),
    metavar="IMAGE",
    help="Image of the containers that ask for a GPU.  [default: the image's tag with -gpu]",
)
@click.option("--gpus", type=Integer(0, 16), help="GPUs of each Trainer; 0 trains on CPUs.  [default: 1]")
@click.option(
    "--pipeline-root",
    "root",
    required=True,
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
    help="Resources, secrets and volumes of every task; see kubeflow/cluster.example.yaml.",
)
@click.option("--name", type=Text(longest=128), metavar="NAME", help="Name of the pipeline.  [default: the recipe's]")
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
    as_json: bool,
    **asked: Any,
) -> None:
    """Write the pipeline as a file for Kubeflow Pipelines (.yaml) or Vertex AI (.json).

    The graph is the one that `mnist-tfx run` executes. Neither network nor bucket is needed, and nothing but the file
    is written.

    \b
    Example:
      mnist-tfx kubeflow compile --target oss --image registry.example/mnist-tfx:1 --pipeline-root minio://mlpipeline/mnist -o p.yaml
      mnist-tfx kubeflow compile --target vertex --image registry.example/mnist-tfx:1 --pipeline-root gs://bucket/mnist -o p.json
      mnist-tfx kubeflow compile --target oss --image registry.example/mnist-tfx:1 --pipeline-root s3://bucket/mnist \\
        --data s3://bucket/days/{SPAN}/ --spans 7 --recipe mnist --cluster cluster.yaml -o p.yaml
    """
    from pipeline.kubeflow.compiler.compile import CompileRequest, compile_pipeline, own_code, with_class_names
    from pipeline.kubeflow.compiler.pods import Images
    from pipeline.kubeflow.compiler.warnings import warnings

    images = Images(cpu=image, gpu=gpu_image, gpus=gpus)
    beam_args = arguments(beam, beam_options)
    request = CompileRequest(images=images, beam_args=beam_args, overrides=_named(name, overrides), **asked)
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
            "own_code": own,
        }
        print_answer(Answer(data=data))
        return
    click.echo(f"{output}: pipeline {document.name} for {BY_NAME[document.target].title}, {len(document.tasks)} tasks")
    if own:
        click.echo("the images have to hold this code of yours, below a folder that their PYTHONPATH names:")
        for path, sha256 in own.items():
            click.echo(f"  {printable(path)}  sha256 {sha256}")
