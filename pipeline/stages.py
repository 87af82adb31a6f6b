"""The stages, a row each: the table that runner, planner, pods, compiler, audit, lineage and report read.

A new stage is one component and one row. What the row does not say follows from the recipe or from the records: nothing
else in the project lists stages. A stage gets its code digest, and its section of the recipe as canonical JSON, without asking.

Names here are text, and nothing of TFX or of a component is imported: the audit and the lineage commands read the table too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from components.settings import Settings
    from pipeline.root.paths import RunPaths

INGEST, STATISTICS, REVIEWED_SCHEMA = "ExampleGen", "StatisticsGen", "ReviewedSchema"
VALIDATOR, SCHEMA_GATE, TRANSFORM = "ExampleValidator", "SchemaGate", "Transform"
AUTOENCODER, CLASSIFIER, BASELINE = "Autoencoder", "Classifier", "Baseline"
EVALUATOR, SAVED_MODEL_CHECK, PUSHER = "Evaluator", "SavedModelCheck", "Pusher"


class Configuration(Protocol):
    """What a row may take from the configuration of a run (`pipeline.config.pipeline_config.PipelineConfig`)."""

    @property
    def settings(self) -> Settings:
        """The resolved recipe."""

    @property
    def paths(self) -> RunPaths:
        """Of the root."""

    @property
    def pushed_to(self) -> Path:
        """The folder that a version is pushed into."""

    @property
    def source(self) -> str:
        """The parts of the data."""

    @property
    def schema_digest(self) -> str:
        """SHA-256 of the reviewed schema and its reference."""

    @property
    def schema_folder(self) -> Path:
        """Where the reviewed schema is."""


def _nothing(config: Configuration) -> Mapping[str, object]:
    del config
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage.

    Attributes:
      id: node id, unique; also the name of its folder of artifacts, and of its task on a cluster.
      component: import path of its TFX component. ML Metadata names the type of its executions after it.
      variants: {form of the data: component that takes the place of `component`}.
      inputs: {input channel: `<stage>.<output channel>`}; what comes from a stage that the recipe leaves out is not there.
      section: of the recipe, which the component gets as `settings`; without that section the stage is left out.
      data: whether the component gets the data section too.
      options: further arguments of the component.
      code: modules beside the component's own whose transitive imports count as the stage's code.
      after: stages that it waits for although it takes nothing from them.
      depends_on: what some of its properties follow from beside its inputs, and a driver resolves: the bytes of the `data`
        files, of the reviewed `schema`, or of the newest `served` version.
      work: ML Metadata's name for this kind of work, where it has one.
      task: CycloneDX's name for it (https://cyclonedx.org/docs/1.6/json/, `taskTypes`).
      trains: whether it fits a model: it may use a GPU, resume from a checkpoint, and reports progress.
      in_process: whether its executor needs no TensorFlow, and runs in the process of the runner.
      examines: whether it looks at a finished model: what it reads over `model` is judged or published, not learned from.
      reads_serving: whether it reads or writes the directory of served versions; no cache may answer in its place.
    """

    id: str
    component: str
    variants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    section: str | None = None
    data: bool = False
    options: Callable[[Configuration], Mapping[str, object]] = _nothing
    code: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    depends_on: Literal["data", "schema", "served"] | None = None
    work: Literal["PROCESS", "TRANSFORM", "TRAIN"] | None = None
    task: str = "build"
    trains: bool = False
    in_process: bool = False
    examines: bool = False
    reads_serving: bool = False

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules whose transitive imports within the project are the stage's code."""
        return (self.component.rpartition(".")[0], *self.code)

    @property
    def producers(self) -> tuple[str, ...]:
        """The stages whose outputs it takes, each once."""
        return tuple(dict.fromkeys(output.partition(".")[0] for output in self.inputs.values()))

    def class_path(self, form: object) -> str:
        """Return the import path of its component for data of a form (see `components.ingest.forms`)."""
        return self.variants.get(str(form), self.component)

    def is_in(self, settings: Settings) -> bool:
        """Return whether a recipe has this stage."""
        return self.section is None or getattr(settings, self.section) is not None


_ROWS: Final = (
    Stage(
        id=INGEST,
        component="components.ingest.example_gen.MnistIdxExampleGen",
        variants={
            "csv": "components.ingest.example_gen.MnistCsvExampleGen",
            "parquet": "components.ingest.example_gen.MnistParquetExampleGen",
            "pairs": "components.ingest.example_gen.MnistPairExampleGen",
        },
        section="data",
        options=lambda config: {"source": config.source},
        depends_on="data",
        task="copy",
        in_process=True,
    ),
    Stage(
        id=STATISTICS,
        component="components.statistics_gen.MnistStatisticsGen",
        inputs={"examples": "ExampleGen.examples"},
        code=("components.statistics_executor",),
        work="PROCESS",
        task="scan",
    ),
    Stage(
        id=REVIEWED_SCHEMA,
        component="components.reviewed_schema.ReviewedSchema",
        options=lambda config: {
            "geometry": config.settings.data.geometry,
            "schema_sha256": config.schema_digest,
            "source": str(config.schema_folder),
        },
        depends_on="schema",
        in_process=True,
    ),
    Stage(
        id=VALIDATOR,
        component="components.example_validator.MnistExampleValidator",
        inputs={"statistics": "StatisticsGen.statistics", "schema": "ReviewedSchema.schema"},
        task="test",
    ),
    Stage(
        id=SCHEMA_GATE,
        component="components.schema_gate.component.SchemaGate",
        inputs={
            "examples": "ExampleGen.examples",
            "statistics": "StatisticsGen.statistics",
            "reviewed_schema": "ReviewedSchema.schema",
            "reference": "ReviewedSchema.reference",
            "anomalies": "ExampleValidator.anomalies",
        },
        section="gates",
        data=True,
        task="test",
        in_process=True,
    ),
    Stage(
        id=TRANSFORM,
        component="components.transform.MnistTransform",
        inputs={"examples": "ExampleGen.examples", "schema": "SchemaGate.schema"},
        section="transform",
        data=True,
        code=("components.preprocessing",),
        work="TRANSFORM",
    ),
    Stage(
        id=AUTOENCODER,
        component="components.autoencoder.component.AutoencoderTrainer",
        inputs={
            "examples": "ExampleGen.examples",
            "transform_graph": "Transform.transform_graph",
            "schema": "SchemaGate.schema",
        },
        section="autoencoder",
        data=True,
        code=("components.autoencoder.trainer",),
        work="TRAIN",
        trains=True,
    ),
    Stage(
        id=CLASSIFIER,
        component="components.classifier.component.ClassifierTrainer",
        inputs={
            "examples": "ExampleGen.examples",
            "transform_graph": "Transform.transform_graph",
            "schema": "SchemaGate.schema",
            "base_model": "Autoencoder.model",
        },
        section="classifier",
        data=True,
        code=("components.classifier.trainer",),
        work="TRAIN",
        trains=True,
    ),
    Stage(
        id=BASELINE,
        component="components.baseline.Baseline",
        inputs={"model": "Classifier.model"},
        options=lambda config: {"serving_dir": config.paths.serving.name},
        depends_on="served",
        in_process=True,
        examines=True,
        reads_serving=True,
    ),
    Stage(
        id=EVALUATOR,
        component="components.evaluation.component.MnistEvaluator",
        inputs={
            "examples": "ExampleGen.examples",
            "model": "Classifier.model",
            "baseline_model": "Baseline.baseline",
            "schema": "SchemaGate.schema",
        },
        section="evaluation",
        data=True,
        code=("components.evaluation.executor",),
        task="test",
        examines=True,
    ),
    Stage(
        id=SAVED_MODEL_CHECK,
        component="components.savedmodel_check.SavedModelCheck",
        inputs={"model": "Classifier.model", "examples": "ExampleGen.examples"},
        data=True,
        options=lambda config: {"reconstructs": int(config.settings.autoencoder is not None)},
        code=("components.savedmodel_probe",),
        # No data flows between them, but a model that is not good enough need not be asked whether it loads.
        after=(EVALUATOR,),
        task="test",
        in_process=True,
        examines=True,
    ),
    Stage(
        id=PUSHER,
        component="components.atomic_pusher.AtomicPusher",
        inputs={
            "model": "Classifier.model",
            "model_blessing": "Evaluator.blessing",
            "infra_blessing": "SavedModelCheck.blessing",
        },
        options=lambda config: {"serving_dir": config.pushed_to.name},
        in_process=True,
        examines=True,
        reads_serving=True,
    ),
)

STAGES: Final[Mapping[str, Stage]] = MappingProxyType({stage.id: stage for stage in _ROWS})
"""{node id: stage}, in the order of the flow."""

FORMS: Final = ("idx", *STAGES[INGEST].variants)
"""Forms of data files; `components.ingest.forms`, which needs NumPy, says how each is read."""

TRAINERS: Final = tuple(stage.id for stage in _ROWS if stage.trains)
SECTIONS: Final[Mapping[str, str]] = {stage.id: stage.section for stage in _ROWS if stage.section is not None}
"""{node id: the section of the recipe that it gets as `settings`}."""


def stages_of(settings: Settings) -> tuple[Stage, ...]:
    """Return the stages that a recipe has, in the order of the flow."""
    return tuple(stage for stage in _ROWS if stage.is_in(settings))


def feeding(stage: str) -> frozenset[str]:
    """Return the stages whose outputs reach one stage, through others too, and that stage itself."""
    reached, waiting = {stage}, [stage]
    while waiting:
        new = [producer for producer in STAGES[waiting.pop()].producers if producer not in reached]
        reached.update(new)
        waiting.extend(new)
    return frozenset(reached)
