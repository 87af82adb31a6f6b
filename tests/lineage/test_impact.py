"""From a data file, however it is packed, or from any digest, to the models that it went into."""

import gzip
import json
import shutil

import many_records
import numpy as np
import pytest
from click.testing import CliRunner
from command_line import PROJECT, mnist_tfx
from jsonschema import Draft202012Validator

from components.digest import sha256_file
from components.errors import BadInput
from components.ingest import idx
from pipeline.commands.lineage.impact import impact as command
from pipeline.lineage.given_rows import Picture
from pipeline.lineage.history import open_history
from pipeline.lineage.impact import impact
from pipeline.lineage.row_index import open_index

SCHEMA = json.loads((PROJECT / "pipeline" / "json_schemas" / "lineage_impact.json").read_bytes())


def roles(found):
    return [(model.version, model.role) for model in found.models]


# --- by digest, on a root without row indexes ---


@pytest.fixture
def history(root):
    return open_history(root.path)


@pytest.mark.parametrize(
    ("digest", "role"),
    [
        ("record ExampleGen", ("autoencoder", "classifier", "evaluation")),
        ("record ReviewedSchema", ("autoencoder", "classifier", "evaluation")),
        ("record Autoencoder", ("autoencoder",)),
        ("record Classifier", ("classifier",)),
        ("record Baseline", ("evaluation",)),
        ("record Pusher", ("publication",)),
        ("record SavedModelCheck", ("publication",)),
        ("artifact Autoencoder model", ("autoencoder",)),
        ("artifact Classifier model", ("itself",)),
        ("artifact Transform transform_graph", ("autoencoder", "classifier")),
        ("file Classifier model", ("itself",)),
    ],
)
def test_a_digest_is_followed_to_the_part_it_had(root, history, digest, role):
    kind, node, *channel = digest.split()
    hash_, record = root.known[node]
    entry = record.outputs[channel[0]][0] if channel else None
    file = next(iter(entry.files.values()))["sha256"] if entry else None
    found = impact(history, [{"record": hash_, "artifact": entry and entry.sha256, "file": file}[kind]])
    assert roles(found) == [(1, role)]
    assert found.models[0].served


def test_what_nobody_reads_went_into_no_model(root, history):
    run = root.known["Classifier"][1].outputs["model_run"][0].sha256
    assert impact(history, [run]).models == ()


def test_a_data_file_known_by_digest_alone_has_the_role_of_its_part(root, history):
    [images, _] = root.known["ExampleGen"][1].sources
    assert roles(impact(history, [images.payload_digest])) == [(1, ("autoencoder", "classifier", "evaluation"))]


def test_the_digest_of_a_packed_file_leads_to_its_payload(history):
    [container] = [
        packed for packed, payload in history.containers.items() if history.names[payload].startswith("train-im")
    ]
    assert impact(history, [container]).models


def test_the_same_code_file_reaches_every_node_that_runs_it(root, history):
    code = root.known["Classifier"][1].code
    found = impact(history, [code.files["components/digest.py"]])
    assert {one.step.node for one in found.found} == set(root.known)
    assert impact(history, [code.digest]).models[0].role == ("autoencoder", "classifier", "evaluation")


def test_models_that_were_never_pushed_or_are_no_longer_served_are_said_to_be(root):
    root.execute("Classifier", salt="unpushed")
    shutil.rmtree(root.paths.serving / "1")
    found = impact(open_history(root.path), [root.known["Autoencoder"][0]])
    assert [(model.version, model.served) for model in found.models] == [(1, False), (None, False)]


def test_a_model_that_is_served_again_is_named_by_both_versions(root):
    shutil.copytree(root.paths.serving / "1", root.paths.serving / "2")
    model = root.known["Classifier"][1].outputs["model"][0]
    root.ledger.pushed(node="Pusher", run_id="run-1", version=2, digest=model.sha256)
    assert [m.version for m in impact(open_history(root.path), [root.known["Autoencoder"][0]]).models] == [1, 2]


@pytest.mark.parametrize("given", [["no such file"], ["abc"], ["0" * 63]])
def test_what_is_neither_file_nor_digest_is_refused(history, given):
    with pytest.raises(BadInput, match="no such file, and not a digest"):
        impact(history, given)


def test_an_unknown_digest_and_an_unknown_file_went_nowhere(history, tmp_path):
    assert impact(history, ["0" * 64]).models == ()
    (tmp_path / "x.txt").write_text("nothing of interest")
    found = impact(history, [str(tmp_path / "x.txt")])
    assert found.models == ()
    assert found.notes


def test_every_model_downstream_of_the_first_file_is_found_in_a_deep_and_wide_store(tmp_path):
    many = many_records.build(tmp_path / "root", generations=130, runs=3)
    found = impact(open_history(many.root), [many.first_payload])
    assert len(found.models) == many.versions - (many.runs - 1)
    assert found.models[0].role == ("autoencoder", "classifier", "evaluation")
    assert {model.role for model in found.models[1:]} == {("autoencoder",)}
    later = ("Autoencoder", "Classifier", "Baseline", "Evaluator", "SavedModelCheck", "Pusher")
    executions = (many.generations - 1) * many.runs * len(later) + len(many_records.NODES) - 1
    assert found.nodes_visited == 1 + executions + len(found.models)


# --- by content, on a root that a run has left ---


@pytest.fixture(scope="module")
def pair(digits_folder):
    return tuple(sorted(digits_folder.iterdir()))


@pytest.fixture(scope="module")
def digits(pair):
    [chunk] = idx.iter_chunks(*pair, rows=10_000)
    return chunk.pixels.reshape(-1, 8, 8), chunk.labels


@pytest.fixture(scope="module")
def ran(first_run):
    return open_history(first_run[0])


def as_csv(path, images, labels, *, label_first):
    rows = [
        [label, *image.ravel()] if label_first else [*image.ravel(), label]
        for image, label in zip(images, labels, strict=True)
    ]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


ALL_ROLES = ("autoencoder", "classifier", "evaluation")


@pytest.mark.e2e
def test_a_renamed_or_packed_file_is_found_by_its_payload(ran, pair, tmp_path):
    renamed, packed = tmp_path / "renamed.bin", tmp_path / "packed"
    shutil.copy(pair[0], renamed)
    packed.write_bytes(gzip.compress(pair[0].read_bytes()))
    for file in (*pair, renamed, packed):
        found = impact(ran, [str(file)])
        assert roles(found) == [(1, ALL_ROLES)]
        assert (found.models[0].match, found.models[0].whole, found.models[0].served) == ("payload", True, True)


@pytest.mark.e2e
@pytest.mark.parametrize("label_first", [True, False])
def test_the_rows_are_found_as_csv_in_any_order_and_in_pieces(ran, digits, tmp_path, label_first):
    images, labels = digits
    order = np.random.default_rng(0).permutation(len(labels))
    file = as_csv(tmp_path / "rows.txt", images[order][:700], labels[order][:700], label_first=label_first)
    [model] = impact(ran, [str(file)]).models
    assert (model.match, model.whole, model.role) == ("rows", True, ALL_ROLES)
    assert model.shared.total == sum(model.shared.splits.values()) == 700


@pytest.mark.e2e
def test_a_file_that_overlaps_in_part_gives_the_number_of_shared_rows(ran, digits, tmp_path):
    images, _ = digits
    mixed = np.concatenate([images[:100], np.full((5, 8, 8), 7, np.uint8)])
    idx.write_images(tmp_path / "mixed", mixed)
    [model] = impact(ran, [str(tmp_path / "mixed")]).models
    fields = model.to_dict()
    assert (fields["match"], fields["whole"], fields["shared_rows"]) == ("pixels", False, 100)
    assert sum(fields["shared_rows_by_split"].values()) == 100


@pytest.mark.e2e
def test_rows_of_the_test_split_went_into_the_evaluation_alone(ran, digits, tmp_path):
    images, _ = digits
    tested = set(open_index(ran.root, ran.ingests[0]).splits["test"]["pixels"].tolist())
    chosen = [i for i in images if Picture(height=8, width=8, pixels=i.tobytes()).digest in tested]
    idx.write_images(tmp_path / "tested", np.array(chosen))
    [model] = impact(ran, [str(tmp_path / "tested")]).models
    assert model.role == ("evaluation",)
    assert model.shared.splits["train"] == model.shared.splits["validation"] == 0


@pytest.mark.e2e
def test_relabelled_rows_are_other_rows_but_the_same_images(ran, pair, digits, tmp_path):
    idx.write_labels(tmp_path / "other-labels", (digits[1] + 1) % 10)
    assert impact(ran, [str(pair[0]), str(tmp_path / "other-labels")]).models[0].shared is None
    [model] = impact(ran, [str(pair[0]), str(pair[1])]).models
    assert model.shared.total == len(digits[1])


@pytest.mark.e2e
def test_a_duplicate_counts_as_often_as_both_have_it(ran, digits, tmp_path):
    idx.write_images(tmp_path / "again", np.concatenate([digits[0][:3]] * 4))
    [model] = impact(ran, [str(tmp_path / "again")]).models
    assert (model.shared.total, model.whole) == (3, False)


@pytest.mark.e2e
def test_a_served_directory_and_a_code_file_are_found_too(ran, first_run):
    assert roles(impact(ran, [str(first_run[0] / "serving" / "1")])) == [(1, ("itself",))]
    assert roles(impact(ran, [str(PROJECT / "components" / "classifier" / "model.py")])) == [(1, ("classifier",))]
    assert impact(ran, [sha256_file(PROJECT / "requirements.lock")]).models


@pytest.mark.e2e
def test_a_packed_file_that_is_cut_short_is_one_line(ran, pair, tmp_path):
    file = tmp_path / "cut.gz"
    file.write_bytes(gzip.compress(pair[0].read_bytes())[:-20])
    with pytest.raises(BadInput, match=r"cut\.gz: gzip data is cut short"):
        impact(ran, [str(file)])


@pytest.mark.e2e
def test_without_its_row_index_a_file_is_found_by_its_payload_and_it_is_said(first_run, pair, tmp_path):
    root = shutil.copytree(first_run[0], tmp_path / "root", symlinks=True)
    shutil.rmtree(root / "artifacts" / "ExampleGen")
    found = impact(open_history(root), [str(pair[0])])
    assert roles(found) == [(1, ALL_ROLES)]
    assert "not compared by rows" in found.notes[0]


@pytest.mark.e2e
def test_the_answer_is_json_by_its_schema_and_a_table(first_run, pair):
    root = first_run[0]
    for given in ([str(pair[0])], ["0" * 64], [str(root / "serving" / "1")]):
        answer = CliRunner().invoke(command, [*given, "--root", str(root), "--json"], standalone_mode=False)
        assert [e.message for e in Draft202012Validator(SCHEMA).iter_errors(json.loads(answer.output))] == []
    answer = mnist_tfx("lineage", "impact", pair[0], "--root", root)
    assert answer.code == 0
    assert "autoencoder, classifier, evaluation" in answer.out
    assert "served" in answer.out
