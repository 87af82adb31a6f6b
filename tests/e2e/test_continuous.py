"""Runs on a schedule: a new span is trained on, an old one is left alone, and a changed recipe is no excuse."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import mnist_tfx

from components.digest import tree_digest
from components.ingest import idx, source
from components.schema_files import find_reviewed
from pipeline.config.request import Request, configure, settings_and_paths
from pipeline.runner import up_to_date
from pipeline.stages import STAGES

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SPANS = {1: slice(0, 800), 2: slice(800, 1600), 3: slice(1600, 1797)}


def write_span(digits_folder, where, number):
    """Writes a part of the digits as a span of its own."""
    folder = where / f"span-{number}"
    folder.mkdir(parents=True)
    images = np.frombuffer((digits_folder / "train-images-idx3-ubyte").read_bytes()[16:], np.uint8).reshape(-1, 8, 8)
    labels = np.frombuffer((digits_folder / "train-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
    idx.write_images(folder / "train-images-idx3-ubyte", images[SPANS[number]])
    idx.write_labels(folder / "train-labels-idx1-ubyte", labels[SPANS[number]])


def run(where, root, *more, spans=2):
    return mnist_tfx("run", "--data", f"{where}/span-{{SPAN}}/", "--spans", spans, "--root", root, *more)


@pytest.fixture(scope="module")
def served(digits_folder, tmp_path_factory):
    """The folder with spans 1 and 2, and a root that serves version 1 of them."""
    where, root = tmp_path_factory.mktemp("spans"), tmp_path_factory.mktemp("runs") / "root"
    for number in (1, 2):
        write_span(digits_folder, where, number)
    answer = run(where, root, "--json")
    assert answer.json["version"] == 1, answer.err
    assert answer.json["nothing_to_do"] is None
    return where, root


@pytest.fixture
def own(served, tmp_path):
    """Copies of both."""
    for folder, name in zip(served, ("spans", "root"), strict=True):
        shutil.copytree(folder, tmp_path / name, symlinks=True)
    return tmp_path / "spans", tmp_path / "root"


def test_without_a_new_span_nothing_is_done_and_nothing_written(served):
    where, root = served
    before = tree_digest(root)
    told, answer = run(where, root), run(where, root, "--json")
    assert (told.code, answer.code) == (0, 0)
    assert told.out == "no new span: version 1 was made from spans 1 and 2; nothing to do\n"
    assert told.err == answer.err == ""
    assert tree_digest(root) == before
    assert answer.json["nothing_to_do"] == told.out.strip()
    assert (answer.status, answer.json["run_id"], answer.json["version"]) == ("ok", None, 1)
    assert set(answer.states().values()) == {"cached"}


def test_fewer_spans_than_asked_for_are_taken_and_it_is_said(served):
    where, root = served
    answer = run(where, root, spans=5)
    assert "5 spans asked for, 2 there: taking those\nno new span" in answer.out


def test_provenance_alone_knows_the_same_work(served):
    where, root = served
    request = Request(data=(Path(f"{where}/span-{{SPAN}}"),), spans=2, root=root)
    settings, paths, files = settings_and_paths(request)
    inputs = source.named_inputs(files.parts, form=files.form, data=settings.data)
    digests = {one.name: one.digest.payload for one in inputs}
    assert up_to_date.newest_version_made_from(paths.serving, digests) == 1
    asked = {
        "payload_digests": digests,
        "settings": up_to_date.sections(settings),
        "code": {node: configure(request, settings, paths, files).code[node].digest for node in STAGES},
        "schema": up_to_date.schema_digests(find_reviewed(settings.data.geometry).schema),
    }
    provenance = up_to_date.newest_served(paths.serving).provenance
    assert up_to_date.same_work(provenance, **asked)
    changed, *_ = settings_and_paths(Request(data=request.data, overrides=("classifier.epochs=3",)))
    assert not up_to_date.same_work(provenance, **{**asked, "settings": up_to_date.sections(changed)})


def test_a_new_span_is_trained_on_and_the_oldest_leaves_the_range(own, digits_folder):
    where, root = own
    write_span(digits_folder, where, 3)
    answer = run(where, root, "--json")
    assert answer.json["version"] == 2, answer.err
    assert {name.partition("/")[0] for name in answer.json["payload_digests"]} == {"span-2", "span-3"}
    assert run(where, root).out == "no new span: version 2 was made from spans 2 and 3; nothing to do\n"
    traced = mnist_tfx("lineage", "trace", 2, "--root", root).out
    assert "span-3/train-images-idx3-ubyte" in traced
    assert "span-1/" not in traced


def test_a_changed_recipe_is_something_to_do_and_other_numbers_are_not_other_data(own):
    where, root = own
    for number in (1, 2):
        (where / f"span-{number}").rename(where / f"span-{number + 6:03d}")
    assert "was made from the same data as spans 7 and 8" in run(where, root).out
    answer = run(where, root, "--set", "evaluation.accuracy=0.5", "--json")
    assert [node for node, state in answer.states().items() if state == "executed"] == ["Evaluator", "Pusher"]
    audited = mnist_tfx("lineage", "audit", "newest", "--root", root, "--json").json["audits"][0]
    assert (audited["verdicts"]["COMPLETENESS"], audited["verdicts"]["INTEGRITY"]) == ("PASS", "PASS"), audited[
        "findings"
    ]


def test_a_newest_span_that_is_incomplete_stops_the_run(own):
    where, root = own
    (where / "span-3").mkdir()
    answer = run(where, root, "--json")
    assert answer.code == 2
    assert "span-3: no data files found" in answer.err
    assert answer.status == "usage"
