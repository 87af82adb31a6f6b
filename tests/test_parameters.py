"""What a user names exists and is what is used: every parameter of every command is checked before any work."""

import itertools
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROJECT, mnist_tfx
from every_parameter import commands

from components.errors import BadInput, printable
from pipeline.cli.main import cli


def _every_parameter(folder, *arguments):
    program = [sys.executable, str(PROJECT / "tests" / "every_parameter.py"), str(folder), *arguments]
    done = subprocess.run(
        program, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": PROJECT}
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What came of every wrong value of every parameter, by command and parameter."""
    return _every_parameter(tmp_path_factory.mktemp("wrong"))


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """What came of every option that was given twice."""
    return _every_parameter(tmp_path_factory.mktemp("twice"), "twice")


def _failing(answers, holds):
    return [{**answer, "value": answer.get("value", "")[:60]} for answer in answers if not holds(answer)]


def test_every_parameter_of_every_command_is_of_a_kind_that_checks(answers):
    assert [answer for answer in answers if answer.get("unchecked")] == []
    assert {answer["command"] for answer in answers} >= {" ".join(path) for path, _ in commands(cli)} - {
        "doctor",
        "recipe list",
    }


def test_every_wrong_value_of_every_parameter_ends_with_exit_code_2(answers):
    assert _failing(answers, lambda answer: answer["code"] == 2) == []


def test_every_wrong_value_is_said_with_the_parameters_name(answers):
    assert _failing(answers, lambda answer: f"{answer['parameter']}: " in answer["err"]) == []


def test_every_wrong_value_is_repeated_unless_it_may_be_secret(answers):
    def repeated(answer):
        last = answer["value"].rpartition("=")[2]
        begins = printable(last.rpartition("/")[0] or last or answer["value"])[:12].strip()
        return begins in answer["err"] or answer["parameter"] in ("--metadata", "--host")

    assert _failing(answers, repeated) == []


def test_no_message_forges_a_line_or_fills_the_screen(answers):
    def readable(answer):
        lines = answer["err"].splitlines()
        several = " problems, and nothing was done" in lines[0]
        return (len(lines) == 1) != several and max(map(len, lines)) < 1500 and all(map(str.isprintable, lines))

    assert _failing(answers, readable) == []


def test_nothing_is_written_and_nothing_heavy_is_imported_for_a_wrong_value(answers):
    assert _failing(answers, lambda answer: not answer["left"] and not answer["out"]) == []
    assert sum(answer["seconds"] for answer in answers) < 0.05 * len(answers)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--schema", "nosuch"],
        ["run", "--recipe", "nist"],
        ["run", "--data", "nosuch", "--dry-run"],
        ["lineage", "audit", "--root", "nosuch"],
        ["lineage", "reproduce", "1", "--root", "nosuch"],
        ["predict", "nosuch.png"],
        ["report", "--root", "nosuch"],
        ["kubeflow", "compile", "--target", "ossa"],
        ["serving", "prune", "--keep", "0"],
    ],
    ids="-".join,
)
def test_a_process_answers_before_anything_heavy_could_be_imported(arguments, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = mnist_tfx(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert answer.code == 2
    # Of the processor, so that a busy machine does not matter: importing TensorFlow or TFX alone takes 3 s and more.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.5
    assert list(tmp_path.iterdir()) == []


def test_every_option_of_one_value_is_refused_when_it_is_given_twice(twice):
    once = [answer for answer in twice if not answer["repeatable"]]
    assert {"--root", "--profile", "--seed", "--compare", "--resume"} <= {answer["parameter"] for answer in once}
    assert _failing(once, lambda answer: answer["code"] == 2) == []
    assert (
        _failing(once, lambda answer: f"{answer['parameter']}: given more than once: wanted one" in answer["err"]) == []
    )


def test_an_option_that_may_be_repeated_takes_each_name_once(twice):
    repeated = [answer for answer in twice if answer["repeatable"]]
    assert {"--set", "--data", "--force", "--param"} <= {answer["parameter"] for answer in repeated}
    of_names = ("--set", "--param", "--beam-option", "--bucket", "--volume", "--label")

    def right(answer):
        said = f"{answer['parameter']} a: given more than once: wanted one value, got a=1, a=2" in answer["err"]
        return said == (answer["parameter"] in of_names and "a=2" in answer["arguments"])

    assert _failing(repeated, right) == []


def test_options_given_twice_are_all_said_with_their_values(tmp_path):
    given = ["--profile", "a", "--profile=b", "--rebuild", "--set", "seed=1", "--resume", "--set", "seed=2", "-v", "-v"]
    answer = mnist_tfx("run", *given, "--spans", "0", cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert answer.code == 2
    hint = "`mnist-tfx run --help` says what may be repeated"
    assert answer.err.splitlines()[1:] == [
        f"  --profile: given more than once: wanted one value, got a, b: {hint}",
        f"  --resume: given more than once: wanted one value, got --rebuild, --resume: {hint}",
        "  --set seed: given more than once: wanted one value, got seed=1, seed=2",
        "  --spans: out of bounds: wanted a whole number from 1 to 1000000, got 0",
        "  digits.yaml: unknown profile: wanted none, got b",
    ]


def test_a_value_that_is_wrong_is_not_said_to_be_missing_too():
    given = ["--beam", "flink", "--beam-option", "flink_master=http://a:1", "--beam-option", "flink_master=http://b:1"]
    with pytest.raises(BadInput) as refusal:
        cli(["run", "--dry-run", *given], standalone_mode=False)
    assert str(refusal.value).startswith("--beam-option flink_master: given more than once: wanted one value")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--profile", "nope"], []),
        (["--set", "nokey=1"], []),
        (["--recipe", "nist"], ["google.protobuf", "numpy"]),  # whether the schema was approved is looked at as well
        (["--seed", "x"], ["google.protobuf", "numpy"]),
    ],
)
def test_a_run_that_is_refused_imports_nothing_of_what_a_run_works_with(arguments, needed, tmp_path):
    script = (
        "import sys\nfrom pipeline.cli.main import main\nsys.argv = ['mnist-tfx', 'run', *sys.argv[1:]]\n"
        "slow = {'numpy', 'google.protobuf', 'asyncio', 'packaging', 'ssl', 'pipeline.runner.local'}\n"
        "try: main()\nfinally: print(sorted(slow & set(sys.modules)))\n"
    )
    program = [sys.executable, "-c", script, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout) == (2, f"{needed}\n")


def test_run_with_a_schema_folder_that_is_not_there_is_refused(tmp_path):
    answer = mnist_tfx("run", "--schema", "nosuch", cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert (answer.code, answer.err) == (2, "mnist-tfx: --schema: no such folder: got nosuch\n")


def test_run_with_a_schema_folder_without_this_geometry_is_refused_although_one_is_built_in(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "9x9-max16-labels10.pbtxt").touch()
    answer = mnist_tfx("run", "--schema", "mine", cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert answer.code == 2
    assert "wanted 8x8-max16-labels10.pbtxt" in answer.err
    assert "got 9x9-max16-labels10.pbtxt: one is built in: leave --schema out" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["run", "--data", "nosuch", "--data", "alsonot"],
            ["--data: no such file or folder: got nosuch", "--data: no such file or folder: got alsonot"],
        ),
        (
            ["run", "--force", "Pushr", "--force", "Clasifier"],
            ["got Pushr: did you mean Pusher?", "got Clasifier: did you mean Classifier?"],
        ),
        (["run", "--set", "x", "--set", "y"], ["--set: not understood: wanted KEY=VALUE, got y"]),
        (["predict", "a.png", "b.png"], ["FILE|DIR: no such file or folder: got b.png"]),
    ],
)
def test_every_one_of_several_values_of_an_option_is_said_at_once(tmp_path, arguments, lines):
    answer = mnist_tfx(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert answer.code == 2
    assert " problems, and nothing was done" in answer.err
    assert all(line in answer.err for line in lines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "--form", "csv"], "--form: no such files: wanted idx, got csv for the embedded digits"),
        (["run", "--beam", "flnk"], "got flnk: did you mean flink?"),
        (["run", "--beam", "flink", "--beam-option", "flnk_master=x"], "got flnk_master: did you mean flink_master?"),
        (["run", "--export", "keras,,h5"], "wanted keras, h5, frozen, got ''"),
        (["lineage", "audit", "nwest"], "got nwest: did you mean newest?"),
        (["lineage", "impact", "05a99ea722"], "not a digest: wanted all 64 hex digits, or a file that is there"),
    ],
)
def test_what_is_not_there_or_not_used_is_refused_with_what_was_meant(tmp_path, arguments, line):
    answer = mnist_tfx(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert (answer.code, line in answer.err) == (2, True), answer.err


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["run", "--root", "/proc/x"], "/proc"),
        (["run", "--root", "/proc/self", "--dry-run"], "/proc"),
        (["run", "--metadata", "sqlite:////proc/x"], "/proc"),
        (["data", "fetch", "digits", "--to", "/sys/x/y"], "/sys"),
        (["lineage", "keygen", "--to", "/sys/x"], "/sys"),
    ],
)
def test_a_place_that_the_kernel_makes_up_is_refused_as_such(tmp_path, arguments, place):
    if not Path(place).is_mount():
        pytest.skip(f"{place} is not mounted here")
    answer = mnist_tfx(*arguments, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    option, given = next((one, two) for one, two in itertools.pairwise(arguments) if one.startswith("--"))
    what = f"nothing can be kept in {place}, which the kernel makes up"
    got = given.removeprefix("sqlite:///")
    hint = f"choose another {option}"
    assert answer.err == f"mnist-tfx: {option}: {what}: wanted a place on a disk, got {got}: {hint}\n"
    assert answer.code == 2


def test_all_problems_are_said_at_once_each_with_a_suggestion(tmp_path):
    for name in ("schemas", "images", "file"):
        (tmp_path / name).mkdir() if name != "file" else (tmp_path / name).touch()
    wrong = {
        "--schema": ("schema", "did you mean schemas?"),
        "--data": ("imges", "did you mean images?"),
        "--recipe": ("digit", "did you mean digits?"),
        "--force": ("Classifer", "did you mean Classifier?"),
        "--export": ("kears", "did you mean keras?"),
        "--strategy": ("mirored", "did you mean mirrored?"),
        "--seed": ("4294967296", "from 0 to 4294967295"),
        "--root": ("file", "wanted a folder, got a regular file"),
    }
    given = [text for option, (value, _) in wrong.items() for text in (option, value)]
    answer = mnist_tfx("run", *given, "--wokers", "2", cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    first, *lines = answer.err.splitlines()
    assert first == "mnist-tfx: 9 problems, and nothing was done"
    assert "  No such option '--wokers'; did you mean --workers?" in lines
    for option, (_, suggestion) in wrong.items():
        assert suggestion in next(line for line in lines if line.startswith(f"  {option}: ")), option


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lineag"], "No such command 'lineag'; did you mean lineage?"),
        (["lineage", "audti"], "No such command 'audti'; did you mean audit?"),
        (["serving", "purne"], "No such command 'purne'; did you mean prune?"),
        (["kubeflow", "zzz"], "No such command 'zzz'; `mnist-tfx kubeflow --help` lists them"),
        (["doctor", "--jsno"], "No such option '--jsno'; did you mean --json?"),
    ],
)
def test_an_unknown_command_or_option_is_answered_with_the_nearest_one(arguments, message):
    answer = mnist_tfx(*arguments)
    assert (answer.code, answer.err) == (2, f"mnist-tfx: {message}\n")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("runs/mnits", "--root: no such folder: got runs/mnits: did you mean runs/mnist?"),
        ("run/mnist", "--root: no such folder: got run/mnist: did you mean runs/mnist?"),
        ("runs", "--root: no pipeline has run here: got runs: did you mean runs/mnist?"),
        ("empty", "--root: no pipeline has run here: got empty: `mnist-tfx run --root` makes one"),
    ],
)
@pytest.mark.parametrize("command", [["runs", "list"], ["lineage", "gc"], ["serving", "list"]])
def test_a_root_that_is_none_is_answered_with_the_nearest_one(tmp_path, given, message, command):
    (tmp_path / "runs" / "mnist" / "records").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    answer = mnist_tfx(*command, "--root", given, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert (answer.code, answer.err) == (2, f"mnist-tfx: {message}\n")


@pytest.mark.parametrize(
    "option",
    [
        ["--metadata", "mysql://me:sesame@host:x/db"],
        ["--metadata", "ftp://me:sesame@host"],
        ["--metadata", "mysql://me:sesame@host/db", "--metadata", "store.db"],
    ],
)
def test_a_password_in_a_wrong_address_is_never_repeated(option):
    answer = mnist_tfx("run", *option)
    assert answer.code == 2
    assert "sesame" not in answer.err


def test_a_folder_that_is_gone_is_no_place_for_relative_paths(tmp_path):
    gone = tmp_path / "gone"
    script = f"cd {gone}; rmdir {gone}; exec {sys.executable} -m pipeline run --root r"
    gone.mkdir()
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    assert done.returncode == 2, done.stderr
    assert "--root" in done.stderr
    assert not Path(gone).exists()


@pytest.mark.parametrize(
    "given",
    [
        ["--seed", "4294967296"],
        ["--set", "seed=4294967296"],
        ["--set", "evaluation.accuracy=1.5"],
        ["--set", "classifier.layers=[60000,60000]"],
        ["--set", "data.split=tail:99999999999999999999"],
        ["--spans", "0"],
        ["--spans", "2"],
    ],
    ids="=".join,
)
def test_a_seed_a_floor_or_a_size_out_of_range_is_found_before_any_work(given, tmp_path):
    answer = mnist_tfx("run", *given, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert answer.code == 2, answer.err
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
