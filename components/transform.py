"""The Transform node: the stock executor around `components.preprocessing`; see `components.transform_executor`.

Nothing is materialised and no post-transform statistics are taken: the Trainers apply the graph to raw Examples
themselves. With a constant scale that leaves 0.15 s of the 9 s that a materialising Transform takes on 60,000 images.
"""

from __future__ import annotations

from tfx.proto import transform_pb2
from tfx.types import channel, standard_component_specs

from components.base import BeamComponent
from components.declaration import OWN_PARAMETERS, BeamExecutorByPath, custom_config
from components.features import TRAIN

PREPROCESSING_FN = "components.preprocessing.preprocessing_fn"

_STOCK = standard_component_specs.TransformSpec


class MnistTransformSpec(_STOCK):  # type: ignore[misc,valid-type]  # tfx has no annotations
    """Transform's interface and our own parameters."""

    PARAMETERS = {**_STOCK.PARAMETERS, **OWN_PARAMETERS}


class MnistTransform(BeamComponent):
    """The transform graph of `preprocessing_fn`, analysed on `train` alone."""

    SPEC_CLASS = MnistTransformSpec
    EXECUTOR_SPEC = BeamExecutorByPath("components.transform_executor.TransformExecutor")

    def __init__(self, *, settings: str, data: str, code_digest: str, **inputs: channel.BaseChannel) -> None:
        super().__init__(
            preprocessing_fn=PREPROCESSING_FN,
            force_tf_compat_v1=0,
            custom_config=custom_config(settings, data, code_digest),
            splits_config=transform_pb2.SplitsConfig(analyze=[TRAIN], transform=[]),
            disable_statistics=1,
            code_digest=code_digest,
            **inputs,
        )
