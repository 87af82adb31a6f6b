"""A root whose runs wrote to a store elsewhere: every command asks that one, or says that it could not."""

import json
import shutil
import socket
import time

import pytest
from command_line import in_process
from lineage.audited_copy import audited_copy
from ml_metadata.proto import metadata_store_pb2 as pb

from components.errors import EnvironmentProblem
from pipeline.audit.audit import DEFAULTS, audit_version
from pipeline.audit.findings import COMPLETENESS, FAIL, INTEGRITY, PASS, UNKNOWN
from pipeline.maintenance.orphans import orphans
from pipeline.maintenance.repair import repair
from pipeline.maintenance.rollback import rollback
from pipeline.metadata.address import MysqlDatabase, SqliteFile, parse_address, recorded_address
from pipeline.metadata.store import open_store
from pipeline.provenance.ledger import read_ledger
from pipeline.root.identity import check_identity, claim

IDENTITY = {"pipeline": "digits", "signature": {"shape": [8, 8]}}


@pytest.fixture
def paths(tmp_path):
    """A root whose store is `elsewhere.db` beside it, as root.json says."""
    paths = audited_copy(tmp_path / "root")
    moved = paths.metadata.rename(tmp_path / "elsewhere.db")
    point_to(paths, str(moved))
    return paths


def point_to(paths, address):
    noted = json.loads(paths.identity.read_text())
    paths.identity.write_text(json.dumps({**noted, "metadata": address}))


def verdicts(paths, options=DEFAULTS):
    return audit_version(paths.root, None, options).verdicts


def nobody():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"mysql://mlmd@127.0.0.1:{server.getsockname()[1]}/m"


def test_the_address_is_noted_without_a_password_and_is_no_part_of_the_identity(tmp_path):
    paths = audited_copy(tmp_path / "root")
    address = parse_address("mysql://a%40b:hunter2@db:3307/m")
    claim(paths, IDENTITY, str(address))
    assert "hunter2" not in paths.identity.read_text()
    assert parse_address(recorded_address(paths), {}) == MysqlDatabase(host="db", port=3307, database="m", user="a@b")
    assert parse_address(address.url()) == address
    assert check_identity(paths, IDENTITY) == paths.root
    claim(paths, IDENTITY, str(SqliteFile(path=paths.metadata)))
    assert recorded_address(paths) is None
    assert json.loads(paths.identity.read_text()).keys() == {*IDENTITY, "path"}


def test_a_store_in_the_root_moves_along(tmp_path):
    paths = audited_copy(tmp_path / "root")
    claim(paths, IDENTITY, f"{paths.root}/other.db")
    moved = shutil.copytree(paths.root, tmp_path / "moved")
    assert recorded_address(type(paths)(moved)) == f"{moved}/other.db"


@pytest.mark.parametrize("text", ["", "[]", '{"metadata": 3}', '{"metadata": ""}'])
def test_what_names_no_address_names_none(tmp_path, text):
    paths = audited_copy(tmp_path / "root")
    paths.identity.write_text(text)
    assert recorded_address(paths) is None


def test_the_audit_asks_it(paths):
    assert set(verdicts(paths).values()) == {PASS}
    assert audit_version(paths.root).counts.executions > 0
    raw = open_store(paths, say=pytest.fail).raw
    [first, *_] = raw.get_artifacts()
    first.custom_properties["sha256"].string_value = "0" * 64
    raw.put_artifacts([first])
    del raw
    found = audit_version(paths.root).first(COMPLETENESS)
    assert found.level == FAIL
    assert found.where.startswith(f"{paths.root.parent / 'elsewhere.db'}: records/")


@pytest.mark.parametrize("address", [None, "mysql", "grpc://127.0.0.1:1"])
def test_where_it_is_not_to_be_had_the_audit_cannot_tell(paths, address):
    address = {None: str(paths.root / "gone.db"), "mysql": nobody()}.get(address, address)
    point_to(paths, address)
    started = time.monotonic()
    audited = audit_version(paths.root)
    assert time.monotonic() - started < 20
    assert audited.verdicts == {**dict.fromkeys(audited.verdicts, PASS), COMPLETENESS: UNKNOWN}
    found = audited.first(COMPLETENESS)
    assert found.where == address
    assert "was not asked" in found.what
    assert "--metadata URL" in found.what
    assert "MNIST_TFX_METADATA_PASSWORD" in found.what


def test_the_option_overrides(paths):
    there = recorded_address(paths)
    point_to(paths, nobody())
    answer = in_process("lineage", "audit", "--root", paths.root, "--metadata", there, "--json")
    assert (answer.code, answer.status) == (0, "ok"), answer.out
    refused = in_process("lineage", "audit", "--root", paths.root, "--metadata", "ftp://x")
    assert refused.code == 2
    assert "no such kind of metadata store" in refused.err


def test_housekeeping_asks_it(paths):
    assert orphans(paths.root, pytest.fail) == ()
    assert repair(paths.root, pytest.fail) == ()
    assert rollback(paths.root, 1, pytest.fail).version == 3
    assert not paths.metadata.exists()
    audited = verdicts(paths)
    assert (audited[INTEGRITY], audited[COMPLETENESS]) == (PASS, PASS)


@pytest.mark.parametrize("server", [False, True])
def test_housekeeping_says_in_one_line_that_it_is_not_to_be_had(paths, server):
    point_to(paths, nobody() if server else str(paths.root / "gone.db"))
    for work in (
        lambda: orphans(paths.root, pytest.fail),
        lambda: repair(paths.root, pytest.fail),
        lambda: rollback(paths.root, 1, pytest.fail),
    ):
        with pytest.raises(EnvironmentProblem, match=r"^[^\n]*(cannot be reached|no metadata store)[^\n]*$"):
            work()
    assert not paths.metadata.exists()


def test_executions_of_other_roots_are_left_alone(paths):
    raw = open_store(paths, say=pytest.fail).raw
    [kind, *_] = raw.get_execution_types()
    [context] = [c for c in raw.get_context_types() if c.name == "pipeline_run"]
    mine = read_ledger(paths.ledger).lines[-1].run_id
    numbers = {}
    for name in (mine, "of another root"):
        known = raw.get_context_by_type_and_name("pipeline_run", name) or pb.Context(type_id=context.id, name=name)
        execution = pb.Execution(type_id=kind.id, last_known_state=pb.Execution.RUNNING)
        numbers[name], _, _ = raw.put_execution(execution, [], [known], reuse_context_if_already_exist=True)
    del raw
    assert [one.where for one in orphans(paths.root, pytest.fail)] == [f"execution {numbers[mine]}"]
    assert [one.where for one in repair(paths.root, pytest.fail)] == [f"execution {numbers[mine]}"]
    [other] = open_store(paths, say=pytest.fail).raw.get_executions_by_id([numbers["of another root"]])
    assert other.last_known_state == pb.Execution.RUNNING


def test_a_lost_ledger_is_said_to_be_lost(paths):
    paths.ledger.unlink()
    with pytest.raises(EnvironmentProblem, match="the ledger is missing, but there are records"):
        orphans(paths.root, pytest.fail)
