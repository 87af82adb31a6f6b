"""Configuration -> the TFX pipeline: one call per stage, in the order of the flow line.

    data files -> ingest -> statistics -> schema gate -> transform -> autoencoder -> classifier -> evaluate -> check -> push

A recipe without an autoencoder leaves that node out, and its classifier sees the scaled images themselves. Whoever runs or compiles the pipeline starts here; there is no second definition of the graph.
"""  # the flow line is one line

from __future__ import annotations

from tfx.dsl.components.base import base_node
from tfx.orchestration import pipeline as tfx_pipeline

from components.atomic_pusher import AtomicPusher
from components.autoencoder.component import AutoencoderTrainer
from components.baseline import Baseline
from components.classifier.component import ClassifierTrainer
from components.evaluation.component import MnistEvaluator
from components.example_validator import MnistExampleValidator
from components.ingest.example_gen import MnistCsvExampleGen, MnistIdxExampleGen
from components.reviewed_schema import ReviewedSchema
from components.savedmodel_check import SavedModelCheck
from components.schema_gate.component import SchemaGate
from components.statistics_gen import MnistStatisticsGen
from components.transform import MnistTransform
from pipeline.config.pipeline_config import PipelineConfig

EXAMPLE_GENS = {"idx": MnistIdxExampleGen, "csv": MnistCsvExampleGen}


def create_pipeline(config: PipelineConfig) -> tfx_pipeline.Pipeline:
    """Returns the pipeline; nothing is read or written yet."""
    settings, data = config.settings, config.data
    code = {node: files.digest for node, files in config.code.items()}

    example_gen = EXAMPLE_GENS[config.form](
        source=config.source, settings=data, code_digest=code["ExampleGen"]
    ).with_id("ExampleGen")
    examples = example_gen.outputs["examples"]

    statistics_gen = MnistStatisticsGen(examples=examples, code_digest=code["StatisticsGen"]).with_id("StatisticsGen")

    reviewed_schema = ReviewedSchema(
        geometry=settings.data.geometry,
        schema_sha256=config.schema_digest,
        source=str(config.schema_folder),
        code_digest=code["ReviewedSchema"],
    ).with_id("ReviewedSchema")

    example_validator = MnistExampleValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=reviewed_schema.outputs["schema"],
        code_digest=code["ExampleValidator"],
    ).with_id("ExampleValidator")

    schema_gate = SchemaGate(
        examples=examples,
        statistics=statistics_gen.outputs["statistics"],
        schema=reviewed_schema.outputs["schema"],
        reference=reviewed_schema.outputs["reference"],
        anomalies=example_validator.outputs["anomalies"],
        settings=settings.gates.to_json(),
        data=data,
        code_digest=code["SchemaGate"],
    ).with_id("SchemaGate")
    schema = schema_gate.outputs["schema"]

    transform = MnistTransform(
        examples=examples,
        schema=schema,
        settings=settings.transform.to_json(),
        data=data,
        code_digest=code["Transform"],
    ).with_id("Transform")
    transform_graph = transform.outputs["transform_graph"]

    autoencoder = None
    if settings.autoencoder is not None:
        autoencoder = AutoencoderTrainer(
            examples=examples,
            transform_graph=transform_graph,
            schema=schema,
            settings=settings.autoencoder.to_json(),
            data=data,
            code_digest=code["Autoencoder"],
        ).with_id("Autoencoder")

    classifier = ClassifierTrainer(
        examples=examples,
        transform_graph=transform_graph,
        schema=schema,
        base_model=autoencoder and autoencoder.outputs["model"],
        settings=settings.classifier.to_json(),
        data=data,
        code_digest=code["Classifier"],
    ).with_id("Classifier")
    model = classifier.outputs["model"]

    baseline = Baseline(model=model, serving_dir=config.paths.serving.name, code_digest=code["Baseline"]).with_id(
        "Baseline"
    )

    evaluator = MnistEvaluator(
        examples=examples,
        model=model,
        baseline_model=baseline.outputs["baseline"],
        schema=schema,
        settings=settings.evaluation.to_json(),
        data=data,
        code_digest=code["Evaluator"],
    ).with_id("Evaluator")

    savedmodel_check = SavedModelCheck(
        model=model,
        examples=examples,
        data=data,
        reconstructs=autoencoder is not None,
        code_digest=code["SavedModelCheck"],
    ).with_id("SavedModelCheck")

    # No data flows between them, but a model that is not good enough need not be asked whether it loads.
    savedmodel_check.add_upstream_node(evaluator)

    pusher = AtomicPusher(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=savedmodel_check.outputs["blessing"],
        serving_dir=config.paths.serving.name,
        code_digest=code["Pusher"],
    ).with_id("Pusher")

    stages: list[base_node.BaseNode | None] = [
        example_gen,
        statistics_gen,
        reviewed_schema,
        example_validator,
        schema_gate,
        transform,
        autoencoder,
        classifier,
        baseline,
        evaluator,
        savedmodel_check,
        pusher,
    ]
    return tfx_pipeline.Pipeline(
        pipeline_name=settings.name,
        pipeline_root=str(config.paths.artifacts),
        components=[stage for stage in stages if stage is not None],
        beam_pipeline_args=list(config.beam_args),
    )
