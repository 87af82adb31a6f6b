"""The settings of a run, and what it ran on."""

from __future__ import annotations

import dataclasses
from typing import Any

from pipeline.provenance import parameters
from pipeline.report.run_data import RunData


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """Settings by section, facts of the machine and the code, and which device each node computed on."""

    settings: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    facts: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    devices: tuple[tuple[str, str], ...]


def environment(evidence: RunData) -> Environment:
    """Return the settings of a run and the environment that its newest execution recorded."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for key, value in parameters.flatten_keys(evidence.run.settings).items():
        section, _, name = key.partition(".")
        sections.setdefault(section if name else "recipe", []).append((name or section, shown(value)))
    newest = max(evidence.executions.values(), key=lambda record: record.finished, default=None)
    return Environment(
        settings=tuple((section, tuple(entries)) for section, entries in sections.items()),
        facts=() if newest is None else _facts(evidence, newest),
        packages=() if newest is None else tuple(newest.environment.packages.items()),
        devices=tuple((node, record.environment.device) for node, record in evidence.executions.items()),
    )


def shown(value: Any) -> str:
    """Return a setting as a recipe file would have it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _facts(evidence: RunData, newest: Any) -> tuple[tuple[str, str], ...]:
    code = "not known" if newest.git.commit is None else f"{newest.git.commit} ({newest.git.tree})"
    return (
        ("run", evidence.run.run_id),
        ("started", f"{evidence.run.started[:19].replace('T', ' ')} UTC"),
        ("finished", f"{evidence.run.finished[:19].replace('T', ' ')} UTC"),
        ("python", newest.environment.python),
        ("platform", newest.environment.platform),
        ("commit", code),
        ("lock file", newest.lock_digest),
    )
