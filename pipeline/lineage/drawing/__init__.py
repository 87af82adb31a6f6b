"""The lineage of a served version -> pictures of it: `dot`, `mermaid`, and one HTML `page` that needs no network.

marks (which node an audit's finding is about) -> cards (what every picture says of a node) -> dot, mermaid; layout
(where it stands) -> svg; details (what only the records know) -> page, which is `page.html.j2` with `page.css` in it.
"""
