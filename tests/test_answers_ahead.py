"""What a report asks of models is asked once: ahead of it where it could be, and by the report where it could not."""

import io
import threading

import numpy as np
import pytest

from components.errors import EnvironmentProblem
from components.settings import DataSettings
from pipeline.report import asking, model_answers
from pipeline.report.model_answers import ALL, BUT_LATENCY, LATENCY, LATENCY_ALONE, Question
from pipeline.runner.answers_ahead import AnswersAhead

DATA = DataSettings(shape=(4, 4), pixel_max=16)


class Processes:
    """Answers with what it is asked for; counts the questions, and waits with an answer until it may give it."""

    def __init__(self):
        self.parts = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.error = None

    def call(self, function, question, env):
        assert function == asking.FUNCTION
        assert env["CUDA_VISIBLE_DEVICES"] == "-1"
        self.parts.append(question["part"])
        assert self.goes_on.wait(10)
        if self.error is not None:
            raise self.error
        found = {
            BUT_LATENCY: {"rows": np.array(3)},
            LATENCY_ALONE: {LATENCY: np.array([1.0, 2.0])},
            ALL: {"rows": np.array(3), LATENCY: np.array([1.0, 2.0])},
        }
        return model_answers.as_npz(found[question["part"]])


@pytest.fixture
def processes():
    return Processes()


@pytest.fixture
def kept(tmp_path, monkeypatch):
    question = Question(examples="e", transform=None, autoencoder=None, classifier="c", data=DATA.to_json())
    monkeypatch.setattr(asking, "kept_answers", lambda *_: tmp_path / "answers.npz")
    monkeypatch.setattr(asking, "question_about", lambda *_: question)
    return tmp_path / "answers.npz"


QUESTION = {
    "examples": "e",
    "transform": None,
    "autoencoder": None,
    "classifier": "c",
    "data": DATA.to_json(),
    "part": ALL,
}


def answers_of(ahead, question=QUESTION):
    with np.load(io.BytesIO(ahead(question))) as found:
        return {name: found[name].tolist() for name in found}


BOTH = {"rows": 3, LATENCY: [1.0, 2.0]}


@pytest.mark.usefixtures("kept")
def test_a_question_that_was_asked_ahead_waits_for_its_answers_and_asks_for_the_latency_alone(processes):
    processes.goes_on.clear()
    ahead = AnswersAhead(processes)
    ahead.begin(None, {}, DATA)
    threading.Timer(0.2, processes.goes_on.set).start()
    assert answers_of(ahead) == BOTH
    assert processes.parts == [BUT_LATENCY, LATENCY_ALONE]


def test_without_a_beginning_the_report_asks_for_everything(processes):
    assert answers_of(AnswersAhead(processes)) == BOTH
    assert processes.parts == [ALL]


@pytest.mark.usefixtures("kept")
def test_another_question_is_asked_as_it_is(processes):
    ahead = AnswersAhead(processes)
    ahead.begin(None, {}, DATA)
    assert answers_of(ahead, {**QUESTION, "classifier": "another"}) == BOTH
    assert processes.parts == [BUT_LATENCY, ALL]


def test_answers_that_were_kept_are_not_asked_for(processes, kept):
    kept.touch()
    ahead = AnswersAhead(processes)
    ahead.begin(None, {}, DATA)
    assert answers_of(ahead) == BOTH  # as the file proves unreadable
    assert processes.parts == [ALL]


@pytest.mark.usefixtures("kept")
def test_what_goes_wrong_is_for_the_report_to_say(processes):
    processes.error = EnvironmentProblem("its process was killed", where="report")
    ahead = AnswersAhead(processes)
    ahead.begin(None, {}, DATA)
    with pytest.raises(EnvironmentProblem, match="was killed"):
        ahead(QUESTION)
