"""A few of the points of `make test-kill`, and what its harness has to notice."""

import shutil
import signal

import pytest
from lineage.audited_copy import audited_copy

from kill.command import Place, forked
from kill.points import PROCESSES, FilePoint, Moment, changes, points, unsound, watched
from kill.reader import Watch
from kill.scenarios import SCENARIOS
from kill.trigger import Trigger

SEED = 7
KINDS = [*SCENARIOS, *(f"a run, to {whom}" for whom in PROCESSES)]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_what_a_signal_interrupts_is_done_by_the_next_command_and_nothing_is_left(number):
    outcome = points(len(KINDS), SEED)[number].run()
    assert (outcome.name, outcome.wrong) == (outcome.name, ())
    assert outcome.polls


def test_the_signal_comes_before_the_change_that_was_asked_for(tmp_path):
    """Before its first change a command leaves everything as it was; after the last there is nothing to interrupt."""
    place = Place(tmp_path)
    SCENARIOS["rollback"].prepare(tmp_path)
    command = SCENARIOS["rollback"].command(tmp_path)
    last = changes("rollback")
    first = forked(place, command, Trigger(place.count, watched(place), 1, signal.SIGKILL))
    assert (first.code, SCENARIOS["rollback"].done(tmp_path)) == (-signal.SIGKILL, False)
    place.count.unlink()
    after = forked(place, command, Trigger(place.count, watched(place), last + 1, signal.SIGKILL))
    assert (after.code, SCENARIOS["rollback"].done(tmp_path)) == (0, True)


@pytest.mark.slow
def test_points_are_the_same_for_a_seed_and_none_comes_twice():
    drawn = points(60, SEED)
    assert drawn == points(60, SEED) != points(60, SEED + 1)
    assert len(set(drawn)) == 60
    assert {point.scenario for point in drawn} == set(SCENARIOS)
    assert {point.whom for point in drawn if isinstance(point, Moment)} == set(PROCESSES)


def test_what_is_not_whole_is_seen(tmp_path):
    paths = audited_copy(tmp_path / "root")
    assert unsound(paths.root) == []
    (paths.serving / "2" / "saved_model.pb").write_bytes(b"other")
    (paths.serving / ".stage-1").mkdir()
    kinds = {found.partition(":")[0] for found in unsound(paths.root)}
    assert {"orphan", "audit", "left"} <= kinds


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda serving: (serving / "2" / "saved_model.pb").unlink(), "version 2 is the newest and cannot be loaded"),
        (lambda serving: (serving / "2" / "saved_model.pb").write_bytes(b"x"), "version 2 has other bytes than before"),
        (shutil.rmtree, "no version is there, where there was one"),
    ],
)
def test_a_reader_sees_what_must_never_be(tmp_path, change, wanted):
    serving = audited_copy(tmp_path / "root").serving
    watch = Watch(serving)
    watch.await_polls(3)
    change(serving)
    watch.await_polls(3)
    assert wanted in watch.end()["wrong"]


def test_a_point_says_where_it_is():
    point = FilePoint(scenario="prune", at=2, number=signal.SIGTERM)
    assert point.name == f"SIGTERM at change 2 of {changes('prune')} of prune"
    moment = Moment(scenario="run", at=0.25, whom="the fork server", number=signal.SIGKILL)
    assert moment.name == "SIGKILL to the fork server after 0.25 of a run"
