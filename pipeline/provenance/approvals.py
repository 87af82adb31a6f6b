"""Approvals and the keys of those who approve, as the ledger tells them: who said yes to which bytes, and whether it counts.

An approval is a line of the ledger that names a digest, a person, a reason and a time; with a key, it carries a DSSE
envelope over the same facts. Keys are lines as well: added, rotated (signed by the key that is replaced), revoked. The
order of the lines decides what held when: a signature counts if its key was in force at its line, whatever became of the
key afterwards. A revocation may reach back to a moment from which the key was no longer its owner's alone.

A withdrawal is a line that names the lines of the approvals which it takes back. It counts whoever wrote it, signed or not,
as a revocation does: nobody gains trust by it. The approvals stay, and say what became of them.

The list of keys is as good as the ledger that holds it. Who wants to rest on more names the keys that are trusted, and
then only those count, and those which one of them handed over to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal

from components.digest import canonical_json
from components.errors import BadInput
from components.untrusted import parse_object
from pipeline.provenance import keys
from pipeline.provenance.dsse import Envelope, NotAnEnvelope
from pipeline.provenance.keys import PublicKey
from pipeline.provenance.ledger import Chain, Event, Line
from pipeline.provenance.records import moment, timestamp
from pipeline.provenance.statement import PAYLOAD_TYPE, SHA256, STATEMENT_TYPE, TREE, Resource

APPROVAL: Final = "urn:mnist-tfx:approval:v1"
WITHDRAWAL: Final = "urn:mnist-tfx:withdrawal:v1"
ROTATION: Final = "urn:mnist-tfx:key-rotation:v1"

VERSION, SCHEMA = "version", "schema"

VALID: Final = "valid"
UNSIGNED: Final = "unsigned"
UNTRUSTED: Final = "untrusted"
FORGED: Final = "forged"
WITHDRAWN: Final = "withdrawn"
Verdict = Literal["valid", "unsigned", "untrusted", "forged", "withdrawn"]

IN_FORCE: Final = "in force"
ROTATED: Final = "rotated"
REVOKED: Final = "revoked"
KeyState = Literal["in force", "rotated", "revoked"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApproverKey:
    """A key that approvals are signed with.

    Attributes:
      keyid: SHA-256 of the public key in DER.
      public: the public key, in PEM.
      owner: whose key it is, as it was said when it was added.
      line: number of the ledger line that added it.
      added: that line's time.
      added_by: who added it.
      replaces: the key that handed over to this one; None if none did.
      state: `in force`, `rotated` or `revoked`, as of the ledger's end.
      ended: time of the line that rotated or revoked it; None while it is in force.
      ended_line: number of that line.
      since: the moment from which it does not count, which a revocation may set before `ended`.
      ended_by: who ended it.
      why: the reason that was given for its end.
    """

    keyid: str
    public: str
    owner: str
    line: int
    added: str
    added_by: str
    replaces: str | None = None
    state: KeyState = IN_FORCE
    ended: str | None = None
    ended_line: int | None = None
    since: str | None = None
    ended_by: str | None = None
    why: str | None = None

    def was_in_force(self, line: Line) -> bool:
        """Return whether the key counted when a line was written."""
        return line.sequence > self.line and not self.had_ended(line)

    def had_ended(self, line: Line) -> bool:
        """Return whether the key had been rotated or revoked when a line was written, or was no longer its owner's."""
        if self.ended_line is not None and line.sequence > self.ended_line:
            return True
        return self.since is not None and timestamp(line.time) >= timestamp(self.since)

    @property
    def end(self) -> str | None:
        """How it ended and when, in words; None while it is in force."""
        if self.ended is None:
            return None
        return f"{self.state} since {moment(self.since or self.ended)} UTC"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """Somebody's word that an approval does not hold any more.

    Attributes:
      by: who withdrew it, as they call themselves.
      reason: why, in their words; None where nothing was said.
      time: of the ledger's line.
      line: its number.
      keyid: of the key that signed; None without a signature.
      owner: whose key that is, by the list of keys; None if it is not on the list.
      why: what its signature is worth, in words.
    """

    by: str
    reason: str | None
    time: str
    line: int
    keyid: str | None
    owner: str | None
    why: str

    def __str__(self) -> str:
        reason = "" if self.reason is None else f" ({self.reason})"
        return f"withdrawn by {self.by}, {moment(self.time)} UTC{reason}: {self.why}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Approval:
    """Somebody's yes to certain bytes.

    Attributes:
      subject: `version` or `schema`.
      name: what it was called then, such as `version 3`; the digest is what counts.
      sha256: tree digest of the model, or digest of the schema and its profile.
      by: who approved, as they call themselves.
      reason: why, in their words; None where nothing was said.
      time: of the ledger's line.
      line: its number.
      keyid: of the key that signed; None without a signature.
      owner: whose key that is, by the list of keys; None if it is not on the list.
      verdict: `valid`; `unsigned`; `untrusted`, where the key did not count then; `forged`, where envelope and line do
        not go together; or `withdrawn`, whichever of the others it was before but `forged`.
      why: the verdict, in words; of a withdrawn approval what it was worth before as well.
      withdrawn: the withdrawal; None while it stands.
    """

    subject: str
    name: str
    sha256: str
    by: str
    reason: str | None
    time: str
    line: int
    keyid: str | None
    owner: str | None
    verdict: Verdict
    why: str
    withdrawn: Withdrawal | None = None

    @property
    def valid(self) -> bool:
        """Whether it is signed by a key that counted when it was given, and was not withdrawn."""
        return self.verdict == VALID

    def __str__(self) -> str:
        reason = "" if self.reason is None else f" ({self.reason})"
        return f"by {self.by}, {moment(self.time)} UTC{reason}: {self.why}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Approvals:
    """All that a ledger tells of approvals.

    Attributes:
      approvals: oldest first.
      keys: of the approvers, in the order in which they were added.
      faults: {line number: what is wrong with it}, of lines that do not hold what was signed.
    """

    approvals: tuple[Approval, ...]
    keys: tuple[ApproverKey, ...]
    faults: Mapping[int, str]

    def of(self, sha256: str) -> tuple[Approval, ...]:
        """Return the approvals of a digest, oldest first, whatever became of them."""
        return self._by_digest.get(sha256, ())

    def standing(self, sha256: str) -> tuple[Approval, ...]:
        """Return the approvals of a digest that nobody withdrew, oldest first."""
        return tuple(one for one in self.of(sha256) if one.withdrawn is None)

    def is_approved(self, sha256: str) -> bool:
        """Return whether one of the approvals of a digest is valid."""
        return any(approval.valid for approval in self.of(sha256))

    def in_words(self, sha256: str) -> str:
        """Return why a digest is not approved."""
        given = self.of(sha256)
        return "; ".join(f"line {one.line}, by {one.by}: {one.why}" for one in given) if given else "no approval"

    def key(self, keyid: str) -> ApproverKey | None:
        """Return a key of the list by its id."""
        return next((key for key in self.keys if key.keyid == keyid), None)

    @cached_property
    def _by_digest(self) -> Mapping[str, tuple[Approval, ...]]:
        found: dict[str, tuple[Approval, ...]] = {}
        for approval in self.approvals:
            found[approval.sha256] = (*found.get(approval.sha256, ()), approval)
        return found


def read_approvals(chain: Chain, trusted: Sequence[PublicKey] | None = None) -> Approvals:
    """Return what a verified ledger tells of approvals and keys.

    Args:
      chain: the ledger.
      trusted: the keys that may approve; None takes the ledger's own list at its word.
    """
    return _Reading(trusted).read(chain)


def approval_statement(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is signed of an approval, from the details of its line."""
    subject = {"name": line["name"], "digest": {TREE: line["sha256"]}}
    return _statement(subject, APPROVAL, line, ("subject", "by", "reason"))


def withdrawal_statement(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is signed of a withdrawal, from the details of its line."""
    subject = {"name": line["name"], "digest": {TREE: line["sha256"]}}
    return _statement(subject, WITHDRAWAL, line, ("subject", "by", "reason", "approvals"))


def rotation_statement(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the old key signs of a rotation, from the details of its line."""
    subject = {"name": "key", "digest": {SHA256: line["keyid"]}}
    return _statement(subject, ROTATION, line, ("replaces", "owner", "by", "reason"))


def _statement(subject: Resource, kind: str, line: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    predicate = {name: line[name] for name in fields}
    return {"_type": STATEMENT_TYPE, "subject": [subject], "predicateType": kind, "predicate": predicate}


class _Reading:
    """One pass over a ledger, line by line."""

    def __init__(self, trusted: Sequence[PublicKey] | None) -> None:
        self._trusted = None if trusted is None else {key.keyid for key in trusted}
        self._keys: dict[str, ApproverKey] = {}
        self._given: list[Line] = []
        self._withdrawals: list[Line] = []
        self._since: dict[str, float] = {}
        self._faults: dict[int, str] = {}

    def read(self, chain: Chain) -> Approvals:
        steps = {
            Event.KEY_ADDED: self._add,
            Event.KEY_ROTATED: self._rotate,
            Event.KEY_REVOKED: self._revoke,
            Event.APPROVED: self._given.append,
            Event.WITHDRAWN: self._withdrawals.append,
        }
        for line in chain.of(Event.KEY_REVOKED):
            self._note_since(line)
        for line in chain.of(*steps):
            steps[line.event](line)
        # After all lines: a revocation may reach back behind an approval.
        given = {line.sequence: self._approval(line) for line in self._given}
        for line in self._withdrawals:
            given.update(self._withdrawn(line, given))
        return Approvals(approvals=tuple(given.values()), keys=tuple(self._keys.values()), faults=self._faults)

    def _add(self, line: Line, replaces: str | None = None) -> None:
        details = line.details
        if (fault := _wrong_key(details)) is not None:
            self._faults[line.sequence] = fault
        elif details["keyid"] not in self._keys:  # a key that was ended does not come back
            self._keys[details["keyid"]] = ApproverKey(
                keyid=details["keyid"],
                public=details["public"],
                owner=details["owner"],
                line=line.sequence,
                added=line.time,
                added_by=details["by"],
                replaces=replaces,
            )

    def _note_since(self, line: Line) -> None:
        """Note from when on a key does not count: what it hands over to another afterwards is nothing."""
        keyid = line.details["keyid"]
        try:
            since = timestamp(line.details["since"])
        except ValueError:
            self._faults[line.sequence] = f"not a time: {line.details['since'][:40]}"
            return
        self._since[keyid] = min(since, self._since.get(keyid, since))

    def _rotate(self, line: Line) -> None:
        old = self._keys.get(line.details["replaces"])
        if old is None or not old.was_in_force(line):
            self._faults[line.sequence] = "replaces a key that was not in force"
            return
        if timestamp(line.time) >= self._since.get(old.keyid, float("inf")):
            return  # whoever had it by then did this
        fault = _unsigned(line.details["envelope"], rotation_statement(line.details), old)
        if fault is not None:
            self._faults[line.sequence] = fault
            return
        self._end(old, line, ROTATED, None)
        self._add(line, replaces=old.keyid)
        if self._trusted is not None and old.keyid in self._trusted:
            self._trusted.add(line.details["keyid"])

    def _revoke(self, line: Line) -> None:
        key = self._keys.get(line.details["keyid"])
        if line.sequence in self._faults:
            return
        if key is None:
            self._faults[line.sequence] = "revokes a key that is not on the list"
        elif key.state != REVOKED or timestamp(line.details["since"]) < timestamp(str(key.since)):
            self._end(key, line, REVOKED, line.details["since"])

    def _end(self, key: ApproverKey, line: Line, state: KeyState, since: str | None) -> None:
        self._keys[key.keyid] = dataclasses.replace(
            key,
            state=state,
            ended=line.time,
            ended_line=min(line.sequence, key.ended_line or line.sequence),
            since=since,
            ended_by=line.details["by"],
            why=line.details["reason"],
        )

    def _approval(self, line: Line) -> Approval:
        verdict, why, keyid = self._judge(line, approval_statement(line.details))
        key = self._keys.get(keyid or "")
        return Approval(
            **{name: line.details[name] for name in ("subject", "name", "sha256", "by", "reason")},
            time=line.time,
            line=line.sequence,
            keyid=keyid,
            owner=None if key is None else key.owner,
            verdict=verdict,
            why=why,
        )

    def _withdrawn(self, line: Line, given: Mapping[int, Approval]) -> dict[int, Approval]:
        """Return, by their lines, the approvals that a line withdraws: those before it that it names, of its digest."""
        _, why, keyid = self._judge(line, withdrawal_statement(line.details))
        named = {number: given.get(number) for number in line.details["approvals"] if number < line.sequence}
        known = {number: one for number, one in named.items() if one and one.sha256 == line.details["sha256"]}
        if len(known) != len(line.details["approvals"]):
            self._faults.setdefault(line.sequence, "withdraws what is no approval of its digest")
        key = self._keys.get(keyid or "")
        withdrawal = Withdrawal(
            **{name: line.details[name] for name in ("by", "reason")},
            time=line.time,
            line=line.sequence,
            keyid=keyid,
            owner=None if key is None else key.owner,
            why=why,
        )
        # A second withdrawal changes nothing, and what is forged stays a fault.
        standing = {number: one for number, one in known.items() if one.verdict not in (FORGED, WITHDRAWN)}
        return {number: _withdraw(one, withdrawal) for number, one in standing.items()}

    def _judge(self, line: Line, statement: Mapping[str, Any]) -> tuple[Verdict, str, str | None]:
        """Return the verdict on a signed line, in words too, and the id of its key; what is forged is a fault."""
        verdict, why, keyid = self._verdict(line, statement)
        if verdict == FORGED:
            self._faults[line.sequence] = why
        return verdict, why, keyid

    def _verdict(self, line: Line, statement: Mapping[str, Any]) -> tuple[Verdict, str, str | None]:
        fields = line.details["envelope"]
        if fields is None:
            return UNSIGNED, "not signed", None
        try:
            envelope = _envelope(fields)
        except NotAnEnvelope as err:
            return FORGED, f"its envelope cannot be read: {err}", None
        if envelope.payload != canonical_json(statement):
            return FORGED, "its envelope is over something else than its line says", None
        signers = [one.keyid for one in envelope.signatures]
        for keyid in signers:
            key = self._keys.get(keyid)
            if key is not None and not envelope.signed_by(_public(key)):
                return FORGED, f"not a signature of key {keyid[:16]}", keyid
        why = "no signature in its envelope"
        for keyid in signers:
            why = self._why_not(keyid, line)
            if not why:
                return VALID, f"signed by key {keyid[:16]}, which was in force", keyid
        return UNTRUSTED, why, next(iter(signers), None)

    def _why_not(self, keyid: str, line: Line) -> str:
        """Return why a key did not count at a line; empty if it did."""
        key = self._keys.get(keyid)
        if key is None or line.sequence <= key.line:
            return f"key {keyid[:16]} was not on the list of keys"
        if not key.was_in_force(line):
            return f"key {keyid[:16]} was {key.state} since {key.since or key.ended}"
        if self._trusted is not None and keyid not in self._trusted:
            return f"key {keyid[:16]} is none of those that are trusted"
        return ""


def _withdraw(approval: Approval, withdrawal: Withdrawal) -> Approval:
    return dataclasses.replace(approval, verdict=WITHDRAWN, withdrawn=withdrawal, why=f"{approval.why}; {withdrawal}")


def _wrong_key(details: Mapping[str, Any]) -> str | None:
    try:
        found = keys.parse_public(details["public"].encode(), where="ledger").keyid
    except (BadInput, UnicodeError) as err:
        return f"holds no public key: {err}"
    return None if found == details["keyid"] else f"its key is {found[:16]}, not {details['keyid'][:16]}"


def _public(key: ApproverKey) -> PublicKey:
    return keys.parse_public(key.public.encode(), where="ledger")


def _envelope(fields: Mapping[str, Any]) -> Envelope:
    envelope = Envelope.from_bytes(canonical_json(fields))
    if envelope.payload_type != PAYLOAD_TYPE:
        raise NotAnEnvelope(f"of type {envelope.payload_type[:80]}")
    return envelope


def _unsigned(fields: Mapping[str, Any], wanted: Mapping[str, Any], key: ApproverKey) -> str | None:
    """Return why an envelope is not a key's over a statement; None if it is."""
    try:
        envelope = _envelope(fields)
    except NotAnEnvelope as err:
        return f"its envelope cannot be read: {err}"
    if envelope.payload != canonical_json(wanted):
        return "its envelope is over something else than its line says"
    return None if envelope.signed_by(_public(key)) else f"not signed by key {key.keyid[:16]}"


def envelope_fields(envelope: Envelope) -> dict[str, Any]:
    """Return an envelope as it stands in a line of the ledger."""
    return parse_object(envelope.to_bytes(), where="envelope")
