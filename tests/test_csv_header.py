"""What a CSV's first line is: a header of whatever kind never becomes an image, and no image becomes a header."""

import time

import numpy as np
import pytest

from components.errors import BadInput
from components.ingest import csv_rows
from components.ingest.csv_columns import label_texts, resolve_columns
from components.ingest.csv_layout import sniff
from components.settings import DataSettings

DATA = DataSettings(shape=(3, 4), pixel_max=255)
ROWS = [[7, *range(50, 62)], [0, *[0] * 12], [9, *[255, 3] * 6], [3, *[1] * 12]]
COUNT = 13


@pytest.fixture
def write(tmp_path):
    def write(lines, name="train.csv"):
        path = tmp_path / name
        path.write_text("\n".join(line if isinstance(line, str) else ",".join(map(str, line)) for line in lines) + "\n")
        return path

    return write


def read(path, data=DATA):
    chunks = list(csv_rows.iter_chunks(path, data, rows=100))
    return [[int(c.labels[i]), *c.pixels[i].tolist()] for c in chunks for i in range(len(c))]


HEADERS = {
    "whole numbers from 0": range(COUNT),
    "whole numbers from 1": range(1, COUNT + 1),
    "whole numbers from 2": range(2, COUNT + 2),
    "floats": [f"{i}.0" for i in range(COUNT)],
    "floats from 1": [f"{i}.0" for i in range(1, COUNT + 1)],
    "in quotes": [f'"{i}"' for i in range(COUNT)],
    "a row that pandas made unique": ["7", "0", *[f"0.{i}" for i in range(1, COUNT - 1)]],
    "an empty row that pandas made unique": ["0", *[f"0.{i}" for i in range(1, COUNT)]],
    "rows that pandas made unique": ["7", "0", "0.1", "0.2", "84", "185", "84.1", "0.3", "0.4", "7.1", "0.5", "9", "3"],
    "names of another label": ["digit", *[f"pixel{i}" for i in range(COUNT - 1)]],
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_of_numbers_never_becomes_an_image(write, header):
    assert read(write([list(header), *ROWS])) == ROWS


@pytest.mark.fault(29)
def test_a_header_of_numbers_says_the_order_of_permuted_columns(write):
    path = write([[12, *range(12)], *ROWS])  # pandas: the label was put first
    assert read(path) == ROWS
    back = [0, *range(12, 0, -1)]
    assert read(write([back, *[[row[i] for i in back] for row in ROWS]])) == ROWS


def test_a_first_row_is_never_taken_for_a_header(write):
    assert read(write(ROWS)) == ROWS
    almost = [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12], *ROWS]
    assert read(write(almost)) == almost


def test_of_few_numbers_that_count_up_nobody_guesses_whether_they_are_a_header(write):
    data = DataSettings(shape=(2, 2), pixel_max=16, label="first")
    with pytest.raises(BadInput, match="line 1 may be a header and may be a row"):
        read(write([range(5), [3, 1, 1, 1, 1]]), data)
    assert len(read(write([[3, 1, 1, 1, 1], range(5)]), data)) == 2


MIDDLE = {
    "the file's own": (["label", *[f"p{i}" for i in range(12)]], ["label", *[f"p{i}" for i in range(12)]]),
    "of numbers": (list(range(COUNT)), list(range(COUNT))),
    "of numbers from 1": (None, list(range(1, COUNT + 1))),
    "of numbers, label moved": (None, [12, *range(12)]),
}


@pytest.mark.parametrize("spaced", [False, True], ids=["by arithmetic", "line by line"])
@pytest.mark.parametrize(("first", "again"), MIDDLE.values(), ids=MIDDLE.keys())
def test_a_header_amid_the_rows_is_named(write, first, again, spaced):
    rows = [ROWS[0], [" 0", *ROWS[1][1:]] if spaced else ROWS[1], again, *ROWS]
    line = 3 + (first is not None)
    with pytest.raises(BadInput, match=f"line {line} is a header amid the rows"):
        read(write(([first] if first else []) + rows), DATA.model_copy(update={"label": "first"}))


def test_every_file_of_a_set_has_its_own_header(write):
    paths = [write([list(range(COUNT)), *ROWS]), write([*ROWS], "more.csv")]
    assert [read(path) for path in paths] == [ROWS, ROWS]
    assert resolve_columns(paths, DATA).label == (0,)


def test_a_file_without_header_beside_one_with_columns_out_of_order_is_refused(write):
    back = ["label", *[f"p{i}" for i in range(11, -1, -1)]]
    with pytest.raises(BadInput, match=r"more.csv: has no header, and another file's header"):
        resolve_columns([write([back, *ROWS]), write(ROWS, "more.csv")], DATA)


INDEXED = [[i, *row] for i, row in enumerate(ROWS)]
INDEX = {
    "pandas' own": ["", "label", *range(12)],
    "named": ["index", "label", *[f"p{i}" for i in range(12)]],
    "Unnamed: 0": ["Unnamed: 0", "label", *[f"p{i}" for i in range(12)]],
    "of numbers": ["", *range(13)],
}


@pytest.mark.parametrize("header", [*INDEX.values(), None], ids=[*INDEX.keys(), "no header"])
def test_a_column_that_numbers_the_rows_is_left_aside(write, header):
    assert read(write([header, *INDEXED] if header else INDEXED), DATA.model_copy(update={"label": "first"})) == ROWS


@pytest.mark.parametrize("name", ["", "id", "Unnamed: 0", "ImageId"])
@pytest.mark.parametrize("setting", ["auto", "first"])
def test_a_column_that_numbers_the_rows_is_never_the_label(write, name, setting):
    rows = [[i, *row[1:]] for i, row in enumerate(ROWS)]
    numbers = range(12) if not name else [f"pixel{i}" for i in range(12)]
    with pytest.raises(BadInput, match="has no label: the column that could hold it numbers the rows"):
        read(write([[name, *numbers], *rows]), DATA.model_copy(update={"label": setting}))


def test_a_label_within_the_row_is_read_where_a_header_names_it(write):
    moved = [[*row[1:6], row[0], *row[6:]] for row in ROWS]
    names = [*[f"pixel{i}" for i in range(5)], "digit", *[f"pixel{i}" for i in range(5, 12)]]
    assert read(write([names, *moved])) == ROWS
    with pytest.raises(BadInput, match="elsewhere in the row, only a header can name it"):
        read(write([[1, *row[:-1], 1] for row in moved]), DATA.model_copy(update={"shape": (1, 13)}))


def test_a_row_index_does_not_make_up_for_another_shape(write):
    rows = [[i, i % 10, *[i] * 16] for i in range(12)]
    with pytest.raises(BadInput, match=r"wanted 13 .*, got 18"):
        read(write(rows))


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_one_hot_labels_are_read(write, first):
    hot = [[int(k == row[0]) for k in range(10)] for row in ROWS]
    rows = [[*one, *row[1:]] if first else [*row[1:], *one] for one, row in zip(hot, ROWS, strict=True)]
    assert read(write(rows)) == ROWS
    assert read(write([[f"{value}.0" for value in row] for row in rows])) == ROWS


def test_names_may_count_on_from_that_of_the_label(write):
    assert read(write([[f"V{k}" for k in range(1, COUNT + 1)], *ROWS])) == ROWS
    backwards = [[f"V{k}" for k in (1, *range(COUNT, 1, -1))], *[[row[0], *row[:0:-1]] for row in ROWS]]
    assert read(write(backwards)) == ROWS


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("words", [("False", "True"), ("FALSE", "TRUE")], ids=["pandas", "R"])
def test_one_hot_labels_may_be_words_for_true_and_false(write, words, quote):
    rows = [[*row[1:], *[f"{quote}{words[k == row[0]]}{quote}" for k in range(10)]] for row in ROWS]
    assert read(write(rows)) == ROWS


def test_a_row_with_true_twice_has_no_label(write):
    rows = [[*row[1:], *[k == row[0] for k in range(10)]] for row in ROWS] * 50
    with pytest.raises(BadInput, match=r"1 row has an unusable label.* in line 201"):
        read(write([*rows, [*rows[0][:-1], True]]))


@pytest.mark.parametrize("form", ["%.18e", "%.6E", "%.2e"])
def test_whole_numbers_in_scientific_notation_are_read(tmp_path, form):
    np.savetxt(tmp_path / "rows.csv", np.array(ROWS), fmt=form, delimiter=",")
    assert read(tmp_path / "rows.csv") == ROWS


@pytest.mark.parametrize("pixel", ["2.555e+02", "5.0e-01", "2.56e+02", "1.0e+03"])
def test_other_numbers_in_scientific_notation_are_no_pixels(write, pixel):
    with pytest.raises(BadInput, match=r"1 row has an unusable pixel.*in line 5 column 13"):
        read(write([*ROWS, [1, *[0] * 11, pixel]]))


@pytest.mark.parametrize("name", ["label_{}", "{}"])
def test_one_hot_labels_go_by_the_numbers_in_their_names(write, name):
    order = sorted(range(10), key=lambda k: f"{k * 7 % 10}")
    header = [*[f"pixel{k}" for k in range(12)], *[name.format(k) for k in order]]
    rows = [[*row[1:], *[int(k == row[0]) for k in order]] for row in ROWS]
    assert read(write([header, *rows])) == ROWS


def test_one_hot_labels_of_other_names_go_by_their_place(write):
    header = [*[f"pixel{k}" for k in range(12)], *[f"is_{letter}" for letter in "jihgfedcba"]]
    rows = [[*row[1:], *[int(k == row[0]) for k in range(10)]] for row in ROWS]
    assert read(write([header, *rows])) == ROWS


def test_one_hot_labels_of_other_names_in_another_file_are_refused(write):
    files = []
    for name, letters in (("train.csv", "abcdefghij"), ("test.csv", "jihgfedcba")):
        header = [*[f"pixel{k}" for k in range(12)], *[f"is_{letter}" for letter in letters]]
        files.append(write([header, *[[*row[1:], *[int(k == row[0]) for k in range(10)]] for row in ROWS]], name))
    with pytest.raises(BadInput, match=r"test\.csv: one-hot labels have other names.*wanted 'is_a', got 'is_j'"):
        resolve_columns(files, DATA)
    assert resolve_columns(files[:1], DATA).label == tuple(range(12, 22))


def test_a_row_with_two_ones_has_no_label(write):
    hot = [[int(k == row[0]) for k in range(10)] for row in ROWS]
    rows = [[*row[1:], *one] for one, row in zip(hot, ROWS, strict=True)] * 50
    with pytest.raises(BadInput, match=r"1 row has an unusable label.* in line 201"):
        read(write([*rows, [*rows[0][:-1], 1]]))


def test_one_hot_labels_of_more_classes_are_named(write):
    rows = [[*row[1:], *[int(k == row[0]) for k in range(12)]] for row in ROWS]
    with pytest.raises(BadInput, match=r"got 24: the label is one-hot, in 12 columns: --set data\.label_count=12"):
        read(write(rows))


@pytest.mark.parametrize("at", [0, 6, 12], ids=["first", "within", "last"])
@pytest.mark.parametrize("header", [True, False])
def test_labels_in_words_are_numbered_in_order(write, at, header):
    names = tuple("ABCDEFGHIJ")
    rows = [[*row[1 : at + 1], names[row[0]], *row[at + 1 :]] for row in ROWS]
    pixels = [f"pixel{i}" for i in range(12)]
    path = write([[*pixels[:at], "letter", *pixels[at:]], *rows] if header else rows)
    named = DATA.model_copy(update={"class_names": names})
    assert read(path, named) == ROWS
    assert label_texts([path], DATA.model_copy(update={"label_count": 4})) == ("A", "D", "H", "J")
    with pytest.raises(BadInput, match=r"labels are words.*4 classes, 'A' to 'J': --set data\.label_count=4"):
        read(path)


def test_columns_that_are_no_pixels_are_left_aside_by_name(write):
    rows = [[row[0], "a", *row[1:], 3] for row in ROWS]
    names = ["label", "writer", *[f"pixel{i}" for i in range(12)], "quality"]
    assert read(write([names, *rows]), DATA.model_copy(update={"ignore_columns": ("writer", "quality")})) == ROWS
    with pytest.raises(BadInput, match="--ignore-columns writer,quality"):
        read(write([names, *rows]))
    with pytest.raises(BadInput, match="no column of the name 'pen'"):
        read(write([names, *rows]), DATA.model_copy(update={"ignore_columns": ("pen",)}))


def test_labels_start_at_the_offset_and_images_are_turned_upright(write):
    letters = DATA.model_copy(update={"label_offset": 1, "transpose": True})
    rows = [[row[0] + 1, *np.reshape(row[1:], (3, 4)).T.ravel().tolist()] for row in ROWS]
    assert read(write(rows), letters) == ROWS
    with pytest.raises(BadInput, match=r"whole numbers from 0 to 9.*labels are from 1 to 10: --label-offset 1"):
        read(write([["label", *range(12)], *rows]))


def test_increasing_numbers_are_a_header(write):
    data = DataSettings(shape=(6, 6), pixel_max=255)
    rows = [[7, *range(50, 86)], [0, *[0] * 36], [9, *[255, 3] * 18]]
    assert read(write([[0, *range(10, 82, 2)], *rows]), data) == rows


@pytest.mark.parametrize(
    ("last", "message"),
    [
        pytest.param("," * 12, "unusable label: .* got '' in line 5", id="delimiters alone"),
        pytest.param(["total", *range(12)], "got 'total' in line 5", id="a total"),
        pytest.param([4.75, *[3.5] * 12], "got '4.75' in line 5", id="means"),
        pytest.param("4 rows", "line 5 has too few fields", id="a sentence"),
    ],
)
def test_a_last_line_that_is_no_row_is_named(write, last, message):
    with pytest.raises(BadInput, match=message):
        read(write([*ROWS, last]), DATA.model_copy(update={"label": "first"}))


def test_empty_last_lines_are_no_rows(write):
    assert read(write([*ROWS, "", "  ", "\t"])) == ROWS


@pytest.mark.parametrize("names", [20_000, 200_000])
@pytest.mark.parametrize("kind", ["n{}", "{}", "label{}x"])
def test_a_header_of_many_names_takes_time_in_proportion_to_them(write, names, kind):
    path = write([[kind.format(i) for i in range(names)], ["1"] * names])
    before = time.process_time()
    assert sniff(path).columns == names
    assert time.process_time() - before < names / 20_000  # 0.03 s and 0.3 s; it took 48 s for 20,000


@pytest.mark.parametrize("field", ["9" * 5000, "x" * 5000, f"pixel{'9' * 5000}", f"0.{'1' * 5000}"])
def test_a_field_of_thousands_of_digits_is_refused_in_one_line(write, field):
    for at in (0, 5):
        header = ["label", *[f"pixel{i}" for i in range(12)]]
        header[at] = field
        with pytest.raises(BadInput, match="line 1 has a field that is too long"):
            read(write([header, *ROWS]))
    with pytest.raises(BadInput, match="line 2"):
        read(write([ROWS[0], [*ROWS[1][:-1], field]]), DATA.model_copy(update={"label": "first"}))


def test_a_wide_row_is_read(write):
    wide = DataSettings(shape=(300, 300), pixel_max=255, label="first")
    rows = np.random.default_rng(1).integers(0, 10, (3, 90_001))
    assert read(write(rows.tolist()), wide) == rows.tolist()
