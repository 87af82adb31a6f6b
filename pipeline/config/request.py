"""The configuration of a run by a request: data found, recipe resolved, schema and code digested."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import BadInput, Problems
from components.ingest import spans
from components.settings import MULTIWORKER, Settings
from components.training.device import AUTO, CPU, Device
from pipeline.config.beam import Chosen, choose
from pipeline.config.beam_engines import DIRECT
from pipeline.config.exclusions import read_exclusions
from pipeline.config.pipeline_config import PipelineConfig, identity_of
from pipeline.config.recipe import DEFAULT_RECIPE, load_recipe, recipe_for_shape
from pipeline.config.recipe_file import read_chain
from pipeline.metadata.address import Address, parse_address
from pipeline.provenance import own_code
from pipeline.provenance.code import Code, Sources, lock_digest
from pipeline.provenance.own_code import OwnCode, code_of_stage
from pipeline.root.identity import check_identity
from pipeline.root.paths import RunPaths, require_usable, resolved
from pipeline.stages import STAGES

if TYPE_CHECKING:
    from components.ingest.data_files import DataFiles
    from components.schema_files import Reviewed

RUNS: Final = Path("runs")
READING: Final = ("label_offset", "transpose", "ignore_columns", "class_names")
"""Options that say how data is to be read, in the form that a recipe has as keys of `data`."""

EMBEDDED: Final = "embedded-digits"
"""Folder below the root into which the UCI digits are written when no data is named."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for; None where nothing was said.

    Attributes:
      data: files or folders, or one pattern of spans; none means the embedded UCI digits.
      spans: how many of the newest spans to take together.
      recipe: name or YAML file.
      profile: overlay of the recipe.
      form: of the data files, where there are several; see `components.ingest.forms`.
      label: the CSV's label column: `first`, `last` or a header's name.
      label_offset: the lowest label in the files.
      transpose: whether the files have rows and columns of the images swapped.
      ignore_columns: names of CSV columns that are neither pixel nor label, between commas.
      class_names: file with the names of the classes, a name to a line.
      exclude: file with the digests of rows to leave out.
      schema: folder with the user's own reviewed schemas.
      root: folder of the pipeline.
      overrides: `section.key=value` texts.
      seed: of both trainings.
      metadata: URL or path of the metadata store, which may hold a password.
      beam: engine of the Beam nodes.
      beam_options: `NAME=VALUE` texts for it.
      device: `auto`, `cpu`, `gpu` or `gpu:N`.
      strategy: of both trainings; None leaves it to the recipe.
      workers: processes of a multiworker training on this machine.
      stage: whether to push into `staged/`, where no server looks.
      by: who starts the run, where that is to be on record.
    """

    data: tuple[Path, ...] = ()
    spans: int = 1
    recipe: str | None = None
    profile: str | None = None
    form: str | None = None
    label: str | None = None
    label_offset: int | None = None
    transpose: bool | None = None
    ignore_columns: str | None = None
    class_names: Path | None = None
    exclude: Path | None = None
    schema: Path | None = None
    root: Path | None = None
    overrides: tuple[str, ...] = ()
    seed: int | None = None
    metadata: str | None = dataclasses.field(default=None, repr=False)
    beam: str = DIRECT
    beam_options: tuple[str, ...] = ()
    device: str = AUTO
    strategy: str | None = None
    workers: int | None = None
    stage: bool = False
    by: str | None = None


def check(request: Request, force: Iterable[str] = ()) -> None:
    """Refuse a request that contradicts itself or its recipe, without a look into its data.

    Args:
      request: what is asked for.
      force: nodes that are to execute.

    Raises:
      BadInput: with all that is wrong.
    """
    problems = Problems()
    for part in (_metadata, chosen_engine, chosen_device, chosen_strategy, _check_spans):
        with problems.noted():
            part(request)
    # Otherwise the data says which recipe it is, and it may be of any size.
    if request.recipe is not None or not request.data:
        with problems.noted():
            settings = _settings(request, request.recipe or DEFAULT_RECIPE)
            _check_recipe(request, settings, force, problems)
    problems.raise_any()


def _check_recipe(request: Request, settings: Settings, force: Iterable[str], problems: Problems) -> None:
    """Note what does not go with a recipe: a schema folder, nodes, no data, or the root of another recipe."""
    from components.schema_files import find_reviewed  # protobuf: 40 ms

    if not request.data and settings.data.shape != (8, 8):
        hint = "fetch some with `mnist-tfx data fetch`"
        problems.found.append(BadInput(f"recipe {settings.name} needs data", where="--data", hint=hint))
    if not request.data and request.form not in (None, "idx"):
        hint = "leave it out, or name --data"
        problems.found.append(
            BadInput(
                "no such files",
                where="--form",
                wanted="idx",
                got=f"{request.form} for the embedded digits, which are IDX",
                hint=hint,
            )
        )
    with problems.noted():
        find_reviewed(settings.data.geometry, request.schema)
    for node in STAGES.keys() & force:
        if STAGES[node].is_in(settings):
            continue
        problems.found.append(BadInput(f"recipe {settings.name} has no such node", where="--force", got=node))
    with problems.noted():
        own_code.check(settings, read_chain(request.recipe).folders if request.recipe is not None else ())
    with problems.noted():
        check_identity(_paths(request, settings), identity_of(settings))


def settings_and_paths(request: Request) -> tuple[Settings, RunPaths, DataFiles | None]:
    """Resolve recipe and root; the data files are None where the embedded ones are to be written.

    Raises:
      BadInput: for unusable data, recipe or settings, a geometry without an approved schema, or another recipe's root.
    """
    check(request)
    from components.ingest import recognition  # NumPy: 70 ms, which no refusal of an option should wait for
    from components.ingest.beginnings import check_beginnings
    from components.ingest.forms import CSV, READERS

    files = _data_files(request)
    if request.label is not None and (files is None or files.form != CSV):
        form = "the embedded digits, as IDX" if files is None else READERS[files.form].title
        got = form if files is None else f"{form}, {files.parts[0].files[0].name}"
        raise BadInput("--label is for CSV files", where="--label", got=got, hint="leave it out")
    shape = recognition.shape_of(files) if files is not None else None
    if shape is None and files is not None and request.recipe is None:
        recognition.fitting(files)  # says why no image and label fit, where no recipe says what is wanted
    settings = _settings(request, request.recipe or recipe_for_shape(shape))
    if shape is not None and files is not None and files.form != CSV and shape != settings.data.file_shape:
        raise BadInput(
            f"recipe {settings.name} is for images of another shape",
            where=files.parts[0].files[0],
            wanted="x".join(map(str, settings.data.file_shape)),
            got="x".join(map(str, shape)),
            hint="choose another --recipe, or --set data.shape=[H,W]",
        )
    settings = _as_declared(request, settings)
    if files is not None:
        recognised = recognition.recognise(files, settings.data)
        settings = settings.model_copy(update={"data": recognised.settings(settings.data)})
        files = dataclasses.replace(files, says=recognised.says)
        check_beginnings(files.parts, form=files.form, data=settings.data)
    if request.recipe is None and files is not None:  # `check` did not know yet which recipe it is
        problems = Problems()
        _check_recipe(request, settings, (), problems)
        problems.raise_any()
    return settings, _paths(request, settings), files


def _settings(request: Request, recipe: str) -> Settings:
    return load_recipe(
        recipe,
        profile=request.profile,
        overrides=_overrides(request),
        seed=request.seed,
        strategy=chosen_strategy(request),
        exclude=() if request.exclude is None else read_exclusions(request.exclude),
    )


def _paths(request: Request, settings: Settings) -> RunPaths:
    """Return the paths of the root, its links and `..` resolved: TFX, Beam and we have to mean one folder by it."""
    root = resolved(request.root or RUNS / settings.name)
    require_usable(root)
    return RunPaths(root)


def _overrides(request: Request) -> tuple[str, ...]:
    label = () if request.label is None else (f"data.label={json.dumps(request.label)}",)
    options = {name: getattr(request, name) for name in READING}
    # What was said with `--set` counts more than what follows from the names in a file.
    return (*reading_overrides(options), *request.overrides, *label)


def reading_overrides(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return `section.key=value` texts of the options that say how data is to be read, those that `READING` names.

    Raises:
      BadInput: if the file of names cannot be read.
    """
    from pipeline.datasets.class_names import read_names

    values: dict[str, object] = {}
    if options.get("label_offset") is not None:
        values["label_offset"] = options["label_offset"]
    if options.get("transpose") is not None:
        values["transpose"] = options["transpose"]
    if options.get("ignore_columns") is not None:
        values["ignore_columns"] = [name.strip() for name in options["ignore_columns"].split(",") if name.strip()]
    if options.get("class_names") is not None:
        names = read_names(options["class_names"])
        values |= {"class_names": names, "label_count": len(names)}
    return tuple(f"data.{key}={json.dumps(value)}" for key, value in values.items())


def _as_declared(request: Request, settings: Settings) -> Settings:
    """Return settings with the names and the empty classes that the reviewed schema declares, if there is one."""
    from components.schema_files import find_reviewed

    try:
        reviewed = find_reviewed(settings.data.geometry, request.schema)
    except BadInput:
        return settings  # what is missing is said once all else is checked
    return _with_declared(settings, reviewed)


def _with_declared(settings: Settings, reviewed: Reviewed) -> Settings:
    from components.schema_files import declared, read_schema

    data, classes = settings.data, declared(read_schema(reviewed.schema))
    if classes.names and data.class_names not in ((), classes.names):
        pairs = zip(classes.names, data.class_names, strict=False)
        wanted, got = next((pair for pair in pairs if pair[0] != pair[1]), (len(classes.names), len(data.class_names)))
        hint = "leave the names to the schema, or propose and approve one with these"
        raise BadInput(
            "class names are not those of the schema", where=reviewed.schema, wanted=wanted, got=got, hint=hint
        )
    empty = tuple(label + data.label_offset for label in classes.empty)
    if data.empty_classes and set(data.empty_classes) != set(empty):
        said = ", ".join(map(str, empty)) or "none"
        got = ", ".join(map(str, sorted(data.empty_classes)))
        raise BadInput("empty classes are not those of the schema", where=reviewed.schema, wanted=said, got=got)
    named = {"class_names": classes.names} if classes.names else {}
    update = {**named, "empty_classes": empty}
    return settings.model_copy(update={"data": data.model_copy(update=update)})


def _data_files(request: Request) -> DataFiles | None:
    from components.ingest import discovery  # NumPy
    from pipeline.datasets.imports.sources import discover

    if any(map(_is_pattern, request.data)):
        return discovery.discover_spans(spans.newest(str(request.data[0]), request.spans), form=request.form)
    return discover(request.data, form=request.form) if request.data else None


def _check_spans(request: Request) -> None:
    patterns = [path for path in request.data if _is_pattern(path)]
    if patterns and len(request.data) > 1:
        got = ", ".join(map(str, request.data))
        hint = "put the files of a span into one folder"
        raise BadInput("a pattern of spans goes alone", where="--data", wanted="one pattern", got=got, hint=hint)
    if not patterns and request.spans != 1:
        got = ", ".join(map(str, request.data)) or "no data at all"
        raise BadInput("--spans goes with a pattern", where="--data", wanted=f"a path with {spans.FIELDS}", got=got)


def _is_pattern(path: Path) -> bool:
    return spans.is_pattern(str(path))


def configure(
    request: Request,
    settings: Settings,
    paths: RunPaths,
    files: DataFiles | None,
    *,
    staging: Path | None = None,
) -> PipelineConfig:
    """Complete the configuration; where no data was named, the embedded digits are written to root or `staging`.

    Raises:
      BadInput: if there is no approved schema for the geometry, no data for the recipe, or no such code of the user's.
    """
    from components.ingest import source  # NumPy
    from components.schema_files import find_reviewed

    if files is None:
        files = _embedded(staging or paths.root)
    reviewed = find_reviewed(settings.data.geometry, request.schema)
    settings = _with_declared(settings, reviewed)
    lock = lock_digest()
    code = _code(request, settings, lock)
    return PipelineConfig(
        settings=settings,
        paths=paths,
        form=files.form,
        source=source.parts_to_json(files.parts),
        schema_digest=reviewed.digest,
        schema_folder=reviewed.schema.parent,
        code={node: found for node, (found, _) in code.items()},
        own_code={node: own for node, (_, own) in code.items() if own is not None},
        lock_digest=lock,
        beam_engine=request.beam,
        beam_args=chosen_engine(request).arguments,
        metadata=_metadata(request),
        device=chosen_device(request),
        workers=request.workers,
        stage=request.stage,
        by=request.by,
    )


def chosen_device(request: Request) -> Device:
    """Return the device that was asked for.

    Raises:
      BadInput: if there is none such, or workers on this machine are to share it.
    """
    device = Device.parse(request.device)
    if request.workers is not None and device.kind not in (AUTO, CPU):
        raise BadInput(
            "workers on this machine train on its CPU",
            where="--workers",
            wanted="--device cpu",
            got=device,
            hint="several GPUs of one machine are for --strategy mirrored",
        )
    return Device(CPU) if request.workers is not None else device


def chosen_strategy(request: Request) -> str | None:
    """Return the strategy that was asked for, of which workers are a way to do so; None leaves it to the recipe.

    Raises:
      BadInput: if workers are to train under another one.
    """
    if request.workers is None:
        return request.strategy
    if request.strategy not in (None, MULTIWORKER):
        raise BadInput(
            "--workers is for several processes", where="--strategy", wanted=MULTIWORKER, got=request.strategy
        )
    return MULTIWORKER


def chosen_engine(request: Request) -> Chosen:
    """Return the Beam engine that was asked for.

    Raises:
      BadInput: if there is none such, or its options are wrong.
    """
    return choose(request.beam, request.beam_options)


def _metadata(request: Request) -> Address | None:
    return None if request.metadata is None else parse_address(request.metadata)


def _code(request: Request, settings: Settings, lock: str) -> dict[str, tuple[Code, OwnCode | None]]:
    """Return the code of every stage, and the user's own in it."""
    folders = read_chain(request.recipe).folders if request.recipe is not None else ()
    sources = Sources()
    return {stage.id: code_of_stage(stage, settings, lock, folders, sources) for stage in STAGES.values()}


def _embedded(place: Path) -> DataFiles:
    from components.ingest import discovery
    from pipeline.datasets.fetch import fetch_digits

    fetch_digits(place / EMBEDDED, "idx")  # keeps what is right
    return discovery.discover([place / EMBEDDED])
