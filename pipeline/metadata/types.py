"""The names that TFX gives to the types, contexts and splits of our executions; without protobuf, TFX or our components.

TFX names a type after the class of a component or an artifact. Nothing here imports those classes, which bring TFX
along; an end-to-end test compares the names with a store that TFX has written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from components.features import SPLITS
from pipeline.provenance.artifacts import ArtifactEntry

PIPELINE, PIPELINE_RUN, NODE = "pipeline", "pipeline_run", "node"
"""Context types; an execution is in one context of each."""

EXECUTION_TYPES: Final[Mapping[str, tuple[str, str | None]]] = {
    "ExampleGen": ("components.ingest.example_gen.MnistIdxExampleGen", None),
    "StatisticsGen": ("components.statistics_gen.MnistStatisticsGen", "PROCESS"),
    "ReviewedSchema": ("components.reviewed_schema.ReviewedSchema", None),
    "ExampleValidator": ("components.example_validator.MnistExampleValidator", None),
    "SchemaGate": ("components.schema_gate.component.SchemaGate", None),
    "Transform": ("components.transform.MnistTransform", "TRANSFORM"),
    "Autoencoder": ("components.autoencoder.component.AutoencoderTrainer", "TRAIN"),
    "Classifier": ("components.classifier.component.ClassifierTrainer", "TRAIN"),
    "Baseline": ("components.baseline.Baseline", None),
    "Evaluator": ("components.evaluation.component.MnistEvaluator", None),
    "SavedModelCheck": ("components.savedmodel_check.SavedModelCheck", None),
    "Pusher": ("components.atomic_pusher.AtomicPusher", None),
}
"""{node id: import path of its component, MLMD's name of the kind of work}."""

CSV_INGEST: Final = "components.ingest.example_gen.MnistCsvExampleGen"

SPLIT_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "Examples": {"span": "INT", "split_names": "STRING", "version": "INT"},
    "ExampleStatistics": {"span": "INT", "split_names": "STRING"},
    "ExampleAnomalies": {"span": "INT", "split_names": "STRING"},
}
"""Artifact types that know their splits, with the types of their properties."""

SPLIT_FOLDER: Final = "Split-"


def execution_type_name(node: str, parameters: Mapping[str, Any]) -> str | None:
    """Returns the name of the type of a node's executions, None for a node of another release."""
    path, _ = EXECUTION_TYPES.get(node, (None, None))
    return CSV_INGEST if node == "ExampleGen" and parameters.get("form") == "csv" else path


def split_names(entry: ArtifactEntry) -> list[str]:
    """Returns the splits that an artifact has folders for: train, validation, test, then any others."""
    folders = {path.split("/")[0] for path in entry.files if path.startswith(SPLIT_FOLDER)}
    found = {folder.removeprefix(SPLIT_FOLDER) for folder in folders}
    return [name for name in SPLITS if name in found] + sorted(found - set(SPLITS))


def json_list(names: list[str]) -> str:
    """Returns names as TFX's `encode_split_names` writes them."""
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
