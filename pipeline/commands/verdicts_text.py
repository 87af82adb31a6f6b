"""An audit -> its lines on the terminal."""

from __future__ import annotations

import click

from components.errors import printable
from pipeline.lineage.audit.findings import FAIL, PASS, VERDICTS, Audit

COLORS = {PASS: "green", FAIL: "red"}


def print_audit(found: Audit) -> None:
    """Prints verdicts, what was checked, the anchor and all findings."""
    name = printable(found.path) if found.version is None else f"version {found.version}  {printable(found.path)}"
    click.echo(f"{name}  {(found.sha256 or 'no digest')[:12]}")
    for verdict in VERDICTS:
        result = found.verdicts[verdict]
        styled = click.style(result, fg=COLORS.get(result, "yellow"))
        # Said once here, and at length below.
        click.echo(f"{verdict:<13} {styled}{_beside(found, verdict)}")
    counts = found.counts
    megabytes = f"{counts.bytes / 1e6:.1f} MB"
    click.echo(
        f"{'checked':<13} {counts.files} files ({megabytes}), {counts.records} records, {counts.ledger_lines} ledger "
        f"lines, {counts.executions} executions in the metadata store"
    )
    if found.autoencoder is False:
        click.echo(f"{'model':<13} a classifier of the images themselves, no autoencoder")
    click.echo(f"{'anchor':<13} {found.anchor.kind}: {found.anchor.detail}")
    for finding in found.findings:
        click.echo(f"  {finding}")


def verdict_lines(found: Audit) -> list[str]:
    """Returns the verdicts and the findings alone, without colours."""
    verdicts = [f"{verdict:<13} {found.verdicts[verdict]}{_beside(found, verdict)}" for verdict in VERDICTS]
    return [*verdicts, *(f"  {finding}" for finding in found.findings)]


def _beside(found: Audit, verdict: str) -> str:
    """Returns what stands beside a verdict: the place of the first broken link, or how many warnings there are."""
    result, first = found.verdicts[verdict], found.first(verdict)
    if first is None:
        return ""
    if result != PASS:
        return f"{' ' * (7 - len(result))} {printable(first.where)}"
    count = sum(finding.verdict == verdict for finding in found.findings)
    return f", {count} warning{'' if count == 1 else 's'}"
