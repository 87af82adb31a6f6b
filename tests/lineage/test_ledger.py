"""The ledger: tampering is found and the line named, a crash is repaired, an intent is never forgotten."""

import fcntl
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from itertools import count

import pytest

from components.errors import BadInput, EnvironmentProblem
from pipeline.provenance import ledger, ledger_lines, ledger_writer
from pipeline.provenance.ledger import Chain, Event, Head, LedgerBroken, Line, parse_ledger, read_ledger
from pipeline.provenance.ledger_writer import Ledger

RECORD = "0123456789abcdef" * 4


@pytest.fixture
def path(tmp_path):
    """A ledger of six lines: two nodes that committed, the run, and an intent that nothing settled."""
    seconds = count(1_700_000_000)
    opened = Ledger.open(tmp_path / "ledger.jsonl", clock=lambda: next(seconds))
    for node in ("ExampleGen", "Pusher"):
        opened.commit(opened.intent(node=node, run_id="run-1"), record=RECORD)
    opened.run(run_id="run-1", record=RECORD)
    opened.intent(node="ExampleGen", run_id="run-2")
    return opened.path


def test_a_line_comes_back_as_it_was(path):
    for line in read_ledger(path).lines:
        assert Line.from_dict(json.loads(line.to_bytes())) == line


def test_a_head_is_text_and_back():
    head = Head(12, RECORD)
    assert Head.from_str(str(head)) == head


@pytest.mark.parametrize("text", ["", "12", f"-1:{RECORD}", f"1:{RECORD[:-1]}", f"1:{RECORD.upper()}", f"x:{RECORD}"])
def test_what_is_no_head_is_refused(text):
    with pytest.raises(BadInput, match="not a ledger head"):
        Head.from_str(text)


def test_an_untouched_ledger_verifies_and_a_copy_of_it_too(path, tmp_path):
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(path.read_bytes())
    assert Ledger.open(path).verify() == Ledger.open(copy).verify() == read_ledger(path).head
    assert read_ledger(path).head.sequence == 6


def test_lines_that_were_read_are_not_checked_again_and_new_ones_are(path, monkeypatch):
    before = read_ledger(path)
    checked = []
    check = ledger_lines._digest
    monkeypatch.setattr(ledger_lines, "_digest", lambda *line: checked.append(line) or check(*line))
    assert read_ledger(path) is before
    Ledger.open(path).run(run_id="run-2", record=RECORD)
    checked.clear()
    after = read_ledger(path)
    assert len(checked) == 1
    assert after.lines[:-1] == tuple(before.lines)


USUAL = ("intent", "commit", "run", "pushed", "staged", "promoting", "promoted", "pruned")
"""Events whose lines are checked as bytes."""


@pytest.fixture
def unusual(tmp_path):
    """Lines of every kind that runs write, and some that are parsed to be checked."""
    opened = Ledger.open(tmp_path / "unusual.jsonl", clock=lambda: 1_700_000_000.0)
    intent = opened.intent(node="Trainer", run_id="run-1", key=RECORD)
    opened.commit(intent, record=RECORD)
    opened.lost(opened.intent(node="Trainer", run_id="run-1"), why="killed\n\u2028")
    opened.commit(opened.intent(node="Trainer", run_id='run "1" \u00e9', resumed_from=3), record=RECORD)
    opened.run(run_id="run-1", record=RECORD, by="Zo\u00eb")
    opened.pushed(node="Pusher", run_id="run-1", version=1, digest=RECORD)
    opened.pushed(node="Pusher", run_id="run-1", version=2, digest=RECORD, restored=1, rolled_back_from=2)
    opened.promoting(run_id="run-1", version=1, digest=RECORD)
    opened.pruned(run_id="run-1", version=1, digest=None)
    opened.collected(node="Trainer", run_id="run-1", record=RECORD, paths=["artifacts/a"])
    opened.run(run_id="run-2", record=RECORD)
    return opened.path


def slowly(data):
    """Returns the lines, each parsed and written again."""
    head, lines = Head(), []
    for text in data.splitlines():
        lines.append(ledger.checked(text, head, "ledger"))
        head = Head(lines[-1].sequence, lines[-1].digest)
    return lines


def test_lines_are_the_same_values_whichever_way_they_were_checked(unusual, monkeypatch):
    monkeypatch.setattr(ledger_lines, "_TOGETHER", 5)
    chain, wanted = read_ledger(unusual), slowly(unusual.read_bytes())
    assert [*chain.lines] == wanted == [chain.lines[i] for i in range(len(wanted))]
    assert [line.to_bytes() for line in chain.lines] == unusual.read_bytes().splitlines(keepends=True)
    assert [*reversed(chain.lines)] == wanted[::-1]
    assert [chain.line(line.sequence) for line in wanted] == wanted
    assert chain.line(0) is chain.line(len(wanted) + 1) is chain.line(None) is None
    assert (chain.head.digest, chain.lines[2:5]) == (wanted[-1].digest, tuple(wanted[2:5]))
    for events in ("commit", "intent"), ("pushed", "collected"), ("lost",), ("anything",):
        assert [*chain.of(*events)] == [line for line in wanted if line.event in events]
        assert [*chain.of(*events, after=4)] == [line for line in wanted[4:] if line.event in events]


def test_most_lines_of_a_run_need_not_be_parsed(path, monkeypatch):
    monkeypatch.setattr(ledger, "checked", lambda *_: pytest.fail("was parsed"))
    copy = path.rename(path.with_name("copy.jsonl"))
    assert {line.event for line in read_ledger(copy).lines} <= set(USUAL)


def test_what_is_not_asked_for_is_not_parsed_nor_is_anything_twice(unusual, monkeypatch):
    # A run asks about every node, in a root that may have let a thousand artifacts go.
    assert {event.encode() for name, event in vars(Event).items() if not name.startswith("_")} <= set(
        ledger_lines.EVENTS
    )
    chain = read_ledger(unusual)
    collected, unfinished, order = chain.collected(), chain.unfinished(), chain.order
    monkeypatch.setattr(ledger, "checked", lambda *_: pytest.fail("was parsed"))
    assert [line.event for line in chain.of("promoting")] == ["promoting"]
    assert (chain.collected(), chain.unfinished(), chain.order) == (collected, unfinished, order)
    assert collected == {"artifacts/a"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"run_id"', b'"run_id" '),
        (b'"event":"commit",', b'"event":"commit","event":"commit",'),
        (b'"sequence":2', b'"sequence":02'),
        (b'"sequence":2', b'"sequence":2.0'),
        (b'"node":"Trainer"', b'"node":"Traine\\u0072"'),
        (b"run-1", b"run-2"),
    ],
)
def test_a_line_is_named_that_says_the_same_in_another_form_or_something_else(unusual, before, after):
    """Also where whoever wrote it made the digest fit the bytes."""
    lines = unusual.read_bytes().splitlines()
    body = re.sub(rb'"digest":"[0-9a-f]{64}",', b"", lines[1].replace(before, after, 1))
    lines[1] = b'{"digest":"%b",' % hashlib.sha256(body).hexdigest().encode() + body[1:]
    unusual.write_bytes(b"".join(line + b"\n" for line in lines))
    with pytest.raises(LedgerBroken, match="line 3" if after == b"run-2" else "line 2"):
        read_ledger(unusual)


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_lines_are_whole_wherever_the_blocks_end_in_which_they_are_read(unusual, monkeypatch, size):
    monkeypatch.setattr(ledger_lines, "BLOCK", size)
    assert [*read_ledger(unusual).lines] == slowly(unusual.read_bytes())
    with unusual.open("ab") as file:
        file.write(b'{"dig')
    chain = read_ledger(unusual)
    assert (len(chain.lines), chain.torn) == (13, b'{"dig')


def test_a_line_that_is_changed_after_it_was_checked_is_not_shown(unusual):
    chain = read_ledger(unusual)
    unusual.write_bytes(unusual.read_bytes().replace(b'"run-1"', b'"run-9"'))
    with pytest.raises(EnvironmentProblem):
        _ = chain.lines[1]


def test_what_was_read_is_not_believed_against_the_file(path):
    whole = read_ledger(path)
    data, before = path.read_bytes(), path.stat()
    path.write_bytes(data.replace(b'"run-1"', b'"run-9"', 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(LedgerBroken, match="line 1"):
        read_ledger(path)
    path.write_bytes(data + b'{"half": ')
    assert (read_ledger(path).lines, read_ledger(path).torn) == (whole.lines, b'{"half": ')
    path.write_bytes(b"".join(data.splitlines(keepends=True)[:-1]))
    assert read_ledger(path).lines == whole.lines[:-1]
    path.unlink()
    assert read_ledger(path) == Chain()
    path.write_bytes(data)
    assert read_ledger(path) == whole


def edited(lines, **fields):
    line = json.loads(lines[2])
    return [*lines[:2], json.dumps({**line, **fields}, sort_keys=True, separators=(",", ":")).encode(), *lines[3:]]


def forged(lines):
    """Line 3 edited by somebody who knows how digests are made."""
    line = Line.from_dict({**json.loads(lines[2]), "node": "Evaluator"})
    return [*lines[:2], line.to_bytes().rstrip(b"\n"), *lines[3:]]


TAMPERINGS = {
    "a field edited": (lambda lines: edited(lines, node="Evaluator"), 3),
    "a time edited": (lambda lines: edited(lines, time="2020-01-01T00:00:00.000Z"), 3),
    "a record swapped": (lambda lines: edited(lines, record="f" * 64), 3),
    "a field added": (lambda lines: edited(lines, blessed=True), 3),
    "a digest edited": (lambda lines: edited(lines, digest="f" * 64), 3),
    "white space added": (lambda lines: [*lines[:2], lines[2] + b" ", *lines[3:]], 3),
    "edited with its digest": (forged, 4),
    "the last line edited": (lambda lines: [*lines[:-1], lines[-1].replace(b"ExampleGen", b"Evaluator")], 6),
    "inserted": (lambda lines: [*lines[:2], lines[0], *lines[2:]], 3),
    "garbage inserted": (lambda lines: [*lines[:2], b"hello", *lines[2:]], 3),
    "an empty line inserted": (lambda lines: [*lines[:2], b"", *lines[2:]], 3),
    "repeated": (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
    "deleted": (lambda lines: [*lines[:2], *lines[3:]], 3),
    "the first deleted": (lambda lines: lines[1:], 1),
    "two swapped": (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3),
    "reversed": (lambda lines: lines[::-1], 1),
    "not an object": (lambda lines: [*lines[:2], b"[1]", *lines[3:]], 3),
    "not text": (lambda lines: [*lines[:2], b"\xff\xfe", *lines[3:]], 3),
}


@pytest.mark.fault(17)
@pytest.mark.parametrize(("tamper", "first_bad"), TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_a_tampered_ledger_is_refused_and_the_first_bad_line_named(path, tamper, first_bad):
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join(tamper(lines)) + b"\n")
    for reader in (read_ledger, Ledger.open):
        with pytest.raises(LedgerBroken, match=rf"ledger\.jsonl line {first_bad}: ") as broken:
            reader(path)
        assert "\n" not in str(broken.value)


@pytest.mark.fault(17)
@pytest.mark.parametrize("seed", range(150))
def test_a_flipped_bit_anywhere_is_found_in_its_line(path, seed):
    chosen, data = random.Random(seed), bytearray(path.read_bytes())
    place = chosen.randrange(len(data) - 1)  # the last newline lost is a torn line, see below
    data[place] ^= 1 << chosen.randrange(8)
    line = 1 + path.read_bytes()[:place].count(b"\n")
    with pytest.raises(LedgerBroken, match=rf"line {line}: "):
        parse_ledger(bytes(data))


def test_a_cut_tail_is_a_whole_chain_and_only_a_head_kept_elsewhere_tells(path):
    kept = read_ledger(path).head
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:4]) + b"\n")
    shorter = read_ledger(path)
    assert shorter.head.sequence == 4
    with pytest.raises(LedgerBroken, match="tail was cut: wanted 6 lines, got 4"):
        shorter.expect(kept)


def test_a_chain_that_grew_still_holds_the_head_kept_before(path):
    kept = read_ledger(path).head
    Ledger.open(path).run(run_id="run-2", record=RECORD)
    read_ledger(path).expect(kept)
    read_ledger(path).expect(Head())


def test_a_chain_written_anew_does_not_hold_the_head_kept_before(path, tmp_path):
    kept = read_ledger(path).head
    other = Ledger.open(tmp_path / "other.jsonl")
    for _ in range(7):
        other.run(run_id="run-9", record=RECORD)
    with pytest.raises(LedgerBroken, match="line 6: was rewritten"):
        other.chain.expect(kept)


def test_a_tail_cut_while_a_run_is_on_is_found_at_the_next_append(path):
    opened = Ledger.open(path)
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:4]) + b"\n")
    with pytest.raises(LedgerBroken, match="tail was cut"):
        opened.run(run_id="run-2", record=RECORD)
    with pytest.raises(LedgerBroken, match="tail was cut"):
        opened.verify()


@pytest.mark.parametrize("left", [1, 40, -3])
def test_a_line_torn_by_a_crash_is_removed_and_said(path, left):
    whole = path.read_bytes()
    last = whole.splitlines()[-1]
    path.write_bytes(whole[: -len(last) - 1] + last[:left])
    opened = Ledger.open(path)
    assert "line 6 was torn by a crash" in opened.repaired
    assert read_ledger(path).head.sequence == 5
    assert opened.run(run_id="run-2", record=RECORD).sequence == 6
    assert read_ledger(path).torn == b""


def test_a_last_line_that_only_lacks_its_end_is_kept_and_said(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert "line 6 lacked its end" in Ledger.open(path).repaired
    assert path.read_bytes() == whole


def test_a_last_line_without_its_end_that_was_edited_is_not_repaired(path):
    torn = path.read_bytes()[:-1].replace(b'"run_id":"run-2"', b'"run_id":"run-3"')
    path.write_bytes(torn)
    with pytest.raises(LedgerBroken, match="line 6: was edited"):
        Ledger.open(path)
    assert path.read_bytes() == torn


def test_reading_repairs_nothing(path):
    torn = path.read_bytes()[:-10]
    path.write_bytes(torn)
    assert read_ledger(path).torn
    assert path.read_bytes() == torn


def test_a_ledger_that_is_not_there_is_empty_and_is_not_made_by_looking(tmp_path):
    path = tmp_path / "root" / "ledger.jsonl"
    assert read_ledger(path) == Chain()
    assert Ledger.open(path).verify() == Head()
    assert list(tmp_path.iterdir()) == []


def test_only_what_neither_committed_nor_was_given_up_is_unsettled(path):
    opened = Ledger.open(path)
    (left,) = opened.unsettled()
    assert (left.node, left.run_id, left.sequence) == ("ExampleGen", "run-2", 6)
    opened.lost(left, why="its process is gone")
    assert Ledger.open(path).unsettled() == ()


def test_the_same_node_of_the_same_run_may_be_tried_again(path):
    opened = Ledger.open(path)
    first, second = (opened.intent(node="Transform", run_id="run-3") for _ in range(2))
    opened.commit(second, record=RECORD)
    assert first in opened.unsettled()
    assert second not in opened.unsettled()


def test_an_intent_is_settled_once(path):
    opened = Ledger.open(path)
    (left,) = opened.unsettled()
    opened.commit(left, record=RECORD)
    with pytest.raises(ValueError, match="no unsettled intent"):
        opened.lost(left, why="twice")
    with pytest.raises(ValueError, match="no unsettled intent"):
        opened.commit(read_ledger(path).lines[1], record=RECORD)


@pytest.mark.parametrize("name", ["digest", "previous", "sequence"])
def test_a_detail_cannot_take_the_name_of_a_field(path, name):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=name):
        Ledger.open(path).run(run_id="run-2", record=RECORD, **{name: "x"})
    assert path.read_bytes() == before


def test_a_newline_in_a_text_does_not_make_a_line(path):
    opened = Ledger.open(path)
    opened.lost(opened.unsettled()[0], why="first\nsecond\u2028third")
    assert read_ledger(path).head.sequence == 7
    assert read_ledger(path).lines[-1].details["why"] == "first\nsecond\u2028third"


@pytest.mark.fault(38)
def test_order_comes_from_sequence_numbers_when_the_clock_is_set_back(tmp_path):
    times = iter([2_000_000_000, 2_000_000_000, 1_000_000_000, 1_000_000_000])
    opened = Ledger.open(tmp_path / "ledger.jsonl", clock=lambda: next(times))
    for record in ("a" * 64, "b" * 64):
        opened.commit(opened.intent(node="Classifier", run_id="run"), record=record)
    assert read_ledger(opened.path).order == ("a" * 64, "b" * 64)
    assert [line.sequence for line in read_ledger(opened.path).lines] == [1, 2, 3, 4]


def test_the_highest_version_counts_whatever_came_after_it(path):
    opened = Ledger.open(path)
    assert opened.chain.highest_version() == 0
    for version in (3, 12, 7):
        opened.pushed(node="Pusher", run_id="run-2", version=version, digest=RECORD)
    assert read_ledger(path).highest_version() == 12


def pushed(opened, version, digest, *, run="run-2", attempts=("a" * 64,), line_of=-1):
    """A push of `digest`; the line about it stands before the commit of one of its attempts."""
    for number, record in enumerate(attempts):
        intent = opened.intent(node="Pusher", run_id=run)
        if number == line_of % len(attempts):
            opened.pushed(node="Pusher", run_id=run, version=version, digest=digest)
        opened.commit(intent, record=record)


@pytest.mark.parametrize("counts", [0, 1, 2])
def test_a_push_goes_with_the_commit_beside_it_whichever_attempt_that_is(path, counts):
    attempts = ["a" * 64, "b" * 64, "c" * 64]
    opened = Ledger.open(path)
    pushed(opened, 1, RECORD, run="run-0", attempts=["d" * 64])
    pushed(opened, 2, RECORD, attempts=attempts, line_of=counts)
    assert [push.record for push in read_ledger(path).pushes(2)] == [attempts[counts]]


def test_a_push_that_no_line_commits_has_no_record(path):
    opened = Ledger.open(path)
    opened.pushed(node="Pusher", run_id="run-2", version=2, digest=RECORD)
    assert [(push.version, push.record) for push in read_ledger(path).pushes(2)] == [(2, None)]
    assert read_ledger(path).push(1) is None


@pytest.mark.parametrize(("digests", "made"), [("ab", 1), ("aa", 0), ("aba", 2), ("abb", 1), ("aabbb", 2)], ids=str)
def test_a_version_was_made_by_the_first_push_of_the_bytes_that_were_pushed_last(path, digests, made):
    opened = Ledger.open(path)
    for number, digest in enumerate(digests):
        pushed(opened, 1, digest * 64, run=f"push-{number}")
    assert read_ledger(path).push(1).run_id == f"push-{made}"


def test_a_run_goes_by_the_last_record_of_it(path):
    assert read_ledger(path).run_record("run-1") == RECORD
    Ledger.open(path).run(run_id="run-1", record="b" * 64)
    assert (read_ledger(path).run_record("run-1"), read_ledger(path).run_record("run-2")) == ("b" * 64, None)


APPEND = (
    "import sys; from pathlib import Path; from pipeline.provenance.ledger_writer import Ledger\n"
    "opened = Ledger.open(Path(sys.argv[1]))\n"
    "for number in range(int(sys.argv[3])):\n"
    "    opened.commit(opened.intent(node='Transform', run_id=sys.argv[2]), record='0' * 64)\n"
)


def test_four_processes_at_once_make_one_whole_chain(tmp_path):
    path = tmp_path / "ledger.jsonl"
    workers = [subprocess.Popen([sys.executable, "-c", APPEND, path, f"run-{number}", "25"]) for number in range(4)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0, 0]
    whole = read_ledger(path)
    assert len(whole.lines) == 200
    assert whole.unsettled() == ()


def test_after_kill_9_the_ledger_opens_and_at_most_one_intent_is_unsettled(tmp_path):
    path = tmp_path / "ledger.jsonl"
    for number in range(3):
        worker = subprocess.Popen([sys.executable, "-c", APPEND, path, f"run-{number}", "1000000"])
        before = len(read_ledger(path).lines)
        while len(read_ledger(path).lines) < before + 20:
            time.sleep(0.01)
        worker.send_signal(signal.SIGKILL)
        worker.wait(60)
        opened = Ledger.open(path)
        assert len(opened.unsettled()) <= 1
        for intent in opened.unsettled():
            opened.lost(intent, why="killed")


def test_a_full_disk_leaves_the_ledger_as_it_was(path):
    before = path.read_bytes()
    script = (
        "import resource, sys; from pathlib import Path; from pipeline.provenance.ledger_writer import Ledger\n"
        "size = Path(sys.argv[1]).stat().st_size + 30\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "Ledger.open(Path(sys.argv[1])).intent(node='Transform', run_id='run-3')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert "no space left: wanted" in done.stderr.splitlines()[-1]
    assert path.read_bytes() == before


def test_a_writer_waits_for_another_one_then_says_who_is_waited_for(path, monkeypatch):
    monkeypatch.setattr(ledger_writer, "LOCK_WAIT", 0.1)
    holder = os.open(path, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(EnvironmentProblem, match=r"ledger\.jsonl: is locked by another process"):
        Ledger.open(path)
    os.close(holder)
    assert Ledger.open(path).chain.head.sequence == 6


def test_a_root_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "root").write_bytes(b"a file")
    with pytest.raises(EnvironmentProblem, match="cannot open the ledger"):
        Ledger.open(tmp_path / "root" / "ledger.jsonl").intent(node="ExampleGen", run_id="run-1")


def test_only_commits_of_executions_are_in_the_order(path):
    assert read_ledger(path).order == (RECORD, RECORD)
    assert [line.event for line in read_ledger(path).lines].count(Event.COMMIT) == 2


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda place: place.symlink_to("/dev/zero")])
def test_what_is_no_file_in_the_place_of_a_ledger_is_neither_waited_for_nor_read(tmp_path, make):
    place = tmp_path / "ledger.jsonl"
    make(place)
    for ask in (read_ledger, Ledger.open):
        with pytest.raises(EnvironmentProblem, match=r"ledger\.jsonl"):
            ask(place)
