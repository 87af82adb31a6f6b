"""From data files to the Examples artifact: what is in it, and what it does not depend on."""

from __future__ import annotations

import functools
import gzip
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.io.tfrecordio import _TFRecordUtil
from apache_beam.portability.python_urns import SUBPROCESS_SDK

from components.digest import merkle_root, row_digest, row_prefix, tree_files
from components.errors import BadInput, EnvironmentProblem
from components.features import SPLITS
from components.ingest import idx, partial, rows, shards
from components.ingest.artifact import write_artifact
from components.ingest.encode import encode
from components.ingest.source import resolve
from components.profile import profile
from components.settings import DataSettings, HashSplit

SHAPE, LABELS = (5, 4), 10
SHARED = Path(__file__).parents[2] / "shared" / "data"
FN_API_RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"

in_process = functools.partial(beam.Pipeline, argv=[FN_API_RUNNER])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    return rng.integers(0, 256, (500, *SHAPE), dtype=np.uint8), rng.integers(0, LABELS, 500)


def idx_part(folder, images, labels, *, name="train", suffix=""):
    folder.mkdir(exist_ok=True)
    files = [folder / f"{name}-images{suffix}", folder / f"{name}-labels{suffix}"]
    idx.write_images(files[0], images)
    idx.write_labels(files[1], labels)
    return {"split": name, "files": [str(file) for file in files]}


def csv_part(folder, images, labels, *, name="train", header=False):
    folder.mkdir(exist_ok=True)
    lines = [",".join(map(str, (label, *image.ravel()))) for image, label in zip(images, labels, strict=True)]
    first = [",".join(["label", *(f"pixel{number}" for number in range(images[0].size))])] if header else []
    (folder / f"{name}.csv").write_text("\n".join([*first, *lines]))
    return {"split": name.split("-")[0], "files": [str(folder / f"{name}.csv")]}


def properties(*parts, form="idx", split=None, shape=SHAPE, exclude=()):
    settings = DataSettings(shape=shape, pixel_max=255, label="first", split=split or HashSplit(), exclude=exclude)
    return {"source": json.dumps(parts), "form": form, "settings": settings.to_json(), "code_digest": "c0de"}


def ingest(root, exec_properties, make_pipeline=None):
    folder = root / "artifacts" / "ExampleGen" / "examples" / "1"
    folder.mkdir(parents=True)
    write_artifact(folder, resolve(exec_properties, root), root, make_pipeline)
    return folder


def contents(folder, *, without=()):
    return {name: (folder / name).read_bytes() for name in tree_files(folder) if name not in without}


def description(folder):
    return json.loads((folder / "data.json").read_bytes())


def examples(folder, split):
    records = []
    for path in sorted((folder / f"Split-{split}").iterdir()):
        with path.open("rb") as file:
            records += iter(lambda file=file: _TFRecordUtil.read_record(file), None)
    return records


@pytest.fixture(scope="module")
def from_idx(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("idx")
    parts = [idx_part(root / "data", *(values[:400] for values in data))]
    parts.append(idx_part(root / "data", *(values[400:] for values in data), name="test"))
    return ingest(root / "root", properties(*parts))


def test_the_artifact_holds_every_row_once_as_an_example(from_idx, data):
    images, labels = data
    written = [record for split in SPLITS for record in examples(from_idx, split)]
    assert sorted(written) == sorted(encode(images.reshape(500, -1), labels))


def test_the_official_test_part_is_the_test_split(from_idx, data):
    images, labels = (values[400:] for values in data)
    assert sorted(examples(from_idx, "test")) == sorted(encode(images.reshape(100, -1), labels))


def test_nothing_but_the_artifact_is_left(from_idx):
    assert sorted(os.listdir(from_idx)) == [
        "Split-test",
        "Split-train",
        "Split-validation",
        "data.json",
        "profile.json",
        "row_index",
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_row_index_and_examples_are_in_the_order_of_row_digests(from_idx, data, split):
    images, labels = data
    prefix = rows.row_prefix(*SHAPE)
    by_digest = {
        rows.row_digest(prefix, image.tobytes(), label): (image, label) for image, label in zip(*data, strict=True)
    }
    index = np.load(from_idx / "row_index" / f"{split}.npy")
    digests = [entry["row"].tobytes() for entry in index]
    ordered = [by_digest[digest] for digest in digests]
    assert digests == sorted(digests)
    assert index["label"].tolist() == [label for _, label in ordered]
    images, labels = (np.array(values) for values in zip(*ordered, strict=True))
    assert examples(from_idx, split) == encode(images.reshape(len(index), -1), labels)


def test_the_description_gives_rows_and_digests_by_split(from_idx):
    found = description(from_idx)
    every = []
    for split in SPLITS:
        digests = [entry["row"].tobytes() for entry in np.load(from_idx / "row_index" / f"{split}.npy")]
        assert found["splits"][split] == {"rows": len(digests), "rows_digest": merkle_root(digests)}
        every += digests
    assert (found["rows"], found["rows_digest"]) == (500, merkle_root(sorted(every)))
    assert [(file["name"], file["rows"]) for file in found["files"]] == [
        ("train-images", 400),
        ("train-labels", 400),
        ("test-images", 100),
        ("test-labels", 100),
    ]


def test_the_profile_of_a_split_is_that_of_its_rows(from_idx, data):
    images, labels = (values[400:] for values in data)
    settings = DataSettings(shape=SHAPE, pixel_max=255)
    found = json.loads((from_idx / "profile.json").read_bytes())["splits"]["test"]
    assert found == profile(images.reshape(100, -1), labels, settings)


@pytest.mark.parametrize("header", [False, True])
def test_csv_of_the_same_images_gives_the_same_artifact(from_idx, data, tmp_path, header):
    parts = [csv_part(tmp_path / "data", *(values[:400] for values in data), header=header)]
    parts.append(csv_part(tmp_path / "data", *(values[400:] for values in data), name="test", header=header))
    folder = ingest(tmp_path / "root", properties(*parts, form="csv"))
    assert contents(folder, without=["data.json"]) == contents(from_idx, without=["data.json"])
    assert description(folder)["rows_digest"] == description(from_idx)["rows_digest"]


def test_gzip_gives_the_same_artifact_to_the_last_byte(from_idx, data, tmp_path):
    parts = [idx_part(tmp_path / "data", *(values[:400] for values in data), suffix=".gz")]
    parts.append(idx_part(tmp_path / "data", *(values[400:] for values in data), name="test", suffix=".gz"))
    assert contents(ingest(tmp_path / "root", properties(*parts))) == contents(from_idx)


@pytest.mark.fault(20)
def test_shuffled_and_resharded_rows_give_the_same_artifact(from_idx, data, tmp_path):
    order = np.random.default_rng(1).permutation(400)
    cuts = np.split(order, [90, 250])
    parts = [
        csv_part(tmp_path / "data", *(values[cut] for values in data), name=f"train-{number}")
        for number, cut in enumerate(cuts)
    ]
    parts.append(csv_part(tmp_path / "data", *(values[400:][::-1] for values in data), name="test"))
    folder = ingest(tmp_path / "root", properties(*parts, form="csv"))
    assert contents(folder, without=["data.json"]) == contents(from_idx, without=["data.json"])
    assert description(folder)["rows_digest"] == description(from_idx)["rows_digest"]


def test_one_other_pixel_gives_another_rows_digest(from_idx, data, tmp_path):
    images, labels = data[0].copy(), data[1]
    images[0, 0, 0] ^= 1
    parts = [idx_part(tmp_path / "data", images[:400], labels[:400])]
    parts.append(idx_part(tmp_path / "data", images[400:], labels[400:], name="test"))
    folder = ingest(tmp_path / "root", properties(*parts))
    assert description(folder)["rows_digest"] != description(from_idx)["rows_digest"]
    assert description(folder)["splits"]["test"] == description(from_idx)["splits"]["test"]


def test_chunks_and_shards_of_any_size_hold_the_same_rows(from_idx, data, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "CHUNK_PIXELS", 700)
    monkeypatch.setattr(rows, "SHARD_PIXELS", 2000)
    parts = [idx_part(tmp_path / "data", *(values[:400] for values in data))]
    parts.append(idx_part(tmp_path / "data", *(values[400:] for values in data), name="test"))
    folder = ingest(tmp_path / "root", properties(*parts))
    assert sorted(os.listdir(folder / "Split-train")) == [f"data_tfrecord-{i:05d}-of-00004" for i in range(4)]
    assert all(examples(folder, split) == examples(from_idx, split) for split in SPLITS)
    without = [name for name in (*tree_files(folder), *tree_files(from_idx)) if name.startswith("Split-")]
    assert contents(folder, without=without) == contents(from_idx, without=without)


def test_a_shard_without_rows_is_written_too(data, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "SHARD_PIXELS", 400)
    few_images = (values[np.arange(400) % 12] for values in data)
    folder = ingest(tmp_path / "root", properties(idx_part(tmp_path / "data", *few_images)))
    sizes = [path.stat().st_size for path in sorted((folder / "Split-train").iterdir())]
    assert len(sizes) == 14
    assert 0 in sizes


def test_rows_by_number_run_on_over_several_files(data, tmp_path):
    parts = [
        csv_part(tmp_path / "data", *(values[start : start + 200] for values in data), name=f"train-{start}")
        for start in (0, 200)
    ]
    folder = ingest(tmp_path / "root", properties(*parts, form="csv", split="rows:150,100"))
    images, labels = (values[150:250] for values in data)
    assert sorted(examples(folder, "test")) == sorted(encode(images.reshape(100, -1), labels))
    assert len(examples(folder, "train")) + len(examples(folder, "validation")) == 150


def test_beam_writes_what_this_process_writes_alone(from_idx, data, tmp_path):
    parts = [idx_part(tmp_path / "data", *(values[:400] for values in data))]
    parts.append(idx_part(tmp_path / "data", *(values[400:] for values in data), name="test"))
    assert contents(ingest(tmp_path / "root", properties(*parts), in_process)) == contents(from_idx)


@pytest.mark.parametrize("make_pipeline", [None, in_process], ids=["alone", "beam"])
def test_an_unusable_row_comes_as_one_line_about_the_original_file(data, tmp_path, make_pipeline):
    part = idx_part(tmp_path / "data", data[0], np.where(np.arange(500) == 33, 77, data[1]))
    with pytest.raises(BadInput, match="77") as caught:
        ingest(tmp_path / "root", properties(part), make_pipeline)
    assert str(caught.value).startswith(str(tmp_path / "data"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make_pipeline", [None, in_process], ids=["alone", "beam"])
@pytest.mark.parametrize("bad", ["10", "3.5", "x"])
def test_a_bad_label_in_a_csv_comes_with_its_line_in_the_original_file(data, tmp_path, bad, make_pipeline):
    part = csv_part(tmp_path / "data", *data, header=True)
    [file] = map(Path, part["files"])
    lines = file.read_text().splitlines()
    lines[33] = bad + lines[33][lines[33].index(",") :]
    file.write_text("\n".join(lines))
    with pytest.raises(BadInput, match=f"1 row has an unusable label: .*'{bad}' in line 34$") as caught:
        ingest(tmp_path / "root", properties(part, form="csv"), make_pipeline)
    assert str(caught.value).startswith(str(file))


def test_too_few_rows_for_three_splits_are_refused(data, tmp_path):
    part = idx_part(tmp_path / "data", *(values[:1] for values in data))
    with pytest.raises(BadInput, match="split is empty"):
        ingest(tmp_path / "root", properties(part))


def test_a_write_that_fails_is_an_environment_problem(tmp_path):
    with pytest.raises(EnvironmentProblem, match="wanted 3 bytes"):
        partial.keep(tmp_path, "no such folder/file", b"abc")


@pytest.mark.parametrize("make_pipeline", [None, in_process], ids=["alone", "beam"])
def test_a_failure_that_is_not_known_is_not_disguised(data, tmp_path, monkeypatch, make_pipeline):
    monkeypatch.setattr(shards, "digested", lambda *_: 1 // 0)
    with pytest.raises(Exception, match="integer division"):
        ingest(tmp_path / "root", properties(idx_part(tmp_path / "data", *data)), make_pipeline)


@pytest.fixture
def job_server():
    """A Beam job server whose workers are processes of their own: nothing of this process reaches them but pickles."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("localhost", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"localhost:{port}"
        server.terminate()


@pytest.mark.slow
def test_worker_processes_on_a_portable_runner_write_the_same_artifact(from_idx, data, tmp_path, job_server):
    arguments = ["--runner=PortableRunner", f"--job_endpoint={job_server}", f"--environment_type={SUBPROCESS_SDK}"]
    arguments.append(f"--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main")
    parts = [idx_part(tmp_path / "data", *(values[:400] for values in data))]
    parts.append(idx_part(tmp_path / "data", *(values[400:] for values in data), name="test"))
    folder = ingest(tmp_path / "root", properties(*parts), functools.partial(beam.Pipeline, argv=arguments))
    assert contents(folder) == contents(from_idx)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="needs the shared MNIST files")
def test_a_csv_sample_of_mnist_is_found_row_by_row_in_the_idx_files(tmp_path):
    mnist = SHARED / "mnist"
    whole = [
        {"split": part, "files": [str(mnist / f"{name}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]}
        for part, name in (("train", "train"), ("test", "t10k"))
    ]
    sample = [{"split": "train", "files": [str(mnist / "mnist_train_small.csv.gz")]}]
    all_rows = ingest(tmp_path / "idx", properties(*whole, shape=(28, 28)))
    some_rows = ingest(tmp_path / "csv", properties(*sample, form="csv", shape=(28, 28)))
    assert {s: found["rows"] for s, found in description(all_rows)["splits"].items()} == {
        "train": 54056,
        "validation": 5944,
        "test": 10000,
    }
    # A golden value: identities must not change from release to release.
    assert description(all_rows)["rows_digest"] == "29e08c5ba803203e830f7ec6ac430ccd8ce07666a8bcafd0c0fb63337944e4ae"
    known, sides = _sides(all_rows), _sides(some_rows)
    assert len(sides) == 20_000
    assert all((side == "validation") == (known[row] == "validation") for row, side in sides.items())


def _sides(folder):
    return {row.tobytes(): split for split in SPLITS for row in np.load(folder / "row_index" / f"{split}.npy")["row"]}


@pytest.mark.e2e
@pytest.mark.slow
def test_tfx_reuses_the_same_content_and_executes_for_an_edit(data, tmp_path):
    from ml_metadata.proto import metadata_store_pb2
    from tfx.orchestration import metadata, pipeline
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner

    from components.ingest.example_gen import MnistIdxExampleGen

    root, store = tmp_path / "root", tmp_path / "metadata.db"
    root.mkdir()
    folder = tmp_path / "data"

    def run(part):
        given = properties(part)
        node = MnistIdxExampleGen(source=given["source"], settings=given["settings"], code_digest="c0de")
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="p",
                pipeline_root=str(root / "artifacts"),
                components=[node.with_id("ExampleGen")],
                enable_cache=True,
                metadata_connection_config=metadata.sqlite_metadata_connection_config(str(store)),
                beam_pipeline_args=[FN_API_RUNNER, "--sdk_container_image=unused"],
            )
        )
        with metadata.Metadata(metadata.sqlite_metadata_connection_config(str(store))) as handle:
            last = max(handle.store.get_executions(), key=lambda execution: execution.id)
            return metadata_store_pb2.Execution.State.Name(last.last_known_state)

    part = idx_part(folder, *data)
    assert run(part) == "COMPLETE"
    for file in part["files"]:
        Path(file).write_bytes(gzip.compress(Path(file).read_bytes()))
        os.utime(file, (1, 1))
    assert run(part) == "CACHED"
    assert run(idx_part(tmp_path / "elsewhere", *data, suffix=".renamed")) == "CACHED"

    images = data[0].copy()
    images[0, 0, 0] ^= 1
    idx_part(folder, images, data[1])
    assert run(part) == "COMPLETE"


def row_digests(folder):
    return [row.tobytes().hex() for split in SPLITS for row in np.load(folder / "row_index" / f"{split}.npy")["row"]]


@pytest.mark.parametrize("split", [HashSplit(), "tail:50", "rows:300,80"], ids=str)
def test_rows_are_left_out_by_digest_and_all_others_stay_where_they_were(tmp_path, data, split):
    images, labels = data
    parts = [idx_part(tmp_path / "data", images[:400], labels[:400])]
    if split == "tail:50":
        parts.append(idx_part(tmp_path / "data", images[400:], labels[400:], name="test"))
    whole = ingest(tmp_path / "whole", properties(*parts, split=split))
    before = {name: np.load(whole / "row_index" / f"{name}.npy") for name in SPLITS}
    away = [before[name]["row"][number].tobytes().hex() for name in SPLITS for number in (0, 3)]
    folder = ingest(tmp_path / "less", properties(*parts, split=split, exclude=(*away, "0" * 63 + "1")))
    for name in SPLITS:
        after = np.load(folder / "row_index" / f"{name}.npy")
        kept = [row for row in before[name] if row["row"].tobytes().hex() not in away]
        assert [row.tobytes() for row in after] == [row.tobytes() for row in kept]
        assert len(examples(folder, name)) == len(before[name]) - 2
    assert description(folder)["excluded"] == {
        "digests": 7,
        "rows": 6,
        "splits": dict.fromkeys(SPLITS, 2),
        "unmatched": ["0" * 63 + "1"],
    }
    assert "excluded" not in description(whole)


def test_a_row_that_is_there_twice_is_left_out_twice_and_one_that_no_split_takes_is_matched(tmp_path, data):
    images, labels = (np.concatenate([values[:400], values[:1], values[450:451]]) for values in data)
    part = idx_part(tmp_path / "data", images, labels)
    whole = ingest(tmp_path / "whole", properties(part))
    twice, last = (digest_of(images[number], int(labels[number])) for number in (0, 401))
    assert row_digests(whole).count(twice) == 2
    less = ingest(tmp_path / "less", properties(part, exclude=(twice,)))
    assert twice not in row_digests(less)
    assert description(less)["excluded"]["rows"] == 2
    # The 300 and 80 rows that this recipe takes end before the last one.
    counted = ingest(tmp_path / "counted", properties(part, split="rows:300,80", exclude=(last,)))
    assert description(counted)["excluded"]["rows"] == 0
    assert description(counted)["excluded"]["unmatched"] == []


def digest_of(image, label):
    return row_digest(row_prefix(*SHAPE), image.tobytes(), label).hex()


def test_a_split_that_is_empty_without_what_is_left_out_is_refused(tmp_path, data):
    images, labels = data
    part = idx_part(tmp_path / "data", images[:40], labels[:40])
    whole = ingest(tmp_path / "whole", properties(part))
    test = [row.tobytes().hex() for row in np.load(whole / "row_index" / "test.npy")["row"]]
    with pytest.raises(BadInput, match="the test split is empty"):
        ingest(tmp_path / "less", properties(part, exclude=tuple(test)))
