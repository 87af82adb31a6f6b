"""A person's approval of a reviewed schema: beside the schema until a run takes it into the ledger of its root.

A schema is approved in a folder that belongs to no root, often before there is one. So who approved it lies beside it, in
`<geometry>.approval.json`, with the fields that a line of the ledger has, signed where there is a key; each run that reads
the schema appends the line unless its ledger has it. Whether the key counts is the ledger's to say, at that line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from components.digest import canonical_json
from components.errors import BadInput
from components.shapes import Shape
from components.untrusted import MIB, read_object
from pipeline.provenance.approval_writer import Person, approval_details, withdraw
from pipeline.provenance.approvals import SCHEMA, Approval, read_approvals
from pipeline.provenance.keys import PrivateKey
from pipeline.provenance.ledger import Event
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.runs import new_run_id

LARGEST: Final = MIB
"""Bytes of such a file; one of ours has two thousand."""


class _Approval(TypedDict):
    subject: Literal["schema"]
    name: str
    sha256: str
    by: str
    reason: str | None
    envelope: Mapping[str, Any] | None


_APPROVAL: Final = Shape(_Approval)
_FIELDS: Final = tuple(_Approval.__annotations__)


def approval_file(schema: Path) -> Path:
    """Return the path of the approval that lies beside a schema."""
    return schema.with_name(f"{schema.stem}.approval.json")


def approval(schema: Path, sha256: str, person: Person, key: PrivateKey | None) -> dict[Path, bytes]:
    """Return the file that says who approved a schema, beside it, in which an earlier approval makes room."""
    details = approval_details(SCHEMA, schema.stem, sha256, person, key)
    return {approval_file(schema): canonical_json(details) + b"\n"}


def note_approval(ledger: Ledger, schema: Path, sha256: str) -> None:
    """Append the approval that lies beside a schema, if it is of this very schema and the ledger has no such line.

    A line whose key did not count then is written again once it does: the approval is valid from then on.

    Raises:
      BadInput: if the file is something else.
    """
    path = approval_file(schema)
    if not os.path.lexists(path):
        return
    what = "no approval of a schema"
    given = _APPROVAL.read(read_object(path, limit=LARGEST), what=what, where=path)
    if given["sha256"] != sha256:
        return
    details = {name: value for name, value in given.items() if name in _FIELDS}
    noted = [line.sequence for line in ledger.chain.lines if line.event == Event.APPROVED and details == line.details]
    if not noted or _may_count_now(ledger, noted):
        ledger.said(Event.APPROVED, run_id=new_run_id("approve"), **details)


def withdraw_approval(
    ledger: Ledger, name: str, person: Person, key: PrivateKey | None, of: str | None = None
) -> tuple[Approval, ...]:
    """Note in a ledger that the approvals of a schema do not hold any more, and return them as they are now.

    Args:
      ledger: of a root whose runs took the approvals in.
      name: of the schema: its geometry.
      person: who withdraws them.
      key: to sign with.
      of: withdraws the approvals that this person gave, and no others.

    Raises:
      BadInput: if no approval of it stands in this ledger.
      Refused: if the key does not count.
    """
    given = [one for one in read_approvals(ledger.chain).approvals if (one.subject, one.name) == (SCHEMA, name)]
    standing = [one for one in given if one.withdrawn is None and of in (None, one.by)]
    if not standing:
        hint = "`mnist-tfx lineage show` names the approvals of a version's schema"
        raise BadInput("no approval of this schema stands", where=name, got=of, hint=hint)
    lines = {withdraw(ledger, SCHEMA, name, one, person, key, of).sequence for one in {one.sha256 for one in standing}}
    found = read_approvals(ledger.chain).approvals
    return tuple(one for one in found if one.withdrawn is not None and one.withdrawn.line in lines)


def last_withdrawn(ledger: Ledger, sha256: str) -> Approval | None:
    """Return the last approval of a schema, if it was withdrawn; None if it stands, or nobody ever gave one."""
    given = read_approvals(ledger.chain).of(sha256)
    return given[-1] if given and given[-1].withdrawn is not None else None


def _may_count_now(ledger: Ledger, noted: list[int]) -> bool:
    """Return whether none of these approvals is valid or withdrawn, and the list of keys has changed since."""
    changes = (Event.KEY_ADDED, Event.KEY_ROTATED, Event.KEY_REVOKED)
    changed = any(line.event in changes for line in ledger.chain.lines[noted[-1] :])
    return changed and not any(
        one.valid or one.withdrawn for one in read_approvals(ledger.chain).approvals if one.line in noted
    )
