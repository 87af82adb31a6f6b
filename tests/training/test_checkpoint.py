"""A checkpoint that was damaged in whatever way is a training that starts over, with a warning, and nothing worse."""

import io
import logging
import os

import numpy as np
import pytest
from mutations import COUNT, mutated

from components.training.checkpoint import Begun, Checkpoint, Snapshot
from components.training.progress import Epoch

EPOCHS = tuple(
    Epoch(number=n, loss=0.5, val_loss=0.4, metrics={"accuracy": 0.9}, learning_rate=0.1, seconds=1.0) for n in (1, 2)
)
VARIABLES = (np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((), np.int64))
BEGUN = Begun(rows=640, loss=12.5, seconds=0.25)
WHOLE = Snapshot(EPOCHS, VARIABLES, VARIABLES[:1], begun=BEGUN)


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_a_snapshot_comes_back_as_it_was():
    found = Snapshot.from_bytes(WHOLE.to_bytes())
    assert (found.epochs, found.begun) == (EPOCHS, BEGUN)
    assert [array.tolist() for array in found.variables] == [array.tolist() for array in VARIABLES]
    assert found.fits([(2, 3), ()])


@pytest.mark.parametrize(
    ("rows", "is_in"), [(0, True), (8, True), (32, True), (40, False), (4, False), (-8, False), (41, False)]
)
def test_an_epoch_is_left_between_two_batches(rows, is_in):
    assert Begun(rows=rows).is_in(40, 8) == is_in


def test_a_snapshot_from_before_epochs_were_saved_in_the_middle_is_between_two():
    found = Snapshot.from_bytes(archive(history=np.array("[]"), variable0=VARIABLES[0]))
    assert found.begun == Begun()


@pytest.mark.parametrize(
    "content",
    [
        b"PK",
        WHOLE.to_bytes()[:-30],
        archive(variable0=VARIABLES[0]),
        archive(history=np.array("[" * 3000)),
        archive(history=np.array('[{"number": 1}]')),
        archive(history=np.array("[]"), variable7=VARIABLES[0]),
        archive(history=np.array("[]"), variable0=np.array([{}], object)),
        archive(history=np.array(str([{**EPOCHS[1].to_dict()}]).replace("'", '"'))),
    ],
)
def test_a_damaged_checkpoint_is_a_restart_with_a_warning(content, tmp_path, caplog):
    (tmp_path / "training.npz").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert Checkpoint(tmp_path).load() is None
    assert "training starts over" in caplog.text


def test_a_fifo_in_the_place_of_a_checkpoint_is_a_restart_with_a_warning(tmp_path, caplog):
    os.mkfifo(tmp_path / "training.npz")
    with caplog.at_level(logging.WARNING):
        assert Checkpoint(tmp_path).load() is None
    assert "not a regular file" in caplog.text


def test_no_checkpoint_is_no_warning(tmp_path, caplog):
    assert Checkpoint(tmp_path).load() is None
    assert not caplog.text


def test_best_weights_of_another_network_do_not_fit():
    assert not Snapshot(EPOCHS, VARIABLES, (np.zeros((4, 4)),)).fits([(2, 3), ()])


def test_whatever_was_done_to_a_checkpoint_it_is_a_snapshot_or_none():
    data = WHOLE.to_bytes()
    found = [Snapshot.from_bytes(mutated(data, number)) for number in range(COUNT)]
    assert None in found
    assert all(one is None or isinstance(one.fits([(2, 3), ()]), bool) for one in found)
