"""The export as OpenLineage run events, one JSON object to a line, as its transports send them.

https://openlineage.io/docs/spec/object-model. Each execution is a run that starts and completes; artifacts are datasets,
their version is their digest. The core facets have no place for digests, so a facet of our own carries them
(`openlineage_digests.json` is its schema).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from pipeline.lineage.export.origin import DIGESTS, ROWS, Item, Origin
from pipeline.provenance.records import ExecutionRecord

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Job, Run, RunEvent

PRODUCER: Final = "urn:mnist-tfx:export:v1"
NAMESPACE: Final = "mnist-tfx"
FACET: Final = "mnistTfx_digests"
_NOT_DATASETS: Final = ("code", "lock", "record", ROWS)


def openlineage(origin: Origin) -> str:
    """Return the events, each execution's after those of what it read."""
    from openlineage.client.serde import Serde

    events = [event for hash_ in origin.executions for event in _events(origin, hash_)]
    return "".join(f"{Serde.to_json(event)}\n" for event in events)


def _events(origin: Origin, hash_: str) -> Iterable[RunEvent]:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent, RunState

    record = origin.executions[hash_]
    run, job = _run(origin, hash_), _job(origin, record)
    yield RunEvent(eventType=RunState.START, eventTime=record.started, run=run, job=job, producer=PRODUCER)
    read = {item.ref: item for channel, item in origin.inputs_of(record) if channel not in _NOT_DATASETS}
    outputs = origin.outputs_of(hash_)
    rows = [item for channel, item in outputs if channel == ROWS]
    written = {item.ref: item for channel, item in outputs if channel not in _NOT_DATASETS}
    yield RunEvent(
        eventType=RunState.COMPLETE,
        eventTime=record.finished,
        run=run,
        job=job,
        inputs=[InputDataset(**_dataset(origin, item)) for item in read.values()],
        outputs=[OutputDataset(**_dataset(origin, item, rows)) for item in written.values()],
        producer=PRODUCER,
    )


def _run(origin: Origin, hash_: str) -> Run:
    from openlineage.client.event_v2 import Run
    from openlineage.client.facet_v2 import parent_run, processing_engine_run

    from pipeline.lineage.export.openlineage_facets import RunDigests

    record = origin.executions[hash_]
    whole = str(origin.uuid("run", record.run_id))
    job = parent_run.Job(namespace=NAMESPACE, name=record.pipeline)
    itself = [item for channel, item in origin.outputs_of(hash_) if channel == "record"]
    facets = {
        "parent": parent_run.ParentRunFacet(run=parent_run.Run(runId=whole), job=job, producer=PRODUCER),
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=record.environment.packages.get("tfx", "unknown"), name="tfx", producer=PRODUCER
        ),
        FACET: RunDigests(digests=_digests(itself), producer=PRODUCER),
    }
    return Run(runId=str(origin.uuid("record", hash_)), facets=facets)


def _job(origin: Origin, record: ExecutionRecord) -> Job:
    from openlineage.client.event_v2 import Job
    from openlineage.client.facet_v2 import job_type_job

    from pipeline.lineage.export.openlineage_facets import JobDigests

    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="TFX", jobType="TASK", producer=PRODUCER)
    built = [item for channel, item in origin.inputs_of(record) if channel in ("code", "lock")]
    digests = {FACET: JobDigests(digests=_digests(built), producer=PRODUCER)} if built else {}
    return Job(namespace=NAMESPACE, name=f"{record.pipeline}.{record.node}", facets={"jobType": kind, **digests})


def _dataset(origin: Origin, item: Item, rows: Iterable[Item] = ()) -> dict[str, Any]:
    """Return the fields of a dataset; Examples tell the Merkle roots over their rows, the model its files."""
    from openlineage.client.facet_v2 import dataset_version_dataset

    from pipeline.lineage.export.openlineage_facets import DatasetDigests

    is_model = item == origin.model
    inside = origin.files if is_model else tuple(rows) if item.name.endswith("/examples") else ()
    facets = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=item.digest, producer=PRODUCER),
        FACET: DatasetDigests(digests=_digests([item, *inside]), producer=PRODUCER),
    }
    name = origin.lineage.path if is_model else item.name
    return {"namespace": NAMESPACE, "name": f"{origin.recipe}/{name}", "facets": facets}


def _digests(items: Iterable[Item]) -> list[dict[str, str]]:
    hashed = [item for item in items if item.algorithm in DIGESTS]
    return [{"name": item.name, "algorithm": item.algorithm, "value": item.digest} for item in hashed]
