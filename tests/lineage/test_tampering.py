"""Seeded tamperings with a root: all found, the right file, record or line named; and no alarm without one."""

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from lineage.audited_root import CACHED, COMPLETE, build
from lineage.tamperings import KINDS, names, swap_two_versions, tamper

from pipeline.audit.audit import AuditOptions, audit_all
from pipeline.audit.findings import FAIL, PASS
from pipeline.audit.policy import Policy, default
from pipeline.metadata.reader import StoreReader
from pipeline.provenance.ledger import Head, read_ledger

FAST = 2 * len(KINDS)
ALL = 500


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("audited") / "root")


@pytest.fixture(scope="module")
def head(template) -> Head:
    return read_ledger(template / "ledger.jsonl").head


@pytest.fixture(scope="module")
def reader():
    """Asks all the stores, so that ml_metadata is imported once."""
    with StoreReader() as one:
        yield one


def findings(root: Path, head: Head, reader: StoreReader, policy: Policy | None = None):
    audits = audit_all(root, AuditOptions(head=head, policy=policy or default()), reader)
    return [finding for audit in audits for finding in audit.findings if finding.level == FAIL]


def check_seed(
    seed: int, original: Path, root: Path, head: Head, reader: StoreReader, policy: Policy | None = None
) -> None:
    shutil.copytree(original, root, symlinks=True)
    done, wanted = tamper(root, seed)
    found = [str(finding.where) for finding in findings(root, head, reader, policy)]
    assert any(names(where, wanted) for where in found), f"{done}: wanted {wanted}, got {found}"
    shutil.rmtree(root)


@pytest.mark.fault(15)
@pytest.mark.parametrize("seed", range(FAST))
def test_a_tampering_is_found_and_named(seed, template, head, reader, tmp_path):
    check_seed(seed, template, tmp_path / "root", head, reader)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(FAST, ALL, 43))
def test_more_tamperings_are_found_and_named(start, template, head, reader, tmp_path):
    for seed in range(start, min(start + 43, ALL)):
        check_seed(seed, template, tmp_path / f"root-{seed}", head, reader)


NOT_VOUCHED_FOR = {
    "Type": {"version", "type_kind", "description", "input_type", "output_type", "external_id"},
    "TypeProperty": {"type_id", "name", "data_type"},
    "ParentType": {"type_id", "parent_type_id"},
    "ParentContext": {"context_id", "parent_context_id"},
    "Artifact": {"name", "external_id", "create_time_since_epoch", "last_update_time_since_epoch"},
    "Execution": {"name", "external_id", "create_time_since_epoch", "last_update_time_since_epoch"},
    "Context": {"external_id", "create_time_since_epoch", "last_update_time_since_epoch"},
    "Event": {"milliseconds_since_epoch"},
    # Of whoever read or reused an artifact; `take_an_artifact_out_of_its_run` is about the run that made it.
    "Attribution": {"artifact_id", "context_id"},
}
"""{table of ML Metadata: columns}, as docs/explanation/audit.md lists them: names, times, ids of other systems, what types declare."""

BOOKKEEPING = {"sqlite_sequence"}
SOMETHING_ELSE = {"TINYINT(1)": "1 - {0}", "INT": "{0} + 1", "INTEGER": "{0} + 1", "DOUBLE": "{0} + 1"}


def fields_of_the_store(root: Path):
    """Yields each column of each table that has a value in some row, and those rows."""
    with contextlib.closing(sqlite3.connect(root / "metadata.db")) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                filled = f"SELECT rowid FROM {table} WHERE {column} IS NOT NULL"
                rows = [row for (row,) in db.execute(filled)]
                if rows and table not in BOOKKEEPING:
                    yield table, column, SOMETHING_ELSE.get(kind, "{0} || 'x'").format(column), rows


@pytest.mark.fault(14)
def test_every_field_of_the_metadata_store_is_a_finding_or_not_vouched_for(template, head, reader, tmp_path):
    root, passed, rng = Path(shutil.copytree(template, tmp_path / "root", symlinks=True)), {}, random.Random(0)
    for table, column, other, rows in [*fields_of_the_store(template)]:
        shutil.copy(template / "metadata.db", root)
        with contextlib.closing(sqlite3.connect(root / "metadata.db")) as db:
            done = 0
            for row in rng.sample(rows, min(len(rows), 20)):  # a number may be taken already
                with contextlib.suppress(sqlite3.IntegrityError):
                    done += db.execute(f"UPDATE {table} SET {column} = {other} WHERE rowid = ?", (row,)).rowcount
                if done:
                    break
            db.commit()
        if done and not findings(root, head, reader):
            passed.setdefault(table, set()).add(column)
    for table, columns in passed.items():
        assert columns <= NOT_VOUCHED_FOR.get(table, set()), (table, columns)


def executions_of(root: Path, run_id: str):
    """Yields number, state and node of a run's executions."""
    query = """SELECT e.id, e.last_known_state, c2.name FROM Execution e
               JOIN Association a ON a.execution_id = e.id JOIN Context c ON c.id = a.context_id AND c.name = ?
               JOIN Association a2 ON a2.execution_id = e.id JOIN Context c2 ON c2.id = a2.context_id
               JOIN Type t ON t.id = c2.type_id AND t.name = 'node'"""
    with contextlib.closing(sqlite3.connect(root / "metadata.db")) as db:
        yield from db.execute(query, (run_id,)).fetchall()


@pytest.mark.parametrize("served", [(1, 2), (2,), (1,)], ids=["both", "newest", "older"])
def test_a_state_edited_from_complete_to_cached_is_a_finding_whatever_is_served(
    template, head, reader, tmp_path, served
):
    root = Path(shutil.copytree(template, tmp_path / "root", symlinks=True))
    for version in {1, 2} - {*served}:
        shutil.rmtree(root / "serving" / str(version))
    for run_id in ("run-1", "run-3"):
        for execution, state, node in executions_of(root, run_id):
            if state != COMPLETE:
                continue
            shutil.copy(template / "metadata.db", root)
            with contextlib.closing(sqlite3.connect(root / "metadata.db")) as db:
                db.execute("UPDATE Execution SET last_known_state = ? WHERE id = ?", (CACHED, execution))
                db.commit()
            wheres = [finding.where for finding in findings(root, head, reader)]
            assert any(where.endswith(f"({node.removeprefix('digits.')})") for where in wheres), (run_id, node, wheres)


@pytest.mark.parametrize("state", [*range(7)])
def test_a_cached_execution_whose_state_is_edited_is_a_finding(template, head, reader, tmp_path, state):
    if state == CACHED:
        return
    root = Path(shutil.copytree(template, tmp_path / "root", symlinks=True))
    execution = next(number for number, _, node in executions_of(root, "run-2") if node == "digits.Transform")
    with contextlib.closing(sqlite3.connect(root / "metadata.db")) as db:
        db.execute("UPDATE Execution SET last_known_state = ? WHERE id = ?", (state, execution))
        db.commit()
    assert any("(Transform)" in finding.where for finding in findings(root, head, reader))


def clean_copy(original: Path, place: Path, rng: random.Random) -> Path:
    """Copies a root, moves it some times, touches some of its files and makes others read-only: nothing that counts."""
    shutil.copytree(original, place / "0", symlinks=True)
    moved = place / "0"
    for number in range(1, rng.randrange(1, 4)):
        moved = moved.rename(place / f"{number} \N{LATIN SMALL LETTER E WITH ACUTE}")
    for path in rng.sample(sorted(p for p in moved.rglob("*") if p.is_file()), 5):
        path.touch()
        path.chmod(0o444)
    return moved


def test_copies_and_moves_of_a_root_raise_no_alarm(template, head, reader, tmp_path):
    for seed in range(100):
        root = clean_copy(template, tmp_path / str(seed), random.Random(seed))
        audits = audit_all(root, AuditOptions(head=head), reader)
        assert [set(audit.verdicts.values()) for audit in audits] == [{PASS}, {PASS}], audits
        shutil.rmtree(tmp_path / str(seed))


# A checkout that is being worked on is dirty, and its runs say so.
ANY_TREE = Policy.from_dict({"version": 1, "rules": {"clean_tree": "off"}})


@pytest.mark.fault(15)
@pytest.mark.slow
@pytest.mark.e2e
def test_tamperings_with_a_real_run_are_found_and_named(first_run, reader, tmp_path):
    original = first_run[0]
    head = read_ledger(original / "ledger.jsonl").head
    assert findings(original, head, reader, ANY_TREE) == []
    for seed in range(2 * len(KINDS)):
        # One version alone cannot be swapped with another one.
        if KINDS[seed % len(KINDS)] is not swap_two_versions:
            check_seed(seed, original, tmp_path / f"root-{seed}", head, reader, ANY_TREE)
