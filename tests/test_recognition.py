"""What data files are is recognised from their content and said in words; nothing is guessed."""

import struct

import numpy as np
import pytest

from components.errors import BadInput
from components.ingest import idx
from components.ingest.csv_columns import Columns
from components.ingest.discovery import discover
from components.ingest.recognition import fitting, label_counts, recognise, shape_of
from components.settings import DataSettings

RNG = np.random.default_rng(3)
LABELS = [k % 10 for k in range(60)]
IMAGES = RNG.integers(0, 256, (60, 16)).tolist()
PIXELS = [f"pixel{i}" for i in range(16)]


def table(path, rows, mark=","):
    path.write_text("".join(mark.join(map(str, row)) + "\n" for row in rows))


ROWS = [[label, *image] for label, image in zip(LABELS, IMAGES, strict=True)]
HOT = [[*image, *np.eye(10, dtype=int)[label].tolist()] for label, image in zip(LABELS, IMAGES, strict=True)]
FORMS = {
    "usual": (ROWS, ",", ()),
    "semicolons": (ROWS, ";", ("fields are separated by semicolons",)),
    "index": ([[i, *row] for i, row in enumerate(ROWS)], ",", ("column 1 is neither pixel nor label and is ignored",)),
    "one-hot": (HOT, ",", ("labels are one-hot, in columns 17 to 26",)),
    "numbers over the columns": ([range(17), *ROWS], ",", ("its first line is a header of numbers",)),
    "0.k over the columns": (
        [["0", *[f"0.{i}" for i in range(1, 17)]], *ROWS],
        ",",
        ("its first line is a header of numbers",),
    ),
    "within": (
        [[*PIXELS[:4], "digit", *PIXELS[4:]], *[[*r[1:5], r[0], *r[5:]] for r in ROWS]],
        ",",
        ("labels are in column 5",),
    ),
}


@pytest.mark.parametrize(("rows", "mark", "says"), FORMS.values(), ids=FORMS.keys())
def test_a_csv_is_recognised_without_any_settings(tmp_path, rows, mark, says):
    table(tmp_path / "train.csv", rows, mark)
    files = discover([tmp_path])
    found = recognise(files)
    assert found.says == tuple(f"train.csv: {sentence}" for sentence in says)
    assert found.shape == shape_of(files) == (4, 4)
    assert label_counts(files, fitting(files)) == {"train": dict.fromkeys("0123456789", 6)}


def test_a_label_that_is_1_in_all_the_first_rows_is_not_one_hot_together_with_an_empty_border(tmp_path):
    rows = [[1 + k // 150, *[0] * 11, *IMAGES[k % 60], *[5] * 9] for k in range(300)]
    table(tmp_path / "train.csv", [["label", *[f"pixel{k}" for k in range(36)]], *rows])
    assert shape_of(discover([tmp_path])) == (6, 6)
    assert recognise(discover([tmp_path])).columns.label == (0,)


def test_the_first_and_the_last_class_of_one_hot_labels_are_said_by_their_names(tmp_path):
    table(
        tmp_path / "train.csv",
        [[*PIXELS, *[f"is_{k}" for k in range(9, -1, -1)]], *[[*r[:16], *r[:15:-1]] for r in HOT]],
    )
    files = discover([tmp_path])
    (said,) = recognise(files).says
    assert said == "train.csv: labels are one-hot, in columns 17 to 26: 'is_0' is the first class, 'is_9' the last"
    assert label_counts(files, fitting(files)) == {"train": dict.fromkeys("0123456789", 6)}


def test_labels_in_words_become_the_names_of_the_classes(tmp_path):
    table(tmp_path / "train.csv", [["ABCDEFGHIJ"[row[0]], *row[1:]] for row in ROWS])
    files = discover([tmp_path])
    found = recognise(files)
    assert found.class_names == tuple("ABCDEFGHIJ")
    assert found.says == ("train.csv: labels are words, numbered in order: A, B, C, ... J (10)",)
    ten = fitting(files).model_copy(update={"label_count": 10})
    assert found.settings(ten).class_names == tuple("ABCDEFGHIJ")
    with pytest.raises(BadInput, match=r"wanted 12, got 10: A, B, C, \.\.\. J \(10\): --set data.label_count=10"):
        found.settings(ten.model_copy(update={"label_count": 12}))


def test_labels_of_qmnist_are_recognised(tmp_path):
    idx.write_images(tmp_path / "qmnist-train-images-idx3-ubyte", np.array(IMAGES, np.uint8).reshape(-1, 4, 4))
    labels = np.zeros((60, 8), ">i4")
    labels[:, 0], labels[:, 1] = LABELS, 4
    header = bytes((0, 0, 0x0C, 2)) + struct.pack(">2I", 60, 8)
    (tmp_path / "qmnist-train-labels-idx2-int").write_bytes(header + labels.tobytes())
    files = discover([tmp_path])
    assert recognise(files).says == (
        "qmnist-train-labels-idx2-int: labels are int32 in 8 columns, of which the first is read",
    )
    assert label_counts(files, fitting(files))["train"]["7"] == 6


def test_of_kaggles_folder_the_training_file_is_read_and_the_others_are_named(tmp_path):
    table(tmp_path / "train.csv", [["label", *PIXELS], *ROWS])
    table(tmp_path / "test.csv", [PIXELS, *IMAGES])
    table(tmp_path / "sample_submission.csv", [["ImageId", "Label"], [1, 0]])
    files = discover([tmp_path])
    assert [part.files[0].name for part in files.parts] == ["train.csv"]
    assert recognise(files).says == (
        "sample_submission.csv ignored: it has no images, but 2 columns: ImageId, Label",
        "test.csv ignored: it has no labels: 1 column less, 'label'",
    )


def test_labels_that_start_elsewhere_are_said_to(tmp_path):
    table(tmp_path / "train.csv", [[row[0] + 1, *row[1:]] for row in ROWS])
    files = discover([tmp_path])
    assert fitting(files).label_offset == 1
    with pytest.raises(BadInput, match="--label-offset 1 if labels start there"):
        recognise(files, fitting(files).model_copy(update={"label_count": 10, "label_offset": 0}))


def test_faint_pixels_are_not_labels_where_the_other_end_has_labels_from_1_on(tmp_path):
    table(tmp_path / "train.csv", [[row[0] + 1, *row[1:-1], row[-1] % 7] for row in ROWS])
    files = discover([tmp_path])
    with pytest.raises(BadInput, match="--label-offset 1 if labels start there"):
        recognise(files, DataSettings(shape=(4, 4), pixel_max=255))
    assert recognise(files).columns.label == (0,)
    assert label_counts(files, fitting(files))["train"]["10"] == 6


def test_sorted_labels_from_1_on_are_found(tmp_path):
    table(tmp_path / "train.csv", sorted([row[0] + 1, *row[1:]] for row in ROWS))
    assert (recognise(discover([tmp_path])).columns.label, fitting(discover([tmp_path])).label_offset) == ((0,), 1)


@pytest.mark.parametrize(
    "comments",
    ["# made by hand\n#\n", "# a, b\n\n# " + ",".join(["label", *PIXELS]) + "\n", "# " + "9" * 5000 + "\n"],
    ids=["words", "the last one is the header of numpy.savetxt", "an endless number"],
)
@pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
def test_comments_before_the_rows_are_left_out(tmp_path, comments, header):
    table(tmp_path / "train.csv", [["label", *PIXELS], *ROWS] if header else ROWS)
    text = (tmp_path / "train.csv").read_text()
    (tmp_path / "train.csv").write_text(comments + text)
    files = discover([tmp_path])
    assert label_counts(files, fitting(files)) == {"train": dict.fromkeys("0123456789", 6)}
    assert recognise(files).says == ()


def test_comments_alone_are_no_rows(tmp_path):
    (tmp_path / "train.csv").write_text("# a\n# b\n")
    with pytest.raises(BadInput, match="holds no rows: got comments alone"):
        recognise(discover([tmp_path]))


@pytest.mark.parametrize("names", ["count", "are in any order"])
def test_a_header_with_one_name_less_leaves_out_the_row_names_of_r(tmp_path, names):
    numbers = range(1, len(ROWS) + 1) if names == "count" else [(7 * k) % 61 for k in range(len(ROWS))]
    rows = [[f'"{number}"', *row] for number, row in zip(numbers, ROWS, strict=True)]
    table(tmp_path / "train.csv", [["label", *PIXELS], *rows])
    files = discover([tmp_path])
    assert recognise(files).columns == Columns(label=(1,), ignored=(0,))
    assert label_counts(files, fitting(files)) == {"train": dict.fromkeys("0123456789", 6)}


def test_rows_without_labels_are_said_to_have_none(tmp_path):
    table(tmp_path / "test.csv", [PIXELS, *IMAGES])
    with pytest.raises(BadInput, match=r"has no labels: got 16 columns, the pixels of 4x4: `mnist-tfx predict`"):
        recognise(discover([tmp_path]))


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([[row[0] - 5, *row[1:-1], 0] for row in ROWS], "cannot tell which column holds the label"),
        ([[*row, 7000 - k] for k, row in enumerate(ROWS)], r"wanted 17 \(4x4 pixels and a label\), got 18"),
        ([[1] * 320 for _ in ROWS], "no row can be a square image and a label: got 320 columns: a recipe"),
    ],
    ids=["labels below 0", "an index at the end", "no square"],
)
def test_what_cannot_be_recognised_is_refused_by_the_shape_that_it_most_likely_has(tmp_path, rows, error):
    table(tmp_path / "train.csv", rows)
    with pytest.raises(BadInput, match=error):
        fitting(discover([tmp_path]))
