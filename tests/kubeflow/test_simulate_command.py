"""`mnist-tfx kubeflow simulate` as a process: what it prints, and its exit codes."""

from pathlib import Path
from typing import Any

import pytest
from command_line import Answer, mnist_tfx
from toy_pipelines import Toy, document

from components.digest import sha256_file
from pipeline.kubeflow.document import VERTEX, write


def simulated(tmp_path: Path, compiled: Any, *arguments: object) -> Answer:
    file = tmp_path / "p.yaml"
    write(compiled, file)
    return mnist_tfx("kubeflow", "simulate", file, "--root", tmp_path / "root", *arguments)


def checked(answer: Answer) -> dict[str, Any]:
    return answer.json


def test_the_answer_in_json_names_run_file_and_tasks(tmp_path: Path):
    answer = simulated(tmp_path, document(Make=Toy()), "--json", "--run-id", "run-1")

    fields = answer.json
    assert answer.code == 0
    assert (answer.status, answer.error, fields["run_id"], fields["target"]) == ("ok", None, "run-1", "oss")
    assert fields["file_sha256"] == sha256_file(tmp_path / "p.yaml")
    assert answer.states() == {"Make": "executed"}
    assert fields["audit"] is None


def test_a_job_name_on_vertex_begins_with_the_pipelines(tmp_path: Path):
    fields = simulated(tmp_path, document(VERTEX, Make=Toy()), "--json").json

    assert fields["run_id"].startswith("toys-2")
    assert fields["target"] == "vertex"


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [("bad input", 2, "usage"), ("refused", 3, "refused"), ("environment", 4, "environment"), ("", 4, "environment")],
)
def test_a_failing_pod_is_one_line_and_the_exit_code_of_its_kind(tmp_path: Path, kind: str, code: int, status: str):
    message = f"mnist-tfx: {kind} (exit code {code}): too dark" if kind else ""
    told = f"(pod / 'dev/termination-log').write_text({message!r})"
    script = f"{told}; print('too dark', file=sys.stderr); sys.exit(1)"

    answer = simulated(tmp_path, document(Make=Toy(script=script), Last=Toy(after=("Make",))), "--json")

    assert (answer.code, answer.status) == (code, status)
    assert answer.error == "Make: too dark"
    assert answer.states() == {"Make": "failed", "Last": "skipped"}
    assert answer.err.splitlines()[-1] == "mnist-tfx: Make: too dark"


def test_a_file_that_is_refused_still_gives_json(tmp_path: Path):
    answer = simulated(tmp_path, document(latest_blessed=Toy()), "--json")

    assert (answer.code, answer.status) == (2, "usage")
    assert "latest_blessed: a cluster would not run this as it is: no name for Argo" in answer.error
    assert answer.json is None


def test_a_missing_file_is_one_line(tmp_path: Path):
    answer = mnist_tfx("kubeflow", "simulate", tmp_path / "no.yaml", "--json")

    assert (answer.code, answer.status) == (2, "usage")
    assert len(answer.err.splitlines()) == 1


def test_for_people_it_prints_a_line_per_task_and_where_the_log_is(tmp_path: Path):
    answer = simulated(tmp_path, document(Make=Toy()), "-v", "--run-id", "run-1")

    first, *_, log, last = answer.out.splitlines()
    assert first.split()[:2] == ["Make", "executed"]
    assert log == f"log: {tmp_path}/root/logs/run-1.log"
    assert last.startswith("time ")


@pytest.mark.parametrize("option", ["--bucket", "--volume"])
def test_a_pair_without_a_name_is_refused_with_the_option(tmp_path: Path, option: str):
    answer = simulated(tmp_path, document(Make=Toy()), option, "nothing", "--json")

    assert answer.code == 2
    assert answer.err.startswith(f"mnist-tfx: {option}: not understood: wanted ")
    assert answer.status == "usage"


def test_a_call_without_a_file_is_refused_in_json_as_well():
    answer = mnist_tfx("kubeflow", "simulate", "--json")

    assert answer.code == 2
    assert "FILE" in answer.error


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nothing", "--param: not understood: wanted NAME=VALUE, got nothing"),
        ("flag=1", "--param flag: not of its type: wanted true or false, got 1"),
        ("flga=true", "did you mean flag?"),
    ],
)
def test_a_parameter_is_read_as_submit_reads_it(tmp_path: Path, given: str, message: str):
    parameters = {"flag": {"parameterType": "BOOLEAN", "defaultValue": True}}

    answer = simulated(tmp_path, document(parameters=parameters, Make=Toy()), "--param", given, "--json")

    assert answer.code == 2
    assert message in answer.error


def test_parameters_are_taken_from_the_command_line(tmp_path: Path):
    parameters = {"word": {"parameterType": "STRING"}}
    toy = Toy(
        script="sys.exit(inputs['parameterValues'] != {'word': 'a=b'})",
        given={"word": {"componentInputParameter": "word"}},
    )

    assert simulated(tmp_path, document(parameters=parameters, Make=toy), "--param", "word=a=b").code == 0


def test_a_root_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()

    answer = simulated(tmp_path, document(Make=Toy()), "--root", tmp_path / "file" / "root", "--json")

    assert answer.code == 2
    assert f"--root: {tmp_path}/file is no folder" in answer.error
