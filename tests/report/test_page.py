"""The page has every part in order, says why one is empty, escapes everything, and is small."""

import dataclasses
import re
import shutil

import pytest

from components.errors import EnvironmentProblem
from pipeline.provenance.records import DataSource
from pipeline.report import run_data as gathering
from pipeline.report import write
from pipeline.report.page import chapters, drafted, page
from pipeline.report.sections import standing

HOSTILE = "<script>window.ran = 1</script><img src=http://example.com/x onerror='window.ran = 1'>\"'&amp;{{ 7 * 7 }}.gz"
ORDER = [
    "verdict",
    "standing",
    "flow",
    "data",
    "network",
    "training",
    "reconstructions",
    "latent",
    "classification",
    "weights",
    "activations",
    "inputs",
    "environment",
]


def test_the_parts_stand_in_order_and_all_of_them_are_made(evidence, answers):
    made = chapters(evidence, answers)
    assert [chapter.id for chapter in made] == ORDER
    assert {chapter.id: chapter.absent for chapter in made if chapter.absent} == {
        "network": "the model has no SavedModel",
        "weights": "the training kept no weights along the way",
    }


def test_every_part_has_its_heading(evidence, answers):
    text = page(evidence, answers)
    assert re.findall(r'<section id="(\w+)">', text) == ORDER


def test_a_refused_run_shows_what_it_has_and_says_what_it_has_not(refused):
    text = page(refused, {})
    assert "Refused by SchemaGate" in text
    assert "upside down?" in text
    assert text.count("Left out:") == 7
    assert re.findall(r'<section id="(\w+)">', text)[:2] == ["data", "verdict"]
    assert "cannot be made" not in text


def test_parts_for_experts_are_closed_and_the_others_open(evidence, answers):
    text = page(evidence, answers)
    folded = re.findall(r'<section id="(\w+)">\s*<details>', text)
    assert folded == ["latent", "activations", "inputs", "environment"]


def test_a_damaged_artifact_takes_one_part_away_and_not_the_page(evidence, answers):
    (evidence.artifact("Classifier", "model_run") / "training.json").write_text("{")
    text = page(evidence, answers)
    assert "training.json of Classifier: not readable as JSON" in text
    assert "Confusion matrix" in text


def test_a_recipe_without_an_autoencoder_leaves_out_what_it_cannot_have(evidence, answers):
    bare = dataclasses.replace(
        evidence,
        run=dataclasses.replace(evidence.run, settings={**evidence.run.settings, "autoencoder": None}),
        executions={node: record for node, record in evidence.executions.items() if node != "Autoencoder"},
    )
    made = {chapter.id: chapter for chapter in chapters(bare, answers)}
    assert {id_ for id_, chapter in made.items() if chapter.absent == "this recipe has no autoencoder"} == {
        "reconstructions",
        "latent",
    }
    assert [headline.name for headline in made["verdict"].shown.headlines] == ["accuracy", "cross entropy"]


def test_settings_of_another_release_are_named(evidence):
    run = dataclasses.replace(evidence.run, settings={**evidence.run.settings, "quantum": {"qubits": 3}})
    with pytest.raises(EnvironmentProblem, match="settings of another release: got unknown key quantum"):
        page(dataclasses.replace(evidence, run=run), {})


def test_lost_artifacts_are_named(evidence):
    shutil.rmtree(evidence.paths.artifacts / "ExampleGen")
    found = {chapter.id: chapter.absent for chapter in chapters(evidence, {})}
    assert found["data"] == "the artifact examples of ExampleGen is not there any more"


def test_every_value_is_escaped(evidence, answers):
    nodes = tuple(dataclasses.replace(node, why=HOSTILE) for node in evidence.run.nodes)
    run = dataclasses.replace(
        evidence.run,
        nodes=nodes,
        error={"kind": "X", "what": HOSTILE, "where": HOSTILE, "hint": HOSTILE},
        baseline=HOSTILE,
        sources=(DataSource(name=HOSTILE, payload_digest=HOSTILE),),
        settings={**evidence.run.settings, HOSTILE: {HOSTILE: HOSTILE}},
    )
    bad = dataclasses.replace(evidence, run=run)
    bad.__dict__["settings"] = evidence.settings  # what pydantic would refuse; the page shows the record's own
    text = page(bad, answers, unanswered=HOSTILE)
    assert "<script" not in text
    assert "<img src=http" not in text
    assert "&lt;script&gt;window.ran" in text
    assert "{{ 7 * 7 }}" in text


def test_the_page_names_no_other_place(evidence, answers):
    text = page(evidence, answers)
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:src|href|url|action)\s*[=(]\s*[\"']?(?!data:|#)[\w/.:]+", text)


def test_every_picture_has_words(evidence, answers):
    text = page(evidence, answers)
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', text))
    assert text.count("<img ") == len(re.findall(r"<img [^>]*alt=", text))


def test_the_report_is_written_whole_and_under_its_limit(evidence, answers, monkeypatch):
    monkeypatch.setattr(gathering, "gather", lambda *_: evidence)
    monkeypatch.setattr(write, "answered", lambda *_: answers)
    report = write.write(evidence.paths.root)
    assert report.path == evidence.paths.root / "reports" / "run-1.html"
    assert report.bytes == report.path.stat().st_size < write.LIMIT
    assert not [file for file in report.path.parent.iterdir() if file.name.endswith(".part")]


def test_models_that_do_not_answer_leave_the_rest(evidence, monkeypatch):
    def broken(*_):
        raise EnvironmentProblem("its process ended without an answer", where="report")

    monkeypatch.setattr(gathering, "gather", lambda *_: evidence)
    monkeypatch.setattr(write, "answered", broken)
    report = write.write(evidence.paths.root)
    assert "without an answer" in report.unanswered
    assert "The models could not be asked" in report.path.read_text()


@pytest.mark.parametrize("error", [EnvironmentProblem("disk full", where="x"), RuntimeError("what?"), MemoryError()])
def test_a_report_that_fails_after_a_run_is_one_line(monkeypatch, tmp_path, error):
    def failing(*_args, **_options):
        raise error

    said = []
    monkeypatch.setattr(write, "write", failing)
    write.after_run(tmp_path, "run-1", said.append)
    assert len(said) == 1
    assert said[0].startswith("warning: no report: ")
    assert "\n" not in said[0]


def test_a_report_says_what_is_next_and_links_to_the_lineage_beside_it(evidence, answers):
    found = standing.standing(evidence, "run-1.lineage.html")
    assert [step.why for step in found.steps] == [
        "try it",
        "serve it",
        "where it came from",
        "check it again",
        "for an auditor",
    ]
    assert 'href="run-1.lineage.html"' in page(evidence, answers, draft=drafted(evidence, "run-1.lineage.html"))


def test_what_stopped_a_run_is_followed_by_the_commands_that_its_error_offers(refused):
    error = {**refused.run.error, "commands": ["mnist-tfx schema propose ... # a schema of its own"]}
    stopped = dataclasses.replace(refused, run=dataclasses.replace(refused.run, error=error))
    [step] = standing.standing(stopped).steps
    assert (step.why, step.command) == ("a schema of its own", "mnist-tfx schema propose ...")
