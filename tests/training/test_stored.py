"""Rows in files are shuffled within bounds, shared out among workers, and trained on as rows in memory are."""

import dataclasses
import errno
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.errors import BadInput, EnvironmentProblem
from components.settings import TrainingSettings
from components.training import fit as fitting
from components.training.checkpoint import Begun, Checkpoint
from components.training.fit import fit, seed_everything
from components.training.resident import ResidentPairs
from components.training.stored import StoredPairs, store
from components.training.task import Shuffle, Task

ROWS = 1000
INPUTS = np.random.default_rng(5).normal(size=(ROWS, 3)).astype(np.float32)
NUMBERS = np.arange(ROWS, dtype=np.int64)[:, np.newaxis]
FIRST, SECOND = Shuffle(seed=1, epoch=1), Shuffle(seed=1, epoch=2)
WINDOW = 4000
"""Some 200 rows of INPUTS and NUMBERS."""


def on_disk(*arrays, cut=617, **fields):
    part = store([[tf.constant(array[:cut]) for array in arrays], [tf.constant(array[cut:]) for array in arrays]])
    return StoredPairs((part,), len(arrays[0]), window_bytes=WINDOW, **fields)


def shares(workers, start=0, stop=ROWS):
    """Returns the rows from `start` on as each of some workers has them."""
    numbers = np.arange(start, stop)
    parts = [numbers[numbers % workers == worker] for worker in range(workers)]
    return [
        dataclasses.replace(
            on_disk(INPUTS[own], NUMBERS[own], cut=7, worker=worker, workers=workers), rows=len(numbers)
        )
        for worker, own in enumerate(parts)
    ]


def batches(pairs, batch=64, shuffle=None, start=0):
    feed = pairs.feed(batch, shuffle, start=start)
    read = tf.function(lambda at: pairs.next_batch(feed, at, batch), autograph=False)
    return [read(tf.constant(at)) for at in range(start, len(pairs), batch)]


def numbers(found):
    return [int(number) for batch in found for number in batch.targets[: int(batch.here), 0]]


def test_rows_come_from_disk_as_they_were_written_in_batches_of_which_the_last_is_smaller():
    found = batches(on_disk(INPUTS, NUMBERS))
    assert [len(batch.inputs) for batch in found] == [64] * 15 + [40]
    np.testing.assert_array_equal(np.concatenate([batch.inputs for batch in found]), INPUTS)
    np.testing.assert_array_equal(np.concatenate([batch.targets for batch in found]), NUMBERS)


def test_every_epoch_has_every_row_once_and_an_order_of_its_own_that_follows_from_its_number():
    pairs = on_disk(INPUTS, NUMBERS)
    first, again, second = (numbers(batches(pairs, shuffle=order)) for order in (FIRST, FIRST, SECOND))
    assert first == again
    assert first != second
    assert sorted(first) == sorted(second) == list(range(ROWS))


def test_a_batch_has_rows_from_far_apart():
    for batch in batches(on_disk(INPUTS, NUMBERS), shuffle=FIRST)[:-1]:
        assert np.ptp(batch.targets) > ROWS / 3


@pytest.mark.parametrize("shuffle", [None, FIRST])
@pytest.mark.parametrize("start", [64, 192, 832, 960])
def test_an_epoch_is_taken_up_at_any_of_its_batches(start, shuffle):
    pairs = on_disk(INPUTS, NUMBERS)
    rest = numbers(batches(pairs, shuffle=shuffle, start=start))
    assert rest == numbers(batches(pairs, shuffle=shuffle))[start:]


@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize("batch", [5, 63, 64, 999])
def test_workers_share_out_each_batch_and_have_all_of_it_together(workers, batch):
    """In the end, 999 rows of 1,000 leave one row for one of them."""
    of_workers = [batches(pairs, batch, FIRST) for pairs in shares(workers)]
    assert sorted(number for found in of_workers for number in numbers(found)) == list(range(ROWS))
    for step, together in enumerate(zip(*of_workers, strict=True)):
        rows = min(batch, ROWS - step * batch)
        assert [int(one.rows) for one in together] == [rows] * workers
        assert sum(int(one.here) for one in together) == rows
        assert all(len(one.inputs) == max(1, int(one.here)) for one in together)


def test_a_worker_takes_up_its_own_share_of_an_epoch():
    pairs = shares(3)[1]
    whole, rest = batches(pairs, 64, FIRST), batches(pairs, 64, FIRST, start=320)
    assert numbers(rest) == numbers(whole[5:])


def test_the_rows_of_two_splits_are_shared_out_as_those_of_one():
    joined = [one.followed_by(other) for one, other in zip(shares(3, stop=400), shares(3, start=400), strict=True)]
    found = [numbers(batches(pairs, 64, FIRST)) for pairs in joined]
    assert sorted(number for one in found for number in one) == list(range(ROWS))
    assert [len(pairs) for pairs in joined] == [ROWS] * 3


def test_a_worker_validates_its_own_rows_alone():
    assert [numbers(batches(pairs.own())) for pairs in shares(2)] == [[*range(0, ROWS, 2)], [*range(1, ROWS, 2)]]


def test_fewer_rows_in_a_batch_than_workers_are_refused():
    with pytest.raises(BadInput, match="wanted at least 3, got 2"):
        shares(3)[0].feed(2)


def test_what_is_computed_once_is_written_to_disk_too():
    doubled = on_disk(INPUTS, NUMBERS).map(lambda inputs, targets: (inputs * 2, targets)).materialised()
    assert isinstance(doubled, StoredPairs)
    np.testing.assert_array_equal(np.concatenate([batch.inputs for batch in batches(doubled)]), INPUTS * 2)


def test_a_full_disk_is_named(monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(EnvironmentProblem, match="no space left"):
        on_disk(INPUTS)


NO_CHECKPOINT = Checkpoint(None)
SETTINGS = TrainingSettings(batch=64, epochs=3)
TARGETS = INPUTS.sum(axis=1, keepdims=True)


class _Ordered(ResidentPairs):
    """Rows in memory, in the order in which rows in files come."""

    def feed(self, batch, shuffle=None, **_):
        order = numbers(batches(on_disk(INPUTS, NUMBERS), batch, shuffle))
        return tf.constant(order, tf.int32)


def task(pairs):
    seed_everything(SETTINGS)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.2, seed=1), keras.layers.Dense(1)])
    return Task("toy", model, keras.losses.MeanSquaredError(reduction=None), pairs, pairs)


def trained(work, folder, checkpoint=NO_CHECKPOINT):
    training = fit(work, SETTINGS, checkpoint=checkpoint, log_folder=str(folder))
    return (
        [epoch.val_loss for epoch in training.epochs],
        [epoch.loss for epoch in training.epochs],
        *(work.model.get_weights()),
    )


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_training_from_disk_ends_in_the_weights_of_one_from_memory_in_the_same_order(tmp_path):
    targets = TARGETS.astype(np.float64)  # rows as long as those with NUMBERS
    as_float = lambda inputs, targets: (inputs, tf.cast(targets, tf.float32))  # noqa: E731
    memory = _Ordered(tf.constant(INPUTS), tf.constant(targets), as_float)
    disk = on_disk(INPUTS, targets).map(as_float)
    assert_same(trained(task(disk), tmp_path), trained(task(memory), tmp_path))


@dataclasses.dataclass(frozen=True)
class _Killed(Checkpoint):
    epochs: int

    def save(self, snapshot):
        super().save(snapshot)
        if (len(snapshot.epochs), snapshot.begun.rows) == (self.epochs, 256):
            raise KeyboardInterrupt


@pytest.mark.parametrize(("kind", "epochs"), [("memory", 1), ("disk", 1), ("disk", 0)])
def test_a_training_killed_within_an_epoch_ends_in_the_weights_of_one_that_was_not(tmp_path, monkeypatch, kind, epochs):
    monkeypatch.setattr(fitting, "SAVED_ROWS", 128)
    pairs = on_disk(INPUTS, TARGETS) if kind == "disk" else ResidentPairs(tf.constant(INPUTS), tf.constant(TARGETS))
    whole = trained(task(pairs), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        trained(task(pairs), tmp_path, _Killed(tmp_path / "checkpoint", epochs))
    assert Checkpoint(tmp_path / "checkpoint").load().begun.rows == 256
    assert_same(trained(task(pairs), tmp_path, Checkpoint(tmp_path / "checkpoint")), whole)


def test_a_checkpoint_from_between_no_two_batches_is_a_training_that_starts_over(tmp_path):
    kept = Checkpoint(tmp_path / "checkpoint")
    pairs = on_disk(INPUTS, TARGETS)
    whole = trained(task(pairs), tmp_path, kept)
    kept.save(dataclasses.replace(kept.load(), epochs=(), begun=Begun(rows=1)))
    assert_same(trained(task(pairs), tmp_path, kept), whole)


def test_saving_within_an_epoch_changes_nothing(tmp_path, monkeypatch):
    pairs = on_disk(INPUTS, TARGETS)
    whole = trained(task(pairs), tmp_path)
    monkeypatch.setattr(fitting, "SAVED_ROWS", 64)
    assert_same(trained(task(pairs), tmp_path), whole)
