"""A signal just after the store was told that a node's outputs are reused: the run's record says the same."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass

import pytest
from kill.command import Place, forked
from kill.points import in_child, unsound

from components.errors import ExitCode
from pipeline.provenance.runs import runs
from pipeline.runner.progress import RunView

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class SignalledAfterReuseOf:
    """Sends this process a signal once the store knows that a node was reused; `forked` arms it in a command."""

    node: str
    number: int

    def arm(self) -> None:
        """Watches the nodes of this process's run."""
        started = RunView.started

        def watched(view: RunView, node: str) -> None:
            if node == self.node:
                tfx = sys.modules["pipeline.metadata.tfx"]
                reuse = tfx.reuse

                def signalled(*arguments):
                    known = reuse(*arguments)
                    os.kill(os.getpid(), self.number)
                    return known

                tfx.reuse = signalled
            started(view, node)

        RunView.started = watched  # type: ignore[method-assign]  # in this process alone


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_reuse_that_the_store_knows_of_is_on_record_when_a_signal_follows_it(root, digits_folder, tmp_path, number):
    place = Place(tmp_path / "place")
    place.folder.mkdir()
    command = ("run", "--data", digits_folder, "--root", root)
    ended = forked(place, command, SignalledAfterReuseOf("StatisticsGen", number))
    assert ended.code == 128 + number, ended
    states = {node.id: node.state for node in max(runs(root), key=lambda run: run.started).nodes}
    assert (states["ExampleGen"], states["StatisticsGen"], states["Transform"]) == ("cached", "cached", "skipped")
    assert in_child(lambda: unsound(root)) == []
    assert forked(place, command).code == ExitCode.OK
    assert in_child(lambda: unsound(root)) == []
