"""The version that a Pusher's record tells of, served or staged, and the ledger's line about that push."""

from __future__ import annotations

from typing import Any, Final

from components.layout import STAGED
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.records import ExecutionRecord
from pipeline.stages import PUSHER

VERSION: Final = "pushed_version"


def version_of(record: ExecutionRecord) -> int | None:
    """Return the version that a Pusher's record tells of; None for any other record."""
    if record.node != PUSHER:
        return None
    texts = (str(e.properties[VERSION]) for e in record.artifacts if VERSION in e.properties)
    return next((int(number) for number in texts if number.isascii() and number.isdecimal()), None)


def note_push(record: ExecutionRecord, ledger: Ledger, **details: Any) -> None:
    """Append the line of a push, unless the ledger has it: this is the one place that decides so.

    To be called before the execution is committed: a push whose node is committed always has its line.

    Args:
      record: of any node; only a Pusher's that pushed something gets a line.
      ledger: open for appending.
      details: what else the line is to say.
    """
    number = version_of(record)
    model = next(iter(record.inputs.get("model", ())), None)
    if number is None or model is None:
        return
    is_staged = record.parameters.get("serving_dir") == STAGED
    chain = ledger.chain
    noted = chain.stagings(number) if is_staged else chain.pushes(number)
    if record.run_id not in {push.run_id for push in noted}:
        note = ledger.staged if is_staged else ledger.pushed
        note(node=PUSHER, run_id=record.run_id, version=number, digest=model.sha256, **details)
