"""Texts of a compiled file in which Argo would see placeholders of its own.

KFP writes the whole file into a Workflow, where `{{...}}` is Argo's. What Argo cannot resolve it refuses when a run is
made (`failed to resolve {{workflow.nothing}}`), and what it can, such as `{{workflow.name}}`, it replaces without a word.
KFP's own placeholders begin with `{{$`, which Argo leaves alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.kubeflow.document import Document

OPEN: Final = "{{"
_OURS: Final = re.compile(r"\{\{\$[^{}]*\}\}")
WANTED: Final = "no {{ but in KFP's own placeholders, {{$...}}"


def foreign(text: str) -> str | None:
    """Return the first placeholder in a text that is not one of KFP's, or is left open; None if there is none."""
    rest = _OURS.sub("", text)
    at = rest.find(OPEN)
    if at < 0:
        return None
    end = rest.find("}}", at)
    return rest[at : at + 60] if end < 0 else rest[at : min(end + 2, at + 60)]


def in_document(document: Document) -> Iterator[tuple[str, str]]:
    """Yield (path, placeholder) for each text of a file that holds one, such as `root.inputDefinitions...`."""
    for name, part in (("", document.spec), ("", document.platform or {})):
        yield from _in_value(part, name)


def _in_value(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if (placeholder := foreign(value)) is not None:
            yield path, placeholder
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            place = f"{path}.{name}" if path else str(name)
            if foreign(str(name)) is not None:
                yield path, str(name)[:60]
            yield from _in_value(inner, place)
    elif isinstance(value, (list, tuple)):
        for at, inner in enumerate(value):
            yield from _in_value(inner, f"{path}[{at}]")
