"""Where a pod finds and puts things: launcher folders, the root that an output's URI tells, the serving volume."""

from pathlib import Path

import pytest

from components.errors import BadInput, EnvironmentProblem, Refused
from pipeline.kubeflow import places


@pytest.mark.parametrize(
    ("uri", "folder"),
    [("minio://b/k/x", "/minio/b/k/x"), ("s3://b/k", "/s3/b/k"), ("gs://b/k", "/gcs/b/k"), ("/data/x", "/data/x")],
)
def test_a_uri_lies_where_the_launcher_puts_it(uri: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.POD_ROOT, raising=False)
    assert places.local(uri) == Path(folder)


def test_another_folder_can_stand_for_the_root_of_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(places.POD_ROOT, str(tmp_path))
    assert places.local("s3://b/k") == tmp_path / "s3/b/k"
    assert places.volume("/data") == tmp_path / "data"


def test_a_scheme_that_no_launcher_knows_is_refused() -> None:
    with pytest.raises(BadInput, match=r"hdfs://b/k: .*wanted one of minio, s3, gs, got hdfs"):
        places.local("hdfs://b/k")


@pytest.mark.parametrize(
    ("uri", "task", "root", "run_id", "folder"),
    [
        ("minio://b/m/digits/r-1/Transform/salt/graph", "Transform", "minio://b/m", "r-1", "digits/r-1/Transform/salt"),
        ("minio://b/digits/r-1/Transform/graph", "Transform", "minio://b", "r-1", "digits/r-1/Transform"),
        ("gs://b/m/42/job-7/Transform_-9/graph", "Transform", "gs://b/m", "job-7", "42/job-7/Transform_-9"),
        ("s3://b/Pusher/digits/r/Pusher/s/p", "Pusher", "s3://b/Pusher", "r", "digits/r/Pusher/s"),
    ],
    ids=["KFP", "old KFP", "Vertex AI", "task name in the root"],
)
def test_root_and_run_are_read_from_where_an_output_goes(
    uri: str, task: str, root: str, run_id: str, folder: str
) -> None:
    place = places.place_of(uri, task)
    assert (place.root, place.run_id, place.folder) == (root, run_id, folder)


def test_an_output_at_an_unknown_place_is_refused() -> None:
    with pytest.raises(EnvironmentProblem, match="unknown place"):
        places.place_of("minio://b/graph", "Transform")


def test_paths_in_records_are_relative_to_the_pipeline_root() -> None:
    place = places.place_of("minio://b/m/digits/r/Transform/s/graph", "Transform")
    assert place.relative("minio://b/m/digits/r/ExampleGen/s/examples") == "digits/r/ExampleGen/s/examples"
    with pytest.raises(Refused, match="outside the pipeline root"):
        place.relative("minio://b/mine/digits/r/ExampleGen/s/examples")


@pytest.mark.parametrize(
    "serving",
    ["gs://b/serving", "s3://b/serving", "/gcs/b/serving", "//gcs/b", "/x/../gcs/b/serving", "/minio/b", "/s3/b/x"],
)
def test_a_bucket_is_no_serving_directory_not_even_a_mounted_one(serving: str) -> None:
    with pytest.raises(BadInput, match=r"cannot serve from a bucket.*no atomic rename"):
        places.mounted(serving)


def test_a_serving_directory_without_a_volume_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.POD_ROOT, raising=False)
    monkeypatch.setattr("os.path.ismount", lambda place: str(place) == "/")
    with pytest.raises(EnvironmentProblem, match=r"no volume is mounted.*--claim"):
        places.mounted("/serving/digits")


def test_a_folder_of_a_mounted_volume_is_a_serving_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.POD_ROOT, raising=False)
    monkeypatch.setattr("os.path.ismount", lambda place: str(place) in ("/", "/serving"))
    assert places.mounted("/serving/digits") == Path("/serving/digits")
