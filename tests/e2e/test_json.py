"""Every command's --json against its committed schema."""

import json

import pytest
from command_line import PROJECT, mnist_tfx
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

pytestmark = pytest.mark.e2e

FOLDER = PROJECT / "pipeline" / "cli" / "json_schemas"
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
REGISTRY = Registry().with_resources((s["$id"], Resource.from_contents(s)) for s in SCHEMAS.values())


def _validate(answer, name):
    errors = [
        error.message for error in Draft202012Validator(SCHEMAS[name], registry=REGISTRY).iter_errors(answer.json)
    ]
    assert errors == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_committed_schema_is_a_schema(name):
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["runs", "list"], "runs_list"),
        (["runs", "show"], "runs_show"),
        (["serving", "list"], "serving_list"),
        (["lineage", "show"], "lineage_show"),
        (["doctor", "--no-devices"], "doctor"),
    ],
)
def test_a_commands_answer_fits_its_schema(first_run, arguments, name):
    _validate(mnist_tfx(*arguments, "--root", first_run[0], "--json"), name)


def test_the_answers_of_run_fit_its_schema_in_every_outcome(first_run, digits_folder, tmp_path):
    _validate(first_run[1], "run")
    (tmp_path / "empty").mkdir()
    _validate(mnist_tfx("run", "--data", tmp_path / "nothing", "--root", tmp_path / "r", "--json"), "error")
    _validate(mnist_tfx("run", "--data", tmp_path / "empty", "--root", tmp_path / "r", "--json"), "run")
    _validate(mnist_tfx("run", "--data", digits_folder, "--root", first_run[0], "--dry-run", "--json"), "dry_run")


def test_an_error_fits_its_schema(tmp_path):
    _validate(mnist_tfx("serving", "list", "--rot", tmp_path, "--json"), "error")


def test_the_answers_of_the_schema_commands_fit_theirs(digits_folder, tmp_path):
    drafts, mine = tmp_path / "drafts", tmp_path / "mine"
    proposed = mnist_tfx("schema", "propose", "--data", digits_folder, "--pixel-max", 16, "--to", drafts, "--json")
    _validate(proposed, "schema_propose")
    draft = proposed.json["draft"]
    _validate(mnist_tfx("schema", "diff", draft, "--json"), "schema_diff")
    approved = mnist_tfx("schema", "approve", draft, "--schema", mine, "--json")
    _validate(approved, "schema_approve")
    again = mnist_tfx("schema", "diff", draft, "--schema", mine, "--json")
    assert again.json["changes"] == []


def test_the_answer_of_data_fetch_fits_its_schema(tmp_path):
    _validate(mnist_tfx("data", "fetch", "digits", "--to", tmp_path / "d", "--form", "csv", "--json"), "data_fetch")
