"""What a version is run again with, and when it counts as reproduced; nothing here trains."""

import dataclasses
import json
import os
import subprocess

import numpy as np
import pytest

from components.digest import sha256_bytes
from components.errors import BadInput, EnvironmentProblem
from components.ingest import discovery, idx, source
from components.settings import DataSettings, HashSplit
from pipeline.config.recipe import load_recipe
from pipeline.lineage.diff.diff import Change, Section
from pipeline.lineage.versions import RecordedVersion
from pipeline.provenance.code import Code
from pipeline.provenance.git import GitState
from pipeline.runner.reproduce import checkout, recorded_inputs
from pipeline.runner.reproduce.reproduce import (
    BITS,
    CANNOT_TELL,
    NOT,
    TOLERANCE,
    Figure,
    Options,
    Reproduction,
    reproduce,
)

SHAPE = (4, 3)
SETTINGS = {
    "Transform": {"scaling": "minmax"},
    "Autoencoder": {"latent": 5, "seed": 3},
    "Classifier": {"epochs": 2, "seed": 3},
    "SchemaGate": {"drift": "warn"},
    "Evaluator": {"accuracy": 0.5},
}


def idx_pair(folder, name, seed):
    rng = np.random.default_rng(seed)
    paths = folder / f"{name}-images-idx3-ubyte", folder / f"{name}-labels-idx1-ubyte"
    idx.write_images(paths[0], rng.integers(0, 256, (20, *SHAPE), dtype=np.uint8))
    idx.write_labels(paths[1], rng.integers(0, 10, 20))
    return paths


def csv_file(folder, name, seed):
    rng = np.random.default_rng(seed)
    rows = np.column_stack([rng.integers(0, 10, 20), rng.integers(0, 256, (20, 12))])
    np.savetxt(folder / name, rows, fmt="%d", delimiter=",")
    return (folder / name,)


def written(kind, folder):
    """Returns the form, the split of the recipe and the parts of some data."""
    folder.mkdir()
    if kind == "an IDX set":
        parts = [("train", idx_pair(folder, "train", 1)), ("test", idx_pair(folder, "t10k", 2))]
    elif kind == "two IDX pairs in their order":
        parts = [("train", idx_pair(folder, "b-train", 1)), ("train", idx_pair(folder, "a-train", 2))]
    elif kind == "one CSV file":
        parts = [("train", csv_file(folder, "all.csv", 1))]
    else:
        files = [("train", "x.tra"), ("train", "y.tra"), ("test", "z.tes")]
        parts = [(split, csv_file(folder, name, seed)) for seed, (split, name) in enumerate(files)]
    form = "csv" if "CSV" in kind else "idx"
    return form, "rows:30,10" if "order" in kind else HashSplit(), parts


def properties(form, split, parts):
    described = [{"split": part, "files": [str(file) for file in files]} for part, files in parts]
    data = DataSettings(shape=SHAPE, pixel_max=255, split=split).to_json()
    return {"source": json.dumps(described), "form": form, "settings": data, "code_digest": "c0de"}


@pytest.fixture
def version(tmp_path, make_execution):
    """Returns a function from a kind of data to a version that was made from it."""

    def make(kind):
        root = tmp_path / "root"
        resolved = source.resolve(properties(*written(kind, tmp_path / "data")), root)
        contents = source.read_contents(root / resolved["input_base"])
        executions = {
            node: make_execution(node=node, parameters={"settings": json.dumps(section)})
            for node, section in SETTINGS.items()
        }
        executions["ExampleGen"] = make_execution(
            node="ExampleGen", parameters=resolved, extra={"data": {"files": contents}}
        )
        schema = {"geometry": "4x3-max255-labels10", "schema_sha256": "0" * 64, "source": "inputs/schema-0"}
        executions["ReviewedSchema"] = make_execution(node="ReviewedSchema", parameters=schema)
        return RecordedVersion(
            root=root, version=1, sha256="a" * 64, run_id="run-1", executions=executions, metrics={"accuracy": 0.9}
        )

    return make


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.mark.parametrize(
    "kind", ["an IDX set", "two IDX pairs in their order", "one CSV file", "CSV files of train and test"]
)
def test_the_roots_copies_are_the_same_input_again(version, work, kind):
    recorded = version(kind)
    request = recorded_inputs.prepare(recorded, work).request
    found = discovery.discover(request.data)
    ingest = recorded.executions["ExampleGen"].parameters
    split = DataSettings.from_json(ingest["settings"]).split
    again = properties(found.form, split, [(part.split, part.files) for part in found.parts])
    assert source.resolve(again, work / "fresh")["input_fingerprint"] == ingest["input_fingerprint"]


def test_the_recipe_is_that_of_the_records(version, work):
    request = recorded_inputs.prepare(version("an IDX set"), work).request
    settings = load_recipe(request.recipe)
    assert (settings.name, settings.data.shape) == ("digits", SHAPE)
    assert (settings.autoencoder.latent, settings.classifier.epochs) == (5, 2)
    assert (settings.autoencoder.seed, settings.classifier.seed) == (3, 3)
    assert (settings.gates.drift, settings.evaluation.accuracy) == ("warn", 0.5)


def test_a_schema_that_is_gone_is_taken_from_the_installation_and_said(version, work):
    prepared = recorded_inputs.prepare(version("an IDX set"), work)
    assert prepared.request.schema is None
    assert "the installed one was taken" in prepared.notes[0]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda copy: copy.unlink(), "cannot be read"),
        (lambda copy: copy.write_bytes(copy.read_bytes() + b"x"), "cannot be read"),
        (lambda copy: copy.write_bytes(copy.read_bytes()[:-1] + b"\xaa"), "was changed"),
    ],
)
def test_a_copy_that_is_gone_or_changed_is_named_and_can_be_given_again(version, work, tmp_path, damage, what):
    recorded = version("an IDX set")
    damage(recorded.root / recorded.executions["ExampleGen"].parameters["input_base"] / "test-labels")
    with pytest.raises(EnvironmentProblem, match=f"test-labels: a copy of the data {what}.*--data"):
        recorded_inputs.prepare(recorded, work)
    (tmp_path / "work2").mkdir()
    given = (tmp_path / "data",)
    assert recorded_inputs.prepare(recorded, tmp_path / "work2", given).request.data == given


def test_a_folder_that_is_not_empty_is_refused_before_anything_runs(root, tmp_path):
    (tmp_path / "something").touch()
    with pytest.raises(BadInput, match="not an empty folder"):
        reproduce(root.path, 1, Options(to=tmp_path), view=None)


EQUAL = (Figure(name="accuracy", recorded=0.97, found=0.97), Figure(name="loss", recorded=0.1, found=0.1 + 1e-15))
CLOSE = (Figure(name="accuracy", recorded=0.97, found=0.965), Figure(name="loss", recorded=0.1, found=0.105))
FAR = (Figure(name="accuracy", recorded=0.97, found=0.9), Figure(name="loss", recorded=0.1, found=0.105))
UNKNOWN = (Figure(name="accuracy", recorded=None, found=0.9),)
LOCK = Section(kind="lock", changes=(Change(key="requirements.lock", old="a", new="b"),))


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"metrics": EQUAL}, BITS),
        ({"metrics": EQUAL, "unpinned": (LOCK,)}, BITS),
        ({"metrics": EQUAL, "differing": ("a",)}, NOT),
        ({"metrics": CLOSE, "differing": ("a",)}, NOT),
        ({"metrics": CLOSE, "differing": ("a",), "deterministic": False}, TOLERANCE),
        ({"metrics": CLOSE, "differing": ("a",), "unpinned": (LOCK,)}, TOLERANCE),
        ({"metrics": FAR, "differing": ("a",), "deterministic": False}, NOT),
        ({"metrics": CLOSE, "tensors": None}, TOLERANCE),
        ({"metrics": UNKNOWN, "tensors": None}, CANNOT_TELL),
        ({"metrics": UNKNOWN, "differing": ("a",), "deterministic": False}, CANNOT_TELL),
        ({"metrics": UNKNOWN}, BITS),
        ({"metrics": UNKNOWN, "differing": ("a",)}, NOT),
        ({"metrics": (*UNKNOWN, *FAR), "tensors": None}, NOT),
        ({"metrics": EQUAL, "findings": ("the served bytes are others",)}, NOT),
    ],
)
def test_bits_count_where_they_were_promised_and_metrics_elsewhere(version, fields, verdict):
    defaults = {
        "version": version("an IDX set"),
        "root": None,
        "tensors": ("a", "b"),
        "differing": (),
        "unpinned": (),
        "deterministic": True,
    }
    found = Reproduction(**{**defaults, **fields})
    assert found.verdict == verdict
    assert found.reproduced == (verdict in (BITS, TOLERANCE))
    assert (found.unknown is None) == (verdict != CANNOT_TELL)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit of one file of code."""
    folder = tmp_path / "repository"
    (folder / "pipeline").mkdir(parents=True)
    (folder / "pipeline" / "stage.py").write_text("print('recorded')\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, env=clean)
    monkeypatch.setattr(checkout, "PROJECT", folder)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, env=clean, capture_output=True)
    return folder, head.stdout.decode().strip()


def at_commit(version, commit, *, tree="clean", content="print('recorded')\n"):
    code = Code(digest="0" * 64, files={"pipeline/stage.py": sha256_bytes(content.encode())})
    git = GitState(commit=commit, tree=tree)
    executions = {node: dataclasses.replace(record, code=code, git=git) for node, record in version.executions.items()}
    return dataclasses.replace(version, executions=executions)


def test_the_recorded_commit_is_written_out_while_the_tree_has_moved_on(version, repository, tmp_path):
    folder, commit = repository
    (folder / "pipeline" / "stage.py").write_text("print('changed since')\n")
    recorded = at_commit(version("an IDX set"), commit)
    assert checkout.other_files(recorded, folder) == ["pipeline/stage.py"]
    assert checkout.is_available(recorded)
    assert checkout.other_files(recorded, checkout.extracted(recorded, tmp_path / "code")) == []


@pytest.mark.parametrize(
    ("commit", "changes", "error", "what"),
    [
        (None, {}, BadInput, "never committed"),
        ("head", {"tree": "dirty"}, BadInput, "never committed"),
        ("f" * 40, {}, EnvironmentProblem, "not here"),
        ("head", {"content": "other"}, EnvironmentProblem, "does not hold the recorded code.*stage.py"),
    ],
)
def test_code_that_cannot_be_had_again_is_refused(version, repository, tmp_path, commit, changes, error, what):
    recorded = at_commit(version("an IDX set"), repository[1] if commit == "head" else commit, **changes)
    with pytest.raises(error, match=what):
        checkout.extracted(recorded, tmp_path / "code")
