"""A trace of a command: spans of several processes in one document, and where the most time went."""

import json
import os
import subprocess
import sys

import pytest
from command_line import PROJECT

from components.errors import BadInput, EnvironmentProblem
from pipeline.process import trace
from pipeline.process.trace import Span, Trace

CHILD = """
from pipeline.process import trace
trace.name_process("child")
with trace.span("work"):
    pass
"""


def span(name, start, seconds, *, category=trace.RUN, pid=1, tid=1):
    return Span(name=name, category=category, start=start, seconds=seconds, pid=pid, tid=tid)


def shares(*spans, processes=None):
    ordered = sorted(spans, key=lambda one: (one.start, -one.seconds))
    found = Trace(spans=ordered, processes=processes or {1: "run", 2: "child"}).largest()
    return {(share.process, share.name): pytest.approx(share.seconds) for share in found}


def test_a_span_counts_without_the_spans_inside_it():
    assert shares(span("node", 0, 10), span("executor", 1, 6), span("digests", 7, 2), span("inner", 2, 1)) == {
        ("run", "executor"): 5,
        ("run", "node"): 2,
        ("run", "digests"): 2,
        ("run", "inner"): 1,
    }


def test_spans_of_one_name_count_together_and_other_threads_and_processes_take_nothing_from_a_span():
    assert shares(span("a", 0, 3), span("a", 4, 2), span("b", 1, 1, tid=2), span("a", 0, 3, pid=2)) == {
        ("run", "a"): 5,
        ("child", "a"): 3,
        ("run", "b"): 1,
    }


def test_waiting_is_no_share_of_its_own_and_not_the_time_of_what_is_around_it():
    assert shares(span("node", 0, 10), span("its process", 1, 8, category=trace.WAIT)) == {("run", "node"): 2}


def test_a_child_adds_to_the_trace_of_the_command_that_started_it(tmp_path):
    path = tmp_path / "trace.json"
    with trace.traced(path, "command", trace.now() - 1) as written, trace.span("outer"):
        subprocess.run([sys.executable, "-c", CHILD], cwd=PROJECT, check=True)
    document = json.loads(path.read_text())
    names = {event["pid"]: event["args"]["name"] for event in document["traceEvents"] if event["ph"] == "M"}
    assert sorted(names.values()) == ["child", "command"]
    spans = {(names[event["pid"]], event["name"]) for event in document["traceEvents"] if event["ph"] == "X"}
    assert spans == {("command", "starting Python and the command"), ("command", "outer"), ("child", "work")}
    assert document["otherData"]["largest"][0]["name"] == written[0].largest()[0].name
    assert [file.name for file in tmp_path.iterdir()] == ["trace.json"]


def test_a_command_that_fails_leaves_its_trace(tmp_path):
    path = tmp_path / "trace.json"
    with pytest.raises(ZeroDivisionError), trace.traced(path, "command", trace.now()), trace.span("fails"):
        raise ZeroDivisionError
    assert "fails" in path.read_text()
    assert trace.TRACE not in os.environ


def test_a_trace_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    with (
        pytest.raises(EnvironmentProblem, match="cannot write the trace"),
        trace.traced(tmp_path / "none" / "trace.json", "command", trace.now()),
    ):
        pytest.fail("the work began")


def test_a_traced_command_cannot_be_traced_once_more(tmp_path, monkeypatch):
    monkeypatch.setenv(trace.TRACE, str(tmp_path / "spans"))
    with (
        pytest.raises(BadInput, match="another command"),
        trace.traced(tmp_path / "t", "command", 0),
    ):
        pytest.fail("the work began")


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_a_kill_cut_short_is_left_out(cut):
    whole = json.dumps(span("whole", 1, 2).event())
    assert [one.name for one in trace.read([whole, whole[:cut]]).spans] == ["whole"]


def test_nothing_is_written_where_nothing_is_traced(monkeypatch):
    monkeypatch.delenv(trace.TRACE, raising=False)
    with trace.span("untraced"):
        trace.name_process("nobody")
