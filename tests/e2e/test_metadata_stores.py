"""Metadata stores: shared servers, several roots on one, and what a run does with one that is not to be had."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time

import metadata_servers
import pytest
from command_line import PROJECT, QUICK, checked, error_text, mnist_tfx
from lineage.conftest import run_record
from metadata_servers import HAS_MARIADB, NO_MARIADB, PASSWORD, PASSWORD_IN_URL
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from components.errors import BadInput, EnvironmentProblem
from pipeline.metadata.address import GrpcService, MysqlDatabase, SqliteFile, parse_address
from pipeline.provenance import record_store
from pipeline.provenance.ledger import Chain, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.root.paths import RunPaths

pytestmark = pytest.mark.e2e

Execution = metadata_store_pb2.Execution

HOLDER = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); print(flush=True); input()"
)


@pytest.fixture(scope="module", params=["mysql", "grpc"])
def server(request, tmp_path_factory):
    """The address of a store on a server, with its password."""
    with contextlib.ExitStack() as stack:
        if request.param == "grpc":
            file = tmp_path_factory.mktemp("service") / "served.db"
            yield f"grpc://127.0.0.1:{stack.enter_context(metadata_servers.grpc_service(file))}"
            return
        if not HAS_MARIADB:
            pytest.skip(NO_MARIADB)
        yield f"mysql://mlmd:{PASSWORD_IN_URL}@localhost:{stack.enter_context(metadata_servers.mariadb())}/lineage"


def _run_on(server, root, digits_folder, *arguments, env=None):
    given = ("--data", digits_folder, "--root", root, "--metadata", server, *QUICK, *arguments)
    return mnist_tfx("run", *given, "--json", env=env)


@pytest.fixture(scope="module")
def shared(server, digits_folder, tmp_path_factory):
    """A root whose first run went to the server; its path has letters beyond ASCII."""
    root = tmp_path_factory.mktemp("shared") / "größe"
    answer = _run_on(server, root, digits_folder)
    assert answer.code == 0, answer.err
    return root, answer


@pytest.mark.slow
def test_on_a_server_the_first_run_executes_and_the_second_is_cached(shared, server, digits_folder):
    root, first = shared
    assert set(first.states().values()) == {"executed"}
    again = _run_on(server, root, digits_folder)
    assert again.code == 0, again.err
    assert set(again.states().values()) == {"cached"}
    assert not (root / "metadata.db").exists()
    assert mnist_tfx("lineage", "show", "--root", root).code == 0


@pytest.mark.slow
def test_the_server_knows_every_artifact_by_its_digest_and_record(shared, server):
    root, _ = shared
    store = metadata_store.MetadataStore(parse_address(server).config())
    ours = [a for a in store.get_artifacts() if a.uri.startswith(f"{root}/")]
    assert {a.custom_properties["record"].string_value for a in ours} == set(read_ledger(root / "ledger.jsonl").order)


@pytest.mark.slow
def test_the_password_is_in_no_file_and_no_answer(shared, server, digits_folder):
    root, first = shared
    refused = _run_on(f"{server}?x", root, digits_folder)
    assert refused.code == 2
    texts = [answer.out + answer.err for answer in (first, refused)]
    files = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    for secret in (PASSWORD, PASSWORD_IN_URL):
        assert not [text for text in texts if secret in text]
        assert not [data for data in files if secret.encode() in data]


@pytest.mark.slow
def test_lineage_asks_the_server_that_the_run_wrote_to(shared, server):
    root, _ = shared
    given = {"MNIST_TFX_METADATA_PASSWORD": PASSWORD}
    answer = mnist_tfx("lineage", "audit", "--root", root, "--json", env=given)
    told = answer.json["audits"][0]["verdicts"]
    assert (told["INTEGRITY"], told["COMPLETENESS"]) == ("PASS", "PASS")
    named = mnist_tfx("lineage", "audit", "--root", root, "--metadata", server, "--json")
    assert named.json["audits"][0]["verdicts"] == told
    assert mnist_tfx("lineage", "orphans", "--root", root, env=given).code == 0
    assert mnist_tfx("lineage", "repair", "--root", root, env=given).code == 0
    if server.startswith("mysql"):
        refused = mnist_tfx("lineage", "audit", "--root", root, "--json")
        assert refused.json["audits"][0]["verdicts"]["COMPLETENESS"] == "UNKNOWN"
        assert "the server refused the user" in refused.out


@pytest.mark.slow
def test_the_password_may_come_from_the_environment(shared, server, digits_folder):
    root, _ = shared
    bare = server.replace(f":{PASSWORD_IN_URL}", "")
    assert _run_on(bare, root, digits_folder, env={"MNIST_TFX_METADATA_PASSWORD": PASSWORD}).code == 0


@pytest.mark.fault(10)
@pytest.mark.slow
def test_roots_of_one_recipe_share_a_server_and_never_settle_each_others_executions(
    shared, server, digits_folder, tmp_path
):
    root, _ = shared
    store = metadata_store.MetadataStore(parse_address(server).config())
    left = _leave_running(store, read_ledger(root / "ledger.jsonl").lines[-1].run_id)
    other = _run_on(server, tmp_path / "other", digits_folder)
    assert other.code == 0, other.err
    assert set(other.states().values()) == {"executed"}
    assert _state(store, left) == Execution.RUNNING
    mine = _run_on(server, root, digits_folder)
    assert set(mine.states().values()) == {"cached"}
    assert _state(store, left) == Execution.FAILED


def _leave_running(store, run_id):
    """Puts an execution as a run leaves it behind whose process was killed."""
    [kind] = [kind for kind in store.get_execution_types() if kind.name.endswith("StatisticsGen")]
    context = store.get_context_by_type_and_name("pipeline_run", run_id)
    execution = Execution(type_id=kind.id, last_known_state=Execution.RUNNING)
    number, _, _ = store.put_execution(execution, [], [context])
    return number


def _state(store, number):
    [execution] = store.get_executions_by_id([number])
    return execution.last_known_state


@pytest.mark.slow
def test_a_server_that_does_not_know_the_root_is_not_taken_for_its_store(server, root, digits_folder):
    elsewhere = server if server.startswith("grpc") else server.replace("/lineage", "/another")
    answer = _run_on(elsewhere, root, digits_folder)
    assert answer.code == 4
    assert "knows no run of this root" in answer.error


@pytest.mark.slow
@pytest.mark.skipif(not HAS_MARIADB, reason=NO_MARIADB)
def test_a_wrong_password_is_one_line_and_exit_4(digits_folder, tmp_path):
    with metadata_servers.mariadb() as port:
        answer = _run_on(f"mysql://mlmd:hunter2@127.0.0.1:{port}/m", tmp_path / "r", digits_folder)
    assert answer.code == 4
    assert "the server refused the user" in answer.error
    assert "hunter2" not in answer.out + answer.err
    assert "Traceback" not in answer.err


def test_a_server_that_is_not_there_is_one_line_and_nothing_is_written(digits_folder, tmp_path):
    address = f"grpc://127.0.0.1:{metadata_servers.free_port()}"
    started = time.monotonic()
    answer = _run_on(address, tmp_path / "r", digits_folder)
    assert time.monotonic() - started < 60
    assert answer.code == 4
    assert answer.error.startswith(f"{address}: cannot be reached")
    assert "Traceback" not in answer.err
    assert not (tmp_path / "r").exists()


def _connect(address, root, chain=None, say=lambda _: None):
    from pipeline.metadata.connection import connect  # TFX: some seconds

    return connect(address, RunPaths(root), chain or Chain(), say)


@pytest.mark.parametrize("kind", ["mysql", "grpc"])
def test_a_server_that_never_answers_is_given_up_soon(tmp_path, kind):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        address = (
            GrpcService(host="127.0.0.1", port=port)
            if kind == "grpc"
            else MysqlDatabase(host="127.0.0.1", port=port, database="m", user="u")
        )
        started = time.monotonic()
        with pytest.raises(EnvironmentProblem, match=f"127.0.0.1:{port}"):
            _connect(address, tmp_path)
        assert time.monotonic() - started < 30


def test_another_kind_of_server_is_not_taken_for_mysql(tmp_path):
    def greet(listener):
        connected, _ = listener.accept()
        with connected:
            connected.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        address = MysqlDatabase(host="127.0.0.1", port=listener.getsockname()[1], database="m", user="u")
        with pytest.raises(EnvironmentProblem, match="does not answer as a MySQL server does"):
            _connect(address, tmp_path)


@pytest.mark.parametrize("place", ["nowhere/m.db", "."])
def test_a_file_that_cannot_be_is_bad_input(tmp_path, place):
    with pytest.raises(BadInput, match="not a file's path"):
        _connect(SqliteFile(path=tmp_path / place), tmp_path)


def test_a_store_in_another_file_works_as_one_in_the_root(first_run, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(first_run[0], root, symlinks=True)
    elsewhere = (root / "metadata.db").rename(tmp_path / "kept.db")
    chain = read_ledger(root / "ledger.jsonl")
    _connect(SqliteFile(path=elsewhere), root, chain)
    with pytest.raises(EnvironmentProblem, match="missing or empty, but the ledger is not"):
        _connect(None, root, chain)


@pytest.mark.slow
def test_a_root_whose_runs_wrote_to_another_file_is_audited_against_it(digits_folder, tmp_path):
    root, kept = tmp_path / "root", tmp_path / "kept.db"
    first = _run_on(kept, root, digits_folder)
    assert first.code == 0, first.err
    assert json.loads((root / "root.json").read_text())["metadata"] == str(kept)
    again = _run_on(kept, root, digits_folder)
    assert set(again.states().values()) == {"cached"}
    audited = mnist_tfx("lineage", "audit", "newest", "--root", root, "--json").json["audits"][0]["verdicts"]
    assert (audited["INTEGRITY"], audited["COMPLETENESS"]) == ("PASS", "PASS")
    assert mnist_tfx("lineage", "orphans", "--root", root).code == 0
    unnamed = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert unnamed.code == 4
    assert f"--metadata {kept}" in unnamed.error


@pytest.mark.fault(12)
def test_a_truncated_store_is_refused_untouched_and_can_be_rebuilt(root, digits_folder):
    store = root / "metadata.db"
    cut = store.read_bytes()[:-4096]
    store.write_bytes(cut)
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert answer.code == 4
    assert "was cut off" in answer.error
    assert f"mnist-tfx lineage rebuild --root {root}" in answer.error
    assert store.read_bytes() == cut
    assert mnist_tfx("lineage", "rebuild", "--root", root).code == 0
    again = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert set(again.states().values()) == {"cached"}


@pytest.mark.fault(12)
def test_pages_of_garbage_are_refused_untouched(root):
    store = root / "metadata.db"
    data = store.read_bytes()
    spoilt = data[:200] + b"garbage " * 12_000 + data[96_200:]
    store.write_bytes(spoilt)
    with pytest.raises(EnvironmentProblem, match=r"metadata\.db: cannot use the metadata store.*lineage rebuild"):
        _connect(None, root, read_ledger(root / "ledger.jsonl"))
    assert store.read_bytes() == spoilt


def test_a_store_that_was_emptied_by_other_means_is_not_taken_for_the_roots(root):
    (root / "metadata.db").unlink()
    metadata_store.MetadataStore(SqliteFile(path=root / "metadata.db").config())
    with pytest.raises(EnvironmentProblem, match="knows no run of this root"):
        _connect(None, root, read_ledger(root / "ledger.jsonl"))


def test_a_lost_ledger_is_never_silently_started_anew(root, digits_folder):
    (root / "ledger.jsonl").unlink()
    for _ in range(2):
        answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
        assert answer.code == 4
        assert "ledger.jsonl: the ledger is missing or empty" in answer.error
        assert not (root / "ledger.jsonl").exists()


@contextlib.contextmanager
def _held(store):
    """Another process holds SQLite's exclusive lock on a store."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, store], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        yield holder
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.fault(11)
@pytest.mark.slow
def test_a_locked_store_is_waited_for_with_a_message_and_then_given_up(root, digits_folder):
    before = (root / "metadata.db").read_bytes()
    with _held(root / "metadata.db") as holder:
        answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert answer.code == 4
    assert f"metadata.db is locked by process {holder.pid}: waiting for it" in answer.err
    assert answer.error.startswith(f"{root / 'metadata.db'}: locked by process {holder.pid}")
    assert (root / "metadata.db").read_bytes() == before
    assert Ledger.open(root / "ledger.jsonl").unsettled() == ()
    again = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert set(again.states().values()) == {"cached"}


@pytest.mark.slow
def test_a_store_that_is_let_go_in_time_is_used(root):
    said = []
    with _held(root / "metadata.db") as holder:
        threading.Timer(5, holder.kill).start()
        _connect(None, root, read_ledger(root / "ledger.jsonl"), said.append)
    assert len(said) == 1


@pytest.mark.fault(11)
@pytest.mark.slow
def test_a_store_locked_while_a_node_works_leaves_no_half_record(root, digits_folder):
    known = len((root / "ledger.jsonl").read_text().splitlines())
    command = ["run", "--data", digits_folder, "--root", root, "--force", "StatisticsGen", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, command)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len((root / "ledger.jsonl").read_text().splitlines()) == known and process.poll() is None:
        time.sleep(0.02)
    with _held(root / "metadata.db"):
        out, err = process.communicate(timeout=200)
    assert process.returncode == 4, err
    assert "metadata.db: locked by process" in error_text(checked(json.loads(out)))
    assert "Traceback" not in err
    chain = read_ledger(root / "ledger.jsonl")
    assert [line.event for line in chain.lines[known:]] == ["intent", "lost", "run"]
    again = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert (again.code, set(again.states().values())) == (0, {"cached"})
    store = metadata_store.MetadataStore(SqliteFile(path=root / "metadata.db").config())
    assert [e for e in store.get_executions() if e.last_known_state == Execution.RUNNING] == []


def test_a_moved_root_takes_its_uris_along_and_a_copy_leaves_the_originals_alone(first_run, tmp_path):
    from pipeline.metadata.tfx import relocate

    store = shutil.copy(first_run[0] / "metadata.db", tmp_path / "shared.db")
    connection = _connect(SqliteFile(path=store), first_run[0])
    assert relocate(connection, first_run[0], tmp_path / "copy") == 0  # the original is still there
    moved_from = tmp_path / "gone"
    with connection as handle:
        [artifact, beside, *_] = handle.store.get_artifacts()
        artifact.uri, beside.uri = f"{moved_from}/artifacts/x", f"{moved_from}-2/artifacts/x"
        handle.store.put_artifacts([artifact, beside])
    assert relocate(connection, moved_from, tmp_path / "new") == 1
    with connection as handle:
        found = handle.store.get_artifacts_by_id([artifact.id, beside.id])
    assert [a.uri for a in found] == [f"{tmp_path}/new/artifacts/x", f"{moved_from}-2/artifacts/x"]


def test_runs_that_may_be_open_are_those_since_the_last_that_executed_and_those_without_a_line(tmp_path):
    from pipeline.metadata.tfx import open_runs

    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    for run, node in [("1", "ExampleGen"), ("2", "Classifier"), ("3", None), ("4", "Pusher")]:
        if node is not None:
            ledger.lost(ledger.intent(node=node, run_id=run), why="a test")
        ledger.run(run_id=run, record="0" * 64)
    for run in ("1", "4", "5"):
        RunPaths(tmp_path).log(run).parent.mkdir(exist_ok=True)
        RunPaths(tmp_path).log(run).touch()
    assert open_runs(ledger.chain, tmp_path / "logs", record_store.scan(tmp_path / "records")) == ("4", "3", "2", "5")


@pytest.mark.parametrize(
    ("run", "fields", "open_"),
    [
        ("3", {}, ("3",)),
        ("3", {"status": "failed"}, ("3", "2", "1")),
        ("3", {"sweep": {"id": "s", "role": "candidate", "values": {}}}, ("3", "2", "1")),
        ("rollback-3", {}, ("rollback-3", "2", "1")),  # no run, and without a log
    ],
    ids=["ended well", "failed", "in a sweep", "no run"],
)
def test_a_run_that_had_everything_cached_and_ended_well_left_nothing_open(tmp_path, run, fields, open_):
    from pipeline.metadata.tfx import open_runs

    paths, ledger = RunPaths(tmp_path), Ledger.open(tmp_path / "ledger.jsonl")
    ledger.lost(ledger.intent(node="ExampleGen", run_id="1"), why="a test")
    for one, record in (
        ("1", "0" * 64),
        ("2", "0" * 64),
        (run, record_store.write(paths.records, run_record(**fields))),
    ):
        ledger.run(run_id=one, record=record)
    paths.log("").parent.mkdir()
    for one in ("1", "2", "3"):
        paths.log(one).touch()
    found = open_runs(ledger.chain, paths.log("").parent, record_store.scan(paths.records))
    assert tuple(one for one in found if one != "3" or run == "3") == open_
