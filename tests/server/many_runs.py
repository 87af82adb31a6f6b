"""Roots with many runs, made of the record of one, and the pages over a root without a server or a model."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import shutil
import socket
import threading
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

import uvicorn
from starlette.testclient import TestClient

from pipeline.predict.server.metrics import Metrics
from pipeline.predict.server.pages.routes import routes
from pipeline.predict.server.pages.site import Pages, Site
from pipeline.predict.server.rest import RestApi
from pipeline.predict.server.service import Limits, Service
from pipeline.provenance import record_store
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.records import ExecutionRecord, RunRecord
from pipeline.provenance.runs import runs
from pipeline.root.paths import RunPaths


def history_only(source: Path, target: Path) -> Path:
    """Copy what tells of the runs of a root, and none of its artifacts."""
    for name in ("records", "serving", "logs", "reports"):
        shutil.copytree(source / name, target / name)
    for name in ("ledger.jsonl", "root.json"):
        shutil.copy(source / name, target / name)
    return target


class Runs:
    """Records runs like the first one of a root, one after the other.

    Args:
      root: of the pipeline.
    """

    def __init__(self, root: Path) -> None:
        self.paths, self.first = RunPaths(root), runs(root)[0]
        self.ledger = Ledger.open(self.paths.ledger)
        self.executions = {node.id: record_store.read(self.paths.records, node.record) for node in self.first.nodes}
        self.sha256 = self.ledger.chain.origin(1).sha256

    def add(self, number: int, *, push: bool = False, **changes: object) -> RunRecord:
        """Record a run, of the first one's executions."""
        with_version = {"version": number, "serving_path": f"serving/{number}"} if push else {"version": None}
        started = f"2027-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
        fields = {"run_id": _run_id(number), "started": started, "finished": started, **with_version, **changes}
        record = dataclasses.replace(self.first, **fields)
        if push:
            folder = self.paths.serving / str(number)
            folder.mkdir(exist_ok=True)
            (folder / "saved_model.pb").write_bytes(b"")
            self.ledger.pushed(node="Pusher", run_id=record.run_id, version=number, digest=f"{number:064x}")
        self.ledger.run(run_id=record.run_id, record=record_store.write(self.paths.records, record))
        return record

    def add_own(
        self,
        number: int,
        changes: Mapping[str, Mapping[str, str]] | None = None,
        *,
        digest: str | None = None,
        rows: str | None = None,
    ) -> RunRecord:
        """Record a run with executions of its own, and push what it made: a version of the first one's bytes.

        Args:
          number: of the version.
          changes: {node: {parameter: value}} in which its executions differ.
          digest: of its model; by default another one for each number.
          rows: digest of the rows that it read; by default those of the first one.
        """
        hashes = {}
        for node in self.first.nodes:
            new = self._execution(node.id, number, hashes, (changes or {}).get(node.id, {}), rows)
            hashes[node.record] = record_store.write(self.paths.records, new)
            intent = self.ledger.intent(node=node.id, run_id=new.run_id, key=new.key)
            if node.id == "Pusher":
                shutil.copytree(self.paths.serving / "1", self.paths.serving / str(number), dirs_exist_ok=True)
                sha256 = digest or f"{number:064x}"
                self.ledger.pushed(node=node.id, run_id=new.run_id, version=number, digest=sha256)
            self.ledger.commit(intent, record=hashes[node.record])
        nodes = tuple(dataclasses.replace(node, record=hashes[node.record]) for node in self.first.nodes)
        place = {"version": number, "serving_path": f"serving/{number}"}
        return self.add(number, nodes=nodes, rows_digest=rows or self.first.rows_digest, **place)

    def _execution(
        self, node: str, number: int, hashes: Mapping[str, str], changes: Mapping[str, str], rows: str | None
    ) -> ExecutionRecord:
        old = self.executions[node]
        inputs = {
            name: tuple(dataclasses.replace(ref, record=hashes.get(ref.record, ref.record)) for ref in refs)
            for name, refs in old.inputs.items()
        }
        extra = dict(old.extra)
        if rows is not None and "data" in extra:
            splits = {name: {**part, "rows_digest": rows} for name, part in extra["data"]["splits"].items()}
            extra["data"] = {**extra["data"], "rows_digest": rows, "splits": splits}
        parameters = {**old.parameters, **changes}
        return dataclasses.replace(old, run_id=_run_id(number), inputs=inputs, parameters=parameters, extra=extra)


def _run_id(number: int) -> str:
    return f"20270101T{number:06d}.000000Z"


def add_run(root: Path, number: int, *, push: bool = False, **changes: object) -> RunRecord:
    """Record another run like the first one."""
    return Runs(root).add(number, push=push, **changes)


def pages(root: Path, statuses: dict[int, object] | None = None, versions: object = None) -> TestClient:
    """Return a client of the pages of a root."""
    versions = versions or types.SimpleNamespace(statuses=statuses or {}, loaded={})
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        service = Service("digits", versions, Limits(), executor, Metrics(), print)
    site = Site(root=root, name="digits", service=service)
    app = RestApi(service, None, print, Pages(site, routes(site), guarded=False))
    return TestClient(app, base_url="http://127.0.0.1:8501")


@contextlib.contextmanager
def served(app: object) -> Iterator[str]:
    """Answer an application on a free port of this machine, in a thread, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_config=None, lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
