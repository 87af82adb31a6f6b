"""A root as the pipeline leaves it: files, records, ledger and a served version, without TensorFlow or TFX."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from components.digest import manifest_digest
from components.serving import PROVENANCE
from pipeline.provenance import records
from pipeline.provenance.artifacts import ArtifactEntry, ArtifactRef, measure
from pipeline.provenance.code import Code
from pipeline.provenance.git import GitState
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.record_store import scan, write
from pipeline.provenance.records import DataSource, Environment, ExecutionRecord, NodeOutcome, RunRecord
from pipeline.provenance.statement import build_statement, served_files, statement_bytes
from pipeline.root.paths import RunPaths

# node: ({input channel: "node.output"}, {output channel: type})
NODES = {
    "ExampleGen": ({}, {"examples": "Examples"}),
    "StatisticsGen": ({"examples": "ExampleGen.examples"}, {"statistics": "ExampleStatistics"}),
    "ReviewedSchema": ({}, {"schema": "Schema", "reference": "ExampleStatistics"}),
    "ExampleValidator": (
        {"statistics": "StatisticsGen.statistics", "schema": "ReviewedSchema.schema"},
        {"anomalies": "ExampleAnomalies"},
    ),
    "SchemaGate": (
        {
            "examples": "ExampleGen.examples",
            "statistics": "StatisticsGen.statistics",
            "reviewed_schema": "ReviewedSchema.schema",
            "reference": "ReviewedSchema.reference",
            "anomalies": "ExampleValidator.anomalies",
        },
        {"schema": "Schema"},
    ),
    "Transform": (
        {"examples": "ExampleGen.examples", "schema": "SchemaGate.schema"},
        {"transform_graph": "TransformGraph"},
    ),
    "Autoencoder": (
        {
            "examples": "ExampleGen.examples",
            "schema": "SchemaGate.schema",
            "transform_graph": "Transform.transform_graph",
        },
        {"model": "Model", "model_run": "ModelRun"},
    ),
    "Classifier": (
        {
            "base_model": "Autoencoder.model",
            "examples": "ExampleGen.examples",
            "schema": "SchemaGate.schema",
            "transform_graph": "Transform.transform_graph",
        },
        {"model": "Model", "model_run": "ModelRun"},
    ),
    "Baseline": ({"model": "Classifier.model"}, {"baseline": "Model"}),
    "Evaluator": (
        {
            "baseline_model": "Baseline.baseline",
            "examples": "ExampleGen.examples",
            "model": "Classifier.model",
            "schema": "SchemaGate.schema",
        },
        {"blessing": "ModelBlessing", "evaluation": "ModelEvaluation"},
    ),
    "SavedModelCheck": (
        {"examples": "ExampleGen.examples", "model": "Classifier.model"},
        {"blessing": "InfraBlessing"},
    ),
    "Pusher": (
        {
            "infra_blessing": "SavedModelCheck.blessing",
            "model": "Classifier.model",
            "model_blessing": "Evaluator.blessing",
        },
        {"pushed_model": "PushedModel"},
    ),
}
STARTED = 1_700_000_000.0
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels [bold]idx1.gz"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass
class BuiltRoot:
    """A root under construction.

    Attributes:
      paths: its files.
      run_id: of the run that executes now.
      known: {node: (record hash, record)} of what was executed last.
    """

    paths: RunPaths
    run_id: str = "run-1"
    known: dict[str, tuple[str, ExecutionRecord]] = dataclasses.field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.paths.root

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self.paths.ledger, clock=lambda: STARTED)

    def execute(self, node: str, salt: str = "") -> str:
        """Does what the runner does around one execution; returns the record's hash."""
        ledger = self.ledger
        intent = ledger.intent(node=node, run_id=self.run_id)
        record = self._record(node, salt)
        hash_ = write(self.paths.records, record)
        ledger.commit(intent, record=hash_)
        self.known[node] = (hash_, record)
        return hash_

    def push(self, version: int) -> None:
        """Serves the Classifier's model with its provenance, and records the push."""
        model = self.known["Classifier"][1].outputs["model"][0]
        served = self.paths.serving / str(version)
        shutil.copytree(self.path / model.path / "Format-Serving", served)
        heads = [self.known[node][0] for node in ("Classifier", "Evaluator", "SavedModelCheck")]
        statement = build_statement(served_files(model), scan(self.paths.records), heads)
        (served / PROVENANCE).parent.mkdir(exist_ok=True)
        (served / PROVENANCE).write_bytes(statement_bytes(statement))
        self.execute("Pusher", salt=str(version))
        self.ledger.pushed(node="Pusher", run_id=self.run_id, version=version, digest=model.sha256)

    def finish(self) -> None:
        """Writes the run's record."""
        record = run_record(
            run_id=self.run_id,
            sources=(
                DataSource(name=IMAGES, payload_digest=sha("images"), container_digest=sha("images.gz")),
                DataSource(name=LABELS, payload_digest=sha("labels"), container_digest=sha("labels.gz")),
            ),
        )
        self.ledger.run(run_id=self.run_id, record=write(self.paths.records, record))

    def _record(self, node: str, salt: str) -> ExecutionRecord:
        channels, made = NODES[node]
        inputs = {channel: (self._ref(source),) for channel, source in channels.items()}
        outputs = {channel: (self._made(node, channel, type_name, salt),) for channel, type_name in made.items()}
        parameters = {"settings": json.dumps({"salt": salt})}
        extra = {}
        if node == "ExampleGen":
            files = [
                {"name": f"train-{name}", "payload_digest": sha(name), "bytes": 100, "rows": 10}
                for name in ("images", "labels")
            ]
            splits = {"train": {"rows": 8, "rows_digest": sha("rows of train")}}
            extra = {records.DATA: {"files": files, "rows_digest": sha("rows"), "rows": 10, "splits": splits}}
        return execution_record(
            node=node, run_id=self.run_id, parameters=parameters, inputs=inputs, outputs=outputs, extra=extra
        )

    def _ref(self, source: str) -> ArtifactRef:
        node, channel = source.split(".")
        hash_, record = self.known[node]
        return record.outputs[channel][0].ref(hash_)

    def _made(self, node: str, channel: str, type_name: str, salt: str) -> ArtifactEntry:
        number = 1 + sum(1 for _ in (self.path / "artifacts" / node / channel).glob("*"))
        path = f"artifacts/{node}/{channel}/{number}"
        is_model = type_name == "Model" and node != "Baseline"
        file = self.path / path / ("Format-Serving/saved_model.pb" if is_model else "content")
        file.parent.mkdir(parents=True)
        file.write_text(f"{node} {channel} {salt}")
        properties = {"baseline": "none"} if node == "Baseline" else {}
        return measure(self.path, path, type_name=type_name, properties=properties)


def execution_record(**fields) -> ExecutionRecord:
    """Returns a record that is the same every time, but for `fields`."""
    node = fields.get("node", "Transform")
    defaults = {
        "pipeline": "digits",
        "run_id": "run-1",
        "node": node,
        "key": sha(node),
        "parameters": {"settings": '{"scaling":"minmax"}', "steps": 3, "rate": 0.001},
        "code": Code(digest=sha("code"), files={"components/digest.py": sha("digest.py")}),
        "lock_digest": sha("lock"),
        "environment": Environment(
            python="3.10.14", platform="Linux-6.1-x86_64", packages={"tfx": "1.16.0", "numpy": "1.26.4"}, device="cpu"
        ),
        "git": GitState(commit="a" * 40, tree="clean"),
        "inputs": {},
        "outputs": {},
        "started": records.utc(STARTED),
        "finished": records.utc(STARTED + 1.5),
        "seconds": 1.5,
        "extra": {},
    }
    return ExecutionRecord(**{**defaults, **fields})


def run_record(**fields) -> RunRecord:
    """Returns a run's record that is the same every time, but for `fields`."""
    defaults = {
        "run_id": "run-1",
        "recipe": "digits",
        "settings": {"classifier": {"epochs": 3}},
        "status": "ok",
        "error": None,
        "nodes": (
            NodeOutcome(id="Transform", state="executed", seconds=1.5, why="never executed here", record=sha("r")),
        ),
        "metrics": {"accuracy": 0.97},
        "blessed": True,
        "baseline": "none",
        "version": 1,
        "serving_path": "serving/1",
        "payload_digests": (sha("images"), sha("labels")),
        "rows_digest": sha("rows"),
        "sources": (DataSource(name="t10k.gz", payload_digest=sha("images"), container_digest=sha("gz"), bytes=5),),
        "started": records.utc(STARTED),
        "finished": records.utc(STARTED + 60),
    }
    return RunRecord(**{**defaults, **fields})


def chain_of(length: int) -> tuple[dict[str, ExecutionRecord], str]:
    """Returns `length` records, each made from the one before, and the last one's hash."""
    known, last = {}, None
    for number in range(length):
        entry = ArtifactEntry(type="Model", path=f"artifacts/{number}", sha256=sha(str(number)), bytes=1, files={})
        inputs = {"model": (entry.ref(last),)} if last else {}
        record = execution_record(node=f"Generation{number}", inputs=inputs, outputs={"model": (entry,)})
        last = sha(f"record {number}")
        known[last] = record
    return known, last


@pytest.fixture
def make_execution():
    return execution_record


@pytest.fixture
def make_run():
    return run_record


@pytest.fixture
def make_chain():
    return chain_of


@pytest.fixture
def root(tmp_path) -> BuiltRoot:
    """Twelve nodes executed by run-1, which pushed version 1."""
    built = BuiltRoot(RunPaths(tmp_path / "root"))
    for node in NODES:
        if node != "Pusher":
            built.execute(node)
    built.push(1)
    built.finish()
    return built


@pytest.fixture
def golden(request):
    """Compares bytes with a committed file; with UPDATE_GOLDEN set, writes the file instead."""

    def compare(name: str, found: bytes) -> None:
        path = Path(request.config.rootpath) / "tests" / "golden" / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_bytes(found)
        assert found == path.read_bytes()

    return compare


@pytest.fixture
def tree_digest_of_model(root):
    return manifest_digest(served_files(root.known["Classifier"][1].outputs["model"][0]))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """What is kept of large stores stays out of the home of whoever runs the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
