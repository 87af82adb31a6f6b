"""A signal just after the store was told that a node's outputs are reused: the run's record says the same."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from kill.command import Place, forked
from kill.points import in_child, unsound
from kill.trigger import AtNode

from components.errors import ExitCode
from pipeline.provenance.runs import runs

pytestmark = pytest.mark.e2e


def signalled_after_the_next_reuse(number):
    """Has this process send itself a signal once the store knows that a node was reused."""
    tfx = sys.modules["pipeline.metadata.tfx"]
    reuse = tfx.reuse

    def signalled(*arguments):
        known = reuse(*arguments)
        os.kill(os.getpid(), number)
        return known

    tfx.reuse = signalled


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_reuse_that_the_store_knows_of_is_on_record_when_a_signal_follows_it(root, digits_folder, tmp_path, number):
    place = Place(tmp_path / "place")
    place.folder.mkdir()
    command = ("run", "--data", digits_folder, "--root", root)
    ended = forked(place, command, AtNode("StatisticsGen", lambda: signalled_after_the_next_reuse(number)))
    assert ended.code == 128 + number, ended
    states = {node.id: node.state for node in max(runs(root), key=lambda run: run.started).nodes}
    assert (states["ExampleGen"], states["StatisticsGen"], states["Transform"]) == ("cached", "cached", "skipped")
    assert in_child(lambda: unsound(root)) == []
    assert forked(place, command).code == ExitCode.OK
    assert in_child(lambda: unsound(root)) == []
