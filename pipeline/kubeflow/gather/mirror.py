"""Mirror of a pipeline root's objects: the runs that left something there, and the records that they handed on.

Nothing is believed but records that hash to their own names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from components.errors import BadInput, MnistTfxError
from pipeline.kubeflow import names
from pipeline.provenance import attempts, record_store
from pipeline.provenance.pushes import version_of
from pipeline.provenance.records import ExecutionRecord
from pipeline.root.paths import RunPaths
from pipeline.stages import PUSHER

Known = Mapping[str, ExecutionRecord]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mirrored:
    """One run in the copy.

    Attributes:
      run_id: its id.
      lineage: {task: folder of its lineage artifact}.
      records: {hash: record} of all that its tasks handed on, those of earlier runs included.
    """

    run_id: str
    lineage: Mapping[str, Path]
    records: Known

    @property
    def pusher(self) -> ExecutionRecord | None:
        """The record of its own push; of several attempts the one that counts."""
        record = self.records.get(attempts.by_node(self.records, self.run_id).get(PUSHER, ""))
        return record if record is not None and record.run_id == self.run_id else None


def read(place: Path, run_id: str) -> Mirrored:
    """Find a run.

    Raises:
      BadInput: if it left nothing here, or executed nothing.
      RecordChanged: if a record is not what its name says.
      EnvironmentProblem: if one cannot be read.
    """
    lineage = dict(folders(place, run_id))
    if not lineage:
        raise BadInput(
            "nothing of this run is here",
            where=place,
            wanted=f"<pipeline>/{run_id}/<task>/.../{names.LINEAGE}",
            hint="copy everything below the pipeline root to this folder",
        )
    executed = {hash_: record for folder in lineage.values() for hash_, record in executions(folder).items()}
    if not executed:
        hint = "without new data only its driver runs; or the copy is incomplete"
        raise BadInput("the run pushed nothing: it executed nothing", where=run_id, hint=hint)
    return Mirrored(run_id=run_id, lineage=lineage, records=executed)


def pushed_before(
    place: Path, pusher: ExecutionRecord, skip: Collection[str], say: Callable[[str], None]
) -> tuple[Mirrored, ...]:
    """Return the runs of the same pipeline that pushed lower versions or the same one, in the order of their pushes.

    A push of bytes that are served already ends with their version, and writes nothing: the statement that is served
    with it is that of the run which pushed them first. Which one that was, no clock tells for certain, since a push is
    recorded by the pod's own clock when it is over. So runs of the same version are never left out for their time.

    Args:
      place: the folder.
      pusher: record of the push that they come before.
      skip: ids of runs that are left out.
      say: is told of a run whose records cannot be read.
    """
    version, others = version_of(pusher) or 0, []
    for run_id in sorted(_pushing(place) - {pusher.run_id, *skip}):
        try:
            other = read(place, run_id)
        except MnistTfxError as err:
            say(f"left out run {run_id}: {err}")
            continue
        pushed = other.pusher
        number = None if pushed is None or pushed.pipeline != pusher.pipeline else version_of(pushed)
        if pushed is not None and number is not None and number <= version:
            others.append((number, pushed.finished, run_id, other))
    return tuple(other for *_, other in sorted(others, key=lambda entry: entry[:3]))


def folders(place: Path, run_id: str) -> Iterator[tuple[str, Path]]:
    """Yield (task, lineage folder): `<pipeline>/<run>/<task>/<salt>/` on KFP, `<number>/<job>/<task>_<id>/` on Vertex AI."""
    for run in sorted(place.glob(f"*/{_literal(run_id)}")):
        for folder in sorted({*run.glob(f"*/{names.LINEAGE}"), *run.glob(f"*/*/{names.LINEAGE}")}):
            task = folder.relative_to(run).parts[0]
            yield task.partition("_")[0], folder


def executions(folder: Path) -> Known:
    """Return {hash: record} of the executions that one task handed on.

    Raises:
      RecordChanged: if one is not what its name says.
      EnvironmentProblem: if one cannot be read.
    """
    records = record_store.scan(RunPaths(folder).records)
    return {hash_: record for hash_, record in records.items() if isinstance(record, ExecutionRecord)}


def _pushing(place: Path) -> set[str]:
    """Return the ids of the runs whose Pusher left something here."""
    return {folder.relative_to(place).parts[1] for folder in place.glob(f"*/*/{PUSHER}*/**/{names.LINEAGE}")}


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
