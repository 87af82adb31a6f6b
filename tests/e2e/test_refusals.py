"""Data and models that must not get through: the run stops where it should, and what is served stays."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import PROJECT, QUICK, checked, error_text, mnist_tfx
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from components.digest import tree_digest
from components.ingest import idx
from pipeline.provenance.ledger import read_ledger

pytestmark = pytest.mark.e2e


def _copy_digits(source, target, *, images=lambda pixels: pixels, labels=lambda labels: labels):
    """Writes the digits again, changed."""
    target.mkdir()
    chunks = list(idx.iter_chunks(source / "train-images-idx3-ubyte", source / "train-labels-idx1-ubyte", rows=100_000))
    pixels = np.concatenate([chunk.pixels for chunk in chunks]).reshape(-1, 8, 8)
    numbers = np.concatenate([chunk.labels for chunk in chunks])
    idx.write_images(target / "train-images-idx3-ubyte", images(pixels).astype(np.uint8))
    idx.write_labels(target / "train-labels-idx1-ubyte", labels(numbers).astype(np.uint8))
    return target


@pytest.fixture
def served(root):
    """Checks at the end that nothing which is served has changed."""
    before = tree_digest(root / "serving")
    yield root
    assert tree_digest(root / "serving") == before


@pytest.mark.fault(35)
def test_inverted_data_stops_at_the_gate_with_nothing_trained(served, digits_folder, tmp_path):
    inverted = _copy_digits(digits_folder, tmp_path / "inverted", images=lambda pixels: 16 - pixels)
    answer = mnist_tfx("run", "--data", inverted, "--root", served, "--json")
    assert answer.code == 3
    assert answer.status == "refused"
    assert answer.states()["SchemaGate"] == "failed"
    assert answer.states()["Autoencoder"] == "skipped"
    assert answer.err.count("SchemaGate: the images look inverted") == 1
    assert len(answer.envelope["error"]["facts"]) <= 3
    assert answer.envelope["error"]["commands"][0].partition(" --data ")[0].endswith("schema propose")
    assert answer.envelope["error"]["page"].endswith(".gate.json")
    log = Path(answer.json["log"]).read_text()
    assert " mnist-tfx SchemaGate: failed " in log
    assert " mnist-tfx run: ends, refused: " in log
    report = json.loads((served / "logs" / f"{answer.json['run_id']}.gate.json").read_text())
    assert not report["passed"]
    assert {"drift", "duplicates", "leaks"} <= {check["rule"] for check in report["checks"]}


def test_a_dry_run_refuses_the_data_that_a_run_would_in_one_line_and_writes_nothing(digits_folder, tmp_path):
    unlabelled = _copy_digits(digits_folder, tmp_path / "eleven", labels=lambda labels: labels + 1)
    answer = mnist_tfx("run", "--data", unlabelled, "--root", tmp_path / "new", "--dry-run")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert str(unlabelled / "train-labels-idx1-ubyte") in answer.err
    assert not (tmp_path / "new").exists()


@pytest.mark.fault(33)
@pytest.mark.slow
def test_shuffled_labels_stop_at_the_evaluators_floor(served, digits_folder, tmp_path):
    shuffled = _copy_digits(
        digits_folder, tmp_path / "shuffled", labels=lambda labels: np.random.default_rng(0).permutation(labels)
    )
    quick = ("--set", "autoencoder.epochs=2", "--set", "classifier.epochs=2")
    answer = mnist_tfx("run", "--data", shuffled, "--root", served, *quick, "--json")
    assert answer.code == 3
    assert answer.json["blessed"] is False
    assert answer.states()["Pusher"] == "skipped"
    assert "accuracy" in answer.error


def test_unreadable_data_is_one_line_and_exit_2_before_anything_is_written(digits_folder, tmp_path):
    folder = _copy_digits(digits_folder, tmp_path / "cut")
    images = folder / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    answer = mnist_tfx("run", "--data", folder, "--root", tmp_path / "r")
    assert answer.code == 2
    assert [line for line in answer.err.splitlines() if line.startswith("mnist-tfx: ")] == [answer.err.splitlines()[-1]]
    assert "train-images-idx3-ubyte" in answer.err
    assert not (tmp_path / "r" / "artifacts").exists()


def test_a_root_takes_no_second_pipeline(root, digits_folder):
    answer = mnist_tfx(
        "run", "--data", digits_folder, "--root", root, "--set", "name=another", "--recipe", "digits", "--json"
    )
    assert answer.code == 2
    assert "another pipeline lives in this root" in answer.error


def test_a_root_below_a_file_is_a_path_that_cannot_be(digits_folder, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    answer = mnist_tfx("run", "--data", digits_folder, "--root", tmp_path / "file" / "root", "--json")
    assert answer.code == 2
    assert "file is no folder" in answer.error


@pytest.mark.fault(8)
def test_a_root_that_cannot_be_written_is_exit_4_before_any_work(digits_folder, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "serving").write_text("not a folder")
    answer = mnist_tfx("run", "--data", digits_folder, "--root", tmp_path / "root", "--json")
    assert answer.code == 4
    assert answer.json is None


@pytest.mark.fault(13)
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
def test_a_lost_metadata_store_is_never_silently_started_anew(root, digits_folder, damage):
    store = root / "metadata.db"
    if damage == "missing":
        store.unlink()
    else:
        store.write_bytes(b"" if damage == "empty" else b"garbage " * 1000)
    before = store.read_bytes() if store.exists() else None
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert answer.code == 4
    assert "metadata.db" in answer.error
    assert (store.read_bytes() if store.exists() else None) == before


def _start(*arguments):
    command = [sys.executable, "-m", "pipeline", "run", *map(str, arguments), "--json"]
    return subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def _wait_for_intent(root, node, process):
    """Waits until the ledger says that `node` is about to execute."""
    ledger = root / "ledger.jsonl"
    deadline = time.monotonic() + 300
    before = ledger.read_text().count("\n") if ledger.exists() else 0
    while time.monotonic() < deadline and process.poll() is None:
        lines = ledger.read_text().splitlines()[before:] if ledger.exists() else []
        if any(json.loads(line)["event"] == "intent" and json.loads(line)["node"] == node for line in lines):
            return
        time.sleep(0.02)
    pytest.fail(f"{node} was never started: {process.communicate()[1]}")


def _children(process):
    return subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False).stdout.split()


def _trainers(process):
    """What the fork server forked: its imports start short-lived programs too, which have a command line of their own."""
    forks = ["pgrep", "-f", "pipeline.process.forkserver", "-P"]
    found = [
        subprocess.run([*forks, child], capture_output=True, text=True, check=False) for child in _children(process)
    ]
    return [int(pid) for fork in found for pid in fork.stdout.split()]


def _running(root):
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(root / "metadata.db")
    store = metadata_store.MetadataStore(config)
    return [e for e in store.get_executions() if e.last_known_state == metadata_store_pb2.Execution.RUNNING]


@pytest.mark.fault(1, 2, 4)
@pytest.mark.slow
@pytest.mark.parametrize(
    "node",
    ["ExampleGen", "StatisticsGen", "SchemaGate", "Transform", "Autoencoder", "Classifier", "Evaluator", "Pusher"],
)
def test_after_kill_9_in_a_node_the_same_command_finishes_the_run(root, digits_folder, node):
    process = _start("--data", digits_folder, "--root", root, "--force", node)
    _wait_for_intent(root, node, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert again.code == 0, again.err
    assert _running(root) == []
    # A quick node may have been published before the signal came: then its intent is committed, otherwise given up.
    assert read_ledger(root / "ledger.jsonl").unsettled() == ()
    assert mnist_tfx("lineage", "orphans", "--root", root, "--json").status in ("ok", "findings")


@pytest.mark.fault(3)
@pytest.mark.slow
def test_kill_9_of_a_trainers_process_is_one_line_and_the_next_run_goes_on(root, digits_folder):
    process = _start("--data", digits_folder, "--root", root, "--force", "Autoencoder")
    _wait_for_intent(root, "Autoencoder", process)
    deadline = time.monotonic() + 60
    killed, before = False, set()
    while not killed and time.monotonic() < deadline:
        time.sleep(0.2)  # the fork server imports the engines first
        found = set(_trainers(process.pid))
        # One that is between its fork and a program of its own is gone by the second look.
        for trainer in found & before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(trainer, signal.SIGKILL)
                killed = True
        before = found
    assert killed, "the Trainer has a process of its own"
    out, err = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "its process was killed by SIGKILL" in error_text(checked(json.loads(out)))
    assert "Traceback" not in err
    again = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert again.code == 0, again.err


@pytest.mark.fault(9)
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_leaves_nothing_running_and_no_lock(root, digits_folder, number):
    process = _start("--data", digits_folder, "--root", root, "--force", "StatisticsGen")
    _wait_for_intent(root, "StatisticsGen", process)
    if number == signal.SIGTERM:  # as `runs stop` sends it
        stopped = mnist_tfx("runs", "stop", "--root", root, "--json")
        assert (stopped.status, stopped.json["status"]) == ("ok", "interrupted")
    else:
        process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert checked(json.loads(out))["status"] == "interrupted"
    assert _running(root) == []
    assert mnist_tfx("run", "--data", digits_folder, "--root", root, "--json").code == 0


@pytest.mark.fault(10)
@pytest.mark.slow
def test_of_two_runs_at_once_one_waits_and_says_so(root, digits_folder):
    first = _start("--data", digits_folder, "--root", root, "--force", "StatisticsGen")
    _wait_for_intent(root, "StatisticsGen", first)
    second = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    first.communicate(timeout=120)
    assert (first.returncode, second.code) == (0, 0)
    assert "another run is writing" in second.err


@pytest.mark.fault(7)
@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [600, 1500, 2500])
def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(digits_folder, tmp_path, kilobytes):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs a tmpfs of its own, which takes root")
    try:
        command = ("run", "--data", digits_folder, "--root", disk / "root", *QUICK, "--json")
        full = mnist_tfx(*command)
        assert full.code == 4
        assert "no space left" in full.error
        assert not list((disk / "root").glob("serving/[0-9]*"))
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        again = mnist_tfx(*command)
        assert (again.code, again.json["version"]) == (0, 1)
    finally:
        subprocess.run(["umount", disk], check=True)
