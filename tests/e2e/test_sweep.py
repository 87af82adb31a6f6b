"""A sweep on the digits, side by side: one diverges, a signal ends it, and what it trains is what a run alone trains."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import PROJECT, mnist_tfx

pytestmark = pytest.mark.e2e

DIVERGES = {"name": "sgd", "learning_rate": 1000, "schedule": "constant"}
TRAINS = {"name": "adam", "learning_rate": 0.003}
SWEEP = (
    *("--sweep", f"autoencoder.optimizer={json.dumps([DIVERGES, TRAINS])}"),
    *("--set", "autoencoder.output_activation=linear", "--set", "evaluation.reconstruction_mse=1.0"),
)
SEEDS = ("--sweep", "seed=[0,1]", "--jobs", "2")


def ledger(root):
    with contextlib.suppress(OSError):
        return [
            json.loads(line)
            for line in (root / "ledger.jsonl").read_text().splitlines(keepends=True)
            if line[-1:] == "\n"
        ]
    return []


def training(root):
    """How many Autoencoders were at work at a time, at most."""
    open_, most = set(), 0
    for line in ledger(root):
        if line["node"] == "Autoencoder":
            open_ = open_ | {line["sequence"]} if line["event"] == "intent" else open_ - {line["intent"]}
            most = max(most, len(open_))
    return most


def model(root, run_id):
    """The digest of what a run's Classifier trained, by the records."""
    [run] = [run for run in mnist_tfx("runs", "list", "--root", root, "--json").json["runs"] if run["run_id"] == run_id]
    [record] = [node["record"] for node in run["nodes"] if node["id"] == "Classifier"]
    return json.loads((root / "records" / f"{record}.json").read_text())["outputs"]["model"][0]["sha256"]


def require_whole(root, versions):
    audits = mnist_tfx("lineage", "audit", "--root", root, "--json").json["audits"]
    assert len(audits) == versions
    for audit in audits:
        assert {audit["verdicts"][name] for name in ("INTEGRITY", "COMPLETENESS")} == {"PASS"}


def test_a_sweep_pushes_the_best_by_validation_and_tells_of_all(root, digits_folder):
    command = ("run", "--data", digits_folder, "--root", root, *SWEEP, "--json")
    answer = mnist_tfx(*command)
    assert answer.code == 0, answer.err
    failed, best = answer.json["candidates"]
    assert (failed["state"], failed["validation_accuracy"], failed["version"]) == ("failed", None, None)
    assert (best["state"], best["version"], answer.json["chosen"]) == ("pushed", 2, 1)
    assert best["validation_accuracy"] > 0.9

    runs = mnist_tfx("runs", "list", "--root", root, "--json").json["runs"]
    assert [run["status"] for run in runs] == ["ok", "failed", "candidate", "ok"]
    chosen = runs[-1]["sweep"]
    assert (chosen["role"], chosen["values"]) == ("chosen", {"autoencoder.optimizer": TRAINS})
    assert [one["run_id"] for one in chosen["candidates"]] == [failed["run_id"], best["run_id"]]
    states = {node["id"]: node["state"] for node in runs[2]["nodes"]}
    assert (states["ExampleGen"], states["Classifier"], states["Pusher"]) == ("cached", "executed", "skipped")
    states = {node["id"]: node["state"] for node in runs[3]["nodes"]}
    assert (states["Classifier"], states["Evaluator"], states["Pusher"]) == ("cached", "cached", "executed")

    choice = mnist_tfx("lineage", "show", "--root", root, "--json").json["choice"]
    assert [one["run_id"] for one in choice["candidates"]] == [failed["run_id"], best["run_id"]]
    require_whole(root, versions=2)
    again = mnist_tfx(*command)
    assert (again.code, again.json["candidates"][1]["version"]) == (0, 2)


def test_ctrl_c_ends_all_candidates_and_the_same_command_goes_on_to_what_a_run_alone_trains(
    first_run, digits_folder, tmp_path
):
    root = tmp_path / "root"
    command = ("run", "--data", digits_folder, "--root", root, *SEEDS, "--json")
    interrupted, answer, took = end_while_two_train(root, command)
    assert (interrupted, answer["status"], took < 10) == (128 + signal.SIGINT, "interrupted", True)
    assert [one["state"] for one in answer["data"]["candidates"]] == ["interrupted", "interrupted"]
    with sqlite3.connect(root / "metadata.db") as store:
        [(running,)] = store.execute("SELECT count(*) FROM Execution WHERE last_known_state IN (1, 2)")
    lines = ledger(root)
    settled = {line["intent"] for line in lines if line["event"] in ("commit", "lost")}
    assert (running, settled) == (0, {line["sequence"] for line in lines if line["event"] == "intent"})

    finished = mnist_tfx(*command)
    assert finished.code == 0, finished.err
    first, second = finished.json["candidates"]
    assert {first["state"], second["state"]} == {"pushed", "not chosen"}
    alone = first_run[1].json["run_id"]
    assert model(root, first["run_id"]) == model(first_run[0], alone) != model(root, second["run_id"])
    require_whole(root, versions=1)


def end_while_two_train(root, command):
    """Run a command as a terminal would, send Ctrl-C while two trainings are under way, and return how it ended."""
    words = [sys.executable, "-m", "pipeline", *map(str, command)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=PROJECT, start_new_session=True, **streams) as process:
        while training(root) < 2:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        sent = time.monotonic()
        out, _ = process.communicate(timeout=60)
        took = time.monotonic() - sent
    deadline = time.monotonic() + 5
    while (left := alive_in(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    return process.returncode, json.loads(out), took


def alive_in(session):
    """The command lines of processes of a session; one that has ended and is still to be reaped has none."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(folder.name)) == session and (line := (folder / "cmdline").read_text()):
                found.append(line)
    return found
