"""DOT, Mermaid and the HTML page of a lineage: whole, laid out, and inert whatever the names hold."""

import base64
import dataclasses
import hashlib
import html.parser
import itertools
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from pipeline.lineage.export import layout
from pipeline.lineage.export.cards import picture
from pipeline.lineage.export.details import gather
from pipeline.lineage.export.dot import dot
from pipeline.lineage.export.layout import Box, lay_out, ranks
from pipeline.lineage.export.marks import Mark, marks
from pipeline.lineage.export.mermaid import mermaid
from pipeline.lineage.export.page import page
from pipeline.lineage.export.svg import WIDE, cut, length
from pipeline.lineage.show import show
from pipeline.provenance.ancestry import EXECUTION, Graph

HOSTILE = '<script>alert(1)</script>"]; x -> y [label="\\N\' {{ 7 * 7 }} `#` end\n%%{init}%% | & \u202e.gz'
DOT_STRING = r'"(?:[^"\\\n]|\\.)*"'
DOT_LINE = re.compile(
    r"  (?:(?:rankdir=LR|n\d+ -> n\d+ \[ATTRS\]|(?:n\d+|node|edge) \[ATTRS\]);)".replace(
        "ATTRS", rf"\w+=(?:{DOT_STRING}|\w+)(?:, \w+=(?:{DOT_STRING}|\w+))*"
    )
)
MERMAID_TEXT = r"(?:[\w .,:+\-_/()]|#\d+;|<br>)*"
MERMAID_NODE = re.compile(rf'  n\d+(?:\[/|\(\[|\[)"{MERMAID_TEXT}"(?:/\]|\]\)|\])(?::::(?:cached|served|broken))?')
MERMAID_LINK = re.compile(rf'  n\d+ -->\|"{MERMAID_TEXT}"\| n\d+')


@pytest.fixture
def lineage(root):
    return show(root.path)


@pytest.fixture
def hostile(lineage):
    """A lineage in which every name and channel is hostile."""
    nodes = {id_: dataclasses.replace(node, name=HOSTILE) for id_, node in lineage.graph.nodes.items()}
    edges = tuple(dataclasses.replace(edge, channel=HOSTILE) for edge in lineage.graph.edges)
    return dataclasses.replace(lineage, path=HOSTILE, baseline=HOSTILE, graph=Graph(nodes, edges))


class Reader(html.parser.HTMLParser):
    """What a page consists of: tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def node_lines(text):
    return [
        line for line in text.splitlines() if re.match(r"  n\d+[\[( ]", line) and "--" not in line and "->" not in line
    ]


def link_lines(text):
    return [line for line in text.splitlines() if re.match(r"  n\d+ --?>", line)]


@pytest.mark.parametrize("name", ["lineage.dot", "lineage.mmd"])
def test_the_drawing_is_as_committed(lineage, golden, name):
    golden(name, {"lineage.dot": dot, "lineage.mmd": mermaid}[name](lineage).encode())


@pytest.mark.parametrize("draw", [dot, mermaid])
def test_all_nodes_and_edges_are_drawn(lineage, draw):
    text = draw(lineage)
    assert len(node_lines(text)) == len(lineage.graph.nodes)
    assert len(link_lines(text)) == len(lineage.graph.edges)


@pytest.mark.parametrize("draw", [dot, page])
def test_every_digest_is_there_in_full(lineage, draw):
    digests = {edge.sha256 for edge in lineage.graph.edges} | {
        node.sha256 for node in lineage.graph.nodes.values() if node.kind != EXECUTION
    }
    records = {id_ for id_, node in lineage.graph.nodes.items() if node.kind == EXECUTION}
    assert {digest for digest in digests | records if digest not in draw(lineage)} == set()


def test_dot_is_well_formed_whatever_the_names_hold(hostile):
    first, *lines, last = dot(hostile).splitlines()
    assert re.fullmatch(rf"digraph {DOT_STRING} {{", first)
    assert last == "}"
    assert [line for line in lines if not DOT_LINE.fullmatch(line)] == []


@pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz: apt-get install graphviz")
def test_graphviz_reads_what_was_written(hostile, lineage):
    for drawn in (hostile, lineage):
        done = subprocess.run(["dot", "-Tplain"], input=dot(drawn), capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert sum(line.startswith("node ") for line in done.stdout.splitlines()) == len(drawn.graph.nodes)


def test_mermaid_is_well_formed_whatever_the_names_hold(hostile):
    text = mermaid(hostile, [Mark(node="version:1", message=HOSTILE)])
    nodes, links = len(hostile.graph.nodes), len(hostile.graph.edges)
    first, *lines = text.splitlines()
    assert first == "flowchart LR"
    assert all(MERMAID_NODE.fullmatch(line) for line in lines[:nodes])
    assert all(MERMAID_LINK.fullmatch(line) for line in lines[nodes : nodes + links])
    assert {line.split()[0] for line in lines[nodes + links :]} == {"classDef", "linkStyle"}


def test_a_finding_breaks_the_node_and_the_links_that_leave_it(lineage, root):
    classifier = root.known["Classifier"][0]
    shown = picture(lineage, [SimpleNamespace(node=classifier, message="changed")])
    assert [card.title for card in shown.cards.values() if card.problems] == ["Classifier"]
    assert {link.edge.source for link in shown.links if link.broken} == {classifier}


def test_a_finding_about_the_version_breaks_the_link_that_leads_to_it(lineage):
    shown = picture(lineage, [SimpleNamespace(node=lineage.id, message="byte flipped")])
    assert [link.edge.channel for link in shown.links if link.broken] == ["pushed_model"]


def test_a_record_that_others_name_and_nobody_has_is_drawn_broken(lineage, root):
    gone = root.known["Autoencoder"][0]
    nodes = {id_: node for id_, node in lineage.graph.nodes.items() if id_ != gone}
    edges = tuple(edge for edge in lineage.graph.edges if edge.target != gone)
    broken = dataclasses.replace(lineage, graph=Graph(nodes, edges))
    assert picture(broken).cards[gone].kind == "missing"
    for text in (dot(broken), mermaid(broken), page(broken)):
        assert "missing record" in text


@pytest.mark.parametrize("draw", [dot, mermaid])
def test_broken_is_red_and_dashed_and_whole_is_not(lineage, root, draw):
    broken = draw(lineage, [Mark(node=root.known["Transform"][0], message="changed")])
    assert "#c62828" not in draw(lineage).replace("classDef broken stroke:#c62828,color:#c62828", "")
    assert "#c62828" in broken.replace("classDef broken stroke:#c62828,color:#c62828", "")
    assert "dashed" in broken or "stroke-dasharray" in broken


@pytest.mark.parametrize(
    ("where", "node"),
    [
        ("serving/1/saved_model.pb", "version:1"),
        ("artifacts/Transform/transform_graph/1/content", "Transform"),
        ("artifacts/Transform/transform_graph/1", "Transform"),
        ("artifacts/Transform/transform_graph/10/content", None),
        ("records/{Evaluator}.json", "Evaluator"),
        ("records/{Evaluator}.json (Evaluator)", "Evaluator"),
        ("ledger.jsonl line 3", None),
        ("", None),
    ],
)
def test_what_an_audit_found_is_marked_where_it_lies(lineage, root, where, node):
    hashes = {name: hash_ for name, (hash_, _) in root.known.items()}
    found = SimpleNamespace(where=where.format(**hashes), level="FAIL", verdict="INTEGRITY")
    (mark,) = marks(lineage, gather(root.path, lineage).records, [found])
    assert mark.node == hashes.get(node, node)


def test_a_rule_that_does_not_hold_is_told_and_breaks_no_link(lineage):
    (mark,) = marks(lineage, {}, [SimpleNamespace(where="serving/1", level="FAIL", verdict="POLICY")])
    assert mark.node is None


def test_what_only_warns_breaks_no_link(lineage):
    assert marks(lineage, {}, [SimpleNamespace(where="serving/1", level="WARN", verdict="INTEGRITY")]) == ()


def test_markup_is_text_in_the_page(hostile):
    read = Reader(page(hostile, [Mark(node=None, message=HOSTILE), Mark(node="version:1", message=HOSTILE)]))
    assert not {"script", "img", "iframe", "link", "object", "form"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name.startswith("on") or name == "style"]
    assert "<script>alert(1)</script>" in read.text
    assert "{{ 7 * 7 }}" in read.text


def test_the_page_names_nothing_outside_itself(lineage, root):
    text = page(lineage, details=gather(root.path, lineage))
    assert re.findall(r"(?:https?:)?//[\w.]+", text) == []
    assert re.findall(r"@import|url\((?!#)", text) == []
    references = [value for name, value in Reader(text).attributes if name in {"href", "src", "xlink:href", "action"}]
    assert references
    assert all(reference.startswith("#") for reference in references)


def test_the_policy_allows_the_one_style_element_and_nothing_else(lineage):
    text = page(lineage)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_the_page_tells_parameters_metrics_rows_and_names(lineage, root):
    read = Reader(page(lineage, details=gather(root.path, lineage))).text
    for told in (
        "0.9700",
        "train-labels [bold]idx1.gz",
        "code_digest",
        "run-1",
        "Merkle root",
        "Baseline: none",
    ):
        assert told in read


def test_without_records_the_page_says_what_the_graph_knows(lineage):
    assert "No metrics at hand" in page(lineage)


def test_a_page_without_findings_claims_no_audit(lineage):
    text = Reader(page(lineage)).text
    assert "Drawn from the records alone" in text
    assert "audit found" not in text.casefold()


def test_ranks_are_longest_paths_and_sources_stand_by_their_readers():
    found = ranks("abcdx", [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("x", "d")])
    assert found == {"a": 0, "b": 1, "c": 2, "d": 3, "x": 2}


def test_links_in_a_circle_are_refused():
    with pytest.raises(ValueError, match="circle"):
        ranks("ab", [("a", "b"), ("b", "a")])


def boxes_of(count):
    return [Box(id=str(n), width=50 + n % 3 * 20, height=30 + n % 2 * 10) for n in range(count)]


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_boxes_of_a_rank_keep_their_distance(step):
    links = [(str(n), str(n + step + k)) for n in range(60) for k in range(3) if n + step + k < 60]
    done = lay_out(boxes_of(60), links, gap=(25, 11))
    for one, other in itertools.combinations(done.places.values(), 2):
        apart = one.x + one.width < other.x or other.x + other.width < one.x
        gaps = (other.y - one.y - one.height, one.y - other.y - other.height)
        assert apart or max(gaps) >= 11 - 1e-6
    assert all(place.y >= 0 and place.y + place.height <= done.height + 1e-6 for place in done.places.values())
    assert all(place.x + place.width <= done.width for place in done.places.values())


def test_links_run_from_left_to_right_and_past_the_boxes():
    done = lay_out(boxes_of(4), [("0", "1"), ("1", "2"), ("2", "3"), ("0", "3")], gap=(25, 11))
    route = done.routes["0", "3"]
    assert list(route) == sorted(route, key=lambda point: point[0])
    lane = {y for _, y in route[1:-1]}
    inner = [done.places["1"], done.places["2"]]
    assert all(y <= place.y or y >= place.y + place.height for y in lane for place in inner)


def test_two_ranks_in_a_ladder_are_put_in_an_order_without_crossings():
    ids = [f"{side}{n}" for side in "ab" for n in (range(8) if side == "a" else reversed(range(8)))]
    done = lay_out(
        [Box(id=id_, width=10, height=10) for id_ in ids], [(f"a{n}", f"b{n}") for n in range(8)], gap=(5, 5)
    )
    assert all(abs(done.places[f"a{n}"].y - done.places[f"b{n}"].y) < 1e-6 for n in range(8))


def test_a_drawing_of_nothing_is_empty():
    assert lay_out([], [], gap=(1, 1)).width == 0


def test_a_chain_of_thousands_is_laid_out():
    links = [(str(n), str(n + 1)) for n in range(3000)]
    done = lay_out([Box(id=str(n), width=10, height=10) for n in range(3001)], links, gap=(5, 5))
    assert done.width == 3001 * 15 - 5
    assert done.height == pytest.approx(10)


def test_heights_are_the_nearest_that_keep_order_and_distance():
    assert layout._apart([0, 0, 0], [10, 10, 10], [1, 1, 1]) == [-10, 0, 10]
    assert layout._apart([0, 100], [10, 10], [1, 1]) == [0, 100]


def test_a_title_that_does_not_fit_keeps_both_ends():
    assert cut("Classifier", WIDE) == "Classifier"
    short = cut("train-images-of-everybody-idx3-ubyte.gz", WIDE)
    assert short.startswith("train")
    assert short.endswith("byte.gz")
    assert length(short) <= WIDE


def test_drawing_needs_no_tensorflow_and_little_time():
    script = (
        "import sys, time; start = time.process_time();"
        "import pipeline.lineage.export.page, pipeline.lineage.export.dot, pipeline.lineage.export.mermaid;"
        "heavy = {'tensorflow', 'tfx', 'numpy', 'ml_metadata', 'google.protobuf'} & set(sys.modules);"
        "assert not heavy, heavy; print(time.process_time() - start)"
    )
    done = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in range(3)
    ]
    assert min(float(run.stdout) for run in done) < 0.5
