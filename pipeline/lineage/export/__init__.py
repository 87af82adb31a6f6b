"""Exports of the lineage of a served version for other tools: a format is a name and the function that writes it.

`origin` gathers what the served statement and the records behind it say. `slsa`, `openlineage`, `cyclonedx` and `prov`
each tell all of its digests, in the words of their standard; `drawn` has the pictures. No clock and no random number
goes in: the same version gives the same bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pipeline.lineage.export import origin
from pipeline.lineage.export.origin import Origin

FORMATS: Final[Mapping[str, str]] = {
    "slsa": "pipeline.lineage.export.slsa:slsa",
    "openlineage": "pipeline.lineage.export.openlineage:openlineage",
    "cyclonedx": "pipeline.lineage.export.cyclonedx:cyclonedx",
    "prov": "pipeline.lineage.export.prov:prov",
    "dot": "pipeline.lineage.export.drawn:dot",
    "mermaid": "pipeline.lineage.export.drawn:mermaid",
    "html": "pipeline.lineage.export.drawn:html",
}
"""{name: path of its function from `Origin` to text}; none is imported before it is asked for."""


def export(root: Path, version: int | None, name: str) -> tuple[int, str]:
    """Return the lineage of a served version, by default the newest, in a format, and the version's number.

    Raises:
      BadInput: if the version is not there.
      RecordMissing: if a record behind it is gone.
      EnvironmentProblem: if its manifest, a record or the ledger cannot be read.
    """
    details = origin.collect(root, version)
    return details.lineage.version, writer(name)(details)


def writer(name: str) -> Callable[[Origin], str]:
    """Return the function of a format."""
    module, attribute = FORMATS[name].split(":")
    function: Callable[[Origin], str] = getattr(importlib.import_module(module), attribute)
    return function
