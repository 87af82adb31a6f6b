"""What became of some bytes: an answer, a refusal in words of ours, or a fault."""

from __future__ import annotations

import dataclasses
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutations import as_yaml

from components.errors import MnistTfxError
from fuzz.targets import KINDS, YAML, untrusted_documents

SOON = 1.0
"""Seconds of the processor for one file, however hostile."""

LONGEST = 4000
"""Characters of a refusal."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """What no reader may do.

    Attributes:
      what: the exception, or how long it took.
      place: file and function that raised it; faults of one place are one fault.
    """

    what: str
    place: str


def timed(read: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return what a reader returned or raised, of our errors alone, and the seconds of the processor that it took."""
    began = time.process_time()
    try:
        found = read(*arguments)
    except MnistTfxError as err:
        found = err
        str(err), err.to_dict()
    return found, time.process_time() - began


def fault(kind: str, data: bytes, folder: Path) -> Fault | None:
    """Return what is wrong with how a kind of file is read; None if nothing is."""
    _, read = KINDS[kind]
    try:
        found, seconds = timed(read, data, folder)
    except Exception as err:  # noqa: BLE001  # whatever is none of ours
        last = traceback.extract_tb(err.__traceback__)[-1]
        return Fault(what=f"{type(err).__name__}: {err}"[:300], place=f"{Path(last.filename).name}:{last.name}")
    # Several problems have a line each.
    for refusal in getattr(found, "problems", ()) or (found,):
        if isinstance(refusal, MnistTfxError) and ("\n" in str(refusal) or len(str(refusal)) > LONGEST):
            return Fault(what=f"no line: {str(refusal)[:300]!r}", place=type(refusal).__name__)
    # A collection of garbage may have come between: once more.
    if seconds > SOON and (seconds := timed(read, data, folder)[1]) > SOON:
        return Fault(what=f"took {seconds:.1f} s", place="time")
    return None


def load_and_dump(kind: str) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes] | None]:
    """Return what reads a kind of document into values and writes values as such a document."""
    return (untrusted_documents, as_yaml) if kind in YAML else (json.loads, None)
