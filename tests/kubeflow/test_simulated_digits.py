"""The real pipeline, compiled and executed as a cluster would: served, audited from its records alone, cached, refused, killed."""

import dataclasses
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import PROJECT, QUICK, Answer, checked, in_process, mnist_tfx
from kubeflow.conftest import compiled_file
from kubeflow.running_pods import pod_of
from kubeflow.test_interrupted_changes import ended, start_local
from kubeflow.test_pod_data import leave_record
from PIL import Image
from sklearn.datasets import load_digits
from toy_pipelines import run

from components.digest import row_digest, row_prefix
from pipeline.kubeflow import document, names
from pipeline.provenance import record_store
from pipeline.provenance.records import KUBEFLOW, ORCHESTRATOR, ExecutionRecord
from pipeline.stages import STAGES

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NEVER_CACHED = {"ExampleGenDriver", "Baseline", "Pusher"}


def findings(root: Path) -> list[dict[str, Any]]:
    """Returns what an audit finds; a checkout with changes is no fault of the pipeline's."""
    audit = mnist_tfx("lineage", "audit", "newest", "--root", root, "--json").json["audits"][0]
    return [finding for finding in audit["findings"] if "clean_tree" not in json.dumps(finding)]


def parts_of(path: Path, *tasks: str) -> Path:
    """Writes a file with some of the tasks alone, for what needs no training."""
    spec, *rest = yaml.safe_load_all(path.read_text())
    dag = spec["root"]["dag"]["tasks"]
    spec["root"]["dag"]["tasks"] = {name: dag[name] for name in tasks}
    part = path.with_name(f"part-{path.name}")
    part.write_text(yaml.safe_dump_all([spec, *rest]))
    return part


def test_a_simulated_run_serves_a_version_whose_audit_passes_from_its_records_alone(
    first_simulation: tuple[Path, Answer],
) -> None:
    root, answer = first_simulation
    assert answer.error is None, answer.err
    assert answer.json["version"] == 1
    assert {answer.json["audit"]["verdicts"][name] for name in ("INTEGRITY", "COMPLETENESS")} == {"PASS"}
    assert findings(root) == []
    assert not (root / "metadata.db").exists()
    assert {state for node, state in answer.states().items() if node in STAGES} == {"executed"}


def test_a_simulated_run_is_as_good_as_a_local_one(
    first_simulation: tuple[Path, Answer], first_run: tuple[Path, Answer]
) -> None:
    simulated, local = first_simulation[1].json, first_run[1].json
    assert simulated["metrics"]["accuracy"] == pytest.approx(local["metrics"]["accuracy"], abs=0.002)
    assert simulated["rows_digest"] == local["rows_digest"]


def test_records_say_that_pods_made_them_and_name_no_folder_of_this_machine(
    first_simulation: tuple[Path, Answer],
) -> None:
    root, _ = first_simulation
    texts = [path.read_text() for path in (root / "records").iterdir()]
    executions = [json.loads(text) for text in texts if json.loads(text)["kind"] == "execution"]
    assert {record["extra"][ORCHESTRATOR] for record in executions} == {KUBEFLOW}
    assert [text for text in texts if str(root) in text or "/tmp/" in text] == []


def test_nothing_of_the_pods_is_left(first_simulation: tuple[Path, Answer]) -> None:
    root, _ = first_simulation
    assert not list((root / ".pods").glob("*"))


@pytest.fixture(scope="module")
def again(
    tmp_path_factory: pytest.TempPathFactory, compiled: dict[str, Path], first_simulation: tuple[Path, Answer]
) -> tuple[Path, Answer]:
    """A copy of what a run left in which the same file was simulated again, and that answer."""
    root = tmp_path_factory.mktemp("again") / "root"
    shutil.copytree(first_simulation[0], root, symlinks=True)
    return root, mnist_tfx("kubeflow", "simulate", compiled["oss"], "--root", root, "--json")


def test_a_second_run_takes_from_the_cache_what_did_not_change_and_serves_no_second_version(
    again: tuple[Path, Answer],
) -> None:
    root, answer = again
    executed = {node for node, state in answer.states().items() if state == "executed"}
    # The Evaluator reads what Baseline writes, and KFP's key has an artifact's name, not its bytes.
    assert executed == NEVER_CACHED | {"Evaluator"}
    assert answer.json["version"] == 1
    assert findings(root) == []


def strip(root: Path) -> None:
    """Leaves what a copy of the bucket and of the serving volume has."""
    for name in ("records", "inputs"):
        shutil.rmtree(root / name)
    for name in ("ledger.jsonl", "root.json"):
        (root / name).unlink()


@pytest.fixture(scope="module")
def pushed_twice(
    tmp_path_factory: pytest.TempPathFactory, again: tuple[Path, Answer], first_simulation: tuple[Path, Answer]
) -> tuple[Path, tuple[str, str]]:
    """A copy of what two runs of one file left, and their ids; the second one pushed the model already served."""
    root = tmp_path_factory.mktemp("twice") / "copy"
    shutil.copytree(again[0], root, symlinks=True)
    strip(root)
    return root, (first_simulation[1].json["run_id"], again[1].json["run_id"])


@pytest.mark.parametrize("which", [0, 1], ids=["the first run", "the second run"])
def test_kubeflow_audit_passes_for_each_of_two_runs_that_pushed_the_same_model(
    pushed_twice: tuple[Path, tuple[str, str]], tmp_path: Path, which: int
) -> None:
    copied, run_ids = pushed_twice
    root = tmp_path / "copy"
    shutil.copytree(copied, root, symlinks=True)
    answer = mnist_tfx("kubeflow", "audit", run_ids[which], "--root", root, "--json")
    assert verdicts(answer) == {"PASS"}, answer.out
    assert findings(root) == []
    assert f"gathered along: run {run_ids[1 - which]}, which pushed the same version" in answer.err


def test_kubeflow_audit_of_a_second_run_finds_a_file_that_was_added_to_the_first_ones_artifact(
    pushed_twice: tuple[Path, tuple[str, str]], tmp_path: Path
) -> None:
    copied, (_, second) = pushed_twice
    root = tmp_path / "copy"
    shutil.copytree(copied, root, symlinks=True)
    folder = next(root.glob("digits/*/Classifier/*/training_run"))
    (folder / "events.out.tfevents.1.host.2").write_text("x")
    answer = mnist_tfx("kubeflow", "audit", second, "--root", root, "--json")
    assert [one["what"] for one in broken(answer)] == ["was added"]


def verdicts(answer: Answer) -> set[str]:
    """Returns the verdicts on integrity and completeness; a checkout with changes is a matter of policy."""
    return {audit["verdicts"][name] for audit in answer.json["audits"] for name in ("INTEGRITY", "COMPLETENESS")}


def broken(answer: Answer) -> list[dict[str, Any]]:
    [audit] = answer.json["audits"]
    return [one for one in audit["findings"] if one["level"] != "WARN" and one["verdict"] != "POLICY"]


RETRIED = "version: 1\ndefaults:\n  retries: 1\n"


NETWORK = """
import keras
from keras import layers

def build(data, settings):
    inputs = keras.Input((*data.shape, 1))
    return keras.Model(inputs, layers.Dense(data.label_count)(layers.Flatten()(inputs)))
"""
OWN = """
extends: digits
name: digits
autoencoder: null
classifier: {build: 'my_nets:build', epochs: 3}
evaluation: {reconstruction_mse: null, accuracy: 0.2, class_accuracy: 0.0, loss: null, baseline_margin: 0.9}
"""
PICTURE = "pictures/0/0.png"
LAKE = "minio://mlpipeline/lake/digits"


def write_own_project(folder: Path) -> None:
    """Writes a network, its recipe, and data files imported from pictures."""
    (folder / "my_nets.py").write_text(NETWORK)
    (folder / "own.yaml").write_text(OWN)
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images.astype(np.uint8), digits.target, strict=True)):
        (folder / "pictures" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"pictures/{label}/{number}.png")
    assert in_process("data", "import", folder / "pictures", "--to", folder / "data", "--no-invert").code == 0


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory, first_simulation: tuple[Path, Answer]) -> tuple[Path, str]:
    """A copy of what a run left in which tasks were repeated after their upload, and its id.

    It trained a network of the user's own on data that were imported from pictures, and pushed it to a volume on which
    another root's run serves version 1.
    """
    folder = tmp_path_factory.mktemp("repeated")
    write_own_project(folder)
    shutil.copytree(first_simulation[0] / "serving", folder / "copy" / "serving")
    (folder / "cluster.yaml").write_text(RETRIED)
    asked = ("--recipe", folder / "own.yaml", "--data", LAKE, "--cluster", folder / "cluster.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))  # of the image
        done = run(
            document.read(compiled_file(folder, "oss", *asked)),
            folder / "copy",
            lost={"ExampleGen", "Classifier", "Evaluator", "Pusher"},
            buckets={LAKE: folder / "data"},
        )
    assert done.error is None
    assert done.audit is not None
    assert {done.audit.verdicts[name] for name in ("INTEGRITY", "COMPLETENESS")} == {"PASS"}
    strip(folder / "copy")
    return folder / "copy", done.result.run_id


def test_kubeflow_audit_passes_for_a_run_whose_tasks_were_repeated_and_tells_of_the_attempts(
    repeated: tuple[Path, str], tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(repeated[0], root, symlinks=True)
    answer = mnist_tfx("kubeflow", "audit", repeated[1], "--root", root, "--json")
    assert verdicts(answer) == {"PASS"}, answer.out
    told = {one["what"] for one in answer.json["audits"][0]["findings"] if one["link"] == "attempt"}
    nodes = ("ExampleGen", "Classifier", "Evaluator", "Pusher")
    assert told == {f"attempt 1 of {node}, superseded" for node in nodes}


def test_an_own_network_and_the_pictures_behind_imported_data_are_known_after_a_run_on_a_cluster(
    repeated: tuple[Path, str], tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(repeated[0], root, symlinks=True)
    answer = mnist_tfx("kubeflow", "audit", repeated[1], "--root", root, "--json")
    assert answer.json["audits"][0]["own_code"] == {"my_nets.py": ["Classifier"]}
    assert [path.name for path in root.glob("inputs/code-*/*")] == ["my_nets.py"]
    found = in_process("lineage", "impact", repeated[0].parent / PICTURE, "--root", root, "--json").json
    assert (found["answer"], [model["version"] for model in found["models"]]) == ("yes", [2])
    assert found["notes"] == ["imported as row 0 of the train part, from 0/0.png"]


def about_the_baseline(answer: Answer) -> list[dict[str, Any]]:
    [audit] = answer.json["audits"]
    return [one for one in audit["findings"] if one["link"] == "baseline"]


def test_kubeflow_audit_of_a_root_alone_cannot_tell_what_another_root_pushed_to_their_volume(
    repeated: tuple[Path, str], first_simulation: tuple[Path, Answer], tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(repeated[0], root, symlinks=True)
    answer = mnist_tfx("kubeflow", "audit", repeated[1], "--root", root, "--json")
    other = first_simulation[1].json["run_id"]
    assert verdicts(answer) == {"PASS"}, answer.out
    [found] = about_the_baseline(answer)
    assert (found["level"], found["what"]) == ("UNKNOWN", "was compared with version 1")
    assert f"run {other}, copied here as well" in found["wanted"]
    assert f"version 1 was pushed from another pipeline root (run {other} trained it): copy what" in answer.err


def test_kubeflow_audit_passes_with_both_roots_that_push_to_one_volume(
    repeated: tuple[Path, str], first_simulation: tuple[Path, Answer], tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(repeated[0], root, symlinks=True)
    run_id = first_simulation[1].json["run_id"]
    shutil.copytree(first_simulation[0] / "digits" / run_id, root / "digits" / run_id, symlinks=True)
    answer = mnist_tfx("kubeflow", "audit", repeated[1], "--root", root, "--json")
    assert verdicts(answer) == {"PASS"}, answer.out
    assert about_the_baseline(answer) == []
    assert f"gathered along: run {run_id}, which pushed a lower version" in answer.err


@pytest.mark.parametrize("what", ["a file", "a record"])
def test_kubeflow_audit_of_a_repeated_task_still_finds_what_was_added(
    repeated: tuple[Path, str], tmp_path: Path, what: str
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(repeated[0], root, symlinks=True)
    if what == "a file":
        (next(root.glob("digits/*/Classifier/*/model")) / "more").write_text("x")
    else:
        folder = next(root.glob("digits/*/Pusher/*/lineage/records"))
        known = [one for one in record_store.scan(folder).values() if isinstance(one, ExecutionRecord)]
        stray = next(one for one in known if one.node == "Transform")
        record_store.write(folder, dataclasses.replace(stray, inputs={}))
    answer = mnist_tfx("kubeflow", "audit", repeated[1], "--root", root, "--json")
    assert answer.code == 1
    [found] = broken(answer)
    assert ("was added" if what == "a file" else "Transform ran, but is not on the path") in found["what"]


def test_a_retry_answers_a_diverged_training_at_once(tmp_path: Path, simulated: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(
        RETRIED + "nodes:\n  Autoencoder:\n    env: {MNIST_TFX_CHECKPOINT_FOLDER: /checkpoints/mine}\n"
        "    volumes: [{claim: checkpoints, path: /checkpoints}]\n"
    )
    diverging = [
        part
        for value in (
            "optimizer.learning_rate=1000.0",
            "optimizer.name=sgd",
            "activation=linear",
            "output_activation=linear",
        )
        for part in ("--set", f"autoencoder.{value}")
    ]
    file = compiled_file(tmp_path, "oss", "--cluster", tmp_path / "cluster.yaml", *diverging)
    (tmp_path / "volume").mkdir()
    answer = mnist_tfx(
        "kubeflow", "simulate", file, "--root", simulated, "--volume", f"checkpoints={tmp_path / 'volume'}", "--json"
    )
    assert answer.code == 2
    assert answer.states()["Autoencoder"] == "failed"
    first, *_, last = (line for line in answer.err.splitlines() if "training diverged" in line)
    assert "Autoencoder: attempt 1 of 2 failed: Autoencoder" in first
    assert "repeated" not in first
    assert "(repeated: attempt 1 refused)" in last
    assert len(list((tmp_path / "volume" / "mine" / "refusals").iterdir())) == 1


def test_what_a_cluster_left_can_be_gathered_and_audited_from_a_copy(
    simulated: Path, first_simulation: tuple[Path, Answer]
) -> None:
    strip(simulated)
    run_id = first_simulation[1].json["run_id"]
    answer = mnist_tfx("kubeflow", "audit", run_id, "--root", simulated, "--json")
    assert answer.code in (0, 1), answer.err
    assert findings(simulated) == []
    shown = mnist_tfx("lineage", "show", "--root", simulated, "--json")
    assert shown.json["run_id"] == run_id


@pytest.mark.parametrize("victim", ["examples", "lineage"])
def test_a_pod_refuses_what_was_changed_in_the_bucket_since_it_was_recorded(
    victim: str, simulated: Path, compiled: dict[str, Path]
) -> None:
    folder = next(simulated.glob(f"digits/*/ExampleGen/*/{victim}"))
    file = min(path for path in folder.rglob("*") if path.is_file() and "inputs" not in path.parts)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    again = mnist_tfx("kubeflow", "simulate", compiled["oss"], "--root", simulated, "--json")
    assert again.code in (3, 4), again.out
    assert "changed" in again.error
    assert [child.name for child in (simulated / "serving").iterdir() if child.name.isdecimal()] == ["1"]


def test_a_vertex_file_ends_with_the_same_version_as_an_open_source_one(
    tmp_path: Path, compiled: dict[str, Path], first_simulation: tuple[Path, Answer]
) -> None:
    answer = mnist_tfx("kubeflow", "simulate", compiled["vertex"], "--root", tmp_path / "v", "--json")
    assert answer.error is None, answer.err
    assert findings(tmp_path / "v") == []
    oss = first_simulation[1].json
    assert answer.json["metrics"]["accuracy"] == pytest.approx(oss["metrics"]["accuracy"], abs=0.002)
    assert answer.json["rows_digest"] == oss["rows_digest"]


def test_a_step_that_is_killed_fails_alone_and_the_next_run_goes_on_from_there(tmp_path: Path, simulated: Path) -> None:
    # What comes before Transform is in the cache of a run that scaled the images otherwise.
    scaled = ("--set", "transform.scaling=standardise", "--set", "autoencoder.output_activation=linear")
    file = compiled_file(tmp_path, "oss", *QUICK, "--set", "evaluation.baseline_margin=0.9", *scaled)
    command = [sys.executable, "-m", "pipeline", "kubeflow", "simulate", str(file), "--root", str(simulated)]
    with subprocess.Popen([*command, "--json"], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        os.kill(pod_of("Transform", process), signal.SIGKILL)
        out, _ = process.communicate(timeout=300)
    killed = Answer(process.returncode, out, "")
    assert killed.code == 4
    assert killed.states()["Transform"] == "failed"
    assert killed.states()["Pusher"] == "skipped"
    assert [path.name for path in (simulated / "serving").glob("[0-9]*")] == ["1"]
    again = mnist_tfx("kubeflow", "simulate", file, "--root", simulated, "--json")
    assert again.json["version"] == 2, again.err
    assert again.states()["ExampleGen"] == "cached"
    assert again.states()["Transform"] == "executed"


@pytest.fixture
def lost(simulated: Path) -> Path:
    """A simulated run's root whose version was lost: its model is pushed again."""
    shutil.rmtree(simulated / "serving" / "1")
    return simulated


def push_signalled(number: int, root: Path, file: Path, victim: str) -> tuple[int, str, list[str]]:
    """Simulates the run again and sends `victim` a signal as soon as something is in the serving directory."""
    process = start_local("simulate", file, "--root", root, "--json")
    pod = pod_of("Pusher", process)
    before = {*(root / "serving").iterdir()}
    while {*(root / "serving").iterdir()} <= before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.0005)
    os.kill(pod if victim == "pod" else process.pid, number)
    return ended(process)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("victim", ["pod", "simulate"])
def test_a_push_that_is_interrupted_in_its_pod_is_delivered_with_its_record(
    victim: str, number: int, lost: Path, compiled: dict[str, Path]
) -> None:
    code, out, _ = push_signalled(number, lost, compiled["oss"], victim)
    answer = checked(json.loads(out))["data"]
    assert answer["version"] == 2
    # 1 where the checkout has changes: the audit at the end says so.
    assert code in ((0, 1) if victim == "pod" else (128 + number,))
    assert [one.name for one in (lost / "serving").glob("[0-9]*")] == ["2"]
    out = " ".join(mnist_tfx("lineage", "audit", "2", "--root", lost).out.split())
    assert "INTEGRITY PASS" in out
    assert "COMPLETENESS PASS" in out


def test_a_file_that_is_replaced_under_the_same_name_or_imported_from_others_is_ingested_again(
    tmp_path: Path, digits_folder: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(digits_folder, data)
    whole = compiled_file(tmp_path, "oss", "--recipe", "digits", "--data", "minio://mlpipeline/lake/digits")
    part = parts_of(whole, names.DATA_IMPORTER, names.DRIVER, "ExampleGen")
    simulate = (
        "kubeflow",
        "simulate",
        part,
        "--root",
        tmp_path / "root",
        "--bucket",
        f"minio://mlpipeline/lake/digits={data}",
    )
    states = []
    for change in (lambda: None, lambda: None, lambda: swap_two_labels(data), lambda: leave_record(data, "a.png")):
        change()
        answer = mnist_tfx(*simulate, "--json")
        assert answer.error is None, answer.err
        states.append(answer.states()["ExampleGen"])
    assert states == ["executed", "cached", "executed", "executed"]
    assert len({path.name for path in (tmp_path / "root").rglob("import-*.json")}) == 1


def swap_two_labels(folder: Path) -> None:
    """Changes a file's content, and neither its size nor its times."""
    labels = next(path for path in folder.iterdir() if "labels" in path.name)
    status = labels.stat()
    raw = bytearray(gzip.decompress(labels.read_bytes()) if labels.suffix == ".gz" else labels.read_bytes())
    raw[8], raw[9] = raw[9], raw[8]
    labels.write_bytes(bytes(raw))
    os.utime(labels, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_run_without_a_new_span_executes_nothing_and_says_so(
    tmp_path: Path, simulated: Path, digits_folder: Path
) -> None:
    days = tmp_path / "days"
    shutil.copytree(digits_folder, days / "span-7")
    asked = ("--recipe", "digits", "--data", "minio://mlpipeline/lake/days/span-{SPAN}/")
    bucket = ("--root", simulated, "--bucket", f"minio://mlpipeline/lake/days={days}", "--json")
    answer = mnist_tfx("kubeflow", "simulate", compiled_file(tmp_path, "oss", *asked), *bucket)
    assert answer.code == 0, answer.err
    assert answer.states()["ExampleGen"] == answer.states()["Pusher"] == "skipped"
    assert "no new span" in answer.json["nothing_to_do"]
    # With another seed it is another piece of work.
    other = parts_of(
        compiled_file(tmp_path, "oss", *asked, "--seed", 1), names.DATA_IMPORTER, names.DRIVER, "ExampleGen"
    )
    assert mnist_tfx("kubeflow", "simulate", other, *bucket).states()["ExampleGen"] == "executed"


def test_rows_that_are_left_out_by_digest_are_absent_and_the_list_is_in_the_lineage(tmp_path: Path) -> None:
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    gone = [row_digest(row_prefix(8, 8), images[row].tobytes(), int(digits.target[row])).hex() for row in (0, 7)]
    listed, nowhere = tmp_path / "exclude.txt", "7" * 64
    listed.write_text("\n".join([*gone, nowhere]))
    part = parts_of(compiled_file(tmp_path, "oss", "--exclude", listed), names.DRIVER, "ExampleGen")
    answer = mnist_tfx("kubeflow", "simulate", part, "--root", tmp_path / "root", "--json")
    assert answer.error is None, answer.err
    records = record_store.scan(tmp_path / "root" / "records").values()
    record = next(one for one in records if isinstance(one, ExecutionRecord) and one.node == "ExampleGen")
    assert record.extra["data"]["excluded"] | {"rows": 2, "unmatched": [nowhere]} == record.extra["data"]["excluded"]
    assert all(digest in json.dumps(record.parameters) for digest in gone)
    [examples] = record.outputs["examples"]
    index = [np.load(path) for path in (tmp_path / "root" / examples.path / "row_index").glob("*.npy")]
    rows = {row.tobytes().hex() for one in index for row in one["row"]}
    assert (len(rows & {*gone}), sum(map(len, index))) == (0, len(images) - 2)


def test_an_image_with_other_code_than_was_compiled_is_refused(tmp_path: Path, compiled: dict[str, Path]) -> None:
    part = parts_of(compiled["oss"], names.DRIVER, "ExampleGen")
    digest = document.read(part).tasks["ExampleGen"].spec["inputs"]["parameters"]["code_digest"]
    other = part.with_name("other.yaml")
    other.write_text(part.read_text().replace(digest["runtimeValue"]["constant"], "0" * 64))
    answer = mnist_tfx("kubeflow", "simulate", other, "--root", tmp_path / "root", "--json")
    assert answer.code == 3
    assert "the image holds other code than the pipeline was compiled from" in answer.error


def test_a_candidate_that_is_not_blessed_is_refused_by_the_pusher_and_its_evaluation_is_kept(
    tmp_path: Path, simulated: Path
) -> None:
    strict = compiled_file(tmp_path, "oss", "--set", "evaluation.accuracy=0.9999")
    answer = mnist_tfx("kubeflow", "simulate", strict, "--root", simulated, "--json")
    assert (answer.code, answer.status) == (3, "refused"), answer.out
    assert answer.states()["Evaluator"] == "executed"
    assert answer.states()["Pusher"] == "failed"
    assert answer.json["blessed"] is False
    assert "Evaluator: the model is not good enough to be served: test accuracy" in answer.error
    assert "nothing was pushed; the recipe sets evaluation.accuracy; all reasons are in digits/" in answer.error
    assert [child.name for child in (simulated / "serving").iterdir() if child.name.isdecimal()] == ["1"]


def test_a_pipeline_that_would_serve_from_a_bucket_is_refused_before_it_is_compiled(tmp_path: Path) -> None:
    answer = mnist_tfx(
        "kubeflow", "compile", "--target", "oss", "--image", "i:1", "--pipeline-root", "minio://b/m",
        "--serving", "gs://b/serving", "-o", tmp_path / "p.yaml",
    )  # fmt: skip
    assert answer.code == 2
    assert "nothing renames a folder of a bucket in one step" in answer.err
    assert not list(tmp_path.iterdir())
