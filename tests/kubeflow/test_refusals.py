"""What one attempt at a task refused, the next attempt at the same task finds; and no other task does."""

import dataclasses
import json
from pathlib import Path

import pytest

from components.errors import BadInput, CannotTell, EnvironmentProblem, MnistTfxError, Refused
from pipeline.kubeflow import places
from pipeline.kubeflow.names import CHECKPOINT_FOLDER
from pipeline.kubeflow.places import Place
from pipeline.kubeflow.pod.refusals import RETRY_INDEX, Refusals

PLACE = Place(root="gs://b/m", run_id="r-1", folder="digits/r-1/Classifier/salt")
KEY = "k" * 64


@pytest.fixture(autouse=True)
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(places.POD_ROOT, str(tmp_path))
    monkeypatch.delenv(CHECKPOINT_FOLDER, raising=False)
    monkeypatch.setenv(RETRY_INDEX, "0")
    return tmp_path


@pytest.fixture(params=[None, "/checkpoints/mine"])
def refusals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Refusals:
    """Of one task, beside its outputs and on a volume."""
    if request.param is not None:
        monkeypatch.setenv(CHECKPOINT_FOLDER, request.param)
    return Refusals.of(PLACE, "Classifier", KEY)


DIVERGED = BadInput("training diverged", where="Classifier, epoch 3", wanted="a finite loss", got="nan", hint="less")


@pytest.mark.parametrize("err", [DIVERGED, Refused("not blessed", where="Evaluator", report={"checks": [1]})])
def test_a_refusal_is_repeated_with_the_same_words(refusals: Refusals, err: MnistTfxError) -> None:
    refusals.keep(err)
    with pytest.raises(type(err)) as repeated:
        refusals.repeat()
    assert str(repeated.value) == str(err).replace(err.what, f"{err.what} (repeated: attempt 1 refused)")


def test_a_third_attempt_names_the_attempt_that_did_the_work(
    refusals: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RETRY_INDEX, "1")
    refusals.keep(DIVERGED)
    with pytest.raises(BadInput, match=r"\(repeated: attempt 2 refused\)"):
        refusals.repeat()


def test_where_kfp_counts_no_attempts_none_is_guessed(refusals: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RETRY_INDEX)
    refusals.keep(DIVERGED)
    with pytest.raises(BadInput, match=r"\(repeated: an earlier attempt refused\)"):
        refusals.repeat()


@pytest.mark.parametrize("err", [EnvironmentProblem("disk full"), CannotTell("who knows")])
def test_what_a_retry_may_mend_is_not_kept(refusals: Refusals, err: MnistTfxError) -> None:
    refusals.keep(err)
    refusals.repeat()
    assert not refusals.file.exists()


@pytest.mark.parametrize(
    "other",
    [
        (dataclasses.replace(PLACE, run_id="r-2"), "Classifier", KEY),
        (dataclasses.replace(PLACE, folder="digits/r-1/Classifier/other"), "Classifier", KEY),
        (PLACE, "Autoencoder", KEY),
        (PLACE, "Classifier", "j" * 64),
    ],
    ids=["another run", "another task", "another node", "other inputs"],
)
def test_a_refusal_is_no_answer_for_anything_else(refusals: Refusals, other: tuple[Place, str, str]) -> None:
    refusals.keep(DIVERGED)
    Refusals.of(*other).repeat()


def test_a_success_removes_it(refusals: Refusals) -> None:
    refusals.keep(DIVERGED)
    refusals.forget()
    refusals.repeat()
    refusals.forget()
    assert list(refusals.file.parent.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"attempt": 1, "error": {"kind": "KeyboardInterrupt", "what": "x"}}', '{"attempt": [], "error": {}}', "[" * 9999],
)  # fmt: skip
def test_a_damaged_one_has_the_work_done_again(refusals: Refusals, text: str) -> None:
    refusals.file.parent.mkdir(parents=True)
    refusals.file.write_text(text)
    refusals.repeat()


def test_a_volume_that_cannot_be_written_changes_nothing_but_is_told(
    refusals: Refusals, capsys: pytest.CaptureFixture[str]
) -> None:
    refusals.file.parent.parent.mkdir(parents=True)
    refusals.file.parent.write_text("no folder")
    refusals.keep(DIVERGED)
    refusals.repeat()
    assert "the refusal cannot be kept" in capsys.readouterr().out


def test_it_is_kept_on_the_volume_that_trainings_are_resumed_from(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECKPOINT_FOLDER, "/checkpoints")
    Refusals.of(PLACE, "Classifier", KEY).keep(DIVERGED)
    [file] = (pod / "checkpoints" / "refusals").iterdir()
    assert json.loads(file.read_text())["attempt"] == 1
