"""A reviewed schema is found, copied below the root, imported by digest, and refused when it is not what was approved.

Fault row 31, and what stock ImportSchemaGen does where ReviewedSchema refuses.
"""

import shutil
import sys
from pathlib import Path

import pytest
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types import standard_artifacts

from components import schema_files
from components.errors import BadInput, EnvironmentProblem
from components.reviewed_schema import ReviewedSchema, ReviewedSchemaExecutor, resolve
from components.schema_files import APPROVED_NAME, find_reviewed, profile_file, schema_digest, schema_file
from pipeline.datasets import schema_review

GEOMETRY = "8x8-max16-labels10"


@pytest.fixture
def mine(tmp_path):
    """A user's folder of schemas with the shipped pair for 8x8, approved there."""
    folder = tmp_path / "mine"
    schema_review.approve(find_reviewed(GEOMETRY).schema, folder)
    return folder


def edit(path):
    path.write_text(path.read_text().replace("16", "15", 1))


def test_a_users_folder_takes_the_place_of_the_schemas_that_are_shipped(mine):
    assert find_reviewed(GEOMETRY, mine).schema == mine / f"{GEOMETRY}.pbtxt"
    with pytest.raises(BadInput, match=rf"got {GEOMETRY}.pbtxt: one is built in: leave --schema out"):
        schema_file("28x28-max255-labels10", mine)


def test_a_schema_has_the_same_digest_wherever_it_lies_and_whatever_it_is_called(mine, tmp_path):
    copied = tmp_path / "schema.pbtxt"
    shutil.copyfile(mine / f"{GEOMETRY}.pbtxt", copied)
    shutil.copyfile(mine / f"{GEOMETRY}.profile.json", tmp_path / "profile.json")
    assert schema_digest(copied) == schema_digest(GEOMETRY) == find_reviewed(GEOMETRY, mine).digest


def test_an_installed_package_finds_its_schemas_below_share(mine, tmp_path, monkeypatch):
    share = tmp_path / "venv" / "share" / "mnist-tfx" / "schema"
    shutil.copytree(mine, share)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(schema_files, "__file__", str(tmp_path / "site-packages" / "components" / "schema_files.py"))
    assert find_reviewed(GEOMETRY).schema == share / f"{GEOMETRY}.pbtxt"


def test_a_geometry_that_nobody_reviewed_is_refused_and_the_way_out_is_named():
    with pytest.raises(BadInput, match=r"16x16-max255-labels26: no reviewed schema .* `mnist-tfx schema propose`"):
        find_reviewed("16x16-max255-labels26")


@pytest.mark.fault(31)
@pytest.mark.parametrize("name", [f"{GEOMETRY}.pbtxt", f"{GEOMETRY}.profile.json"])
def test_an_edit_after_the_approval_is_refused(mine, name):
    edit(mine / name)
    with pytest.raises(BadInput, match=r"changed after its approval: wanted [0-9a-f]{64}, got [0-9a-f]{64}: review it"):
        find_reviewed(GEOMETRY, mine)


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda mine: (mine / "approved.json").unlink(), "never approved", id="no approvals"),
        pytest.param(lambda mine: (mine / "approved.json").write_text("{}"), "not a list of", id="empty approvals"),
        pytest.param(lambda mine: (mine / "approved.json").write_text("\0"), "not a list of", id="garbled approvals"),
        pytest.param(
            lambda mine: (mine / "approved.json").write_text('{"approved": {}}'), "never approved", id="other approvals"
        ),
        pytest.param(
            lambda mine: (mine / f"{GEOMETRY}.profile.json").unlink(), "profile.json: cannot be read", id="no profile"
        ),
    ],
)
def test_a_missing_or_unreadable_part_is_refused_and_named(mine, damage, message):
    damage(mine)
    with pytest.raises(BadInput, match=message):
        find_reviewed(GEOMETRY, mine)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param(".pbtxt", "feature { nmae: 'image' }", "not a schema", id="no schema"),
        pytest.param(".pbtxt", "\udcff", "not a schema", id="not UTF-8"),
        pytest.param(".pbtxt", "", "got an empty file: `mnist-tfx schema propose`", id="empty"),
        pytest.param(".pbtxt", "# a: 1\n", "got a text without a feature: `mnist-tfx", id="a comment alone"),
        pytest.param(".pbtxt", "a: 1", 'got Schema has no field named "a" in line 1: `mnist-tfx', id="YAML"),
        pytest.param(".profile.json", '{"version": 1}', "not a reference profile: .*profile is missing", id="half"),
    ],
)
def test_what_was_approved_by_hand_must_still_be_readable(mine, name, content, message):
    (mine / (GEOMETRY + name)).write_text(content, errors="surrogateescape")
    pinned = {GEOMETRY: {"digest": schema_digest(mine / f"{GEOMETRY}.pbtxt"), "date": "2026-01-01"}}
    (mine / APPROVED_NAME).write_text(schema_review._approvals_text(pinned))
    with pytest.raises(BadInput, match=message):
        find_reviewed(GEOMETRY, mine)


def properties(folder):
    reviewed = find_reviewed(GEOMETRY, folder)
    return {"geometry": GEOMETRY, "schema_sha256": reviewed.digest, "source": str(folder), "code_digest": "c"}


def test_resolving_copies_the_pair_below_the_root_and_names_it_by_digest(mine, tmp_path):
    resolved = resolve(properties(mine), tmp_path / "root")
    assert resolved["source"] == f"inputs/schema-{resolved['schema_sha256']}"
    copied = tmp_path / "root" / resolved["source"]
    assert sorted(path.name for path in copied.iterdir()) == ["profile.json", "schema.pbtxt"]
    assert schema_digest(copied / "schema.pbtxt") == resolved["schema_sha256"]
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


def test_resolving_twice_gives_the_same_even_without_the_original(mine, tmp_path):
    once = resolve(properties(mine), tmp_path / "root")
    shutil.rmtree(mine)
    assert resolve(once, tmp_path / "root") == once


def test_a_damaged_copy_is_made_again(mine, tmp_path):
    resolved = resolve(properties(mine), tmp_path / "root")
    edit(tmp_path / "root" / resolved["source"] / "schema.pbtxt")
    resolve(properties(mine), tmp_path / "root")
    assert schema_digest(tmp_path / "root" / resolved["source"] / "schema.pbtxt") == resolved["schema_sha256"]


@pytest.mark.parametrize("damage", [edit, Path.unlink])
def test_a_schema_that_changes_between_configuration_and_run_is_refused_and_not_copied(mine, tmp_path, damage):
    configured = properties(mine)
    damage(mine / f"{GEOMETRY}.pbtxt")
    with pytest.raises(BadInput, match=f"{GEOMETRY}.pbtxt"):
        resolve(configured, tmp_path / "root")
    assert list((tmp_path / "root").rglob("*/*")) == []


def in_the_way(root):
    root.write_text("a file, not a folder")


def inputs_in_the_way(root):
    root.mkdir()
    (root / "inputs").write_text("a file, not a folder")


@pytest.mark.parametrize("harm", [in_the_way, inputs_in_the_way])
def test_a_root_that_cannot_be_written_is_the_environments_fault(mine, tmp_path, harm):
    harm(tmp_path / "root")
    with pytest.raises(EnvironmentProblem, match="the schema cannot be kept"):
        resolve(properties(mine), tmp_path / "root")


def test_a_full_disk_is_the_environments_fault_and_leaves_nothing(mine, tmp_path, monkeypatch):
    def full(path, _):
        raise OSError(28, "No space left on device", str(path))

    configured = properties(mine)
    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", full)
        with pytest.raises(EnvironmentProblem, match="no space left"):
            resolve(configured, tmp_path / "root")
    assert list((tmp_path / "root" / "inputs").iterdir()) == []
    resolved = resolve(configured, tmp_path / "root")
    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", full)
        with pytest.raises(EnvironmentProblem, match="no space left"):
            execute(tmp_path / "root", resolved)


def test_schemas_that_are_links_are_what_they_point_to(mine, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in mine.iterdir():
        (linked / file.name).symlink_to(file)
    assert find_reviewed(GEOMETRY, linked).digest == find_reviewed(GEOMETRY, mine).digest
    copied = tmp_path / "root" / resolve(properties(linked), tmp_path / "root")["source"]
    assert not any(file.is_symlink() for file in copied.iterdir())
    edit(mine / f"{GEOMETRY}.pbtxt")
    with pytest.raises(BadInput, match="changed after its approval"):
        find_reviewed(GEOMETRY, linked)


def test_a_copy_that_became_a_link_is_made_again(mine, tmp_path):
    copied = tmp_path / "root" / resolve(properties(mine), tmp_path / "root")["source"]
    (copied / "schema.pbtxt").unlink()
    (copied / "schema.pbtxt").symlink_to(mine / f"{GEOMETRY}.pbtxt")
    resolve(properties(mine), tmp_path / "root")
    assert not (copied / "schema.pbtxt").is_symlink()


def execute(root, exec_properties):
    outputs = {"schema": standard_artifacts.Schema(), "reference": standard_artifacts.ExampleStatistics()}
    for key, output in outputs.items():
        output.uri = str(root / "artifacts" / "ReviewedSchema" / key / "1")
    ReviewedSchemaExecutor().Do({}, {key: [output] for key, output in outputs.items()}, exec_properties)
    return {key: Path(output.uri) for key, output in outputs.items()}


def test_the_schema_artifact_holds_one_file_as_stock_components_want_it(mine, tmp_path):
    found = execute(tmp_path, resolve(properties(mine), tmp_path))
    assert [path.name for path in found["schema"].iterdir()] == ["schema.pbtxt"]
    assert [path.name for path in found["reference"].iterdir()] == ["profile.json"]
    assert (found["schema"] / "schema.pbtxt").read_bytes() == (mine / f"{GEOMETRY}.pbtxt").read_bytes()


@pytest.mark.parametrize("name", ["schema.pbtxt", "profile.json"])
@pytest.mark.parametrize("damage", [edit, Path.unlink])
def test_the_executor_refuses_a_copy_that_is_not_what_was_approved(mine, tmp_path, name, damage):
    resolved = resolve(properties(mine), tmp_path)
    damaged = tmp_path / resolved["source"] / name
    damage(damaged)
    resolved["geometry"] = "1x1-max1-labels2"  # no image to fall back on
    with pytest.raises(BadInput):
        execute(tmp_path, resolved)
    assert not (tmp_path / "artifacts").exists()


def run(root, node):
    """Runs one node by TFX's own runner; returns (state, text of the schema it gave) of the newest execution."""
    store = metadata.sqlite_metadata_connection_config(str(root / "metadata.db"))
    LocalDagRunner().run(
        pipeline.Pipeline(
            pipeline_name="p",
            pipeline_root=str(root / "artifacts"),
            metadata_connection_config=store,
            enable_cache=True,
            components=[node],
        )
    )
    with metadata.Metadata(store) as handle:
        newest = max(handle.store.get_executions(), key=lambda execution: execution.id)
        events = handle.store.get_events_by_execution_ids([newest.id])
        schemas = handle.store.get_artifacts_by_type("Schema")
        [schema] = [found for found in schemas if found.id in {event.artifact_id for event in events}]
    return newest.last_known_state, (Path(schema.uri) / "schema.pbtxt").read_text()


EXECUTED, CACHED = 3, 5
"""COMPLETE and CACHED of ml_metadata's Execution.State."""


@pytest.mark.slow
@pytest.mark.e2e
def test_stock_import_schema_gen_hands_out_the_old_schema_after_an_edit(mine, tmp_path):
    from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen

    schema = mine / f"{GEOMETRY}.pbtxt"
    before = schema.read_text()
    assert run(tmp_path, ImportSchemaGen(schema_file=str(schema))) == (EXECUTED, before)
    edit(schema)
    assert run(tmp_path, ImportSchemaGen(schema_file=str(schema))) == (CACHED, before)


def imported(mine):
    reviewed = find_reviewed(GEOMETRY, mine)
    return ReviewedSchema(
        geometry=GEOMETRY, schema_sha256=reviewed.digest, source=str(reviewed.schema.parent), code_digest="c"
    ).with_id("ReviewedSchema")


@pytest.mark.e2e
def test_reviewed_schema_is_cached_until_an_edit_is_approved_and_then_runs_again(mine, tmp_path):
    schema = mine / f"{GEOMETRY}.pbtxt"
    before = schema.read_text()
    assert run(tmp_path, imported(mine)) == (EXECUTED, before)
    assert run(tmp_path, imported(mine)) == (CACHED, before)
    edit(schema)
    with pytest.raises(BadInput, match="changed after its approval"):
        imported(mine)
    schema_review.approve(schema, mine)
    assert run(tmp_path, imported(mine)) == (EXECUTED, schema.read_text())
    assert schema.read_text() != before


@pytest.mark.e2e
def test_a_run_that_only_finds_the_schema_under_another_folder_is_cached(mine, tmp_path):
    run(tmp_path, imported(mine))
    moved = mine.rename(tmp_path / "moved")
    assert run(tmp_path, imported(moved))[0] == CACHED


def test_the_profile_lies_beside_its_schema_under_both_names():
    assert profile_file(Path("a/8x8-max16-labels10.pbtxt")) == Path("a/8x8-max16-labels10.profile.json")
    assert profile_file(Path("a/schema.pbtxt")) == Path("a/profile.json")
