"""Data in a pod: what KFP's cache is to know them by, and what is read of them afterwards."""

from pathlib import Path

import pytest

from components.errors import Refused
from components.ingest import discovery, import_record
from components.ingest.data_files import DataFiles
from pipeline.config.recipe import load_recipe
from pipeline.datasets.fetch import fetch_digits
from pipeline.kubeflow import names, places
from pipeline.kubeflow.pod import data
from pipeline.kubeflow.pod.invocation import Invocation

SETTINGS = load_recipe("digits").data


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The digits on a mounted volume, without a record of an import."""
    monkeypatch.setenv(places.POD_ROOT, str(tmp_path))
    fetch_digits(tmp_path / "data", "idx")
    return tmp_path / "data"


def files(folder: Path) -> DataFiles:
    return discovery.discover([folder], form="idx")


def leave_record(folder: Path, picture: str) -> None:
    """Leaves the record of an import of one picture with this name, that wrote the files."""
    payloads = data.digest(files(folder), SETTINGS).payloads.values()
    written = [
        import_record.WrittenFile(name=f"train-{number}", rows=1, sha256="0" * 64, payload_digest=digest)
        for number, digest in enumerate(payloads)
    ]
    fields: import_record.Fields = {
        "schema_version": import_record.VERSION,
        "release": "1",
        "source": "pictures",
        "form": "pictures",
        "options": {},
        "class_names": [],
        "files": [{"name": picture, "sha256": "0" * 64, "bytes": 1}],
        "written": written,
        "rows": {"train": [{"file": 0, "first": 0, "rows": 1}]},
        "skipped": [],
    }
    (folder / import_record.FILE).write_bytes(import_record.to_bytes(fields))


def test_without_a_record_of_an_import_content_alone_is_in_the_key(folder: Path, tmp_path: Path) -> None:
    fetch_digits(tmp_path / "again", "idx")
    assert (
        data.digest(files(folder), SETTINGS).fingerprint == data.digest(files(tmp_path / "again"), SETTINGS).fingerprint
    )


def test_images_that_were_renamed_and_imported_again_are_ingested_again(folder: Path) -> None:
    keys = [data.digest(files(folder), SETTINGS).fingerprint]
    for picture in ("a.png", "b.png", "b.png"):
        leave_record(folder, picture)
        keys.append(data.digest(files(folder), SETTINGS).fingerprint)
    assert keys[2] == keys[3]
    assert len(set(keys)) == 3


def invocation(fingerprint: str) -> Invocation:
    parameters = {"source": "/data", "form": "idx", "settings": SETTINGS.to_json(), names.FINGERPRINT: fingerprint}
    return Invocation(parameters=parameters, inputs={}, outputs={}, output_parameters={}, output_file="")


def test_the_record_of_the_import_that_was_digested_is_the_one_that_is_kept(folder: Path, tmp_path: Path) -> None:
    leave_record(folder, "a.png")
    digested = data.digest(files(folder), SETTINGS)
    resolved = data.resolve(invocation(digested.fingerprint), tmp_path / "pod")
    assert resolved[import_record.PROPERTY] == digested.imported


@pytest.mark.parametrize("late", ["b.png", None], ids=["another", "none"])
def test_another_record_than_was_digested_is_refused(folder: Path, tmp_path: Path, late: str | None) -> None:
    leave_record(folder, "a.png")
    key = data.digest(files(folder), SETTINGS).fingerprint
    (folder / import_record.FILE).unlink()
    if late is not None:
        leave_record(folder, late)
    with pytest.raises(Refused, match="the data was changed after it was digested"):
        data.resolve(invocation(key), tmp_path / "pod")
