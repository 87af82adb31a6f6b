"""A small run that never ran: 4x4 images of three classes, its artifacts written by hand, its models' answers made up."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from components.evaluation.thresholds import Check, Verdict
from components.features import SPLITS
from components.ingest.encode import encode, tfrecord
from components.ingest.rows import INDEX
from components.profile import profile
from components.settings import Settings
from pipeline.provenance.artifacts import ArtifactEntry, ArtifactRef
from pipeline.provenance.code import Code
from pipeline.provenance.git import GitState
from pipeline.provenance.records import DataSource, Environment, ExecutionRecord, NodeOutcome, RunRecord
from pipeline.report.choices import by_error
from pipeline.report.example_rows import ImageRows
from pipeline.report.run_data import RunData
from pipeline.root.paths import RunPaths

LABELS = 3
WHY = "unchanged since run 20261121T021151.105075Z"  # nothing to break it at
ROWS = {"train": 60, "validation": 9, "test": 30}
FLOW = {
    "ExampleGen": (),
    "SchemaGate": ("ExampleGen",),
    "Transform": ("SchemaGate", "ExampleGen"),
    "Autoencoder": ("Transform", "ExampleGen"),
    "Classifier": ("Autoencoder", "Transform"),
    "Evaluator": ("Classifier",),
    "SavedModelCheck": ("Classifier",),
    "Pusher": ("Evaluator", "SavedModelCheck"),
}
OUTPUTS = {
    "ExampleGen": ("examples",),
    "SchemaGate": ("report",),
    "Transform": ("transform_graph",),
    "Autoencoder": ("model", "model_run"),
    "Classifier": ("model", "model_run"),
    "Evaluator": ("evaluation",),
    "SavedModelCheck": ("blessing",),
    "Pusher": ("pushed_model",),
}


def settings(**sections):
    fields = {
        "name": "tiny",
        "data": {"shape": [4, 4], "pixel_max": 16, "label_count": LABELS},
        "autoencoder": {"layers": [8], "latent": 2},
        "classifier": {"layers": [8]},
    }
    return Settings.model_validate({**fields, **sections})


def rows(split):
    """Rows whose class is the bright column of the image, each image its own."""
    generator = np.random.default_rng(SPLITS.index(split))
    labels = np.arange(ROWS[split], dtype=np.int64) % LABELS
    images = generator.integers(0, 6, (ROWS[split], 4, 4), dtype=np.uint8)
    images[np.arange(len(labels)), :, labels] += 10
    return ImageRows(images.reshape(-1, 16), labels)


def write_examples(folder, splits=SPLITS):
    profiles = {}
    for split in splits:
        part = rows(split)
        (folder / f"Split-{split}").mkdir(parents=True)
        (folder / f"Split-{split}" / "data_tfrecord-00000-of-00001").write_bytes(
            tfrecord(encode(part.images, part.labels))
        )
        profiles[split] = profile(part.images, part.labels, settings().data)
        index = np.zeros(len(part), INDEX)
        index["pixels"] = [np.void(hashlib.sha256(pixels).digest()) for pixels in map(bytes, part.images)]
        (folder / "row_index").mkdir(exist_ok=True)
        np.save(folder / "row_index" / f"{split}.npy", index)
    data = {
        "payload_digest": "d" * 64,
        "rows_digest": "e" * 64,
        "rows": sum(ROWS[split] for split in splits),
        "splits": {split: {"rows": ROWS[split], "rows_digest": split[0] * 64} for split in splits},
    }
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "profile.json").write_text(json.dumps({"splits": profiles}))


def gate_check(**fields):
    check = {"feature": "image", "split": "test", "rule": "presence", "aspect": None, "action": "refuse", "cause": None}
    return {**check, "passed": True, "value": 0, "threshold": 0, "detail": "missing in 0 rows", **fields}


def training(epochs, **metrics):
    history = [
        {"number": n, "loss": 1.2 / n, "val_loss": 1.0 / n, "metrics": metrics, "learning_rate": 0.1, "seconds": 0.1}
        for n in range(1, epochs + 1)
    ]
    return {
        "settings": {"loss": "mse"},
        "epochs_run": epochs,
        "kept_epoch": epochs,
        "resumed_from_epoch": None,
        "seconds": 1.5,
        "device": "cpu",
        "history": history,
    }


def write_artifacts(paths):
    place = paths.artifacts
    for node, channels in OUTPUTS.items():
        for channel in channels:
            (place / node / channel).mkdir(parents=True)
    write_examples(place / "ExampleGen" / "examples")
    checks = [gate_check(), gate_check(rule="drift", aspect="rows", value=0.01, threshold=0.05)]
    (place / "SchemaGate" / "report" / "gate.json").write_text(json.dumps({"passed": True, "checks": checks}))
    (place / "Autoencoder" / "model_run" / "training.json").write_text(json.dumps(training(4)))
    classifier = json.dumps({**training(5, val_accuracy=0.9), "settings": {"loss": "categorical_crossentropy"}})
    (place / "Classifier" / "model_run" / "training.json").write_text(classifier)
    accuracy = Check(name="accuracy", value=0.9, threshold=0.8, passed=True, reason="test accuracy 0.9, at least 0.8")
    baseline = Check(name="baseline", value=None, threshold=-0.01, passed=None, reason="no baseline")
    verdict = Verdict(baseline="none", checks=(accuracy, baseline))
    (place / "Evaluator" / "evaluation" / "verdict.json").write_text(verdict.to_json())
    check = {"blessed": True, "rows": 64, "reasons": [], "tensorflow": "2.16.2", "load_s": 0.1}
    (place / "SavedModelCheck" / "blessing" / "check.json").write_text(json.dumps(check))


def execution(node):
    def ref(producer):
        return ArtifactRef(
            type="X", path=f"artifacts/{producer}/x", sha256="a" * 64, bytes=1, record=f"record-{producer}"
        )

    return ExecutionRecord(
        pipeline="tiny",
        run_id="run-1",
        node=node,
        key="k" * 64,
        parameters={},
        code=Code(digest="c" * 64, files={}),
        lock_digest="1" * 64,
        environment=Environment(python="3.10.13", platform="Linux", packages={"numpy": "1.26.4"}, device="cpu"),
        git=GitState(),
        inputs={f"in{number}": (ref(producer),) for number, producer in enumerate(FLOW[node])},
        outputs={
            channel: (ArtifactEntry(type="X", path=f"artifacts/{node}/{channel}", sha256="a" * 64, bytes=1, files={}),)
            for channel in OUTPUTS[node]
        },
        started="2026-01-02T03:04:05.000Z",
        finished="2026-01-02T03:04:06.000Z",
        seconds=1.0,
    )


def run(**fields):
    nodes = tuple(NodeOutcome(id=n, state="executed", seconds=1.0, why=WHY, record=f"record-{n}") for n in FLOW)
    known = {
        "run_id": "run-1",
        "recipe": "tiny",
        "settings": settings().model_dump(mode="json"),
        "status": "ok",
        "error": None,
        "nodes": nodes,
        "metrics": {"accuracy": 0.9, "loss": 0.3, "reconstruction_mse": 0.01, "rows": 30, "baseline": "none"},
        "blessed": True,
        "baseline": "none",
        "version": 1,
        "serving_path": "serving/1",
        "payload_digests": ("d" * 64,),
        "rows_digest": "e" * 64,
        "sources": (DataSource(name="train-images", payload_digest="f" * 64, bytes=123),),
        "started": "2026-01-02T03:04:05.000Z",
        "finished": "2026-01-02T03:04:15.000Z",
    }
    return RunRecord(**{**known, **fields})


@pytest.fixture
def evidence(tmp_path):
    """What a run that went through left."""
    paths = RunPaths(tmp_path / "root")
    write_artifacts(paths)
    return RunData(paths=paths, run=run(), executions={node: execution(node) for node in FLOW})


@pytest.fixture
def test_rows():
    return rows("test")


@pytest.fixture
def answers(test_rows):
    """Answers in which row 0 is a sure mistake and every other row is right."""
    generator = np.random.default_rng(5)
    count, labels = len(test_rows), test_rows.labels
    probabilities = np.full((count, LABELS), 0.05, np.float32)
    probabilities[np.arange(count), labels] = 0.9
    probabilities[0] = (0.01, 0.98, 0.01)
    errors = generator.random(count).astype(np.float32) / 100
    chosen = by_error(errors, labels, LABELS)
    sizes = np.array([1, 2, 4, 8, 16])
    return {
        "rows": np.array(count),
        "probabilities": probabilities,
        "errors": errors,
        "chosen": chosen,
        "reconstructions": np.minimum(test_rows.images[chosen] + 1.0, 16.0).astype(np.float32),
        "hidden": generator.random((12, 5)).astype(np.float16),
        "hidden_labels": np.repeat(np.arange(LABELS), 4),
        "exciting": generator.random((LABELS, 16)).astype(np.float32),
        "exciting_l2": generator.random((LABELS, 16)).astype(np.float32),
        "sure": np.full(LABELS, 0.99, np.float32),
        "places": generator.random((count, 2)).astype(np.float32),
        "places_share": np.array([0.6, 0.3]),
        "latent": np.array(2),
        "autoencoder_mse": np.array(0.004),
        "principal_sizes": sizes,
        **{f"principal_{split}": 0.05 / sizes for split in SPLITS},
    }


@pytest.fixture
def refused(evidence):
    """A run that the schema gate stopped: nothing after it, and its checks in the log folder."""
    nodes = [
        dataclasses.replace(node, state="failed" if node.id == "SchemaGate" else "skipped", record=None, seconds=0.5)
        if node.id != "ExampleGen"
        else node
        for node in evidence.run.nodes
    ]
    error = {"kind": "Refused", "what": "data refused by 1 of 2 checks", "where": "SchemaGate", "hint": "look at it"}
    stopped = run(
        status="refused", error=error, nodes=tuple(nodes), metrics=None, blessed=None, version=None, serving_path=None
    )
    report = evidence.paths.gate_report("run-1")
    report.parent.mkdir()
    upside_down = gate_check(rule="drift", aspect="rows", passed=False, value=0.4, threshold=0.05, cause="upside down?")
    report.write_text(json.dumps({"passed": False, "checks": [gate_check(), upside_down]}))
    return RunData(paths=evidence.paths, run=stopped, executions={"ExampleGen": evidence.executions["ExampleGen"]})
