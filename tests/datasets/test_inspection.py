"""What a data set is said to be before any run: its form, classes and orientation, and whether a schema fits."""

import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command_line import in_process
from PIL import Image
from sklearn.datasets import load_digits

from components.errors import BadInput
from components.ingest import idx
from pipeline.datasets import class_names
from pipeline.datasets.inspection import inspect

DIGITS = load_digits()
UCI, LABELS = DIGITS.images.astype(np.uint8), DIGITS.target.astype(np.int64)


def write(folder: Path, images=UCI, labels=LABELS, test=None, prefix=""):
    """Writes IDX files as a user has them; `test` is (images, labels)."""
    folder.mkdir(exist_ok=True)
    for split, (pixels, classes) in {"train": (images, labels), "test": test or ((), ())}.items():
        if len(pixels):
            idx.write_images(folder / f"{prefix}{split}-images-idx3-ubyte", np.ascontiguousarray(pixels))
            idx.write_labels(folder / f"{prefix}{split}-labels-idx1-ubyte", np.asarray(classes))
    return folder


def test_the_digits_fit_the_reviewed_schema_and_the_recipe_that_is_built_in(tmp_path):
    found = inspect(write(tmp_path / "digits"))
    assert (found.form, found.shape, found.pixel_max, found.label_count) == ("idx", (8, 8), 16, 10)
    assert found.counts == {"train": tuple(np.bincount(LABELS).tolist())}
    assert (found.geometry, found.orientation, found.notes) == ("8x8-max16-labels10", "upright", ())
    assert found.schema.name == "8x8-max16-labels10.pbtxt"
    assert found.commands == (f"mnist-tfx run --data {tmp_path}/digits",)


def test_transposed_digits_fit_once_they_are_transposed(tmp_path):
    found = inspect(write(tmp_path / "emnist", UCI.transpose(0, 2, 1)))
    assert found.transpose
    assert found.schema is not None
    assert "--transpose" in found.commands[0]
    assert found.notes[0] == "the images are stored transposed (columns written as rows)"


def test_inverted_digits_are_said_to_be_and_fit_no_schema(tmp_path):
    found = inspect(write(tmp_path / "dark", 16 - UCI))
    assert (found.inverted, found.schema, found.reviewed) == (True, None, True)
    assert any("other data: the images look inverted" in note for note in found.notes)
    assert [command.split()[1:3] for command in found.commands] == [
        ["recipe", "new"],
        ["schema", "propose"],
        ["schema", "approve"],
        ["run", "--data"],
    ]


@pytest.mark.parametrize(
    ("labels", "offset", "count", "empty"),
    [
        (LABELS + 1, 1, 10, ()),
        (LABELS + 65, 65, 10, ()),
        (np.where(LABELS == 9, 10, LABELS), 0, 11, (9,)),
        (np.maximum(LABELS, 2), 0, 10, (0, 1)),
    ],
    ids=["one-based", "character codes", "a gap", "the first classes are absent"],
)
def test_labels_begin_where_the_classes_do(tmp_path, labels, offset, count, empty):
    found = inspect(write(tmp_path / "letters", labels=labels))
    assert (found.label_offset, found.label_count, found.empty_classes) == (offset, count, empty)


def test_emnist_letters_have_an_offset_names_and_are_taken_for_transposed(tmp_path):
    letters = np.concatenate([UCI, UCI[:, ::-1]])  # the mean of no digits
    labels = np.concatenate([LABELS, LABELS + 10]) + 1
    folder = write(tmp_path / "letters", letters, labels, prefix="emnist-letters-")
    (folder / "emnist-letters-mapping.txt").write_text("".join(f"{n} {64 + n} {96 + n}\n" for n in range(1, 21)))
    found = inspect(folder)
    assert (found.label_offset, found.transpose) == (1, True)
    assert found.class_names == tuple("ABCDEFGHIJKLMNOPQRST")
    assert any("taken for transposed" in note for note in found.notes)


def test_images_that_come_again_are_counted_within_the_parts_and_between_them(tmp_path):
    images, labels = np.concatenate([UCI, UCI[:3]]), np.concatenate([LABELS, LABELS[:3]])
    found = inspect(write(tmp_path / "twice", images, labels, test=(UCI[:200], LABELS[:200])))
    repeated = len(images) - len({image.tobytes() for image in images})
    assert found.duplicates.within == {"train": repeated, "test": 200 - len({i.tobytes() for i in UCI[:200]})}
    assert found.duplicates.between == len({i.tobytes() for i in UCI[:200]})


@pytest.mark.parametrize(
    ("labels", "test", "problem"),
    [
        (np.full(len(UCI), 3), None, "one class alone"),
        (np.where(np.arange(len(UCI)) == 0, 11, LABELS), None, "1 row alone to train on of class 11"),
        (LABELS, (UCI[LABELS != 7], LABELS[LABELS != 7]), "the test part has no rows of class 7"),
    ],
    ids=["oneclass", "one row", "test-missing-class"],
)
def test_what_a_run_would_refuse_is_a_finding(tmp_path, labels, test, problem):
    folder = write(tmp_path / "odd", labels=labels, test=test)
    answer = in_process("data", "inspect", folder, "--json")
    assert answer.code == 1
    assert problem in " ".join(answer.json["problems"])
    assert answer.json["commands"] == []


def test_a_csv_is_inspected_like_the_idx_of_the_same_rows(tmp_path):
    rows = np.column_stack([LABELS, UCI.reshape(len(UCI), -1)])
    header = ",".join(["label", *(f"pixel{i}" for i in range(64))])
    np.savetxt(tmp_path / "train.csv", rows, fmt="%d", delimiter=",", header=header, comments="")
    found, other = inspect(tmp_path), inspect(write(tmp_path / "idx"))
    assert found.label == "label"
    for field in ("rows", "shape", "counts", "geometry", "orientation", "duplicates", "schema"):
        assert getattr(found, field) == getattr(other, field)


def test_the_text_has_a_line_to_a_thing_and_the_command_last(tmp_path):
    answer = in_process("data", "inspect", write(tmp_path / "digits"))
    assert answer.code == 0
    assert [line.split(" ")[0] for line in answer.out.splitlines() if line[0] != " "] == [
        *("form", "rows", "images", "orientation", "labels", "classes", "duplicates", "schema", "next"),
    ]
    assert answer.out.splitlines()[-1] == f"  mnist-tfx run --data {tmp_path}/digits"


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no data files found"):
        inspect(tmp_path)


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["10", "9", "1"], ("1", "9", "10")),
        (["b", "a", "10"], ("10", "a", "b")),
        (["01", "1", "0"], ("0", "01", "1")),
    ],
    ids=["numbers", "text", "leading zeros"],
)
def test_classes_are_in_numeric_order_where_all_are_numbers(names, ordered):
    assert class_names.in_order(names) == ordered


@pytest.mark.parametrize("text", ["", "a\n\nb\n", "\n"], ids=["empty", "a line is missing", "blank"])
def test_a_list_of_names_has_no_empty_line(tmp_path, text):
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(BadInput, match="a name to a line"):
        class_names.read_names(tmp_path / "names.txt")


def test_a_mapping_takes_the_first_character_of_a_label_and_refuses_anything_else(tmp_path):
    path = tmp_path / "x-mapping.txt"
    path.write_text("0 48\n1 65 97\n2 7\n")
    assert class_names.read_mapping(path) == {0: "0", 1: "A", 2: "7"}
    path.write_text("0 zero\n")
    with pytest.raises(BadInput, match="line 1"):
        class_names.read_mapping(path)


def test_what_was_recognised_beyond_the_usual_is_a_note(tmp_path):
    rows = np.column_stack([np.arange(len(UCI)), LABELS, UCI.reshape(len(UCI), -1)])
    header = ";".join(["", "label", *(f"pixel{i}" for i in range(64))])
    np.savetxt(tmp_path / "train.csv", rows, fmt="%d", delimiter=";", header=header, comments="")
    found = inspect(tmp_path)
    assert found.schema is not None
    assert any("semicolons" in note for note in found.notes)
    assert any("ignored" in note for note in found.notes)


def test_an_inspection_needs_no_engine(tmp_path):
    folder = write(tmp_path / "digits")
    code = "import sys; from pipeline.cli.data import _tools; from pipeline.datasets.inspection import inspect\n"
    code += f"from pathlib import Path; inspect(Path({str(folder)!r}), tools=_tools())\n"
    code += "assert not {'tensorflow', 'tfx', 'apache_beam', 'keras'} & set(sys.modules), sorted(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def csv(path: Path, rows, header=None):
    """Writes rows of numbers, the header if there is one before them."""
    text = "" if header is None else ",".join(header) + "\n"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


FLAT = UCI.reshape(len(UCI), -1)
PIXELS = [f"pixel{number}" for number in range(64)]


def test_it_is_read_as_the_options_of_run_say_and_the_commands_go_on_saying_so(tmp_path):
    rows = np.column_stack([LABELS + 1, FLAT, np.arange(len(UCI)) % 7])
    path = csv(tmp_path / "odd" / "train.csv", rows, ["v", *PIXELS, "writer"])
    (tmp_path / "names.txt").write_text("".join(f"digit {n}\n" for n in range(10)))
    options = ["--label", "v", "--ignore-columns", "writer", "--transpose", "--class-names", tmp_path / "names.txt"]
    answer = in_process("data", "inspect", path, *options, "--json")
    assert answer.code == 0, answer.err
    assert (answer.json["label"], answer.json["ignore_columns"], answer.json["label_offset"]) == ("v", ["writer"], 1)
    assert (answer.json["transpose"], answer.json["class_names"][0]) == (True, "digit 0")
    written = [str(option) for option in options]
    assert " ".join(["--from", str(path), *written]) in answer.json["commands"][0]


def test_a_recipe_holds_how_its_data_were_said_to_be_read(tmp_path):
    rows = np.column_stack([LABELS, FLAT, np.arange(len(UCI)) % 7])
    path = csv(tmp_path / "odd" / "train.csv", rows, ["v", *PIXELS, "writer"])
    file = tmp_path / "r.yaml"
    answer = in_process("recipe", "new", "--from", path, "--label", "v", "--ignore-columns", "writer", "-o", file)
    assert answer.code == 0, answer.err
    assert 'label: "v"' in file.read_text()
    assert 'ignore_columns: ["writer"]' in file.read_text()


def test_the_form_that_was_chosen_is_in_every_command_that_reads_the_folder(tmp_path):
    folder = write(tmp_path / "both", 16 - UCI)
    csv(folder / "train.csv", np.column_stack([LABELS, 16 - FLAT]), ["label", *PIXELS])
    found = in_process("data", "inspect", folder, "--form", "csv", "--json").json
    assert found["form"] == "csv"
    assert all("--form csv" in command for command in found["commands"] if "approve" not in command)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--label", "first"], "IDX has no columns of pixels"),
        (["--label-offset", "3"], "labels go from 0 on, and --label-offset 3"),
        (["--class-names", "few.txt"], "3 names for 10 classes"),
    ],
    ids=["columns of IDX", "an offset above the labels", "too few names"],
)
def test_options_that_do_not_fit_the_data_are_said(tmp_path, options, says):
    (tmp_path / "few.txt").write_text("a\nb\nc\n")
    options = [tmp_path / option if option.endswith(".txt") else option for option in options]
    answer = in_process("data", "inspect", write(tmp_path / "digits"), *options)
    assert answer.code in {1, 2}
    assert says in answer.out + answer.err


def test_labels_that_number_the_rows_are_no_labels(tmp_path):
    path = csv(tmp_path / "one" / "train.csv", np.column_stack([np.arange(600), FLAT[:600]]), ["label", *PIXELS])
    [problem] = inspect(path).problems
    assert problem.startswith("the labels in the column label number the rows, 600 different ones of 600")


@pytest.mark.parametrize(
    "labels", [np.arange(600) % 256, np.random.default_rng(0).permutation(600)], ids=["bytes", "mixed"]
)
def test_labels_that_number_the_rows_are_seen_in_bytes_and_in_any_order(tmp_path, labels):
    folder = tmp_path / "idx"
    folder.mkdir()
    idx.write_images(folder / "train-images-idx3-ubyte", np.ascontiguousarray(UCI[:600]))
    head = bytes((0, 0, 0x0C, 1)) + struct.pack(">I", len(labels))
    (folder / "train-labels-idx1-int").write_bytes(head + labels.astype(">i4").tobytes())
    assert inspect(folder).problems[0].startswith("the labels number the rows")


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (np.zeros_like(UCI), "all images are blank"),
        (np.repeat(UCI[:1], len(UCI), axis=0), "all images are one and the same"),
    ],
    ids=["blank", "the same"],
)
def test_images_that_show_nothing_to_learn_are_a_finding(tmp_path, images, problem):
    answer = in_process("data", "inspect", write(tmp_path / "digits", images))
    assert answer.code == 1
    assert problem in answer.out


@pytest.mark.parametrize("packed", [False, True], ids=["folders", "zip"])
def test_pictures_of_different_sizes_are_said_to_be_and_the_command_makes_one_of_them(tmp_path, packed):
    folder = tmp_path / "pictures"
    for number in range(60):
        place = folder / str(LABELS[number])
        place.mkdir(parents=True, exist_ok=True)
        image = np.kron(UCI[number] * 15, np.ones((3 + number % 3,) * 2, np.uint8))
        Image.fromarray(image.astype(np.uint8)).save(place / f"{number}.png")
    if packed:
        with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
            for path in folder.rglob("*.png"):
                archive.write(path, path.relative_to(folder))
        folder = tmp_path / "pictures.zip"
    found = in_process("data", "inspect", folder, "--json").json
    assert found["notes"][0] == "the pictures have different sizes: --fit 28x28 makes one of them"
    assert found["commands"][0].endswith(" --fit 28x28")


def test_a_csv_in_a_zip_is_looked_at_like_one_beside_it(tmp_path):
    path = csv(
        tmp_path / "x" / "train.csv",
        np.column_stack([np.arange(600), LABELS[:600], FLAT[:600]]),
        ["id", "label", *PIXELS],
    )
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(path, "train.csv")
        archive.writestr("sample_submission.csv", "ImageId,Label\n1,0\n")
    found = in_process("data", "inspect", tmp_path / "x.zip", "--json").json
    assert found["ignored"] == ["sample_submission.csv"]
    assert any("column 1 ('id') is neither pixel nor label" in note for note in found["notes"])
