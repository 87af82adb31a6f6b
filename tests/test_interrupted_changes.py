"""Signals between a change that others see and its record: both are there in the end, or neither is."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from command_line import PROJECT, checked, mnist_tfx
from lineage.audited_copy import audited_copy
from lineage.staged_root import staged_copy

from components.schema_files import approvals, find_reviewed
from pipeline.maintenance.orphans import orphans
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.root.paths import RunPaths

SEEDS = range(3)


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


def start(*arguments):
    command = [sys.executable, "-m", "pipeline", *map(str, arguments), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT)


def signalled(number, event, paths, *arguments, seed, node=None):
    """Runs a command and sends it a signal up to 80 ms after a line of the ledger; returns exit code and answer."""
    before = len(read_ledger(paths.ledger).lines)
    process = start(*arguments)
    deadline = time.monotonic() + 300
    while not any(
        line.event == event and node in (None, line.node) for line in read_ledger(paths.ledger).lines[before:]
    ):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    time.sleep(random.Random(seed).uniform(0, 0.08))
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return process.returncode, checked(json.loads(out))["data"] if out else None


def served(paths):
    return {int(folder.name) for folder in paths.serving.iterdir() if folder.name.isdecimal()}


def recorded(paths):
    lines = read_ledger(paths.ledger).lines
    gone = {line.details["version"] for line in lines if line.event == Event.PRUNED}
    return {line.details["version"] for line in lines if line.event == Event.PUSHED} - gone


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_rollback_that_is_interrupted_is_served_and_recorded(paths, number, seed):
    code, answer = signalled(number, Event.INTENT, paths, "serving", "rollback", 1, "--root", paths.root, seed=seed)
    assert code in (128 + number, 0)  # 0: it had ended before
    assert answer["version"] == 3
    assert served(paths) == recorded(paths) == {1, 2, 3}
    assert read_ledger(paths.ledger).unsettled() == ()
    assert orphans(paths.root, pytest.fail) == ()
    assert_whole(paths)


@pytest.mark.parametrize("seed", range(6))
def test_after_kill_9_of_a_rollback_the_next_command_recovers(paths, seed):
    signalled(signal.SIGKILL, Event.INTENT, paths, "serving", "rollback", 1, "--root", paths.root, seed=seed)
    versions = served(paths)
    if versions != recorded(paths):
        assert mnist_tfx("lineage", "audit", max(versions), "--root", paths.root).code == 1
    collected = mnist_tfx("lineage", "gc", "--root", paths.root, "--keep-runs", 99)
    assert collected.code == 0, collected.err
    assert served(paths) == recorded(paths) == versions
    assert read_ledger(paths.ledger).unsettled() == ()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_prune_that_is_interrupted_has_removed_what_the_ledger_calls_pruned(paths, number):
    code, _ = signalled(number, Event.PRUNED, paths, "serving", "prune", "--keep", 1, "--root", paths.root, seed=number)
    assert code in (128 + number, 0)
    assert served(paths) == recorded(paths) == {2}
    assert orphans(paths.root, pytest.fail) == ()
    assert_whole(paths)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_promotion_that_is_stopped_is_in_service_and_recorded_or_still_staged(tmp_path, number):
    paths = staged_copy(tmp_path / "root")
    command = ("serving", "promote", 3, "--root", paths.root)
    code, _ = signalled(number, Event.PROMOTING, paths, *command, seed=number)
    assert code in (128 + number, -number, 0)
    assert mnist_tfx("lineage", "repair", "--root", paths.root).code == 0
    lines = [line.event for line in read_ledger(paths.ledger).lines]
    staged = (paths.staged / "3").is_dir()
    assert (3 in served(paths), lines.count(Event.PROMOTED)) == ((False, 0) if staged else (True, 1))
    assert not staged or number == signal.SIGKILL
    assert orphans(paths.root, pytest.fail) == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_repair_that_is_interrupted_is_done(paths, seed):
    shutil.copytree(paths.serving / "1", paths.serving / "3")
    code, answer = signalled(signal.SIGTERM, Event.INTENT, paths, "lineage", "repair", "--root", paths.root, seed=seed)
    assert code in (143, 0)
    # A signal between the last repair and the answer leaves no answer; what was repaired is repaired all the same.
    assert answer is None or next(one["kind"] for one in answer["repairs"]) == "attached"
    assert served(paths) == recorded(paths) == {1, 2, 3}
    assert orphans(paths.root, pytest.fail) == ()


def assert_whole(paths, *version):
    """The policy also wants a clean checkout, which a developer's is not."""
    out = " ".join(mnist_tfx("lineage", "audit", *version, "--root", paths.root).out.split())
    assert "INTEGRITY PASS" in out
    assert "COMPLETENESS PASS" in out


def when(happened, number, *arguments):
    """Runs a command and sends it a signal as soon as something has happened; returns exit code and what it said."""
    process = start(*arguments)
    while not happened():
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    return process.returncode, err.splitlines()


@pytest.fixture
def littered(paths):
    """A root with garbage that takes some tenths of a second to remove: of its own, and somebody's 20,000 files."""
    assert mnist_tfx("serving", "prune", "--keep", 1, "--root", paths.root).code == 0
    stray = paths.artifacts / "Stray" / "model" / "1"
    stray.mkdir(parents=True)
    for number in range(20_000):
        (stray / str(number)).touch()
    return paths


NUMBERS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_folder_that_gc_was_removing_when_a_signal_came_is_gone(littered, number):
    stray = littered.artifacts / "Stray" / "model" / "1"
    command = ("lineage", "gc", "--keep-runs", 1, "--root", littered.root)
    assert when(lambda: not (stray / "0").exists(), number, *command) == (
        128 + number, [f"mnist-tfx: interrupted by {number.name}"],
    )  # fmt: skip
    assert not stray.exists()
    assert_whole(littered)


@pytest.mark.parametrize("number", NUMBERS)
def test_what_gc_was_noting_when_a_signal_came_is_noted_and_what_is_left_goes_with_the_next(littered, number):
    command = ("lineage", "gc", "--keep-runs", 1, "--root", littered.root)
    code, said = when(lambda: read_ledger(littered.ledger).collected(), number, *command)
    assert (code, said) == (128 + number, [f"mnist-tfx: interrupted by {number.name}"])
    assert_whole(littered)
    noted = read_ledger(littered.ledger).collected()
    assert mnist_tfx(*command).code == 0
    assert read_ledger(littered.ledger).collected() == noted  # all of it, at once
    assert not any((littered.root / path).exists() for path in noted)


@pytest.mark.parametrize("number", NUMBERS)
def test_during_a_signal_a_rebuilt_store_takes_the_place_of_the_lost_one_or_leaves_it(paths, number):
    lost = b"no database" * 100
    paths.metadata.write_bytes(lost)
    new = f".{paths.metadata.name}-*"
    command = ("lineage", "rebuild", "--root", paths.root)
    code, said = when(lambda: any(paths.root.glob(new)), number, *command)
    assert (code, said) == (128 + number, [f"mnist-tfx: interrupted by {number.name}"])
    assert paths.metadata.read_bytes() == lost
    assert list(paths.root.glob(new)) == []
    assert mnist_tfx(*command).code == 0
    assert_whole(paths)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_rebuilt_store_is_in_its_place_if_the_lost_one_was_set_aside_when_a_signal_came(paths, number):
    paths.metadata.write_bytes(b"no database" * 100)
    kept = paths.metadata.with_name(f"{paths.metadata.name}.unreadable")
    code, said = when(kept.exists, number, "lineage", "rebuild", "--root", paths.root)
    assert (code, said) in ((128 + number, [f"mnist-tfx: interrupted by {number.name}"]), (0, []))
    assert_whole(paths)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_schema_that_is_approved_during_a_signal_is_in_force_or_not_there(digits_folder, tmp_path, seed):
    drafts, mine = tmp_path / "drafts", tmp_path / "mine"
    proposed = mnist_tfx("schema", "propose", "--data", digits_folder, "--pixel-max", 16, "--to", drafts, "--json")
    draft = proposed.json["draft"]
    process = start("schema", "approve", draft, "--schema", mine)
    while not mine.is_dir() and process.poll() is None:
        time.sleep(0.001)
    time.sleep(random.Random(seed).uniform(0, 0.01))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode in (143, 0)
    for geometry in approvals(mine):
        assert find_reviewed(geometry, mine).schema.is_file()
    assert sorted(file.suffix for file in mine.iterdir()) in ([], [".json", ".json", ".pbtxt"])


@pytest.fixture
def unserved(root):
    """A root whose version was lost: the next push of its model makes another one."""
    shutil.rmtree(root / "serving" / "1")
    return RunPaths(root)


def _pushed(paths, digits_folder, number, seed):
    arguments = ("run", "--data", digits_folder, "--root", paths.root, "--force", "Pusher")
    return signalled(number, Event.INTENT, paths, *arguments, seed=seed, node="Pusher")


@pytest.mark.e2e
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_a_push_that_is_interrupted_is_served_and_recorded_or_neither(unserved, digits_folder, seed):
    code, answer = _pushed(unserved, digits_folder, signal.SIGTERM, seed)
    assert code == 143
    # Between its line in the ledger and the push the Pusher's manifest is written, which a signal may end.
    assert answer["version"] in (2, None)
    assert served(unserved) == {answer["version"]} - {None}
    assert (2 in recorded(unserved)) == (answer["version"] == 2)
    assert read_ledger(unserved.ledger).unsettled() == ()
    if answer["version"] == 2:
        assert_whole(unserved, 2)


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_after_kill_9_of_a_push_the_next_run_recovers(unserved, digits_folder, seed):
    _pushed(unserved, digits_folder, signal.SIGKILL, seed)
    if 2 in served(unserved) - recorded(unserved):
        assert mnist_tfx("lineage", "audit", "2", "--root", unserved.root).code == 1
    again = mnist_tfx("run", "--data", digits_folder, "--root", unserved.root, "--json")
    assert again.code == 0, again.err
    assert served(unserved) == {again.json["version"]}
    assert again.json["version"] in recorded(unserved)
    assert_whole(unserved, again.json["version"])


@pytest.mark.e2e
def test_a_published_intent_is_not_committed_if_its_bytes_have_changed(root, digits_folder):
    """The start of a run compares as `lineage repair` does."""
    paths = RunPaths(root)
    lines = paths.ledger.read_bytes().splitlines(keepends=True)
    evaluated = [n for n, line in enumerate(lines) if json.loads(line)["node"] == "Evaluator"]
    paths.ledger.write_bytes(b"".join(lines[: evaluated[-1]]))  # all but the Evaluator's commit, and what follows
    [evaluation] = (paths.artifacts / "Evaluator" / "evaluation").iterdir()
    with (evaluation / "metrics-00000-of-00001.tfrecord").open("ab") as file:
        file.write(b"changed")
    again = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert again.code == 0, again.err
    assert "recovered from a crash: lost: Evaluator" in again.err
    assert again.states()["Evaluator"] == "executed"
