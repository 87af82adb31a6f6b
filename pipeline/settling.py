"""What an earlier run left open in a root -> settled, before the next one starts.

Metadata store and ledger share no transaction: an intent stands in the ledger before an execution, its commit after
the execution was published. Whoever holds the root's lock knows that nobody is between the two any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from components.serving import ServedVersion
from pipeline import metadata_store, root
from pipeline.config import PipelineConfig
from pipeline.lineage import record_files, records
from pipeline.lineage.chain import Line
from pipeline.lineage.ledger import Ledger
from pipeline.lineage.pushes import note_push
from pipeline.lineage.serving_directory import ServingDirectory
from pipeline.metadata_connection import Connection
from pipeline.paths import RunPaths


def settle(
    config: PipelineConfig,
    connection: Connection,
    ledger: Ledger,
    before: Path | None,
    say: Callable[[str], None],
) -> None:
    """Closes what was left open and follows a root that was moved or copied.

    Args:
      config: of the run that starts.
      connection: to the metadata store.
      ledger: of the root.
      before: where the root lay when it was last written.
      say: tells the user what was found.
    """
    if ledger.repaired:
        say(f"warning: {ledger.repaired}")
    if before is not None and before != config.paths.root:
        metadata_store.relocate(connection, before, config.paths.root)
    unsettled = ledger.unsettled()
    written = record_files.scan(config.paths.records) if unsettled else {}
    for intent in unsettled:
        _settle_intent(config.paths.root, intent, written, connection, ledger)
    for version in unrecorded(config.paths, ledger):
        say(
            f"warning: {version} is served, but no push of it is recorded: `mnist-tfx lineage repair` attaches it again"
        )
    runs = metadata_store.open_runs(ledger.chain, config.paths.log("").parent)
    left = metadata_store.fail_running(connection, runs)
    if left:
        say(f"warning: {left} executions of an earlier run had not ended: marked as failed")
    root.claim(config.paths, config.identity, str(connection.address))


def unrecorded(paths: RunPaths, ledger: Ledger) -> list[ServedVersion]:
    """Returns the versions of a model of ours that the ledger does not know: a push was killed after its rename."""
    return list(ServingDirectory(paths, ledger.chain).unrecorded)


def _settle_intent(
    place: Path,
    intent: Line,
    written: Mapping[str, records.Record],
    connection: Connection,
    ledger: Ledger,
) -> None:
    """Commits what was published although nobody lived to commit it, and gives up what was not."""
    for known, record in written.items():
        if not isinstance(record, records.ExecutionRecord):
            continue
        if (record.run_id, record.node, record.key) != (intent.run_id, intent.node, intent.details.get("key")):
            continue
        outputs = [str(place / entry.path) for made in record.outputs.values() for entry in made]
        if metadata_store.is_published(connection, known, outputs):
            note_push(record, ledger)
            ledger.commit(intent, record=known)
            return
    ledger.lost(intent, why="its process ended before it was published")
