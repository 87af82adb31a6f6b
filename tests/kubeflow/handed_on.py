"""What pods of a small run leave in a bucket: an artifact each, and the records behind it."""

from pipeline.kubeflow import names
from pipeline.provenance.artifacts import measure
from pipeline.provenance.code import Code
from pipeline.provenance.git import GitState
from pipeline.provenance.records import Environment, ExecutionRecord
from pipeline.root.paths import RunPaths

RUN = "run-1"


def record(
    paths: RunPaths, node: str, reads: tuple[str, ExecutionRecord] | None = None, **properties: object
) -> ExecutionRecord:
    """Makes an artifact as a pod of the run left it, and its record."""
    path = f"digits/{RUN}/{node}/salt/made"
    (paths.root / path).mkdir(parents=True)
    (paths.root / path / "file").write_text(node)
    inputs = {} if reads is None else {"read": (reads[1].outputs["made"][0].ref(reads[0]),)}
    return ExecutionRecord(
        pipeline="digits",
        run_id=RUN,
        node=node,
        key="k" * 64,
        parameters={},
        code=Code(digest="c", files={}),
        lock_digest="l",
        environment=Environment.here("cpu"),
        git=GitState(),
        inputs=inputs,
        outputs={"made": (measure(paths.root, path, type_name="Schema", properties=properties),)},
        started="2026-01-01T00:00:00.000Z",
        finished="2026-01-01T00:00:01.000Z",
        seconds=1.0,
    )


def lineage(paths: RunPaths, task: str) -> RunPaths:
    return RunPaths(paths.root / "digits" / RUN / task / "salt" / names.LINEAGE)
