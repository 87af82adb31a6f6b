"""The names that TFX gives to the types, contexts and splits of our executions; without protobuf, TFX or our components.

TFX names a type after the class of a component or an artifact. Nothing here imports those classes, which bring TFX
along; an end-to-end test compares the names with a store that TFX has written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from components.features import SPLITS
from pipeline.provenance.artifacts import ArtifactEntry
from pipeline.stages import STAGES

PIPELINE, PIPELINE_RUN, NODE = "pipeline", "pipeline_run", "node"
"""Context types; an execution is in one context of each."""

SPLIT_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "Examples": {"span": "INT", "split_names": "STRING", "version": "INT"},
    "ExampleStatistics": {"span": "INT", "split_names": "STRING"},
    "ExampleAnomalies": {"span": "INT", "split_names": "STRING"},
}
"""Artifact types that know their splits, with the types of their properties."""

SPLIT_FOLDER: Final = "Split-"


def execution_type_name(node: str, parameters: Mapping[str, Any]) -> str | None:
    """Return the name of the type of a node's executions, None for a node of another release."""
    stage = STAGES.get(node)
    return None if stage is None else stage.class_path(parameters.get("form"))


def split_names(entry: ArtifactEntry) -> list[str]:
    """Return the splits that an artifact has folders for: train, validation, test, then any others."""
    folders = {path.split("/")[0] for path in entry.files if path.startswith(SPLIT_FOLDER)}
    names = {folder.removeprefix(SPLIT_FOLDER) for folder in folders}
    return [name for name in SPLITS if name in names] + sorted(names - set(SPLITS))


def json_list(names: list[str]) -> str:
    """Return names as TFX's `encode_split_names` writes them."""
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
