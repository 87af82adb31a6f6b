"""A recipe without an autoencoder: a graph of eleven nodes, from the run to its audit, and on Kubeflow."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import mnist_tfx

from components.serving import PROVENANCE
from pipeline.lineage.impact import impact_of_picture
from pipeline.lineage.index import open_lineage
from pipeline.lineage.rows import usage
from pipeline.predict.answer import Model, choose
from pipeline.predict.nearest import HIDDEN, training_rows
from pipeline.provenance.statement import parse_statement
from pipeline.stages import STAGES

pytestmark = pytest.mark.e2e

WITHOUT = ("--set", "autoencoder=null", "--set", "evaluation.reconstruction_mse=null")
QUICK = ("--set", "classifier.epochs=15", "--set", "evaluation.accuracy=0.8", "--set", "evaluation.baseline_margin=0.2")
NODES = set(STAGES) - {"Autoencoder"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory, digits_folder):
    """Root and answer of a run without an autoencoder, with every export."""
    root = tmp_path_factory.mktemp("plain") / "root"
    answer = run(root, digits_folder, *WITHOUT, "--export", "keras,h5,frozen")
    assert answer.code == 0, answer.err + answer.out
    return root, answer


def run(root, data, *more):
    return mnist_tfx("run", "--data", data, "--root", root, *QUICK, *more, "--json")


def test_eleven_nodes_are_executed_and_a_model_is_served(plain):
    _, answer = plain
    assert set(answer.states()) == NODES
    assert answer.json["metrics"]["reconstruction_mse"] is None
    assert answer.json["version"] == 1


def test_the_served_model_has_no_signature_for_reconstructions(plain):
    import tensorflow as tf

    signatures = tf.saved_model.load(plain[0] / "serving" / "1").signatures
    assert set(signatures) == {"serving_default", "serving_images", "serving_examples"}


def test_training_rows_are_near_by_the_classifiers_last_hidden_layer(plain, tmp_path):
    version = choose(plain[0], 1)
    rows = training_rows(plain[0], version, Model(version).saved_model, tmp_path, lambda *_: None)
    first, second = rows.nearest(rows.images[7].reshape(8, 8), count=2)
    assert rows.encoder.layer == HIDDEN
    assert (first.label, first.image.tolist()) == (rows.labels[7], rows.images[7].reshape(8, 8).tolist())
    assert first.distance < 1e-3 < second.distance


def test_a_second_run_finds_everything_cached(plain, digits_folder):
    root, first = plain
    answer = run(root, digits_folder, *WITHOUT, "--export", "keras,h5,frozen")
    assert answer.states() == dict.fromkeys(NODES, "cached")
    assert answer.json["exports"] == first.json["exports"]


def test_rows_that_were_chosen_on_and_then_trained_on_are_said_to_be_both(plain, digits_folder, tmp_path):
    chosen, retrained = plain[0], tmp_path / "root"
    answer = run(retrained, digits_folder, *WITHOUT, "--set", "classifier.retrain=true")
    assert answer.code == 0, answer.err + answer.out

    def uses(root):
        history = open_lineage(root)
        pictures = (usage.find_picture(history, usage.ImageQuery(index=row)) for row in range(40))
        return {impact_of_picture(history, picture, "a row").models[0].uses for picture in pictures}

    assert ("validation",) in uses(chosen)
    assert {("train",), ("train", "validation")} <= uses(retrained) <= {("train",), ("train", "validation"), ("test",)}


def test_exports_are_files_that_the_record_knows_by_digest(plain):
    root, answer = plain
    names = [
        Path(path).relative_to(root / "artifacts" / "Classifier" / "model_run").name for path in answer.json["exports"]
    ]
    assert names == ["classifier.h5", "classifier.keras", "classifier.pb", "classifier.pb.json"]
    kept = [json.loads(path.read_text()) for path in (root / "records").glob("*.json")]
    [trained] = [record for record in kept if record.get("node") == "Classifier"]
    assert {f"exports/{name}" for name in names} <= set(trained["outputs"]["model_run"][0]["files"])


def test_an_audit_passes_and_says_that_there_is_no_autoencoder(plain):
    audited = mnist_tfx("lineage", "audit", "--root", plain[0], "--json")
    [audit] = audited.json["audits"]
    assert (audit["verdicts"]["INTEGRITY"], audit["verdicts"]["COMPLETENESS"]) == ("PASS", "PASS")
    assert audit["autoencoder"] is False
    assert "no autoencoder" in mnist_tfx("lineage", "audit", "--root", plain[0]).out


def test_lineage_says_that_there_is_no_autoencoder(plain):
    shown = mnist_tfx("lineage", "show", "--root", plain[0])
    assert "by 11 executions, 0 of them cached, no autoencoder" in shown.out
    assert "Autoencoder" not in shown.out


def test_the_provenance_tells_the_settings_of_the_nodes_that_there_are(plain):
    statement = parse_statement((plain[0] / "serving" / "1" / PROVENANCE).read_bytes())
    settings = statement["predicate"]["buildDefinition"]["externalParameters"]["settings"]
    assert "Autoencoder" not in settings
    assert settings["Classifier"]["exports"] == ["frozen", "h5", "keras"]


@pytest.mark.slow
def test_a_version_with_an_autoencoder_is_measured_beside_one_without(plain, digits_folder, tmp_path):
    root = shutil.copytree(plain[0], tmp_path / "both", symlinks=True)
    for more in (("--set", "autoencoder.epochs=15"), WITHOUT):
        answer = run(root, digits_folder, *more)
        assert answer.code == 0, answer.err
    assert answer.json["baseline"] == "version 2"
    found = mnist_tfx("lineage", "diff", "1", "2", "--root", root, "--json")
    assert found.code == 0
    assert "Autoencoder" in found.out


@pytest.mark.slow
def test_a_version_without_an_autoencoder_is_reproduced(digits_folder, tmp_path):
    root = tmp_path / "root"
    assert run(root, digits_folder, *WITHOUT, "--set", "deterministic=true").code == 0
    answer = mnist_tfx("lineage", "reproduce", "1", "--root", root, "--json")
    assert answer.json["verdict"] == "bit for bit", answer.out
    assert [figure["name"] for figure in answer.json["metrics"]] == ["accuracy", "loss"]


@pytest.mark.slow
def test_the_graph_is_compiled_linted_simulated_and_audited_on_kubeflow(tmp_path):
    file, root = tmp_path / "plain.yaml", tmp_path / "root"
    image = ("--image", "registry.example/mnist-tfx:1", "--pipeline-root", "minio://mlpipeline/m")
    compiled = mnist_tfx("kubeflow", "compile", "--target", "oss", *image, *WITHOUT, *QUICK, "-o", file)
    assert compiled.code == 0, compiled.err
    assert mnist_tfx("kubeflow", "lint", file).code == 0
    answer = mnist_tfx("kubeflow", "simulate", file, "--root", root, "--json")
    assert answer.states() == dict.fromkeys({"ExampleGenDriver", *NODES}, "executed"), answer.err
    audit = mnist_tfx("lineage", "audit", "newest", "--root", root, "--json").json["audits"][0]
    verdicts = audit["verdicts"]["INTEGRITY"], audit["verdicts"]["COMPLETENESS"], audit["autoencoder"]
    assert verdicts == ("PASS", "PASS", False)
