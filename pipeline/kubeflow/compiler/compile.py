"""Compilation of the pipeline to a file for Kubeflow Pipelines or Vertex AI.

The graph is that of `pipeline.stages`, compiled by TFX's own compiler; what that leaves out, and what its output
fails on elsewhere, is put right on the compiled JSON, one concern after another. Nothing in the result comes from the
machine that it is made on but code and recipe: compiled twice, or elsewhere, it is the same bytes.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import BadInput
from components.ingest.data_files import DataFiles
from components.ingest.forms import Form
from components.schema_files import find_reviewed
from components.settings import MULTIWORKER, Settings
from pipeline.config.beam import BEAM_ARGS
from pipeline.config.exclusions import read_exclusions
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.config.recipe import DEFAULT_RECIPE, load_recipe
from pipeline.config.recipe_file import recipe_names
from pipeline.config.request import READING, Request, configure, reading_overrides
from pipeline.kubeflow import kfp_version, names
from pipeline.kubeflow.compiler import cluster as cluster_file
from pipeline.kubeflow.compiler import containers, data_tasks, lineage_channels, output_names, problems, seen_data
from pipeline.kubeflow.compiler.cluster import Cluster
from pipeline.kubeflow.compiler.data_source import DataSource, parse
from pipeline.kubeflow.compiler.platform_document import platform_document, refuse_for_vertex
from pipeline.kubeflow.compiler.pods import Images, pods
from pipeline.kubeflow.compiler.stock import Stock, compile_stock
from pipeline.kubeflow.compiler.targets import TARGETS, Target
from pipeline.kubeflow.document import SERVICE_ACCOUNT, SPEC, VERSION, VERTEX, Document
from pipeline.kubeflow.kfp_version import NEWEST, KfpVersion
from pipeline.root.paths import RunPaths

DISTRIBUTION: Final = "mnist-tfx"
EMBEDDED_FORMS: Final = ("idx", "csv")
"""Forms in which a pod can write the embedded digits."""

MOST_EXCLUDED: Final = 500
"""Row digests: Linux takes no argument of more than 128 KiB, and KFP's launcher gets all of a task's inputs in one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompileRequest:
    """What was asked for; None where nothing was said.

    Attributes:
      target: `oss` or `vertex`.
      root: URI below which the cluster keeps artifacts.
      images: of the containers, and how many GPUs the Trainers ask for.
      recipe: name or YAML file.
      profile: overlay of the recipe.
      overrides: `section.key=value` texts.
      seed: of both trainings.
      data: a bucket's URI or a path in the pod, perhaps with `{SPAN}`; none means the embedded UCI digits.
      form: of the data files; see `components.ingest.forms`.
      label_offset: the lowest label in the files.
      transpose: whether the files have rows and columns of the images swapped.
      ignore_columns: names of CSV columns that are neither pixel nor label, between commas.
      class_names: file with the names of the classes, a name to a line.
      exclude: file with the digests of rows to leave out, which go into the compiled file.
      spans: number of newest spans to take.
      schema: local folder with reviewed schemas, whose digest the file gets.
      serving: where the volume of served versions is mounted.
      claim: name of its PersistentVolumeClaim.
      cluster: the cluster file.
      version: of the server of Kubeflow Pipelines; None to take the cluster file's, or the newest.
      description: what the pipeline is for.
      labels: of every pod.
      beam_args: for every Beam node.
    """

    target: str
    root: str
    images: Images
    recipe: str | None = None
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    seed: int | None = None
    data: str | None = None
    form: Form = "idx"
    label_offset: int | None = None
    transpose: bool | None = None
    ignore_columns: str | None = None
    class_names: Path | None = None
    exclude: Path | None = None
    spans: int | None = None
    schema: Path | None = None
    serving: str | None = None
    claim: str | None = None
    cluster: Path | None = None
    version: KfpVersion | None = None
    description: str | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    beam_args: tuple[str, ...] = BEAM_ARGS


def with_class_names(request: CompileRequest) -> tuple[CompileRequest, str | None]:
    """Return the request with the names of labels in words, where its data can be seen from here, and that in words.

    Raises:
      BadInput: for an unusable recipe or source of data, or data with another number of names than the recipe has classes.
    """
    if request.data is None:
        return request, None
    source = parse(request.data, request.spans, TARGETS[request.target])
    names_ = seen_data.class_names(source, request.form, _settings(request).data, request.schema)
    if not names_:
        return request, None
    named = f"data.class_names={json.dumps(names_, ensure_ascii=False)}"
    said = f"classes are named as in {request.data} on this machine: {', '.join(names_[:5])}"
    said += f" and {len(names_) - 5} more" if len(names_) > 5 else ""
    return dataclasses.replace(request, overrides=(*request.overrides, named)), said


def compile_pipeline(request: CompileRequest) -> Document:
    """Compile the pipeline; no network is needed, and nothing is written.

    Raises:
      BadInput: for an unusable recipe, root, source of data, image or cluster file.
    """
    target = TARGETS[request.target]
    target.check_uri(request.root, "--pipeline-root")
    source = parse(request.data, request.spans, target)
    cluster = _cluster(request, target)
    wanted = pods(cluster, target, request.images)
    settings = _settings(request)
    config = _config(request, settings, cluster)
    settings = config.settings

    stock = compile_stock(config, image=wanted[names.DRIVER].image, command=containers.COMMAND)
    # A cluster file serves several recipes, and one of them may leave a node out.
    wanted = {node: pod for node, pod in wanted.items() if node == names.DRIVER or node in stock.executors}
    data_tasks.add(stock.spec, source, settings, request.form)
    lineage_channels.add(stock.spec)
    output_names.put(stock.spec)
    root = request.root.rstrip("/")  # KFP puts one before the pipeline's name
    containers.complete(stock, wanted, cluster, root, config.beam_args)
    # TFX puts its own version there, and in a job's labels Python's as well: those of the machine.
    stock.spec["sdkVersion"] = f"{DISTRIBUTION}-{importlib.metadata.version(DISTRIBUTION)}"
    if request.description is not None:
        stock.spec["pipelineInfo"]["description"] = request.description
    if target.name == VERTEX:
        return _vertex(stock, root, source, cluster)
    version = request.version or (cluster.kfp_version and kfp_version.parse(cluster.kfp_version)) or None
    document = Document(
        target=target.name,
        spec=_unshared({**stock.spec, "defaultPipelineRoot": root}),
        platform=_unshared(platform_document(wanted, cluster, version or NEWEST)),
        comment=_comment(stock, source, cluster, version),
    )
    problems.refuse(document)
    return document


def own_code(request: CompileRequest) -> dict[str, str]:
    """Return {path: SHA-256} of the user's own code that the images have to hold; pods refuse any other.

    Raises:
      BadInput: as `compile_pipeline`.
    """
    config = configure(
        Request(schema=request.schema, recipe=request.recipe),
        _settings(request),
        RunPaths(Path("root")),
        DataFiles(form=request.form, parts=()),
    )
    return {path: sha256 for own in config.own_code.values() for path, sha256 in own.digests.items()}


def _cluster(request: CompileRequest, target: Target) -> Cluster:
    """Return the cluster file's content with what the command line says put over it."""
    cluster = cluster_file.DEFAULT if request.cluster is None else cluster_file.read(request.cluster)
    said = {"path": request.serving, "claim": request.claim}
    serving = {**cluster.serving.model_dump(exclude_unset=True), **{k: v for k, v in said.items() if v is not None}}
    cluster = cluster_file.with_labels(cluster_file.with_serving(cluster, serving), request.labels)
    if target.name == VERTEX:
        refuse_for_vertex(cluster)
    return cluster


def _settings(request: CompileRequest) -> Settings:
    if request.data is not None and request.recipe is None:
        raise BadInput(
            "no recipe for this data", where="--recipe", wanted=f"one of {', '.join(recipe_names())}, or FILE.yaml"
        )
    settings = load_recipe(
        request.recipe or DEFAULT_RECIPE,
        profile=request.profile,
        overrides=(*reading_overrides({name: getattr(request, name) for name in READING}), *request.overrides),
        seed=request.seed,
        exclude=() if request.exclude is None else read_exclusions(request.exclude),
    )
    if request.data is None and request.form not in EMBEDDED_FORMS:
        got = f"{request.form} for the embedded digits"
        raise BadInput("no such files", where="--form", wanted=" or ".join(EMBEDDED_FORMS), got=got, hint="name --data")
    if len(settings.data.exclude) > MOST_EXCLUDED:
        raise BadInput(
            "too many rows to leave out by digest on a cluster, whose driver passes them on its command line",
            where="data.exclude",
            wanted=f"{MOST_EXCLUDED} at most",
            got=len(settings.data.exclude),
            hint="mnist-tfx data exclude takes them out of the data files themselves",
        )
    if request.data is None and settings.data.shape != (8, 8):
        raise BadInput(
            f"recipe {settings.name} needs data", where="--data", wanted="a bucket's URI, or a path in the pod"
        )
    if settings.multiworker:
        raise BadInput(
            "a task is one pod, where nobody starts other workers",
            where=f"recipe {settings.name}",
            wanted="strategy single, or mirrored for several GPUs of one node",
            got=f"strategy {MULTIWORKER}",
        )
    return settings


def _config(request: CompileRequest, settings: Settings, cluster: Cluster) -> PipelineConfig:
    """Return the configuration of a local run on no data, without any of this machine's paths."""
    config = configure(
        Request(schema=request.schema, recipe=request.recipe),
        settings,
        RunPaths(Path("root")),
        DataFiles(form=request.form, parts=()),
    )
    if request.schema is not None:
        _require_own_schema(request.schema, settings, config, cluster)
    folder = cluster.schema_folder or names.IMAGE_SCHEMA
    return dataclasses.replace(config, schema_folder=Path(folder), beam_args=request.beam_args)


def _require_own_schema(folder: Path, settings: Settings, config: PipelineConfig, cluster: Cluster) -> None:
    """Refuse a folder that was not read, and one that the pods would look for in vain."""
    geometry = settings.data.geometry
    if config.schema_folder != folder:
        raise BadInput("no schema for this recipe", where=f"--schema {folder}", wanted=f"{geometry}.pbtxt")
    if cluster.schema_folder is None and config.schema_digest != _image_digest(geometry):
        raise BadInput(
            "the image has another schema",
            where=f"--schema {folder}",
            wanted="a cluster file that says where the pods have it",
            hint="mount a volume with it, and name its path under `schema`",
        )


def _image_digest(geometry: str) -> str | None:
    try:
        return find_reviewed(geometry).digest
    except BadInput:
        return None  # nothing is shipped for this geometry


def _vertex(stock: Stock, root: str, source: DataSource, cluster: Cluster) -> Document:
    job = {name: value for name, value in stock.job.items() if name not in (SPEC, "labels")}
    job["runtimeConfig"] = {"gcsOutputDirectory": root, "parameterValues": {names.SOURCE: source.value}}
    if cluster.service_account is not None:
        job["serviceAccount"] = cluster.service_account
    return Document(target=VERTEX, spec=_unshared(stock.spec), job=_unshared(job))


def _comment(stock: Stock, source: DataSource, cluster: Cluster, version: KfpVersion | None) -> str:
    """Return the head of the file, which KFP's page shows beside the graph."""
    lines = ["# PIPELINE DEFINITION", f"# Name: {stock.spec['pipelineInfo']['name']}"]
    if (description := stock.spec["pipelineInfo"].get("description")) is not None:
        lines.append(f"# Description: {description}")
    lines += ["# Inputs:", f"#    {names.SOURCE}: str [Default: {source.value!r}]"]
    if cluster.service_account is not None:
        lines.append(f"{SERVICE_ACCOUNT}{cluster.service_account}")
    if version is not None:
        lines.append(f"{VERSION}{kfp_version.written(version)}")
    return "".join(f"{line}\n" for line in lines)


def _unshared(value: dict[str, Any]) -> dict[str, Any]:
    """Return a copy in which everything has its order, and nothing is there twice: YAML would write references."""
    copy: dict[str, Any] = json.loads(json.dumps(value, sort_keys=True))
    return copy
