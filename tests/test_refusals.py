"""What a refusal looks like on the command line and in an answer: a cause, facts, and commands that can be copied."""

import sys

import pytest

from components.errors import AGAIN, MnistTfxError, Refused
from components.evaluation.refusal import refusal
from components.evaluation.thresholds import Check, Verdict
from pipeline.cli.again import complete
from pipeline.cli.output import Answer, print_answer, print_error
from pipeline.cli.parsing import COMMAND


@pytest.fixture
def called(monkeypatch):
    """Pretends that a command line was given."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["/usr/bin/mnist-tfx", *arguments])
        COMMAND.set(arguments[0])

    before = COMMAND.get()
    yield call
    COMMAND.set(before)


@pytest.mark.parametrize(
    ("given", "offered", "completed"),
    [
        (("run", "--data", "a b"), f"{AGAIN} --transpose", "run --data 'a b' --transpose"),
        (("run", "--data=x", "--json"), f"{AGAIN} --transpose", "run --data x --transpose"),
        (("run", "--set", "evaluation.loss=1"), f"{AGAIN} --set evaluation.loss=2", "run --set evaluation.loss=2"),
        (("run", "--set", "seed=1"), f"{AGAIN} --set evaluation.loss=2", "run --set seed=1 --set evaluation.loss=2"),
        (("run", "--schema", "old"), f"{AGAIN} --schema schemas", "run --schema schemas"),
        (
            ("run", "--data", "x", "--root", "r", "--label", "first"),
            "mnist-tfx schema propose ... --labels 10",
            "schema propose --data x --label first --labels 10",
        ),
        (("run", "--data", "x", "--data", "y"), "mnist-tfx data inspect ...", "data inspect x y"),
        (("lineage", "show"), f"{AGAIN} --transpose", "run ... --transpose"),
    ],
)
def test_a_command_is_completed_from_what_was_given(called, given, offered, completed):
    called(*given)
    assert complete(f"{offered} # why") == f"/usr/bin/mnist-tfx {completed} # why"


REFUSED = Refused(
    "the images look odd", where="SchemaGate", facts=["one", "two"], commands=[f"{AGAIN} --x 1 # mends it"]
)


def test_a_refusal_is_printed_as_cause_facts_and_commands(called, capsys):
    called("run")
    print_error(REFUSED)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "mnist-tfx: SchemaGate: the images look odd",
        "  one",
        "  two",
        "    /usr/bin/mnist-tfx run --x 1   # mends it",
    ]


def test_a_refusal_keeps_its_structure_in_an_answer(called, capsys):
    called("lineage", "show")
    print_answer(Answer(error=REFUSED))
    said = capsys.readouterr().out
    assert '"facts": [\n      "one",\n      "two"\n    ]' in said
    assert '"commands": [' in said


def test_a_refusal_crosses_a_process_boundary_whole_and_is_one_line_in_a_log():
    assert MnistTfxError.from_dict(REFUSED.to_dict()).to_dict() == REFUSED.to_dict()
    assert str(REFUSED) == "SchemaGate: the images look odd: one; two: try `mnist-tfx run ... --x 1`"
    assert set(Refused("no").to_dict()) == {"kind", "what", "where", "wanted", "got", "hint"}


def check(name, value, threshold, reason):
    return Check(name=name, value=value, threshold=threshold, passed=False, reason=reason)


def test_a_missed_floor_names_the_key_that_it_comes_from():
    verdict = Verdict(
        baseline="none",
        checks=(
            check("accuracy", 0.9167, 0.94, "test accuracy 0.9167, wanted at least 0.94"),
            check("loss", 0.2712, 0.25, "test cross entropy 0.2712, wanted at most 0.25"),
        ),
    )
    error = refusal(verdict, "Evaluator")
    assert error.what.endswith("test accuracy 0.9167, wanted at least 0.94")
    assert error.facts == ("test cross entropy 0.2712, wanted at most 0.25",)
    assert error.commands[0].startswith(f"{AGAIN} --set evaluation.accuracy=0.91 --set evaluation.loss=0.28 #")


def test_a_candidate_that_is_worse_than_the_baseline_names_the_margin():
    verdict = Verdict(
        baseline="version 3", checks=(check("baseline", -0.034, -0.01, "accuracy less that of version 3"),)
    )
    assert refusal(verdict, "Evaluator").commands[0].startswith(f"{AGAIN} --set evaluation.baseline_margin=0.04 #")


def test_no_floor_is_offered_where_none_would_help():
    verdict = Verdict(baseline="none", checks=(check("slices", 9, 10, "no test rows of label 7"),))
    assert not any("--set" in command for command in refusal(verdict, "Evaluator").commands)
