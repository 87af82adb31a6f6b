"""What the ExampleGens' driver does: content in, execution properties and verified copies out."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.digest import sha256_file
from components.errors import BadInput, EnvironmentProblem
from components.ingest import idx, import_record
from components.ingest.payload import payload_digest
from components.ingest.source import read_contents, resolve, under_original_names
from components.settings import DataSettings, HashSplit

SHAPE = (4, 3)

RESOLVE = """
# Resolves argv[1] below argv[2]; prints how many bytes of files were read meanwhile, the peak of memory and the error.
import json, pathlib, sys
from components.errors import BadInput
from components.ingest.source import resolve

def told(name, field):
    return int(pathlib.Path("/proc/self", name).read_text().partition(field + ":")[2].split()[0])

before = told("io", "rchar")
try:
    resolve(json.loads(sys.argv[1]), sys.argv[2])
except BadInput as err:
    # Not getrusage: its peak includes the process that started this one.
    print(told("io", "rchar") - before, told("status", "VmHWM"), err)
"""


def write_idx(folder, *, name="train", count=20, seed=0):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    images, labels = folder / f"{name}-images.idx3-ubyte", folder / f"{name}-labels.idx1-ubyte"
    idx.write_images(images, rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8))
    idx.write_labels(labels, rng.integers(0, 10, count))
    return [images, labels]


def properties(*files, form="idx", split=None):
    return {
        "source": json.dumps([{"split": "train", "files": [str(file) for file in files]}]),
        "form": form,
        "settings": DataSettings(shape=SHAPE, pixel_max=255, split=split or HashSplit()).to_json(),
        "code_digest": "c0de",
    }


@pytest.fixture
def files(tmp_path):
    return write_idx(tmp_path / "data")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def renamed(files):
    return [file.rename(file.with_name(f"another name {number}")) for number, file in enumerate(files)]


def touched(files):
    for file in files:
        os.utime(file, (1, 1))
    return files


def moved(files):
    target = files[0].parent.parent / "elsewhere"
    shutil.move(files[0].parent, target)
    return [target / file.name for file in files]


def compressed(files):
    return [Path(shutil.move(_gzip(file), file.with_suffix(".gz"))) for file in files]


def compressed_under_the_old_name(files):
    return [_gzip(file) for file in files]


def _gzip(file):
    file.write_bytes(gzip.compress(file.read_bytes()))
    return file


@pytest.mark.parametrize("change", [renamed, touched, moved, compressed, compressed_under_the_old_name])
def test_the_same_content_gives_the_same_properties(change, files, root):
    before = resolve(properties(*files), root)
    assert resolve(properties(*change(files)), root) == before


def edit_in_place(file, offset=-1):
    """Flips one bit and puts size and times back as they were."""
    times = file.stat()
    content = bytearray(file.read_bytes())
    content[offset] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("role", [0, 1])
def test_an_edit_that_keeps_size_and_time_gives_other_properties(role, files, root):
    before = resolve(properties(*files), root)
    edit_in_place(files[role])
    after = resolve(properties(*files), root)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"input_base", "input_fingerprint", "source"}


def test_what_was_resolved_resolves_to_itself_without_the_original_files(files, root):
    resolved = resolve(properties(*files), root)
    shutil.rmtree(files[0].parent)
    assert resolve(resolved, root) == resolved


def test_properties_name_neither_the_root_nor_the_files(files, root):
    text = json.dumps(resolve(properties(*files), root))
    assert str(root.parent) not in text
    assert files[0].name not in text


def test_another_root_gives_the_same_properties(files, root, tmp_path):
    assert resolve(properties(*files), root) == resolve(properties(*files), tmp_path / "other")


def test_copies_have_canonical_names_and_the_bytes_of_their_originals(files, root):
    folder = root / resolve(properties(*files), root)["input_base"]
    assert (folder / "train-images").read_bytes() == files[0].read_bytes()
    assert (folder / "train-labels").read_bytes() == files[1].read_bytes()
    assert sorted(os.listdir(folder)) == ["contents.json", "sources.json", "train-images", "train-labels"]


def test_a_later_edit_of_the_originals_leaves_the_copies_alone(files, root):
    folder = root / resolve(properties(*files), root)["input_base"]
    before = sha256_file(folder / "train-images")
    edit_in_place(files[0])
    resolve(properties(*files), root)
    assert sha256_file(folder / "train-images") == before


def damage(copy):
    edit_in_place(copy, offset=20)


def remove(copy):
    copy.unlink()


def replace_by_link(copy):
    target = copy.with_name("target")
    copy.rename(target)
    copy.symlink_to(target)


def cut(copy):
    copy.write_bytes(copy.read_bytes()[:-3])


@pytest.mark.parametrize("harm", [damage, remove, replace_by_link, cut])
def test_a_copy_that_came_to_harm_is_made_again(harm, files, root):
    copy = root / resolve(properties(*files), root)["input_base"] / "train-images"
    harm(copy)
    resolve(properties(*files), root)
    assert not copy.is_symlink()
    assert copy.read_bytes() == files[0].read_bytes()


def test_a_copy_in_another_container_is_kept(files, root):
    copy = root / resolve(properties(*files), root)["input_base"] / "train-images"
    raw = copy.read_bytes()
    resolve(properties(*compressed(files)), root)
    assert copy.read_bytes() == raw


def test_half_a_copy_of_a_killed_run_is_cleared(files, root):
    folder = root / resolve(properties(*files), root)["input_base"]
    (folder / ".0123.part").write_bytes(b"half")
    resolve(properties(*files), root)
    assert not (folder / ".0123.part").exists()


def test_sources_tell_where_the_content_came_from_each_time(files, root):
    folder = root / resolve(properties(*files), root)["input_base"]
    raw = sha256_file(files[0])
    packed = compressed(files)
    for _ in range(2):
        resolve(properties(*packed), root)
    sources = json.loads((folder / "sources.json").read_bytes())["sources"]
    images = [entry for entry in sources if entry["name"] == "train-images"]
    assert [entry["path"] for entry in images] == [str(files[0]), str(packed[0])]
    assert [entry["container_digest"] for entry in images] == [raw, sha256_file(packed[0])]
    assert {entry["payload_digest"] for entry in images} == {raw}


def test_contents_that_are_not_what_the_folder_is_named_after_are_refused(files, root):
    folder = root / resolve(properties(*files), root)["input_base"]
    contents = json.loads((folder / "contents.json").read_bytes())
    contents[0]["payload_digest"] = "0" * 64
    (folder / "contents.json").write_text(json.dumps(contents))
    with pytest.raises(EnvironmentProblem, match="was changed"):
        read_contents(folder)


def write_csvs(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        rows = rng.integers(10, 100, (5, 13))
        rows[:, 0] //= 10  # labels
        np.savetxt(folder / f"{name}.csv", rows, fmt="%d", delimiter=",")
    return folder / "a.csv", folder / "b.csv"


def test_several_files_of_a_part_are_one_data_set_in_any_order(tmp_path, root):
    a, b = write_csvs(tmp_path / "data")
    assert resolve(properties(a, b, form="csv"), root) == resolve(properties(b, a, form="csv"), root)


def test_several_files_keep_their_order_where_the_recipe_counts_rows(tmp_path, root):
    a, b = write_csvs(tmp_path / "data")
    first = resolve(properties(a, b, form="csv", split="rows:6,4"), root)
    second = resolve(properties(b, a, form="csv", split="rows:6,4"), root)
    assert first["input_base"] != second["input_base"]


def test_an_idx_pair_that_does_not_fit_is_refused_under_its_own_name_before_it_is_copied(files, root):
    files[1].write_bytes(write_idx(files[0].parent, name="other", count=19)[1].read_bytes())
    with pytest.raises(BadInput, match=r"train-labels.*wanted 20 labels, got 19"):
        resolve(properties(*files), root)
    assert not root.exists()


@pytest.mark.fault(24)
def test_a_gzip_bomb_is_refused_at_the_size_that_its_header_tells(files, root):
    files[0].write_bytes(gzip.compress(files[0].read_bytes() + bytes(1 << 26)))
    with pytest.raises(BadInput, match="header and content differ in size"):
        resolve(properties(*files), root)


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("before", "line"),
    [
        pytest.param(b"", 1, id="the first line"),
        pytest.param(b"1," * 12 + b"1\n", 2, id="a later line"),
    ],
)
def test_a_csv_that_is_one_endless_line_is_refused_early_and_in_little_memory(tmp_path, before, line):
    bomb = tmp_path / "train.csv.gz"
    # 4 GiB in 4 MB: members in a row are one payload.
    bomb.write_bytes(gzip.compress(before) + gzip.compress(b"1" * (1 << 24)) * 256)
    given = json.dumps(properties(bomb, form="csv"))
    command = [sys.executable, "-c", RESOLVE, given, tmp_path / "root"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    read, kilobytes, message = out.split(" ", maxsplit=2)
    assert message.startswith(f"{bomb}: line {line} is too long")
    assert int(read) < bomb.stat().st_size // 4
    assert int(kilobytes) < 200_000
    assert not (tmp_path / "root").exists()


def test_a_root_that_cannot_be_written_is_one_line(files, root):
    root.write_text("a file, not a folder")
    with pytest.raises(EnvironmentProblem, match="the data cannot be kept"):
        resolve(properties(*files), root)


def test_an_error_about_a_copy_names_the_file_it_was_made_from(files, root):
    folder = root / resolve(properties(*files), root)["input_base"]
    error = under_original_names(BadInput("labels out of range", where=folder / "train-labels"), folder)
    assert str(error) == f"{files[1]}: labels out of range"


@pytest.fixture(scope="module")
def stock_fingerprint():
    from tfx.components.example_gen.driver import FileBasedDriver
    from tfx.proto import example_gen_pb2
    from tfx.utils import proto_utils

    config = example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="single_split", pattern="*")])

    def fingerprint(folder):
        stock = {"input_base": str(folder), "input_config": proto_utils.proto_to_json(config)}
        return FileBasedDriver(None).resolve_exec_properties(stock, None, None)["input_fingerprint"]

    return fingerprint


@pytest.mark.slow
def test_the_stock_driver_misses_an_edit_and_takes_a_touch_for_new_data(files, root, stock_fingerprint):
    folder = files[0].parent
    stock, ours = stock_fingerprint(folder), resolve(properties(*files), root)["input_fingerprint"]
    touched(files)
    assert stock_fingerprint(folder) != stock
    assert resolve(properties(*files), root)["input_fingerprint"] == ours

    stock = stock_fingerprint(folder)
    edit_in_place(files[0])
    assert stock_fingerprint(folder) == stock
    assert resolve(properties(*files), root)["input_fingerprint"] != ours


def imported(folder, *, digest=None):
    """Writes a pair, and the record of an import that claims to have written it; returns the pair."""
    files = write_idx(folder)
    written = [
        {"name": f"train-{role}-idx3-ubyte.gz", "rows": 20, "sha256": sha256_file(file)}
        | {"payload_digest": digest or payload_digest(file).payload}
        for role, file in zip(("images", "labels"), files, strict=True)
    ]
    fields = {"schema_version": 1, "release": "1", "source": "pictures", "form": "pictures", "options": {}}
    fields |= {"class_names": [], "files": [{"name": "0.png", "sha256": "0" * 64, "bytes": 1}], "written": written}
    fields |= {"rows": {"train": [{"file": 0, "first": 0, "rows": 20}]}, "skipped": []}
    (folder / import_record.FILE).write_bytes(import_record.to_bytes(fields))
    return files


def test_the_record_of_an_import_is_kept_with_the_data_and_named_in_the_properties(tmp_path):
    files = imported(tmp_path / "data")
    found = resolve(properties(*files), tmp_path / "root")
    digest = sha256_file(tmp_path / "data" / "import.json")
    kept = tmp_path / "root" / found["input_base"] / f"import-{digest}.json"
    assert found["import_record"] == digest
    assert kept.read_bytes() == (tmp_path / "data" / "import.json").read_bytes()
    assert resolve(found, tmp_path / "root") == found


@pytest.mark.parametrize("fault", ["of other files", "no JSON"])
def test_a_record_of_an_import_that_is_not_of_these_files_is_not_kept(tmp_path, fault):
    files = imported(tmp_path / "data", digest="1" * 64 if fault == "of other files" else None)
    if fault == "no JSON":
        (tmp_path / "data" / "import.json").write_text("{")
    found = resolve(properties(*files), tmp_path / "root")
    assert "import_record" not in found
    assert not list((tmp_path / "root").rglob("import-*.json"))
