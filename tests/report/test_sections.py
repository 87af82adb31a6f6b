"""Each part of the page shows what the records and artifacts hold, and says why where it cannot."""

import dataclasses
import io
import json
import os
import re

import numpy as np
import pytest

from components.evaluation.thresholds import Check, Verdict
from pipeline.report.example_rows import ImageRows
from pipeline.report.page import page
from pipeline.report.run_data import NotThereError
from pipeline.report.sections import (
    activations,
    class_images,
    classification,
    data_sheet,
    environment,
    first_layer,
    flow,
    latent_map,
    reconstructions,
    training_curves,
    verdict,
)


def without(answers, *names):
    return {name: value for name, value in answers.items() if not name.startswith(names)}


def test_a_run_that_went_through_says_what_it_serves(evidence):
    shown = verdict.verdict(evidence)
    assert (shown.title, shown.status) == ("Served as version 1", "ok")
    assert [gate.state for gate in shown.gates] == ["passed", "passed", "passed"]
    assert (shown.headlines[0].name, shown.headlines[0].value) == ("accuracy", 0.9)
    assert shown.headlines[0].beside.startswith("0.7438 to 0.9654")


def test_thresholds_keep_value_limit_and_reason_and_what_was_not_asked_has_not_passed(evidence):
    _, evaluation, _ = verdict.verdict(evidence).gates
    accuracy, baseline = evaluation.answers
    assert (accuracy.value, accuracy.threshold, accuracy.state) == (0.9, 0.8, "passed")
    assert (baseline.state, baseline.why) == ("not asked", "no baseline")


def test_the_baselines_figure_stands_beside_the_candidates(evidence):
    metrics = {**evidence.run.metrics, "baseline": {"model": "version 3", "accuracy": 0.88}}
    beaten = dataclasses.replace(evidence, run=dataclasses.replace(evidence.run, metrics=metrics))
    shown = verdict.verdict(beaten)
    assert shown.gates[1].answers[0].baseline == 0.88
    assert "baseline 0.8800" in shown.headlines[0].beside


def test_a_failed_threshold_fails_its_gate(evidence):
    failed = Check(name="accuracy", value=0.7, threshold=0.8, passed=False, reason="wanted at least 0.8")
    file = evidence.artifact("Evaluator", "evaluation") / "verdict.json"
    file.write_text(Verdict(baseline="none", checks=(failed,)).to_json())
    assert verdict.verdict(evidence).gates[1].state == "failed"


def test_the_schema_gates_distances_are_shown_and_its_silence_is_counted(evidence):
    gate = verdict.verdict(evidence).gates[0]
    assert gate.distances[0].measured == ((0.01, 0.05), None, None, None)
    assert gate.silent == 1


def test_a_refusal_is_read_from_the_log_folder_and_names_its_cause(refused):
    shown = verdict.verdict(refused)
    gate, evaluation, _ = shown.gates
    assert shown.title == "Refused by SchemaGate"
    assert (gate.state, gate.answers[0].state) == ("failed", "failed")
    assert "upside down?" in gate.answers[0].why
    assert "the run did not get that far" in evaluation.absent


def test_the_graph_has_an_arrow_for_each_input_and_a_bar_for_each_node(evidence):
    shown = flow.flow(evidence)
    assert len(shown.cards) == 8
    assert len(shown.arrows) == 11
    assert not any(arrow.supposed for arrow in shown.arrows)
    assert shown.bars[0].start == 200  # two seconds of ten went before the first of eight nodes
    assert sum(bar.width for bar in shown.bars) == 800
    assert "8 nodes, 8 executed; 10.0 s" in shown.text


def test_a_node_without_a_record_hangs_on_the_one_before_it(refused):
    shown = flow.flow(refused)
    assert all(arrow.supposed for arrow in shown.arrows)
    assert len(shown.arrows) == 7
    assert [bar.width for bar in shown.bars[2:]] == [0] * 6


def test_the_data_sheet_counts_rows_classes_duplicates_and_leaks(evidence, test_rows):
    folder = evidence.artifact("ExampleGen", "examples") / "row_index"
    index = np.load(folder / "test.npy")
    index["pixels"][1] = index["pixels"][0]
    index["pixels"][2] = np.load(folder / "train.npy")["pixels"][0]
    np.save(folder / "test.npy", index)
    sheet = data_sheet.data_sheet(evidence, {"test": test_rows})
    train, validation, test = sheet.splits
    assert (train.rows, validation.rows, test.rows) == (60, 9, 30)
    assert test.classes == (10, 10, 10)
    assert (test.duplicates, test.shared, train.shared, validation.shared) == (1, 1, 1, 0)
    assert train.away is None
    assert test.away is not None


def test_the_data_sheet_says_what_the_schema_says(evidence):
    assert data_sheet.data_sheet(evidence, {}).schema == ()
    said = 'name: "image" type: INT int_domain { min: 0 max: 16 } presence { min_fraction: 1.0 } shape { dim { size: 64 } }'
    assert data_sheet._said(f" {said}") == "INT, 0 to 16, 64 in a row, in every row"


def test_curves_say_where_they_end_and_what_principal_components_leave(evidence, answers):
    shown = training_curves.training_curves(evidence, answers)
    autoencoder, classifier = shown.trained
    assert "from 1.0000 to 0.2500, least 0.2500 in epoch 4" in autoencoder.curves[0].text
    assert "2 principal components leave 0.0250" in autoencoder.curves[0].text
    assert "0.9000 in the end" in classifier.curves[1].text
    assert "autoencoder 0.00400, principal components 0.02500, 6.25 times" in shown.principal.text


def test_a_recipe_without_an_autoencoder_says_so_and_shows_the_rest(evidence, answers):
    executions = {node: record for node, record in evidence.executions.items() if node != "Autoencoder"}
    nodes = tuple(node for node in evidence.run.nodes if node.id != "Autoencoder")
    bare = dataclasses.replace(evidence, executions=executions, run=dataclasses.replace(evidence.run, nodes=nodes))
    shown = training_curves.training_curves(bare, without(answers, "principal", "latent", "autoencoder"))
    assert "this recipe has no such node" in shown.trained[0].absent
    assert not shown.trained[1].absent
    assert shown.principal is None


@pytest.mark.parametrize(
    ("make", "needs"),
    [
        (reconstructions.reconstructions, "reconstructions"),
        (lambda a, t, d: latent_map.latent_map(a, t.labels, d.names), "places"),
        (classification.classification, "probabilities"),
        (lambda a, _t, d: activations.activations(a, d.names), "hidden"),
    ],
)
def test_a_part_without_its_answers_is_not_there(evidence, answers, test_rows, make, needs):
    data = evidence.settings.data
    assert make(answers, test_rows, data) is not None
    with pytest.raises(NotThereError, match="no"):
        make(without(answers, needs), test_rows, data)


def test_reconstructions_are_ranked_by_class_with_their_errors(evidence, answers, test_rows):
    shown = reconstructions.reconstructions(answers, test_rows, evidence.settings.data)
    best, median, worst = shown.ranks
    assert best.labels == ("0", "1", "2")
    assert all(b <= m <= w for b, m, w in zip(best.errors, median.errors, worst.errors, strict=True))
    assert f"0: {best.errors[0]:.4f}" in best.text


def test_the_latent_map_has_a_picture_to_each_class(answers, test_rows):
    shown = latent_map.latent_map(answers, test_rows.labels, ("0", "1", "2"))
    assert [label for label, _ in shown.apart] == ["0", "1", "2"]
    assert "hold 90% of the variance" in shown.together.text


def test_the_sure_mistake_is_shown_with_what_the_model_said(evidence, answers, test_rows):
    shown = classification.classification(answers, test_rows, evidence.settings.data)
    (mistake,) = shown.mistakes
    assert (mistake.label, mistake.said, round(mistake.sure, 2)) == ("0", "1", 0.98)
    assert (shown.correct, shown.rows) == (29, 30)
    assert shown.worst_pair == "Most frequent: 0 taken for 1, 1 of 10 rows (10.0%)."
    assert (shown.matrix[0][1].rows, shown.matrix[0][1].shade) == (1, 4)
    assert "all 1 of 30" in shown.misclassified.text


def test_classes_go_by_their_names(evidence, answers, test_rows):
    names = ("cat", "$dog", "<b>")
    data = evidence.settings.data.model_copy(update={"class_names": names})
    shown = classification.classification(answers, test_rows, data)
    assert tuple(one.label for one in shown.classes) == names
    assert shown.worst_pair == "Most frequent: cat taken for $dog, 1 of 10 rows (10.0%)."


def with_names(evidence, names):
    settings = {**evidence.run.settings, "data": {**evidence.run.settings["data"], "class_names": list(names)}}
    return dataclasses.replace(evidence, run=dataclasses.replace(evidence.run, settings=settings))


@pytest.mark.parametrize("names", [("cat", "$dog", "<b>"), ("A", "B", "C")], ids=["words", "letters"])
def test_every_chapter_goes_by_the_names_of_the_classes(evidence, answers, test_rows, names):
    named = with_names(evidence, names)
    data = named.settings.data
    sheet = data_sheet.data_sheet(named, {"test": test_rows})
    assert (sheet.class_names, f"(class {names[0]})" in sheet.classes.text) == (names, True)
    assert [one.label for one in activations.activations(answers, names).classes] == list(names)
    assert class_images.class_images(answers, test_rows, "test", data).labels == names
    assert reconstructions.reconstructions(answers, test_rows, data).ranks[0].labels == names
    latent = latent_map.latent_map(answers, test_rows.labels, names)
    assert [name for name, _ in latent.apart] == list(names)
    assert (
        f"Nearest centres: {names[0]}" in latent.together.text or f"{names[1]} and {names[2]}" in latent.together.text
    )
    assert ("1 $dog" in latent.together.text) == (names[0] == "cat")


def test_the_page_has_a_name_wherever_it_would_have_a_number(evidence, answers):
    names = ("cat", "dog", "emu")
    named = with_names(evidence, names)
    text = page(named, answers)
    assert not re.findall(r"""[Cc]lass [0-9]+[ :,.)]|<h3 class="minor">[0-9]</h3>""", text)
    assert "Classes cat, dog, emu from left to right." in text


def test_a_model_without_a_mistake_has_none_to_show(evidence, answers, test_rows):
    answers["probabilities"][0] = (0.98, 0.01, 0.01)
    shown = classification.classification(answers, test_rows, evidence.settings.data)
    assert (shown.mistakes, shown.misclassified, shown.worst_pair) == ((), None, "No row is misclassified.")


def test_many_classes_make_a_picture_instead_of_a_table(evidence):
    data = evidence.settings.data.model_copy(update={"label_count": 30})
    test = ImageRows(np.zeros((60, 16), np.uint8), np.arange(60) % 30)
    shown = classification.classification({"probabilities": np.eye(30)[np.arange(60) % 30]}, test, data)
    assert shown.matrix == ()
    assert shown.matrix_picture is not None


def test_first_layer_weights_are_shown_at_each_moment_in_order(evidence):
    file = evidence.artifact("Classifier", "model_run") / "weights.npz"
    with pytest.raises(NotThereError, match="kept no weights"):
        first_layer.first_layer(evidence)
    kernels = {f"step_{step}": np.full((16, 6), step / 100, np.float32) for step in (100, 0, 1000, 10)}
    np.savez(file, **kernels)
    shown = first_layer.first_layer(evidence)
    assert [moment.step for moment in shown.moments] == [0, 10, 100, 1000]
    assert (shown.units, shown.shown) == (8, 6), "the layer's own number, also where fewer of them were kept"


def test_convolution_kernels_are_images_of_their_own_size(evidence):
    shown = first_layer.of_weights({5: np.ones((3, 3, 1, 8), np.float32)}, evidence.settings.data, 8)
    assert (shown.units, shown.moments[0].step) == (8, 5)


def test_weights_of_another_shape_are_no_images(evidence):
    with pytest.raises(NotThereError, match=r"\(7, 8\)"):
        first_layer.of_weights({5: np.ones((7, 8), np.float32)}, evidence.settings.data, 8)


def test_units_stand_in_the_order_of_the_class_that_excites_them():
    hidden = np.array([[0, 3, 0, 1], [2, 0, 0, 0]], np.float32)
    assert activations.by_class(hidden, np.array([0, 1])).tolist() == [1, 3, 0]


def test_inputs_are_shown_beside_the_means_and_left_out_without_a_model(evidence, answers, test_rows):
    data = evidence.settings.data
    assert class_images.class_images(answers, test_rows, "test", data).exciting is not None
    bare = class_images.class_images({}, test_rows, "test", data)
    assert bare.exciting is None
    assert "no served model" in bare.absent


def test_settings_read_as_in_a_recipe(evidence):
    shown = environment.environment(evidence)
    sections = {name: dict(entries) for name, entries in shown.settings}
    assert sections["data"]["shape"] == "[4, 4]"
    assert sections["recipe"]["deterministic"] == "false"
    assert sections["evaluation"]["loss"] == "null"
    assert ("numpy", "1.26.4") in shown.packages


def test_answers_are_asked_once_and_kept(evidence, answers):
    from pipeline.report import asking

    asked = []

    def ask(question):
        asked.append(question)
        file = io.BytesIO()
        np.savez(file, **answers)
        return file.getvalue()

    first, second = asking.answered(evidence, ask), asking.answered(evidence, ask)
    assert len(asked) == 1
    assert json.loads(asked[0]["data"])["shape"] == [4, 4]
    assert asked[0]["classifier"].endswith("artifacts/Classifier/model/Format-Serving")
    assert np.array_equal(first["probabilities"], second["probabilities"])


def test_a_damaged_file_of_answers_is_asked_again(evidence, answers):
    from pipeline.report import asking

    file = io.BytesIO()
    np.savez(file, **answers)
    asking.answered(evidence, lambda _: file.getvalue())
    (kept,) = evidence.paths.report_answers("x").parent.iterdir()
    kept.write_bytes(b"PK\x03\x04 cut short")
    assert "probabilities" in asking.answered(evidence, lambda _: file.getvalue())


def test_a_run_without_a_model_asks_nothing(refused):
    from pipeline.report import asking

    assert asking.answered(refused, lambda _: pytest.fail("asked")) == {}


def test_a_root_keeps_the_newest_answers_and_no_part_of_a_file_that_was_never_finished(evidence, answers):
    from pipeline.report import asking

    file = io.BytesIO()
    np.savez_compressed(file, **answers)
    folder = evidence.paths.report_answers("x").parent
    folder.mkdir(parents=True)
    for number in range(asking.KEPT + 3):
        (folder / f"{number:064x}.npz").write_bytes(b"old")
        os.utime(folder / f"{number:064x}.npz", (number, number))
    (folder / ".killed.part").write_bytes(b"half")
    os.utime(folder / ".killed.part", (0, 0))
    asking.answered(evidence, lambda _: file.getvalue())
    kept = sorted(path.name for path in folder.iterdir())
    assert len(kept) == asking.KEPT
    assert kept[0] == f"{4:064x}.npz"  # the oldest four went, and the new one came
    assert len(kept[-1]) == len("k" * 64 + ".npz")
