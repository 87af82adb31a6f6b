"""A root that passes an audit, with two served versions, an unchanged run, data, schema and a real metadata store.

It is what `pipeline.runner.run` leaves behind, made in a fraction of a second and without TensorFlow or TFX.
"""

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from lineage.conftest import NODES, STARTED, execution_record
from lineage.saved_model_bytes import saved_model
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from components.digest import canonical_json, manifest_digest, sha256_bytes, tree_manifest
from components.ingest.rows import INDEX
from components.serving import CLAIMS_FILE, PROVENANCE
from pipeline.metadata.entries import artifact, artifact_type, execution_type
from pipeline.provenance import records
from pipeline.provenance.artifacts import measure
from pipeline.provenance.code import Code
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.record_store import scan, write
from pipeline.provenance.records import DataSource, NodeOutcome, RunRecord
from pipeline.provenance.statement import build_statement, served_files, statement_bytes
from pipeline.root.paths import RunPaths

PAYLOADS = {"train-images": b"images" * 500, "train-labels": b"labels" * 50}
LOCK = hashlib.sha256(b"lock").hexdigest()
ROWS = {"train": range(40), "validation": range(40, 50), "test": range(50, 60)}
EXTRA_OUTPUTS = {"ReviewedSchema": {"reference": "ExampleStatistics"}, "SchemaGate": {"report": "ExampleAnomalies"}}
COMPLETE, CACHED = pb.Execution.COMPLETE, pb.Execution.CACHED


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def row_index(numbers) -> np.ndarray:
    rows = [(digest_of(f"row {n}"), digest_of(f"pixels {n}"), n % 10) for n in numbers]
    return np.array(rows, dtype=INDEX)


def leave(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


class Builder:
    """Does what the runner does, node by node; `known` is {node: (record hash, record)} of what is current."""

    def __init__(self, root: Path, rows=ROWS, git_tree: str = "clean", *, by_pods: bool = False) -> None:
        self.paths = RunPaths(root)
        self.by_pods = by_pods
        self.rows, self.git_tree = rows, git_tree
        self.known = {}
        self.outcomes = []
        self.version = None
        self.run_id = ""
        root.mkdir(parents=True)
        self.store = self._open_store()
        self.types = {}
        self.ledger = Ledger.open(self.paths.ledger, clock=lambda: STARTED)
        identity = {
            "pipeline": "digits",
            "signature": {"shape": [8, 8], "pixel_max": 16, "label_count": 10},
            "path": str(root),
        }
        leave(self.paths.identity, json.dumps(identity))

    def run(self, run_id: str, *, change: str | None = None) -> None:
        """One run: everything from the node `change` on is executed, what lies before it is cached."""
        self.run_id, self.outcomes = run_id, []
        salt, cached = run_id, change is not None
        for node in NODES:
            cached = cached and node != change
            if cached:
                self._reuse(node)
            else:
                self._execute(node, salt)
        self._finish()

    def close(self) -> None:
        """Lets go of the metadata store, so that another SQLite may open it."""
        del self.store

    def _execute(self, node: str, salt: str) -> None:
        if node == "Pusher":
            self.version = (self.version or 0) + 1
        channels, made = NODES[node]
        inputs = {channel: (self._ref(source),) for channel, source in channels.items()}
        parameters, extra = self._parameters(node)
        extra = {**extra, records.ORCHESTRATOR: records.KUBEFLOW} if self.by_pods else extra
        code = {"components/digest.py": digest_of(node).hex()}
        digest = sha256_bytes(canonical_json({"files": code, "lock": LOCK}))
        key = sha256_bytes(f"{node} {salt}".encode())
        intent = self.ledger.intent(node=node, run_id=self.run_id, key=key)
        outputs = {
            channel: (self._made(node, channel, type_name, salt),)
            for channel, type_name in {**made, **EXTRA_OUTPUTS.get(node, {})}.items()
        }
        record = execution_record(
            node=node,
            run_id=self.run_id,
            key=key,
            parameters={**parameters, "code_digest": digest},
            inputs=inputs,
            outputs=outputs,
            extra=extra,
            code=Code(digest=digest, files=code),
            lock_digest=LOCK,
        )
        record = records.from_dict({**record.to_dict(), "git": {**record.to_dict()["git"], "tree": self.git_tree}})
        hash_ = write(self.paths.records, record)
        self.known[node] = (hash_, record)
        self._publish(node, COMPLETE)
        self.ledger.commit(intent, record=hash_)
        if node == "Pusher":
            digest = record.inputs["model"][0].sha256
            self.ledger.pushed(node=node, run_id=self.run_id, version=self.version, digest=digest)
        self._outcome(node, "executed")

    def _reuse(self, node: str) -> None:
        self._publish(node, CACHED)
        self._outcome(node, "cached")

    def _outcome(self, node: str, state: str) -> None:
        self.outcomes.append(NodeOutcome(id=node, state=state, seconds=0.1, why="", record=self.known[node][0]))

    def _finish(self) -> None:
        containers = {name: hashlib.sha256(gzip.compress(data, mtime=0)).hexdigest() for name, data in PAYLOADS.items()}
        record = RunRecord(
            run_id=self.run_id,
            recipe="digits",
            settings={},
            status="ok",
            error=None,
            nodes=tuple(self.outcomes),
            metrics={"accuracy": 0.97},
            blessed=True,
            baseline="none",
            version=self.version,
            serving_path=f"serving/{self.version}",
            payload_digests=tuple(sorted(map(sha256_bytes, PAYLOADS.values()))),
            rows_digest=digest_of("rows").hex(),
            sources=tuple(
                DataSource(name=f"{name}.gz", payload_digest=sha256_bytes(data), container_digest=containers[name])
                for name, data in PAYLOADS.items()
            ),
            started=records.utc(STARTED),
            finished=records.utc(STARTED + 60),
        )
        self.ledger.run(run_id=self.run_id, record=write(self.paths.records, record))

    def _parameters(self, node: str):
        if node == "ExampleGen":
            return self._keep_data()
        if node == "ReviewedSchema":
            return self._keep_schema(), {}
        if node == "Baseline":
            pushed = self.known.get("Pusher")
            return {"baseline_digest": pushed[1].inputs["model"][0].sha256 if pushed else "none"}, {}
        return {"settings": '{"seed":0}', "place": "{root}/artifacts", "epochs": 3}, {}

    def _keep_data(self):
        listed = [
            {"name": name, "payload_digest": sha256_bytes(data), "bytes": len(data)} for name, data in PAYLOADS.items()
        ]
        digest = sha256_bytes(canonical_json([[f["name"], f["payload_digest"]] for f in listed]))
        folder = self.paths.inputs / digest
        for name, data in PAYLOADS.items():
            leave(folder / name, gzip.compress(data, mtime=0))
        leave(folder / "contents.json", canonical_json(listed))
        noted = [{"name": f["name"], "payload_digest": f["payload_digest"], "path": "/data"} for f in listed]
        leave(folder / "sources.json", canonical_json({"sources": noted}))
        data = {"files": [{**f, "rows": 60} for f in listed], "rows": 60, "rows_digest": digest_of("rows").hex()}
        return {"input_base": f"inputs/{digest}", "span": 0}, {records.DATA: {**data, "splits": {}}}

    def _keep_schema(self):
        stage = self.paths.inputs / "stage"
        leave(stage / "schema.pbtxt", "feature {}")
        leave(stage / "profile.json", "{}")
        digest = manifest_digest(tree_manifest(stage))
        shutil.move(stage, self.paths.inputs / f"schema-{digest}")
        return {"schema_sha256": digest, "source": f"inputs/schema-{digest}"}

    def _ref(self, source: str):
        node, channel = source.split(".")
        hash_, record = self.known[node]
        return record.outputs[channel][0].ref(hash_)

    def _made(self, node: str, channel: str, type_name: str, salt: str):
        path = self._path(node, channel, salt)
        folder, properties = self.paths.root / path, {}
        if type_name == "Model" and node != "Baseline":
            leave(folder / "Format-Serving/saved_model.pb", saved_model())
            leave(folder / "Format-Serving/variables/variables.data-00000-of-00001", f"{node} {salt}" * 40)
        elif node == "Baseline":
            properties = self._leave_baseline(folder)
        elif node == "Pusher":
            self._serve(folder)
            properties = {
                "pushed": 1,
                "pushed_version": str(self.version),
                "pushed_destination": f"{self.paths.root}/serving/{self.version}",
            }
        else:
            for name, data in self._contents(node, channel, salt).items():
                leave(folder / name, data)
            properties = {"blessed": 1} if channel == "blessing" else {}
        return measure(self.paths.root, path, type_name=type_name, properties=properties)

    def _path(self, node: str, channel: str, salt: str) -> str:
        return f"digits/{salt}/{node}/s/{channel}" if self.by_pods else f"artifacts/{node}/{channel}/{salt}"

    def _contents(self, node: str, channel: str, salt: str):
        if node == "ExampleGen":
            for split, numbers in self.rows.items():
                path = self.paths.root / self._path(node, channel, salt) / f"row_index/{split}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, row_index(numbers))
            return {"Split-train/data_tfrecord-00000-of-00001": b"rows" * 300, "data.json": "{}"}
        fixed = {
            ("ReviewedSchema", "schema"): {"schema.pbtxt": "feature {}"},
            ("ReviewedSchema", "reference"): {"profile.json": "{}"},
            ("SchemaGate", "report"): {"gate.json": '{"passed": true}'},
            ("Evaluator", "evaluation"): {"verdict.json": '{"checks": [{"name": "accuracy", "passed": true}]}'},
            ("Evaluator", "blessing"): {"BLESSED": ""},
        }
        return fixed.get((node, channel), {"content": f"{node} {channel} {salt}" * 3})

    def _leave_baseline(self, folder: Path):
        if self.version is None:
            leave(folder / "none.json", "{}")
            return {"baseline": "none"}
        shutil.copytree(self.paths.serving / str(self.version), folder / "Format-Serving")
        return {"baseline": f"version {self.version}"}

    def _serve(self, folder: Path) -> None:
        model = self.known["Classifier"][1].outputs["model"][0]
        served = self.paths.serving / str(self.version)
        shutil.copytree(self.paths.root / model.path / "Format-Serving", served)
        heads = [self.known[node][0] for node in ("SavedModelCheck", "Classifier", "Evaluator")]
        statement = build_statement(served_files(model), scan(self.paths.records), heads)
        leave(served / PROVENANCE, statement_bytes(statement))
        with (self.paths.serving / CLAIMS_FILE).open("a") as file:
            file.write(f"{self.version}\n")
        leave(folder / "pushed.json", json.dumps({"version": self.version, "digest": model.sha256}))

    def _open_store(self):
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(self.paths.metadata)
        return metadata_store.MetadataStore(config)

    def _type(self, kind: str, name: str) -> int:
        if (kind, name) not in self.types:
            new = artifact_type(name) if kind == "Artifact" else getattr(pb, f"{kind}Type")(name=name)
            self.types[kind, name] = getattr(self.store, f"put_{kind.lower()}_type")(new)
        return self.types[kind, name]

    def _publish(self, node: str, state: int) -> None:
        hash_, record = self.known[node]
        name = execution_type(node, record.parameters).name
        execution = pb.Execution(type_id=self._type("Execution", name), last_known_state=state)
        self._fill(execution.custom_properties, record.parameters)
        events = []
        for channel, refs in record.inputs.items():
            events += [(self._stored(ref.path), self._event(pb.Event.INPUT, channel, i)) for i, ref in enumerate(refs)]
        for channel, entries in record.outputs.items():
            for i, entry in enumerate(entries):
                stored = self._stored(entry.path) if state == CACHED else self._new(entry, hash_, record)
                events.append((stored, self._event(pb.Event.OUTPUT, channel, i)))
        self.store.put_execution(execution, events, self._contexts(node), reuse_context_if_already_exist=True)

    def _contexts(self, node: str):
        names = {"pipeline": "digits", "pipeline_run": self.run_id, "node": f"digits.{node}"}
        return [pb.Context(type_id=self._type("Context", kind), name=name) for kind, name in names.items()]

    def _stored(self, path: str):
        [stored] = self.store.get_artifacts_by_uri(f"{self.paths.root}/{path}")
        return stored

    def _new(self, entry, hash_: str, record):
        return artifact(self._type("Artifact", entry.type), entry, hash_, record, self.paths.root)

    def _fill(self, properties, values) -> None:
        for name, value in values.items():
            if isinstance(value, int):
                properties[name].int_value = value
            elif isinstance(value, float):
                properties[name].double_value = value
            else:
                properties[name].string_value = str(value).replace("{root}", str(self.paths.root))

    @staticmethod
    def _event(kind: int, channel: str, index: int):
        event = pb.Event(type=kind)
        event.path.steps.add().key = channel
        event.path.steps.add().index = index
        return event


def build(root: Path, **options) -> Path:
    """Returns `root` after a first run, an unchanged one, and one with another classifier: versions 1 and 2."""
    builder = Builder(root, **options)
    builder.run("run-1")
    builder.run("run-2", change="nothing")
    builder.run("run-3", change="Classifier")
    builder.close()
    return root
