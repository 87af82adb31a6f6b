"""Chapters are made once for equal records: taken only where the artifacts are what was recorded, and only one's own."""

import dataclasses
import json
import os
import shutil

import pytest
from markupsafe import Markup

from components.errors import EnvironmentProblem
from pipeline.provenance.artifacts import measure
from pipeline.provenance.records import DataSource
from pipeline.report import kept_chapters, page, run_data, write


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_TFX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reports"


@pytest.fixture
def recorded(evidence):
    """The run, its artifacts recorded as they are."""
    root = evidence.paths.root

    def as_it_is(record):
        outputs = {
            channel: tuple(measure(root, one.path, type_name=one.type) for one in group)
            for channel, group in record.outputs.items()
        }
        return dataclasses.replace(record, outputs=outputs)

    executions = {node: as_it_is(record) for node, record in evidence.executions.items()}
    return dataclasses.replace(evidence, executions=executions)


class Reports:
    """Reports on a run, each as a new process writes it; counts how often models are asked and rows are read."""

    def __init__(self, monkeypatch, answers):
        self.asked = self.read = 0
        self.answers = answers
        self._patch = monkeypatch
        read = page._rows

        def rows(evidence):
            self.read += 1
            return read(evidence)

        monkeypatch.setattr(page, "_rows", rows)
        monkeypatch.setattr(write, "answered", lambda *_: self.answer())

    def answer(self):
        self.asked += 1
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers

    def on(self, evidence):
        fresh = dataclasses.replace(evidence)  # without what it has looked at
        self._patch.setattr(run_data, "gather", lambda *_: fresh)
        return write.write(evidence.paths.root).path.read_text()


@pytest.fixture
def reports(monkeypatch, answers):
    return Reports(monkeypatch, answers)


def test_a_second_report_on_equal_records_reads_no_rows_and_asks_no_model(recorded, reports, cache):
    first, second = reports.on(recorded), reports.on(recorded)
    assert second == first
    assert "Confusion matrix" in second
    assert (reports.asked, reports.read) == (1, 1)
    [file] = cache.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700
    kept = kept_chapters.read(recorded)
    assert kept.keys() == page.RECORDED
    assert isinstance(kept["data"].html, Markup)
    assert kept["network"].absent == "the model has no SavedModel"


def test_what_is_about_the_run_is_made_anew(recorded, reports):
    reports.on(recorded)
    nodes = tuple(dataclasses.replace(node, state="cached", why="for another reason") for node in recorded.run.nodes)
    text = reports.on(dataclasses.replace(recorded, run=dataclasses.replace(recorded.run, nodes=nodes)))
    assert "for another reason" in text
    assert reports.asked == 1


@pytest.mark.parametrize("name", ["Split-test/data_tfrecord-00000-of-00001", "data.json"])
def test_of_changed_artifacts_nothing_is_taken_and_nothing_is_kept(recorded, reports, cache, name):
    reports.on(recorded)
    [kept] = [file.read_bytes() for file in cache.iterdir()]
    (recorded.artifact("ExampleGen", "examples") / name).write_bytes(b"")
    assert "Left out" in reports.on(recorded)
    assert reports.asked == 2
    assert [file.read_bytes() for file in cache.iterdir()] == [kept]


def test_of_artifacts_that_are_gone_the_page_says_so(recorded, reports):
    reports.on(recorded)
    shutil.rmtree(recorded.artifact("ExampleGen", "examples"))
    assert "the artifact examples of ExampleGen is not there any more" in reports.on(recorded)


def test_of_artifacts_that_were_never_as_recorded_nothing_is_kept(evidence, reports, cache):
    reports.on(evidence)
    assert not cache.exists()


def test_without_answers_nothing_is_kept(recorded, reports, cache):
    reports.answers = EnvironmentProblem("its process ended", where="report")
    assert "The models could not be asked" in reports.on(recorded)
    assert not cache.exists()


def other_node(run):
    first, *rest = run.nodes
    return {"nodes": (dataclasses.replace(first, record="another"), *rest)}


@pytest.mark.parametrize(
    "change",
    [
        other_node,
        lambda run: {"nodes": run.nodes[:-1]},
        lambda run: {"settings": {**run.settings, "name": "other"}},
        lambda _: {"sources": (DataSource(name="other", payload_digest="f" * 64, bytes=123),)},
        lambda _: {"status": "refused"},
    ],
)
def test_other_records_have_other_chapters(recorded, reports, change):
    reports.on(recorded)
    other = dataclasses.replace(recorded.run, **change(recorded.run))
    assert kept_chapters.read(recorded)
    assert not kept_chapters.read(dataclasses.replace(recorded, run=other))


@pytest.mark.parametrize("spoilt", [b"", b"{", b"[]", b'{"data": {}}', b'{"data": []}', b'{"data": {"html": 1}}'])
def test_a_file_that_is_not_whole_is_written_over(recorded, reports, cache, spoilt):
    wanted = reports.on(recorded)
    [file] = cache.iterdir()
    file.write_bytes(spoilt)
    assert reports.on(recorded) == wanted
    assert reports.on(recorded) == wanted
    assert reports.asked == 2


@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_others_can_write_to_is_not_used(recorded, reports, cache, which):
    wanted = reports.on(recorded)
    [file] = cache.iterdir()
    fields = json.loads(file.read_text())
    file.write_text(json.dumps({**fields, "data": {**fields["data"], "html": "<p>somebody else's</p>"}}))
    (file if which == "file" else cache).chmod(0o777)
    assert reports.on(recorded) == wanted


def test_a_cache_that_cannot_be_made_is_no_failure(recorded, reports, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MNIST_TFX_CACHE", str(tmp_path / "file" / "cache"))
    assert "Confusion matrix" in reports.on(recorded)


def test_those_that_were_used_last_are_kept(recorded, reports, cache, monkeypatch):
    monkeypatch.setattr(kept_chapters, "MOST", 2)
    runs = [
        dataclasses.replace(
            recorded, run=dataclasses.replace(recorded.run, settings={**recorded.run.settings, "name": f"run-{n}"})
        )
        for n in range(3)
    ]
    for number, run in enumerate(runs):
        reports.on(run)
        for age, file in enumerate(sorted(cache.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)):
            os.utime(file, (1e9 + number - age, 1e9 + number - age))
    assert [bool(kept_chapters.read(run)) for run in runs] == [False, True, True]
