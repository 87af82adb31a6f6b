"""Findings about what TF Serving would take for a version and no push made, and about what is gone.

Somebody may have unpacked 10,000 folders there: each kind is looked at once for all audits of a root, a few entries are
named, and the others are counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from components import serving
from components.serving import ServedVersion
from pipeline.audit.evidence import Evidence
from pipeline.audit.findings import (
    COMPLETENESS,
    FAIL,
    POLICY,
    UNKNOWN,
    VERDICTS,
    WARN,
    Anchor,
    Audit,
    Counts,
    Finding,
    Scope,
    completeness,
    integrity,
)
from pipeline.audit.served import SERVED
from pipeline.provenance.plain_files import kind_of
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.root.paths import RunPaths

NAMED: Final = 5
"""Entries of a kind that are named one by one."""


def foreign_entries(paths: RunPaths, own: Path | None = None) -> tuple[Finding, ...]:
    """Return the children that TF Serving would serve although the pipeline makes none such; but for `own`, if given."""
    entries = [path for path in serving.foreign_entries(paths.serving) if path != own]
    more = entries[NAMED:]
    return (*(_foreign_entry(paths, path) for path in entries[:NAMED]), *((_summarize(paths, more),) if more else ()))


def _foreign_entry(paths: RunPaths, path: Path) -> Finding:
    number = serving.number_of(path.name)
    plain = path.name == str(number)
    what = f"TF Serving would serve this as version {number}"
    if not plain and os.path.lexists(path.parent / str(number)):
        what += ", a second one of that number"
    return integrity(
        SERVED,
        f"{paths.relative(paths.serving)}/{path.name}",
        what,
        wanted="a folder" if plain else "a plain number",
        got=kind_of(path) if plain else repr(path.name),
    )


def _summarize(paths: RunPaths, more: Sequence[Path]) -> Finding:
    what = f"{len(more)} more entries that TF Serving would serve and no push made"
    return integrity(SERVED, paths.relative(paths.serving), what, got=_few(more))


def _few(paths: Iterable[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join([*names[:NAMED], *(["..."] if len(names) > NAMED else [])])


def split(evidence: Evidence, versions: Sequence[ServedVersion]) -> tuple[list[ServedVersion], list[ServedVersion]]:
    """Return the folders to audit one by one, and those that are only counted, each in its order.

    A folder is counted that no line of the ledger and no provenance speaks for, where there are many of them. The
    highest are audited, since TF Serving would load them first.
    """
    pushed = frozenset(evidence.chain.versions)
    bare = [one for one in versions if not _may_be_ours(one, pushed)]
    counted = set(bare[:-NAMED])
    return [one for one in versions if one not in counted], [one for one in versions if one in counted]


def _may_be_ours(one: ServedVersion, pushed: frozenset[int]) -> bool:
    # Behind a link nothing is looked at.
    return one.plainly_named and (one.version in pushed or (not one.path.is_symlink() and one.has_provenance))


def counted_folders(paths: RunPaths, counted: Sequence[ServedVersion]) -> Audit:
    """Return one audit for all folders that are not audited one by one."""
    what = "entries that no push made are counted, and not audited one by one"
    finding = _summarize(paths, [one.path for one in counted])
    return nothing_compared(paths, (finding,), (COMPLETENESS, POLICY), what)


def missing_versions(evidence: Evidence) -> tuple[Finding, ...]:
    """Return a finding for each version that was pushed, not pruned, and is not there.

    An old one may have been removed by hand. Without the newest, something older is served than was pushed last.
    """
    directory = ServingDirectory(evidence.paths, evidence.chain)
    newest = max((one.version for one in directory.recorded), default=0)
    return tuple(
        completeness(
            "push",
            f"{evidence.paths.serving.name}/{version}",
            "was pushed and not pruned, and is not there",
            level=FAIL if version > newest else WARN,
        )
        for version in directory.missing
    )


def nothing_compared(paths: RunPaths, findings: Iterable[Finding], unknown: Iterable[str], what: str) -> Audit:
    """Return the audit of a serving directory itself, with the reason why its verdicts are unknown."""
    name = paths.relative(paths.serving)
    unasked = (Finding(verdict=one, link="root", where=name, what=what, level=UNKNOWN) for one in unknown)
    return Audit(
        version=None,
        path=name,
        sha256=None,
        anchor=Anchor(),
        findings=(*findings, *unasked),
        counts=Counts(),
        scopes=dict.fromkeys(VERDICTS, Scope(compared="nothing", left_out=what)),
    )
