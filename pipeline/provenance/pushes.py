"""A Pusher's record -> which version it pushed, and the ledger's line about that, once."""

from __future__ import annotations

from typing import Any, Final

from pipeline.provenance.ledger import Event
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.records import ExecutionRecord
from pipeline.stages import PUSHER

VERSION: Final = "pushed_version"


def version_of(record: ExecutionRecord) -> int | None:
    """Returns the served version that a Pusher's record tells of; None for any other record."""
    if record.node != PUSHER:
        return None
    told = (str(e.properties[VERSION]) for made in record.outputs.values() for e in made if VERSION in e.properties)
    return next((int(number) for number in told if number.isascii() and number.isdecimal()), None)


def note_push(record: ExecutionRecord, ledger: Ledger, **details: Any) -> None:
    """Appends the line of a push; to be called before the execution is committed, so that no commit is without it.

    Args:
      record: of any node; only a Pusher's that pushed something gets a line.
      ledger: open for appending.
      details: what else the line is to say.
    """
    number = version_of(record)
    model = next(iter(record.inputs.get("model", ())), None)
    noted = any(line.event == Event.PUSHED and line.run_id == record.run_id for line in ledger.chain.lines)
    if number is not None and model is not None and not noted:
        ledger.pushed(node=PUSHER, run_id=record.run_id, version=number, digest=model.sha256, **details)
