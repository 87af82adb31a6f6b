"""A pod reads nothing that is not what was recorded."""

import dataclasses
from pathlib import Path

import pytest
from kubeflow.handed_on import RUN, lineage, record

from components.digest import manifest_digest
from components.errors import EnvironmentProblem, Refused
from pipeline.kubeflow import names, places
from pipeline.kubeflow.places import Place
from pipeline.kubeflow.pod import upstream
from pipeline.kubeflow.pod.invocation import Artifact
from pipeline.provenance import record_store
from pipeline.provenance.artifacts import DIGEST_PROPERTY, RECORD_PROPERTY, measure
from pipeline.provenance.records import KUBEFLOW, ORCHESTRATOR, ExecutionRecord
from pipeline.root.paths import RunPaths

ROOT = "minio://b/m"


@dataclasses.dataclass
class Inputs:
    """What a pod downloaded: one artifact, and the records behind it."""

    paths: RunPaths
    artifacts: dict[str, Artifact]

    @property
    def place(self) -> Place:
        return Place(root=ROOT, run_id=RUN, folder=f"digits/{RUN}/Autoencoder/salt")

    def read(self, pod: Path) -> upstream.Upstream:
        return upstream.read(RunPaths(pod), self.place, self.artifacts)

    def change(self, **metadata: object) -> None:
        read = self.artifacts["read"]
        self.artifacts["read"] = dataclasses.replace(read, metadata={**read.metadata, **metadata})


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    monkeypatch.setenv(places.POD_ROOT, str(tmp_path))
    paths = RunPaths(places.local(ROOT))
    made = record(paths, "Transform", blessed=0, model="{root}/digits/x")
    known = record_store.write(lineage(paths, "Transform").records, made)
    entry = made.outputs["made"][0]
    told = {"blessed": 0, "model": f"{ROOT}/digits/x", "display_name": "made"}
    properties = {**told, DIGEST_PROPERTY: entry.sha256, RECORD_PROPERTY: known}
    artifacts = {
        "read": Artifact(name="1", uri=f"{ROOT}/{entry.path}", schema="", metadata=properties),
        names.lineage_of("Transform"): Artifact(
            name="2", uri=f"{ROOT}/digits/{RUN}/Transform/salt/{names.LINEAGE}", schema="", metadata={}
        ),
    }
    return Inputs(paths, artifacts)


def test_an_input_is_known_by_its_record(inputs: Inputs, tmp_path: Path) -> None:
    found = inputs.read(tmp_path / "pod")
    assert list(found.refs) == ["read"]
    assert found.heads() == list(found.records)


def test_data_from_an_importer_needs_no_record(inputs: Inputs, tmp_path: Path) -> None:
    inputs.artifacts[names.DATA_CHANNEL] = Artifact(name="3", uri="minio://mlpipeline/lake/x", schema="", metadata={})
    assert list(inputs.read(tmp_path / "pod").refs) == ["read"]


def test_bytes_that_were_changed_since_are_refused(inputs: Inputs, tmp_path: Path) -> None:
    (places.local(inputs.artifacts["read"].uri) / "file").write_text("other")
    with pytest.raises(Refused, match=r"changed since it was recorded.*changed: file"):
        inputs.read(tmp_path / "pod")


def test_a_file_that_was_added_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    (places.local(inputs.artifacts["read"].uri) / "more").write_text("other")
    with pytest.raises(Refused, match=r"changed since it was recorded.*extra: more.*an attempt that was repeated"):
        inputs.read(tmp_path / "pod")


@pytest.fixture
def repeated(inputs: Inputs) -> str:
    """The hash of a second attempt's record, whose bytes lie there; the metadata still tells of the first."""
    folder = lineage(inputs.paths, "Transform").records
    [(first, one)] = record_store.scan(folder).items()
    assert isinstance(one, ExecutionRecord)
    told = dataclasses.replace(one, extra={ORCHESTRATOR: KUBEFLOW})
    (folder / f"{first}.json").unlink()
    inputs.change(**{RECORD_PROPERTY: record_store.write(folder, told)})
    (places.local(inputs.artifacts["read"].uri) / "file").write_text("of the second attempt")
    path = told.outputs["made"][0].path
    entry = measure(places.local(ROOT), path, type_name="Schema", properties={"blessed": 1, "model": "{root}/digits/x"})
    return record_store.write(folder, dataclasses.replace(told, seconds=2.0, outputs={"made": (entry,)}))


def test_of_two_attempts_that_are_registered_the_one_whose_bytes_lie_there_is_read(
    inputs: Inputs, tmp_path: Path, repeated: str
) -> None:
    found = inputs.read(tmp_path / "pod")
    assert found.refs["read"].record == repeated
    assert found.artifacts["read"].metadata["blessed"] == 1


@pytest.fixture
def left_over(inputs: Inputs) -> None:
    """A second attempt's upload, over a first one's that had a file of another name too."""
    folder = lineage(inputs.paths, "Transform").records
    [(known, one)] = record_store.scan(folder).items()
    assert isinstance(one, ExecutionRecord)
    (folder / f"{known}.json").unlink()
    made = places.local(inputs.artifacts["read"].uri)
    path, properties = one.outputs["made"][0].path, {"blessed": 0, "model": "{root}/digits/x"}
    for attempt, names_of in enumerate((("file", "events.1.host"), ("file",)), start=1):
        for name in names_of:
            (made / name).write_text(f"{name} of attempt {attempt}")
        entry = measure(places.local(ROOT), path, type_name="Schema", properties=properties)
        files = {name: file for name, file in entry.files.items() if name in names_of}
        told = dataclasses.replace(entry, files=files, sha256=manifest_digest(files))
        outputs = {"outputs": {"made": (told,)}, "extra": {ORCHESTRATOR: KUBEFLOW}}
        written = dataclasses.replace(
            one, seconds=float(attempt), started=f"2026-01-01T00:00:0{attempt}.000Z", **outputs
        )
        inputs.change(**{RECORD_PROPERTY: record_store.write(folder, written), DIGEST_PROPERTY: told.sha256})


@pytest.mark.usefixtures("left_over")
def test_what_an_earlier_attempt_left_among_the_bytes_of_a_later_one_is_refused_with_their_numbers(
    inputs: Inputs, tmp_path: Path
) -> None:
    message = (
        "holds files that attempt 1 of Transform left and attempt 2 did not write: got events.1.host: start the run"
    )
    with pytest.raises(Refused, match=message):
        inputs.read(tmp_path / "pod")


@pytest.mark.usefixtures("left_over")
def test_what_nobody_left_among_them_is_a_change(inputs: Inputs, tmp_path: Path) -> None:
    (places.local(inputs.artifacts["read"].uri) / "more").write_text("of nobody")
    with pytest.raises(Refused, match=r"changed since it was recorded.*more"):
        inputs.read(tmp_path / "pod")


@pytest.mark.usefixtures("repeated")
def test_bytes_of_no_attempt_are_refused(inputs: Inputs, tmp_path: Path) -> None:
    (places.local(inputs.artifacts["read"].uri) / "file").write_text("of nobody")
    with pytest.raises(Refused, match=r"changed since it was recorded.*changed: file"):
        inputs.read(tmp_path / "pod")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({RECORD_PROPERTY: ""}, "an input without a record.*no property `record`"),
        ({RECORD_PROPERTY: "0" * 64}, "an input without a record"),
        ({DIGEST_PROPERTY: "0" * 64}, "an input is not what its record says"),
    ],
)
def test_properties_that_name_no_record_or_another_digest_are_refused(
    inputs: Inputs, tmp_path: Path, metadata: dict[str, str], message: str
) -> None:
    inputs.change(**metadata)
    with pytest.raises(Refused, match=message):
        inputs.read(tmp_path / "pod")


@pytest.mark.parametrize("changed", [{"blessed": 1}, {"model": f"{ROOT}/digits/y"}, {"blessed": None}])
def test_a_property_that_was_edited_in_the_metadata_is_refused(
    inputs: Inputs, tmp_path: Path, changed: dict[str, object]
) -> None:
    inputs.change(**changed)
    with pytest.raises(Refused, match="properties were changed since they were recorded"):
        inputs.read(tmp_path / "pod")


def test_an_executor_is_given_the_recorded_properties_and_no_others(inputs: Inputs, tmp_path: Path) -> None:
    inputs.change(baseline="none")
    metadata = inputs.read(tmp_path / "pod").artifacts["read"].metadata
    assert set(metadata) == {"blessed", "model", DIGEST_PROPERTY, RECORD_PROPERTY}
    assert metadata["model"] == f"{ROOT}/digits/x"


def test_an_artifact_that_its_record_did_not_make_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    read = inputs.artifacts["read"]
    inputs.artifacts["read"] = dataclasses.replace(read, uri=f"{ROOT}/digits/{RUN}/Transform/salt/other")
    with pytest.raises(Refused, match="wanted an output of Transform"):
        inputs.read(tmp_path / "pod")


def test_a_forged_record_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    forged = next(lineage(inputs.paths, "Transform").records.glob("*.json"))
    forged.write_text(forged.read_text().replace('"seconds":1.0', '"seconds":9.0'))
    with pytest.raises(EnvironmentProblem, match="record was changed"):
        inputs.read(tmp_path / "pod")
