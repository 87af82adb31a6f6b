"""Every node of a run, on a disk that is full from its start on: one line, nothing half published, and then it goes on."""

from __future__ import annotations

import os
import shutil

import pytest
from kill.command import Place, forked
from kill.points import in_child, unsound
from kill.trigger import AtNode

from components.errors import ExitCode
from pipeline.stages import STAGES
from resources.machine import fill, make_room, own_disk

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def disk(tmp_path):
    try:
        with own_disk(tmp_path / "disk", "128m") as place:
            yield place
    except PermissionError as err:
        pytest.skip(str(err))


@pytest.mark.fault(7)
@pytest.mark.parametrize("node", STAGES)
def test_a_node_without_room_ends_the_run_in_one_line_and_the_next_one_goes_on(
    first_run, digits_folder, disk, tmp_path, node
):
    root, place = disk / "root", Place(tmp_path)
    shutil.copytree(first_run[0], root, symlinks=True)
    before = os.listdir(root / "serving")
    command = ("run", "--data", digits_folder, "--root", root, "--force", node)
    full = forked(place, command, AtNode(node, lambda: fill(disk, 0)))
    make_room(disk)
    assert full.code == ExitCode.ENVIRONMENT, full
    last = full.err.splitlines()[-1]
    assert last.startswith("mnist-tfx: "), full
    assert "no space left: wanted " in last, full
    assert str(disk) in last, full
    assert full.left == ()
    assert os.listdir(root / "serving") == before
    again = forked(place, command)
    assert again.code == ExitCode.OK, again
    assert in_child(lambda: unsound(root)) == []
    assert list(place.temporary.iterdir()) == []
