"""What KFP's cache sees, what it does not, importers, and hooks."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from toy_pipelines import OSS_ROOT, PRELUDE, Toy, constant, document, run, seen, spy, states, store

from components.errors import BadInput, EnvironmentProblem
from pipeline.kubeflow.document import OSS, VERTEX, Document
from pipeline.kubeflow.simulate.metadata import FILE
from pipeline.kubeflow.simulate.run import STATE_FOLDER

DATA = "minio://mlpipeline/data/images"
MAKE = Toy(script="make('data')", makes=("data",), cached=True, given={"word": constant("w")})
READ = Toy(script="read('data')\nmake('more')", reads={"data": ("Make", "data")}, makes=("more",), cached=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_text("first")
    return folder


def test_the_same_again_is_taken_from_the_cache_with_the_same_artifacts(root: Path):
    toys = document(Make=MAKE, Read=READ)
    first = run(toys, root)
    made = len(store(root)["artifacts"])

    second = run(toys, root)

    assert states(first) == {"Make": "executed", "Read": "executed"}
    assert states(second) == {"Make": "cached", "Read": "cached"}
    assert first.result.run_id in second.result.outcomes[0].why
    assert len(store(root)["artifacts"]) == made


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(MAKE, container={"image": "toys:2"}),
        dataclasses.replace(MAKE, container={"args": ["{{$}}", "--other"]}),
        dataclasses.replace(MAKE, script="make('data', 'other')"),
        dataclasses.replace(MAKE, given={"word": constant("other")}),
        dataclasses.replace(MAKE, given={**MAKE.given, "more": constant("w")}),
        dataclasses.replace(MAKE, makes=("data", "else")),
        dataclasses.replace(MAKE, script=MAKE.script + "\nfinish(told='t')", tells={"told": "STRING"}),
        dataclasses.replace(MAKE, platform={"pvcMount": [{"constant": "claim", "mountPath": "/mnt"}]}),
    ],
    ids=["image", "args", "command", "parameter", "new parameter", "new output", "new output parameter", "claim"],
)
def test_what_is_in_the_key_invalidates(root: Path, tmp_path: Path, other: Toy):
    run(document(Make=MAKE, Read=READ), root)

    again = run(document(Make=other, Read=READ), root, volumes={"claim": tmp_path})

    assert states(again) == {"Make": "executed", "Read": "executed"}, "the new artifact has another name"


def test_a_task_that_failed_is_not_taken_from_the_cache(root: Path):
    script = f"make('data')\nsys.exit(os.path.exists({str(root.parent / 'dark')!r}))"
    toys = document(Make=dataclasses.replace(MAKE, script=script))
    (root.parent / "dark").touch()
    assert states(run(toys, root)) == {"Make": "failed"}
    (root.parent / "dark").unlink()

    assert states(run(toys, root)) == {"Make": "executed"}


def test_an_environment_variable_is_not_in_the_key(root: Path):
    run(document(Make=MAKE), root)

    other = dataclasses.replace(MAKE, container={"env": [{"name": "A", "value": "b"}]})

    assert states(run(document(Make=other), root)) == {"Make": "cached"}


def test_a_cache_key_of_ones_own_stands_for_all_of_it(root: Path):
    fixed = dataclasses.replace(MAKE, spec={"cachingOptions": {"enableCache": True, "cacheKey": "k"}})
    run(document(Make=fixed), root)

    other = dataclasses.replace(fixed, container={"image": "toys:2"})

    assert states(run(document(Make=other), root)) == {"Make": "cached"}


def test_another_pipelines_executions_are_not_taken(root: Path):
    run(document(Make=MAKE), root)
    compiled = document(Make=MAKE)

    other = dataclasses.replace(compiled, spec={**compiled.spec, "pipelineInfo": {"name": "others"}})

    assert states(run(other, root)) == {"Make": "executed"}


def test_a_task_that_is_not_cached_runs_each_time_and_so_does_what_reads_it(root: Path):
    toys = document(Make=dataclasses.replace(MAKE, cached=False), Read=READ)
    run(toys, root)

    assert states(run(toys, root)) == {"Make": "executed", "Read": "executed"}


def test_no_cache_executes_everything_and_leaves_nothing_to_reuse(root: Path):
    toys = document(Make=MAKE)

    assert states(run(toys, root, reuse=False)) == {"Make": "executed"}
    assert states(run(toys, root)) == {"Make": "executed"}
    assert states(run(toys, root)) == {"Make": "cached"}


def test_output_parameters_come_from_the_cache_as_well(root: Path):
    script = spy(root, "inputs['parameterValues']")
    given = {"n": {"taskOutputParameter": {"producerTask": "Make", "outputParameterKey": "n"}}}
    toys = document(
        Make=Toy(script="finish(n='7')", tells={"n": "STRING"}, cached=True), Read=Toy(script=script, given=given)
    )
    run(toys, root)
    (root.parent / "seen").unlink()

    assert states(run(toys, root)) == {"Make": "cached", "Read": "executed"}
    assert seen(root) == {"n": "7"}


def imports(root: Path, target: str = OSS, *, reimport: bool, uri: Any = None) -> Document:
    constant_uri = {"constant": DATA if target == OSS else "gs://data/images"}
    importer = {"artifactUri": constant_uri if uri is None else uri, "reimport": reimport}
    script = spy(root, "[read('data'), inputs['artifacts']['data']]")
    reader = Toy(script=script, reads={"data": ("Data", "data")}, cached=True)
    return document(target, Data=Toy(importer=importer, makes=("data",)), Read=reader)


def test_changed_data_behind_the_same_uri_is_not_seen_by_the_cache(root: Path, data: Path):
    """The defect for which ingest needs a digest among its parameters."""
    compiled = imports(root, reimport=False)
    run(compiled, root, buckets={DATA: data})
    (data / "file").write_text("second")

    again = run(compiled, root, buckets={DATA: data})

    assert states(again) == {"Data": "cached", "Read": "cached"}
    assert seen(root)[0] == "first"


def test_a_reimport_is_a_new_artifact_and_so_a_new_key(root: Path, data: Path):
    compiled = imports(root, reimport=True)
    run(compiled, root, buckets={DATA: data})
    (data / "file").write_text("second")

    again = run(compiled, root, buckets={DATA: data})

    assert states(again) == {"Data": "executed", "Read": "executed"}
    assert seen(root)[0] == "second"


def test_an_imported_artifact_says_where_its_credentials_come_from(root: Path, data: Path):
    run(imports(root, reimport=True), root, buckets={DATA: data})

    (artifact,) = seen(root)[1]["artifacts"]
    assert artifact["uri"] == DATA
    session = json.loads(artifact["metadata"]["store_session_info"])
    assert (session["Provider"], session["Params"]["secretName"]) == ("minio", "mlpipeline-minio-artifact")


def test_on_vertex_the_imported_bucket_is_mounted(root: Path, data: Path):
    run(imports(root, VERTEX, reimport=True), root, buckets={"gs://data/images": data})

    assert seen(root)[0] == "first"


@pytest.mark.parametrize("uri", [{"constant": ""}, {}, {"runtimeParameter": "source"}])
def test_an_importer_without_a_uri_is_refused(root: Path, uri: dict[str, str]):
    with pytest.raises(EnvironmentProblem, match="Data: the importer would fail"):
        run(imports(root, reimport=True, uri=uri), root)


def test_an_importer_takes_its_uri_from_a_runtime_parameter(root: Path, data: Path):
    compiled = imports(root, reimport=True, uri={"runtimeParameter": "source"})
    compiled.spec["root"]["inputDefinitions"]["parameters"] = {"source": {"parameterType": "STRING"}}
    task = compiled.spec["root"]["dag"]["tasks"]["Data"]
    task["inputs"]["parameters"] = {"source": {"componentInputParameter": "source"}}

    run(compiled, root, buckets={DATA: data}, parameters={"source": DATA})

    assert seen(root)[0] == "first"


@pytest.mark.parametrize("uri", ["minio://mlpipeline", "minio://mlpipeline/", "s3://data//"])
def test_a_whole_bucket_is_refused_as_the_launcher_has_no_key_for_it(root: Path, data: Path, uri: str):
    with pytest.raises(BadInput, match="Data: the launcher would fail: the URI has an empty key"):
        run(imports(root, reimport=True, uri={"constant": uri}), root, buckets={uri: data})
    assert not (root / "toys").exists()


def test_minio_data_in_another_bucket_is_refused_in_the_launchers_words(root: Path, data: Path):
    uri = "minio://lake/images"
    words = r'failed to list objects in remote storage "lake".*wanted data in minio://mlpipeline'
    with pytest.raises(BadInput, match=words):
        run(imports(root, reimport=True, uri={"constant": uri}), root, buckets={uri: data})
    assert not (root / "toys").exists()


def test_data_in_another_bucket_that_a_role_may_open_is_read(root: Path, data: Path):
    uri = "gs://lake/images"
    assert run(imports(root, reimport=True, uri={"constant": uri}), root, buckets={uri: data}).error is None


def test_what_was_cached_under_a_root_in_another_bucket_fails_where_it_is_read(root: Path):
    toys = document(Make=MAKE, Read=READ)
    run(toys, root)
    later = dataclasses.replace(READ, container={"image": "toys:2"})
    moved = document(Make=MAKE, Read=later).submitted("minio://other/m", {})
    finished = run(moved, root, buckets={OSS_ROOT: root})
    assert states(finished) == {"Make": "cached", "Read": "failed"}
    assert 'failed to list objects in remote storage "mlpipeline"' in str(finished.error)
    assert "--no-cache" in str(finished.error)


def test_on_vertex_a_whole_bucket_is_mounted(root: Path, data: Path):
    run(imports(root, VERTEX, reimport=True, uri={"constant": "gs://data"}), root, buckets={"gs://data": data})

    assert seen(root)[0] == "first"


def test_a_bucket_without_a_folder_is_refused_with_the_flag(root: Path):
    with pytest.raises(BadInput, match=f"--bucket {DATA}=DIR"):
        run(imports(root, reimport=True), root)


def test_a_folder_without_what_is_imported_is_refused(root: Path, data: Path):
    with pytest.raises(BadInput, match="nothing lies where it imports from"):
        run(imports(root, reimport=True), root, buckets={"minio://mlpipeline": data})


@pytest.mark.parametrize(("target", "uri"), [(OSS, OSS_ROOT), (VERTEX, "gs://b"), (VERTEX, "gs://b/m/data")])
def test_a_bucket_that_overlaps_with_the_root_is_refused(root: Path, tmp_path: Path, target: str, uri: str):
    with pytest.raises(BadInput, match="overlaps with the pipeline root"):
        run(document(target, Make=Toy()), root, buckets={uri: tmp_path})


HOOK = """
path = pod / outputs["outputFile"][1:]
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps({"parameterValues": {"fingerprint": open(%r).read()}}))
"""


def hooked(target: str, root: Path, data: Path) -> Document:
    hook = {"preCacheCheck": {"command": ["python", "-c", PRELUDE + HOOK % str(data / "file")], "args": ["{{$}}"]}}
    script = "path = pod / outputs['outputFile'][1:]\n" + spy(root, "path.exists() and json.loads(path.read_text())")
    return document(target, Make=Toy(script=script, cached=True, container={"lifecycle": hook}))


def test_a_hook_runs_on_vertex_before_the_cache_is_asked_and_leaves_its_output_file(root: Path, data: Path):
    compiled = hooked(VERTEX, root, data)

    assert states(run(compiled, root)) == {"Make": "executed"}
    assert seen(root) == {"parameterValues": {"fingerprint": "first"}}
    assert states(run(compiled, root)) == {"Make": "cached"}
    (data / "file").write_text("second")
    assert states(run(compiled, root)) == {"Make": "executed"}
    assert seen(root) == {"parameterValues": {"fingerprint": "second"}}


def test_open_source_kfp_ignores_the_hook_and_hands_out_what_is_stale(root: Path, data: Path):
    compiled = hooked(OSS, root, data)
    run(compiled, root)
    (data / "file").write_text("second")

    assert states(run(compiled, root)) == {"Make": "cached"}
    assert seen(root) is False


def test_a_hook_that_fails_fails_the_task(root: Path, data: Path):
    compiled = hooked(VERTEX, root, data)
    (data / "file").unlink()

    finished = run(compiled, root)

    assert states(finished) == {"Make": "failed"}
    assert "FileNotFoundError" in str(finished.error)


def test_a_store_that_cannot_be_read_is_said_to_be_so(root: Path):
    run(document(Make=MAKE), root)
    (root / STATE_FOLDER / FILE).write_text("{")

    with pytest.raises(EnvironmentProblem, match="cannot be read"):
        run(document(Make=MAKE), root)
