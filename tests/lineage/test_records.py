"""Records: what they hold, that they cannot change, and how they are found again."""

import dataclasses
import json
import random
import subprocess
import sys

import jsonschema
import pytest
from command_line import validator

from components.digest import sha256_bytes
from components.errors import BadInput, EnvironmentProblem
from pipeline.provenance import records
from pipeline.provenance.artifacts import ArtifactEntry, ArtifactRef
from pipeline.provenance.git import GitState
from pipeline.provenance.record_store import RecordChanged, RecordMissing, read, scan, write
from pipeline.provenance.records import (
    DataSource,
    Environment,
    find,
    from_bytes,
    from_dict,
    node_key,
    record_hash,
    to_bytes,
)

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def full(make_execution):
    """A record with something in every field."""
    entry = ArtifactEntry(
        type="TransformGraph",
        path="artifacts/Transform/transform_graph/6",
        sha256=DIGEST,
        bytes=12,
        files={"metadata/schema.pbtxt": {"sha256": DIGEST, "bytes": 12}},
        properties={"note": "ok"},
    )
    return make_execution(
        git=GitState(commit="b" * 40, tree="dirty", diff_sha256=DIGEST),
        inputs={"examples": (ArtifactRef(type="Examples", path="artifacts/e", sha256=DIGEST, bytes=3, record=DIGEST),)},
        outputs={"transform_graph": (entry,)},
        extra={"resumed_from": 2},
    )


@pytest.fixture(params=["execution", "run"])
def record(request, full, make_run):
    return full if request.param == "execution" else make_run()


def test_a_record_comes_back_as_it_was(record):
    assert from_dict(record.to_dict()) == record
    assert from_bytes(to_bytes(record)) == record


def test_a_record_is_what_its_committed_schema_says(record):
    validator(type(record).__name__).validate(json.loads(to_bytes(record)))


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../b", "a//b", ""])
def test_the_schema_refuses_a_path_that_leaves_the_root(full, path):
    fields = full.to_dict()
    fields["outputs"]["transform_graph"][0]["path"] = path
    with pytest.raises(jsonschema.ValidationError):
        validator("ExecutionRecord").validate(fields)


def test_records_of_this_release_stay_readable(full, golden):
    golden("execution_record.json", to_bytes(full))


def test_a_record_is_named_by_the_digest_of_its_own_bytes(record, tmp_path):
    known = write(tmp_path, record)
    assert known == record_hash(record) == sha256_bytes((tmp_path / f"{known}.json").read_bytes())
    assert read(tmp_path, known) == record


def test_writing_a_record_twice_leaves_one_file_and_nothing_else(full, tmp_path):
    assert write(tmp_path, full) == write(tmp_path, full)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_anywhere_in_a_record_is_found_and_the_file_named(full, tmp_path, seed):
    path = tmp_path / f"{write(tmp_path, full)}.json"
    chosen, data = random.Random(seed), bytearray(path.read_bytes())
    data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
    path.write_bytes(data)
    with pytest.raises(RecordChanged, match=path.name):
        read(tmp_path, path.stem)


def test_a_changed_record_is_not_replaced_by_writing_it_again(full, tmp_path):
    path = tmp_path / f"{write(tmp_path, full)}.json"
    path.write_bytes(b"{}")
    with pytest.raises(RecordChanged, match=path.name):
        write(tmp_path, full)
    assert path.read_bytes() == b"{}"


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(RecordMissing, match=DIGEST):
        read(tmp_path, DIGEST)


@pytest.mark.parametrize("name", ["", "latest", "../" + DIGEST, DIGEST.upper(), DIGEST + "\n", DIGEST[:-1]])
def test_what_is_no_hash_is_never_looked_up(tmp_path, name):
    with pytest.raises(BadInput, match="not a record's hash"):
        read(tmp_path, name)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"schema_version": None},
        {"kind": "audit"},
        {"surprise": 1},
        {"code": None},
        {"inputs": {"examples": [{"type": "Examples"}]}},
    ],
)
def test_a_record_of_another_form_is_refused_in_one_line(full, change):
    with pytest.raises(EnvironmentProblem, match="release") as refused:
        from_dict({**full.to_dict(), **change})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"3"])
def test_a_file_that_holds_no_record_is_refused(data):
    with pytest.raises(EnvironmentProblem, match=r"not readable as JSON|not a JSON object"):
        from_bytes(data)


@pytest.mark.parametrize("path", ["/abs", "../up", "a\nb"])
def test_a_path_out_of_the_root_gets_neither_in_nor_out(full, tmp_path, path):
    with pytest.raises(BadInput):
        dataclasses.replace(full.outputs["transform_graph"][0], path=path)
    fields = full.to_dict()
    fields["outputs"]["transform_graph"][0]["path"] = path
    data = json.dumps(fields).encode()
    (tmp_path / f"{sha256_bytes(data)}.json").write_bytes(data)
    with pytest.raises(EnvironmentProblem, match="plain relative path"):
        read(tmp_path, sha256_bytes(data))


def test_a_nan_is_never_written(full, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path, dataclasses.replace(full, extra={"loss": float("nan")}))
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_half_written_is_not_taken_for_a_record(full, tmp_path):
    known = write(tmp_path, full)
    (tmp_path / ".new-5b1d").write_bytes(b'{"half')
    (tmp_path / "notes.json").write_bytes(b"{}")
    assert dict(scan(tmp_path)) == {known: full}


def test_a_folder_that_is_not_there_holds_no_records(tmp_path):
    assert dict(scan(tmp_path / "records")) == {}
    assert DIGEST not in scan(tmp_path / "records")


def test_a_folder_that_cannot_be_written_is_one_line_with_path_and_bytes(full, tmp_path):
    (tmp_path / "records").write_bytes(b"a file")
    with pytest.raises(EnvironmentProblem, match=rf"records.*wanted {len(to_bytes(full))} bytes"):
        write(tmp_path / "records", full)


def test_a_full_disk_leaves_no_record_behind(full, tmp_path):
    # A limit on the size of files stands for the disk: the write stops in the middle as well.
    script = (
        "import resource, sys; from pathlib import Path; from pipeline.provenance import record_store, records;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "record = records.from_bytes(sys.stdin.buffer.read());"
        "record_store.write(Path(sys.argv[1]), record)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], input=to_bytes(full), capture_output=True, check=False
    )
    assert b"EnvironmentProblem" in done.stderr
    assert list(tmp_path.iterdir()) == []


REF = ArtifactRef(type="Examples", path="artifacts/ExampleGen/1", sha256=DIGEST, bytes=3, record=DIGEST)
ASKED = {
    "node": "Transform",
    "executor": "tfx.components.transform.executor.Executor",
    "parameters": {"settings": "{}", "steps": 3},
    "inputs": {"examples": (REF,)},
}


def test_a_node_key_does_not_depend_on_where_artifacts_lie_or_on_the_order_of_parameters():
    moved = {"examples": (dataclasses.replace(REF, path="artifacts/ExampleGen/2"),)}
    shuffled = {"steps": 3, "settings": "{}"}
    assert node_key(**ASKED) == node_key(**{**ASKED, "inputs": moved, "parameters": shuffled})


@pytest.mark.parametrize(
    "change",
    [
        {"node": "Evaluator"},
        {"executor": "components.preprocessing.Executor"},
        {"parameters": {"settings": "{}", "steps": 4}},
        {"parameters": {"settings": "{}", "steps": "3"}},
        {"inputs": {}},
        {"inputs": {"schema": (REF,)}},
        {"inputs": {"examples": (REF, REF)}},
        {"inputs": {"examples": (dataclasses.replace(REF, sha256="f" * 64),)}},
        {"inputs": {"examples": (dataclasses.replace(REF, record="f" * 64),)}},
    ],
)
def test_a_node_key_changes_with_everything_that_was_asked_for(change):
    assert node_key(**ASKED) != node_key(**{**ASKED, **change})


@pytest.mark.fault(38)
def test_the_newest_execution_is_the_last_in_the_ledger_even_when_the_clock_was_set_back(full):
    later = dataclasses.replace(full, started="1999-01-01T00:00:00.000Z", extra={"clock": "set back"})
    known = {record_hash(full): full, record_hash(later): later}
    order = [record_hash(full), record_hash(later)]
    assert find(known, order, full.key) == (record_hash(later), later)
    assert find(known, order[::-1], full.key) == (record_hash(full), full)


def test_an_execution_that_the_ledger_did_not_commit_is_not_found(full):
    assert find({record_hash(full): full}, [], full.key) is None
    assert find({}, [record_hash(full)], full.key) is None


def test_the_root_does_not_appear_in_recorded_parameters():
    parameters = {"input_base": "/data/root/inputs/1", "uris": '["/data/root"]', "other": "/data/root2/a", "steps": 3}
    found = records.without_root(parameters, "/data/root")
    assert found == {"input_base": "{root}/inputs/1", "uris": '["{root}"]', "other": "/data/root2/a", "steps": 3}


@pytest.mark.parametrize("name", ["two\nlines.gz", "\x1b[31mred.gz", "caf\udce9.gz", "nul\0.gz"])
def test_a_hostile_file_name_is_recorded_as_inert_text(make_run, tmp_path, name):
    run = make_run(sources=(DataSource(name=name, payload_digest=DIGEST),))
    assert run.sources[0].name.isprintable()
    assert read(tmp_path, write(tmp_path, run)) == run


@pytest.mark.fault(39)
def test_a_dirty_tree_no_git_and_a_changed_lock_each_make_another_record(full):
    states = [full, dataclasses.replace(full, git=GitState()), dataclasses.replace(full, lock_digest="f" * 64)]
    assert len({record_hash(state) for state in states}) == len(states)


def test_the_environment_names_the_versions_that_are_installed():
    here = Environment.here("cpu")
    assert here.packages["numpy"].count(".") == 2
    assert here.python == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("timestamp", "text"), [(0.0, "1970-01-01T00:00:00.000Z"), (1_700_000_000.25, "2023-11-14T22:13:20.250Z")]
)
def test_times_are_utc_with_milliseconds(timestamp, text):
    assert records.utc(timestamp) == text
