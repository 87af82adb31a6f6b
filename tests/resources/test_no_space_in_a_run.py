"""Every node of a run, on a disk that is full from its start on: one line, nothing half published, and then it goes on."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from kill.command import Place, forked
from kill.points import in_child, unsound

from components.errors import ExitCode
from pipeline.runner.progress import RunView
from pipeline.stages import STAGES
from resources.machine import fill, make_room, own_disk

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@dataclass(frozen=True)
class FullFrom:
    """Fills a disk up when a node begins; `forked` arms it in the process of the command."""

    node: str
    disk: Path

    def arm(self) -> None:
        """Watches the nodes of this process's run."""
        started = RunView.started

        def filled(view: RunView, node: str) -> None:
            if node == self.node:
                fill(self.disk, 0)
            started(view, node)

        RunView.started = filled  # type: ignore[method-assign]  # in this process alone


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
    full = forked(place, command, FullFrom(node, disk))
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
