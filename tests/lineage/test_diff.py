"""What changed between two served versions: every kind of change, causes first, and what can no longer be told."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from command_line import in_process

from components.digest import merkle_root
from components.errors import BadInput, SeveralProblems
from components.ingest.rows import INDEX
from pipeline.cli.lineage.diff_text import diff_lines
from pipeline.lineage.diff.diff import diff
from pipeline.provenance.artifacts import measure
from pipeline.provenance.code import Code
from pipeline.provenance.git import GitState
from pipeline.provenance.records import Environment

TRAINERS = ("Autoencoder", "Classifier")
NODES = (
    "ExampleGen",
    "StatisticsGen",
    "ReviewedSchema",
    "ExampleValidator",
    "SchemaGate",
    "Transform",
    *TRAINERS,
    "Baseline",
    "Evaluator",
    "SavedModelCheck",
)
ROWS = {"train": ("a0", "b1", "c2", "d3", "e4", "f5", "g6"), "validation": ("v0", "w1"), "test": ("x8", "y9")}


def digest(text):
    return hashlib.sha256(text.encode()).digest()


def index(rows):
    """One row of the index for each text: pixels by its first character, the label is the second."""
    entries = [(digest(row), digest(row[0]), int(row[1])) for row in rows]
    return np.array(sorted(entries), dtype=INDEX)


class Versions:
    """A root in which the same pipeline is run again with one fact changed."""

    def __init__(self, root):
        self.root, self.number, self.rows, self.changes = root, 1, ROWS, {}
        self._record, root._record = root._record, self._changed
        self._metrics = {"accuracy": 0.97, "loss": 0.125, "per_class": {"0": {"accuracy": 1.0}}}

    def serve(self, *, salt="", rows=None, metrics=None, **changes):
        """Runs every node; `changes` are functions on records, by node or `every`."""
        self.number += 1
        self.rows, self.changes = rows or self.rows, changes
        self.root.run_id = f"run-{self.number}"
        for node in NODES:
            self.root.execute(node, salt=(salt or f"bytes of {self.number}") if node == "Classifier" else "")
        self.root.push(self.number)
        self.finish(metrics or self._metrics)
        return self.number

    def finish(self, metrics):
        from pipeline.provenance.record_store import write

        record = self.run_record(run_id=self.root.run_id, metrics=metrics)
        self.root.ledger.run(run_id=self.root.run_id, record=write(self.root.paths.records, record))

    def _changed(self, node, salt):
        record = dataclasses.replace(self._record(node, salt), parameters={"settings": '{"seed":0,"epochs":3}'})
        if node == "ExampleGen":
            record = self._ingested(record)
        for key in (node, "every"):
            record = self.changes.get(key, lambda same: same)(record)
        return record

    def _ingested(self, record):
        [entry] = record.outputs["examples"]
        splits = {}
        for split, rows in self.rows.items():
            file = self.root.path / entry.path / "row_index" / f"{split}.npy"
            file.parent.mkdir(exist_ok=True)
            np.save(file, index(rows))
            splits[split] = {"rows": len(rows), "rows_digest": merkle_root(sorted(map(digest, rows)))}
        entry = measure(self.root.path, entry.path, type_name="Examples")
        together = sorted(digest(row) for rows in self.rows.values() for row in rows)
        data = {**record.extra["data"], "rows_digest": merkle_root(together), "splits": splits}
        return dataclasses.replace(record, outputs={"examples": (entry,)}, extra={"data": data})


@pytest.fixture
def served(root, make_run):
    """Version 2 with rows, settings and metrics; what is served after it is compared with it."""
    versions = Versions(root)
    versions.run_record = make_run
    versions.serve()
    return versions


def settings(**values):
    return lambda record: dataclasses.replace(
        record, parameters={"settings": json.dumps({"seed": 0, "epochs": 3, **values})}
    )


def replaced(**fields):
    return lambda record: dataclasses.replace(record, **fields)


def section(found, kind):
    return next(section for section in found.sections if section.kind == kind)


def compared(served, **what):
    return diff(served.root.path, 2, served.serve(**what))


def causes(found):
    return [section.kind for section in found.sections if section.is_cause]


def test_a_version_and_itself_are_the_same_bytes(served):
    found = diff(served.root.path, 2, 2)
    assert found.verdict == "nothing: the same bytes"
    assert found.sections == ()


def test_another_baseline_is_a_fact_by_itself_and_neither_a_setting_nor_a_cause(served):
    found = compared(served, Baseline=replaced(parameters={"baseline_digest": "f" * 64}))
    assert [(change.key, change.new) for change in section(found, "baseline").changes] == [("sha256", "f" * 64)]
    assert causes(found) == []


def test_other_versions_of_the_same_bytes_are_called_so(served):
    found = compared(served, salt="bytes of 2")
    assert found.same_bytes
    assert found.verdict == "nothing: the same bytes"


def test_the_seed_alone_is_said_as_such(served):
    found = compared(served, **{node: settings(seed=1) for node in TRAINERS})
    assert found.verdict == "nothing but the seed"
    assert [(change.key, change.old, change.new) for change in section(found, "settings").changes] == [
        ("autoencoder.seed", 0, 1),
        ("classifier.seed", 0, 1),
    ]


def test_the_seed_and_another_setting_are_not_the_seed_alone(served):
    found = compared(served, Autoencoder=settings(seed=1), Classifier=settings(epochs=4))
    assert found.verdict == "settings (2)"


def test_a_setting_that_decides_about_the_model_alone_is_no_cause(served):
    found = compared(served, Classifier=settings(seed=1), Evaluator=settings(accuracy=0.5))
    assert found.verdict == "nothing but the seed"
    assert (section(found, "settings").causes, section(found, "settings").count) == (1, 2)
    assert "evaluation.accuracy" in [change.key for change in section(found, "settings").changes]


def test_bytes_that_changed_without_a_cause_are_laid_to_training(served):
    assert compared(served).verdict == "nothing that is recorded: training was not set to be deterministic"


def test_rows_added_removed_relabelled_and_moved_are_told_apart(served):
    rows = {"train": ("a0", "b1", "c7", "d3", "e4", "h8"), "validation": ("v0", "f5"), "test": ("x8", "y9")}
    found = compared(served, rows=rows)
    train, validation = section(found, "data").rows
    assert (train.split, train.before, train.after) == ("train", 7, 6)
    assert train.counts == {"added": 1, "removed": 1, "relabelled": 1, "moved": 1}
    assert [(row.label, row.new_label) for row in train.first["relabelled"]] == [(2, 7)]
    assert [(row.row, row.split) for row in train.first["moved"]] == [(digest("f5").hex(), "validation")]
    assert [row.row for row in train.first["added"]] == [digest("h8").hex()]
    assert [row.row for row in train.first["removed"]] == [digest("g6").hex()]
    assert validation.counts == {"added": 0, "removed": 1, "relabelled": 0, "moved": 0}
    assert found.verdict == "data (5)"


def test_one_of_two_equal_rows_less_is_one_row_removed(served):
    served.serve(rows={**ROWS, "test": ("x8", "x8", "y9")})
    found = diff(served.root.path, 3, 2)
    assert section(found, "data").rows[0].counts == {"added": 0, "removed": 1, "relabelled": 0, "moved": 0}


def test_of_many_rows_the_first_few_are_shown_and_all_are_counted(served):
    found = compared(served, rows={**ROWS, "test": tuple(f"{letter}3" for letter in "hijklmnopq")})
    [split] = section(found, "data").rows
    assert split.counts["added"] == 10
    assert len(split.first["added"]) == 5
    assert "and 5 more" in "\n".join(map(str, diff_lines(found)))


def test_without_the_row_index_the_records_still_say_which_split_changed(served):
    served.serve(rows={**ROWS, "test": ("x8",)})
    shutil.rmtree(served.root.path / "artifacts" / "ExampleGen")
    found = diff(served.root.path, 2, 3)
    [split] = section(found, "data").rows
    assert (split.split, split.before, split.after, split.counts) == ("test", 2, 1, None)
    assert "test.npy of version 2 is gone" in found.unknown[0]


def test_a_row_index_that_was_changed_is_not_believed(served):
    served.serve(rows={**ROWS, "test": ("x8",)})
    changed = served.root.path / "artifacts/ExampleGen/examples/2/row_index/test.npy"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\1")
    assert "is not what was recorded" in diff(served.root.path, 2, 3).unknown[0]


def test_diff_cannot_tell_where_nothing_changed_on_record_and_not_all_is_known(served):
    def without_digests(record):
        data = {name: value for name, value in record.extra["data"].items() if name not in ("splits", "rows_digest")}
        return dataclasses.replace(record, extra={"data": data})

    for _ in range(2):
        served.serve(ExampleGen=without_digests)
    answer = in_process("lineage", "diff", "3", "4", "--root", served.root.path, "--json")
    assert (answer.code, answer.status) == (5, "unknown")
    assert answer.error == "rows of the data: an ingest without row digests, or none"
    assert answer.json["verdict"] == "nothing that can still be told"


def test_equal_rows_need_no_row_index(served):
    served.serve(Classifier=settings(seed=1))
    shutil.rmtree(served.root.path / "artifacts" / "ExampleGen")
    assert diff(served.root.path, 2, 3).verdict == "nothing but the seed"


def test_the_same_rows_in_other_files_are_no_cause(served):
    def renamed(record):
        files = [{**file, "payload_digest": "f" * 64} for file in record.extra["data"]["files"]]
        return dataclasses.replace(record, extra={"data": {**record.extra["data"], "files": files}})

    found = compared(served, ExampleGen=renamed)
    assert causes(found) == []
    assert section(found, "files").count == 2


def test_a_changed_schema_names_its_file(served):
    def reviewed_again(record):
        [entry] = record.outputs["schema"]
        files = {"schema.pbtxt": {"sha256": "e" * 64, "bytes": 1}}
        outputs = {**record.outputs, "schema": (dataclasses.replace(entry, files=files),)}
        return dataclasses.replace(record, outputs=outputs)

    found = compared(served, ReviewedSchema=reviewed_again)
    assert causes(found) == ["schema"]
    assert "schema.pbtxt" in [change.key for change in section(found, "schema").changes]


def test_a_changed_file_of_code_names_the_nodes_that_ran_it(served):
    other = Code(digest="0" * 64, files={"components/digest.py": "1" * 64})
    found = compared(served, Transform=replaced(code=other))
    [change] = section(found, "code").changes
    assert (change.key, change.new, change.nodes) == ("components/digest.py", "1" * 64, ("Transform",))
    assert found.verdict == "code (1)"


def test_a_changed_package_and_python_are_environment(served):
    other = Environment(
        python="3.12.1", platform="Linux-6.1-x86_64", packages={"tfx": "1.16.0", "numpy": "2.1.0"}, device="cpu"
    )
    found = compared(served, every=replaced(environment=other))
    assert [(change.key, change.new) for change in section(found, "environment").changes] == [
        ("packages.numpy", "2.1.0"),
        ("python", "3.12.1"),
    ]


def test_a_changed_lock_is_a_cause_and_another_commit_is_not(served):
    found = compared(served, every=replaced(lock_digest="2" * 64, git=GitState(commit="b" * 40, tree="clean")))
    assert found.verdict == "lock (1)"
    assert section(found, "git").count == 1


def test_metrics_that_differ_by_the_order_of_a_sum_are_the_same(served):
    found = compared(served, metrics={"accuracy": 0.97, "loss": 0.125 + 1e-16, "per_class": {"0": {"accuracy": 0.9}}})
    assert [change.key for change in section(found, "metrics").changes] == ["per_class.0.accuracy"]


def test_the_smallest_set_of_causes_comes_first_and_metrics_last(served):
    found = compared(
        served,
        rows={**ROWS, "train": ("a0",)},
        metrics={"accuracy": 0.5},
        every=replaced(lock_digest="2" * 64),
        Autoencoder=settings(epochs=5, seed=2),
    )
    assert [section.kind for section in found.sections] == ["lock", "settings", "data", "metrics"]


def test_versions_whose_files_are_all_gone_are_compared_by_their_records(served):
    served.serve(Classifier=settings(seed=1))
    for folder in ("artifacts", "serving"):
        shutil.rmtree(served.root.path / folder)
    found = diff(served.root.path, 2, 3)
    assert found.verdict == "nothing but the seed"
    assert any("its model is gone" in text for text in found.unknown)


def test_a_version_whose_push_was_not_recorded_goes_by_its_provenance(served):
    number = served.serve(Classifier=settings(seed=1))
    lines = served.root.paths.ledger.read_text().splitlines(keepends=True)
    kept = next(i for i, line in enumerate(lines) if json.loads(line).get("node") == "Pusher" and "run-3" in line)
    served.root.paths.ledger.write_text("".join(lines[:kept]))
    assert diff(served.root.path, 2, number).verdict == "nothing but the seed"


def test_an_unknown_version_is_refused_with_those_that_are_known(served):
    with pytest.raises(BadInput, match="wanted one of 1, 2, got 9"):
        diff(served.root.path, 1, 9)


def test_both_unknown_versions_are_said_at_once(served):
    with pytest.raises(SeveralProblems) as caught:
        diff(served.root.path, 8, 9)
    assert [(problem.what, problem.got) for problem in caught.value.problems] == [
        ("no such version", 8),
        ("no such version", 9),
    ]


def test_an_empty_root_says_how_to_get_a_version(tmp_path):
    with pytest.raises(BadInput, match="mnist-tfx run makes one"):
        diff(tmp_path, 1, 2)


def test_the_answer_fits_its_schema_and_text_shows_markup_as_text(served):
    rows = {**ROWS, "train": ("a0", "b7", "z1")}
    number = served.serve(rows=rows, Classifier=settings(note="[bold]x[/bold]"))
    arguments = ("lineage", "diff", "2", number, "--root", served.root.path)
    assert in_process(*arguments, "--json").status == "ok"
    text = in_process(*arguments).out
    assert "[bold]x[/bold]" in text
    assert "1 -> 7" in text


def test_comparing_imports_neither_tensorflow_nor_tfx_nor_numpy(served):
    number = served.serve(rows={**ROWS, "test": ("x8",)})
    code = (
        "import sys; from pathlib import Path; from pipeline.lineage.diff.diff import diff; "
        f"diff(Path({str(served.root.path)!r}), 2, {number}); "
        "print([name for name in ('tensorflow', 'tfx', 'numpy', 'ml_metadata') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
