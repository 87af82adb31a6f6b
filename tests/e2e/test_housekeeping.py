"""Housekeeping of real runs: a lost store, a push killed between rename and record, going back, JSON answers."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from command_line import PROJECT, mnist_tfx
from google.protobuf import json_format
from lineage.audited_copy import audited_copy
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from components.digest import tree_digest

pytestmark = pytest.mark.e2e

OTHER = ("--set", "classifier.epochs=30")
"""Another classifier, as good as the first one."""

KILLED_AFTER_THE_RENAME = """
import os, signal, sys
import components.publish
publish = components.publish.publish
def killed(*arguments, **options):
    publish(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
components.publish.publish = killed
from pipeline.cli.main import main
main()
"""


def types_of(file):
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    store = metadata_store.MetadataStore(config)
    found = {}
    for kind in ("artifact", "execution", "context"):
        for one in getattr(store, f"get_{kind}_types")():
            found[kind, one.name] = (dict(one.properties), getattr(one, "base_type", None))
    return {key: value for key, value in found.items() if key != ("context", "execution_cache")}


def properties_of(file, *places):
    """A store's properties of artifacts; a text keeps the root's place of the day it was written."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    found = {}
    for artifact in metadata_store.MetadataStore(config).get_artifacts():
        for name, value in [*artifact.properties.items(), *artifact.custom_properties.items()]:
            text = json.dumps(json_format.MessageToDict(value), sort_keys=True)
            for place in places:
                text = text.replace(str(place), "{root}")
            found[artifact.uri, name] = text
    return found


def test_a_lost_store_is_rebuilt_as_tfx_wrote_it_and_the_next_run_finds_everything_cached(
    first_run, root, digits_folder, tmp_path
):
    mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")  # writes its place into the copied store
    lost = shutil.move(root / "metadata.db", tmp_path / "lost.db")
    refused = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert refused.code == 4
    made = mnist_tfx("lineage", "rebuild", "--root", root)
    assert made.code == 0, made.err
    assert types_of(root / "metadata.db") == types_of(lost)
    assert properties_of(root / "metadata.db", root) == properties_of(lost, root, first_run[0])
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert set(answer.states().values()) == {"cached"}
    assert mnist_tfx("lineage", "orphans", "--root", root).code == 0


def test_after_a_rebuild_a_node_that_executes_takes_a_folder_of_its_own(root, digits_folder):
    (root / "metadata.db").unlink()
    mnist_tfx("lineage", "rebuild", "--root", root)
    before = {path: tree_digest(path) for path in (root / "artifacts").glob("[A-Z]*/[a-z]*/*")}
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--force", "StatisticsGen", "--json")
    assert answer.code == 0, answer.err
    assert answer.states()["StatisticsGen"] == "executed"
    assert {path: tree_digest(path) for path in before} == before


def _verdicts(root, version):
    answer = mnist_tfx("lineage", "audit", str(version), "--root", root, "--json").json
    [found] = answer.get("audits", [answer])
    return {name: found["verdicts"][name] for name in ("INTEGRITY", "COMPLETENESS")}


WHOLE = {"INTEGRITY": "PASS", "COMPLETENESS": "PASS"}


@pytest.mark.fault(6)
@pytest.mark.slow
def test_a_push_killed_after_its_rename_is_found_and_attached_by_its_digest(root, digits_folder):
    arguments = ("run", "--data", str(digits_folder), "--root", str(root), *OTHER)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_THE_RENAME, *arguments],
        capture_output=True, text=True, check=False, cwd=PROJECT, env=os.environ,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    served = tree_digest(root / "serving" / "2")
    found = mnist_tfx("lineage", "orphans", "--root", root, "--json")
    assert found.code == 1
    assert {one["kind"] for one in found.json["orphans"]} >= {"served-unrecorded", "open-intent", "dead-execution"}
    assert mnist_tfx("lineage", "audit", "2", "--root", root).code == 1

    repaired = mnist_tfx("lineage", "repair", "--root", root, "--json")
    assert repaired.code == 0, repaired.out
    assert [one["where"] for one in repaired.json["repairs"] if one["kind"] == "attached"] == ["serving/2"]
    assert tree_digest(root / "serving" / "2") == served
    assert _verdicts(root, 2) == WHOLE
    left = mnist_tfx("lineage", "orphans", "--root", root, "--json").json["orphans"]
    assert {one["remedy"] for one in left} <= {"lineage gc"}
    assert mnist_tfx("lineage", "gc", "--root", root).code == 0
    assert mnist_tfx("lineage", "orphans", "--root", root).code == 0

    again = mnist_tfx(*arguments, "--json")
    assert set(again.states().values()) == {"cached"}
    assert again.json["version"] == 2


@pytest.mark.slow
def test_a_version_brought_back_is_whole_and_the_next_run_of_its_recipe_reuses_it(root, digits_folder):
    second = mnist_tfx("run", "--data", digits_folder, "--root", root, *OTHER, "--json")
    assert second.json["version"] == 2, second.err
    back = mnist_tfx("serving", "rollback", "1", "--root", root, "--json")
    assert back.code == 0, back.err
    assert back.json["version"] == 3
    assert _verdicts(root, 3) == WHOLE
    assert mnist_tfx("lineage", "orphans", "--root", root).code == 0
    again = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    # Now there is a version to compare with, so the evaluation is another one; the training is not.
    assert {node for node, state in again.states().items() if state == "executed"} == {
        "Baseline", "Evaluator", "Pusher",
    }  # fmt: skip
    assert again.json["version"] == 3
    assert _verdicts(root, 3) == WHOLE
    mnist_tfx("serving", "prune", "--keep", "1", "--root", root)
    assert mnist_tfx("lineage", "gc", "--root", root, "--keep-runs", "1").code == 0
    assert _verdicts(root, 3) == WHOLE


@pytest.mark.parametrize(
    "arguments",
    [
        ["lineage", "orphans"],
        ["lineage", "repair"],
        ["lineage", "gc"],
        ["lineage", "rebuild", "--to", "new.db"],
        ["serving", "rollback", "1"],
        ["serving", "prune", "--keep", "1"],
    ],
    ids=" ".join,
)
def test_an_answer_fits_its_committed_schema(tmp_path, arguments):
    paths = audited_copy(tmp_path / "root")
    (paths.inputs / "nobody").mkdir()
    (paths.inputs / "nobody" / "file").write_text("x")
    shutil.copytree(paths.serving / "1", paths.serving / "0")
    arguments = [str(tmp_path / one) if one == "new.db" else one for one in arguments]
    answer = mnist_tfx(*arguments, "--root", paths.root, "--json")
    assert answer.err == ""
    assert answer.envelope["command"] == " ".join(arguments[:2])
    assert answer.status in ("ok", "findings")
    assert mnist_tfx(*arguments, "--root", tmp_path / "none", "--json").status == "usage"
