"""Files are read in parts by many tasks, and come out as when one task reads them whole."""

import gzip
from collections import defaultdict

import numpy as np
import pytest
from data_forms import write_parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from components import disk
from components.errors import BadInput, EnvironmentProblem
from components.features import SPLITS
from components.ingest import csv_lines, idx, rows, shards, units
from components.ingest.data_files import Part
from components.ingest.forms import READERS
from components.ingest.partial import PARTIAL
from components.ingest.payload import PayloadReader
from components.ingest.spill import Piece, gather, spill
from components.settings import DataSettings

ROWS = 60
IMAGES = load_digits().images[:ROWS].astype(np.uint8)
LABELS = load_digits().target[:ROWS]
DATA = DataSettings(shape=(8, 8), pixel_max=16, label="first")


def csv_text(labels=LABELS):
    lines = [",".join(map(str, (label, *image.ravel()))) for image, label in zip(IMAGES, labels, strict=True)]
    return "\n".join([",".join(["label", *(f"pixel{number}" for number in range(64))]), *lines])


def write_idx(folder, name="train", images=IMAGES, labels=LABELS, suffix=""):
    files = folder / f"{name}-images{suffix}", folder / f"{name}-labels{suffix}"
    idx.write_images(files[0], images)
    idx.write_labels(files[1], labels)
    return files


def write_csv(folder, change=lambda text: text, name="train.csv"):
    file = folder / name
    data = change(csv_text()).encode()
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return (file,)


def write_arrays(folder, images=IMAGES):
    np.save(folder / "images", images)
    np.save(folder / "labels", LABELS)
    return folder / "images.npy", folder / "labels.npy"


def write_row_groups(folder):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(write_parquet(folder / "whole.parquet", IMAGES, LABELS))
    pyarrow.parquet.write_table(table, folder / "train.parquet", row_group_size=7)
    return (folder / "train.parquet",)


def packed(files):
    for file in files:
        file.write_bytes(gzip.compress(file.read_bytes()))
    return files


FORMS = {
    "idx": ("idx", write_idx, 6),
    "idx, gzip": ("idx", lambda folder: write_idx(folder, suffix=".gz"), 6),
    "csv": ("csv", write_csv, 5),
    "csv, gzip": ("csv", lambda folder: write_csv(folder, name="train.csv.gz"), 5),
    "csv, CRLF": ("csv", lambda folder: write_csv(folder, lambda text: text.replace("\n", "\r\n") + "\r\n"), 5),
    "csv, blank lines": ("csv", lambda folder: write_csv(folder, lambda text: text.replace("\n", "\n\n \n")), 5),
    "csv, byte-order mark": ("csv", lambda folder: write_csv(folder, lambda text: "\ufeff" + text), 5),
    "csv, comments": ("csv", lambda folder: write_csv(folder, lambda text: "# one\n\n# two\n" + text), 5),
    "parquet": ("parquet", write_row_groups, 5),
    "arrays": ("pairs", write_arrays, 6),
    "arrays by column": ("pairs", lambda folder: write_arrays(folder, np.asfortranarray(IMAGES)), 1),
    "arrays, gzip": ("pairs", lambda folder: packed(write_arrays(folder)), 1),
}


def read(form, files, extent=None):
    reader = READERS[form]
    plan = reader.checked_plan([files], DATA)
    chunks = list(reader.chunks(files, DATA, rows=4, plan=plan, extent=extent))
    numbers = [chunk.start + row for chunk in chunks for row in range(len(chunk))]
    return numbers, np.concatenate([chunk.pixels for chunk in chunks]), np.concatenate([c.labels for c in chunks])


@pytest.mark.parametrize("kind", FORMS)
def test_the_parts_of_a_file_are_the_whole(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(csv_lines, "_BLOCK", 300)
    form, write, fewest = FORMS[kind]
    files = write(tmp_path)
    extents = READERS[form].extents(files, rows=10)
    assert len(extents) >= fewest
    assert sum(extent.rows for extent in extents) == ROWS
    for extent in extents:
        numbers, pixels, labels = read(form, files, extent)
        rows_ = slice(extent.first, extent.first + extent.rows)
        assert numbers == list(range(ROWS))[rows_]
        assert np.array_equal(pixels, IMAGES.reshape(ROWS, -1)[rows_])
        assert np.array_equal(labels, LABELS[rows_])


LINES = st.lists(st.sampled_from(["1,2", "1,2\r", "", " ", '"3",4', "# no", "\t"]), max_size=30)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, start=st.integers(1, 5), rows_=st.integers(1, 5), block=st.integers(1, 20), last=st.booleans())
def test_lines_are_cut_where_one_ends_and_keep_their_numbers(tmp_path, monkeypatch, lines, start, rows_, block, last):
    monkeypatch.setattr(csv_lines, "_BLOCK", block)
    path = tmp_path / "lines.csv"
    path.write_bytes("\n".join([*lines, "end"] + [""] * last).encode())

    def lines_of(extent=None):
        return [line for found in csv_lines.line_blocks(path, start=start, extent=extent) for line in found.lines()]

    extents = csv_lines.line_extents(path, start=start, rows=rows_)
    assert [line for extent in extents for line in lines_of(extent)] == lines_of()
    assert [len(lines_of(extent)) for extent in extents] == [extent.rows for extent in extents]
    assert [extent.first for extent in extents] == [sum(e.rows for e in extents[:at]) for at in range(len(extents))]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("start", [0, 1, 70_000, 99_999, 100_000, 100_001])
def test_a_payload_is_read_from_any_byte_on(tmp_path, compress, start):
    payload = np.random.default_rng(1).bytes(100_000)
    (tmp_path / "file").write_bytes(compress(payload))
    with PayloadReader(tmp_path / "file", start=start) as reader:
        assert reader.read(1 << 20) == payload[start:]
        assert reader.offset == max(start, len(payload))


def job_of(folder, form, *parts, sizes=None):
    (folder / PARTIAL).mkdir(exist_ok=True)
    given = [Part(split=split, files=files) for split, files in parts]
    return units.planned(given, form, DATA.to_json(), folder, sizes=sizes)


def test_a_large_file_that_is_compressed_is_decompressed_once_and_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "UNIT_PIXELS", 640)
    monkeypatch.setattr(units, "UNIT_PIXELS", 640)
    files = write_idx(tmp_path, suffix=".gz")
    job = job_of(tmp_path, "idx", ("train", files), sizes={files[0].name: 3856, files[1].name: 68})
    assert [(unit.start, unit.rows) for unit in job.units] == [(start, 10) for start in range(0, ROWS, 10)]
    images, labels = {unit.payloads for unit in job.units}.pop()
    assert images == f"{tmp_path}/{PARTIAL}/payload-0/{files[0].name}"
    assert labels == str(files[1])
    found = [chunk for unit in job.units for chunk in job.chunks(unit)]
    assert np.array_equal(np.concatenate([chunk.labels for chunk in found]), LABELS)
    assert job.rows_of_files() == {str(file): ROWS for file in files}


def test_units_of_several_files_of_a_part_count_on(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "UNIT_PIXELS", 640)
    first, second, test = (
        write_idx(tmp_path, name, IMAGES[:count], LABELS[:count]) for name, count in (("a", 25), ("b", 12), ("t", 15))
    )
    job = job_of(tmp_path, "idx", ("train", first), ("train", second), ("test", test))
    assert [(unit.part, unit.start, unit.rows) for unit in job.units] == [
        ("train", 0, 10),
        ("train", 10, 10),
        ("train", 20, 5),
        ("train", 25, 10),
        ("train", 35, 2),
        ("test", 0, 10),
        ("test", 10, 5),
    ]


def fault_of(job, unit):
    with pytest.raises(BadInput) as caught:
        list(job.chunks(unit))
    return str(caught.value)


def test_whoever_meets_a_fault_names_all_in_the_first_file_that_has_any(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "UNIT_PIXELS", 640)
    bad = np.where(np.isin(np.arange(ROWS), (3, 44)), 77, LABELS)
    files = [write_idx(tmp_path, name, labels=labels) for name, labels in (("a", bad), ("b", bad), ("c", LABELS))]
    job = job_of(tmp_path, "idx", *(("train", pair) for pair in files))
    assert len(job.units) == 18
    [fault] = {fault_of(job, unit) for unit in (job.units[0], job.units[4], job.units[6])}
    assert fault.startswith(f"{tmp_path}/a-labels: 2 rows have an unusable label")
    assert fault.endswith("got '77' in row 3, '77' in row 44")


def shard_files(folder, job, units_read):
    """The shards' files, when tasks have read these units, as a runner calls them."""
    read, pieces = shards.Read(job), defaultdict(list)
    read.setup()
    for unit in units_read:
        # A bundle that is tried again: what its first try wrote is there, and what it returned is lost.
        list(read.process(unit))
        for key, piece in read.process(unit):
            pieces[key].append(piece)
    write = shards.WriteShard(job)
    for element in [*pieces.items(), *pieces.items()]:
        list(write.process(element))
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("Split-*/*")}


def test_bundles_that_are_run_twice_and_in_another_order_write_the_same_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "SHARD_PIXELS", 900)
    found = []
    for name, size, order in (("whole", 1 << 20, 1), ("parts", 640, -1)):
        monkeypatch.setattr(rows, "UNIT_PIXELS", size)
        folder = tmp_path / name
        for split in SPLITS:
            (folder / f"Split-{split}").mkdir(parents=True)
        job = job_of(folder, "idx", ("train", write_idx(tmp_path)))
        found.append(shard_files(folder, job, job.units[::order]))
    assert len(found[0]) > len(SPLITS)
    assert found[0] == found[1]


def test_rows_that_are_spilled_are_gathered_again(tmp_path):
    (tmp_path / PARTIAL).mkdir()
    all_rows = np.frombuffer(np.random.default_rng(1).bytes(50 * 82), rows.row_type(10))
    cuts = np.split(all_rows, [7, 8, 30])
    pieces = [*spill(tmp_path, cuts[:2]), *spill(tmp_path, cuts[2:])]
    assert [piece.rows for piece in pieces] == [7, 1, 22, 20]
    assert len({piece.file for piece in pieces}) == 2
    assert gather(tmp_path, pieces, rows.row_type(10)).tobytes() == all_rows.tobytes()
    assert len(gather(tmp_path, [], rows.row_type(10))) == 0


@pytest.mark.parametrize("size", [None, 100])
def test_rows_that_were_spilled_elsewhere_are_missed(tmp_path, size):
    if size is not None:
        (tmp_path / "rows").write_bytes(bytes(size))
    with pytest.raises(EnvironmentProblem, match="workers on other machines must see the pipeline's root"):
        gather(tmp_path, [Piece(file="rows", offset=82, rows=1)], rows.row_type(10))


def test_work_for_which_there_is_no_room_is_not_begun(tmp_path):
    disk.require(tmp_path, 1)
    with pytest.raises(EnvironmentProblem, match=f"{tmp_path}: no space left: wanted {1 << 60} bytes, got"):
        disk.require(tmp_path, 1 << 60)


def test_shards_are_small_until_there_are_a_few_and_then_grow_before_they_become_more():
    mnist = DATA.model_copy(update={"shape": (28, 28)})
    counts = {count: rows.shard_count(count, mnist) for count in (0, 54_000, 170_000, 864_000, 2_600_000, 3_456_000)}
    assert counts == {0: 1, 54_000: 6, 170_000: 16, 864_000: 16, 2_600_000: 16, 3_456_000: 21}
