"""Data files written again without some rows: form, labels, order and bytes of the others stay."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import in_process
from data_forms import write_parquet, write_table
from PIL import Image

from components.digest import row_digest, row_prefix, sha256_file
from components.ingest import idx, import_record
from components.ingest.payload import payload_digest
from pipeline.config.exclusions import exclusions_text

RANDOM = np.random.default_rng(7)
IMAGES = RANDOM.integers(0, 17, (12, 4, 4)).astype(np.uint8)
LABELS = np.arange(12, dtype=np.int64) % 10
NOWHERE = "7" * 64
GONE = (0, 5, 11)
STAY = [row for row in range(12) if row not in GONE]
TABLE = [[label, *image.ravel().tolist()] for image, label in zip(IMAGES, LABELS.tolist(), strict=True)]


def digest(row, labels=LABELS, images=IMAGES):
    return row_digest(row_prefix(4, 4), images[row].tobytes(), int(labels[row])).hex()


def listed(folder: Path, digests) -> Path:
    path = folder / "exclude.txt"
    path.write_text(exclusions_text(["a request"], {"rows": digests}))
    return path


def pair(folder: Path, images=IMAGES, labels=LABELS, part="train", *, packed=False) -> Path:
    folder.mkdir(exist_ok=True)
    names = folder / f"{part}-images-idx3-ubyte", folder / f"{part}-labels-idx1-ubyte"
    idx.write_images(names[0], np.ascontiguousarray(images))
    idx.write_labels(names[1], labels)
    for path in names if packed else ():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return folder


def rows_of(folder: Path, part="train"):
    paths = (next(folder.glob(f"{part}-{role}-*")) for role in ("images", "labels"))
    [chunk] = idx.iter_chunks(*paths, rows=1 << 20)
    return chunk.pixels.reshape(-1, 4, 4), chunk.labels


def exclude(data: Path, tmp_path: Path, digests, *options, to="to"):
    return in_process(
        "data", "exclude", data, "--rows", listed(tmp_path, digests), "--to", tmp_path / to, *options, "--json"
    )


def left_behind(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.name not in ("data", "exclude.txt"))


@pytest.mark.parametrize("packed", [False, True])
def test_a_pair_is_written_in_its_own_form_and_the_part_beside_it_byte_for_byte(tmp_path, packed):
    data = pair(pair(tmp_path / "data", packed=packed), 16 - IMAGES, part="t10k")
    answer = exclude(data, tmp_path, [*map(digest, GONE), NOWHERE])
    assert answer.code == 0, answer.err
    to = tmp_path / "to"
    assert sorted(path.name for path in to.iterdir()) == sorted(path.name for path in data.iterdir())
    images, labels = rows_of(to)
    assert np.array_equal(images, IMAGES[STAY])
    assert np.array_equal(labels, LABELS[STAY])
    name = "t10k-images-idx3-ubyte"
    assert (to / name).read_bytes() == (data / name).read_bytes()
    assert answer.json["rows"] == {"train": 9, "test": 12}
    assert answer.json["left_out"] == {"train": 3, "test": 0}
    assert answer.json["unmatched"] == [NOWHERE]
    assert {one["path"]: one["sha256"] for one in answer.json["files"]} == {
        str(path): sha256_file(path) for path in to.iterdir()
    }


@pytest.mark.parametrize("packed", [False, True])
def test_of_a_csv_only_the_lines_go(tmp_path, packed):
    lines = ["# a remark", "label," + ",".join(f"pixel{number}" for number in range(16)), ""]
    lines += [",".join(map(str, row)) + "\r" for row in TABLE]
    lines.insert(7, "  ")
    text = "\n".join(lines)  # no line end after the last row
    data = tmp_path / ("data.csv.gz" if packed else "data.csv")
    data.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    answer = exclude(data, tmp_path, map(digest, GONE))
    assert answer.code == 0, answer.err
    rows = [",".join(map(str, TABLE[row])) for row in GONE]
    written = (tmp_path / "to" / data.name).read_bytes()
    wanted = "\n".join(line for line in lines if line.strip() not in rows) + "\n"
    assert (gzip.decompress(written) if packed else written) == wanted.encode()


def test_values_of_another_type_and_more_columns_stay_as_they_are(tmp_path):
    data = pair(tmp_path / "data")
    labels = np.column_stack([LABELS, LABELS * 1000]).astype(">i4")
    head = bytes((0, 0, 0x0C, 2)) + np.array(labels.shape, ">u4").tobytes()
    (data / "train-labels-idx1-ubyte").unlink()
    (data / "train-labels-idx2-int").write_bytes(head + labels.tobytes())
    assert exclude(data, tmp_path, map(digest, GONE)).code == 0
    written = (tmp_path / "to" / "train-labels-idx2-int").read_bytes()
    assert written == head[:4] + np.array((9, 2), ">u4").tobytes() + labels[STAY].tobytes()


@pytest.mark.parametrize("options", [(), ("--transpose", "--label-offset", "1")])
def test_rows_are_known_however_the_files_turn_images_and_count_labels(tmp_path, options):
    data = pair(tmp_path / "data", IMAGES.transpose(0, 2, 1), LABELS + 1)
    assert exclude(data, tmp_path, map(digest, GONE), *options).code == 0
    images, labels = rows_of(tmp_path / "to")
    assert np.array_equal(images, IMAGES[STAY].transpose(0, 2, 1))
    assert np.array_equal(labels, LABELS[STAY] + 1)


def test_names_of_classes_come_along_and_nothing_else_does(tmp_path):
    data = write_table(tmp_path / "data" / "train.csv", [[f"c{row[0]}", *row[1:]] for row in TABLE]).parent
    (data / "class-names.txt").write_text("".join(f"c{9 - number}\n" for number in range(10)))
    (data / "notes.txt").write_text("seen by hand\n")
    turned = 9 - LABELS
    names = data / "class-names.txt"
    answer = exclude(data, tmp_path, [digest(row, turned) for row in GONE], "--class-names", names)
    assert answer.json["left_out"] == {"train": 3}
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["class-names.txt", "train.csv"]
    assert answer.json["not_copied"] == [str(data / "notes.txt")]


def test_folders_of_parts_stay_folders(tmp_path):
    for part, rows in (("train", TABLE[:6]), ("test", TABLE[6:])):
        write_table(tmp_path / "data" / part / "rows.csv", rows)
    answer = exclude(tmp_path / "data", tmp_path, map(digest, GONE))
    assert answer.json["left_out"] == {"train": 2, "test": 1}
    assert len((tmp_path / "to" / "test" / "rows.csv").read_text().splitlines()) == 5


def test_where_no_digest_has_a_row_nothing_is_written_and_the_exit_code_says_so(tmp_path):
    answer = exclude(pair(tmp_path / "data"), tmp_path, [NOWHERE])
    assert (answer.code, answer.json["unmatched"], answer.json["files"]) == (1, [NOWHERE], [])
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("there", ["a folder with something in it", "a file"])
def test_nothing_is_written_over(tmp_path, there):
    place = tmp_path / "to"
    if there != "a file":
        place.mkdir()
        place = place / "mine"
    place.write_text("mine")
    answer = exclude(pair(tmp_path / "data"), tmp_path, map(digest, GONE))
    assert answer.code == 2
    assert place.read_text() == "mine"


def test_a_part_without_rows_is_refused(tmp_path):
    answer = exclude(pair(tmp_path / "data"), tmp_path, map(digest, range(12)))
    assert (answer.code, "no row would be left" in answer.err) == (2, True)
    assert left_behind(tmp_path) == []


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    answer = exclude(pair(tmp_path / "data"), tmp_path, map(digest, GONE))
    assert answer.code == 4
    assert left_behind(tmp_path) == []


def parquet(folder):
    write_parquet(folder / "train.parquet", IMAGES, LABELS)


def arrays(folder):
    folder.mkdir()
    np.save(folder / "x_train.npy", IMAGES)
    np.save(folder / "y_train.npy", LABELS)


def pictures(folder):
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(IMAGES[0]).save(folder / name / "0.png")


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (parquet, ("the rows are 0, 5, 11, from 0", "mnist-tfx data import")),
        (arrays, ("the rows are 0, 5, 11, from 0", "out of both files")),
        (pictures, ("remove the picture itself", "mnist-tfx data import")),
    ],
)
def test_what_is_not_written_says_how_in_a_sentence(tmp_path, write, says):
    write(tmp_path / "data")
    answer = exclude(tmp_path / "data", tmp_path, map(digest, GONE))
    assert answer.code == 2
    assert all(words in answer.err for words in says), answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert left_behind(tmp_path) == []


def test_in_words_it_says_what_went_and_what_was_written(tmp_path):
    data = pair(tmp_path / "data")
    out = in_process(
        "data", "exclude", data, "--rows", listed(tmp_path, [digest(0), NOWHERE]), "--to", tmp_path / "to"
    ).out
    assert out.startswith("left out    train 1\nstay        train 11\nno row      1 of 2 digests: 777777777777\n")
    assert f"{tmp_path / 'to' / 'train-images-idx3-ubyte'}  sha256 " in out


def imported(tmp_path, rows=((3, "train"), (5, "train"), (4, "test"))):
    """Arrays in parts, as one npz, and the data files that they were imported into."""
    arrays, start = {}, 0
    for count, part in rows:
        images = np.concatenate([arrays.get(f"x_{part}", IMAGES[:0]), IMAGES[start : start + count]])
        labels = np.concatenate([arrays.get(f"y_{part}", LABELS[:0]), LABELS[start : start + count]])
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
        start += count
    np.savez(tmp_path / "digits.npz", **arrays)
    answer = in_process("data", "import", tmp_path / "digits.npz", "--to", tmp_path / "data", "--json")
    assert answer.code == 0, answer.err
    return tmp_path / "data"


def test_the_record_of_an_import_goes_along_less_the_rows_that_went(tmp_path):
    data = imported(tmp_path)
    answer = exclude(data, tmp_path, [digest(row) for row in (0, 5, 11)])
    assert answer.code == 0, answer.err
    assert str(tmp_path / "to" / "import.json") in {file["path"] for file in answer.json["files"]}
    record = import_record.read(tmp_path / "to" / "import.json")
    files = sorted((tmp_path / "to").glob("*.gz"))
    assert record.payloads == {payload_digest(path).payload for path in files}
    source = sha256_file(tmp_path / "digits.npz")
    kept = [(one.split, one.row, one.first) for one in record.rows_of(source)]
    train = [row for row in range(8) if row not in (0, 5)]
    expected = [("train", at, row) for at, row in enumerate(train)] + [("test", at, at) for at in range(3)]
    assert sorted(kept) == sorted(expected)


def test_a_record_that_is_not_about_the_files_does_not_go_along(tmp_path):
    data = imported(tmp_path)
    fields = json.loads((data / "import.json").read_text())
    fields["written"][0]["payload_digest"] = "0" * 64
    (data / "import.json").write_bytes(import_record.to_bytes(fields))
    answer = exclude(data, tmp_path, [digest(0)])
    assert (answer.code, (tmp_path / "to" / "import.json").exists()) == (0, False)
    assert answer.json["not_copied"] == [str(data / "import.json")]


def test_a_source_that_no_row_is_from_any_more_is_not_named(tmp_path):
    for row, name in ((0, "0/a.png"), (1, "1/b.png"), (2, "1/c.png")):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[row]).save(tmp_path / "pictures" / name)
    assert in_process("data", "import", tmp_path / "pictures", "--no-invert", "--to", tmp_path / "data").code == 0
    gone = row_digest(row_prefix(4, 4), IMAGES[1].tobytes(), 1).hex()
    assert exclude(tmp_path / "data", tmp_path, [gone]).code == 0
    record = import_record.read(tmp_path / "to" / "import.json")
    assert [file["name"] for file in record.fields["files"]] == ["0/a.png", "1/c.png"]
    [origin] = record.rows_of(sha256_file(tmp_path / "pictures" / "1/c.png"))
    assert (origin.row, origin.first) == (1, 0)
