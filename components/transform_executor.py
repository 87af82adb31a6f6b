"""The executor of Transform: TFX's own, and a graph that is the same bytes whenever the same one is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_transform as tft
from tfx.components.transform import executor
from tfx.types import artifact_utils, standard_component_specs

from components.savedmodel_fingerprint import drop_uuid


class TransformExecutor(executor.Executor):  # type: ignore[misc]  # tfx has no annotations
    """The stock executor."""

    def Do(  # noqa: N802  # TFX's name
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Write the transform graph."""
        super().Do(input_dict, output_dict, exec_properties)
        graph = artifact_utils.get_single_uri(output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY])
        drop_uuid(Path(graph, tft.TFTransformOutput.TRANSFORM_FN_DIR))
