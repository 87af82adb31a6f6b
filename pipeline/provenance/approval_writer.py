"""The writer of approvals and of the list of keys: each a line of the ledger, signed where there is a key."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, Final

from components.digest import canonical_json
from components.errors import BadInput, Refused
from pipeline.provenance.approvals import (
    ApproverKey,
    approval_statement,
    envelope_fields,
    read_approvals,
    rotation_statement,
    withdrawal_statement,
)
from pipeline.provenance.dsse import Envelope
from pipeline.provenance.ended_keys import require_not_ended
from pipeline.provenance.git import user_name
from pipeline.provenance.keys import PrivateKey, PublicKey
from pipeline.provenance.ledger import Event, Line
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.records import utc
from pipeline.provenance.runs import new_run_id
from pipeline.provenance.statement import PAYLOAD_TYPE

GIT: Final = "@git"
"""Takes the name from `git config user.name`: only whoever writes so has it recorded."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Person:
    """Who says something, and why; nothing more of a person is recorded.

    Attributes:
      by: a name, as they want to be called.
      reason: in their words; None where nothing was said.
    """

    by: str
    reason: str | None = None


def named(by: str, where: str = "--by") -> str:
    """Return a name as it was given, or as Git knows it.

    Raises:
      BadInput: if Git knows none.
    """
    if by != GIT:
        return by
    name = user_name()
    if name is None:
        raise BadInput("Git knows no name", where=where, wanted="a name, or `git config user.name`", got=GIT)
    return name


def approve(  # noqa: PLR0913  # what an approval says
    ledger: Ledger, subject: str, name: str, sha256: str, person: Person, key: PrivateKey | None
) -> Line:
    """Append an approval.

    Args:
      ledger: open for appending.
      subject: `version` or `schema`.
      name: what it is called.
      sha256: what is approved.
      person: who approves.
      key: to sign with; without one it is on record and counts for nothing that wants a signature.

    Raises:
      Refused: if the key is not on the list, or not in force any more.
    """
    if key is not None:
        require_in_force(ledger, key.public)
    details = approval_details(subject, name, sha256, person, key)
    return ledger.said(Event.APPROVED, run_id=new_run_id("approve"), **details)


def withdraw(  # noqa: PLR0913  # what a withdrawal says
    ledger: Ledger, subject: str, name: str, sha256: str, person: Person, key: PrivateKey | None, of: str | None = None
) -> Line:
    """Append that the approvals of a digest do not hold any more; they stay on record.

    Args:
      ledger: open for appending.
      subject: `version` or `schema`.
      name: what it is called.
      sha256: whose approvals.
      person: who withdraws them.
      key: to sign with. A withdrawal counts without one as well.
      of: withdraws the approvals that this person gave, and no others.

    Raises:
      BadInput: if none stands.
      Refused: if the key is not on the list, or not in force any more.
    """
    if key is not None:
        require_in_force(ledger, key.public)
    standing = read_approvals(ledger.chain).standing(sha256)
    lines = [one.line for one in standing if of in (None, one.by)]
    if not lines:
        names = ", ".join(dict.fromkeys(one.by for one in standing))
        what = "no approval of it stands" if of is None else "no approval by this person stands"
        hint = "`mnist-tfx serving list` says who approved what"
        raise BadInput(what, where=name, wanted=f"one by {names}" if names else None, got=of, hint=hint)
    details: dict[str, Any] = {"subject": subject, "name": name, "sha256": sha256, "approvals": lines}
    details |= {"by": person.by, "reason": person.reason}
    details["envelope"] = None if key is None else _signed(withdrawal_statement(details), key)
    return ledger.said(Event.WITHDRAWN, run_id=new_run_id("withdraw"), **details)


def approval_details(subject: str, name: str, sha256: str, person: Person, key: PrivateKey | None) -> dict[str, Any]:
    """Return what the line of an approval says; the arguments are those of `approve`."""
    details = {"subject": subject, "name": name, "sha256": sha256, "by": person.by, "reason": person.reason}
    return {**details, "envelope": None if key is None else _signed(approval_statement(details), key)}


def require_in_force(ledger: Ledger, key: PublicKey) -> ApproverKey:
    """Return a key of the list that counts now.

    Raises:
      Refused: if it is not on the list, or was rotated or revoked.
    """
    known = require_not_ended(ledger.chain, key)
    if known is None:
        hint = "`mnist-tfx keys add PUBLIC.pem --by NAME` puts it there"
        raise Refused("not on the list of keys", where=f"key {key.keyid}", hint=hint)
    return known


def add_key(ledger: Ledger, key: PublicKey, owner: str, person: Person) -> Line:
    """Append that a key counts from now on.

    Raises:
      Refused: if it is or was on the list: what was ended does not come back.
    """
    _require_new(ledger, key)
    return ledger.said(Event.KEY_ADDED, run_id=new_run_id("keys"), **_key_details(key, owner, person))


def rotate_key(ledger: Ledger, old: PrivateKey, new: PublicKey, person: Person) -> Line:
    """Append that a key hands over to a new one, and say so with the old one's signature.

    Raises:
      Refused: if the old one is not in force, or the new one is or was on the list.
    """
    before = require_in_force(ledger, old.public)
    _require_new(ledger, new)
    details = {**_key_details(new, before.owner, person), "replaces": before.keyid}
    details["envelope"] = _signed(rotation_statement(details), old)
    return ledger.said(Event.KEY_ROTATED, run_id=new_run_id("keys"), **details)


def revoke_key(ledger: Ledger, keyid: str, person: Person, since: str | None = None) -> Line:
    """Append that a key does not count any more.

    Args:
      ledger: open for appending.
      keyid: of a key on the list.
      person: who revokes it.
      since: the moment from which it does not count; now by default. What it signed before stays valid.

    Raises:
      BadInput: if no such key is on the list.
      Refused: if it was revoked already, from that moment or an earlier one.
    """
    known = read_approvals(ledger.chain).key(keyid)
    if known is None:
        raise BadInput("no such key on the list", where=f"key {keyid}", hint="`mnist-tfx keys list` names them")
    moment = since or utc(time.time())
    if known.since is not None and known.since <= moment:
        raise Refused("was revoked already", where=f"key {keyid}", got=f"since {known.since}")
    return ledger.said(
        Event.KEY_REVOKED,
        run_id=new_run_id("keys"),
        keyid=known.keyid,
        since=moment,
        by=person.by,
        reason=person.reason,
    )


def _require_new(ledger: Ledger, key: PublicKey) -> None:
    known = read_approvals(ledger.chain).key(key.keyid)
    if known is not None:
        raise Refused("on the list of keys already", where=f"key {key.keyid}", got=known.state)


def _key_details(key: PublicKey, owner: str, person: Person) -> dict[str, Any]:
    return {
        "keyid": key.keyid,
        "public": key.pem,
        "owner": owner,
        "by": person.by,
        "reason": person.reason,
    }


def _signed(statement: Mapping[str, Any], key: PrivateKey) -> dict[str, Any]:
    envelope = Envelope(payload=canonical_json(statement), payload_type=PAYLOAD_TYPE)
    return envelope_fields(envelope.countersigned(key))
