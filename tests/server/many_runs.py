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
from pipeline.provenance.records import RunRecord
from pipeline.provenance.runs import runs
from pipeline.root.paths import RunPaths


def history_only(source: Path, target: Path) -> Path:
    """Copy what tells of the runs of a root, and none of its artifacts."""
    for name in ("records", "serving", "logs", "reports"):
        shutil.copytree(source / name, target / name)
    for name in ("ledger.jsonl", "root.json"):
        shutil.copy(source / name, target / name)
    return target


def add_run(root: Path, number: int, *, push: bool = False, **changes: object) -> RunRecord:
    """Record another run like the first one."""
    paths, first = RunPaths(root), runs(root)[0]
    run_id = f"20270101T{number:06d}.000000Z"
    with_version = {"version": number, "serving_path": f"serving/{number}"} if push else {"version": None}
    started = f"2027-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    fields = {"run_id": run_id, "started": started, "finished": started, **with_version, **changes}
    record = dataclasses.replace(first, **fields)
    ledger = Ledger.open(paths.ledger)
    if push:
        folder = paths.serving / str(number)
        folder.mkdir(exist_ok=True)
        (folder / "saved_model.pb").write_bytes(b"")
        ledger.pushed(node="Pusher", run_id=run_id, version=number, digest=f"{number:064x}")
    ledger.run(run_id=run_id, record=record_store.write(paths.records, record))
    return record


def add_own_run(root: Path, number: int, changes: Mapping[str, Mapping[str, str]] | None = None) -> RunRecord:
    """Record another run with executions of its own, and push what it made: a version of the first one's bytes.

    Args:
      root: of the pipeline.
      number: of the version.
      changes: {node: {parameter: value}} in which its executions differ.
    """
    paths, first = RunPaths(root), runs(root)[0]
    run_id = f"20270101T{number:06d}.000000Z"
    ledger, hashes = Ledger.open(paths.ledger), {}
    for node in first.nodes:
        old = record_store.read(paths.records, node.record)
        inputs = {
            name: tuple(dataclasses.replace(ref, record=hashes.get(ref.record, ref.record)) for ref in refs)
            for name, refs in old.inputs.items()
        }
        parameters = {**old.parameters, **(changes or {}).get(node.id, {})}
        new = dataclasses.replace(old, run_id=run_id, inputs=inputs, parameters=parameters)
        hashes[node.record] = record_store.write(paths.records, new)
        intent = ledger.intent(node=node.id, run_id=run_id, key=new.key)
        if node.id == "Pusher":
            shutil.copytree(paths.serving / "1", paths.serving / str(number), dirs_exist_ok=True)
            ledger.pushed(node=node.id, run_id=run_id, version=number, digest=f"{number:064x}")
        ledger.commit(intent, record=hashes[node.record])
    nodes = tuple(dataclasses.replace(node, record=hashes[node.record]) for node in first.nodes)
    return add_run(root, number, nodes=nodes, version=number, serving_path=f"serving/{number}")


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
