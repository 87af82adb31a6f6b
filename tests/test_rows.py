"""Digests, splits and shards of rows: what they depend on, and what they do not."""

from __future__ import annotations

import hashlib
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import BadInput
from components.features import SPLITS
from components.ingest import rows as rows_module
from components.ingest.chunk import Chunk
from components.ingest.rows import (
    Assignment,
    by_digest,
    check_counts,
    check_split,
    digested,
    shard_count,
    shard_numbers,
)
from components.settings import DataSettings, HashSplit
from pipeline.config.recipe import load_recipe

DATA = DataSettings(shape=(3, 2), pixel_max=255)
TRAIN, VALIDATION, TEST = range(3)


def random_rows(count, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, DATA.pixels), dtype=np.uint8)
    return digested(Chunk(start=0, pixels=pixels, labels=rng.integers(0, 10, count)), DATA)


def codes(rows, split=None, *, part="train", start=0, **totals):
    return Assignment(split=split or HashSplit(), totals=totals or {"train": len(rows)}).codes(rows, part, start)


def test_digests_cover_geometry_pixels_and_for_the_row_the_label():
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 6)
    row = digested(Chunk(start=0, pixels=pixels, labels=np.array([4])), DATA)[0]
    image = b"mnist-tfx row v1\0" + struct.pack(">II", 3, 2) + bytes(range(6))
    assert row["pixels"].tobytes() == hashlib.sha256(image).digest()
    assert row["row"].tobytes() == hashlib.sha256(image + struct.pack(">q", 4)).digest()


def test_equal_bytes_of_another_geometry_have_other_digests():
    pixels, labels = np.zeros((1, 6), np.uint8), np.zeros(1, np.int64)
    tall = digested(Chunk(start=0, pixels=pixels, labels=labels), DATA)
    wide = digested(Chunk(start=0, pixels=pixels, labels=labels), DATA.model_copy(update={"shape": (2, 3)}))
    assert tall["pixels"].tobytes() != wide["pixels"].tobytes()


def test_rows_are_sorted_by_the_bytes_of_their_digests():
    digests = [row["row"].tobytes() for row in by_digest(random_rows(500))]
    assert digests == sorted(digests)


def test_digests_that_end_in_zero_bytes_are_sorted_too():
    rows = random_rows(3)
    rows["row"] = np.frombuffer(b"b" + bytes(31) + b"a" + bytes(31) + b"a\1" + bytes(30), "V32")
    assert [row["row"].tobytes()[:2] for row in by_digest(rows)] == [b"a\0", b"a\1", b"b\0"]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), validation=st.floats(0, 0.5, exclude_min=True), test=st.floats(0, 0.4))
def test_a_hash_split_is_the_same_in_any_order_and_company(seed, validation, test):
    rows = random_rows(60, seed)
    split = HashSplit(validation=validation, test=test)
    order = np.random.default_rng(seed).permutation(60)
    assert np.array_equal(codes(rows, split)[order], codes(rows[order], split))
    assert np.array_equal(codes(rows, split)[:20], codes(rows[:20], split, start=40))


def test_hash_shares_come_out_about_as_asked():
    shares = np.bincount(codes(random_rows(20_000), HashSplit(validation=0.1, test=0.2))) / 20_000
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.01)


def test_equal_images_stay_on_one_side_whatever_their_labels():
    rows = random_rows(200)
    pixels = np.repeat(rows["image"], 2, axis=0)
    twins = digested(Chunk(start=0, pixels=pixels, labels=np.arange(400) % 10), DATA)
    sides = codes(twins)
    assert set(sides) == {TRAIN, VALIDATION, TEST}
    assert np.array_equal(sides[::2], sides[1::2])


def test_with_an_official_test_part_no_training_row_becomes_test():
    rows = random_rows(300)
    with_test = codes(rows, train=300, test=50)
    assert set(with_test) == {TRAIN, VALIDATION}
    assert np.array_equal(with_test == VALIDATION, codes(rows) == VALIDATION)
    assert set(codes(rows, part="test", train=10, test=300)) == {TEST}


def test_tail_makes_the_last_training_rows_validation():
    sides = [
        *codes(random_rows(6), "tail:4", train=10, test=1),
        *codes(random_rows(4), "tail:4", start=6, train=10, test=1),
    ]
    assert sides == [TRAIN] * 6 + [VALIDATION] * 4


def test_rows_makes_the_first_rows_train_and_validation_and_the_next_test():
    sides = codes(random_rows(500), "rows:300,100", train=500)
    assert set(sides[:300]) == {TRAIN, VALIDATION}
    assert set(sides[300:400]) == {TEST}
    assert set(sides[400:]) == {-1}


@pytest.mark.parametrize(
    ("split", "totals"),
    [
        (HashSplit(validation=0.1, test=0.3), {"train": 4000}),
        (HashSplit(validation=0.2), {"train": 4000, "test": 100}),
        ("tail:500", {"train": 4000, "test": 100}),
        ("rows:3000,800", {"train": 4000}),
    ],
)
def test_expected_sizes_are_close_to_those_that_come_out(split, totals):
    assignment = Assignment(split=split, totals=totals)
    sides = [code for part, count in totals.items() for code in assignment.codes(random_rows(count), part, 0)]
    found = {name: sides.count(code) for code, name in enumerate(SPLITS)}
    assert assignment.expected() == pytest.approx(found, abs=80)


def test_shards_in_order_are_rows_in_order():
    rows = by_digest(random_rows(1000))
    numbers = shard_numbers(rows, 7)
    assert np.array_equal(numbers, np.sort(numbers))
    assert np.bincount(numbers, minlength=7) == pytest.approx(1000 / 7, abs=45)


def test_the_number_of_shards_grows_with_rows_and_with_pixels(monkeypatch):
    monkeypatch.setattr(rows_module, "SHARD_PIXELS", 600)
    larger = DATA.model_copy(update={"shape": (6, 2)})
    assert [shard_count(rows, DATA) for rows in (0, 1, 100, 101, 1000)] == [1, 1, 1, 2, 10]
    assert shard_count(100, larger) == 2


@pytest.mark.parametrize(
    ("split", "parts", "message"),
    [
        (HashSplit(), {"test"}, "no training part"),
        ("tail:5", {"train"}, "needs a test part"),
        ("rows:5,5", {"train", "test"}, "there is a test part as well"),
    ],
)
def test_a_split_that_does_not_fit_the_parts_is_refused(split, parts, message):
    with pytest.raises(BadInput, match=message):
        check_split(split, parts)


def test_what_the_refusal_of_a_split_says_to_set_fits_the_parts():
    data = load_recipe("linear").data
    with pytest.raises(BadInput) as caught:
        check_split(data.split, {"train", "test"})
    (override,) = re.findall("--set '([^']*)'", caught.value.hint)
    check_split(load_recipe("linear", overrides=(override,)).data.split, {"train", "test"})


@pytest.mark.parametrize(
    ("split", "counts", "message"),
    [
        (HashSplit(), {"train": 9, "test": 1}, "the validation split is empty"),
        (HashSplit(), {"validation": 9, "test": 1}, "the train split is empty"),
        ("tail:20", {"train": 0, "validation": 9, "test": 1}, "wanted 20, got 9"),
        ("rows:9,20", {"train": 8, "validation": 1, "test": 1}, "wanted 20, got 1"),
    ],
)
def test_a_split_without_enough_rows_is_refused(split, counts, message):
    with pytest.raises(BadInput, match=message):
        check_counts(counts, split)
