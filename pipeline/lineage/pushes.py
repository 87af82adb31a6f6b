"""A Pusher's record -> the ledger's line about what it pushed, once."""

from __future__ import annotations

from typing import Any, Final

from pipeline.lineage import chain
from pipeline.lineage.ledger import Ledger
from pipeline.lineage.records import ExecutionRecord

PUSHER: Final = "Pusher"
VERSION: Final = "pushed_version"


def note_push(record: ExecutionRecord, ledger: Ledger, **details: Any) -> None:
    """Appends the line of a push; to be called before the execution is committed, so that no commit is without it.

    Args:
      record: of any node; only a Pusher's that pushed something gets a line.
      ledger: open for appending.
      details: what else the line is to say.
    """
    if record.node != PUSHER:
        return
    number = next((e.properties.get(VERSION) for made in record.outputs.values() for e in made), None)
    model = next(iter(record.inputs.get("model", ())), None)
    noted = any(line.event == chain.PUSHED and line.run_id == record.run_id for line in ledger.chain.lines)
    if number is not None and model is not None and not noted:
        ledger.pushed(node=PUSHER, run_id=record.run_id, version=int(number), digest=model.sha256, **details)
