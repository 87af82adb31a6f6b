"""Files that were changed in whatever way: each reader answers, or raises one of our errors, and soon.

$MNIST_TFX_MUTATIONS is how many of each kind are tried.
"""

import contextlib
import os
import random
import sqlite3
from pathlib import Path

import pytest
from fuzz.outcome import LONGEST, SOON, load_and_dump, timed
from fuzz.targets import KINDS, of_node
from lineage.audited_copy import audited_copy
from mutations import COUNT, mutated

from components.errors import MnistTfxError
from components.serving import PROVENANCE
from pipeline.audit.audit import AuditOptions, audit_all
from pipeline.lineage.index import open_lineage
from pipeline.metadata.reader import StoreReader


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return audited_copy(tmp_path_factory.mktemp("mutated") / "root")


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_read_or_refused_in_our_own_words(kind, built, tmp_path):
    make, read = KINDS[kind]
    data = make(built)
    load, dump = load_and_dump(kind)
    # A compiled file is a hundred times as long as the others; one in YAML takes 0.1 s to read.
    count = COUNT // 6 if kind == "compiled yaml" else COUNT
    outcomes = [timed(read, mutated(data, number, load=load, dump=dump), tmp_path) for number in range(count)]
    slow = [number for number, (_, seconds) in enumerate(outcomes) if seconds > SOON]
    assert all(min(timed(read, mutated(data, n, load=load, dump=dump), tmp_path)[1] for _ in "ab") < SOON for n in slow)
    assert any(isinstance(found, MnistTfxError) for found, _ in outcomes)


TARGETS = {
    "provenance": lambda paths: paths.serving / "2" / PROVENANCE,
    "ledger": lambda paths: paths.ledger,
    "record": lambda paths: of_node(paths, "Classifier"),
    "root.json": lambda paths: paths.identity,
    "sources.json": lambda paths: next(paths.inputs.glob("*/sources.json")),
    "verdict.json": lambda paths: next(paths.artifacts.glob("Evaluator/evaluation/*/verdict.json")),
    "gate.json": lambda paths: next(paths.artifacts.glob("SchemaGate/report/*/gate.json")),
    "row index": lambda paths: next(paths.artifacts.glob("ExampleGen/examples/*/row_index/train.npy")),
}


@pytest.mark.parametrize("target", TARGETS)
def test_an_audit_of_a_root_with_a_changed_file_answers(target, tmp_path):
    paths = audited_copy(tmp_path / "root")
    path = TARGETS[target](paths)
    data = path.read_bytes()
    for number in range(COUNT // 16):
        path.write_bytes(mutated(data, number))
        for ask in (audit_all, open_lineage):
            found, _ = timed(ask, paths.root)
            assert isinstance(found, MnistTfxError) or ask is open_lineage or all(map(str, found[-1].findings))


HOSTILE = (
    None,
    "",
    -1,
    0,
    2**63 - 1,
    -(2**63),
    0.5,
    float("inf"),
    "\0",
    "é\n" * 50_000,
    b"\xff\xfe" * 40,
    "../../etc",
    "1",
)
"""What SQLite takes in any column that has no constraint, whatever its declared type."""


def change_a_row(path, number):
    """Changes, takes out or doubles one row of a metadata store, by a seed."""
    rng = random.Random(number)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as store:
        tables = [
            name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
        table = rng.choice([one for one in tables if store.execute(f"SELECT 1 FROM `{one}`").fetchone()])
        rows = [row for (row,) in store.execute(f"SELECT rowid FROM `{table}` ORDER BY rowid")]
        columns = [column[1] for column in store.execute(f"PRAGMA table_info(`{table}`)")]
        row, column = rng.choice(rows), rng.choice(columns)
        other = store.execute(f"SELECT `{column}` FROM `{table}` WHERE rowid = ?", [rng.choice(rows)]).fetchone()[0]
        with contextlib.suppress(sqlite3.IntegrityError):  # it is as it was then
            match rng.choice(("cell", "cell", "cell", "row gone", "row twice")):
                case "cell":
                    value = rng.choice((*HOSTILE, other))
                    store.execute(f"UPDATE `{table}` SET `{column}` = ? WHERE rowid = ?", [value, row])
                case "row gone":
                    store.execute(f"DELETE FROM `{table}` WHERE rowid = ?", [row])
                case _:
                    store.execute(f"INSERT INTO `{table}` SELECT * FROM `{table}` WHERE rowid = ?", [row])


def test_an_audit_answers_whatever_the_rows_of_the_metadata_store_hold(tmp_path):
    paths = audited_copy(tmp_path / "root")
    good = paths.metadata.read_bytes()
    verdicts = set()
    with StoreReader() as reader:
        for number in range(COUNT // 8):
            paths.metadata.write_bytes(good)
            change_a_row(paths.metadata, number)
            found, seconds = timed(audit_all, paths.root, AuditOptions(), reader)
            assert seconds < SOON, number
            assert not isinstance(found, MnistTfxError), (number, found)
            verdicts |= {audit.verdicts["COMPLETENESS"] for audit in found}
            assert all(
                "\n" not in str(finding) and len(str(finding)) < LONGEST for one in found for finding in one.findings
            )
    assert len(verdicts) > 1  # of the rows, many say nothing about a version


@pytest.mark.parametrize("target", TARGETS)
def test_an_audit_waits_for_no_fifo_and_reads_no_device(target, tmp_path):
    paths = audited_copy(tmp_path / "root")
    path = TARGETS[target](paths)
    for make in (os.mkfifo, lambda place: place.symlink_to("/dev/zero")):
        path.unlink()
        make(path)
        assert audit_all(paths.root)
        found, seconds = timed(open_lineage, paths.root)
        assert seconds < 10 * SOON or isinstance(found, MnistTfxError)


@pytest.mark.parametrize("kind", [kind for kind, (_, read) in KINDS.items() if "from_bytes" in read.__qualname__])
def test_a_file_that_is_none_is_refused_at_once(kind, tmp_path):
    _, read = KINDS[kind]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "write_bytes", lambda path, _: os.mkfifo(path))
        found, seconds = timed(read, b"", tmp_path)
    assert isinstance(found, MnistTfxError) or (kind == "root.json" and found[:2] == (None, None))
    assert seconds < SOON
