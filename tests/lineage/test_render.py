"""The tree of `lineage show`: each node once and in full, in columns, at 80 columns and in a pipe."""

import dataclasses
import io

import pytest
from command_line import mnist_tfx
from rich.cells import cell_len
from rich.console import Console

from pipeline.cli.lineage.tree import lineage_tree
from pipeline.lineage.show import ServedLineage, show
from pipeline.provenance.ancestry import DATA, EXECUTION, SERVED, Edge, Graph, Node, build_graph
from pipeline.provenance.choice import BY, Choice, Contender

DEEP = 3000
NARROW = 80


@pytest.fixture
def lineage(root):
    return show(root.path)


def drawn(lineage, width=None):
    return lineage_tree(lineage, width).plain.splitlines()


def served_from(built, last):
    """Returns the lineage of a version that was made from the node `last`."""
    served = Node(id="version:1", kind=SERVED, name="serving/1", sha256="0" * 64)
    edge = Edge(source=last, target=served.id, channel="pushed_model", sha256="0" * 64)
    return ServedLineage(
        version=1,
        path="serving/1",
        sha256="0" * 64,
        run_id="run-1",
        recorded=True,
        baseline="none",
        graph=Graph({served.id: served, **built.nodes}, (edge, *built.edges)),
    )


def with_name(lineage, name):
    nodes = {
        id_: dataclasses.replace(node, name=name) if node.kind == DATA else node
        for id_, node in lineage.graph.nodes.items()
    }
    return dataclasses.replace(lineage, graph=Graph(nodes, lineage.graph.edges))


@pytest.mark.parametrize(("name", "width"), [("lineage_show.txt", None), ("lineage_show_80.txt", NARROW)])
def test_the_tree_is_as_committed(lineage, golden, name, width):
    golden(name, ("\n".join(drawn(lineage, width)) + "\n").encode())


def test_a_version_of_a_sweep_says_among_which_runs_it_was_chosen(lineage):
    candidates = tuple(
        Contender(run_id=f"run-{number}", values={"seed": number}, validation_accuracy=0.9 + number / 100)
        for number in range(8)
    )
    choice = Choice(sweep="sweep-1", by=BY, values={"seed": 7}, candidates=candidates)
    text = "\n".join(drawn(dataclasses.replace(lineage, choice=choice)))
    assert "  sweep      chosen among 8 candidates by validation accuracy (0.9700)\n" in text
    assert "  candidates run-0, run-1, run-2, run-3, run-4, run-5, 2 more (--json)\n" in text


def test_each_node_stands_once_in_full(lineage):
    lines = drawn(lineage)
    for node in lineage.graph.nodes.values():
        full = [line for line in lines if f" {node.name} " in line and "also reads" not in line]
        assert len(full) == 1
        assert node.kind != EXECUTION or ("2023-11-14 22:13:20" in full[0] and full[0].endswith("executed"))


def test_digests_times_and_states_stand_in_columns(lineage):
    rows = [line for line in drawn(lineage) if line.endswith("executed")]
    assert len({cell_len(line) for line in rows}) == 1
    assert len({line.index("2023-11-14") for line in rows}) == 1


def test_the_base_model_and_the_baseline_can_be_seen(lineage):
    text = "\n".join(drawn(lineage))
    assert "base_model: Autoencoder" in text
    assert "baseline_model: Baseline" in text
    assert "  baseline   none" in text


def test_a_reference_names_the_channel_only_where_another_artifact_goes_over_it(lineage):
    (line,) = [line for line in drawn(lineage) if line.endswith("also reads ExampleGen, Classifier, SchemaGate")]
    assert line.lstrip(" │").startswith("└")


def test_nodes_of_an_earlier_run_are_cached_and_counted(root):
    root.run_id = "run-2"
    for node in ("Classifier", "Baseline", "Evaluator", "SavedModelCheck"):
        root.execute(node, salt="again")
    root.push(2)
    lines = drawn(show(root.path))
    assert "2 data files by 12 executions, 7 of them cached" in lines[3]
    assert sum(line.endswith("cached") for line in lines[5:]) == 7


def test_a_push_that_was_not_recorded_is_said(root):
    root.paths.ledger.unlink()
    assert "its push is not recorded" in drawn(show(root.path))[1]


@pytest.mark.parametrize(
    "name", ["short", "n" * 200 + ".gz", "train-images of the second collection, cleaned twice.csv", "数字" * 40]
)
def test_no_line_is_wider_than_the_terminal(lineage, name):
    assert max(map(cell_len, drawn(with_name(lineage, name), NARROW))) <= NARROW


def test_a_name_that_does_not_fit_keeps_both_ends_and_is_whole_in_a_pipe(lineage):
    named = with_name(lineage, "begin" + "n" * 100 + "end.gz")
    assert "begin" in (text := "\n".join(drawn(named, NARROW)))
    assert "end.gz" in text
    assert "begin" + "n" * 100 + "end.gz" in "\n".join(drawn(named))


def test_markup_in_a_file_name_stays_text(lineage):
    out = io.StringIO()
    Console(file=out, soft_wrap=True).print(lineage_tree(lineage))
    assert "train-labels [bold]idx1.gz" in out.getvalue()


def test_a_chain_of_three_thousand_generations_is_drawn_whole(make_chain):
    records, last = make_chain(DEEP)
    lines = drawn(served_from(build_graph(records, [last]), last), NARROW)
    assert {f"Generation{number}" for number in range(DEEP)} <= {word for line in lines for word in line.split()}
    assert max(map(cell_len, lines)) <= NARROW


def test_a_node_that_reads_hundreds_breaks_its_references_below_each_other():
    wide = {str(n): Node(id=str(n), kind=EXECUTION, name=f"Shard{n}", sha256=f"{n:064x}") for n in range(300)}
    ends = [Node(id=name, kind=EXECUTION, name=name, sha256="a" * 64) for name in ("First", "Second")]
    edges = tuple(
        Edge(source=id_, target=end, channel="examples", sha256="b" * 64) for end in ("First", "Second") for id_ in wide
    )
    chain = Edge(source="First", target="Second", channel="model", sha256="c" * 64)
    built = Graph({**wide, **{node.id: node for node in ends}}, (*edges, chain))
    lines = drawn(served_from(built, "Second"), NARROW)
    assert max(map(cell_len, lines)) <= NARROW
    assert sum("Shard299" in line for line in lines) == 2


def test_the_command_does_not_break_lines_in_a_pipe(root):
    answer = mnist_tfx("lineage", "show", "--root", root.path)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines() == drawn(show(root.path))
