"""The statement and the signature of a candidate, written where the Pusher's executor looks for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from components.atomic_pusher import PROVENANCE_FILE, SIGNATURE_FILE
from pipeline.provenance import signing
from pipeline.provenance.artifacts import ArtifactEntry
from pipeline.provenance.keys import PrivateKey
from pipeline.provenance.record_store import Records
from pipeline.provenance.statement import build_statement, served_files, statement_bytes


def write(folder: Path, model: ArtifactEntry, records: Records, heads: Sequence[str], key: PrivateKey | None) -> None:
    """Write what goes into the served version beside the model.

    Args:
      folder: the executor's temporary folder, made if need be.
      model: the candidate, as its maker recorded it.
      records: by hash, all those behind `heads` among them.
      heads: hashes of the records behind what the push reads.
      key: to sign with, if there is one.

    Raises:
      Refused: if no record behind `heads` made the model, or a link is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    statement = statement_bytes(build_statement(served_files(model), records, heads))
    (folder / PROVENANCE_FILE).write_bytes(statement)
    if key is not None:
        (folder / SIGNATURE_FILE).write_bytes(signing.envelope_bytes(statement, key))
