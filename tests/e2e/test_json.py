"""Every command's --json against the committed schema; `test_answers` checks the schema itself."""

import pytest
from command_line import mnist_tfx

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    "arguments",
    [["runs", "list"], ["runs", "show"], ["serving", "list"], ["lineage", "show"], ["doctor", "--no-devices"]],
    ids=" ".join,
)
def test_a_commands_answer_fits_the_schema(first_run, arguments):
    answer = mnist_tfx(*arguments, "--root", first_run[0], "--json")
    named = [one for one in arguments if not one.startswith("-")]
    assert (answer.status, answer.envelope["command"]) == ("ok", " ".join(named))


def test_the_answers_of_run_fit_the_schema_in_every_outcome(first_run, digits_folder, tmp_path):
    assert first_run[1].status == "ok"
    (tmp_path / "empty").mkdir()
    for data in ("nothing", "empty"):
        assert mnist_tfx("run", "--data", tmp_path / data, "--root", tmp_path / "r", "--json").status == "usage"
    planned = mnist_tfx("run", "--data", digits_folder, "--root", first_run[0], "--dry-run", "--json")
    assert {node["state"] for node in planned.json["nodes"]} == {"cached"}


def test_several_problems_are_all_in_the_answer(tmp_path):
    answer = mnist_tfx("serving", "list", "--rot", tmp_path, "--root", tmp_path / "none", "--json")
    assert [problem["where"] for problem in answer.envelope["error"]["problems"]] == [None, "--root"]


def test_the_answers_of_the_schema_commands_fit_theirs(digits_folder, tmp_path):
    drafts, mine = tmp_path / "drafts", tmp_path / "mine"
    proposed = mnist_tfx("schema", "propose", "--data", digits_folder, "--pixel-max", 16, "--to", drafts, "--json")
    draft = proposed.json["draft"]
    assert mnist_tfx("schema", "diff", draft, "--json").status == "ok"
    assert mnist_tfx("schema", "approve", draft, "--schema", mine, "--json").status == "ok"
    again = mnist_tfx("schema", "diff", draft, "--schema", mine, "--json")
    assert again.json["changes"] == []


def test_the_answer_of_data_fetch_fits_its_schema(tmp_path):
    answer = mnist_tfx("data", "fetch", "digits", "--to", tmp_path / "d", "--form", "csv", "--json")
    assert [one["path"] for one in answer.json["files"]] == [str(tmp_path / "d" / "digits.csv")]
