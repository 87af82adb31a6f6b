"""The ExampleGens, one to a form of data files, their driver and their executor.

They are FileBasedExampleGens whose driver goes by content (see
`components.ingest.source`) and whose executor moves chunks of rows (see `components.ingest.artifact` for what it writes).
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tfx.components.example_gen import component, driver
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor, base_executor, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.types.component_spec import ExecutionParameter

from components.base import BeamComponent, Driver, Executor
from components.beam_arguments import works_alone
from components.declaration import OWN_PARAMETERS
from components.features import SPLITS, TEST, TRAIN
from components.ingest.artifact import write_artifact
from components.ingest.source import SPAN, resolve
from components.layout import root_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tfx.orchestration import data_types
    from tfx.proto.orchestration import driver_output_pb2


class MnistExampleGenDriver(Driver, driver.FileBasedDriver):  # type: ignore[misc]  # tfx has no annotations
    """Replaces names, sizes and times in the execution properties by digests, after copying the data below the root."""

    def resolved(self, properties: Mapping[str, Any], inputs: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        """Return the properties with a digest and names that follow from it."""
        del inputs
        # The stock driver looks for a version, to note it on the Examples with span and fingerprint.
        return {**resolve(properties, root), "version": None}

    def run(self, execution_info: Any) -> driver_output_pb2.DriverOutput:
        """Resolve the data of one execution, as TFX's Launcher asks for it."""
        examples = execution_info.output_dict[standard_component_specs.EXAMPLES_KEY][0]
        info = copy.copy(execution_info)
        info.exec_properties = dict(self.resolved(info.exec_properties, {}, root_of(examples.uri)))
        return driver.FileBasedDriver.run(self, info)

    def resolve_exec_properties(
        self,
        exec_properties: dict[str, Any],
        pipeline_info: data_types.PipelineInfo,
        component_info: data_types.ComponentInfo,
    ) -> dict[str, Any]:
        """Return the properties as they are: both stock ways come here once more, and would look for files by name."""
        del pipeline_info, component_info
        return exec_properties


class MnistExampleGenExecutor(Executor, base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]  # tfx has no annotations
    """Writes the Examples artifact from the inputs that the driver resolved."""

    def __init__(self, context: Any = None) -> None:
        arguments = list(getattr(context, "beam_pipeline_args", None) or [])
        self._alone = works_alone(arguments)
        if self._alone:
            # Not TFX's Beam executor, which asks Beam what its arguments mean: nothing here is Beam's.
            base_executor.BaseExecutor.__init__(self, context)
        else:
            super().__init__(context)

    def execute(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
        """Read and write all rows, by Beam where its engine shares work out, and complete the artifact.

        Raises:
          BadInput: when the data is unusable, under the names it was given by.
          EnvironmentProblem: when the artifact cannot be written.
        """
        del inputs
        examples = outputs[standard_component_specs.EXAMPLES_KEY]
        pipeline = None if self._alone else self._make_beam_pipeline
        write_artifact(Path(examples.uri), properties, root_of(examples.uri), pipeline)
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        # As the stock driver does, which does not run in a cluster; 0 stands for data without spans there as well.
        examples.set_int_custom_property(SPAN, properties.get(SPAN) or 0)


class MnistExampleGenSpec(standard_component_specs.FileBasedExampleGenSpec):  # type: ignore[misc]  # tfx has no annotations
    """The stock parameters of a FileBasedExampleGen, and what is read how."""

    PARAMETERS: Final = {
        **standard_component_specs.FileBasedExampleGenSpec.PARAMETERS,
        "source": ExecutionParameter(type=str),
        "form": ExecutionParameter(type=str),
        **OWN_PARAMETERS,
    }


class _MnistExampleGen(BeamComponent, component.FileBasedExampleGen):  # type: ignore[misc]  # tfx has no annotations
    SPEC_CLASS = MnistExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(MnistExampleGenExecutor)
    DRIVER_CLASS = MnistExampleGenDriver
    FORM: str

    def __init__(self, *, source: str, settings: str, code_digest: str) -> None:
        """Declare the node.

        Args:
          source: JSON list of parts, [{"split": "train" or "test", "files": [...]}], paths absolute or relative to
            the root; some forms have an images file and its labels file.
          settings: `DataSettings` as canonical JSON.
          code_digest: digest of the code that the node runs.
        """
        super().__init__(
            source=source,
            form=self.FORM,
            settings=settings,
            code_digest=code_digest,
            input_base="",  # the driver's
            input_config=example_gen_pb2.Input(
                splits=[example_gen_pb2.Input.Split(name=name, pattern=f"{name}*") for name in (TRAIN, TEST)]
            ),
            output_config=example_gen_pb2.Output(
                split_config=example_gen_pb2.SplitConfig(
                    splits=[example_gen_pb2.SplitConfig.Split(name=name) for name in SPLITS]
                )
            ),
            output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
            # Readers go by a file's extension, and uncompressed TFRecords have no name of their own in the enum.
            output_file_format=example_gen_pb2.FILE_FORMAT_UNSPECIFIED,
        )


class MnistIdxExampleGen(_MnistExampleGen):
    """Reads IDX pairs of images and labels, raw or gzip."""

    FORM = "idx"


class MnistCsvExampleGen(_MnistExampleGen):
    """Reads CSVs of pixels and a label, raw or gzip."""

    FORM = "csv"


class MnistParquetExampleGen(_MnistExampleGen):
    """Reads Parquet files of encoded pictures and a label, as the Hugging Face hub ships them."""

    FORM = "parquet"


class MnistPairExampleGen(_MnistExampleGen):
    """Reads pixels and labels in files of their own, CSV or NumPy's."""

    FORM = "pairs"
