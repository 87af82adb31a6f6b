"""The exports that draw the graph: DOT, Mermaid, and a page that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.lineage.export.origin import Origin

if TYPE_CHECKING:
    from pipeline.audit.findings import Audit
    from pipeline.lineage.export.details import Details
    from pipeline.lineage.export.marks import Mark


def dot(origin: Origin) -> str:
    """Return the graph for Graphviz."""
    from pipeline.lineage.export import details
    from pipeline.lineage.export.dot import dot as draw

    return draw(origin.lineage, _broken(origin, details.gather(origin.root, origin.lineage)))


def mermaid(origin: Origin) -> str:
    """Return the graph for Mermaid."""
    from pipeline.lineage.export import details
    from pipeline.lineage.export.mermaid import mermaid as draw

    return draw(origin.lineage, _broken(origin, details.gather(origin.root, origin.lineage)))


def html(origin: Origin, report: str = "", audit: Audit | None = None) -> str:
    """Return one page with the graph drawn, and what is recorded of each node.

    Args:
      origin: of the version.
      report: address of the report on its run; empty where there is none beside the page.
      audit: of the version, where one was made; by default it is audited.
    """
    from pipeline.lineage.export import details
    from pipeline.lineage.export.page import page

    known = details.gather(origin.root, origin.lineage)
    return page(origin.lineage, _broken(origin, known, audit), details=known, report=report)


def _broken(origin: Origin, known: Details, audit: Audit | None = None) -> tuple[Mark, ...]:
    """Return the findings of an audit of the version, so that a broken link is drawn as one."""
    from pipeline.audit.audit import audit_version
    from pipeline.lineage.export.marks import marks

    findings = (audit or audit_version(origin.root, origin.lineage.version)).findings
    return marks(origin.lineage, known.records, findings)
