"""The export as the statement itself: in-toto v1 with SLSA provenance v1, byte for byte what a signature covers."""

from __future__ import annotations

from pipeline.lineage.export.origin import Origin


def slsa(origin: Origin) -> str:
    """Return the statement, one line of JSON without a line feed at its end."""
    return origin.data.decode()
