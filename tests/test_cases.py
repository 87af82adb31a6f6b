"""Data as people have it, each form by the name that `shared/cases/cases.md` gives it; skipped where that is not there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.errors import BadInput
from components.ingest.beginnings import check_beginnings
from components.ingest.discovery import discover
from components.ingest.recognition import recognise, shape_of
from components.settings import DataSettings
from pipeline.datasets.schema_review import read_sources

SCRIPT = Path(__file__).parents[2] / "shared" / "cases" / "make_cases.py"
LETTERS = {"label_count": 26, "label_offset": 1, "transpose": True}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SCRIPT.is_file(), reason="needs the shared cases")]


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, SCRIPT, folder], check=True, capture_output=True)
    return folder


def read(folder, **settings):
    """Returns the rows as a run reads them, and what it says about them."""
    files = discover([folder])
    data = DataSettings(**{"shape": shape_of(files), "pixel_max": 255, **settings})
    found = recognise(files, data)
    data = found.settings(data)
    check_beginnings(files.parts, form=files.form, data=data)
    return read_sources(files, data), " | ".join(found.says)


@pytest.fixture(scope="module")
def digits(cases):
    return read(cases / "small-ok")[0]


@pytest.fixture(scope="module")
def letters(cases):
    return read(cases / "emnist-letters", **LETTERS)[0]


SAME = {
    "kaggle": ({}, "sample_submission.csv ignored: it has no images"),
    "fashion": ({}, ""),
    "emnist-digits": ({"transpose": True}, ""),
    "colnums": ({}, "its first line is a header of numbers"),
    "qmnist": ({}, "labels are int32 in 8 columns, of which the first is read"),
    "index-first": ({}, "column 1 is neither pixel nor label"),
    "index-nohead": ({}, "column 1 is neither pixel nor label"),
    "onehot": ({}, "labels are one-hot, in columns 785 to 794"),
    "label-mid": ({}, "labels are in column 101"),
    "strlabels": ({}, "labels are words, numbered in order: A, B, C, ... J (10)"),
    "semicolon": ({}, "separated by semicolons"),
    "floats": ({}, ""),
    "tab": ({}, "separated by tabs"),
    "tabcsv": ({}, "separated by tabs"),
    "bom-crlf": ({}, ""),
    "openml-csv": ({}, ""),
    "dotnames": ({}, ""),
    "gznotgz": ({}, ""),
    "hojjatk": ({}, ""),
    "mac": ({}, ""),
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_digits_are_read_in_every_form(cases, digits, case):
    settings, says = SAME[case]
    found, said = read(cases / case, **settings)
    assert says in said
    for split, rows in found.items():
        wanted = digits[split]
        assert np.array_equal(rows.labels, wanted.labels[: len(rows)])
        assert np.array_equal(rows.pixels, wanted.pixels[: len(rows)])


@pytest.mark.parametrize(
    ("case", "settings"), [("emnist-csv", LETTERS), ("az", {"label_count": 26}), ("az-nohead", {"label_count": 26})]
)
def test_the_same_letters_are_read_in_every_form(cases, letters, case, settings):
    found, _ = read(cases / case, **settings)
    assert len(found["train"]) == 3000
    for split, rows in found.items():
        assert np.array_equal(rows.labels, letters[split].labels[: len(rows)])
        assert np.array_equal(rows.pixels, letters[split].pixels[: len(rows)])


def test_onebased_labels_are_stored_from_zero(cases, digits):
    found, _ = read(cases / "onebased", label_offset=1)
    assert np.array_equal(found["train"].labels, (digits["train"].labels + 9) % 10)


def test_sign_has_a_class_without_rows(cases):
    found, _ = read(cases / "sign", label_count=25)
    assert sorted(set(range(25)) - set(found["train"].labels.tolist())) == [9]


def test_semeion_is_read_by_its_separators_and_its_one_hot_labels(cases):
    found, said = read(cases / "semeion", pixel_max=1)
    assert found["train"].pixels.shape == (1593, 256)
    assert said.endswith("labels are one-hot, in columns 257 to 266")


@pytest.mark.parametrize(("case", "side"), [("size14", 14), ("size32", 32), ("size64", 64)])
def test_images_of_other_sizes_are_read(cases, case, side):
    assert read(cases / case)[0]["train"].pixels.shape == (3000, side * side)


REFUSED = {
    "kaggle-testonly": ({"shape": (28, 28)}, "is the label missing"),
    "rgb-idx4": ({"shape": (28, 28)}, "28x28x3: grey images only"),
    "float-idx": ({"shape": (28, 28)}, "the values are float32"),
    "scaled01": ({}, r"already scaled to 0\.\.1"),
    "onebased": ({}, "--label-offset 1"),
    "emnist-letters": ({"label_count": 26}, "--label-offset 1"),
    "emnist-csv": ({"label_count": 26}, "--label-offset 1"),
    "sign": ({}, r"--set data\.label_count=25"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_cause(cases, case):
    settings, cause = REFUSED[case]
    with pytest.raises(BadInput, match=cause):
        read(cases / case, **settings)
