"""Signatures over served versions: how one is made, and how a copy is verified with the public key alone.

The signature is a DSSE envelope (https://github.com/secure-systems-lab/dsse/blob/master/envelope.md) that holds the
bytes of `assets.extra/provenance.json`, an in-toto statement naming every file of the model. Checking needs the folder
and the public key alone. It proves who vouched for these bytes and this origin; it cannot tell that the version is
the one that ought to be served now.

Nor does it say when it was made. Where there is a ledger, that tells which keys were rotated or revoked and bounds the
time: nobody signs bytes before they are pushed. What may be from after a revocation does not count.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components import disk, serving
from components.errors import BadInput, EnvironmentProblem, Refused
from components.files import replacing
from components.serving import PROVENANCE
from pipeline.provenance import file_check, keys
from pipeline.provenance.approvals import REVOKED, read_approvals
from pipeline.provenance.dsse import Envelope, NotAnEnvelope
from pipeline.provenance.file_check import ENVELOPE, Fault
from pipeline.provenance.keys import PrivateKey, PublicKey
from pipeline.provenance.ledger import Chain, Event, Line
from pipeline.provenance.plain_files import Hasher, Seen, listing
from pipeline.provenance.records import moment
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.statement import (
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    digest_of,
    manifest_of,
    parse_statement,
    statement_bytes,
)
from pipeline.root.paths import RunPaths

SIGNATURE: Final = "signature"
_NEW: Final = ".new-"
LIMIT: Final = 64 << 20
"""Bytes that are read of a statement or an envelope; those of a model of ten thousand files take a hundredth."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignatureCheck:
    """What a check of a folder against a public key came to.

    Attributes:
      path: the folder.
      keyid: SHA-256 of the public key in DER.
      signed: whether the key signed the statement in the envelope.
      digest: the model's tree digest as signed; None if it is not.
      faults: what is wrong with signature, statement or files, or with the time of signing; none if all is well.
      note: what the ledger says of the key though the signature counts; None without a ledger, or if it says nothing.
    """

    path: Path
    keyid: str
    signed: bool
    digest: str | None
    faults: tuple[Fault, ...]
    note: str | None = None

    @property
    def ok(self) -> bool:
        """Whether these are the bytes that the key's owner signed, all of them and nothing else."""
        return self.signed and not self.faults

    def to_dict(self) -> dict[str, Any]:
        """Return the check of a folder alone as JSON values: without a ledger there is no note."""
        faults = [dataclasses.asdict(fault) for fault in self.faults]
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name != "note"}
        return {**fields, "path": str(self.path), "faults": faults, "ok": self.ok}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """What the end of a key means for its signature over a version.

    Attributes:
      fault: why the signature does not count; None if it does.
      note: what there is to say of the key all the same; None if nothing.
    """

    fault: Fault | None = None
    note: str | None = None


def target(root: Path, name: str | None) -> Path:
    """Return the folder of a version: of the newest that is served, of a number in a root, or the folder itself.

    Raises:
      BadInput: if it is not there.
    """
    if name is not None and not name.isdecimal():
        return Path(name)
    directory = ServingDirectory.of(RunPaths(root))
    paths = RunPaths(root)
    folders = (*serving.versions(paths.staged), *serving.versions(paths.serving))
    served = {str(one.version): one.path for one in folders}
    if name is None:
        if directory.newest is None:
            raise directory.nothing_served()
        return directory.newest.path
    if name not in served:
        raise BadInput("no such version", where=root, wanted=f"one of {', '.join(served)}", got=name)
    return served[name]


def check_writable(folder: Path) -> None:
    """Check that a signature can be put into a folder, before anybody types a passphrase.

    Raises:
      EnvironmentProblem: naming the folder that cannot be written.
    """
    place = (folder / ENVELOPE).parent
    if place.is_dir() and not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        raise EnvironmentProblem("cannot write the signature", where=place, got=os.strerror(errno.EACCES))


def envelope_bytes(statement: bytes, key: PrivateKey) -> bytes:
    """Return the envelope over a statement's bytes, as the Pusher lays it beside them before its rename."""
    return Envelope(payload=statement, payload_type=PAYLOAD_TYPE).countersigned(key).to_bytes()


def sign(folder: Path, key: PrivateKey) -> Path:
    """Sign what is served in a folder, atomically; the signatures of other keys over the same statement stay.

    It compares the files first: nobody should vouch for bytes that are not those that were pushed.

    Returns:
      The envelope's path. Where the key has signed already, nothing is written.

    Raises:
      Refused: if the folder's files are not those that its statement names.
      EnvironmentProblem: if the statement is missing or unreadable, or the folder cannot be written.
    """
    data = _read(folder, PROVENANCE)
    _clear(folder / ENVELOPE)
    _require_files(folder, data, "not signed")
    if not _has_signed(folder, key.public, data):
        _replace(folder / ENVELOPE, _countersigned(folder, data, key))
    return folder / ENVELOPE


def require_as_pushed(folder: Path, digest: str, what: str) -> None:
    """Compare a version's files with its provenance, and that with the digest which the ledger holds.

    Args:
      folder: of the version.
      digest: tree digest of its model, as the ledger has it.
      what: is not done otherwise, such as `not approved`.

    Raises:
      Refused: if one of them is not as it was pushed.
      EnvironmentProblem: if something cannot be read.
    """
    data = _read(folder, PROVENANCE)
    _require_files(folder, data, what)
    if (got := digest_of(_statement(data))) != digest:
        raise Refused(f"{what}: these are not the bytes that were pushed", where=folder, wanted=digest, got=got)


def _require_files(folder: Path, data: bytes, what: str) -> None:
    if faults := file_check.check(_statement(data), _hash_files(folder)):
        got = "; ".join(map(str, faults))
        raise Refused(f"{what}: the files are not those of its provenance", where=folder, got=got)


def verify(
    folder: Path, public_key: Path, seen: Mapping[str, Seen] | None = None, *, ledger: Chain | None = None
) -> SignatureCheck:
    """Check a served version, or a copy of it anywhere, against a public key.

    Args:
      folder: it alone is read, no records and no root.
      public_key: PEM file.
      seen: what is in the folder, if it has been hashed already.
      ledger: holds what became of the key; without one nobody can tell, and a key that was revoked passes.

    Raises:
      BadInput: if there is no such folder, or no such key.
      EnvironmentProblem: if something in the folder cannot be read.
    """
    if not folder.is_dir():
        raise BadInput("not a folder", where=folder, wanted="a served version, or a copy of one")
    key = keys.load_public(public_key)
    try:
        signed = _signed(folder, key)
    except _Unverified as err:
        return SignatureCheck(path=folder, keyid=key.keyid, signed=False, digest=None, faults=(err.fault,))
    statement = _statement(signed)
    faults = (*_beside(folder, signed), *file_check.check(statement, _hash_files(folder) if seen is None else seen))
    digest = digest_of(statement)
    stands = Standing() if ledger is None else standing(ledger, key.keyid, digest)
    faults = faults if stands.fault is None else (stands.fault, *faults)
    return SignatureCheck(path=folder, keyid=key.keyid, signed=True, digest=digest, faults=faults, note=stands.note)


def standing(ledger: Chain, keyid: str, digest: str) -> Standing:
    """Return what a ledger makes of a key's signature over a version, without a look at the signature.

    The file of a signature proves no time. The line of the push is the earliest that the bytes can have been signed; a
    valid approval of them with the same key shows that its owner vouched for them while it counted.

    Args:
      ledger: with the list of keys. One that is not on it has no end.
      keyid: of the key that signed.
      digest: the model's tree digest.
    """
    found = read_approvals(ledger)
    key = found.key(keyid)
    if key is None or key.end is None:
        return Standing()
    end, first = f"key {keyid[:16]}, {key.end}", _first_line(ledger, digest)
    if first is not None and key.had_ended(first):
        began = f"{moment(first.time)} UTC, ledger line {first.sequence}"
        return Standing(fault=_late("made after its key had ended", f"{end}; the push began at {began}"))
    proof = next((one for one in found.of(digest) if one.valid and one.keyid == keyid), None)
    if proof is not None:
        return Standing(note=f"{key.end}; it approved these bytes before, ledger line {proof.line}")
    if key.state == REVOKED:
        return Standing(fault=_late("cannot tell whether it was made before its key was revoked", end))
    return Standing(note=f"{key.end}; nothing tells whether it signed before")


def _late(what: str, found: str) -> Fault:
    wanted = "one by a key in force (`mnist-tfx lineage sign --key PRIVATE.pem`)"
    return Fault(what=f"{SIGNATURE}: {what}", path=ENVELOPE, wanted=wanted, found=found)


def _first_line(ledger: Chain, digest: str) -> Line | None:
    """Return the line with which the first push of certain bytes began; a rollback pushes them again, signature and all."""
    lines = ledger.of(Event.PUSHED, Event.STAGED)
    pushed = next((line for line in lines if line.details["sha256"] == digest), None)
    if pushed is None:
        return None
    # The Pusher signs before its rename, so before the line that says it pushed.
    return next(one for one in ledger.lines if (one.run_id, one.node) == (pushed.run_id, pushed.node))


def _hash_files(folder: Path) -> dict[str, Seen]:
    with Hasher() as hasher:
        seen = listing(folder, hasher)
        hasher.wait()
    return seen


class _Unverified(Exception):
    """The envelope does not show that the key signed."""

    def __init__(self, what: str, *, wanted: str | None = None, found: str | None = None) -> None:
        super().__init__(what)
        self.fault = Fault(what=f"{SIGNATURE}: {what}", path=ENVELOPE, wanted=wanted, found=found)


def _signed(folder: Path, key: PublicKey) -> bytes:
    """Return the statement that the key signed, out of the envelope; nothing in it is parsed before that is sure."""
    envelope = _envelope(folder)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise _Unverified("another payload type", wanted=PAYLOAD_TYPE, found=envelope.payload_type[:200])
    if not envelope.signed_by(key):
        signers = ", ".join(f"key {one.keyid[:64]}" for one in envelope.signatures) or "no signatures"
        raise _Unverified("not of this key over these bytes", wanted=f"key {key.keyid}", found=signers)
    try:
        _statement(envelope.payload)
    except EnvironmentProblem as err:
        raise _Unverified("over another kind of statement", wanted=PREDICATE_TYPE, found=err.what) from err
    return envelope.payload


def _has_signed(folder: Path, key: PublicKey, statement: bytes) -> bool:
    try:
        return _signed(folder, key) == statement
    except _Unverified:
        return False


def _envelope(folder: Path) -> Envelope:
    try:
        return Envelope.from_bytes(_read(folder, ENVELOPE))
    except EnvironmentProblem as err:
        raise _Unverified(err.what, found=None if err.got is None else str(err.got)) from err
    except NotAnEnvelope as err:
        raise _Unverified("not a DSSE envelope", found=str(err)) from err


def _statement(data: bytes) -> dict[str, Any]:
    """Return a statement that was written as `statement_bytes` writes it, with nothing said twice.

    Raises:
      EnvironmentProblem: if it is another kind of statement.
    """
    try:
        statement = parse_statement(data)
        complete = bool(digest_of(statement)) and bool(manifest_of(statement))
        named = all(isinstance(item["name"], str) for item in statement["subject"])
    except (KeyError, TypeError, AttributeError, StopIteration, RecursionError) as err:
        raise EnvironmentProblem("its list of files cannot be read", where=PROVENANCE, got=repr(err)) from err
    if not complete or not named or statement_bytes(statement) != data:
        raise EnvironmentProblem("not as it was written", where=PROVENANCE, wanted="canonical JSON, naming every file")
    return statement


def _beside(folder: Path, payload: bytes) -> tuple[Fault, ...]:
    """Compare `provenance.json`, which other tools read, with what was signed."""
    if not os.path.lexists(folder / PROVENANCE):
        return (Fault(what=file_check.MISSING, path=PROVENANCE),)
    same = (folder / PROVENANCE).is_symlink() or _read(folder, PROVENANCE) == payload
    return () if same else (Fault(what=file_check.CHANGED, path=PROVENANCE, wanted="the statement that was signed"),)


def _countersigned(folder: Path, statement: bytes, key: PrivateKey) -> bytes:
    """Return the envelope that is there with one signature more, or a new one if it is over something else."""
    new = Envelope(payload=statement, payload_type=PAYLOAD_TYPE)
    try:
        earlier = _envelope(folder)
    except _Unverified:
        earlier = new
    same = (earlier.payload, earlier.payload_type) == (new.payload, new.payload_type)
    return (earlier if same else new).countersigned(key).to_bytes()


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        if path.is_symlink() or not path.is_file():
            raise EnvironmentProblem(
                "no such file",
                where=path,
                got="a link" if path.is_symlink() else None,
                hint="is this a served version?",
            )
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as err:
        raise EnvironmentProblem("cannot read", where=path, got=err.strerror) from err
    if len(data) > LIMIT:
        raise EnvironmentProblem("too large", where=path, wanted=f"{LIMIT} bytes at most")
    return data


def _clear(path: Path) -> None:
    """Take away what a `sign` that was killed left behind."""
    try:
        for left in path.parent.glob(f"{path.name}{_NEW}*"):
            left.unlink()
    except OSError as err:
        raise EnvironmentProblem("cannot write the signature", where=path, got=err.strerror) from err


def _replace(path: Path, data: bytes) -> None:
    """Replace the signature at once."""
    # Under the default name what a kill leaves would count as a file of the model.
    part = path.with_name(f"{path.name}{_NEW}{uuid.uuid4().hex}")
    try:
        with replacing(path, part=part) as file:
            file.write(data)
    except OSError as err:
        raise disk.problem(err, "cannot write the signature", where=path, need=len(data)) from err
