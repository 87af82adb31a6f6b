"""Toy pipelines, executed: what reaches a container, what is kept of what it leaves, what happens when it fails."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command_line import PROJECT
from toy_pipelines import OSS_ROOT, Toy, constant, document, run, seen, spy, states, store, told_by

from components.errors import BadInput, EnvironmentProblem, MnistTfxError, Refused
from pipeline.kubeflow import termination
from pipeline.kubeflow.document import VERTEX
from pipeline.kubeflow.simulate.dialect import OpenSource

RUN = "6f1c2f3e-0000-4000-8000-000000000000"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def test_an_output_is_uploaded_below_pipeline_run_task_and_salt_and_read_downstream(root: Path):
    toys = document(
        Make=Toy(script="make('data', 'from Make')", makes=("data",)),
        Read=Toy(script=spy(root, "read('data')"), reads={"data": ("Make", "data")}),
    )

    finished = run(toys, root, run_id=RUN)

    assert states(finished) == {"Make": "executed", "Read": "executed"}
    assert seen(root) == "from Make"
    (kept,) = root.glob(f"toys/{RUN}/Make/*/data/file")
    assert kept.read_text() == "from Make"


def test_an_input_arrives_without_type_under_a_number_with_what_kfp_adds(root: Path):
    metadata = "{'data': {'whole': 3, 'yes': True, 'list': [1], 'struct': {'a': 1}, 'text': 't'}}"
    toys = document(
        Make=Toy(script=f"make('data')\nfinish({metadata})", makes=("data",)),
        Read=Toy(script=spy(root, "inputs['artifacts']['data']"), reads={"data": ("Make", "data")}),
    )

    run(toys, root, run_id=RUN)

    (found,) = seen(root)["artifacts"]
    assert found["name"].isdecimal()
    assert found["type"] == {"instanceSchema": ""}
    assert found["uri"].startswith(f"{OSS_ROOT}/toys/{RUN}/Make/")
    assert found["metadata"] == {
        "display_name": "data",
        "list": {"list": [1]},
        "store_session_info": OpenSource().imported(OSS_ROOT)["store_session_info"],
        "struct": {"struct": {"a": 1}},
        "text": "t",
        "whole": 3,
        "yes": 1,
    }


def test_on_vertex_an_input_arrives_with_type_and_resource_name_and_plain_metadata(root: Path):
    toys = document(
        VERTEX,
        Make=Toy(script="make('data')\nfinish({'data': {'struct': {'a': 1}}})", makes=("data",)),
        Read=Toy(script=spy(root, "inputs['artifacts']['data']"), reads={"data": ("Make", "data")}),
    )

    run(toys, root)

    (found,) = seen(root)["artifacts"]
    assert found["name"].startswith("projects/")
    assert found["type"] == {"instanceSchema": "title: toy.Data\n"}
    assert found["metadata"] == {"struct": {"a": 1}}


def test_where_outputs_go_is_said_as_kfp_says_it(root: Path):
    run(
        document(
            Make=Toy(
                script=spy(root, "outputs") + "make('data')\nfinish(n='1')", makes=("data",), tells={"n": "STRING"}
            )
        ),
        root,
    )

    found = seen(root)
    folder = found["artifacts"]["data"]["artifacts"][0]["uri"].removesuffix("/data")
    assert found["outputFile"] == folder.replace("minio://", "/minio/") + "/output_metadata.json"
    assert found["parameters"] == {"n": {"outputFile": "/tmp/kfp/outputs/n"}}
    assert found["artifacts"]["data"]["artifacts"][0]["type"] == {"instanceSchema": "title: toy.Data\n"}


def test_on_vertex_the_bucket_is_a_mount_and_the_output_file_lies_in_it(root: Path):
    script = spy(root, "[os.readlink(pod / 'gcs/b/m'), outputs['outputFile']]") + "make('data')"
    finished = run(document(VERTEX, Make=Toy(script=script, makes=("data",))), root)

    link, output_file = seen(root)
    assert link == str(root)
    assert output_file.startswith("/gcs/b/m/")
    assert output_file.endswith("/executor_output.json")
    assert len(list(root.glob(f"*/{finished.result.run_id}/Make_*/data/file"))) == 1


@pytest.mark.parametrize(("target", "state", "code"), [("oss", "failed", 4), (VERTEX, "executed", 0)])
def test_metadata_null_is_refused_by_ml_metadata_alone(root: Path, target: str, state: str, code: int):
    toys = document(target, Make=Toy(script="make('data')\nfinish({'data': {'nothing': None}})", makes=("data",)))

    finished = run(toys, root)

    assert states(finished) == {"Make": state}
    assert (0 if finished.error is None else finished.error.exit_code) == code
    assert target == VERTEX or "metadata 'nothing' is null" in str(finished.error)


def test_an_integer_becomes_a_double(root: Path):
    toys = document(
        Make=Toy(script="make('data')\nfinish({'data': {'large': 2**53 + 1}})", makes=("data",)),
        Read=Toy(script=spy(root, "inputs['artifacts']['data']"), reads={"data": ("Make", "data")}),
    )

    run(toys, root)

    assert seen(root)["artifacts"][0]["metadata"]["large"] == 2**53


def test_output_parameters_come_from_the_output_file_or_from_files_of_their_own(root: Path):
    makes = "path = pod / outputs['parameters']['count']['outputFile'][1:]\npath.write_text(' 7 ')\nfinish(word='w')"
    toys = document(
        Make=Toy(script=makes, tells={"word": "STRING", "count": "NUMBER_INTEGER"}),
        Read=Toy(
            script=spy(root, "inputs['parameterValues']"),
            given={
                "word": told_by("Make", "word"),
                "count": told_by("Make", "count"),
                "text": told_by("Make", "count"),
            },
            types={"count": "NUMBER_INTEGER"},
        ),
    )

    run(toys, root)

    assert seen(root) == {"count": 7, "text": "7", "word": "w"}


def test_a_container_that_knows_nothing_of_pods_here_writes_its_files_in_the_pod_as_well(root: Path):
    script = (
        "import json, os, sys\n"
        "outputs = json.loads(sys.argv[1])['outputs']\n"
        "open(outputs['parameters']['count']['outputFile'], 'w').write('7')\n"
        "os.makedirs(os.path.dirname(outputs['outputFile']), exist_ok=True)\n"
        "open(outputs['outputFile'], 'w').write(json.dumps({'parameterValues': {'word': 'w'}}))"
    )
    told = {"word": "STRING", "count": "STRING"}
    toys = document(
        Make=Toy(tells=told, container={"command": ["python", "-c", script]}),
        Read=Toy(script=spy(root, "inputs['parameterValues']"), given={name: told_by("Make", name) for name in told}),
    )

    finished = run(toys, root)

    assert finished.error is None
    assert seen(root) == {"count": "7", "word": "w"}


def test_an_output_parameter_that_is_nowhere_fails_the_task(root: Path):
    finished = run(document(Make=Toy(tells={"word": "STRING"})), root)

    assert isinstance(finished.error, EnvironmentProblem)
    assert "failed to read output parameter name='word'" in str(finished.error)


@pytest.mark.parametrize("written", ["{", '{"artifact": {}}', '{"artifacts": {"data": {"artifacts": [{"kind": 1}]}}}'])
def test_an_output_file_that_protojson_would_refuse_fails_the_task(root: Path, written: str):
    script = f"(pod / outputs['outputFile'][1:]).write_text({written!r})"

    finished = run(document(Make=Toy(script=script, makes=("data",))), root)

    assert "failed to unmarshall ExecutorOutput" in str(finished.error)


def test_an_output_moved_out_of_the_run_fails_the_task(root: Path):
    script = (
        "made = {'data': {'artifacts': [{'uri': 'minio://mlpipeline/elsewhere'}]}}\n"
        "(pod / outputs['outputFile'][1:]).write_text(json.dumps({'artifacts': made}))"
    )

    finished = run(document(Make=Toy(script=script, makes=("data",))), root)

    assert "does not have expected bucket prefix" in str(finished.error)
    assert kinds(root) == []


def test_a_task_need_not_leave_any_files(root: Path):
    finished = run(document(Make=Toy(makes=("data",))), root)

    assert states(finished) == {"Make": "executed"}
    assert kinds(root) == ["data", "executor-logs"]


@pytest.mark.parametrize(("target", "state", "why"), [("oss", "skipped", "Make failed"), (VERTEX, "executed", "")])
def test_after_a_failed_task_open_source_kfp_starts_nothing_and_vertex_what_does_not_depend_on_it(
    root: Path, target: str, state: str, why: str
):
    toys = document(
        target,
        Make=Toy(script="make('data')\nsys.exit(1)", makes=("data",)),
        Read=Toy(reads={"data": ("Make", "data")}),
        Later=Toy(after=("Read",)),
        Apart=Toy(),
    )

    finished = run(toys, root)

    assert states(finished) == {"Make": "failed", "Apart": state, "Read": "skipped", "Later": "skipped"}
    assert why in {task.id: task.why for task in finished.result.outcomes}["Apart"]
    assert finished.error.exit_code == 4
    assert finished.result.status == "failed"


def test_of_a_failed_task_its_logs_are_uploaded_and_registered_and_nothing_else(root: Path):
    script = "make('data')\nprint('out'); print('too dark', file=sys.stderr); sys.exit(1)"

    finished = run(document(Make=Toy(script=script, makes=("data",))), root)

    assert states(finished) == {"Make": "failed"}
    assert kinds(root) == ["executor-logs"]
    (execution,) = store(root)["executions"]
    assert list(execution["artifacts"]) == ["executor-logs"]
    (logs,) = root.glob("toys/*/Make/*/executor-logs-0")
    assert sorted(logs.read_text().split("\n")) == ["", "out", "too dark"]
    assert not list(root.glob("toys/*/Make/*/data"))


def test_every_task_of_open_source_kfp_has_an_output_for_its_logs_that_nobody_declared(root: Path):
    script = "logs = outputs['artifacts']['executor-logs']['artifacts'][0]\n"
    script += spy(root, "[logs, place(logs['uri']).is_file()]") + "print('said')"

    finished = run(document(Make=Toy(script=script)), root, run_id=RUN)

    logs, is_there = seen(root)
    uri = logs.pop("uri")
    assert uri.startswith(f"{OSS_ROOT}/toys/{RUN}/Make/")
    assert uri.endswith("/executor-logs-0")
    assert logs == {"name": "executor-logs", "type": {"schemaTitle": "system.Artifact"}}
    assert is_there
    assert finished.error is None
    (artifact,) = store(root)["artifacts"]
    assert (artifact["uri"], artifact["type"]) == (uri, {"schemaTitle": "system.Artifact"})
    assert (root / uri.removeprefix(f"{OSS_ROOT}/")).read_text() == "said\n"


def test_what_a_container_says_of_its_logs_does_not_count(root: Path):
    run(document(Make=Toy(script="finish({'executor-logs': {'mine': 1}})")), root)

    (artifact,) = store(root)["artifacts"]
    assert "mine" not in artifact["properties"]


def test_on_vertex_logs_are_no_output(root: Path):
    run(document(VERTEX, Make=Toy(script=spy(root, "outputs"))), root)

    assert "artifacts" not in seen(root)


def ends(message: str, code: int) -> str:
    """Returns a script that leaves a termination message and ends with an exit code."""
    return f"(pod / 'dev/termination-log').write_text({message!r})\nsys.exit({code})\n"


@pytest.mark.parametrize("code", [1, 2, 77])
@pytest.mark.parametrize("kind", [BadInput, Refused, EnvironmentProblem])
def test_a_pods_termination_message_says_what_kind_of_failure_it_was_whatever_its_exit_code(
    root: Path, code: int, kind: type[MnistTfxError]
):
    finished = run(document(Make=Toy(script=ends(termination.line(kind("too dark", where="Make")) + "\n", code))), root)

    assert type(finished.error) is kind
    assert str(finished.error) == "Make: too dark"
    assert finished.result.status == ("refused" if kind is Refused else "failed")
    assert finished.error.exit_code == kind.exit_code


@pytest.mark.parametrize(
    "message",
    [
        "",
        "killed",
        "refused (exit code 3): x",
        "mnist-tfx: refused (exit code 2): x",
        "mnist-tfx: odd (exit code 3): x",
    ],
)
@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_an_exit_code_alone_says_nothing_since_the_launcher_ends_with_one(root: Path, message: str, code: int):
    script = f"print('mnist-tfx: too dark', file=sys.stderr)\n{ends(message, code)}"

    finished = run(document(Make=Toy(script=script)), root)

    assert type(finished.error) is EnvironmentProblem
    assert "too dark" in str(finished.error)
    assert finished.error.exit_code == 4


def retried(times: int) -> dict[str, object]:
    return {"retryPolicy": {"maxRetryCount": times, "backoffDuration": "30s"}}


TRIES = (
    "count = pod.parents[1] / 'tries'\n"
    "tries = int(count.read_text()) if count.exists() else 0\n"
    "count.write_text(str(tries + 1))\n"
)


@pytest.mark.parametrize("kind", [BadInput, Refused, EnvironmentProblem])
def test_retries_repeat_any_failure_as_argo_does_since_it_sees_one_exit_code(root: Path, kind: type[MnistTfxError]):
    toy = Toy(script=TRIES + ends(termination.line(kind("no", where="Make")), 3), spec=retried(2))

    finished = run(document(Make=toy, Later=Toy(after=("Make",))), root)

    assert states(finished) == {"Make": "failed", "Later": "skipped"}
    assert (root / "tries").read_text() == "3"
    assert type(finished.error) is kind


def test_a_retry_gets_the_same_places_and_the_number_of_its_attempt(root: Path):
    places = "outputs['artifacts']['data']['artifacts'][0]['uri'], outputs['outputFile']"
    told = f"(pod.parents[1] / f'told-{{tries}}').write_text(json.dumps([os.environ['KFP_RETRY_INDEX'], {places}]))\n"
    script = TRIES + told + "print(f'try {tries}')\ntries or sys.exit(1)\nmake('data')"
    toys = document(Make=Toy(script=script, makes=("data",), spec=retried(1)))

    finished = run(toys, root)

    (first, *before), (second, *after) = (json.loads((root / f"told-{n}").read_text()) for n in range(2))
    assert (first, second, before) == ("0", "1", after)
    assert states(finished) == {"Make": "executed"}
    assert finished.result.outcomes[0].why == "caching is off; attempt 2"
    logs = sorted(path.name for path in root.glob("toys/*/Make/*/executor-logs-*"))
    assert logs == ["executor-logs-0", "executor-logs-1"]


def test_without_retries_a_task_is_tried_once(root: Path):
    run(document(Make=Toy(script=TRIES + "sys.exit(1)")), root)

    assert (root / "tries").read_text() == "1"


def test_a_task_that_is_lost_after_its_upload_is_repeated_over_what_it_left(root: Path):
    script = TRIES + "make('data', f'try {tries}')"
    toys = document(
        Make=Toy(script=script, makes=("data",), spec=retried(1)),
        Read=Toy(script=spy(root, "read('data')"), reads={"data": ("Make", "data")}),
    )

    finished = run(toys, root, lost={"Make"})

    assert finished.error is None
    assert seen(root) == "try 1"
    assert kinds(root).count("data") == 2, "both attempts are registered, as on a cluster"


def test_a_false_condition_skips_what_depends_on_it_and_the_run_succeeds(root: Path):
    condition = {"triggerPolicy": {"condition": "inputs.parameter_values['new'] == 'true'"}}
    toys = document(
        Look=Toy(script="finish(new='false')", tells={"new": "STRING"}),
        Make=Toy(script="make('data')", makes=("data",), given={"new": told_by("Look", "new")}, spec=condition),
        Read=Toy(reads={"data": ("Make", "data")}),
        Apart=Toy(after=("Look",)),
    )

    finished = run(toys, root)

    assert states(finished) == {"Look": "executed", "Make": "skipped", "Apart": "executed", "Read": "skipped"}
    assert finished.error is None


def test_a_true_condition_lets_the_task_run(root: Path):
    condition = {"triggerPolicy": {"condition": "inputs.parameter_values['new'] == 'true'"}}
    toys = document(
        Look=Toy(script="finish(new='true')", tells={"new": "STRING"}),
        Make=Toy(given={"new": told_by("Look", "new")}, spec=condition),
    )

    assert states(run(toys, root)) == {"Look": "executed", "Make": "executed"}


def test_a_condition_on_a_parameter_that_is_not_there_fails_the_task(root: Path):
    condition = {"triggerPolicy": {"condition": "inputs.parameter_values['old'] == 'true'"}}

    finished = run(document(Make=Toy(given={"new": constant("x")}, spec=condition)), root)

    assert states(finished) == {"Make": "failed"}
    assert "no such key: old" in str(finished.error)


def test_placeholders_in_arguments_are_filled_in(root: Path):
    words = [
        "{{$}}",
        "{{$.inputs.parameters['word']}}/{{$.inputs.parameters['number']}}",
        "{{$.outputs.artifacts['data'].path}}",
        "{{$.outputs.artifacts['data'].uri}}",
        "{{$.outputs.parameters['told'].output_file}}",
    ]
    script = "pathlib.Path(sys.argv[5]).write_text('t')\n" + spy(root, "[sys.argv[2:], str(pod)]")
    toy = Toy(
        script=script,
        makes=("data",),
        tells={"told": "STRING"},
        given={"word": constant("w"), "number": constant(3)},
        types={"number": "NUMBER_INTEGER"},
        container={"args": words},
    )

    finished = run(document(Make=toy), root)

    assert states(finished) == {"Make": "executed"}
    (joined, path, uri, file), pod = seen(root)
    assert joined == "w/3"
    assert uri.startswith(OSS_ROOT)
    assert path == pod + uri.replace("minio://", "/minio/")
    assert file == f"{pod}/tmp/kfp/outputs/told"


def test_a_placeholder_for_a_parameter_that_is_not_there_fails_the_task(root: Path):
    finished = run(document(Make=Toy(container={"args": ["{{$.inputs.parameters['word']}}"]})), root)

    assert "parameter 'word' not found in executor input" in str(finished.error)


def test_a_pod_sees_an_images_environment_and_not_the_callers(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "s")
    environment = {
        "env": [{"name": "CUDA_VISIBLE_DEVICES", "value": "-1"}, {"name": "MNIST_TFX_DEVICE", "value": "gpu"}]
    }
    script = "import pipeline\n" + spy(root, "[dict(os.environ), sys.prefix, os.getcwd(), str(pod)]")

    finished = run(document(Make=Toy(script=script, container=environment)), root)

    assert states(finished) == {"Make": "executed"}
    found, prefix, folder, pod = seen(root)
    assert "SECRET_OF_THE_CALLER" not in found
    assert found["CUDA_VISIBLE_DEVICES"] == "-1"
    assert "MNIST_TFX_DEVICE" not in found, "there need not be a GPU where a pipeline is tried"
    assert prefix == sys.prefix
    assert folder == pod


def test_no_pod_folder_stays_behind_and_the_log_names_the_tasks(root: Path):
    script = spy(root, "[str(pod), os.environ['TMPDIR']]") + "print('said'); print('cried', file=sys.stderr)"

    finished = run(document(Make=Toy(script=script)), root)

    assert not any(Path(folder).exists() for folder in seen(root))
    assert not (root / ".pods").exists()
    printed = [line for line in finished.log.read_text().splitlines() if " mnist-tfx " not in line]
    assert printed[-3:] == ["--- Make ---", "said", "cried"]


def test_a_container_that_cannot_be_started_is_a_failed_task(root: Path):
    finished = run(document(Make=Toy(container={"command": ["no-such-program"]})), root)

    assert str(finished.error) == "no-such-program: cannot be started: got No such file or directory"


def test_processes_that_outlive_their_pod_are_ended(root: Path):
    script = (
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n" + spy(root, "child.pid")
    )
    started = time.monotonic()

    run(document(Make=Toy(script=script)), root)

    assert time.monotonic() - started < 30
    assert not _runs(seen(root))


def test_a_killed_pod_is_a_failed_task_and_the_next_run_takes_the_rest_from_the_cache(root: Path):
    waits = spy(root, "os.getpid()") + f"while not os.path.exists({str(root.parent / 'go')!r}): time.sleep(0.02)\n"
    toys = document(
        Make=Toy(script="make('data')", makes=("data",), cached=True),
        Slow=Toy(script=waits + "make('more')", reads={"data": ("Make", "data")}, makes=("more",), cached=True),
        Last=Toy(reads={"more": ("Slow", "more")}, cached=True),
    )

    with _when_it_appears(root.parent / "seen", lambda: os.kill(seen(root), signal.SIGKILL)):
        killed = run(toys, root)
    assert states(killed) == {"Make": "executed", "Slow": "failed", "Last": "skipped"}
    assert str(killed.error) == "Slow: its pod was ended by SIGKILL"
    assert killed.error.exit_code == 4

    (root.parent / "go").touch()
    again = run(toys, root)
    assert states(again) == {"Make": "cached", "Slow": "executed", "Last": "executed"}
    assert states(run(toys, root)) == {"Make": "cached", "Slow": "cached", "Last": "cached"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_pod_and_leaves_no_folder(root: Path, number: signal.Signals):
    script = spy(root, "[os.getpid(), str(pod)]") + "time.sleep(60)"
    toys = document(
        Make=Toy(script="make('data')", makes=("data",)),
        Slow=Toy(script=script, after=("Make",)),
        Last=Toy(after=("Slow",)),
    )

    with _when_it_appears(root.parent / "seen", lambda: os.kill(os.getpid(), number)):
        finished = run(toys, root)

    assert states(finished) == {"Make": "executed", "Slow": "failed", "Last": "skipped"}
    assert finished.result.status == "interrupted"
    assert finished.error.exit_code == 128 + number
    pid, pod = seen(root)
    assert not _runs(pid)
    assert not Path(pod).exists()


def test_pods_of_a_simulation_that_was_killed_are_swept(root: Path):
    stale = root / ".pods" / "Make-1"
    stale.mkdir(parents=True)

    run(document(Make=Toy()), root)

    assert not stale.exists()


def _runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def kinds(root: Path) -> list[str]:
    """Returns the names of what is registered."""
    return sorted(found["properties"]["display_name"] for found in store(root)["artifacts"])


class _when_it_appears:  # noqa: N801  # reads as a statement
    """Does something as soon as a file is complete."""

    def __init__(self, file: Path, action) -> None:
        self._file = file
        self._action = action
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)

    def _watch(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self._file.exists() and self._file.read_text():
                self._action()
                return
            time.sleep(0.01)


def test_the_modules_of_the_simulation_start_no_engine():
    code = "import sys, pipeline.kubeflow.simulate.run; print([m for m in ('tensorflow', 'tfx', 'apache_beam', 'kfp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
