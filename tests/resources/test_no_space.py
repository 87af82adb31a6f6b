"""Every command that writes, on a disk that is full: one line with path and bytes, nothing half done, and then it works."""

import re

import pytest
from kill.command import Place, forked
from kill.points import in_child, unsound

from components.errors import ExitCode
from resources.commands import COMMANDS
from resources.machine import fill, make_room, own_disk, tree

SAYS = re.compile(r"no space left: wanted (more than )?\d+ bytes, got \d+ bytes free")

FITS = frozenset(
    {"prune", "promote", "keys", "keys add", "keys rotate", "approve a version", "withdraw", "schema withdraw"}
)
"""They append to the ledger, whose last block has room for a line, or they make room themselves."""


@pytest.fixture
def disk(tmp_path):
    try:
        with own_disk(tmp_path / "disk") as place:
            yield place
    except PermissionError as err:
        pytest.skip(str(err))


@pytest.mark.fault(7)
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("free", [0, *(pytest.param(free, marks=pytest.mark.slow) for free in (4096, 65_536))])
def test_a_command_on_a_full_disk_is_one_line_changes_nothing_and_works_once_there_is_room(disk, tmp_path, name, free):
    case, place = COMMANDS[name], Place(tmp_path)
    case.prepare(disk)
    before = tree(disk)
    roots = [disk / root for root in case.roots if (disk / root / "ledger.jsonl").exists()]
    sound = {root: in_child(lambda root=root: unsound(root)) for root in roots}
    fill(disk, free)
    full = forked(place, case.command(disk))
    make_room(disk)
    if full.code == ExitCode.OK:
        assert free or name in FITS
        assert case.done(disk)
        return
    assert (full.code, full.err.count("\n")) == (ExitCode.ENVIRONMENT, 1), full
    assert SAYS.search(full.err), full
    assert str(disk) in full.err
    changed = {path for path, digest in tree(disk).items() ^ before.items()}
    # What is about to be removed is on record before it is.
    assert changed <= ({"root/ledger.jsonl"} if name == "gc" else set())
    assert list(place.temporary.iterdir()) == []
    assert {root: in_child(lambda root=root: unsound(root)) for root in roots} == sound
    again = forked(place, case.command(disk))
    assert (again.code, case.done(disk)) == (ExitCode.OK, True), again


@pytest.mark.fault(7)
def test_a_schema_in_force_stays_in_force_when_the_next_one_finds_no_room(disk, tmp_path):
    """Of a schema, its profile, its digest and who approved it, none takes its place before all are on the disk."""
    case, place = COMMANDS["approve"], Place(tmp_path)
    case.prepare(disk)
    assert forked(place, case.command(disk)).code == ExitCode.OK
    before = tree(disk / "schemas")
    [draft] = (disk / "drafts").glob("*.pbtxt")
    draft.write_text(draft.read_text() + "\n")
    for free in (0, 4096, 8192, 12_288):
        fill(disk, free)
        full = forked(place, case.command(disk))
        make_room(disk)
        assert (full.code, full.err.count("\n")) == (ExitCode.ENVIRONMENT, 1), full
        assert tree(disk / "schemas") == before
    assert forked(place, case.command(disk)).code == ExitCode.OK
    assert tree(disk / "schemas") != before
