"""Evidence -> a picture of its graph, as text: DOT, Mermaid, or a page that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.lineage.exports.evidence import Evidence

if TYPE_CHECKING:
    from pipeline.lineage.drawing.details import Details
    from pipeline.lineage.drawing.marks import Mark


def dot(evidence: Evidence) -> str:
    """Returns the graph for Graphviz."""
    from pipeline.lineage.drawing import details
    from pipeline.lineage.drawing.dot import dot as draw

    return draw(evidence.lineage, _broken(evidence, details.gather(evidence.root, evidence.lineage)))


def mermaid(evidence: Evidence) -> str:
    """Returns the graph for Mermaid."""
    from pipeline.lineage.drawing import details
    from pipeline.lineage.drawing.mermaid import mermaid as draw

    return draw(evidence.lineage, _broken(evidence, details.gather(evidence.root, evidence.lineage)))


def html(evidence: Evidence) -> str:
    """Returns one page with the graph drawn, and what is recorded of each node."""
    from pipeline.lineage.drawing import details
    from pipeline.lineage.drawing.page import page

    known = details.gather(evidence.root, evidence.lineage)
    return page(evidence.lineage, _broken(evidence, known), details=known)


def _broken(evidence: Evidence, known: Details) -> tuple[Mark, ...]:
    """Audits the version, so that a broken link is drawn as one."""
    from pipeline.lineage.audit.run import audit_version
    from pipeline.lineage.drawing.marks import marks

    findings = audit_version(evidence.root, evidence.lineage.version).findings
    return marks(evidence.lineage, known.records, findings)
