"""What --data names -> parts; fault row 36 for names of data files."""

import os
import struct
from pathlib import Path

import pytest

from components.errors import BadInput
from components.ingest.csv_layout import square_guess
from components.ingest.discovery import discover, discover_spans, geometry
from components.ingest.spans import Span

IMAGES = struct.pack(">4I", 0x803, 1, 2, 3) + bytes(6)
LABELS = struct.pack(">2I", 0x801, 1) + bytes(1)
ROWS = b"1,0,0,0,0\n"


@pytest.fixture
def folder(tmp_path):
    def folder(*names):
        for name in names:
            content = IMAGES if "images" in name else LABELS if "labels" in name else ROWS
            (tmp_path / name).write_bytes(content)
        return tmp_path

    return folder


def told(files):
    return files.form, [(part.split, [path.name for path in part.files]) for part in files.parts]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-{}-idx{}-ubyte", "t10k-{}-idx{}-ubyte"),
        ("train-{}-idx{}-ubyte.gz", "t10k-{}-idx{}-ubyte.gz"),
        ("train-{}.idx{}-ubyte", "t10k-{}.idx{}-ubyte"),
        ("emnist-digits-train-{}-idx{}-ubyte.gz", "emnist-digits-test-{}-idx{}-ubyte.gz"),
    ],
)
def test_idx_files_are_paired_by_name(folder, train, test):
    names = [[name.format("images", 3), name.format("labels", 1)] for name in (train, test)]
    files = discover([folder(*names[0], *names[1])])
    assert told(files) == ("idx", [("train", names[0]), ("test", names[1])])
    assert geometry(files) == (2, 3)


@pytest.mark.parametrize("name", ["train_{}", "train-{}.idx3", "train-{}.idx3-ubyte.bin"])
def test_idx_files_of_other_names_are_paired_where_there_are_no_others(folder, name):
    images, labels = name.format("images"), name.format("labels")
    assert told(discover([folder(images, labels)])) == ("idx", [("train", [images, labels])])
    where = folder("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    assert told(discover([where])) == ("idx", [("train", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])])


def test_a_folder_of_folders_is_refused_with_what_to_give_instead(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(BadInput, match="folders alone: data: give the folder that the files lie in"):
        discover([tmp_path])


def test_rows_that_are_numbered_in_place_of_a_label_are_no_test_part(tmp_path):
    pixels = [f"pixel{k}" for k in range(16)]
    for name, first in (("train.csv", "label"), ("test.csv", "id")):
        (tmp_path / name).write_text(f"{','.join([first, *pixels])}\n{','.join('1' * 17)}\n")
    files = discover([tmp_path])
    assert told(files) == ("csv", [("train", ["train.csv"])])
    assert list(files.why.values()) == ["it has no labels: rows are numbered, where the training file has 'label'"]


def test_a_complete_idx_set_wins_and_what_is_left_is_named(folder):
    where = folder("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "train.csv", "notes.txt", ".hidden")
    files = discover([where])
    assert files.form == "idx"
    assert [path.name for path in files.ignored] == ["notes.txt", "train.csv"]
    assert told(discover([where], form="csv")) == ("csv", [("train", ["train.csv"])])


def test_an_incomplete_idx_set_loses_to_csv_files(folder):
    where = folder("train-images-idx3-ubyte", "digits.csv")
    assert told(discover([where])) == ("csv", [("train", ["digits.csv"])])
    with pytest.raises(BadInput, match="train labels are missing"):
        discover([where], form="idx")


IDX_PAIR = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param([f"a-{name}" for name in IDX_PAIR], "more than one train part", id="a second set"),
        pytest.param(["t10k-labels-idx1-ubyte"], "test images are missing", id="an orphaned test file"),
        pytest.param(["train-labels.idx1-ubyte"], "two files of train labels", id="labels twice"),
    ],
)
def test_an_idx_pair_with_something_wrong_beside_it_does_not_lose_to_csv_files(folder, names, message):
    where = folder(*IDX_PAIR, *names, "train.csv")
    with pytest.raises(BadInput, match=message):
        discover([where])
    assert told(discover([where], form="csv")) == ("csv", [("train", ["train.csv"])])


def test_a_test_pair_without_a_train_pair_does_not_lose_to_csv_files(folder):
    where = folder(*(name.replace("train", "t10k") for name in IDX_PAIR), "train.csv")
    with pytest.raises(BadInput, match="no train part"):
        discover([where])


def test_a_raw_file_goes_before_the_gzip_of_the_same_name(folder):
    raw = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]
    files = discover([folder(*raw, *(name + ".gz" for name in raw))])
    assert told(files) == ("idx", [("train", raw)])
    assert len(files.ignored) == 2


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("optdigits.tra", "optdigits.tes"),
        ("mnist_train.csv.gz", "mnist_test.csv.gz"),
        ("Train.TSV", "Test.TSV"),
        ("train.data", "t10k.data"),
        ("a.tra.gz", "a.tes.gz"),
    ],
)
def test_csv_files_are_train_and_test_by_name(folder, train, test):
    where = folder(train, test)
    expected = ("csv", [("train", [train]), ("test", [test])])
    assert told(discover([where])) == expected
    assert told(discover([where / test, where / train])) == expected


@pytest.mark.parametrize("name", ["digits.csv", "optdigits.tes", "test.csv", "rows.data.gz"])
def test_a_single_csv_is_train_whatever_its_name(folder, name):
    assert told(discover([folder(name)])) == told(discover([folder(name) / name])) == ("csv", [("train", [name])])


def test_files_given_by_name_may_be_several_of_one_part(folder):
    where = folder("a.csv", "b.csv", "test.csv")
    files = discover([where / name for name in ("test.csv", "b.csv", "a.csv")])
    assert told(files) == ("csv", [("train", ["b.csv"]), ("train", ["a.csv"]), ("test", ["test.csv"])])


def test_idx_is_told_by_content_where_names_say_nothing(folder):
    where = folder("my images", "my labels", "the test images", "the test labels")
    files = discover(sorted(where.iterdir(), reverse=True))
    expected = [("train", ["my images", "my labels"]), ("test", ["the test images", "the test labels"])]
    assert told(files) == ("idx", expected)


@pytest.mark.parametrize(
    ("names", "parts"), [(("train", "val", "test"), "train train test"), (("train", "dev"), "train test")]
)
def test_rows_held_out_for_validation_are_trained_on_where_there_is_a_test_part(folder, names, parts):
    files = discover([folder(*(f"mnist_{name}.csv" for name in names))])
    assert [part.split for part in files.parts] == parts.split()
    assert files.says[0].startswith("the validation part ")


def test_a_file_beside_train_and_test_whose_name_says_nothing_is_answered_with_the_commands(tmp_path):
    for name in ("train.csv", "Dig-MNIST.csv"):
        (tmp_path / name).write_text(f"label,{','.join(f'pixel{k}' for k in range(16))}\n{','.join('1' * 17)}\n")
    (tmp_path / "test.csv").write_text(f"id,{','.join(f'pixel{k}' for k in range(16))}\n{','.join('1' * 17)}\n")
    with pytest.raises(BadInput, match=r"got Dig-MNIST\.csv, train\.csv") as caught:
        discover([tmp_path])
    train, extra = f"--data {tmp_path}/train.csv", f"--data {tmp_path}/Dig-MNIST.csv"
    assert list(caught.value.commands) == [
        f"mnist-tfx run {train} # without Dig-MNIST.csv",
        f"mnist-tfx run {train} {extra} # Dig-MNIST.csv to train on as well",
    ]


@pytest.mark.parametrize("below", ["raw", "MNIST/raw"])
def test_the_files_may_lie_in_the_one_folder_of_a_folder_that_has_any(tmp_path, below):
    (tmp_path / below).mkdir(parents=True)
    (tmp_path / "MNIST" / "processed").mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (tmp_path / below / name).write_bytes(IMAGES if "images" in name else LABELS)
    files = discover([tmp_path])
    assert told(files) == ("idx", [("train", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])])
    assert "read from the folder raw in" in " ".join(files.says)


REFUSED = {
    "nothing there": ([], "no data files found"),
    "nothing known": (["notes.txt"], "no data files found"),
    "labels missing": (["train-images-idx3-ubyte"], "train labels are missing"),
    "test images missing": (
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"],
        "test images are missing",
    ),
    "test alone": (["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"], "no train part"),
    "pair of two sets": (["a-train-images-idx3-ubyte", "b-train-labels-idx1-ubyte"], "are missing"),
    "two names of one thing": (
        ["train-images-idx3-ubyte", "train-images.idx3-ubyte", "train-labels-idx1-ubyte"],
        "two files of train images",
    ),
    "two sets": (
        [f"{a}-train-{b}-ubyte" for a in "ab" for b in ("images-idx3", "labels-idx1")],
        "more than one train part",
    ),
    "two trains": (["mnist_train.csv", "mnist_train_small.csv"], "more than one train part"),
    "unclear CSVs": (["a.csv", "train.csv"], "cannot tell which CSV file is train"),
}


@pytest.mark.parametrize(("names", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_an_unclear_folder_is_refused(folder, names, message):
    where = folder(*names)
    with pytest.raises(BadInput) as caught:
        discover([where])
    assert str(where) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("names", "form", "message"),
    [
        ([], None, "no data files given"),
        (["train.csv", "train-images-idx3-ubyte"], None, "wanted all of one form, got csv and idx"),
        (["train.csv"], "idx", "wanted idx, got csv"),
        (["train.csv"], "parquet", "wanted parquet, got csv"),
        (["train.csv"], "arff", "wanted idx or csv or parquet or pairs, got 'arff'"),
        (["train-images-idx3-ubyte", "some images"], None, "two files of train images"),
        (["some labels"], None, "train images are missing"),
        (["test1.csv", "test2.csv"], None, "no train part"),
        ([".", "train.csv"], None, "give one folder, or files"),
        (["absent.csv"], None, "no such file or folder"),
    ],
)
def test_files_that_make_no_data_are_refused(folder, names, form, message):
    where = folder(*(name for name in names if name not in (".", "absent.csv")))
    with pytest.raises(BadInput) as caught:
        discover([where / name for name in names], form=form)
    assert message in str(caught.value)


def test_links_and_dots_in_a_path_are_followed(folder):
    where = folder("real.csv")
    (where / "train.csv").symlink_to("real.csv")
    (where / "below").mkdir()
    (where / "below" / "back").symlink_to("..")
    for path in (where / "train.csv", where / "below" / ".." / "train.csv", where / "below" / "back" / "train.csv"):
        assert told(discover([path])) == ("csv", [("train", ["train.csv"])])


def test_a_name_of_255_bytes_is_read(folder):
    name = "n" * 251 + ".csv"
    assert told(discover([folder(name)])) == ("csv", [("train", [name])])


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.with_name("loop.csv").symlink_to("loop.csv"), id="loop.csv"),
        pytest.param(lambda path: path.with_name("dead.csv").symlink_to("absent"), id="dead.csv"),
        pytest.param(lambda path: os.mkfifo(path.with_name("fifo.csv")), id="fifo.csv"),
        pytest.param(lambda path: path.with_name("two\nlines.csv").write_bytes(ROWS), id="two lines"),
        pytest.param(lambda path: path.with_name("escape\x1b.csv").write_bytes(ROWS), id="escape sequence"),
        pytest.param(lambda path: Path(os.fsdecode(bytes(path.with_name("x")) + b"\xff.csv")).touch(), id="not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_or_named_is_refused_in_one_line(tmp_path, make):
    make(tmp_path / "anchor")
    for paths in ([tmp_path], list(tmp_path.iterdir())):
        with pytest.raises(BadInput) as caught:
            discover(paths)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["n" * 256 + ".csv", "nul\0.csv"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    with pytest.raises(BadInput, match="no such file"):
        discover([tmp_path / name])


@pytest.mark.parametrize(("columns", "shape"), [(785, (28, 28)), (65, (8, 8)), (2, (1, 1)), (784, None), (1, None)])
def test_a_square_is_guessed_from_the_columns_alone(columns, shape):
    assert square_guess(columns) == shape


def test_the_geometry_of_a_csv_is_that_guess(folder):
    assert geometry(discover([folder("train.csv")])) == (2, 2)


def spans(folder, *numbers):
    return [Span(number=number, name=f"span-{number}", folder=folder / f"span-{number}") for number in numbers]


def fill(folder, **contents):
    folder.mkdir()
    for name, content in contents.items():
        (folder / name.replace("_", "-")).write_bytes(content)


IDX_SPAN = {"train_images_idx3_ubyte": IMAGES, "train_labels_idx1_ubyte": LABELS}


def test_parts_of_several_spans_are_one_data_set_oldest_first(tmp_path):
    for number in (1, 2):
        fill(tmp_path / f"span-{number}", **IDX_SPAN, notes=b"")
    fill(tmp_path / "span-3", **IDX_SPAN, **{name.replace("train", "t10k"): data for name, data in IDX_SPAN.items()})
    files = discover_spans(spans(tmp_path, 1, 2, 3))
    assert [(part.split, part.span.number) for part in files.parts] == [
        ("train", 1),
        ("train", 2),
        ("train", 3),
        ("test", 3),
    ]
    assert [span.number for span in files.spans] == [1, 2, 3]
    assert files.ignored == (tmp_path / "span-1" / "notes", tmp_path / "span-2" / "notes")


@pytest.mark.parametrize(
    ("other", "got"),
    [
        ({**IDX_SPAN, "train_images_idx3_ubyte": struct.pack(">4I", 0x803, 1, 3, 3) + bytes(9)}, "IDX of 3x3 images"),
        ({"digits.csv": ROWS}, "CSV with 5 columns"),
    ],
)
def test_a_span_of_another_kind_than_the_newest_is_refused_by_its_name(tmp_path, other, got):
    fill(tmp_path / "span-1", **other)
    fill(tmp_path / "span-2", **IDX_SPAN)
    with pytest.raises(BadInput, match=f"span-1 is of another kind than span-2: wanted IDX of 2x3 images, got {got}"):
        discover_spans(spans(tmp_path, 1, 2))


def test_csv_spans_of_another_width_are_refused(tmp_path):
    fill(tmp_path / "span-1", **{"train.csv": b"1,0,0\n"})
    fill(tmp_path / "span-2", **{"train.csv": ROWS})
    with pytest.raises(BadInput, match="wanted CSV with 5 columns, got CSV with 3 columns"):
        discover_spans(spans(tmp_path, 1, 2))


def test_data_without_a_pattern_is_of_no_span(folder):
    assert discover([folder("train.csv")]).spans == ()
