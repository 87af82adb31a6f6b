"""Signed envelopes after DSSE v1.0, implemented from its specification.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md says what is signed, envelope.md how it is written.
The library that implements it, securesystemslib, loads every cloud client that is installed before it signs anything;
the cryptography itself comes from a library all the same.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from typing import Any

from components.digest import canonical_json
from components.errors import MnistTfxError
from components.untrusted import parse_object
from pipeline.provenance.keys import PrivateKey, PublicKey


class NotAnEnvelope(ValueError):
    """These bytes are no DSSE envelope."""


@dataclasses.dataclass(frozen=True)
class Signature:
    """One signature; its key id is a hint that nobody signed."""

    keyid: str
    sig: bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Envelope:
    """A payload, what kind it is, and who signed both.

    Attributes:
      payload: the bytes that were signed.
      payload_type: a media type, signed along with them.
      signatures: in the order in which they were made.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...] = ()

    @property
    def pae(self) -> bytes:
        """What is signed: type and payload, each with its length in bytes, so that neither can pass for the other."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)

    def signed_by(self, key: PublicKey) -> bool:
        """Whether one of the signatures is this key's, whatever key ids say."""
        return any(key.verifies(signature.sig, self.pae) for signature in self.signatures)

    def countersigned(self, key: PrivateKey) -> Envelope:
        """Return the envelope with one signature more; an earlier one of the same key makes room."""
        others = tuple(signature for signature in self.signatures if signature.keyid != key.public.keyid)
        signature = Signature(key.public.keyid, key.sign(self.pae))
        return dataclasses.replace(self, signatures=(*others, signature))

    def to_bytes(self) -> bytes:
        """Return the envelope's file: canonical JSON."""
        signatures = [{"keyid": one.keyid, "sig": _encoded(one.sig)} for one in self.signatures]
        return canonical_json(
            {"payload": _encoded(self.payload), "payloadType": self.payload_type, "signatures": signatures}
        )

    @staticmethod
    def from_bytes(data: bytes) -> Envelope:
        """Restore an envelope that any implementation wrote.

        Raises:
          NotAnEnvelope: if it is something else.
        """
        try:
            fields = parse_object(data, where="envelope")
            signatures = [Signature(_text(one.get("keyid", "")), _decoded(one["sig"])) for one in fields["signatures"]]
            payload, payload_type = _decoded(fields["payload"]), _text(fields["payloadType"])
        except (MnistTfxError, ValueError, KeyError, TypeError, AttributeError) as err:
            raise NotAnEnvelope(f"{type(err).__name__}: {err}"[:200]) from err
        return Envelope(payload=payload, payload_type=payload_type, signatures=tuple(signatures))


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return base64.b64decode(text, altchars=b"-_", validate=True)  # the specification allows both alphabets


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"wanted text, got {type(value).__name__}")
    value.encode()  # a lone surrogate is no text either
    return value
