"""Rows of CSV and IDX files, with labels or without, are read in their order; what is wrong with one is one line."""

import gzip

import numpy as np
import pytest
from data_forms import write_parquet

from components.errors import BadInput
from components.ingest import idx
from components.settings import DataSettings
from pipeline.predict.answer import Answer
from pipeline.predict.rows import ARRAY, CSV, IMAGES, LABELS, PARQUET, Table, in_pairs, kind_of, read
from pipeline.predict.tables import answer_rows, answers_file, require_writable

DATA = DataSettings(shape=(4, 3), pixel_max=255, label_count=10)
IMAGES_MADE = np.random.default_rng(1).integers(0, 256, (5, 4, 3)).astype(np.uint8)
TRUTH = np.array([3, 1, 4, 1, 5])
PIXELS = ",".join(f"pixel{number}" for number in range(12))


def lines(*, header=None, before=None, after=None, form=str):
    rows = []
    for number, image in enumerate(IMAGES_MADE):
        fields = [form(value) for value in image.ravel().tolist()]
        rows.append([*([str(before[number])] if before is not None else []), *fields])
        rows[-1] += [str(after[number])] if after is not None else []
    return "\n".join([*([header] if header else []), *(",".join(row) for row in rows)]) + "\n"


def read_all(path, kind=CSV, labels=None):
    blocks = list(read(Table(path=path, kind=kind, labels=labels), DATA))
    images = np.concatenate([block.images for block in blocks])
    found = None if blocks[0].labels is None else np.concatenate([block.labels for block in blocks]).tolist()
    return images, found


WITHOUT_LABELS = {
    "kaggle's test.csv": lines(header=PIXELS),
    "no header": lines(),
    "a row index": lines(header=f"id,{PIXELS}", before=range(5)),
    "whole numbers written as floats": lines(header=PIXELS, form=lambda value: f"{value}.0"),
}


@pytest.mark.parametrize("name", WITHOUT_LABELS)
def test_rows_without_labels_are_read(tmp_path, name):
    (tmp_path / "test.csv").write_text(WITHOUT_LABELS[name])
    assert kind_of(tmp_path / "test.csv") == CSV
    images, labels = read_all(tmp_path / "test.csv")
    assert labels is None
    assert np.array_equal(images, IMAGES_MADE)


def test_rows_of_parquet_and_of_arrays_are_read(tmp_path):
    write_parquet(tmp_path / "rows.parquet", IMAGES_MADE, TRUTH)
    np.save(tmp_path / "rows.npy", IMAGES_MADE)
    for name, kind, wanted in (("rows.parquet", PARQUET, TRUTH.tolist()), ("rows.npy", ARRAY, None)):
        assert kind_of(tmp_path / name) == kind
        images, labels = read_all(tmp_path / name, kind)
        assert np.array_equal(images, IMAGES_MADE)
        assert labels == wanted


@pytest.mark.parametrize("packed", [False, True])
def test_labels_are_read_where_there_are_some(tmp_path, packed):
    text = lines(header=f"label,{PIXELS}", before=TRUTH).encode()
    (tmp_path / "train.csv").write_bytes(gzip.compress(text) if packed else text)
    images, labels = read_all(tmp_path / "train.csv")
    assert np.array_equal(images, IMAGES_MADE)
    assert labels == TRUTH.tolist()


def test_idx_images_are_read_alone_and_with_their_labels(tmp_path):
    idx.write_images(tmp_path / "t10k-images.gz", IMAGES_MADE)
    idx.write_labels(tmp_path / "t10k-labels", TRUTH)
    assert kind_of(tmp_path / "t10k-images.gz") == IMAGES
    assert kind_of(tmp_path / "t10k-labels") == LABELS
    alone, labels = read_all(tmp_path / "t10k-images.gz", IMAGES)
    assert (np.array_equal(alone, IMAGES_MADE), labels) == (True, None)
    (table,) = in_pairs([(tmp_path / "t10k-images.gz", IMAGES), (tmp_path / "t10k-labels", LABELS)])
    assert read_all(table.path, IMAGES, table.labels)[1] == TRUTH.tolist()
    with pytest.raises(BadInput, match="labels alone"):
        in_pairs([(tmp_path / "t10k-labels", LABELS)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n4,5,6\n", "wrong number of columns"),
        (f"{PIXELS}\n", "holds no rows"),
        (lines().replace("\n", ",\n", 1), "too few fields"),
        (lines(header=PIXELS) + ",".join(["7"] * 11 + ["300"]) + "\n", "line 7 .*300"),
        (lines(header=PIXELS) + ",".join(["7"] * 11 + ["0.5"]) + "\n", "line 7 .*0.5"),
        (lines(header=PIXELS) + "1,2\n", "line 7 has too few fields"),
    ],
)
def test_rows_that_are_none_are_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "test.csv").write_text(text)
    with pytest.raises(BadInput, match=message) as refused:
        read_all(tmp_path / "test.csv")
    assert "\n" not in str(refused.value)


def test_images_of_another_size_or_length_are_refused(tmp_path):
    idx.write_images(tmp_path / "images", np.zeros((2, 5, 5), np.uint8))
    with pytest.raises(BadInput, match=r"another size.*4x3.*5x5"):
        read_all(tmp_path / "images", IMAGES)
    idx.write_images(tmp_path / "images", IMAGES_MADE)
    (tmp_path / "images").write_bytes((tmp_path / "images").read_bytes()[:-1])
    with pytest.raises(BadInput, match="than the file can hold"):
        read_all(tmp_path / "images", IMAGES)


@pytest.mark.parametrize("text", ["# Notes, and more\n\nof them, here\n", "", "seven\n", "a,b\nc,d\n"])
def test_text_is_no_rows(tmp_path, text):
    (tmp_path / "notes").write_text(text)
    assert kind_of(tmp_path / "notes") is None


class FirstPixel:
    """A model that answers the first pixel modulo ten."""

    def answers(self, images, progress):
        progress(len(images))
        return [
            Answer(
                label=int(image[0, 0]) % 10,
                probability=0.9,
                second=0,
                second_probability=0.1,
                probabilities=np.empty(0),
                reconstruction=None,
            )
            for image in images
        ]


def answered(tmp_path, text, header=("ImageId", "Label")):
    (tmp_path / "rows.csv").write_text(text)
    table = Table(path=tmp_path / "rows.csv", kind=CSV)
    with answers_file(tmp_path / "answers.csv", header) as sink:
        return answer_rows([table], FirstPixel(), None, DATA, lambda *_: None, sink)


def test_answers_are_written_as_kaggle_wants_them(tmp_path):
    (table,) = answered(tmp_path, lines(header=PIXELS))
    wanted = [f"{number},{image[0, 0] % 10}" for number, image in enumerate(IMAGES_MADE, 1)]
    assert (tmp_path / "answers.csv").read_text() == "\n".join(["ImageId,Label", *wanted]) + "\n"
    assert (table.rows, sum(table.counts), table.accuracy, table.doubted) == (5, 5, None, None)


def test_the_header_is_as_it_was_asked_for(tmp_path):
    answered(tmp_path, lines(), header=None)
    assert (tmp_path / "answers.csv").read_text().startswith("1,")


def test_with_labels_the_accuracy_is_counted(tmp_path):
    truth = [int(image[0, 0]) % 10 for image in IMAGES_MADE]
    truth[0] = (truth[0] + 1) % 10
    (table,) = answered(tmp_path, lines(header=f"label,{PIXELS}", before=truth))
    assert table.accuracy == pytest.approx(0.8)


def test_a_bad_row_leaves_the_answers_of_before(tmp_path):
    (tmp_path / "answers.csv").write_text("of before")
    with pytest.raises(BadInput):
        answered(tmp_path, lines(header=PIXELS) + "1,2\n")
    assert (tmp_path / "answers.csv").read_text() == "of before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "rows.csv"]


def test_the_answers_go_where_nothing_is_lost(tmp_path):
    (tmp_path / "rows.csv").write_text("1,2\n")
    for place, message in (("rows.csv", "would replace"), ("no/a.csv", "no such folder"), (".", "is a folder")):
        with pytest.raises(BadInput, match=message):
            require_writable(tmp_path / place, [tmp_path / "rows.csv"])
