"""The package mnist_tfx on the digits: a run that reuses everything, and the questions to its root."""

import asyncio
import os
import signal

import numpy as np
import pytest
from PIL import Image

import mnist_tfx
from components.digest import tree_digest

pytestmark = pytest.mark.e2e


def _broken(audit):
    """Returns what is wrong with bytes and records; a rule is broken by every run of a tree that is being worked on."""
    return [str(finding) for finding in audit.findings if finding.verdict != "POLICY"]


@pytest.fixture(scope="module")
def opened(first_run):
    return mnist_tfx.open(first_run[0])


@pytest.fixture(scope="module")
def rows(digits_folder):
    """The first ten images of the digits, uint8 [10, 8, 8]."""
    [images] = digits_folder.glob("*images*")
    return np.frombuffer(images.read_bytes()[16 : 16 + 640], np.uint8).reshape(-1, 8, 8)


def test_a_run_inside_an_event_loop_reuses_what_the_command_line_made(root, digits_folder):
    said, handlers = [], [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async def notebook():
        return mnist_tfx.run(data=digits_folder, root=root, say=said.append)

    done = asyncio.run(notebook())
    assert set(done.nodes.values()) == {"cached"}
    assert (done.version, done.root, done.serving_path) == (1, root, root / "serving" / "1")
    assert done.metrics["accuracy"] > 0.9
    assert done.report.is_file()
    assert done.nodes.keys() <= {line.partition(" ")[0] for line in said}
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_an_interruption_is_settled_before_it_is_raised(root, digits_folder):
    def say(line):
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt):
        mnist_tfx.run(data=digits_folder, root=root, say=say)
    assert _broken(mnist_tfx.open(root).newest.audit()) == []


def test_a_run_that_is_refused_raises_and_serves_nothing(tmp_path, digits_folder):
    with pytest.raises(mnist_tfx.BadInput, match="--force: no such choice: wanted ExampleGen"):
        mnist_tfx.run(data=digits_folder, recipe="digits", root=tmp_path / "root", force=["Tuner"])
    assert not (tmp_path / "root").exists()


def test_versions_tell_their_lineage_and_pass_their_audit(opened):
    [version] = opened.versions
    assert version == opened.newest == opened.version(1)
    lineage = version.lineage()
    assert lineage.sha256 == tree_digest(version.path)
    assert {"Classifier", "ExampleGen"} <= {node.name for node in lineage.graph.nodes.values()}
    assert _broken(version.audit()) == []
    assert [audit.version for audit in opened.audit()] == [1]
    with pytest.raises(mnist_tfx.BadInput, match="no such version: wanted one of 1, got 7"):
        opened.version(7)


def test_models_answer_arrays_and_pictures_and_leave_the_environment_alone(opened, rows, tmp_path):
    before, picture = dict(os.environ), tmp_path / "0.png"
    Image.fromarray(255 - np.kron(rows[0] * 15, np.ones((20, 20), np.uint8))).save(picture)
    model = opened.newest.model()
    probabilities = model(rows)
    assert probabilities.shape == (10, 10)
    assert [one.label for one in model.predict(rows)] == probabilities.argmax(1).tolist()
    [read] = opened.newest.predict(picture)
    assert (read.label, read.state, read.path) == (0, "read", picture)
    assert dict(os.environ) == before
    for wrong in (rows.astype(float), rows[:, :7], rows + 100):
        with pytest.raises(mnist_tfx.BadInput, match="not images of this model"):
            model(wrong)


def test_a_model_with_other_bytes_than_were_pushed_is_not_loaded(root):
    with (root / "serving" / "1" / "saved_model.pb").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(mnist_tfx.Refused, match="not those that were pushed"):
        mnist_tfx.open(root).newest.model()


def test_used_in_finds_the_models_of_an_image_and_says_no_of_another(opened, rows):
    found = opened.used_in(rows[0])
    assert (found.answer, [model.version for model in found.models]) == ("yes", [1])
    assert opened.used_in(np.zeros((8, 8), np.uint8)).answer == "no"
