"""What one sees of a run: a live table on a terminal, and elsewhere lines, of which none is further away than a while."""

import io
import os
import pty
import re
import threading
import time

import pytest
from rich.console import Console

from components import progress
from pipeline.provenance import at_work
from pipeline.root.paths import RunPaths
from pipeline.runner.observers import observed
from pipeline.runner.progress import RunView
from pipeline.runner.sweep_view import Board

NODES = ["Autoencoder", "Classifier"]
EPOCH = {"stage": "epoch", "done": 3, "total": 8, "loss": 0.5}


class Terminal:
    """A pseudo-terminal, with everything that was drawn on it."""

    def __init__(self):
        self._read, write = pty.openpty()
        self._parts = []
        self.console = Console(file=os.fdopen(write, "w"), force_terminal=True, width=100, markup=False)
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self):
        try:
            while part := os.read(self._read, 4096):
                self._parts.append(part)
        except OSError:  # the other end is closed
            return

    def drawn(self):
        """Closes it and returns the text, without the codes that move the cursor and choose colours."""
        self.console.file.close()
        self._thread.join(timeout=5)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(self._parts).decode())


def run(view):
    with view.phase("importing TensorFlow and TFX"):
        time.sleep(0.2)
    view.open(NODES)
    view.started("Autoencoder")
    view.finished("Autoencoder", "cached", 0.1, "unchanged since run 1")
    view.started("Classifier")
    view.progress("Classifier", {"stage": "importing TensorFlow"})
    view.progress("Classifier", EPOCH)
    time.sleep(0.2)
    view.finished("Classifier", "executed", 2.0, "asked for")
    view.close()


def test_a_terminal_shows_the_phase_the_epoch_and_how_many_nodes_are_done():
    terminal = Terminal()
    run(RunView(terminal.console))
    drawn = terminal.drawn()
    assert "importing TensorFlow and TFX  0 s" in drawn
    assert re.search(r"Classifier +.* running .*epoch 3/8  loss 0\.5000", drawn)
    assert "1/2 nodes" in drawn
    assert re.search(r"Classifier +executed +2\.0 +asked for", drawn)


def test_without_a_terminal_there_is_a_line_for_each_node_and_nothing_else():
    out = io.StringIO()
    run(RunView(Console(file=out, width=100)))
    assert out.getvalue().splitlines() == [
        "Autoencoder      cached       0.1 s  unchanged since run 1",
        "Classifier       executed     2.0 s  asked for",
    ]


def awaited(out, wanted):
    deadline = time.monotonic() + 10
    while wanted not in out.getvalue() and time.monotonic() < deadline:
        time.sleep(0.005)
    return out.getvalue()


def test_silence_is_broken_with_what_is_under_way():
    out = io.StringIO()
    view = RunView(Console(file=out, width=100), silence_s=0.02)
    with view.phase("importing TensorFlow and TFX"):
        assert "importing TensorFlow and TFX: 0 s" in awaited(out, "importing")
    view.open(NODES)
    view.started("Classifier")
    view.progress("Classifier", EPOCH)
    assert re.search(r"Classifier       running      0\.\d s  epoch 3/8  loss 0\.5000", awaited(out, "epoch"))
    view.close()
    before = out.getvalue()
    time.sleep(0.1)
    assert out.getvalue() == before


def test_a_line_that_was_just_printed_is_silence_enough():
    out = io.StringIO()
    view = RunView(Console(file=out, width=100), silence_s=3600)
    view.open(NODES)
    view.started("Classifier")
    time.sleep(0.05)
    view.close()
    assert out.getvalue() == ""


def test_the_log_has_every_event_with_its_time_and_node(tmp_path):
    paths = RunPaths(tmp_path)
    view = RunView(Console(file=io.StringIO()))
    with observed(view, paths, "a-run", "digits"):
        run(view)
        view.note("Evaluator", "refused: not\nblessed")
    events = paths.log("a-run").read_text().splitlines()
    assert all(re.match(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z mnist-tfx ", event) for event in events)
    assert [event.split(" mnist-tfx ")[1] for event in events] == [
        "run: a-run begins, recipe digits",
        "run: importing TensorFlow and TFX",
        "Autoencoder: start, node 1 of 2",
        "Autoencoder: cached 0.1 s  unchanged since run 1",
        "Classifier: start, node 2 of 2",
        "Classifier: importing TensorFlow",
        "Classifier: epoch 3/8  loss 0.5000",
        "Classifier: executed 2.0 s  asked for",
        "Evaluator: refused: not\\nblessed",
    ]


def test_others_see_what_a_run_is_doing(tmp_path):
    paths = RunPaths(tmp_path)
    view = RunView(Console(file=io.StringIO()))
    with observed(view, paths, "a-run", "digits"):
        view.open(NODES)
        view.started("Classifier")
        view.progress("Classifier", EPOCH)
        assert [one.phase for one in at_work.at_work(paths)] == ["Classifier, epoch 3/8  loss 0.5000"]
        view.wait("another run is writing to runs/digits: waiting for it to end")
        assert [one.phase[:11] for one in at_work.at_work(paths)] == ["another run"]


def test_a_view_of_several_runs_tells_each_log_of_its_own_run_alone(tmp_path):
    view = RunView(Console(file=io.StringIO()))
    for run_id in ("one", "two"):
        with observed(view, RunPaths(tmp_path), run_id, "digits"):
            view.note("Pusher", f"published by {run_id}")
    view.note("Pusher", "published by nobody")
    for run_id in ("one", "two"):
        said = [line.split(": ", 1)[1] for line in RunPaths(tmp_path).log(run_id).read_text().splitlines()]
        assert said == [f"{run_id} begins, recipe digits", f"published by {run_id}"]


def test_many_small_parts_are_counted_and_reported_at_the_end_at_least(monkeypatch):
    monkeypatch.delenv(progress.PROGRESS_FD, raising=False)
    lines = []
    with progress.listening(lines.append):
        count = progress.Count("rows read", 1000)
        for _ in range(1000):
            count.add(1)
    count.add(1)
    assert lines[-1] == {"stage": "rows read", "done": 1000, "total": 1000}
    assert len(lines) < 100


@pytest.mark.parametrize("closed", [False, True])
def test_progress_goes_to_the_process_that_waits_for_it_while_it_does(monkeypatch, closed):
    read, write = os.pipe()
    monkeypatch.setenv(progress.PROGRESS_FD, str(write))
    if closed:
        os.close(read)
    progress.report("epoch", 1, 8, loss=0.5)
    os.close(write)
    if not closed:
        with open(read) as lines:
            assert lines.read() == '{"stage": "epoch", "done": 1, "total": 8, "loss": 0.5}\n'
    assert (progress.PROGRESS_FD in os.environ) != closed


def test_candidates_side_by_side_have_a_line_each_and_say_whose_a_line_is():
    console = Console(file=io.StringIO(), width=120)
    heard, view = [], RunView(console)
    board = Board(view, ("seed=0", "seed=1"))
    with view.observed_by(Listener(heard)), board.candidate(1) as first, board.candidate(2) as second:
        for one in (first, second):
            one.open(NODES)
            one.started("Autoencoder")
        second.progress("Autoencoder", EPOCH)
        drawn = Console(width=120, record=True, file=io.StringIO())
        drawn.print(board._drawn())
        first.finished("Autoencoder", "executed", 1.5, "never executed here")
    text = drawn.export_text()
    assert re.search(r"1 +seed=0 +Autoencoder", text)
    assert re.search(r"2 +seed=1 +Autoencoder .*epoch 3/8  loss 0\.5000", text)
    assert console.file.getvalue() == "  1  Autoencoder      executed     1.5 s  never executed here\n"
    assert ("candidate 2, Autoencoder", "epoch 3/8  loss 0.5000") in heard
    assert ("candidate 1, Autoencoder", "executed 1.5 s  never executed here") in heard


class Listener:
    """An observer that keeps what it hears."""

    def __init__(self, heard):
        self._heard = heard

    def began(self, node, what):
        self._heard.append((node, what))

    advanced = happened = began


def test_what_a_stage_says_stays_and_its_bar_too():
    console = Console(file=io.StringIO(), width=100)
    view = RunView(console)
    view.open(NODES)
    view.started("Classifier")
    view.progress("Classifier", EPOCH)
    with progress.listening(lambda line: view.progress("Classifier", line)):
        progress.say("trains on the CPU: about 2 s, on the GPU about 10 s")
    assert console.file.getvalue() == "Classifier: trains on the CPU: about 2 s, on the GPU about 10 s\n"
    assert "epoch 3/8" in (view.under_way() or "")
    view.close()
