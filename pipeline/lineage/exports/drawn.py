"""Evidence -> a picture of its graph, as text: DOT, Mermaid, or a page that needs no network."""

from __future__ import annotations

from pipeline.lineage.exports.evidence import Evidence


def dot(evidence: Evidence) -> str:
    """Returns the graph for Graphviz."""
    from pipeline.lineage.drawing.dot import dot as draw

    return draw(evidence.lineage)


def mermaid(evidence: Evidence) -> str:
    """Returns the graph for Mermaid."""
    from pipeline.lineage.drawing.mermaid import mermaid as draw

    return draw(evidence.lineage)


def html(evidence: Evidence) -> str:
    """Returns one page with the graph drawn, and what is recorded of each node."""
    from pipeline.lineage.drawing import details
    from pipeline.lineage.drawing.page import page

    return page(evidence.lineage, details=details.gather(evidence.root, evidence.lineage))
