"""A sweep on the digits: one candidate diverges, another is served, and the lineage tells of both."""

import json

import pytest
from command_line import mnist_tfx

pytestmark = pytest.mark.e2e

DIVERGES = {"name": "sgd", "learning_rate": 1000, "schedule": "constant"}
TRAINS = {"name": "adam", "learning_rate": 0.003}
SWEEP = (
    *("--sweep", f"autoencoder.optimizer={json.dumps([DIVERGES, TRAINS])}"),
    *("--set", "autoencoder.output_activation=linear", "--set", "evaluation.reconstruction_mse=1.0"),
)


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

    audits = mnist_tfx("lineage", "audit", "--root", root, "--json").json["audits"]
    assert len(audits) == 2
    for audit in audits:
        assert {audit["verdicts"][name] for name in ("INTEGRITY", "COMPLETENESS")} == {"PASS"}
    again = mnist_tfx(*command)
    assert (again.code, again.json["candidates"][1]["version"]) == (0, 2)
