"""What the first bytes say is said before anything is digested, and bombs end where they begin."""

import gzip
import json
import struct
import time
import zlib

import numpy as np
import pytest

from components.errors import BadInput
from components.ingest import csv_rows, idx, source
from components.ingest.beginnings import check_beginnings, doubt
from components.ingest.data_files import Part
from components.ingest.discovery import discover
from components.ingest.forms import READERS
from components.ingest.payload import payload_digest
from components.settings import DataSettings, HashSplit

EIGHT = DataSettings(shape=(8, 8), pixel_max=16)
ROW = "5," + ",".join(["7"] * 64) + "\n"
MIB = 1 << 20


@pytest.fixture
def pair(tmp_path):
    def pair(count=20, *, name="train", shape=(8, 8), pixel=16, labels=None, gz=False):
        end = ".gz" if gz else ""
        paths = tmp_path / f"{name}-images-idx3-ubyte{end}", tmp_path / f"{name}-labels-idx1-ubyte{end}"
        idx.write_images(paths[0], np.full((count, *shape), pixel, np.uint8))
        idx.write_labels(paths[1], np.arange(count) % 10 if labels is None else np.array(labels))
        return Part(split="test" if name == "t10k" else "train", files=paths)

    return pair


def check(*parts, form="idx", **changes):
    check_beginnings(parts, form=form, data=EIGHT.model_copy(update=changes))


@pytest.fixture
def no_digest(monkeypatch):
    """Digesting anything is a failure: what is wrong is known from the first bytes."""

    def digest(path, **_):
        pytest.fail(f"{path.name} was digested")

    monkeypatch.setattr(source, "payload_digest", digest)


HEADS = {
    "counts that disagree": ({"labels": range(19)}, {}, "wanted 20 labels, got 19"),
    "another shape": ({"shape": (7, 9)}, {}, "wanted 8x8, got 7x9"),
    "1xN images": ({"shape": (1, 64)}, {}, "wanted 8x8, got 1x64"),
    "a label above": ({"labels": [*range(10), 10, *range(9)]}, {}, "1 row has an unusable label.*'10' in row 10"),
    "a label count below": ({}, {"label_count": 5}, "10 rows have an unusable label"),
    "a pixel above": ({"pixel": 17}, {}, "20 rows have an unusable pixel"),
    "tail above the rows": ({}, {"split": "tail:20"}, "wanted more than 20 rows in the training part, got 20 rows"),
    "rows above the rows": ({}, {"split": "rows:15,6"}, "split rows:15,6 takes more rows than there are: wanted 21"),
}


@pytest.mark.usefixtures("no_digest")
@pytest.mark.parametrize("gz", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize(("made", "changes", "message"), HEADS.values(), ids=HEADS.keys())
def test_an_idx_pair_is_refused_by_its_first_bytes(pair, made, changes, message, gz):
    parts = [pair(gz=gz, **made)]
    if changes.get("split", "").startswith("tail"):
        parts.append(pair(5, name="t10k", gz=gz))
    data = EIGHT.model_copy(update=changes)
    with pytest.raises(BadInput, match=message):
        source.named_inputs(parts, form="idx", data=data)


@pytest.mark.usefixtures("no_digest")
def test_a_test_part_with_something_wrong_is_refused_before_the_training_part_is_digested(pair):
    with pytest.raises(BadInput, match="wanted 5 labels, got 4"):
        source.named_inputs([pair(), pair(5, name="t10k", labels=range(4))], form="idx", data=EIGHT)


@pytest.mark.usefixtures("no_digest")
@pytest.mark.parametrize("extra", [-1, 1, 1000])
def test_a_raw_file_of_another_size_than_its_header_says_is_refused_undigested(pair, extra):
    part = pair()
    whole = part.files[0].read_bytes()
    part.files[0].write_bytes(whole[:extra] if extra < 0 else whole + bytes(extra))
    with pytest.raises(BadInput, match=r"header claims more than|header and content differ in size"):
        source.named_inputs([part], form="idx", data=EIGHT)


COUNTED = ",".join(map(str, range(65))) + "\n"
COUNTING = "".join(",".join(str((row + column) % 17) for column in range(65)) + "\n" for row in range(17))

CSV_HEADS = {
    "columns": ("1,2,3\n", {}, "wanted 65"),
    "a label that no header names": (ROW, {"label": "digit"}, "no header that could name"),
    "a label that another header names": (
        ",".join(["label", *[f"p{i}" for i in range(64)]]) + "\n" + ROW,
        {"label": "digit"},
        "no column of the name",
    ),
    "a header of counting numbers alone": (COUNTED, {}, "holds no rows: got a header alone"),
    "a header of counting numbers amid the rows": (COUNTED + ROW + COUNTED, {"pixel_max": 255}, "line 3 is a header"),
    "rows that count as their header does": (COUNTED * 2, {"pixel_max": 255, "label": "first"}, "line 2 is a header"),
    "counting rows with a label at neither end": (COUNTED + COUNTING, {}, "cannot tell which column holds the label"),
    "counting rows with a label at either end": (COUNTED + ROW, {}, "cannot tell which column holds the label"),
    "counting rows in a large file": (COUNTED + COUNTING * 1000, {}, "cannot tell which column holds the label"),
    "a pixel above": (ROW.replace("7", "17"), {"label": "first"}, "2 rows have an unusable pixel"),
}


@pytest.mark.usefixtures("no_digest")
@pytest.mark.parametrize(("text", "changes", "message"), CSV_HEADS.values(), ids=CSV_HEADS.keys())
def test_a_csv_is_refused_by_its_first_lines(tmp_path, text, changes, message):
    path = tmp_path / "train.csv"
    path.write_text(text if text == COUNTED else text + text.splitlines(keepends=True)[-1])
    with pytest.raises(BadInput, match=message):
        source.named_inputs(discover([path]).parts, form="csv", data=EIGHT.model_copy(update=changes))


def test_sound_data_passes(pair):
    check(pair(), pair(5, name="t10k"))
    check(pair(), split="rows:12,8")
    check(pair(), pair(5, name="t10k"), split="tail:19")


def test_the_test_part_may_not_be_the_training_part(pair, tmp_path):
    parts = [pair(), pair(name="t10k", gz=True)]
    with pytest.raises(BadInput, match=r"t10k-images-idx3-ubyte\.gz: the test part is the training part once more"):
        source.named_inputs(parts, form="idx", data=EIGHT)
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text(ROW * 3)
    files = discover([tmp_path / "train.csv", tmp_path / "test.csv"])
    with pytest.raises(BadInput, match=r"test.csv: the test part is the training part once more"):
        source.named_inputs(files.parts, form="csv", data=EIGHT.model_copy(update={"label": "first"}))


def test_a_file_given_twice_is_refused(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(ROW)
    (tmp_path / "link.csv").symlink_to(path)
    for again in (path, tmp_path / "link.csv"):
        with pytest.raises(BadInput, match="is given twice"):
            discover([path, again])


def bomb(unit: bytes, size: int, before: bytes = b"") -> bytes:
    """Gzips `before` and then `unit` again and again, `size` bytes of it."""
    packer, chunk = zlib.compressobj(9, zlib.DEFLATED, 31), unit * (MIB // len(unit))
    return b"".join([packer.compress(before), *[packer.compress(chunk) for _ in range(size // MIB)], packer.flush()])


def read_csv(path, data):
    """Digests and parses a file as a run does."""
    source.named_inputs(discover([path]).parts, form="csv", data=data)
    return list(csv_rows.iter_chunks(path, data, rows=1000))


def begin(paths):
    """Does with files what a run does before anything else."""
    files = discover(paths)
    check_beginnings(files.parts, form=files.form, data=EIGHT)


BOMBS = {
    "newlines": (bomb(b"\n", 256 * MIB), "is made of blank lines"),
    "newlines after rows": (bomb(b"\n", 256 * MIB, ROW.encode() * 10), "is made of blank lines"),
    "CRLF": (bomb(b"\r\n", 256 * MIB), "is made of blank lines"),
    "spaces": (bomb(b" ", 256 * MIB), "is made of blank lines"),
    "NULs": (bomb(b"\0", 256 * MIB), "line 1 is too long"),
    "NULs after rows": (bomb(b"\0", 256 * MIB, ROW.encode()), "line 2 is too long"),
    "an endless line": (bomb(b"1,", 256 * MIB), "line 1 is too long"),
    "commas": (bomb(b"," * 64 + b"\n", 64 * MIB), "more than 1000 rows have"),
    "commas after a row": (bomb(b"," * 64 + b"\n", 64 * MIB, ROW.encode()), "more than 1000 rows have"),
    "empty members": (gzip.compress(b"", mtime=0) * 50_000, "more than 1000 gzip members hold nothing"),
}


@pytest.mark.parametrize("label", ["auto", "first"])
@pytest.mark.parametrize(("content", "message"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_ends_where_it_begins(tmp_path, content, message, label):
    path = tmp_path / "train.csv.gz"
    path.write_bytes(content)
    before = time.process_time()
    with pytest.raises(BadInput, match=message):
        read_csv(path, EIGHT.model_copy(update={"label": label}))
    assert time.process_time() - before < 3


def test_thousands_of_small_gzip_members_cost_what_their_bytes_cost(tmp_path):
    path = tmp_path / "rows.gz"
    path.write_bytes(gzip.compress(ROW.encode(), 1, mtime=0) * 20_000)
    before = time.process_time()
    assert payload_digest(path).payload_bytes == 20_000 * len(ROW)
    assert time.process_time() - before < 3  # 0.5 s


def test_blank_lines_between_rows_cost_little(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(bomb(ROW.encode() + b"\n" * 400, 8 * MIB))
    before = time.process_time()
    assert READERS["csv"].rows([path]) == 8 * (MIB // (len(ROW) + 400))
    assert time.process_time() - before < 3  # 0.2 s


def test_a_folder_of_many_files_is_listed_at_once(tmp_path):
    for number in range(5_000):
        (tmp_path / f"rows{number}.csv").touch()
    before = time.process_time()
    with pytest.raises(BadInput, match="cannot tell which CSV file is train") as caught:
        discover([tmp_path])
    assert len(str(caught.value)) < 2_000
    assert time.process_time() - before < 2  # 0.1 s


FOREIGN = {
    "zip": (b"PK\x03\x04" + bytes(100), "a zip archive"),
    "npz": (b"PK\x03\x04" + bytes(26) + b"x_train.npy" + bytes(400), "a NumPy archive"),
    "npy": (b"\x93NUMPY\x01\0" + bytes(100), "a NumPy array"),
    "parquet": (b"PAR1" + bytes(100), "a Parquet file"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG picture"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
    "pickle": (b"\x80\x04\x95" + bytes(100), "a Python pickle"),
    "tar": (b"train.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(200), "a tar archive"),
    "arff": (b"@RELATION mnist_784\n\n@ATTRIBUTE pixel1 real\n", "an ARFF file"),
    "html": (b"<!DOCTYPE html><html>404", "a web page"),
    "json": (b'{"rows": []}', "a JSON document"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
    "gz twice": (gzip.compress(b"1,2\n"), "a gzip file within a gzip file"),
}


@pytest.mark.parametrize("name", ["train.csv", "data", "train-images-idx3-ubyte"])
@pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize(("content", "kind"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_file_of_another_kind_is_refused_in_one_line_that_says_what_it_is(tmp_path, content, kind, name, packed):
    if kind.startswith("a gzip") and not packed:
        pytest.skip("one gzip is read")
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if packed else content)
    idx.write_labels(tmp_path / "train-labels-idx1-ubyte", np.arange(3))
    paths = [path, tmp_path / "train-labels-idx1-ubyte"] if "images" in name else [path]
    with pytest.raises(BadInput) as caught:
        begin(paths)
    assert kind in str(caught.value)


def test_a_folder_without_data_says_what_is_in_it(tmp_path):
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((2, 8, 8), np.uint8))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BadInput, match=r"got mnist.npz \(a NumPy archive \(.npz\)\), notes.txt"):
        discover([tmp_path])


def test_a_folder_of_pictures_by_class_says_that_it_has_folders_alone(tmp_path):
    for name in "0123456":
        (tmp_path / name).mkdir()
    with pytest.raises(BadInput, match=r"got folders alone: 0, 1, 2, 3, 4, \.\.\."):
        discover([tmp_path])


def idx_file(code: int, *shape: int) -> bytes:
    size = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}[code]
    return bytes((0, 0, code, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + bytes(int(np.prod(shape)) * size)


def test_labels_are_read_of_any_type_and_from_the_first_of_several_columns(pair):
    part = pair()
    [wanted] = idx.iter_chunks(*part.files, rows=100, data=EIGHT)
    labels = wanted.labels
    for code, kind in idx.TYPES.items():
        for shape in ((20,), (20, 1), (20, 8)):
            values = np.full(shape, 4, kind)
            values.reshape(20, -1)[:, 0] = labels
            part.files[1].write_bytes(idx_file(code, *shape)[: 4 + 4 * len(shape)] + values.tobytes())
            check(part)
            [found] = idx.iter_chunks(*part.files, rows=100, data=EIGHT)
            assert found.labels.tolist() == labels.tolist()
    hot = np.eye(10, dtype="u1")[labels]
    part.files[1].write_bytes(idx_file(0x08, 20, 10)[:12] + hot.tobytes())
    [found] = idx.iter_chunks(*part.files, rows=100, data=EIGHT)
    assert found.labels.tolist() == labels.tolist()


def test_labels_that_are_no_whole_numbers_are_refused(pair):
    part = pair()
    values = np.zeros(20, ">f4")
    values[3:6] = 2.5, np.nan, -1
    part.files[1].write_bytes(idx_file(0x0D, 20)[:8] + values.tobytes())
    with pytest.raises(
        BadInput, match=r"3 rows have an unusable label: .* got '2.5' in row 3, 'nan' in row 4, '-1.0' in"
    ):
        check(part)


def test_images_of_one_channel_are_read(pair):
    part = pair()
    whole = part.files[0].read_bytes()
    [wanted] = idx.iter_chunks(*part.files, rows=100, data=EIGHT)
    for shape in ((20, 8, 8, 1), (20, 1, 8, 8)):
        part.files[0].write_bytes(idx_file(0x08, *shape)[:20] + whole[16:])
        check(part)
        [found] = idx.iter_chunks(*part.files, rows=100, data=EIGHT)
        assert np.array_equal(found.pixels, wanted.pixels)


@pytest.mark.parametrize("names", ["qmnist-{}-{}-idx2-int", "my {1} {0}"])
def test_names_as_qmnist_has_them_are_known(pair, tmp_path, names):
    images, labels = tmp_path / names.format("train", "images"), tmp_path / names.format("train", "labels")
    images.write_bytes(pair().files[0].read_bytes())
    labels.write_bytes(idx_file(0x0C, 20, 8))
    begin([images, labels])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx_file(0x08, 20, 8, 8, 3), "its images are 8x8x3: grey images only"),
        (idx_file(0x08, 20, 64), "64 columns of unsigned bytes, images without height and width"),
        (idx_file(0x0D, 20, 8, 8), "the values are float32"),
    ],
    ids=["channels", "flat", "floats"],
)
def test_images_of_another_form_are_named(pair, content, message):
    part = pair()
    part.files[0].write_bytes(content)
    with pytest.raises(BadInput) as caught:
        check(part)
    assert message in str(caught.value)


def test_resolving_again_what_was_resolved_changes_nothing(pair, tmp_path):
    part = pair()
    given = {"source": source.parts_to_json([part]), "form": "idx", "settings": EIGHT.to_json()}
    once = source.resolve(given, tmp_path / "root")
    assert source.resolve(once, tmp_path / "root") == once
    assert json.loads(once["source"])[0]["split"] == "train"
    assert isinstance(EIGHT.split, HashSplit)


@pytest.mark.parametrize("gz", [False, True])
def test_a_test_part_with_more_rows_than_the_training_part_is_doubted_in_one_line(pair, gz):
    swapped = [pair(20, gz=gz), pair(120, name="t10k", gz=gz)]
    said = "the test part has 120 rows, the training part 20: were the two swapped?"
    assert doubt(swapped, form="idx") == said


def test_two_training_parts_count_together(pair):
    parts = [pair(20), pair(20, name="train-2"), pair(40, name="t10k")]
    assert doubt(parts, form="idx") is None


@pytest.mark.parametrize(("names", "doubted"), [
    (("train.csv", "test.csv"), True),
    (("train.csv.gz", "test.csv.gz"), True),
    (("train.csv.gz", "test.csv"), False),  # says nothing
])  # fmt: skip
def test_csv_files_are_doubted_by_their_sizes_where_these_can_be_compared(tmp_path, names, doubted):
    for name, count in zip(names, (20, 4000), strict=True):
        data = (ROW * count).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert bool(doubt(discover([tmp_path]).parts, form="csv")) == doubted


def test_the_usual_sizes_are_not_doubted(pair):
    assert doubt([pair(60), pair(10, name="t10k")], form="idx") is None
    assert doubt([pair(60)], form="idx") is None
