"""Eight runs on one root at once, with housekeeping, an audit, a server and a reader beside them."""

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import metadata_servers
import pytest
from background import Background
from command_line import PROJECT, QUICK, checked, error_text, mnist_tfx
from kill.points import HIDDEN, in_child, misserved
from kill.reader import Watch
from metadata_servers import HAS_MARIADB, NO_MARIADB, PASSWORD
from server.running_server import serving

from components.digest import tree_digest
from pipeline.maintenance.orphans import COLLECT
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.root.paths import RunPaths

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RUNS = 8
BLANK = [0] * 64
NEVER_WORSE = ("--set", "evaluation.baseline_margin=0.99")

BESIDE = (
    ("lineage", "gc", "--keep-runs", 20),
    ("serving", "prune", "--keep", 4),
    ("serving", "rollback", "oldest"),
    ("lineage", "repair"),
    ("serving", "approve", "newest", "--by", "Ada"),
    ("lineage", "audit"),
    ("lineage", "orphans"),
    ("runs", "list"),
)
"""Commands that others give meanwhile."""

OF_TFX = ".system"
"""A folder that TFX leaves beside every node's outputs."""

TRY_AGAIN = ("try again", "waiting for it")
"""What a command says that came at the wrong moment."""


class Others(Background):
    """Gives one command after another until it is ended; a context manager."""

    def __init__(self, root: Path, env: dict[str, str]) -> None:
        self.wrong: list[str] = []
        self.codes: dict[str, list[int]] = defaultdict(list)
        self._root = root
        self._env = env
        super().__init__()

    def work(self):
        drawn = random.Random(1)
        while not self.ended.is_set():
            for command in drawn.sample(BESIDE, len(BESIDE)):
                if not self.ended.wait(1):
                    self.give(command)

    def give(self, command):
        """Gives one of the commands, and looks at how it ends."""
        name = command[1]
        with_numbers = [str(self._number(word)) if word in ("oldest", "newest") else word for word in command]
        answer = mnist_tfx(*with_numbers, "--root", self._root, "--json", env=self._env)
        self.codes[name].append(answer.code)
        said = f"{' '.join(map(str, with_numbers))}: exit {answer.code}: {answer.err} {_findings(answer) or answer.out}"
        if "Traceback" in answer.err or not _is_fine(name, answer):
            self.wrong.append(said)

    def _number(self, word):
        numbers = [int(name) for name in os.listdir(self._root / "serving") if name.isdecimal()]
        return min(numbers) if word == "oldest" else max(numbers)


def _findings(answer):
    """Returns what an audit found; nothing of other commands."""
    data = answer.envelope["data"] or {}
    found = [one for audit in data.get("audits", ()) for one in audit["findings"]]
    return [one for one in found if one["verdict"] in ("INTEGRITY", "COMPLETENESS")]


def _is_fine(name, answer):
    """Whether a command did its work, or says what to do; an audit never finds a fault in what somebody is writing."""
    if name == "audit":
        audits = answer.envelope["data"]["audits"] if answer.envelope["data"] else []
        verdicts = [one["verdicts"][about] for one in audits for about in ("INTEGRITY", "COMPLETENESS")]
        return "FAIL" not in verdicts and answer.code in (0, 1, 5)
    if answer.code == 0 or (name == "orphans" and answer.code == 1):
        return True
    # A version may be pruned between the look at the directory and the command.
    gone = name in ("rollback", "approve") and answer.code == 2
    return gone or (answer.code == 4 and any(text in (answer.error or "") for text in TRY_AGAIN))


class Client(Background):
    """Asks a server for predictions until it is ended; a context manager."""

    def __init__(self, server) -> None:
        self.answered = 0
        self.wrong: list[object] = []
        self.digests: dict[str, str] = {}
        self._server = server
        super().__init__()

    def work(self):
        while not self.ended.wait(0.05):
            try:
                status, body, headers = self._server.post({"instances": [BLANK]})
            except OSError as err:
                self.wrong.append(repr(err))
                continue
            self.answered += 1
            if status != 200:
                self.wrong.append((status, body))
                continue
            version, digest = headers["X-Model-Version"], headers["X-Model-Digest"]
            if self.digests.setdefault(version, digest) != digest:
                self.wrong.append(f"version {version} was answered with two digests")


def _start(root, number, data, more, env):
    arguments = ("run", "--data", data, "--root", root, *QUICK, *NEVER_WORSE, "--seed", number, *more, "--json")
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=PROJECT, env={**os.environ, **env})


STORES = os.environ.get("MNIST_TFX_AT_ONCE", "").split()
"""Metadata stores to try; `make test-at-once` names both, four minutes each."""


@pytest.fixture(params=STORES or [None])
def store(request):
    """Options that name the metadata store, and the environment of commands that ask it."""
    if request.param is None:
        pytest.skip("takes minutes: `make test-at-once`")
    if request.param == "sqlite":
        yield (), {}
        return
    if not HAS_MARIADB:
        pytest.skip(NO_MARIADB)
    with metadata_servers.mariadb() as port:
        address = f"mysql://mlmd@127.0.0.1:{port}/lineage"
        yield ("--metadata", address), {"MNIST_TFX_METADATA_PASSWORD": PASSWORD}


@pytest.mark.fault(10)
def test_eight_runs_at_once_all_end_well_with_everything_else_beside_them(store, digits_folder, tmp_path):
    more, env = store
    (tmp_path / "tmp").mkdir()
    (tmp_path / "cache").mkdir()
    env = {**env, "TMPDIR": str(tmp_path / "tmp"), "MNIST_TFX_CACHE": str(tmp_path / "cache")}
    root = tmp_path / "root"
    watch = Watch(root / "serving")
    with contextlib.ExitStack() as stack:
        runs = [_start(root, number, digits_folder, more, env) for number in range(RUNS)]
        ended = _ends_of(runs, stack)
        _await_first_version(root, runs)
        server = stack.enter_context(serving(root, folder=tmp_path))
        client = stack.enter_context(Client(server))
        others = stack.enter_context(Others(root, env))
        answers = ended()
        for command in BESIDE:  # nobody holds the root now
            others.give(command)
    seen = watch.end()

    for code, out, err in answers:
        assert "Traceback" not in err, err
        assert code == 0, (error_text(checked(json.loads(out))), err)
    versions = [json.loads(out)["data"]["version"] for _, out, _ in answers]
    assert sorted(versions) == sorted(set(versions))
    assert sum("another run is writing to" in err for _, _, err in answers) >= RUNS - 1
    assert others.wrong == []
    assert {
        name: 0 in codes for name, codes in others.codes.items() if name not in ("audit", "orphans")
    } == dict.fromkeys(("gc", "prune", "rollback", "repair", "approve", "list"), True), others.codes
    assert (client.wrong, client.answered > 20) == ([], True)
    assert "Traceback" not in server.said
    assert (seen["wrong"], bool(seen["polls"])) == ([], True)
    for digests in (seen["digests"], client.digests):
        assert in_child(lambda digests=digests: misserved(root, digests)) == []
    _assert_whole(root, tmp_path, env)


def _ends_of(runs, stack):
    """Returns a function that waits for the runs; what is printed is read meanwhile, so that none waits for a reader."""
    answers = [None] * len(runs)

    def read(number):
        out, err = runs[number].communicate()
        answers[number] = (runs[number].returncode, out, err)

    threads = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(len(runs))]
    for thread in threads:
        thread.start()
    stack.callback(lambda: [run.kill() for run in runs if run.poll() is None])

    def ended():
        for thread in threads:
            thread.join()
        return answers

    return ended


def _await_first_version(root, runs):
    while not any(path.name.isdecimal() for path in root.glob("serving/*")):
        assert any(run.poll() is None for run in runs), "no run has pushed anything"
        time.sleep(0.05)


def _assert_whole(root, folder, env):
    """Every version is that of a record, nothing is left over, and nothing is open."""
    paths = RunPaths(root)
    ledger = read_ledger(paths.ledger)
    pushed = {line.details["version"]: line.details["sha256"] for line in ledger.lines if line.event == Event.PUSHED}
    served = [int(path.name) for path in paths.serving.iterdir() if path.name.isdecimal()]
    assert {version: tree_digest(paths.serving / str(version)) for version in served} == {
        version: pushed[version] for version in served
    }
    assert len(pushed) == len({line.sequence for line in ledger.lines if line.event == Event.PUSHED}) >= RUNS + 1
    assert list(ledger.unsettled()) == []
    left = mnist_tfx("lineage", "orphans", "--root", root, "--json", env=env).json["orphans"]
    assert {one["remedy"] for one in left} <= {COLLECT}, left
    assert mnist_tfx("lineage", "gc", "--keep-runs", 99, "--root", root, env=env).code == 0
    whole = mnist_tfx("lineage", "orphans", "--root", root, "--json", env=env)
    assert whole.code == 0, whole.out
    audit = mnist_tfx("lineage", "audit", "--root", root, "--json", env=env).json["audits"]
    assert [(one["verdicts"]["INTEGRITY"], one["verdicts"]["COMPLETENESS"]) for one in audit] == [
        ("PASS", "PASS")
    ] * len(served)
    assert [path for path in root.rglob(".*") if path.name not in HIDDEN | {OF_TFX}] == []
    assert list((folder / "tmp").iterdir()) == []
    assert list(paths.presence("*").parent.glob(paths.presence("*").name)) == []
