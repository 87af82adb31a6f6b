"""What is said of a training that goes on: what its checkpoint and its own record hold, and nothing else."""

import json
import zipfile

import numpy as np
import pytest
from lineage.conftest import execution_record

from pipeline.provenance.artifacts import measure
from pipeline.provenance.ledger_writer import Ledger
from pipeline.runner.resumption import epochs_kept, resumed


def checkpoint(folder, history):
    folder.mkdir(exist_ok=True)
    np.savez(folder / "training.npz", history=np.array(history), variable0=np.zeros(3))
    return folder


def test_the_epochs_of_a_checkpoint_are_counted(tmp_path):
    assert epochs_kept(checkpoint(tmp_path / "key", json.dumps([{"number": 1}, {"number": 2}]))) == 2


@pytest.mark.parametrize(("rows", "kept"), [(0, None), (128, 0)])
def test_a_checkpoint_within_the_first_epoch_is_one_of_no_whole_epoch(tmp_path, rows, kept):
    np.savez(tmp_path / "training.npz", history=np.array("[]"), begun=np.array(json.dumps({"rows": rows})))
    assert epochs_kept(tmp_path) == kept


def empty_zip(folder):
    zipfile.ZipFile(folder / "training.npz", "w").close()


UNREADABLE = {
    "nothing": lambda _: None,
    "half a file": lambda folder: (folder / "training.npz").write_bytes(b"PK\x03\x04half"),
    "no bytes": lambda folder: (folder / "training.npz").write_bytes(b""),
    "an archive of nothing": empty_zip,
    "no epochs": lambda folder: checkpoint(folder, "[]"),
    "no JSON": lambda folder: checkpoint(folder, "[" * 100_000),
    "no beginning": lambda folder: np.savez(folder / "training.npz", history=np.array("[]"), begun=np.array("[1]")),
    "no list": lambda folder: checkpoint(folder, '{"number": 1}'),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_from_what_cannot_be_read_no_training_goes_on(tmp_path, kind):
    UNREADABLE[kind](tmp_path)
    assert epochs_kept(tmp_path) is None


def trained(root, text):
    (root / "run").mkdir()
    (root / "run/training.json").write_text(text)
    return execution_record(outputs={"model_run": (measure(root, "run", type_name="ModelRun"),)})


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"resumed_from_epoch": 4, "epochs_run": 8}, "resumed at epoch 5 of 8"),
        ({"resumed_from_epoch": 8, "epochs_run": 8}, "resumed after all of its 8 epochs"),
        ({"resumed_from_epoch": None, "epochs_run": 8}, None),
        ({"epochs_run": 8}, None),
        ([], None),
    ],
)
def test_what_a_training_did_is_read_from_its_own_record(tmp_path, training, said):
    assert resumed(tmp_path, trained(tmp_path, json.dumps(training))) == said


def test_work_that_a_run_began_and_a_later_one_finished_is_not_unfinished(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    ledger.lost(ledger.intent(node="Classifier", run_id="one", key="a"), why="killed")
    ledger.intent(node="Evaluator", run_id="two", key="b")
    assert ledger.chain.unfinished() == {"a": "one", "b": "two"}
    ledger.commit(ledger.intent(node="Classifier", run_id="three", key="a"), record="0" * 64)
    assert ledger.chain.unfinished() == {"b": "two"}
