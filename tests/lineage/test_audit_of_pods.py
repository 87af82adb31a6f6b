"""Pushes that pods made: their order is told by their numbers, and a number may go with another serving volume."""

import dataclasses
import shutil
import types
from pathlib import Path

import pytest
from kubeflow.pushed_runs import PushedRun

from components.digest import tree_digest
from components.serving import BASELINE_PROPERTY, PROVENANCE, SAVED_MODEL
from pipeline.audit import ledger_check, rules
from pipeline.audit.evidence import Ancestors, Evidence
from pipeline.audit.findings import Anchor
from pipeline.provenance import record_store, records
from pipeline.provenance.artifacts import measure
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.pushes import note_push
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.statement import build_statement, statement_bytes
from pipeline.root.paths import RunPaths


def listed(paths: RunPaths, *made: ExecutionRecord) -> list[str]:
    ledger, hashes = Ledger.open(paths.ledger), []
    for record in made:
        intent = ledger.intent(node=record.node, run_id=record.run_id, key=record.key)
        note_push(record, ledger)
        hashes.append(record_store.write(paths.records, record))
        ledger.commit(intent, record=hashes[-1])
    return hashes


def with_baseline(run: PushedRun, told: str, digest: str) -> list[ExecutionRecord]:
    """Returns the run's records with a Baseline and an Evaluator before the push."""
    [made] = next(iter(run.model[1].outputs.values()))
    entry = dataclasses.replace(made, sha256=digest, properties={BASELINE_PROPERTY: told})
    baseline = dataclasses.replace(run.model[1], node="Baseline", inputs={}, outputs={"baseline": (entry,)})
    evaluator = dataclasses.replace(
        run.model[1],
        node="Evaluator",
        inputs={"baseline_model": (entry.ref(records.record_hash(baseline)),)},
        outputs={"blessing": (made,)},
    )
    blessing = made.ref(records.record_hash(evaluator))
    pusher = dataclasses.replace(run.pusher[1], inputs={**run.pusher[1].inputs, "model_blessing": (blessing,)})
    return [baseline, evaluator, pusher]


def digest_of(run: PushedRun) -> str:
    [model] = run.pusher[1].inputs["model"]
    return str(model.sha256)


def broken(paths: RunPaths, version: int, made: list[ExecutionRecord]) -> list[str]:
    return [found.what for found in about_baseline(paths, version, made)]


def about_baseline(paths: RunPaths, version: int, made: list[ExecutionRecord]) -> list[rules.Broken]:
    evidence = Evidence(paths)
    by_hash = {records.record_hash(record): record for record in made}
    subject = rules.Subject(
        evidence=evidence,
        served=types.SimpleNamespace(name="serving"),  # type: ignore[arg-type]  # only named
        version=version,
        push=next(push for push in evidence.chain.pushes(version) if push.record in by_hash),
        ancestors=Ancestors(records=by_hash, findings=()),
        anchor=Anchor(),
    )
    return list(rules.CHECKS["baseline"](subject))


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_a_version_was_compared_with_does_not_depend_on_who_was_gathered_first(
    paths: RunPaths, order: tuple[int, int]
) -> None:
    first, second = PushedRun(paths, "r-1", 1), PushedRun(paths, "r-2", 2)
    runs = [with_baseline(first, "none", "0"), with_baseline(second, "version 1", digest_of(first))]
    for at in order:
        listed(paths, *runs[at])
    assert broken(paths, 1, runs[0]) == []
    assert broken(paths, 2, runs[1]) == []


@pytest.mark.parametrize(
    ("told", "digest", "what"),
    [
        ("none", "0", "was compared with none"),
        ("version 1", "0", "was compared with other bytes than version 1"),
        ("version 3", "0", "was compared with no version that was pushed before"),
    ],
)
def test_a_version_that_was_compared_with_something_else_is_found(
    paths: RunPaths, told: str, digest: str, what: str
) -> None:
    runs = [PushedRun(paths, f"r-{number}", number) for number in (1, 2, 3)]
    made = with_baseline(runs[1], told, digest)
    listed(paths, runs[0].pusher[1], runs[2].pusher[1], *made)
    assert broken(paths, 2, made) == [what]


def test_the_first_version_of_a_new_serving_volume_was_compared_with_none(paths: RunPaths) -> None:
    old, new = [PushedRun(paths, f"old-{n}", n) for n in (1, 2)], PushedRun(paths, "new", 1)
    made = with_baseline(new, "none", "0")
    listed(paths, *(run.pusher[1] for run in old), *made)
    assert broken(paths, 1, made) == []


@pytest.fixture
def shared(paths: RunPaths) -> None:
    """A version 1 in the serving directory that a run of another root pushed there."""
    other = PushedRun(RunPaths(paths.root / "other"), "elsewhere", 1)
    folder = other.artifact("Classifier", "model")
    (folder / SAVED_MODEL).write_text("model")
    entry = measure(other.paths.root, other.paths.relative(folder), type_name="Model", properties={})
    made = dataclasses.replace(other.model[1], outputs={"model": (entry,)})
    hash_ = records.record_hash(made)
    statement = build_statement(entry.files, {other.data[0]: other.data[1], hash_: made}, [hash_])
    shutil.copytree(folder, paths.serving / "1")
    (paths.serving / "1" / PROVENANCE).parent.mkdir()
    (paths.serving / "1" / PROVENANCE).write_bytes(statement_bytes(statement))


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("told", ["version 1", "none"])
def test_what_another_root_pushed_to_the_same_directory_cannot_be_told_and_its_run_is_named(
    paths: RunPaths, told: str
) -> None:
    made = with_baseline(PushedRun(paths, "mine", 2), told, tree_digest(paths.serving / "1"))
    listed(paths, *made)
    [found] = about_baseline(paths, 2, made)
    assert (found.what, found.unknown) == (f"was compared with {told}", True)
    assert "run elsewhere, copied here as well" in str(found.wanted)


@pytest.mark.usefixtures("shared")
def test_other_bytes_than_another_root_pushed_are_told_as_well(paths: RunPaths) -> None:
    made = with_baseline(PushedRun(paths, "mine", 2), "version 1", "0")
    listed(paths, *made)
    assert broken(paths, 2, made) == ["was compared with version 1", "was compared with other bytes than version 1"]


@pytest.mark.usefixtures("shared")
def test_a_local_root_was_compared_with_its_own_versions_alone(paths: RunPaths) -> None:
    run = PushedRun(paths, "mine", 2)
    run.model = (run.model[0], dataclasses.replace(run.model[1], extra={}))
    made = with_baseline(run, "version 1", tree_digest(paths.serving / "1"))
    listed(paths, *made)
    assert broken(paths, 2, made) == ["was compared with no version that was pushed before"]


def test_a_push_is_noted_once_whoever_comes_across_it(paths: RunPaths) -> None:
    run, ledger = PushedRun(paths, "run", 1), Ledger.open(paths.ledger)
    for record in (run.pusher[1], run.model[1], run.pusher[1]):
        note_push(record, ledger)
    again = dataclasses.replace(run.pusher[1], run_id="another run")
    note_push(again, Ledger.open(paths.ledger))
    assert [push.run_id for push in read_ledger(paths.ledger).pushes(1)] == ["run", "another run"]


def found_about(paths: RunPaths, run: PushedRun, heads: tuple[str, ...]) -> list[tuple[str, str]]:
    digest = digest_of(run)
    served = types.SimpleNamespace(name="serving/1", sha256=digest, found_sha256=digest, heads=heads, removed=None)
    evidence = Evidence(paths)
    pushes = evidence.chain.pushes(1)
    push = ledger_check.push_behind(evidence, served, pushes)  # type: ignore[arg-type]  # what is read of it
    return [
        (found.level, found.what)
        for found in ledger_check.check_push(evidence, 1, served, pushes, push)  # type: ignore[arg-type]
    ]


def two_pushes(paths: RunPaths) -> list[PushedRun]:
    """Two runs whose models differ, each of which pushed version 1."""
    runs = [PushedRun(paths, "old", 1)]
    other = PushedRun(paths, "new", 2)
    made = dataclasses.replace(
        other.pusher[1],
        outputs={
            channel: tuple(dataclasses.replace(e, properties={**e.properties, "pushed_version": "1"}) for e in entries)
            for channel, entries in other.pusher[1].outputs.items()
        },
    )
    other.pusher = (records.record_hash(made), made)
    return [*runs, other]


@pytest.mark.parametrize("served", [0, 1])
def test_a_number_that_pods_used_for_other_bytes_is_one_warning_whichever_is_served(
    paths: RunPaths, served: int
) -> None:
    runs = two_pushes(paths)
    listed(paths, *(run.pusher[1] for run in runs))
    what = "version 1 was pushed twice with different bytes: to another serving volume, or a number was used again"
    assert found_about(paths, runs[served], runs[served].pusher[1].input_records) == [("WARN", what)]


def test_a_number_that_a_local_root_used_for_other_bytes_is_a_fault(paths: RunPaths) -> None:
    runs = two_pushes(paths)
    listed(paths, *(dataclasses.replace(run.pusher[1], extra={}) for run in runs))
    found = found_about(paths, runs[0], runs[0].pusher[1].input_records)
    assert found == [("FAIL", "version 1 was pushed twice with different bytes")]
