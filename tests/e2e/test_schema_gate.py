"""Real Examples, statistics and anomalies by TFX's own runner: what stock TFX lets through, and the gate does not.

Stock defect: ExampleValidator writes down what it finds and stops nothing; and it finds nothing in images that are
upside down, since each pixel is in range.
"""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from components.errors import Refused
from components.example_validator import MnistExampleValidator
from components.ingest.example_gen import MnistIdxExampleGen
from components.ingest.idx import write_images, write_labels
from components.reviewed_schema import ReviewedSchema
from components.schema_files import find_reviewed
from components.schema_gate.component import SchemaGate
from components.settings import DataSettings, GateSettings
from components.statistics_gen import MnistStatisticsGen
from pipeline.config.beam import BEAM_ARGS
from pipeline.datasets import schema_review

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DATA = DataSettings(shape=(8, 8), pixel_max=16)


class Run:
    """A pipeline up to the gate, in a folder of its own; the gate is left out where stock TFX ends."""

    def __init__(self, root, *, change=lambda images: images, schemas=None):
        self.root = root
        found = load_digits()
        write_images(root / "train-images-idx3-ubyte", change(found.images.astype(np.uint8)))
        write_labels(root / "train-labels-idx1-ubyte", found.target)
        self.reviewed = find_reviewed(DATA.geometry, schemas)

    def nodes(self):
        files = [str(self.root / name) for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")]
        source = json.dumps([{"split": "train", "files": files}])
        example_gen = MnistIdxExampleGen(source=source, settings=DATA.to_json(), code_digest="")
        statistics_gen = MnistStatisticsGen(examples=example_gen.outputs["examples"], code_digest="")
        schema = ReviewedSchema(
            geometry=DATA.geometry,
            schema_sha256=self.reviewed.digest,
            source=str(self.reviewed.schema.parent),
            code_digest="",
        )
        validator = MnistExampleValidator(
            statistics=statistics_gen.outputs["statistics"], schema=schema.outputs["schema"], code_digest=""
        )
        gate = SchemaGate(
            examples=example_gen.outputs["examples"],
            statistics=statistics_gen.outputs["statistics"],
            reviewed_schema=schema.outputs["schema"],
            reference=schema.outputs["reference"],
            anomalies=validator.outputs["anomalies"],
            settings=GateSettings().to_json(),
            data=DATA.to_json(),
            code_digest="",
        )
        return [example_gen, statistics_gen, schema, validator, gate]

    def run(self, *, gate):
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="gate",
                pipeline_root=str(self.root / "artifacts"),
                metadata_connection_config=metadata.sqlite_metadata_connection_config(str(self.root / "metadata.db")),
                enable_cache=True,
                components=self.nodes() if gate else self.nodes()[:-1],
                beam_pipeline_args=list(BEAM_ARGS),
            )
        )

    def anomalies(self):
        """{split: names of the features that ExampleValidator found something about}."""
        found = {}
        for path in (self.root / "artifacts" / "MnistExampleValidator").glob("anomalies/*/Split-*/SchemaDiff.pb"):
            anomalies = anomalies_pb2.Anomalies.FromString(path.read_bytes())
            found[path.parent.name.removeprefix("Split-")] = sorted(anomalies.anomaly_info)
        return found

    def outputs(self):
        return sorted(path.name for path in (self.root / "artifacts" / "SchemaGate").glob("*/*/*.*"))


def narrowed(folder):
    """A user's approved schema that allows pixels up to 15, one less than the digits have."""
    schema = find_reviewed(DATA.geometry).schema
    draft = folder / "draft" / schema.name
    draft.parent.mkdir()
    draft.write_text(schema.read_text().replace("max: 16", "max: 15"))
    profile = schema.with_name(f"{DATA.geometry}.profile.json")
    (draft.parent / profile.name).write_bytes(profile.read_bytes())
    schema_review.approve(draft, folder / "schemas")
    return folder / "schemas"


def test_clean_digits_reach_the_end_without_an_anomaly_and_the_gate_reports(tmp_path):
    run = Run(tmp_path)
    run.run(gate=True)
    assert run.outputs() == ["gate.json", "schema.pbtxt"]
    [report] = (tmp_path / "artifacts" / "SchemaGate" / "report").glob("*/gate.json")
    assert json.loads(report.read_text())["passed"]
    assert run.anomalies() == {"train": [], "validation": [], "test": []}


@pytest.mark.fault(35)
def test_stock_validation_writes_anomalies_down_and_goes_on_where_the_gate_stops(tmp_path):
    run = Run(tmp_path, schemas=narrowed(tmp_path))
    run.run(gate=False)
    assert run.anomalies() == {"train": ["image"], "validation": ["image"], "test": ["image"]}
    with pytest.raises(Refused, match=r"image in (train|validation|test), anomaly: Out-of-range values"):
        run.run(gate=True)
    assert run.outputs() == []


def test_stock_validation_finds_nothing_in_inverted_images_and_the_gate_stops(tmp_path):
    run = Run(tmp_path, change=lambda images: 16 - images)
    run.run(gate=False)
    assert run.anomalies() == {"train": [], "validation": [], "test": []}
    with pytest.raises(
        Refused,
        match=r"the images look inverted .*: in train, image column 0 has mean .* of 62 checks refused, and nothing was trained",
    ):
        run.run(gate=True)
    assert run.outputs() == []
