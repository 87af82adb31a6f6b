"""The lineage page in a real browser: nothing fails, nothing is fetched, nothing overflows, nothing runs."""

import dataclasses

import browser
import pytest

from pipeline.lineage.export.details import Details, gather
from pipeline.lineage.export.marks import Mark
from pipeline.lineage.export.page import page
from pipeline.lineage.show import ServedLineage, show
from pipeline.provenance.ancestry import EXECUTION, Edge, Graph, Node

CHROMIUM = browser.executable()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

WIDTHS = (400, 1400)
FORTY = 40
HOSTILE = "<script>window.ran = 1</script><img src=http://example.com/x onerror='window.ran = 1'>\"'&amp;{{ 7 * 7 }}.gz"

OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(found =>
  !found.closest('.frame') && found.getBoundingClientRect().right > innerWidth + 0.5 &&
  getComputedStyle(found).clipPath === 'none' && !found.closest('thead')
).map(found => found.tagName + '.' + found.className)
"""
TEXT_OUTSIDE_ITS_CARD = """
[...document.querySelectorAll('.card')].flatMap(card => {
  const box = card.querySelector('rect').getBBox();
  return [...card.querySelectorAll('text')].filter(text => {
    const words = text.getBBox();
    return words.x + words.width > box.x + box.width || words.y + words.height > box.y + box.height;
  }).map(text => text.textContent);
})
"""
CARDS_THAT_OVERLAP = """
(() => {
  const boxes = [...document.querySelectorAll('.card rect')].map(rect => rect.getBBox());
  return boxes.flatMap((a, n) => boxes.slice(n + 1).filter(b =>
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height)).length;
})()
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.started(CHROMIUM, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def pages(root, tmp_path):
    """A function that writes a page of the fabricated root, or of what it is given, and returns its path."""

    def write(lineage=None, findings=(), details=None):
        found = lineage or show(root.path)
        path = tmp_path / "lineage.html"
        path.write_text(page(found, findings, details=details or gather(root.path, found)), encoding="utf-8")
        return path

    return write


def forty_nodes():
    """Eight ranks of five steps, each of which reads two of the rank before and one of the first rank."""
    ids = [f"{number:064x}" for number in range(1, FORTY)]
    nodes = [
        Node(
            id=id_,
            kind=EXECUTION,
            name=f"ExampleValidator{n}",
            sha256=id_,
            run_id=f"run-{n % 2}",
            time="2026-01-02T03:04:05Z",
        )
        for n, id_ in enumerate(ids)
    ]
    reads = {n: {n - 5, n - 4 - n % 2, n % 5} for n in range(5, FORTY - 1)}
    edges = [
        Edge(source=ids[source], target=ids[target], channel="examples", sha256=ids[source])
        for target, sources in reads.items()
        for source in sources
    ]
    served = Node(id="version:7", kind="served", name="serving/7", sha256="f" * 64, run_id="run-1")
    ends = [id_ for id_ in ids if id_ not in {edge.source for edge in edges}]
    edges += [Edge(source=id_, target=served.id, channel="pushed_model", sha256=served.sha256) for id_ in ends]
    return ServedLineage(
        version=7,
        path="serving/7",
        sha256=served.sha256,
        run_id="run-1",
        recorded=True,
        baseline="version 6",
        graph=Graph({node.id: node for node in (served, *nodes)}, tuple(edges)),
    )


def renamed(lineage, name):
    """Returns the lineage with all names of files and steps replaced."""
    nodes = {id_: dataclasses.replace(node, name=name) for id_, node in lineage.graph.nodes.items()}
    edges = tuple(dataclasses.replace(edge, channel=name) for edge in lineage.graph.edges)
    return dataclasses.replace(lineage, baseline=name, graph=Graph(nodes, edges))


def complaints(chromium):
    """Returns what the browser had to say about the page, and what it asked for besides the page itself."""
    said = [entry["entry"]["text"] for entry in chromium.seen("Log.entryAdded")]
    said += [str(call) for call in chromium.seen("Runtime.consoleAPICalled") + chromium.seen("Runtime.exceptionThrown")]
    asked = [request["request"]["url"] for request in chromium.seen("Network.requestWillBeSent")]
    return said + [url for url in asked[1:] if not url.startswith("file:") or "lineage.html" not in url]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_opens_without_a_complaint_or_a_request(chromium, pages, width, dark):
    chromium.open(pages(), width=width, dark=dark)
    assert complaints(chromium) == []
    assert chromium.evaluate("getComputedStyle(document.body).maxWidth") == "1600px"  # its hash let the style in


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("nodes", ["fourteen", "forty"])
def test_nothing_overflows(chromium, pages, width, nodes):
    chromium.open(pages(forty_nodes()) if nodes == "forty" else pages(), width=width)
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width
    assert chromium.evaluate(OVERFLOWING) == []
    assert chromium.evaluate(TEXT_OUTSIDE_ITS_CARD) == []
    assert chromium.evaluate(CARDS_THAT_OVERLAP) == 0


def test_forty_nodes_can_be_read(chromium, pages):
    chromium.open(pages(forty_nodes()), width=1400)
    height = "document.querySelector('.card .digest').getBoundingClientRect().height"
    assert chromium.evaluate("document.querySelectorAll('.card').length") == FORTY
    assert chromium.evaluate(height) >= 9


def test_a_broken_link_is_red_and_dashed(chromium, pages, root):
    chromium.open(pages(findings=[Mark(node=root.known["Classifier"][0], message="content: changed")]), width=1400)
    look = "(() => {{ const look = getComputedStyle(document.querySelector('{}')); return [look.stroke, look.strokeDasharray]; }})()"
    for broken in (".card.broken rect", ".link.broken"):
        assert chromium.evaluate(look.format(broken)) == ["rgb(179, 38, 30)", "5px, 4px"]
    assert chromium.evaluate("document.querySelectorAll('.card.broken').length") == 1
    assert "content: changed" in chromium.evaluate("document.querySelector('.alarm').innerText")


@pytest.mark.fault(37)
@pytest.mark.parametrize("width", WIDTHS)
def test_markup_in_names_labels_and_parameters_is_inert_text(chromium, pages, root, width):
    lineage = show(root.path)
    details = gather(root.path, lineage)
    records = {
        id_: dataclasses.replace(record, parameters={HOSTILE: HOSTILE, "settings": f'{{"a": "{"<script>" * 3}"}}'})
        for id_, record in details.records.items()
    }
    hostile = Details(records=records, metrics=details.metrics)
    findings = [Mark(node=root.known["Transform"][0], message=HOSTILE), Mark(node=None, message=HOSTILE)]
    chromium.open(pages(renamed(lineage, HOSTILE), findings, hostile), width=width)
    assert complaints(chromium) == []
    assert chromium.evaluate("window.ran") is None
    assert chromium.evaluate("document.querySelectorAll('script, img, iframe, object').length") == 0
    assert HOSTILE in chromium.evaluate("document.body.textContent")
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width


def test_every_card_leads_to_its_details(chromium, pages):
    chromium.open(pages(), width=1400)
    lost = "[...document.querySelectorAll('.card')].filter(card => !document.querySelector(card.getAttribute('href'))).length"
    assert chromium.evaluate(lost) == 0


def test_the_page_can_be_printed(chromium, pages):
    chromium.open(pages(), width=1400, dark=True, medium="print")
    assert chromium.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(chromium.call("Page.printToPDF", printBackground=True)["data"]) > 10_000
