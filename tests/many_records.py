"""A root of as many generations as one likes: records and ledger as runs leave them, but for the artifacts.

Each generation is some runs side by side. Its autoencoders start from all classifiers of the generation before, and its
baselines read all that was pushed there: so everything older is upstream of a version, and everything younger is
downstream of a data file.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from components.digest import canonical_json, sha256_bytes
from components.serving import PROVENANCE
from pipeline.provenance.ledger import Event, Head, Line
from pipeline.provenance.statement import BUILD_TYPE, BUILDER, PREDICATE_TYPE, STATEMENT_TYPE, TREE, statement_bytes
from pipeline.root.paths import RunPaths

# node: (nodes that it reads, types that it makes)
NODES = {
    "ExampleGen": ([], ["Examples"]),
    "StatisticsGen": (["ExampleGen"], ["ExampleStatistics"]),
    "ReviewedSchema": ([], ["Schema", "ExampleStatistics"]),
    "ExampleValidator": (["StatisticsGen", "ReviewedSchema"], ["ExampleAnomalies"]),
    "SchemaGate": (["ExampleGen", "StatisticsGen", "ReviewedSchema", "ExampleValidator"], ["Schema"]),
    "Transform": (["ExampleGen", "SchemaGate"], ["TransformGraph"]),
    "Autoencoder": (["ExampleGen", "SchemaGate", "Transform"], ["Model", "ModelRun"]),
    "Classifier": (["ExampleGen", "SchemaGate", "Transform", "Autoencoder"], ["Model", "ModelRun"]),
    "Baseline": (["Classifier"], ["Model"]),
    "Evaluator": (["ExampleGen", "SchemaGate", "Classifier", "Baseline"], ["ModelBlessing", "ModelEvaluation"]),
    "SavedModelCheck": (["ExampleGen", "Classifier"], ["InfraBlessing"]),
    "Pusher": (["Classifier", "Evaluator", "SavedModelCheck"], ["PushedModel"]),
}
ARTIFACTS = sum(len(made) for _, made in NODES.values())
CHANNELS = {"ExampleGen": "examples", "Autoencoder": "base_model", "Classifier": "model", "Pusher": "served"}
FROM_BEFORE = {"Autoencoder": ("Classifier", "base_model"), "Baseline": ("Pusher", "served")}
CODE_FILES = 12
"""As many as a real record has, about: they are most of its bytes."""


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


@dataclass(frozen=True)
class ManyRecords:
    """What was built.

    Attributes:
      root: its folder.
      generations: one deep each.
      runs: side by side in each.
    """

    root: Path
    generations: int
    runs: int

    @property
    def records(self) -> int:
        return self.generations * self.runs * len(NODES)

    @property
    def artifacts(self) -> int:
        return self.generations * self.runs * ARTIFACTS

    @property
    def versions(self) -> int:
        return self.generations * self.runs

    @property
    def first_payload(self) -> str:
        """Payload digest of the data file that the first run read."""
        return sha("images 0 0")


def build(folder: Path, *, generations: int, runs: int) -> ManyRecords:
    """Writes records and ledger, and serves the last version."""
    paths = RunPaths(folder)
    paths.records.mkdir(parents=True)
    lines, head = [], Head()
    before, version = [], 0
    for generation in range(generations):
        made = [_run(paths.records, f"{generation} {run}", before) for run in range(runs)]
        for run, known in enumerate(made):
            version += 1
            for event, node, record, details in _events(known, version):
                line = Line(
                    sequence=head.sequence + 1,
                    previous=head.digest,
                    time="2026-01-01T00:00:00.000Z",
                    event=event,
                    node=node,
                    run_id=f"{generation}-{run}",
                    record=record,
                    details=details,
                )
                head = Head(line.sequence, line.digest)
                lines.append(line.to_bytes())
        before = made
    paths.ledger.write_bytes(b"".join(lines))
    _serve(paths, version, before[-1])
    return ManyRecords(folder, generations, runs)


def _run(folder, run, before):
    """Writes the records of one run; returns {node: (record hash, its outputs)}."""
    known = {}
    for node, (reads, types) in NODES.items():
        inputs = {CHANNELS.get(read, read): [_ref(known[read])] for read in reads}
        if before and node in FROM_BEFORE:
            maker, channel = FROM_BEFORE[node]
            inputs[channel] = inputs.get(channel, []) + [_ref(earlier[maker]) for earlier in before]
        outputs = {
            f"{type_name}{number}": [
                {
                    "type": type_name,
                    "path": f"artifacts/{node}/{run}/{number}",
                    "sha256": sha(f"{node} {number} {run}"),
                    "bytes": 9,
                    "files": {"content": {"sha256": sha(f"file {node} {number} {run}"), "bytes": 9}},
                    "properties": {},
                }
            ]
            for number, type_name in enumerate(types)
        }
        data = canonical_json(_record(node, run, inputs, outputs))
        hash_ = sha256_bytes(data)
        (folder / f"{hash_}.json").write_bytes(data)
        known[node] = hash_, [entry for [entry] in outputs.values()]
    return known


def _record(node, run, inputs, outputs):
    extra = {}
    if node == "ExampleGen":
        splits = {split: {"rows": 5, "rows_digest": sha(f"{split} {run}")} for split in ("train", "validation", "test")}
        files = [
            {"name": f"train-{kind}", "payload_digest": sha(f"{kind} {run}"), "bytes": 9, "rows": 15}
            for kind in ("images", "labels")
        ]
        extra["data"] = {
            "version": 1,
            "payload_digest": sha(f"data set {run}"),
            "files": files,
            "rows": 15,
            "rows_digest": sha(f"rows {run}"),
            "splits": splits,
        }
    return {
        "schema_version": 1,
        "kind": "execution",
        "pipeline": "digits",
        "run_id": run.replace(" ", "-"),
        "node": node,
        "key": sha(f"key {node} {run}"),
        "parameters": {"code_digest": sha(f"code of {node}"), "steps": 3},
        "code": {
            "digest": sha(f"code of {node}"),
            "files": {f"components/{node}/{number}.py": sha(f"{node} {number}.py") for number in range(CODE_FILES)},
        },
        "lock_digest": sha("lock"),
        "environment": {
            "python": "3.10.14",
            "platform": "Linux-6.1-x86_64",
            "packages": {"tfx": "1.16.0", "tensorflow": "2.16.2", "numpy": "1.26.4"},
            "device": "cpu",
        },
        "git": {"commit": "a" * 40, "tree": "clean", "diff_sha256": None},
        "inputs": inputs,
        "outputs": outputs,
        "started": "2026-01-01T00:00:00.000Z",
        "finished": "2026-01-01T00:00:01.000Z",
        "seconds": 1.0,
        "extra": extra,
    }


def _ref(known):
    hash_, outputs = known
    return {name: outputs[0][name] for name in ("type", "path", "sha256", "bytes")} | {"record": hash_}


def _events(known, version):
    for node, (hash_, _) in known.items():
        yield Event.INTENT, node, None, {"key": hash_}
        yield Event.COMMIT, node, hash_, {"intent": 1}
    model = known["Classifier"][1][0]["sha256"]
    yield Event.PUSHED, "Pusher", None, {"version": version, "sha256": model}


def _serve(paths, version, known):
    heads = [known["Pusher"][0]]
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": ".", "digest": {TREE: known["Classifier"][1][0]["sha256"]}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"recipe": "digits", "settings": {}},
                "internalParameters": {"heads": heads, "executions": []},
                "resolvedDependencies": [],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {}},
                "metadata": {
                    "invocationId": "last",
                    "startedOn": "2026-01-01T00:00:00.000Z",
                    "finishedOn": "2026-01-01T00:00:01.000Z",
                },
                "byproducts": [],
            },
        },
    }
    file = paths.serving / str(version) / PROVENANCE
    file.parent.mkdir(parents=True)
    file.write_bytes(statement_bytes(statement))


def write_as_record(folder, data):
    """Writes a file that goes by its own hash, whatever it holds."""
    (folder / f"{sha256_bytes(data)}.json").write_bytes(data)
