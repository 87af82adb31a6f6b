"""A record says what its own outputs say, and nothing that lies about."""

import json
from pathlib import Path

import pytest

from components.errors import EnvironmentProblem
from pipeline.provenance import recording
from pipeline.provenance.code import Code
from pipeline.provenance.git import GitState
from pipeline.provenance.records import DATA, Environment, ExecutionRecord


def recorded(folders: dict[str, Path], **extra: object) -> ExecutionRecord:
    work = recording.PendingExecution(
        pipeline="digits",
        run_id="r",
        node="Transform",
        key="k",
        parameters={},
        code=Code(digest="c", files={}),
        lock_digest="l",
        environment=Environment.here("cpu"),
        git=GitState(),
        inputs={},
        extra=extra,
    )
    return recording.execution_record(work, {}, folders, started=0.0, seconds=1.0)


def test_files_in_the_current_folder_are_nobodys_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.json").write_text('{"files": [{"name": "customers.csv"}]}')
    (tmp_path / "training.json").write_text("[1, 2]")
    assert recorded({"transform_graph": tmp_path}).extra == {}


def test_what_was_read_is_recorded_with_the_examples(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"files": []}')
    assert recorded({"examples": tmp_path}, beam="direct").extra == {"beam": "direct", DATA: {"files": []}}


def test_examples_without_their_list_of_files_are_no_success(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"data\.json: no such file"):
        recorded({"examples": tmp_path})


def test_a_training_is_recorded_by_its_figures_and_the_device_it_ran_on(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(json.dumps({"device": "a GPU", "epochs_run": 3, "history": [1]}))
    record = recorded({"model_run": tmp_path})
    assert record.extra == {"training": {"device": "a GPU", "epochs_run": 3}}
    assert record.environment.device == "a GPU"
