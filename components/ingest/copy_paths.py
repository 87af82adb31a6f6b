"""Paths of copies from object stores, which say the address: `<folder>/remote/<32 hex digits>/<scheme>/<bucket>/<key>`."""

from __future__ import annotations

import os
import re
from typing import Final

FOLDER: Final = "remote"
SCHEMES: Final = ("s3", "gs", "hdfs")

_PLACE: Final = rf"/{FOLDER}/[0-9a-f]{{32}})/(?P<scheme>{'|'.join(SCHEMES)})"

COPY: Final = re.compile(rf"(?P<folder>.*?{_PLACE}(?=/|$)", re.DOTALL)
"""The start of a path: the folder of an address, and the scheme; what follows is bucket and key."""

_IN_TEXT: Final = re.compile(rf"(?P<folder>[^\s'\"]*?{_PLACE}(?=/|$|[\s'\",:;)])")


def readable(text: str) -> str:
    """Return a text with the address in place of each path of a copy."""
    return _IN_TEXT.sub(r"\g<scheme>:/", text) if FOLDER in text else text


def address_of(path: str | os.PathLike[str]) -> str | None:
    """Return the address that a copy, or a folder of copies, came from; None for any other file."""
    text = os.fspath(path)
    match = COPY.match(text)
    return None if match is None else f"{match['scheme']}:/{text[match.end() :]}"
