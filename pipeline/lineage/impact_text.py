"""What an impact says, in words: the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pipeline.lineage.downstream import PIXELS
from pipeline.lineage.impact import NO, YES, Impact

SHOWN: Final = 5
"""Names under which something is known that are named."""


def heading(found: Impact) -> str:
    """Return what the question is about: name, kind, and size or digest."""
    parts = [found.given.name, found.given.kind]
    if found.picture is not None:
        parts += [f"{found.picture.height}x{found.picture.width}", f"pixels {found.picture.digest.hex()}"]
    elif found.given.digests:
        parts.append(f"sha256 {found.given.digests[0]}")
    if found.rows is not None and found.picture is None:
        parts.append(f"{len(found.rows)} rows")
    return "  ".join(parts)


def answer(found: Impact) -> str:
    """Return the answer, and what to do where it cannot be told."""
    if found.answer == YES:
        count = len(found.models)
        return f"yes: went into {count} model{'s' if count > 1 else ''}"
    if found.answer == NO:
        return "no: went into no model on record"
    hint = "" if found.hint is None else f"\nwhat to do: {found.hint}"
    return f"cannot tell: {'; '.join(found.unknown)}{hint}"


def evidence(found: Impact) -> Iterator[str]:
    """Yield what the answer rests on."""
    for one in found.compared:
        yield from (f"{here}, row digest {here.row_digest.hex()}" for here in one.occurrences)
        if found.picture is None and one.overlap is not None and one.overlap.total:
            splits = ", ".join(f"{split} {rows}" for split, rows in one.overlap.splits.items() if rows)
            noun = "images" if one.match == PIXELS else "rows"
            yield f"{one.overlap.total} {noun} in {one.data_set.name}: {splits}"
    for proof in found.proofs:
        yield f"{proof.claim}: {proof.split}, {proof.size_proof.size} rows, root {proof.root.hex()}"
    known = list(dict.fromkeys(one.what for one in found.found if one.overlap is None))
    yield from (f"known as {what}" for what in known[:SHOWN])
    if len(known) > SHOWN:
        yield f"and as {len(known) - SHOWN} more: --json lists them"
    yield from found.basis
