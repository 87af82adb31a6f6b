"""Runs that pushed, gathered from a copy of their bucket: in their order, once, from what holds alone."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kubeflow.pushed_runs import DATA_NAME, IMPORT, KEPT, PAYLOAD, PushedRun, leave

from components.digest import tree_manifest
from components.errors import BadInput, EnvironmentProblem
from pipeline.audit import ancestors
from pipeline.audit.evidence import Evidence, walk
from pipeline.audit.findings import FAIL, WARN, Finding
from pipeline.kubeflow import names
from pipeline.kubeflow.gather.gather import gather_run, pusher_of
from pipeline.provenance import record_store
from pipeline.provenance.artifacts import measure
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.provenance.plain_files import Hasher
from pipeline.provenance.records import RunRecord
from pipeline.root.paths import RunPaths


@pytest.fixture
def copy(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "copy")


@pytest.fixture
def first(copy: RunPaths) -> PushedRun:
    return PushedRun(copy, "r-1", 1)


@pytest.fixture
def second(copy: RunPaths, first: PushedRun) -> PushedRun:
    """A run whose ExampleGen KFP's cache answered for."""
    return PushedRun(copy, "r-2", 2, cached=first.data)


def written(copy: RunPaths) -> list[str]:
    return [name for name in ("records", "inputs", "ledger.jsonl", "root.json") if (copy.root / name).exists()]


def pushed(copy: RunPaths) -> list[int]:
    return [x.details["version"] for x in read_ledger(copy.ledger).lines if x.event == Event.PUSHED]


def unlisted(copy: RunPaths) -> set[str]:
    named = {line.record for line in read_ledger(copy.ledger).lines}
    return {path.stem for path in copy.records.iterdir()} - named


def test_the_version_is_the_one_in_the_record_of_the_push(copy: RunPaths, first: PushedRun) -> None:
    found = gather_run(copy, "r-1")
    assert (found.version, pusher_of(found)) == (1, first.pusher[0])


@pytest.mark.parametrize("text", [json.dumps({"version": 7, "path": "serving/7", "digest": "d"}), '{"version":', ""])
def test_a_push_file_that_is_not_what_was_recorded_is_not_read(copy: RunPaths, first: PushedRun, text: str) -> None:
    (first.artifact("Pusher", "pushed_model") / "pushed.json").write_text(text)
    with pytest.raises(EnvironmentProblem, match=r"pushed_model: the copy is not what was recorded: .*pushed\.json"):
        gather_run(copy, "r-1")
    assert written(copy) == []


def test_an_artifact_that_the_copy_lacks_is_told_before_anything_is_written(copy: RunPaths, first: PushedRun) -> None:
    shutil.rmtree(first.artifact("Pusher", "pushed_model"))
    with pytest.raises(EnvironmentProblem, match="pushed_model: the copy is incomplete"):
        gather_run(copy, "r-1")
    assert written(copy) == []


@pytest.mark.parametrize(
    "text", ['{"recipe": {', "[]", "{}", '{"recipe": {}, "sources": []}', '{"recipe": [], "sources": 1}']
)
def test_what_the_driver_left_is_read_with_care(copy: RunPaths, first: PushedRun, text: str) -> None:
    (first.driver / names.RUN_FILE).write_text(text)
    with pytest.raises(EnvironmentProblem, match=r"run\.json: the copy is incomplete"):
        gather_run(copy, "r-1")
    assert written(copy) == []


def test_a_copy_without_what_the_driver_left_claims_no_root(copy: RunPaths, first: PushedRun) -> None:
    shutil.rmtree(first.driver)
    with pytest.raises(EnvironmentProblem, match=r"the copy is incomplete: wanted what ExampleGenDriver left"):
        gather_run(copy, "r-1")
    assert written(copy) == []


def test_a_run_that_executed_nothing_is_refused_and_claims_no_root(copy: RunPaths, first: PushedRun) -> None:
    shutil.copytree(first.driver, copy.root / "digits" / "idle" / names.DRIVER / "salt" / names.LINEAGE)
    with pytest.raises(BadInput, match="idle: the run pushed nothing: it executed nothing"):
        gather_run(copy, "idle")
    assert written(copy) == []


@pytest.mark.usefixtures("second")
def test_data_that_an_earlier_run_handed_on_is_taken_from_there(copy: RunPaths) -> None:
    shutil.rmtree(copy.root / "digits" / "r-1" / "Pusher")  # so that r-1 is not gathered along
    gather_run(copy, "r-2")
    assert (copy.inputs / DATA_NAME / "train.csv").read_bytes() == PAYLOAD


@pytest.mark.usefixtures("second")
def test_runs_that_pushed_lower_versions_come_first_and_are_told(copy: RunPaths) -> None:
    told: list[str] = []
    gather_run(copy, "r-2", told.append)
    assert pushed(copy) == [1, 2]
    assert told == ["gathered along: run r-1, which pushed a lower version"]
    gather_run(copy, "r-2", told.append)
    gather_run(copy, "r-1", told.append)
    assert (pushed(copy), len(told)) == ([1, 2], 1)
    assert unlisted(copy) == set()


def test_a_later_run_that_pushes_what_is_served_is_gathered_with_the_run_whose_statement_is_served(
    copy: RunPaths, first: PushedRun
) -> None:
    PushedRun(copy, "r-0", 1, cached=first.data, at=3)
    PushedRun(copy, "r-9", 1, cached=first.data, at=2)
    told: list[str] = []
    gather_run(copy, "r-0", told.append)
    pushes = [line.run_id for line in read_ledger(copy.ledger).lines if line.event == Event.PUSHED]
    assert pushes == ["r-1", "r-9", "r-0"]
    assert told == [f"gathered along: run {name}, which pushed the same version" for name in ("r-1", "r-9")]


def test_a_push_whose_pod_has_a_late_clock_is_gathered_along_all_the_same(copy: RunPaths, first: PushedRun) -> None:
    PushedRun(copy, "r-2", 1, cached=first.data, at=0)
    gather_run(copy, "r-2")
    assert pushed(copy) == [1, 1]


@pytest.mark.parametrize("node", ["data", "model", "pusher"])
def test_a_repeated_attempt_is_committed_and_the_run_names_the_one_that_counts(
    copy: RunPaths, first: PushedRun, node: str
) -> None:
    counting = getattr(first, node)
    attempt, _ = first.repeat(counting)
    found = gather_run(copy, "r-1")
    assert {one.record for one in found.nodes} == {first.data[0], first.model[0], first.pusher[0]}
    assert attempt in read_ledger(copy.ledger).order
    assert (pushed(copy), pusher_of(found)) == ([1], first.pusher[0])
    assert unlisted(copy) == set()


@pytest.mark.parametrize("node", ["data", "model", "pusher"])
def test_what_was_repeated_is_told_by_the_audit_as_an_attempt(copy: RunPaths, first: PushedRun, node: str) -> None:
    counting = getattr(first, node)
    attempt, record = first.repeat(counting)
    gather_run(copy, "r-1")
    [found] = about_attempts(copy)
    assert (found.level, found.where) == (WARN, f"records/{attempt}.json")
    assert found.what == f"attempt 1 of {record.node}, superseded"


def test_of_three_attempts_two_are_superseded(copy: RunPaths, first: PushedRun) -> None:
    for second in (0, 1):
        first.repeat(first.model, started=f"2026-01-01T00:00:00.00{second}Z", seconds=float(second))
    gather_run(copy, "r-1")
    told = [found.what for found in about_attempts(copy)]
    assert told == ["attempt 1 of Classifier, superseded", "attempt 2 of Classifier, superseded"]


def test_an_attempt_of_which_nothing_was_read_is_told_so_although_it_is_the_later_one(
    copy: RunPaths, first: PushedRun
) -> None:
    first.repeat(first.model, started="2026-01-02T00:00:00.000Z")
    gather_run(copy, "r-1")
    assert [found.what for found in about_attempts(copy)] == ["attempt 2 of Classifier, of which nothing was read"]


@pytest.mark.parametrize("change", [{"inputs": {}}, {"outputs": {}}], ids=["read something else", "wrote elsewhere"])
def test_a_stray_record_of_the_same_run_and_node_is_no_attempt(
    copy: RunPaths, first: PushedRun, change: dict[str, object]
) -> None:
    stray, _ = first.repeat(first.model, **change)
    gather_run(copy, "r-1")
    [found] = about_attempts(copy)
    assert (found.level, found.where) == (FAIL, f"records/{stray}.json")
    assert "Classifier ran, but is not on the path, and is no attempt" in found.what


@pytest.mark.parametrize(("text", "level"), [("of attempt 1", WARN), ("of nobody", FAIL)])
@pytest.mark.parametrize("node", ["Classifier", "Pusher"])
def test_a_file_that_an_earlier_attempt_left_is_told_as_such_if_it_is_what_its_record_says(
    copy: RunPaths, first: PushedRun, node: str, text: str, level: str
) -> None:
    counting = {"Classifier": first.model, "Pusher": first.pusher}[node]
    [(channel, (entry,))] = counting[1].outputs.items()
    left = first.artifact(node, channel) / "events.1.host"
    leave(left, "of attempt 1")
    more = measure(copy.root, entry.path, type_name="Any", properties=entry.properties)
    first.repeat(counting, outputs={channel: (more,)})
    left.write_text(text)
    gather_run(copy, "r-1")
    evidence = Evidence(copy)
    behind = walk(evidence, [str(evidence.chain.pushes(1)[0].record)]).records
    with Hasher() as hasher:
        folders = ancestors.look_at_artifacts(copy.root, behind, hasher)
        hasher.wait()
        [found] = ancestors.check_artifacts(evidence, behind, folders)
    assert (found.level, found.where) == (level, f"{entry.path}/events.1.host")


def about_attempts(copy: RunPaths) -> list[Finding]:
    evidence = Evidence(copy)
    pushes = evidence.chain.pushes(1)
    return list(ancestors.check_attempts(evidence, walk(evidence, [str(pushes[0].record)]).records))


def test_another_pipelines_runs_are_left_alone(copy: RunPaths, first: PushedRun) -> None:
    second = PushedRun(copy, "r-2", 2)
    others = first.lineage("Pusher").records
    for path in others.iterdir():
        path.unlink()
    record_store.write(others, dataclasses.replace(first.data[1], pipeline="mnist"))
    record_store.write(others, dataclasses.replace(first.pusher[1], pipeline="mnist", inputs={}))
    gather_run(copy, second.run_id)
    assert pushed(copy) == [2]


def test_a_known_run_keeps_its_record_however_it_is_described_later(copy: RunPaths, first: PushedRun) -> None:
    found = gather_run(copy, "r-1")
    for record in (line for line in read_ledger(copy.ledger).lines if line.event == Event.RUN):
        assert isinstance(record_store.read(copy.records, str(record.record)), RunRecord)
    told = json.loads((first.driver / names.RUN_FILE).read_text())
    (first.driver / names.RUN_FILE).write_text(json.dumps({**told, "sources": [{"name": "x", "payload_digest": "y"}]}))
    assert gather_run(copy, "r-1") != found
    assert unlisted(copy) == set()


def test_a_run_that_may_still_push_has_no_record_yet(copy: RunPaths, first: PushedRun, tmp_path: Path) -> None:
    later = first.lineage("Pusher").root.parent.rename(tmp_path / "later")
    assert gather_run(copy, "r-1").version is None
    assert unlisted(copy) == set()
    later.rename(first.lineage("Pusher").root.parent)
    assert gather_run(copy, "r-1").version == 1
    assert [line.event for line in read_ledger(copy.ledger).lines][-2:] == [Event.COMMIT, Event.RUN]
    assert unlisted(copy) == set()


def test_a_record_that_a_crash_left_without_its_line_gets_the_line(copy: RunPaths, first: PushedRun) -> None:
    gather_run(copy, "r-1")
    *lines, _ = copy.ledger.read_bytes().splitlines(keepends=True)
    copy.ledger.write_bytes(b"".join(lines))
    told = json.loads((first.driver / names.RUN_FILE).read_text())
    (first.driver / names.RUN_FILE).write_text(json.dumps({**told, "sources": [{"name": "x", "payload_digest": "y"}]}))
    gather_run(copy, "r-1")
    assert unlisted(copy) == set()


def link(path: Path) -> None:
    real = path.with_name("elsewhere")
    path.rename(real.parent.parent / real.name)
    path.symlink_to(real.parent.parent / real.name)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "another payload": lambda folder: (folder / "train.csv").write_bytes(b"1,3\n"),
    "a longer payload": lambda folder: (folder / "train.csv").write_bytes(PAYLOAD * 2),
    "a file too many": lambda folder: (folder / "more").write_text("x"),
    "a file too few": lambda folder: (folder / "train.csv").unlink(),
    "a link in it": lambda folder: link(folder / "train.csv"),
    "a list of other files": lambda folder: (folder / "contents.json").write_text("[]"),
    "a list that is cut": lambda folder: (folder / "contents.json").write_text("[{"),
    "a list of no files": lambda folder: (folder / "contents.json").write_text("[1]"),
    "no note on the sources": lambda folder: (folder / "sources.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_copy_that_does_not_hold_is_not_taken(
    copy: RunPaths, first: PushedRun, damage: Callable[[Path], object]
) -> None:
    damage(first.data_copy)
    with pytest.raises(EnvironmentProblem, match=f"{DATA_NAME}: the copy is not what was recorded"):
        gather_run(copy, "r-1")
    assert not (copy.inputs / DATA_NAME).exists()
    assert list(copy.inputs.glob("*")) == list(copy.inputs.glob(".stage*")) == []


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_lies_there_and_does_not_hold_is_replaced(
    copy: RunPaths, first: PushedRun, damage: Callable[[Path], object]
) -> None:
    gather_run(copy, "r-1")
    damage(copy.inputs / DATA_NAME)
    gather_run(copy, "r-1")
    assert tree_manifest(copy.inputs / DATA_NAME) == tree_manifest(first.data_copy)


def test_a_folder_that_no_record_asks_for_is_not_taken(copy: RunPaths, first: PushedRun) -> None:
    shutil.copytree(first.data_copy, first.data_copy.with_name("0" * 64))
    gather_run(copy, "r-1")
    assert [path.name for path in copy.inputs.iterdir()] == [DATA_NAME]


def test_the_record_of_an_import_comes_along(copy: RunPaths) -> None:
    PushedRun(copy, "r-1", 1, imported=True)
    gather_run(copy, "r-1")
    assert (copy.inputs / DATA_NAME / KEPT).read_bytes() == IMPORT


def test_the_record_of_an_import_comes_to_data_that_an_earlier_run_brought_without_one(
    copy: RunPaths, first: PushedRun
) -> None:
    gather_run(copy, first.run_id)
    PushedRun(copy, "r-2", 2, imported=True)
    gather_run(copy, "r-2")
    assert (copy.inputs / DATA_NAME / KEPT).read_bytes() == IMPORT


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept.write_bytes(IMPORT.replace(b"a.png", b"b.png")),
        lambda kept: kept.rename(kept.with_name(f"import-{'1' * 64}.json")),
        lambda kept: kept.with_name("import-1.json").write_bytes(IMPORT),
        lambda kept: (kept.with_name("elsewhere").write_bytes(IMPORT), kept.unlink(), kept.symlink_to("elsewhere")),
    ],
    ids=["changed", "under another name", "beside another file", "a link"],
)
def test_the_record_of_an_import_that_is_not_what_its_name_says_is_refused(
    copy: RunPaths, change: Callable[[Path], object]
) -> None:
    run = PushedRun(copy, "r-1", 1, imported=True)
    change(run.data_copy / KEPT)
    with pytest.raises(EnvironmentProblem, match="the copy is not what was recorded"):
        gather_run(copy, "r-1")
