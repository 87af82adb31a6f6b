"""`mnist-tfx report` on a real root, and the reports that runs leave by themselves."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from command_line import mnist_tfx

from components.errors import BadInput
from pipeline.cli.report import report
from pipeline.provenance.ledger_writer import Ledger
from pipeline.report import write
from pipeline.root.paths import RunPaths


def test_help_has_an_example():
    assert "Example:" in CliRunner().invoke(report, ["--help"]).output


def test_a_run_and_a_comparison_at_once_are_a_usage_error():
    answer = CliRunner().invoke(report, ["20260101", "--compare", "a", "b"])
    assert isinstance(answer.exception, BadInput)
    assert "--compare: names both runs itself: got 20260101 as well" in str(answer.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["20991231"], "no such run"),
        ([], "no pipeline has run here"),
        (["--compare", "a", "b"], "no pipeline has run here"),
    ],
)
def test_what_is_not_there_is_one_line(request, tmp_path, arguments, said):
    if said == "no such run":
        request.applymarker(pytest.mark.e2e)
        root = request.getfixturevalue("first_run")[0]
    else:
        root = tmp_path
    answer = mnist_tfx("report", *arguments, "--root", root, "--json")
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert answer.status == "usage"


def test_both_unknown_runs_are_said_at_once(tmp_path):
    (tmp_path / "records").mkdir()
    Ledger.open(RunPaths(tmp_path).ledger).intent(node="ExampleGen", run_id="20260101T120000.000001Z")
    answer = mnist_tfx("report", "--compare", "2027", "2028", "--root", tmp_path, "-o", tmp_path / "no" / "page.html")
    assert answer.code == 2
    assert [line.split(":")[0].strip() for line in answer.err.splitlines()[1:]] == ["--output", "2027", "2028"]


@pytest.mark.e2e
def test_a_first_run_leaves_its_report_and_what_its_models_answered(first_run):
    root, answer = first_run
    assert answer.json["report"] == str(root / "reports" / f"{answer.json['run_id']}.html")
    page = Path(answer.json["report"]).read_text()
    assert "Served as version 1" in page
    assert "cannot be made" not in page
    assert "could not be asked" not in page
    assert len(list((root / "reports" / ".answers").iterdir())) == 1


@pytest.mark.e2e
def test_a_report_is_rendered_again_without_tensorflow(first_run, tmp_path):
    answer = mnist_tfx("report", "--root", first_run[0], "-o", tmp_path / "r.html", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["bytes"] == (tmp_path / "r.html").stat().st_size < 4_000_000
    assert answer.json["runs"] == [first_run[1].json["run_id"]]


@pytest.mark.e2e
def test_a_refused_run_has_a_report_that_says_why_and_can_be_compared(root, digits_folder, first_run):
    strict = ("--set", "evaluation.accuracy=0.9999")
    refused = mnist_tfx("run", "--data", digits_folder, "--root", root, *strict, "--json")
    assert refused.code == 3, refused.err
    page = (root / "reports" / f"{refused.json['run_id']}.html").read_text()
    assert "Refused by Evaluator" in page
    both = (first_run[1].json["run_id"], refused.json["run_id"])
    compared = mnist_tfx("report", "--compare", *both, "--root", root, "--json")
    assert compared.code == 0, compared.err
    text = Path(compared.json["path"]).read_text()
    assert "1 setting apart" in text
    assert "evaluation.accuracy" in text


@pytest.mark.e2e
def test_reports_that_cannot_be_written_are_found_before_any_work(root, digits_folder):
    before = (root / "ledger.jsonl").read_bytes()
    (root / "reports").rename(root / "kept")
    (root / "reports").write_text("in the way")
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert answer.code == 4
    assert "/reports: cannot be written: wanted a folder, got a regular file" in answer.error
    assert (root / "ledger.jsonl").read_bytes() == before


@pytest.mark.e2e
def test_a_disk_that_is_lost_under_reports_during_the_run_does_not_change_the_outcome(root):
    [run_id] = [path.stem for path in (root / "reports").glob("*Z.html")][:1]
    (root / "reports").rename(root / "kept")
    (root / "reports").write_text("in the way")
    said = []
    assert write.after_run(root, run_id, said.append, lambda _: b"") is None
    assert any("no report: " in line for line in said)
