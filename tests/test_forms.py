"""Every form of data files gives the same rows: Parquet of the Hugging Face hub, and pixels and labels in files apart."""

import gzip
import os
import pickle
import subprocess
import sys

import numpy as np
import pyarrow
import pytest
from command_line import PROJECT
from data_forms import write_parquet, write_table
from PIL import EpsImagePlugin
from pyarrow import parquet
from sklearn.datasets import load_digits

from components.errors import BadInput
from components.ingest import recognition
from components.ingest.beginnings import check_beginnings
from components.ingest.discovery import discover
from components.ingest.source import named_inputs
from components.settings import DataSettings
from pipeline.datasets.schema_review import read_sources

ROWS = 60
IMAGES = load_digits().images[:ROWS].astype(np.uint8)
LABELS = load_digits().target[:ROWS]
FLAT = IMAGES.reshape(ROWS, -1)
DATA = DataSettings(shape=(8, 8), pixel_max=16)
WORDS = ["odd" if label % 2 else "even" for label in LABELS]


def rows(folder, **settings):
    """Returns the training rows as a run reads them, the files, and what a run says about them."""
    files = discover([folder])
    data = DATA.model_copy(update=settings)
    found = recognition.recognise(files, data)
    data = found.settings(data)
    check_beginnings(files.parts, form=files.form, data=data)
    assert named_inputs(files.parts, form=files.form, data=data)
    return read_sources(files, data), files, found.says


def labelled(kind):
    """Returns pixels and labels as rows of text, and the lines above them."""
    pixels, labels, headers = FLAT.tolist(), [[label] for label in LABELS], ("", "")
    if kind == "header":
        headers = (",".join(f"pixel{n}" for n in range(64)), "label")
    if kind == "row index":
        pixels, labels = ([[n, *row] for n, row in enumerate(rows)] for rows in (pixels, labels))
    if kind == "pandas":
        pixels, labels = ([[n, *row] for n, row in enumerate(rows)] for rows in (pixels, labels))
        headers = ("," + ",".join(map(str, range(64))), ",0")
    if kind == "pandas without an index":
        headers = (",".join(map(str, range(64))), "0")
    if kind == "one-hot":
        labels = np.eye(10, dtype=int)[LABELS].tolist()
    if kind == "floats":
        pixels, labels = FLAT.astype(float).tolist(), [[float(label)] for label in LABELS]
    return pixels, labels, headers


KINDS = ["bare", "header", "row index", "pandas", "pandas without an index", "one-hot", "floats"]


@pytest.mark.parametrize("names", [("X_train", "y_train"), ("train_X", "train_y"), ("trainImages", "trainLabels")])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_and_labels_in_csv_files_of_their_own(tmp_path, kind, names):
    pixels, labels, headers = labelled(kind)
    for name, lines, header in zip(names, (pixels, labels), headers, strict=True):
        write_table(tmp_path / f"{name}.csv", lines, header)
    found, files, _ = rows(tmp_path)
    assert files.form == "pairs"
    assert np.array_equal(found["train"].pixels, FLAT)
    assert np.array_equal(found["train"].labels, LABELS)


@pytest.mark.parametrize("shape", [(ROWS, 8, 8), (ROWS, 64), (ROWS, 8, 8, 1), (ROWS, 1, 8, 8)])
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
def test_pixels_and_labels_in_arrays_of_their_own(tmp_path, shape, kind):
    np.save(tmp_path / "x_train.npy", IMAGES.reshape(shape).astype(kind))
    np.save(tmp_path / "y_train.npy", LABELS[:, None])
    found, files, _ = rows(tmp_path)
    assert files.form == "pairs"
    assert np.array_equal(found["train"].pixels, FLAT)
    assert np.array_equal(found["train"].labels, LABELS)


def test_several_pairs_of_a_part_are_given_by_name(tmp_path):
    for number, block in enumerate((slice(20), slice(20, 60))):
        np.save(tmp_path / f"{number:05d}-train-images.npy", IMAGES[block])
        np.save(tmp_path / f"{number:05d}-train-labels.npy", LABELS[block])
    files = discover(sorted(tmp_path.iterdir()))
    assert np.array_equal(read_sources(files, DATA)["train"].labels, LABELS)
    with pytest.raises(BadInput, match="more than one train part"):
        discover([tmp_path])


def test_a_packed_array_goes_with_labels_in_a_table(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress((tmp_path / "x.npy").read_bytes()))
    (tmp_path / "x.npy").unlink()
    write_table(tmp_path / "y.csv", [[label] for label in LABELS])
    assert np.array_equal(rows(tmp_path)[0]["train"].labels, LABELS)


def test_pixels_without_labels_are_left_aside_and_validation_rows_are_the_test_part(tmp_path):
    for part, rows_ in (("train", slice(40)), ("val", slice(40, 60))):
        np.save(tmp_path / f"X_{part}.npy", IMAGES[rows_])
        np.save(tmp_path / f"y_{part}.npy", LABELS[rows_])
    np.save(tmp_path / "X_test.npy", IMAGES)
    found, files, says = rows(tmp_path)
    assert {split: len(part) for split, part in found.items()} == {"train": 40, "test": 20}
    assert [path.name for path in files.ignored] == ["X_test.npy"]
    assert says == (
        "the validation part is taken as the test part: there is no other",
        "X_test.npy ignored: it has no labels: no file of them goes with it",
    )


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test-00000-of-00001.parquet"),
        (
            "mnist/train-00000-of-00002.parquet",
            "mnist/train-00001-of-00002.parquet",
            "mnist/test-00000-of-00001.parquet",
        ),
        ("data/train-00000-of-00002-ab.parquet", "data/train-00001-of-00002-ab.parquet", "data/test.parquet"),
        ("mnist/train/0000.parquet", "mnist/train/0001.parquet", "mnist/test/0000.parquet"),
    ],
)
def test_parquet_of_the_hub_with_its_parts(tmp_path, names):
    for name, block in zip(names, (slice(20), slice(20, 40), slice(40, 60)), strict=True):
        write_parquet(tmp_path / name, IMAGES[block], LABELS[block], names=[str(n) for n in range(10)])
    (tmp_path / "README.md").write_text("a data set\n")
    found, files, _ = rows(tmp_path)
    assert files.form == "parquet"
    assert np.array_equal(found["train"].pixels, FLAT[:40])
    assert np.array_equal(found["train"].labels, LABELS[:40])
    assert np.array_equal(found["test"].labels, LABELS[40:])


@pytest.mark.parametrize("form", ["parquet", "pairs"])
def test_labels_in_words_are_numbered_in_order(tmp_path, form):
    if form == "parquet":
        write_parquet(tmp_path / "train.parquet", IMAGES, WORDS)
    else:
        np.save(tmp_path / "X.npy", IMAGES)
        np.save(tmp_path / "y.npy", np.array(WORDS))
    found, files, says = rows(tmp_path, label_count=2)
    assert np.array_equal(found["train"].labels, LABELS % 2)
    assert says == ("labels are words, numbered in order: even, odd",)
    with pytest.raises(BadInput, match=r"class_names, got 2 classes.*--set data\.label_count=2"):
        check_beginnings(files.parts, form=files.form, data=DATA)


def test_names_that_the_hub_gives_are_those_of_the_classes(tmp_path):
    names = tuple(f"shape {n}" for n in range(10))
    path = write_parquet(tmp_path / "train.parquet", IMAGES, LABELS, names=names)
    assert recognition.recognise(discover([path]), DATA).class_names == names
    with pytest.raises(BadInput, match=r"another number of classes than the recipe has.*--set data\.label_count=10"):
        rows(tmp_path, label_count=9)


def test_labels_are_counted_and_turned_as_the_settings_say(tmp_path):
    write_parquet(tmp_path / "train.parquet", IMAGES.transpose(0, 2, 1), LABELS + 1)
    found, _, _ = rows(tmp_path, label_offset=1, transpose=True)
    assert np.array_equal(found["train"].labels, LABELS)
    assert np.array_equal(found["train"].pixels, FLAT)


def broken(kind, folder):
    """Writes data of a kind that cannot be read."""
    images, labels = IMAGES.copy(), LABELS.copy()
    if kind == "scaled":
        np.save(folder / "X.npy", IMAGES / 16)
        np.save(folder / "y.npy", labels)
        return
    if kind in ("a pixel in words", "too few labels"):
        pixels = FLAT.astype(str).tolist()
        pixels[7][3] = "x" if "words" in kind else "1"
        write_table(folder / "X.csv", pixels)
        write_table(folder / "y.csv", [[label] for label in labels][: None if "words" in kind else -2])
        return
    if kind == "a label above":
        labels[5] = 10
    if kind == "a pixel above":
        images[9, 0, 2] = 17
    write_parquet(
        folder / "train.parquet", np.pad(images, ((0, 0), (1, 1), (0, 0))) if "size" in kind else images, labels
    )
    if kind == "cut short":
        content = (folder / "train.parquet").read_bytes()
        (folder / "train.parquet").write_bytes(content[:-30])
    if kind == "a picture that is none":
        content = (folder / "train.parquet").read_bytes()
        (folder / "train.parquet").write_bytes(content.replace(b"\x89PNG", b"\x89XXX", 3))


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("scaled", "already scaled to 0..1: `mnist-tfx data import`"),
        ("a pixel in words", "X.csv: line 8 has no number in column 4: wanted a pixel, got 'x'"),
        ("too few labels", "wanted 60 labels, got 58"),
        ("a label above", "1 row has an unusable label: wanted whole numbers from 0 to 9, got '10' in row 5"),
        ("a pixel above", "'17' in row 9 column 3"),
        ("another size", "wanted 8x8, got 10x8"),
        ("cut short", "cannot be read as a Parquet file"),
        ("a picture that is none", "row 0: a picture cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_cause(tmp_path, kind, cause):
    broken(kind, tmp_path)
    with pytest.raises(BadInput) as caught:
        rows(tmp_path)
    assert cause in str(caught.value)


def test_a_missing_shard_is_named(tmp_path):
    write_parquet(tmp_path / "train-00001-of-00002.parquet", IMAGES, LABELS)
    with pytest.raises(BadInput, match="a shard is missing: wanted number 0 of 2"):
        discover([tmp_path])


def test_parquet_files_of_two_sets_are_not_one_part(tmp_path):
    for name in ("mnist_train.parquet", "mnist_train_small.parquet"):
        write_parquet(tmp_path / name, IMAGES[:3], LABELS[:3])
    with pytest.raises(BadInput, match="more than one train part"):
        discover([tmp_path])


def test_several_folders_with_data_are_named_with_the_commands_that_look_at_them(tmp_path):
    for name in ("mnist", "fashion"):
        write_parquet(tmp_path / name / "train.parquet", IMAGES[:3], LABELS[:3])
    with pytest.raises(
        BadInput, match="several folders with data files: wanted one of them, got fashion, mnist"
    ) as caught:
        discover([tmp_path])
    assert caught.value.commands[0] == f"mnist-tfx data inspect {tmp_path}/fashion"


class Touch:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "command", [("run", "--dry-run", "--root", "root", "--data"), ("data", "inspect"), ("data", "import", "--to", "to")]
)
def test_a_pickle_in_the_schema_of_a_parquet_file_is_not_run(tmp_path, command):
    # PyArrow before 14 takes the types of columns from there. A process of its own: Beam, once imported, forbids it too.
    table = parquet.read_table(write_parquet(tmp_path / "plain.parquet", IMAGES, LABELS))
    name, value = b"ARROW:extension:name", b"ARROW:extension:metadata"
    typed = {name: b"arrow.py_extension_type", value: pickle.dumps(Touch(tmp_path / "was-run"))}
    label = pyarrow.field("label", pyarrow.int64(), metadata=typed)
    parquet.write_table(table.cast(pyarrow.schema([table.schema.field("image"), label])), tmp_path / "train.parquet")
    command = [sys.executable, "-m", "pipeline", *command, str(tmp_path / "train.parquet")]
    done = subprocess.run(
        command,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"mnist-tfx: {tmp_path / 'train.parquet'}: a column's type is a Python pickle, which runs whatever it says when it is "
        "read: wanted types of Parquet's own, got arrow.py_extension_type\n"
    )
    assert not (tmp_path / "was-run").exists()
    assert not (tmp_path / "root").exists()
    assert not (tmp_path / "to").exists()


def test_a_picture_in_a_parquet_file_starts_no_program(tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path / 'was-started'}\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # looked for once in a process
    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    columns = {"image": pyarrow.array([{"bytes": eps, "path": None}] * 3, picture), "label": pyarrow.array([0, 1, 2])}
    parquet.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    with pytest.raises(BadInput, match="a picture cannot be read"):
        rows(tmp_path)
    assert not (tmp_path / "was-started").exists()
