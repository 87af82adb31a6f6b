"""The token that every request has to bear, where one is set."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac


@dataclasses.dataclass(frozen=True)
class Token:
    """A secret that clients share.

    Attributes:
      text: printable ASCII.
    """

    text: str

    def __repr__(self) -> str:
        """Return no secret: what is printed by mistake is kept."""
        return "Token(...)"

    def accepts(self, authorization: str) -> bool:
        """Return whether an `Authorization` header bears it: as a bearer token, or as the password that a browser asks for."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self._is(given.encode())
        if scheme.lower() == "basic":
            try:
                return self._is(base64.b64decode(given, validate=True).partition(b":")[2])
            except (binascii.Error, ValueError):
                return False
        return False

    def _is(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self.text.encode())
