"""A version's number -> the records behind it, even where its directory or its artifacts are gone.

The ledger says which push made it; without a recorded push, the provenance that is served with it does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import BadInput
from components.serving import FORMAT_SERVING, PROVENANCE, SAVED_MODEL, versions
from pipeline.lineage import chain, manifest
from pipeline.lineage.chain import Chain
from pipeline.lineage.graph import closure
from pipeline.lineage.record_files import Records, scan
from pipeline.lineage.records import ExecutionRecord, RunRecord
from pipeline.lineage.served import read_provenance
from pipeline.paths import RunPaths


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordedVersion:
    """What is recorded about a served version.

    Attributes:
      version: its number.
      sha256: the model's tree digest, as ledger or provenance tell it; nothing is hashed here.
      run_id: the run that pushed it, or, if no push is recorded, the one that trained it.
      executions: {node id: its execution}, all that lie behind it.
      metrics: as its run recorded them; None if that run left no record of them.
    """

    version: int
    sha256: str
    run_id: str
    executions: Mapping[str, ExecutionRecord]
    metrics: Mapping[str, Any] | None


def recorded(root: Path, version: int) -> RecordedVersion:
    """Returns what is recorded about a version.

    Raises:
      BadInput: if neither ledger nor serving directory knows it.
      RecordMissing: if a record behind it is gone.
      EnvironmentProblem: if provenance, a record or the ledger cannot be read.
    """
    paths = RunPaths(root)
    ledger, records = chain.read(paths.ledger), scan(paths.records)
    pushed = [line for line in ledger.lines if line.event == chain.PUSHED and line.details.get("version") == version]
    heads = [
        str(line.record)
        for line in ledger.lines
        if pushed and line.event == chain.COMMIT and (line.run_id, line.node) == (pushed[-1].run_id, pushed[-1].node)
    ]
    if heads:
        sha256, run_id = str(pushed[-1].details["sha256"]), pushed[-1].run_id
    else:
        provenance = _provenance(root, version, ledger)
        heads, sha256 = list(manifest.heads_of(provenance)), manifest.digest_of(provenance)
        run_id = provenance["predicate"]["runDetails"]["metadata"]["invocationId"]
    return RecordedVersion(
        version=version,
        sha256=sha256,
        run_id=run_id,
        # A record comes after those it was made from, so of several executions of one node the nearest stays.
        executions={record.node: record for record in closure(records, heads).values()},
        metrics=_metrics(run_id, ledger, records),
    )


def model_folder(root: Path, version: RecordedVersion) -> Path | None:
    """Returns where the version's SavedModel lies: as it is served, else as it was trained; None if both are gone."""
    trained = [
        root / entry.path / FORMAT_SERVING
        for record in version.executions.values()
        for made in record.outputs.values()
        for entry in made
        if entry.type == "Model" and entry.sha256 == version.sha256
    ]
    places = [RunPaths(root).serving / str(version.version), *trained]
    return next((place for place in places if (place / SAVED_MODEL).is_file()), None)


def _provenance(root: Path, version: int, ledger: Chain) -> dict[str, Any]:
    serving = RunPaths(root).serving
    if not (serving / str(version) / PROVENANCE).is_file():
        pushed = {line.details["version"] for line in ledger.lines if line.event == chain.PUSHED}
        known = sorted({*map(int, pushed), *(found.version for found in versions(serving))})
        if version not in known:
            wanted = f"one of {', '.join(map(str, known))}" if known else None
            hint = None if known else "no version was ever served here: mnist-tfx run makes one"
            raise BadInput("no such version", where=root, wanted=wanted, got=version, hint=hint)
    return read_provenance(root, version)


def _metrics(run_id: str, ledger: Chain, records: Records) -> Mapping[str, Any] | None:
    runs = [line.record for line in ledger.lines if line.event == chain.RUN and line.run_id == run_id]
    found = [record for record in map(records.get, map(str, runs)) if isinstance(record, RunRecord)]
    return found[-1].metrics if found else None
