"""Ways to tamper with a root, drawn by a seed; each says what an audit has to name.

Only what a version stands on is touched: served files, artifacts, copies of data and schema, records, ledger, and the
metadata store (with Python's sqlite3, while nobody has it open through ml_metadata).
"""

import contextlib
import dataclasses
import gzip
import hashlib
import json
import os
import random
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

from components.ingest.payload import GZIP_MAGIC
from pipeline.provenance.ledger import Head, Line
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.record_store import scan, write
from pipeline.provenance.records import DataSource

Named = tuple[str, ...]
"""Texts of which a finding's place has to hold one."""


def _files(root: Path, *folders: str) -> list[Path]:
    """Returns the files below the folders that records or manifests vouch for."""
    found = [path for folder in folders for path in sorted((root / folder).rglob("*"))]
    # sources.json is a note for people: its paths are vouched for by nobody. `.lock` and `.system` are no evidence.
    names = {"sources.json", ".lock", ".versions"}
    plain = [path for path in found if path.is_file() and not path.is_symlink() and path.name not in names]
    return [path for path in plain if ".system" not in path.parts]


def _evidence(root: Path, rng: random.Random, *, filled: bool = False) -> Path:
    folders = rng.choice(["serving", "serving", "artifacts", "artifacts", "inputs"])
    return rng.choice([path for path in _files(root, folders) if not filled or path.stat().st_size])


def _version(root: Path, rng: random.Random) -> Path:
    return rng.choice(sorted(path for path in (root / "serving").iterdir() if path.name.isdecimal()))


def _named(root: Path, *paths: Path) -> Named:
    return tuple(path.relative_to(root).as_posix() for path in paths)


def flip_a_byte(root: Path, rng: random.Random) -> Named:
    path = _evidence(root, rng, filled=True)
    _flip(path, rng)
    return _named(root, path)


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.unlink()  # a hard link elsewhere stays as it is
    path.write_bytes(data)


def add_a_file(root: Path, rng: random.Random) -> Named:
    beside = _evidence(root, rng)
    new = beside.with_name(f"added-{rng.randrange(1000)}")
    new.write_bytes(rng.randbytes(rng.randrange(20)))
    return _named(root, new)


def add_a_file_that_looks_like_provenance(root: Path, rng: random.Random) -> Named:
    new = _version(root, rng) / f"assets.extra/provenance{rng.randrange(100)}.so"
    new.write_bytes(b"ELF")
    return _named(root, new)


def remove_a_file(root: Path, rng: random.Random) -> Named:
    path = _evidence(root, rng)
    path.unlink()
    return _named(root, path)


def truncate_a_file(root: Path, rng: random.Random) -> Named:
    path = _evidence(root, rng, filled=True)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: rng.randrange(len(data))])
    return _named(root, path)


def append_to_a_file(root: Path, rng: random.Random) -> Named:
    path = _evidence(root, rng)
    with path.open("ab") as file:
        file.write(b"x")
    return _named(root, path)


def swap_two_files(root: Path, rng: random.Random) -> Named:
    one = _evidence(root, rng)
    others = [p for p in _files(root, "serving", "artifacts") if p.read_bytes() != one.read_bytes()]
    other = rng.choice(others)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return _named(root, one, other)


def replace_a_file_by_a_symlink(root: Path, rng: random.Random) -> Named:
    path = _evidence(root, rng)
    kept = path.with_name(f".{path.name}.kept") if rng.random() < 0.5 else root / "kept"
    path.rename(kept)
    path.symlink_to(kept)
    return _named(root, path)


def replace_a_folder_by_a_symlink(root: Path, rng: random.Random) -> Named:
    folders = (root / "artifacts").glob("*/*/*")
    path = rng.choice(sorted(p for p in folders if p.is_dir() and ".system" not in p.parts))
    path.rename(root / "elsewhere")
    path.symlink_to(root / "elsewhere")
    return _named(root, path)


def replace_a_file_by_a_fifo(root: Path, rng: random.Random) -> Named:
    path = _evidence(root, rng)
    path.unlink()
    os.mkfifo(path)
    return _named(root, path)


def swap_two_versions(root: Path, rng: random.Random) -> Named:
    del rng
    one, two = root / "serving/1", root / "serving/2"
    one.rename(root / "serving/.x")
    two.rename(one)
    (root / "serving/.x").rename(two)
    return _named(root, one, two)


def edit_the_manifest(root: Path, rng: random.Random) -> Named:
    path = _version(root, rng) / "assets.extra/provenance.json"
    statement = json.loads(path.read_bytes())
    items = rng.choice([statement["predicate"]["buildDefinition"]["resolvedDependencies"], statement["subject"]])
    item = rng.choice(items)
    rng.choice([lambda: items.remove(item), lambda: item.update(name="another"), lambda: items.append(item)])()
    path.write_text(json.dumps(statement, sort_keys=True, separators=(",", ":")))
    return _named(root, path)


def edit_a_record(root: Path, rng: random.Random) -> Named:
    path = rng.choice(sorted((root / "records").iterdir()))
    fields = json.loads(path.read_bytes())
    name = rng.choice([key for key in ("node", "run_id", "seconds", "started", "key", "status") if key in fields])
    fields[name] = "another"
    path.write_text(json.dumps(fields, sort_keys=True, separators=(",", ":")))
    return _named(root, path)


def flip_a_byte_of_a_record(root: Path, rng: random.Random) -> Named:
    path = rng.choice(sorted((root / "records").iterdir()))
    _flip(path, rng)
    return _named(root, path)


def delete_a_record(root: Path, rng: random.Random) -> Named:
    path = rng.choice(sorted((root / "records").iterdir()))
    path.unlink()
    return _named(root, path)


def insert_a_record(root: Path, rng: random.Random) -> Named:
    fields = json.loads(rng.choice(sorted((root / "records").iterdir())).read_bytes())
    fields["finished"] = "2030-01-01T00:00:00.000Z"
    data = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    path = root / "records" / f"{hashlib.sha256(data).hexdigest()}.json"
    path.write_bytes(data)
    return _named(root, path)


def swap_two_records(root: Path, rng: random.Random) -> Named:
    one, two = rng.sample(sorted((root / "records").iterdir()), 2)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    return _named(root, one, two)


def _lines(root: Path) -> list[bytes]:
    return (root / "ledger.jsonl").read_bytes().splitlines(keepends=True)


def _write_lines(root: Path, lines: list[bytes], *numbers: int) -> Named:
    (root / "ledger.jsonl").write_bytes(b"".join(lines))
    return tuple(f"ledger.jsonl line {number}" for number in numbers)


def edit_a_ledger_line(root: Path, rng: random.Random) -> Named:
    lines = _lines(root)
    i = rng.randrange(len(lines))
    fields = json.loads(lines[i])
    fields[rng.choice(["event", "node", "run_id", "time", "record", "previous"])] = "another"
    if rng.random() < 0.5:  # with a digest that fits: then the next line, or the last digest, tells
        del fields["digest"]
        fields = Line.from_dict(fields).to_dict()
    lines[i] = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return _write_lines(root, lines, i + 1, i + 2)


def flip_a_byte_of_the_ledger(root: Path, rng: random.Random) -> Named:
    data = bytearray((root / "ledger.jsonl").read_bytes())
    place = rng.randrange(len(data))
    data[place] ^= 1 << rng.randrange(8)
    (root / "ledger.jsonl").write_bytes(data)
    number = data[:place].count(b"\n") + 1
    return tuple(f"ledger.jsonl line {n}" for n in (number, number + 1))


def insert_a_ledger_line(root: Path, rng: random.Random) -> Named:
    lines = _lines(root)
    i = rng.randrange(len(lines))
    lines.insert(i, rng.choice(lines))
    return _write_lines(root, lines, i + 1, i + 2)


def delete_a_ledger_line(root: Path, rng: random.Random) -> Named:
    lines = _lines(root)
    i = rng.randrange(len(lines) - 1)
    del lines[i]
    return _write_lines(root, lines, i + 1)


def reorder_the_ledger(root: Path, rng: random.Random) -> Named:
    lines = _lines(root)
    i, j = sorted(rng.sample(range(len(lines)), 2))
    lines[i], lines[j] = lines[j], lines[i]
    return _write_lines(root, lines, i + 1)


def cut_the_ledgers_tail(root: Path, rng: random.Random) -> Named:
    lines = _lines(root)
    del lines[rng.randrange(1, len(lines)) :]
    _write_lines(root, lines)
    return ("ledger.jsonl",)


def tear_the_ledgers_last_line(root: Path, rng: random.Random) -> Named:
    data = (root / "ledger.jsonl").read_bytes()
    (root / "ledger.jsonl").write_bytes(data[: -rng.randrange(1, 100)])
    return (f"ledger.jsonl line {len(data.splitlines())}",)


def rewrite_the_ledger(root: Path, rng: random.Random) -> Named:
    """Deletes a line and chains the rest anew: only records, or a head kept elsewhere, tell."""
    lines = [Line.from_dict({k: v for k, v in json.loads(t).items() if k != "digest"}) for t in _lines(root)]
    del lines[rng.randrange(len(lines))]
    head, chained = Head(), []
    for line in lines:
        fields = {**line.to_dict(), "sequence": head.sequence + 1, "previous": head.digest}
        del fields["digest"]
        new = Line.from_dict(fields)
        head = Head(new.sequence, new.digest)
        chained.append(new.to_bytes())
    _write_lines(root, chained)
    return ("ledger.jsonl",)


def bind_other_data_by_an_appended_run(root: Path, rng: random.Random) -> Named:
    """Changes a copy of the data, and appends the record of a run that was given it so, with a valid chain."""
    copies = [path for path in _files(root, "inputs") if path.read_bytes()[:2] == GZIP_MAGIC]
    copy = rng.choice(copies or [p for p in _files(root, "inputs") if not p.suffix])
    changed = gzip.compress(rng.randbytes(100), mtime=0)
    payloads = {f["name"]: f["payload_digest"] for f in json.loads((copy.parent / "contents.json").read_bytes())}
    copy.unlink()  # a hard link elsewhere stays as it is
    copy.write_bytes(changed)
    runs = [record for record in scan(root / "records").values() if record.kind == "run"]
    given = DataSource(
        name=copy.name, payload_digest=payloads[copy.name], container_digest=hashlib.sha256(changed).hexdigest()
    )
    forged = dataclasses.replace(rng.choice(runs), run_id="run-forged", version=None, nodes=(), sources=(given,))
    Ledger.open(root / "ledger.jsonl").run(run_id="run-forged", record=write(root / "records", forged))
    return _named(root, copy)


@contextlib.contextmanager
def _database(root: Path):
    connection = sqlite3.connect(root / "metadata.db")
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def _row(connection: sqlite3.Connection, rng: random.Random, query: str) -> tuple:
    return rng.choice(connection.execute(query).fetchall())


def _record_of_execution(connection: sqlite3.Connection, execution: int) -> Named:
    query = """SELECT p.string_value FROM Event e JOIN ArtifactProperty p ON p.artifact_id = e.artifact_id
               WHERE e.execution_id = ? AND e.type = 4 AND p.name = 'record'"""
    return tuple(f"records/{record}.json" for (record,) in connection.execute(query, (execution,)))


def _record_of_artifact(connection: sqlite3.Connection, artifact: int) -> Named:
    query = "SELECT string_value FROM ArtifactProperty WHERE artifact_id = ? AND name = 'record'"
    return tuple(f"records/{record}.json" for (record,) in connection.execute(query, (artifact,)))


def delete_an_event(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        event, execution = _row(db, rng, "SELECT id, execution_id FROM Event")
        named = _record_of_execution(db, execution)
        db.execute("DELETE FROM Event WHERE id = ?", (event,))
    return named


def delete_the_events_of_an_execution(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        (execution,) = _row(db, rng, "SELECT id FROM Execution")
        named = _record_of_execution(db, execution)
        db.execute("DELETE FROM Event WHERE execution_id = ?", (execution,))
    return named


def edit_an_event(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        event, execution, artifact, kind = _row(db, rng, "SELECT id, execution_id, artifact_id, type FROM Event")
        named = _record_of_execution(db, execution)
        (other,) = _row(db, rng, f"SELECT id FROM Artifact WHERE id != {artifact}")
        change = rng.choice(["artifact_id", "type", "step"])
        if change == "artifact_id":
            taken = "SELECT 1 FROM Event WHERE execution_id = ? AND artifact_id = ? AND type = ?"
            if db.execute(taken, (execution, other, kind)).fetchone():
                db.execute("DELETE FROM Event WHERE id = ?", (event,))
            else:
                db.execute("UPDATE Event SET artifact_id = ? WHERE id = ?", (other, event))
        elif change == "type":
            db.execute("UPDATE Event SET type = ? WHERE id = ?", ({3: 4, 4: 3}.get(kind, 1), event))
        else:
            db.execute("UPDATE EventPath SET step_key = 'another' WHERE event_id = ? AND is_index_step = 0", (event,))
    return named


def edit_an_artifacts_property(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        query = "SELECT artifact_id, name FROM ArtifactProperty WHERE name NOT IN ('tfx_version', 'is_external', "
        query += "'split_names', 'span', 'name') AND is_custom_property"
        artifact, name = _row(db, rng, query)
        named = _record_of_artifact(db, artifact)
        where = "WHERE artifact_id = ? AND name = ?"
        if rng.random() < 0.3:
            db.execute(f"DELETE FROM ArtifactProperty {where}", (artifact, name))
        else:
            change = "int_value = int_value + 1, string_value = string_value || 'x'"
            db.execute(f"UPDATE ArtifactProperty SET {change} {where}", (artifact, name))
    return named


def edit_an_executions_property(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        execution, name = _row(db, rng, "SELECT execution_id, name FROM ExecutionProperty")
        named = _record_of_execution(db, execution)
        change = "int_value = int_value + 1, string_value = string_value || 'x'"
        db.execute(f"UPDATE ExecutionProperty SET {change} WHERE execution_id = ? AND name = ?", (execution, name))
    return named


def edit_a_uri(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        artifact, uri = _row(db, rng, "SELECT id, uri FROM Artifact")
        named = _record_of_artifact(db, artifact)
        new = rng.choice([f"{uri}0", f"/elsewhere{uri}", "/tmp/x", uri.replace("artifacts", "artifact")])
        db.execute("UPDATE Artifact SET uri = ? WHERE id = ?", (new, artifact))
    return named


def drop_an_execution(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        (execution,) = _row(db, rng, "SELECT id FROM Execution")
        named = _record_of_execution(db, execution)
        db.execute("DELETE FROM Execution WHERE id = ?", (execution,))
        if rng.random() < 0.5:
            db.execute("DELETE FROM Event WHERE execution_id = ?", (execution,))
            db.execute("DELETE FROM ExecutionProperty WHERE execution_id = ?", (execution,))
    return named


def drop_an_artifact(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        (artifact,) = _row(db, rng, "SELECT id FROM Artifact")
        named = _record_of_artifact(db, artifact)
        db.execute("DELETE FROM Artifact WHERE id = ?", (artifact,))
    return named


def edit_an_executions_state(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        execution, state = _row(db, rng, "SELECT id, last_known_state FROM Execution")
        named = _record_of_execution(db, execution)
        other = rng.choice([number for number in range(7) if number != state])
        db.execute("UPDATE Execution SET last_known_state = ? WHERE id = ?", (other, execution))
    return named


def edit_an_executions_type(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        execution, kind = _row(db, rng, "SELECT id, type_id FROM Execution")
        named = _record_of_execution(db, execution)
        (other,) = _row(db, rng, f"SELECT DISTINCT type_id FROM Execution WHERE type_id != {kind}")
        db.execute("UPDATE Execution SET type_id = ? WHERE id = ?", (other, execution))
    return named


def rename_a_type(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        (kind,) = _row(db, rng, "SELECT DISTINCT type_id FROM Execution")
        [execution] = db.execute("SELECT min(id) FROM Execution WHERE type_id = ?", (kind,)).fetchone()
        named = _record_of_execution(db, execution)
        db.execute("UPDATE Type SET name = name || 'x' WHERE id = ?", (kind,))
    return named


def move_an_execution_to_another_context(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        ours = "SELECT c.id FROM Context c JOIN Type t ON t.id = c.type_id WHERE t.name != 'execution_cache'"
        query = f"SELECT id, execution_id, context_id FROM Association WHERE context_id IN ({ours})"
        row, execution, context = _row(db, rng, query)
        named = _record_of_execution(db, execution)
        taken = f"SELECT context_id FROM Association WHERE execution_id = {execution}"
        (other,) = _row(db, rng, f"SELECT id FROM Context WHERE id NOT IN ({taken}) AND id != {context}")
        db.execute("UPDATE Association SET context_id = ? WHERE id = ?", (other, row))
    return named


def add_an_execution_to_another_run(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        (execution,) = _row(db, rng, "SELECT id FROM Execution")
        named = _record_of_execution(db, execution)
        runs = "SELECT c.id FROM Context c JOIN Type t ON t.id = c.type_id WHERE t.name = 'pipeline_run'"
        runs += f" AND c.id NOT IN (SELECT context_id FROM Association WHERE execution_id = {execution})"
        found = [run for (run,) in db.execute(runs)]
        kind = "SELECT id FROM Type WHERE name = 'pipeline_run'"
        if not found:  # a root of one run
            new = db.execute(
                f"INSERT INTO Context (type_id, name, create_time_since_epoch, last_update_time_since_epoch)"
                f" VALUES (({kind}), 'another', 0, 0)"
            ).lastrowid
            found = [new]
        db.execute("INSERT INTO Association (context_id, execution_id) VALUES (?, ?)", (rng.choice(found), execution))
    return named


def take_an_artifact_out_of_its_run(root: Path, rng: random.Random) -> Named:
    """Deletes that an artifact belongs to the run that made it."""
    with _database(root) as db:
        (artifact,) = _row(db, rng, "SELECT id FROM Artifact")
        named = _record_of_artifact(db, artifact)
        maker = "SELECT min(execution_id) FROM Event WHERE type = 4 AND artifact_id = ?"
        contexts = f"SELECT context_id FROM Association WHERE execution_id = ({maker})"
        db.execute(f"DELETE FROM Attribution WHERE artifact_id = ? AND context_id IN ({contexts})", (artifact,) * 2)
    return named


def drop_a_step_of_an_events_path(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        event, execution = _row(db, rng, "SELECT id, execution_id FROM Event")
        named = _record_of_execution(db, execution)
        step = rng.choice([0, 1])
        db.execute("DELETE FROM EventPath WHERE event_id = ? AND is_index_step = ?", (event, step))
    return named


def edit_the_splits_of_an_artifact(root: Path, rng: random.Random) -> Named:
    with _database(root) as db:
        artifact, names = _row(
            db, rng, "SELECT artifact_id, string_value FROM ArtifactProperty WHERE name = 'split_names'"
        )
        named = _record_of_artifact(db, artifact)
        other = names.replace("train", "test", 1)
        where = "artifact_id = ? AND name = 'split_names'"
        db.execute(f"UPDATE ArtifactProperty SET string_value = ? WHERE {where}", (other, artifact))
    return named


def spoil_the_store(root: Path, rng: random.Random) -> Named:
    path = root / "metadata.db"
    data = path.read_bytes()
    rng.choice(
        [
            path.unlink,
            lambda: path.write_bytes(b""),
            lambda: path.write_bytes(rng.randbytes(4096)),
            lambda: path.write_bytes(data[:4096]),
        ]
    )()
    return ("metadata.db",)


KINDS: tuple[Callable[[Path, random.Random], Named], ...] = (
    flip_a_byte,
    add_a_file,
    add_a_file_that_looks_like_provenance,
    remove_a_file,
    truncate_a_file,
    append_to_a_file,
    swap_two_files,
    replace_a_file_by_a_symlink,
    replace_a_folder_by_a_symlink,
    replace_a_file_by_a_fifo,
    swap_two_versions,
    edit_the_manifest,
    edit_a_record,
    flip_a_byte_of_a_record,
    delete_a_record,
    insert_a_record,
    swap_two_records,
    edit_a_ledger_line,
    flip_a_byte_of_the_ledger,
    insert_a_ledger_line,
    delete_a_ledger_line,
    reorder_the_ledger,
    cut_the_ledgers_tail,
    tear_the_ledgers_last_line,
    rewrite_the_ledger,
    bind_other_data_by_an_appended_run,
    delete_an_event,
    delete_the_events_of_an_execution,
    edit_an_event,
    edit_an_artifacts_property,
    edit_an_executions_property,
    edit_a_uri,
    drop_an_execution,
    drop_an_artifact,
    edit_an_executions_state,
    edit_an_executions_type,
    rename_a_type,
    move_an_execution_to_another_context,
    add_an_execution_to_another_run,
    take_an_artifact_out_of_its_run,
    drop_a_step_of_an_events_path,
    edit_the_splits_of_an_artifact,
    spoil_the_store,
)


def tamper(root: Path, seed: int) -> tuple[str, Named]:
    """Tampers with a root in the way that a seed says; returns what was done, and what an audit has to name."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    return kind.__name__, kind(root, rng)


def names(found: str, wanted: Named) -> bool:
    """Whether a finding's place is one of those wanted: a file, or a line and not a longer number."""
    return any(re.search(rf"{re.escape(text)}(?!\d)", found) for text in wanted)
