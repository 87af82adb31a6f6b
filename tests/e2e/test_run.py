"""A whole run on the digits: what it leaves behind, what a second one reuses, and why."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROJECT, checked, mnist_tfx

from components.digest import tree_digest
from pipeline.stages import STAGES

pytestmark = pytest.mark.e2e


def test_a_first_run_executes_every_node_and_serves_version_1(first_run):
    root, answer = first_run
    assert answer.states() == dict.fromkeys(answer.states(), "executed")
    assert set(answer.states()) == set(STAGES)
    assert answer.json["version"] == 1
    assert (root / "serving" / "1" / "saved_model.pb").is_file()


def test_the_answer_fits_its_committed_schema(first_run):
    assert (first_run[1].status, first_run[1].envelope["command"]) == ("ok", "run")


def test_the_digits_are_classified_well_enough(first_run):
    assert first_run[1].json["metrics"]["accuracy"] >= 0.94


def test_a_missing_baseline_is_recorded_as_none(first_run):
    assert first_run[1].json["baseline"] == "none"


def test_the_served_version_is_the_trained_model_byte_for_byte(first_run):
    root, _ = first_run
    [model] = (root / "artifacts" / "Classifier" / "model").iterdir()
    assert tree_digest(root / "serving" / "1") == tree_digest(model / "Format-Serving")


def test_a_second_run_executes_nothing_and_serves_the_same_version(root, digits_folder):
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert set(answer.states().values()) == {"cached"}
    assert answer.json["version"] == 1
    assert [path.name for path in (root / "serving").iterdir() if path.name.isdecimal()] == ["1"]


def test_a_trace_shows_planning_executors_digests_and_the_report_of_every_process(root, digits_folder, tmp_path):
    path = tmp_path / "trace.json"
    forced = ("--force", "Pusher")
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, *forced, "--trace", path, "--json")
    assert answer.states()["Pusher"] == "executed"
    events = json.loads(path.read_text())["traceEvents"]
    processes = {event["pid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    names = {(processes[event["pid"]], event["name"]) for event in events if event["ph"] == "X"}
    assert {
        ("mnist-tfx run", name)
        for name in (
            "importing TensorFlow and TFX",
            "Transform: planning",
            "Pusher: driver and publisher",
            "Pusher: executor",
            "Pusher: digests and record",
            "writing the report",
        )
    } <= names
    assert "mnist-tfx run: importing TensorFlow and TFX" in answer.err


@pytest.mark.fault(20)
def test_renamed_touched_and_gzipped_data_is_the_same_data(root, digits_folder, tmp_path):
    elsewhere = tmp_path / "other-name"
    elsewhere.mkdir()
    for source, target in (
        ("train-images-idx3-ubyte", "train-images.idx3-ubyte.gz"),
        ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte.gz"),
    ):
        (elsewhere / target).write_bytes(gzip.compress((digits_folder / source).read_bytes()))
    answer = mnist_tfx("run", "--data", elsewhere, "--root", root, "--json")
    assert set(answer.states().values()) == {"cached"}
    assert set(answer.json["payload_digests"]) == {"train-images.idx3-ubyte.gz", "train-labels.idx1-ubyte.gz"}


@pytest.mark.fault(19)
def test_an_edit_of_the_same_size_with_its_time_restored_is_seen(root, digits_folder, tmp_path):
    edited = tmp_path / "edited"
    shutil.copytree(digits_folder, edited)
    images = edited / "train-images-idx3-ubyte"
    before = images.stat()
    data = bytearray(images.read_bytes())
    data[100] -= 1  # from 16, the largest that a pixel may be
    images.write_bytes(data)
    os.utime(images, ns=(before.st_atime_ns, before.st_mtime_ns))
    answer = mnist_tfx("run", "--data", edited, "--root", root, "--dry-run", "--json")
    assert answer.states()["ExampleGen"] == "execute"
    assert "input_base changed" in answer.why()["ExampleGen"]
    assert list(answer.json["rows"]) == ["train", "validation", "test"]
    assert sum(answer.json["rows"].values()) == 1797


def test_a_dry_run_says_what_a_setting_changes_and_writes_nothing(root, digits_folder):
    before = tree_digest(root)
    answer = mnist_tfx(
        "run", "--data", digits_folder, "--root", root, "--set", "classifier.epochs=3", "--dry-run", "--json"
    )
    states, why = answer.states(), answer.why()
    assert [node for node, state in states.items() if state == "execute"] == [
        "Classifier",
        "Baseline",
        "Evaluator",
        "SavedModelCheck",
        "Pusher",
    ]
    assert why["Classifier"].startswith("epochs changed: ")
    assert why["Evaluator"].endswith("executes")
    assert tree_digest(root) == before


def test_the_log_has_the_events_of_a_run_and_little_else(first_run):
    root, answer = first_run
    log = Path(answer.json["log"])
    events = [line.split(" mnist-tfx ")[1] for line in log.read_text().splitlines() if " mnist-tfx " in line]
    for node in answer.states():
        begun = next(n for n, event in enumerate(events) if event.startswith(f"{node}: start, node "))
        assert any(event.startswith(f"{node}: executed ") for event in events[begun:])
    assert any(event.startswith("Classifier: epoch 1/") for event in events)
    assert [event for event in events if "published" in event] == ["Pusher: published version 1"]
    assert "run: ends, ok" in events
    known = ("ArtifactQuery.property_predicate", "Could not find a compatible bson", "Unable to register cuFFT")
    assert [line for line in log.read_text().splitlines() if any(noise in line for noise in known)] == []
    assert (list(log.parent.glob("*.running")), log.parent.parent) == ([], root)


def test_force_executes_a_node_and_what_depends_on_it(root, digits_folder):
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--force", "Evaluator", "--json")
    executed = [node for node, state in answer.states().items() if state == "executed"]
    assert executed == ["Evaluator", "Pusher"]
    assert answer.json["version"] == 1  # the very same bytes are served already


@pytest.mark.fault(18)
def test_a_changed_byte_in_a_cached_artifact_is_computed_again_with_a_warning(root, digits_folder):
    [schema] = (root / "artifacts" / "ReviewedSchema" / "schema").iterdir()
    with (schema / "schema.pbtxt").open("a") as file:
        file.write("# by hand\n")
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--dry-run", "--json")
    assert answer.states()["ReviewedSchema"] == "execute"
    assert "changed on disk (changed: schema.pbtxt)" in answer.why()["ReviewedSchema"]


def test_a_moved_root_still_reuses_everything(root, digits_folder, tmp_path):
    moved = tmp_path / "moved"
    root.rename(moved)
    answer = mnist_tfx("run", "--data", digits_folder, "--root", moved, "--json")
    assert set(answer.states().values()) == {"cached"}


def test_lineage_leads_from_the_served_version_to_the_data_without_tensorflow(first_run):
    root, answer = first_run
    script = (
        "import sys; sys.argv = ['mnist-tfx', 'lineage', 'show', '--json', '--root', sys.argv[1]]\n"
        "from pipeline.cli.main import main\n"
        "try: main()\n"
        "finally: assert not {'tensorflow', 'tfx'} & set(sys.modules), 'heavy import'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    lineage = checked(json.loads(done.stdout))["data"]
    sources = {node["name"] for node in lineage["nodes"] if node["kind"] == "data"}
    assert sources == set(answer.json["payload_digests"])
    assert any(edge["channel"] == "base_model" for edge in lineage["edges"])


def test_runs_are_listed_and_shown(first_run):
    root, answer = first_run
    listed = mnist_tfx("runs", "list", "--root", root, "--json").json["runs"]
    assert [run["run_id"] for run in listed] == [answer.json["run_id"]]
    assert answer.json["run_id"] in mnist_tfx("runs", "show", "--root", root).out


def test_serving_list_shows_the_version_and_its_digest(first_run):
    root, _ = first_run
    [version] = mnist_tfx("serving", "list", "--root", root, "--json").json["versions"]
    assert version["version"] == 1
    assert version["digest"] == tree_digest(root / "serving" / "1")
    assert version["provenance"]
