"""Places with awkward names: each is one place for all that runs there, or is refused in one line."""

import json
import shutil

import pytest
from command_line import PROJECT, QUICK, mnist_tfx

from pipeline.provenance import record_store
from pipeline.provenance.ledger import read_ledger

pytestmark = pytest.mark.e2e

HERE = {"PYTHONPATH": str(PROJECT)}
AWKWARD = "a b#c%d{SPAN},e@2;f'g\"h&i=j~\u00e9:x"


def test_a_root_named_through_a_link_and_dots_is_one_folder_whatever_it_is_called(digits_folder, tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    data, root = tmp_path / "real" / "d [x]*?{Y}\\", tmp_path / "real" / AWKWARD
    shutil.copytree(digits_folder, data)  # a pattern in three languages
    given = ["--data", f"link/../{data.name}", "--root", f"link/../{AWKWARD}/"]

    answer = mnist_tfx("run", *given, *QUICK, "--json", cwd=tmp_path, env=HERE)

    assert answer.code == 0, answer.err
    assert json.loads((root / "root.json").read_text())["path"] == str(root)
    assert answer.json["serving_path"] == str(root / "serving" / "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]
    assert sorted(path.name for path in (tmp_path / "real").iterdir()) == sorted([AWKWARD, "deep", data.name])
    assert len(record_store.scan(root / "records")) == len(read_ledger(root / "ledger.jsonl").order) + 1
    audited = mnist_tfx("lineage", "audit", "--root", f"link/../{AWKWARD}", "--json", cwd=tmp_path, env=HERE)
    verdicts = audited.json["audits"][0]["verdicts"]
    assert (verdicts["INTEGRITY"], verdicts["COMPLETENESS"]) == ("PASS", "PASS")


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?", "a\\"])
@pytest.mark.parametrize("command", ["run", "reproduce", "predict"])
def test_a_root_whose_path_is_a_pattern_is_read_but_not_run_in(root, tmp_path, name, command):
    place = tmp_path / name / "root"
    shutil.copytree(root, place)
    given = {
        "run": ["run", "--root", place],
        "reproduce": ["lineage", "reproduce", "1", "--root", root, "--to", place / "again"],
        "predict": ["predict", PROJECT / "README.md", "--root", place],
    }[command]
    answer = mnist_tfx(*given)
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert f"would read a character of this path as a pattern: wanted a path without any of {name[1]}" in answer.err
    read = ["lineage", "show"] if command == "run" else ["lineage", "impact", "--index", "0"]
    assert mnist_tfx(*read, "--root", place).code == 0


@pytest.mark.parametrize("inner", ["artifacts/x", "serving/x", "inputs"])
def test_a_root_among_the_files_of_another_one_is_refused(root, inner):
    answer = mnist_tfx("run", "--root", root / inner)
    assert answer.code == 2
    assert "lies among the files of another pipeline" in answer.err
    assert not (root / inner / "root.json").exists()


def test_a_root_of_another_recipe_is_refused_before_anything_is_imported(root, tmp_path):
    recipe = tmp_path / "other.yaml"
    recipe.write_text(
        (PROJECT / "pipeline" / "config" / "recipes" / "digits.yaml").read_text().replace("name: digits", "name: other")
    )
    answer = mnist_tfx("run", "--recipe", recipe, "--root", root)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "another pipeline lives in this root" in answer.err


QUIET = [
    "runs list",
    "runs show",
    "serving list",
    "serving prune --keep 5",
    "lineage show",
    "lineage audit newest",
    "lineage head",
    "lineage trace",
    "lineage impact --index 0",
    "lineage diff 1 1",
    "lineage orphans",
    "lineage repair",
    "lineage gc --dry-run",
    "lineage export --format slsa",
    "lineage export --format html",
    "report",
    "run --dry-run",
    "doctor --no-devices",
]


@pytest.mark.parametrize("command", QUIET)
def test_no_library_speaks_on_stderr(root, digits_folder, command):
    data = ["--data", digits_folder] if command.startswith("run ") else []
    answer = mnist_tfx(*command.split(), *data, "--root", root)
    assert answer.err == ""
    assert answer.out


def test_no_library_speaks_on_stderr_of_a_compiled_file(tmp_path):
    file = tmp_path / "p.yaml"
    compile_it = [
        "compile",
        "--target",
        "oss",
        "--image",
        "registry.example/mnist-tfx:1",
        "--pipeline-root",
        "minio://b/p",
        "-o",
        file,
    ]
    for arguments in (compile_it, ["lint", file]):
        answer = mnist_tfx("kubeflow", *arguments)
        assert (answer.code, answer.err) == (0, "")
