"""What this user has read of a large root's records, kept in the user's own cache, so that they are read once.

A record never changes, and the ledger names it by its hash: what was read of it holds for as long as the chain still
begins with the lines it was read under. The file is not in the root: there, whoever can write to the root could change
answers without changing a record or the ledger. It is used only if nobody but the user can write to it; where there is
none, or none can be written, all records are read, and an audit reads them always.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.errors import EnvironmentProblem
from components.untrusted import parse_json
from pipeline.lineage.steps import ExecutionSummary, InputRef, OutputRef, Reading
from pipeline.provenance.ledger import Chain, Head, LedgerBroken
from pipeline.root.user_cache import is_own, user_cache

FEWEST: Final = 2_000
"""Records from which on they are kept; fewer are read in half a second."""

FORMAT: Final = "1"
"""Of the file; another one is made anew."""

_WAIT: Final = 30
"""Seconds for another process that reads the records."""

_HEX: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS steps (id INTEGER PRIMARY KEY, record BLOB UNIQUE, node TEXT, ingest INTEGER, fields TEXT);
CREATE TABLE IF NOT EXISTS reads (maker INTEGER, step INTEGER);
CREATE TABLE IF NOT EXISTS mentions (digest INTEGER, step INTEGER);
CREATE TABLE IF NOT EXISTS code (digest TEXT PRIMARY KEY, files TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (record BLOB PRIMARY KEY, sources TEXT) WITHOUT ROWID;
"""
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS by_node ON steps (node);
CREATE INDEX IF NOT EXISTS by_ingest ON steps (id) WHERE ingest;
CREATE INDEX IF NOT EXISTS by_maker ON reads (maker);
CREATE INDEX IF NOT EXISTS by_digest ON mentions (digest);
"""

Sources = list[dict[str, Any]]


class KeptSteps:
    """Executions that are looked up in the file.

    Args:
      connection: to it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getitem__(self, record: str) -> ExecutionSummary:
        found = self.get(record)
        if found is None:
            raise KeyError(record)
        return found

    def __contains__(self, record: object) -> bool:
        return isinstance(record, str) and bool(self._rows("SELECT 1 FROM steps WHERE record = ?", _raw(record)))

    def __len__(self) -> int:
        [(count,)] = self._rows("SELECT count(*) FROM steps")
        return int(count)

    def get(self, record: str) -> ExecutionSummary | None:
        """Return an execution; None if there is none."""
        found = self._rows("SELECT fields FROM steps WHERE record = ?", _raw(record))
        return _read(found[0][0]) if found else None

    def readers_of(self, record: str) -> Sequence[Reading]:
        """Return who read what an execution made, and which of it."""
        rows = self._rows(
            "SELECT DISTINCT id, fields FROM steps JOIN reads ON step = id WHERE maker = ? ORDER BY record",
            _word(record),
        )
        steps = (_read(fields) for _, fields in rows)
        return [(step, read) for step in steps for read in step.reads if read.maker == record]

    def that_may_know(self, digests: Iterable[str]) -> Iterator[ExecutionSummary]:
        """Yield every execution whose record holds one of some digests, and possibly others."""
        ids = {
            row for digest in digests for row in self._rows("SELECT step FROM mentions WHERE digest = ?", _word(digest))
        }
        found = [self._rows("SELECT fields FROM steps WHERE id = ?", *row)[0][0] for row in ids]
        return iter(sorted(map(_read, found)))

    def of_node(self, node: str) -> Iterator[ExecutionSummary]:
        """Yield the executions of a node."""
        rows = self._rows("SELECT fields FROM steps WHERE node = ? ORDER BY record", node)
        return (_read(fields) for (fields,) in rows)

    def ingests(self) -> Iterator[ExecutionSummary]:
        """Yield the executions that read data files."""
        rows = self._rows("SELECT fields FROM steps WHERE ingest ORDER BY record")
        return (_read(fields) for (fields,) in rows)

    def code(self) -> dict[str, dict[str, str]]:
        """Return {code digest: {path: SHA-256}}."""
        return {digest: json.loads(files) for digest, files in self._rows("SELECT digest, files FROM code")}

    def runs(self) -> list[tuple[str, Sources]]:
        """Return hash and data sources of the runs' records."""
        rows = self._rows("SELECT record, sources FROM runs ORDER BY record")
        return [(record.hex(), json.loads(sources)) for record, sources in rows]

    def hashes(self) -> set[str]:
        """Return the hashes of all records."""
        rows = self._rows("SELECT lower(hex(record)) FROM steps UNION ALL SELECT lower(hex(record)) FROM runs")
        return {record for (record,) in rows}

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as err:
            hint = "remove the folder, and everything is read again"
            raise EnvironmentProblem(
                "what was kept of records cannot be read", where=cache_folder(), got=err, hint=hint
            ) from err


class KeptFile:
    """The file of one root's records, being brought up to date; closed with its last `KeptSteps`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.steps = KeptSteps(connection)

    @property
    def checked(self) -> Head:
        """The end of the chain under which the records were read; all that it commits are there."""
        found = dict(self._connection.execute("SELECT name, value FROM about"))
        return Head.from_str(found["head"]) if "head" in found else Head()

    def forget(self) -> None:
        """Remove everything."""
        for table in ("about", "steps", "reads", "mentions", "code", "runs"):
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608  # names of our own

    def add_step(self, step: ExecutionSummary, code_files: Mapping[str, str]) -> None:
        """Add an execution."""
        execute = self._connection.execute
        number = execute(
            "INSERT INTO steps (record, node, ingest, fields) VALUES (?, ?, ?, ?)",
            (_raw(step.record), step.node, step.data is not None, _written(step)),
        ).lastrowid
        makers = {read.maker for read in step.reads if read.maker is not None}
        self._connection.executemany("INSERT INTO reads VALUES (?, ?)", [(_word(maker), number) for maker in makers])
        words = {_word(digest) for digest in _digests(step)}
        self._connection.executemany("INSERT INTO mentions VALUES (?, ?)", [(word, number) for word in words])
        execute("INSERT OR IGNORE INTO code VALUES (?, ?)", (step.code, json.dumps(dict(code_files))))

    def add_run(self, record: str, sources: Sources) -> None:
        """Add a run."""
        self._connection.execute("INSERT INTO runs VALUES (?, ?)", (_raw(record), json.dumps(sources)))

    def finish(self, head: Head) -> KeptSteps:
        """Note under which chain all of it was read, and return it as it is now, whatever others write to it meanwhile."""
        self._connection.execute("INSERT OR REPLACE INTO about VALUES ('head', ?)", (str(head),))
        for statement in _INDEXES.strip().split("\n"):
            self._connection.execute(statement)
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN")
        _ = len(self.steps)
        return self.steps


@contextlib.contextmanager
def opened(chain: Chain) -> Iterator[KeptFile | None]:
    """Open the file of a root, to which nobody else writes meanwhile; None where there can be none.

    What it holds is forgotten if it was read under another chain.

    Args:
      chain: of the root's ledger, verified.
    """
    connection = _connection(chain)
    if connection is None:
        yield None
        return
    try:
        kept = KeptFile(connection)
        try:
            chain.expect(kept.checked)
        except LedgerBroken:
            kept.forget()
        yield kept
    except BaseException:
        connection.close()
        raise


def cache_folder() -> Path:
    """Return the folder of these files."""
    return user_cache() / "lineage"


def _connection(chain: Chain) -> sqlite3.Connection | None:
    first = next(iter(chain.lines), None)
    if first is None:
        return None
    try:
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A root is known by its first line, wherever it was moved or copied to.
        file = folder / f"{first.digest}.{FORMAT}.db"
        if not file.exists():
            os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        if not (is_own(folder) and is_own(file)):
            return None
        try:
            return _prepared(file)
        except sqlite3.OperationalError:
            return None  # somebody is at work on it
        except sqlite3.DatabaseError:
            file.unlink()
            return _prepared(file)
    except (OSError, RuntimeError, sqlite3.Error):  # RuntimeError: no home
        return None


def _prepared(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.strip().split("\n"):
            connection.execute(statement)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _raw(record: str) -> bytes:
    return bytes.fromhex(record)


def _word(digest: str) -> int:
    """Return the beginning of a digest as a number of SQLite's."""
    return int.from_bytes(bytes.fromhex(digest[:16]), "big", signed=True)


def _digests(step: ExecutionSummary) -> Iterator[str]:
    """Yield every digest that a look-up could ask for."""
    yield from (step.record, step.code)
    for output in step.makes:
        yield output.sha256
        yield from _split(output.files)
    yield from _split(step.mentions)
    yield from _HEX.findall(json.dumps(step.data))


def _split(digests: bytes) -> Iterator[str]:
    return (digests[start : start + 32].hex() for start in range(0, len(digests), 32))


def _written(step: ExecutionSummary) -> str:
    makes = [[*output[:-1], output.files.hex()] for output in step.makes]
    return json.dumps([*step[:5], step.reads, makes, step.mentions.hex(), step.data, step.parameters])


def _read(text: str) -> ExecutionSummary:
    record, node, run_id, started, code, reads, makes, mentions, data, parameters = parse_json(
        text, where="kept record", any_number=True
    )
    return ExecutionSummary(
        record=record,
        node=node,
        run_id=run_id,
        started=started,
        code=code,
        reads=tuple(InputRef(*read) for read in reads),
        makes=tuple(
            OutputRef(channel, type_, path, sha256, bytes.fromhex(files))
            for channel, type_, path, sha256, files in makes
        ),
        mentions=bytes.fromhex(mentions),
        data=data,
        parameters=parameters,
    )
