"""An audit -> its lines on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from components.errors import printable
from pipeline.audit.findings import FAIL, PASS, VERDICTS, Audit

COLORS: Final = {PASS: "green", FAIL: "red"}


def print_audit(found: Audit) -> None:
    """Prints verdicts with what they are about, the anchor and all findings."""
    name = printable(found.path) if found.version is None else f"version {found.version}  {printable(found.path)}"
    click.echo(f"{name}  {(found.sha256 or 'no digest')[:12]}")
    for verdict in VERDICTS:
        result = found.verdicts[verdict]
        styled = click.style(result, fg=COLORS.get(result, "yellow"))
        # Said once here, and at length below.
        click.echo(f"{verdict:<13} {styled}{_beside(found, verdict)}")
    if found.autoencoder is False:
        click.echo(f"{'model':<13} a classifier of the images themselves, no autoencoder")
    click.echo(f"{'anchor':<13} {found.anchor.kind}: {found.anchor.detail}")
    for finding in found.findings:
        click.echo(f"  {finding}")


def print_audited(audits: Sequence[Audit]) -> None:
    """Prints that every version in the serving directory was audited, and which of them did not pass."""
    places = [found.path if found.version is None else str(found.version) for found in audits]
    wrong = [place for place, found in zip(places, audits, strict=True) if not found.passed()]
    result = f"not all PASS: {', '.join(wrong)}" if wrong else "all PASS"
    click.echo(printable(f"{'audited':<13} every version in the serving directory ({', '.join(places)}): {result}"))


def verdict_lines(found: Audit) -> list[str]:
    """Returns the verdicts and the findings alone, without colours."""
    verdicts = [f"{verdict:<13} {found.verdicts[verdict]}{_beside(found, verdict)}" for verdict in VERDICTS]
    return [*verdicts, *(f"  {finding}" for finding in found.findings)]


def _beside(found: Audit, verdict: str) -> str:
    """Returns what stands beside a verdict: what it is about, and the first broken link or the number of warnings."""
    result, first, scope = found.verdicts[verdict], found.first(verdict), found.scopes[verdict]
    indent = " " * (7 - len(result))
    if first is None:
        return f"{indent} {scope}"
    if result != PASS:
        return f"{indent} {printable(first.where)}  ({scope})"
    count = sum(finding.verdict == verdict for finding in found.findings)
    return f", {count} warning{'' if count == 1 else 's'}  ({scope})"
