"""Every command that writes, asked by a user who may not: one line with the path, nothing changed, and then it works."""

import os
import tempfile
from pathlib import Path

import pytest
from kill.command import Place, forked

from components.errors import ExitCode
from resources.commands import COMMANDS
from resources.machine import Nobody, give, take, tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which takes root")

# What each command writes; in everything else it has no say.
PLACES = {
    "rollback": ("root/ledger.jsonl", "root/records", "root/metadata.db", "root/artifacts", "root/serving"),
    "prune": ("root/ledger.jsonl", "root/serving", "root/serving/.versions"),
    "gc": ("root/ledger.jsonl", "root/metadata.db", "root/artifacts/Classifier/model"),
    "repair": ("root/ledger.jsonl", "root/records", "root/metadata.db", "root/artifacts"),
    "promote": ("root/ledger.jsonl", "root/serving", "root/staged"),
    "approve": (".", "schemas"),
    "keys": ("root/ledger.jsonl",),
    "rebuild": ("root",),
    "backup": (".",),
    "restore": (".",),
    "keys add": ("root/ledger.jsonl",),
    "keys rotate": ("root/ledger.jsonl",),
    "approve a version": ("root/ledger.jsonl",),
    "withdraw": ("root/ledger.jsonl",),
    "schema withdraw": ("root/ledger.jsonl",),
    "sign": ("root/serving/2/assets.extra",),
}
CASES = [(name, place) for name in COMMANDS for place in PLACES.get(name, ("out",))]


@pytest.fixture
def folder():
    """A folder to which other users may pass, as they may not to pytest's own."""
    with tempfile.TemporaryDirectory(prefix="no-permission-") as name:
        made = Path(name)
        made.chmod(0o711)
        if any(not place.stat().st_mode & 0o001 for place in made.parents):
            pytest.skip(f"other users may not pass to {made.parent}: set TMPDIR")
        yield made


@pytest.mark.fault(8)
@pytest.mark.parametrize(("name", "place"), CASES, ids=[f"{name}: {place}" for name, place in CASES])
def test_a_command_that_may_not_write_is_one_line_changes_nothing_and_works_once_it_may(folder, name, place):
    case, around, disk = COMMANDS[name], Place(folder / "user"), folder / "user" / "disk"
    disk.mkdir(parents=True)
    case.prepare(disk)
    around.environment()
    if not (disk / place).exists():
        (disk / place).mkdir()
    before = tree(disk)
    give(around.folder)
    take(disk / place)
    closed = forked(around, case.command(disk), Nobody())
    assert (closed.code, closed.err.count("\n")) == (ExitCode.ENVIRONMENT, 1), closed
    assert f"{disk / place}" in closed.err
    assert "not foreseen" not in closed.err
    assert {path for path, digest in tree(disk).items() ^ before.items()} <= {"root/.lock"}
    assert list(around.temporary.iterdir()) == []
    give(disk / place)
    again = forked(around, case.command(disk), Nobody())
    assert (again.code, case.done(disk)) == (ExitCode.OK, True), again


@pytest.mark.fault(8)
def test_where_a_file_is_to_be_written_is_looked_at_before_any_work(folder):
    """Nobody reads data that are no data, for a draft that could not be written."""
    case, around, disk = COMMANDS["schema propose"], Place(folder / "user"), folder / "user" / "disk"
    disk.mkdir(parents=True)
    case.prepare(disk)
    for file in (disk / "data").iterdir():
        file.write_bytes(b"no data")
    around.environment()
    give(around.folder)
    take(disk / "out")
    closed = forked(around, case.command(disk), Nobody())
    assert (closed.code, f"{disk / 'out'}: not writable" in closed.err) == (ExitCode.ENVIRONMENT, True), closed
