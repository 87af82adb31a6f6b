"""CSV bytes -> rows; fault rows 27 to 29, and the label's column."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from components.errors import BadInput, MnistTfxError
from components.ingest import csv_rows, idx
from components.settings import DataSettings

DATA = Path(__file__).parents[2] / "shared" / "data"
SQUARE = DataSettings(shape=(2, 2), pixel_max=16, label="first")
AUTO = SQUARE.model_copy(update={"label": "auto"})
PIXELS = [[1, 2, 3, 16], [0, 0, 0, 0], [10, 11, 12, 13]]
LABELS = [7, 0, 9]
LINES = ["7,1,2,3,16", "0,0,0,0,0", "9,10,11,12,13"]
PLAIN = "\n".join(LINES) + "\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="train.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def read_all(path, data=SQUARE, rows=2, label=None):
    chunks = list(csv_rows.iter_chunks(path, data, rows=rows, columns=label))
    assert [chunk.start for chunk in chunks] == list(range(0, sum(map(len, chunks)), rows))
    return np.concatenate([c.pixels for c in chunks]).tolist(), np.concatenate([c.labels for c in chunks]).tolist()


def label_last(line):
    label, _, pixels = line.partition(",")
    return f"{pixels},{label}"


SAME_ROWS = {
    "plain": (PLAIN, "first"),
    "gzip": (gzip.compress(PLAIN.encode()), "first"),
    "tabs": (PLAIN.replace(",", "\t"), "first"),
    "semicolons": (PLAIN.replace(",", ";"), "first"),
    "bars": (PLAIN.replace(",", "|"), "first"),
    "one space or several": ("  " + PLAIN.replace(",", " ").replace("0 0", "0   0"), "first"),
    "floats": (PLAIN.replace(",", ".0,").replace("\n", ".000\n"), "first"),
    "floats with commas": (PLAIN.replace(",", ",0;").replace("\n", ",00\n"), "first"),
    "some floats among quotes": (PLAIN.replace("16", '"16.0"').replace("0,0,", "0.,0,"), "first"),
    "an index that pandas wrote": (
        ",label,p0,p1,p2,p3\n" + "".join(f"{i},{line}\n" for i, line in enumerate(LINES)),
        "auto",
    ),
    "an index without a header": ("".join(f"{i + 1000},{line}\n" for i, line in enumerate(LINES)), "first"),
    "an id at the end": ("label,p0,p1,p2,p3,id\n" + "".join(f"{line},{i}\n" for i, line in enumerate(LINES)), "auto"),
    "a delimiter at the end of each line": (PLAIN.replace("\n", ",\n"), "first"),
    "CRLF": (PLAIN.replace("\n", "\r\n"), "first"),
    "byte-order mark": ("\ufeff" + PLAIN, "first"),
    "byte-order mark and header": ("\ufefflabel,p0,p1,p2,p3\n" + PLAIN, "auto"),
    "no line end at the end": (PLAIN.rstrip(), "first"),
    "blank lines": ("\n" + PLAIN.replace("\n", "\n\n") + "\n\n", "first"),
    "quotes": (PLAIN.replace("16", '"16"').replace("0,0,", '"0","0",'), "first"),
    "spaces": (PLAIN.replace(",", ", "), "first"),
    "leading zeros": (PLAIN.replace("16", "016").replace("13", "00013"), "first"),
    "label last": ("\n".join(map(label_last, LINES)) + "\n", "last"),
    "header": ("label,pixel0,pixel1,pixel2,pixel3\n" + PLAIN, "auto"),
    "header counted from one": ("digit,pixel1,pixel2,pixel3,pixel4\n" + PLAIN, "digit"),
    "header as a grid": ("class,1x1,1x2,2x1,2x2\n" + PLAIN, "auto"),
    "header as scikit-learn's": ("target,pixel_0_0,pixel_0_1,pixel_1_0,pixel_1_1\n" + PLAIN, "auto"),
    "header of bare numbers": ("label,0,1,2,3\n" + PLAIN, "auto"),
    "header in quotes": ('"label","p0","p1","p2","p3"\r\n' + PLAIN, "auto"),
    "label in the middle": ("p0,p1,label,p2,p3\n1,2,7,3,16\n0,0,0,0,0\n10,11,9,12,13\n", "auto"),
    "permuted columns": ("label,p1,p0,p3,p2\n7,2,1,16,3\n0,0,0,0,0\n9,11,10,13,12\n", "auto"),
    "permuted grid": ("label,2x1,2x2,1x1,1x2\n7,3,16,1,2\n0,0,0,0,0\n9,12,13,10,11\n", "auto"),
}


@pytest.mark.fault(29)
@pytest.mark.parametrize(("text", "label"), SAME_ROWS.values(), ids=SAME_ROWS.keys())
def test_every_dialect_gives_the_same_rows(write, text, label):
    assert read_all(write(text), SQUARE.model_copy(update={"label": label})) == (PIXELS, LABELS)


LINE_FAULTS = {
    "column missing": (PLAIN + "1,2,3,4\n", "line 4 has too few fields: wanted 5, got 4"),
    "column too many": (PLAIN + "1,2,3,4,5,6\n", "line 4 has too many fields: wanted 5, got 6"),
    "line cut": (PLAIN + "1,2", "line 4 has too few fields"),
    "other delimiter": (PLAIN + "1\t2\t3\t4\t5\n", "line 4 has too few fields"),
    "not UTF-8": (PLAIN.encode() + b"1,2,3,\xff,5\n", "line 4 is not UTF-8 text (byte 7 of the line)"),
    "UTF-16": (PLAIN.encode("utf-16"), "line 1 is not UTF-8"),
    "NUL byte": (PLAIN + "1,2,\0,4,5\n", "line 4 holds a NUL byte"),
    "carriage returns alone": (PLAIN.replace("\n", "\r"), "line 1 holds a carriage return"),
    "open quote": (PLAIN + '1,"2,3,4,5\n', "line 4 cannot be split into fields"),
    "text after a quote": (PLAIN + '1,"2"3,4,5,6\n', "line 4 cannot be split into fields"),
    "a line of 1 MB": (PLAIN + "1," * 500_000 + "\n" + PLAIN, "line 4 "),
    "a first line of 1 MB": ("1," * 500_000 + "\n" + PLAIN, "wanted 5 (2x2 pixels and a label), got 500001"),
    "an endless line": (PLAIN + "1," * 2_000_000, "line 4 is too long"),
    "an endless first line": ("1," * 3_000_000, "line 1 is too long"),
    "no label": ("1,2,3,4\n", "wanted 5 (2x2 pixels and a label), got 4: is the label missing?"),
    "an index column": (",label,0,1,2,3\n0,7,1,2,3,4\n", "wanted 5 (2x2 pixels and a label), got 6"),
    "header that names twice": ("label,p0,p1,p1,p2\n" + PLAIN, "line 1 names a column twice"),
    "header without numbers": ("label,a,b,c,d\n" + PLAIN, "line 1 has names that do not say the order"),
    "header with a number missing": ("label,p0,p1,p2,p4\n" + PLAIN, "line 1 has names that do not say the order"),
    "header of another grid": ("label,1x1,1x2,1x3,1x4\n" + PLAIN, "line 1 has names that do not say the order"),
    "header with the column first": ("label,x1y1,x1y2,x2y1,x2y2\n" + PLAIN, "do not say the order"),
    "header alone": ("label,p0,p1,p2,p3\n", "holds no rows"),
    "nothing": ("", "holds no rows"),
    "blank lines alone": ("\n \n\n", "holds no rows"),
}


@pytest.mark.fault(29)
@pytest.mark.parametrize(("text", "message"), LINE_FAULTS.values(), ids=LINE_FAULTS.keys())
@pytest.mark.parametrize("label", ["first", "auto"])
def test_a_line_at_fault_is_named(write, text, message, label):
    path = write(text)
    with pytest.raises(BadInput) as caught:
        read_all(path, SQUARE.model_copy(update={"label": label}))
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    "value", ["10", "99999999999999999999", "", "3.5", "-1", "+1", "seven", "nan", "1e0", "\uff15"]
)
def test_a_label_that_is_none_is_refused_with_its_line(write, value):
    path = write(PLAIN + f"{value},1,2,3,4\n" + PLAIN)
    with pytest.raises(BadInput, match="1 row has an unusable label: wanted whole numbers from 0 to 9, got") as caught:
        read_all(path)
    assert str(caught.value).endswith("in line 4")


@pytest.mark.fault(28)
@pytest.mark.parametrize("value", ["17", "256", "1000", "70000", "", "NaN", "inf", "-inf", "-1", "2.5", "0x1", "x"])
def test_a_pixel_that_is_none_is_refused_with_line_and_column(write, value):
    path = write(PLAIN + f"1,2,{value},3,4\n" + PLAIN)
    with pytest.raises(BadInput, match="1 row has an unusable pixel: wanted whole numbers from 0 to 16, got") as caught:
        read_all(path)
    assert str(caught.value).endswith(f"'{value}' in line 4 column 3")


@pytest.mark.fault(27)
@pytest.mark.parametrize("bad", ["12", "x"], ids=["by arithmetic", "line by line"])
def test_faulty_rows_are_counted_and_the_first_ten_named(write, bad):
    path = write("label,p0,p1,p2,p3\n" + "".join(f"{bad if i % 2 else 1},1,2,3,4\n" for i in range(30)))
    with pytest.raises(BadInput, match="15 rows have an unusable label") as caught:
        read_all(path, AUTO)
    assert f"got '{bad}' in line 3, '{bad}' in line 5, " in str(caught.value)
    assert str(caught.value).endswith(f"'{bad}' in line 21, and 5 more")


@pytest.mark.fault(28)
def test_pixels_scaled_to_one_get_a_hint_of_their_own(write):
    with pytest.raises(BadInput, match=r"2 rows have an unusable pixel.*already scaled to 0\.\.1"):
        read_all(write("7,0.0,0.5,1.0,0\n0,0.0,0.0,0.0,0.0\n1,0,1,0.25,0\n"))
    with pytest.raises(BadInput) as caught:
        read_all(write("7,0.0,0.5,1.0,0\n7,0,0,17,0\n"))
    assert "already scaled" not in str(caught.value)


def test_a_faulty_first_line_is_not_lost_as_a_header(write):
    with pytest.raises(BadInput, match="'x' in line 1"):
        read_all(write("x,1,2,3,3\n" + PLAIN))


def test_no_chunk_follows_a_faulty_row(write):
    path = write("1,1,2,3,4\n" * 4 + "1,1,2,3,17\n" + "1,1,2,3,4\n" * 1000)
    chunks = csv_rows.iter_chunks(path, SQUARE, rows=2)
    with pytest.raises(BadInput):
        assert all(len(chunk) == 2 for chunk in chunks)


@pytest.mark.parametrize(
    ("lines", "column"),
    [
        pytest.param(LINES, 0, id="first"),
        pytest.param([label_last(line) for line in LINES], 4, id="last"),
        pytest.param(["0,1,2,3,0", "0,1,2,3,9"], 4, id="first column is constant"),
        pytest.param(['"3",1,2,3,16', '"4",1,2,3,0'], 0, id="in quotes"),
    ],
)
def test_the_label_is_the_end_column_that_can_be_one(write, lines, column):
    assert csv_rows.resolve_columns([write("\n".join(lines))], AUTO).label == (column,)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param(["1,0,0,0,3", "2,0,0,0,4"], "in the first labels alone, in the last labels alone", id="both"),
        pytest.param(["1,0,0,0,3", "1,0,0,0,3"], "in the first the one value 1, in the last the one value 3", id="one"),
        pytest.param(
            ["3.5,0,0,0,0", "1,0,0,0,0", "-1,0,0,0,0"],
            "in the first 2 of 3 rows have no label there, such as '3.5' (lines 1, 3), in the last the one value 0",
            id="neither",
        ),
    ],
)
def test_where_both_ends_or_neither_can_be_the_label_the_user_is_asked(write, lines, reason):
    with pytest.raises(BadInput) as caught:
        csv_rows.resolve_columns([write("\n".join(lines))], AUTO)
    assert reason in str(caught.value)
    assert "--label first or --label last" in str(caught.value)


def test_train_and_test_are_looked_at_together(write):
    train, test = write("0,0,0,0,1\n0,0,0,0,2\n"), write("5,0,0,0,3\n5,0,0,0,4\n", "test.csv")
    assert csv_rows.resolve_columns([train], AUTO).label == (4,)
    with pytest.raises(BadInput, match="labels alone"):
        csv_rows.resolve_columns([train, test], AUTO)


def test_files_whose_labels_stand_in_different_columns_are_refused(write):
    train, test = write("label,p0,p1,p2,p3\n" + PLAIN), write("p0,p1,p2,p3,label\n" + PLAIN, "test.csv")
    with pytest.raises(BadInput, match=r"column 1 in train.csv, column 5 in test.csv"):
        csv_rows.resolve_columns([train, test], AUTO)


@pytest.mark.parametrize(
    ("text", "message"),
    [(PLAIN, "has no header"), ("label,p0,p1,p2,p3\n" + PLAIN, "the name 'digit': got 'label' to 'p3'")],
    ids=["no header", "other header"],
)
def test_a_name_that_no_header_has_is_refused(write, text, message):
    with pytest.raises(BadInput, match=message):
        read_all(write(text), SQUARE.model_copy(update={"label": "digit"}))


def test_a_layout_says_delimiter_header_columns_and_first_row(write):
    layout = csv_rows.sniff(write("\nlabel\tp0\tp1\n1\t2\t3\n"))
    assert (layout.delimiter, layout.header, layout.columns, layout.first_line) == ("\t", ("label", "p0", "p1"), 3, 3)


@settings(max_examples=50)
@given(
    values=arrays(np.int64, st.tuples(st.integers(1, 40), st.just(5)), elements=st.integers(0, 9)),
    delimiter=st.sampled_from([",", "\t"]),
    rows=st.integers(1, 50),
    spaced=st.booleans(),
)
def test_numbers_come_back_as_they_were_written(tmp_path_factory, values, delimiter, rows, spaced):
    path = tmp_path_factory.getbasetemp() / "numbers.csv"
    space = " " if spaced else ""  # sends the block through the careful parser
    path.write_text("".join((delimiter + space).join(map(str, row)) + "\n" for row in values))
    assert read_all(path, SQUARE, rows) == (values[:, 1:].tolist(), values[:, 0].tolist())


@given(numbers=st.lists(st.integers(0, 999), min_size=3, max_size=60).map(lambda n: n[: len(n) // 3 * 3]))
def test_arithmetic_on_bytes_reads_what_int_reads(numbers):
    text = "".join(f"{a},{b},{c}\n" for a, b, c in zip(*[iter(numbers)] * 3, strict=True))
    assert csv_rows.parse_ordinary(text.encode(), ",", 3).ravel().tolist() == numbers


@settings(max_examples=300)
@given(at=st.integers(0, len(PLAIN) - 1), byte=st.binary(min_size=0, max_size=2))
def test_a_damaged_file_is_refused_or_keeps_its_shape(tmp_path_factory, at, byte):
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(PLAIN.encode()[:at] + byte + PLAIN.encode()[at + 1 :])
    try:
        pixels, labels = read_all(path)
    except MnistTfxError:
        return
    assert {len(row) for row in pixels} == {4}
    assert len(pixels) == len(labels) <= 4


def test_optdigits_train_and_test_have_their_label_last():
    files = [DATA / "optdigits" / name for name in ("optdigits.tra", "optdigits.tes")]
    if not files[0].exists():
        pytest.skip("no shared data")
    digits = DataSettings(shape=(8, 8), pixel_max=16)
    assert csv_rows.resolve_columns(files, digits).label == (64,)
    assert len(read_all(files[0], digits, rows=1000)[0]) == 3823


def test_twenty_thousand_mnist_rows_are_those_of_the_idx_file():
    path = DATA / "mnist" / "mnist_train_small.csv.gz"
    if not path.exists():
        pytest.skip("no shared data")
    mnist = DataSettings(shape=(28, 28), pixel_max=255)
    chunks = list(csv_rows.iter_chunks(path, mnist, rows=4096))
    rows = np.concatenate([np.column_stack([chunk.pixels, chunk.labels.astype(np.uint8)]) for chunk in chunks])
    names = (f"train-{role}-ubyte.gz" for role in ("images-idx3", "labels-idx1"))
    [whole] = idx.iter_chunks(*(DATA / "mnist" / name for name in names), rows=60_000, data=mnist)
    known = {row.tobytes() for row in np.column_stack([whole.pixels, whole.labels.astype(np.uint8)])}
    assert rows.shape == (20_000, 785)
    assert all(row.tobytes() in known for row in rows)
