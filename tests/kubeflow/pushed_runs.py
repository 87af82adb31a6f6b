"""What runs that pushed leave in a bucket: data, model, push, and the records behind them."""

import dataclasses
import json
from pathlib import Path

from components.digest import canonical_json, sha256_bytes
from components.ingest import import_record
from pipeline.kubeflow import names
from pipeline.provenance import record_store
from pipeline.provenance.artifacts import measure
from pipeline.provenance.code import Code
from pipeline.provenance.git import GitState
from pipeline.provenance.records import DATA, KUBEFLOW, ORCHESTRATOR, Environment, ExecutionRecord
from pipeline.root.paths import RunPaths

RECIPE = {"data": {"shape": [8, 8], "pixel_max": 16, "label_count": 10}}
PAYLOAD = b"1,2\n"
LISTED = [{"name": "train.csv", "payload_digest": sha256_bytes(PAYLOAD), "bytes": len(PAYLOAD)}]
IMPORT = import_record.to_bytes(
    {
        "schema_version": import_record.VERSION,
        "release": "1",
        "source": "pictures",
        "form": "pictures",
        "options": {},
        "class_names": [],
        "files": [{"name": "a.png", "sha256": "0" * 64, "bytes": 1}],
        "written": [{"name": "train-images", "rows": 1, "sha256": "0" * 64, "payload_digest": sha256_bytes(PAYLOAD)}],
        "rows": {"train": [{"file": 0, "first": 0, "rows": 1}]},
        "skipped": [],
    }
)
KEPT = import_record.kept_name(sha256_bytes(IMPORT))
DATA_NAME = sha256_bytes(canonical_json([[one["name"], one["payload_digest"]] for one in LISTED]))

Known = tuple[str, ExecutionRecord]


class PushedRun:
    """A run of three nodes, whose ExampleGen may have been answered from another run's cache."""

    def __init__(
        self, paths: RunPaths, run_id: str, version: int, cached: Known | None = None, at: int | None = None,
        imported: bool = False,
    ) -> None:  # fmt: skip
        self.paths, self.run_id, self.version = paths, run_id, version
        self.second = version if at is None else at
        self.imported = imported
        self.behind: list[Known] = []
        self.driver = self.lineage(names.DRIVER).root
        leave(self.driver / names.RUN_FILE, json.dumps({names.RECIPE: RECIPE, "sources": []}))
        self.data = cached or self._read_data()
        self.behind = [self.data]
        self.model = self._hand_on(self._record("Classifier", "model", {"file": f"model {version}"}, self.data))
        pushed = {"version": version, "path": f"serving/{version}", "digest": "d"}
        told = {"pushed": 1, "pushed_version": str(version), "pushed_destination": f"/serving/{version}"}
        self.pusher = self._hand_on(
            self._record("Pusher", "pushed_model", {"pushed.json": json.dumps(pushed)}, self.model, "model", told)
        )

    @property
    def data_copy(self) -> Path:
        """The folder that ExampleGen handed on."""
        return self.lineage("ExampleGen").inputs / DATA_NAME

    def lineage(self, task: str) -> RunPaths:
        """Returns a task's lineage artifact."""
        return RunPaths(self.paths.root / "digits" / self.run_id / task / "salt" / names.LINEAGE)

    def artifact(self, node: str, channel: str) -> Path:
        """Returns the folder of an artifact."""
        return self.lineage(node).root.parent / channel

    def _read_data(self) -> Known:
        leave(self.data_copy / "train.csv", PAYLOAD)
        leave(self.data_copy / "contents.json", canonical_json(LISTED))
        leave(self.data_copy / "sources.json", '{"sources":[]}')
        if self.imported:
            leave(self.data_copy / KEPT, IMPORT)
        record = self._record("ExampleGen", "examples", {"data.json": "{}"})
        kept = {import_record.PROPERTY: sha256_bytes(IMPORT)} if self.imported else {}
        told = {"files": LISTED, "rows_digest": "r"}
        return self._hand_on(
            dataclasses.replace(
                record, parameters={"input_base": f"inputs/{DATA_NAME}", **kept}, extra={**record.extra, DATA: told}
            )
        )

    def _record(
        self, node: str, channel: str, files: dict[str, str], reads: Known | None = None, by: str = "examples",
        properties: dict[str, object] | None = None,
    ) -> ExecutionRecord:  # fmt: skip
        folder = self.artifact(node, channel)
        for name, text in files.items():
            leave(folder / name, text)
        made = measure(self.paths.root, self.paths.relative(folder), type_name="Any", properties=properties or {})
        read = () if reads is None else (next(iter(reads[1].outputs.values()))[0].ref(reads[0]),)
        return ExecutionRecord(
            pipeline="digits",
            run_id=self.run_id,
            node=node,
            key="k" * 64,
            parameters={},
            code=Code(digest="c", files={}),
            lock_digest="l",
            environment=Environment.here("cpu"),
            git=GitState(),
            inputs={} if reads is None else {by: read},
            outputs={channel: (made,)},
            started=f"2026-01-01T00:00:0{self.second}.000Z",
            finished=f"2026-01-01T00:00:0{self.second}.500Z",
            seconds=0.5,
            extra={ORCHESTRATOR: KUBEFLOW},
        )

    def repeat(self, made: Known, **changes: object) -> Known:
        """Leaves the record of an earlier attempt beside the one that counts, in all that was handed on downstream."""
        changed = {"started": "2026-01-01T00:00:00.000Z", "finished": "2026-01-01T00:00:00.100Z", **changes}
        attempt = dataclasses.replace(made[1], **changed)  # type: ignore[arg-type]
        names_of = [one[1].node for one in self.behind]
        for node in names_of[names_of.index(made[1].node) :]:
            known = record_store.write(self.lineage(node).records, attempt)
        return known, attempt

    def _hand_on(self, record: ExecutionRecord) -> Known:
        folder = self.lineage(record.node).records
        for _, earlier in self.behind:
            record_store.write(folder, earlier)
        self.behind.append((record_store.write(folder, record), record))
        return self.behind[-1]


def leave(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
