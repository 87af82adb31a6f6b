"""The executor of Transform: TFX's own, so that equal rows have equal graphs, to the byte.

Beam tunes the size of its batches by the clock, and means and deviations are put together from those of batches: where other
work took the cores, they differed in last bits, and every training on them after that. Here the bytes of the rows alone
decide what is a batch. And a graph is the same bytes whenever the same one is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import tensorflow_transform as tft
from absl import flags
from tfx.components.transform import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx_bsl.coders import batch_util  # noqa: F401  # it defines the flag

from components.savedmodel_fingerprint import drop_uuid

BY_BYTES: Final = "tfxio_use_byte_size_batching"
"""tfx_bsl's flag: a batch is 20 MiB of Examples or, if that comes first, 8192 of them."""


class TransformExecutor(executor.Executor):  # type: ignore[misc]  # tfx has no annotations
    """The stock executor."""

    def Do(  # noqa: N802  # TFX's name
        self, input_dict: dict[str, list[Any]], output_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
    ) -> None:
        """Write the transform graph."""
        with _batches_by_bytes():
            super().Do(input_dict, output_dict, exec_properties)
        graph = artifact_utils.get_single_uri(output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY])
        drop_uuid(Path(graph, tft.TFTransformOutput.TRANSFORM_FN_DIR))


@contextlib.contextmanager
def _batches_by_bytes() -> Iterator[None]:
    before = flags.FLAGS[BY_BYTES].default
    flags.FLAGS.set_default(BY_BYTES, True)
    try:
        yield
    finally:
        flags.FLAGS.set_default(BY_BYTES, before)
