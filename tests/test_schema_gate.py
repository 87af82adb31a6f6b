"""Evidence of each split -> the gate opens, or refuses and says why. Fault rows 30, 32 and 35."""

import json
from pathlib import Path

import numpy as np
import pytest
from gate_artifacts import DIGITS, MNIST, SHARED, SPLITS, Artifacts, csv, cut, digits, mnist, mnist_profile
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.errors import BadInput, EnvironmentProblem, MnistTfxError, Refused
from components.profile import ASPECTS, profile
from components.schema_files import find_reviewed, read_reference
from components.schema_gate.component import report_json, report_of, require
from components.schema_gate.rules import drift_checks, skew_checks
from components.settings import GateSettings


@pytest.fixture
def clean(tmp_path):
    return Artifacts(tmp_path, cut(*digits()), DIGITS)


def failed(checks, rule):
    return [check for check in checks if check.rule == rule and not check.passed]


def test_clean_digits_pass_and_the_report_holds_every_check(clean):
    approved = clean.run()
    report = json.loads((clean.folder / "report" / "gate.json").read_text())
    assert report["passed"]
    assert {check["rule"] for check in report["checks"]} == {
        *("anomaly", "rows", "presence", "shape", "range", "empty class", "few rows", "drift", "missing class", "skew"),
        *("duplicates", "conflicts", "leaks"),
    }
    assert approved.get_int_custom_property("warnings") == 0
    assert [path.name for path in (clean.folder / "out").iterdir()] == ["schema.pbtxt"]


def test_the_approved_schema_is_the_reviewed_one_byte_for_byte(clean):
    clean.run()
    assert (clean.folder / "out" / "schema.pbtxt").read_bytes() == find_reviewed(DIGITS.geometry).schema.read_bytes()


def shifted(down, right):
    return lambda images: np.roll(images, (down, right), (1, 2))


FAULTS = {
    "inverted": lambda images: images.max() - images,
    "turned by 90 degrees to the left": lambda images: np.rot90(images, 1, (1, 2)),
    "turned by 90 degrees to the right": lambda images: np.rot90(images, 3, (1, 2)),
    "turned by 180 degrees": lambda images: np.rot90(images, 2, (1, 2)),
    "mirrored left to right": lambda images: images[:, :, ::-1],
    "mirrored top to bottom": lambda images: images[:, ::-1],
    "transposed": lambda images: images.transpose(0, 2, 1),
    "shifted by +1 rows and +0 columns": shifted(1, 0),
    "shifted by -1 rows and +0 columns": shifted(-1, 0),
    "shifted by +0 rows and +1 columns": shifted(0, 1),
    "shifted by +0 rows and -1 columns": shifted(0, -1),
    "shifted by +2 rows and +0 columns": shifted(2, 0),
    "shifted by +0 rows and -2 columns": shifted(0, -2),
}


def changed(pixels, data, fault):
    return np.ascontiguousarray(FAULTS[fault](pixels.reshape(-1, *data.shape)).reshape(pixels.shape))


@pytest.mark.fault(32)
@pytest.mark.parametrize("fault", FAULTS)
def test_digits_that_all_splits_show_changed_are_refused_and_the_cause_is_named(tmp_path, fault):
    pixels, labels = digits()
    broken = Artifacts(tmp_path, cut(changed(pixels, DIGITS, fault), labels), DIGITS)
    with pytest.raises(
        Refused,
        match=rf"^SchemaGate: the images look {fault.replace('+', '[+]')}.*: in train, (image|pixel) .* apart, .* allowed",
    ):
        broken.run()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_mnist_changed_is_refused_even_where_the_test_part_alone_is(fault):
    pixels, labels = mnist("t10k")
    test = profile(changed(pixels, MNIST, fault), labels, MNIST)
    profiles = {"train": mnist_profile("train"), "test": test}
    reference = read_reference(find_reviewed(MNIST.geometry).profile)
    found = [*drift_checks(profiles, reference, GateSettings()), *skew_checks(profiles, reference, GateSettings())]
    assert {check.split for check in found if check.stops} == {"test", "train/test"}


@pytest.mark.fault(32)
@pytest.mark.parametrize("dropped", range(10))
def test_a_class_dropped_from_the_digits_is_refused_by_name(tmp_path, dropped):
    pixels, labels = digits()
    kept = labels != dropped
    broken = Artifacts(tmp_path, cut(pixels[kept], labels[kept]), DIGITS)
    with pytest.raises(Refused, match=f"no rows of class {dropped} in (train and test|any split)"):
        broken.run()


def test_distances_and_missing_classes_go_by_the_names_of_the_classes():
    splits = cut(*digits())
    pixels, labels = splits["test"]
    splits["test"] = (pixels[labels != 4], labels[labels != 4])
    profiles = {split: profile(*rows, DIGITS) for split, rows in splits.items()}
    reference = read_reference(find_reviewed(DIGITS.geometry).profile)
    names = [f"digit {label}" for label in range(10)]
    details = [check.detail for check in drift_checks(profiles, reference, GateSettings(), names)]
    details += [check.detail for check in skew_checks(profiles, reference, GateSettings(), names)]
    assert any(detail.startswith("no rows of class digit 4 (about") for detail in details)
    assert any("class digit 4 has a share of" in detail for detail in details)


def test_a_class_dropped_from_the_test_split_alone_is_refused(tmp_path):
    splits = cut(*digits())
    pixels, labels = splits["test"]
    broken = Artifacts(tmp_path, {**splits, "test": (pixels[labels != 4], labels[labels != 4])}, DIGITS)
    with pytest.raises(Refused, match="SchemaGate: no rows of class 4 in test: in test, no rows of class 4 "):
        broken.run()


def test_skew_stops_the_run_where_drift_is_off(tmp_path):
    splits = cut(*digits())
    pixels, labels = splits["test"]
    broken = Artifacts(tmp_path, {**splits, "test": (16 - pixels, labels)}, DIGITS)
    with pytest.raises(
        Refused, match=r"train and test are unlike each other: in train and test, (image row|image column|pixel)"
    ):
        broken.run(drift="off")


def test_a_warning_lets_the_run_go_on_and_is_counted(tmp_path):
    pixels, labels = digits()
    broken = Artifacts(tmp_path, cut(16 - pixels, labels), DIGITS)
    assert broken.run(drift="warn", skew="warn").get_int_custom_property("warnings") > 0


def test_a_threshold_from_the_recipe_replaces_the_calibrated_one(clean):
    strict = clean.judge(thresholds={"columns": 0.0})
    assert {check.aspect for check in failed(strict, "drift")} == {"columns"}


def alarms(splits, data):
    reference = read_reference(find_reviewed(data.geometry).profile)
    profiles = {split: profile(*rows, data) for split, rows in splits.items()}
    checks = [*drift_checks(profiles, reference, GateSettings()), *skew_checks(profiles, reference, GateSettings())]
    return [str(check) for check in checks if check.stops]


@pytest.mark.fault(32)
def test_two_hundred_clean_splits_of_the_digits_raise_no_false_alarm():
    pixels, labels = digits()
    assert [seed for seed in range(200) if alarms(cut(pixels, labels, seed=seed), DIGITS)] == []


def official(name):
    """{split: rows} of real data in the forms that runs meet."""
    if name == "optdigits":
        train = cut(*csv(SHARED / "optdigits" / "optdigits.tra", DIGITS), shares=(0.9, 0.1))
        return DIGITS, {**train, "test": csv(SHARED / "optdigits" / "optdigits.tes", DIGITS)}
    if name == "mnist":
        return MNIST, {**cut(*mnist("train"), shares=(0.9, 0.1)), "test": mnist("t10k")}
    if name == "mnist with the last 10,000 for validation":
        pixels, labels = mnist("train")
        train = (pixels[:-10_000], labels[:-10_000])
        return MNIST, {"train": train, "validation": (pixels[-10_000:], labels[-10_000:]), "test": mnist("t10k")}
    if name == "half of mnist's test part":
        pixels, labels = mnist("t10k")
        return MNIST, {"train": mnist("train"), "test": (pixels[:5_000], labels[:5_000])}
    pixels, labels = csv(SHARED / "mnist" / "mnist_train_small.csv.gz", MNIST)
    if name == "csv sample":
        return MNIST, cut(pixels, labels)
    return MNIST, {"train": (pixels[:7_500], labels[:7_500]), "test": (pixels[7_500:10_000], labels[7_500:10_000])}


@pytest.mark.parametrize(
    "name",
    [
        "optdigits",
        "mnist",
        "mnist with the last 10,000 for validation",
        "half of mnist's test part",
        "csv sample",
        "csv sample by rows",
    ],
)
def test_real_data_passes_in_the_splits_it_comes_in(name):
    data, splits = official(name)
    assert alarms(splits, data) == []


def test_a_test_row_in_train_stops_the_run_and_is_counted(tmp_path):
    splits = cut(*digits())
    leaked = tuple(np.concatenate([splits["train"][i], splits["test"][i][:3]]) for i in (0, 1))
    broken = Artifacts(tmp_path, {**splits, "train": leaked}, DIGITS)
    with pytest.raises(Refused, match=r"SchemaGate: 3 of 359 test images are in train too, such as"):
        broken.run()


@pytest.mark.fault(30)
def test_a_leak_is_found_whatever_its_label(tmp_path):
    splits = cut(*digits())
    pixels, labels = splits["validation"]
    test_pixels, test_labels = splits["test"]
    leaked = (np.concatenate([pixels, test_pixels[:1]]), np.append(labels, (test_labels[0] + 1) % 10))
    checks = Artifacts(tmp_path, {**splits, "validation": leaked}, DIGITS).judge()
    assert [(check.split, check.value) for check in failed(checks, "leaks")] == [("validation/test", 1)]
    assert [check.value for check in failed(checks, "conflicts")] == [1]


@pytest.mark.fault(30)
def test_one_image_with_two_labels_stops_the_run_and_both_are_named(tmp_path):
    splits = cut(*digits())
    pixels, labels = splits["train"]
    torn = (np.concatenate([pixels, pixels[:1]]), np.append(labels, (labels[0] + 1) % 10))
    broken = Artifacts(tmp_path, {**splits, "train": torn}, DIGITS)
    both = ", ".join(map(str, sorted({int(labels[0]), int(torn[1][-1])})))
    with pytest.raises(Refused, match=f"SchemaGate: 1 images have more than one label, such as .* with labels {both}"):
        broken.run()


@pytest.mark.fault(30)
def test_duplicates_are_counted_and_stop_the_run_by_policy_alone(tmp_path):
    splits = cut(*digits())
    doubled = tuple(np.concatenate([rows, rows[:5]]) for rows in splits["train"])
    broken = Artifacts(tmp_path, {**splits, "train": doubled}, DIGITS)
    assert [check.value for check in failed(broken.judge(), "duplicates")] == [5]
    assert broken.run().get_int_custom_property("warnings") == 1
    with pytest.raises(Refused, match="SchemaGate: 5 of 1263 rows"):
        broken.run(duplicates="refuse")


def test_counts_are_in_the_report_even_where_nothing_is_done_about_them(tmp_path):
    splits = cut(*digits())
    broken = Artifacts(tmp_path, {**splits, "train": splits["test"]}, DIGITS)
    checks = broken.judge(leaks="off")
    assert [(check.value, check.action) for check in failed(checks, "leaks")] == [(359, "off")]
    assert not any(check.stops for check in checks)


@pytest.mark.parametrize("split", SPLITS)
def test_an_anomaly_in_any_split_stops_the_run(clean, split):
    found = anomalies_pb2.Anomalies()
    found.anomaly_info["image"].short_description = "Out-of-range values"
    found.anomaly_info["image"].description = "Unexpectedly large values: 17."
    clean.write(f"anomalies/Split-{split}/SchemaDiff.pb", found.SerializeToString())
    with pytest.raises(Refused, match=f"image in {split}, anomaly: Out-of-range values: Unexpectedly large values: 17"):
        clean.run()


def test_an_anomaly_of_the_whole_dataset_stops_the_run(clean):
    found = anomalies_pb2.Anomalies()
    found.dataset_anomaly_info.short_description = "Low num examples in dataset."
    clean.write("anomalies/Split-test/SchemaDiff.pb", found.SerializeToString())
    with pytest.raises(Refused, match="dataset in test, anomaly: Low num examples"):
        clean.run()


def test_the_custom_properties_of_the_anomalies_artifact_are_not_looked_at(clean):
    # Kubeflow hands them over wrapped; they say "blessed" or nothing at all.
    found = anomalies_pb2.Anomalies()
    found.anomaly_info["label"].short_description = "Column dropped"
    clean.write("anomalies/Split-train/SchemaDiff.pb", found.SerializeToString())
    assert [check.feature for check in failed(clean.judge(), "anomaly")] == ["label"]


@pytest.mark.parametrize(
    ("change", "rule", "seen"),
    [
        pytest.param(lambda f: setattr(f[0].num_stats, "max", 255.0), "range", "0 to 255", id="a pixel too large"),
        pytest.param(lambda f: setattr(f[0].num_stats, "min", -1.0), "range", "from -1", id="a negative pixel"),
        pytest.param(lambda f: setattr(f[1].num_stats, "max", 10.0), "range", "allowed 0 to 9", id="an eleventh class"),
        pytest.param(
            lambda f: setattr(f[0].num_stats.common_stats, "min_num_values", 63),
            "shape",
            "63 to 64",
            id="a short image",
        ),
        pytest.param(
            lambda f: setattr(f[1].num_stats.common_stats, "num_missing", 7), "presence", "7 rows", id="labels missing"
        ),
        pytest.param(lambda f: f.pop(), "presence", "not in the statistics", id="no label at all"),
    ],
)
def test_statistics_outside_the_geometry_stop_the_run(clean, change, rule, seen):
    path = clean.folder / "statistics" / "Split-test" / "FeatureStats.pb"
    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
    change(found.datasets[0].features)
    path.write_bytes(found.SerializeToString())
    [check] = failed(clean.judge(), rule)
    assert check.stops
    assert seen in check.detail


def test_a_split_whose_parts_disagree_on_the_number_of_rows_is_refused(clean):
    path = clean.folder / "examples" / "row_index" / "test.npy"
    np.save(path, np.load(path)[:-1])
    with pytest.raises(Refused, match="rows: 359 by statistics, 359 by profile, 358 by row index"):
        clean.run()


def test_an_empty_split_is_refused(clean):
    path = clean.folder / "examples" / "profile.json"
    profiles = json.loads(path.read_text())
    profiles["splits"]["test"] = profile(np.zeros((0, 64), np.uint8), np.zeros(0, np.int64), DIGITS)
    path.write_text(json.dumps(profiles))
    assert [check.split for check in failed(clean.judge(), "rows")] == ["test"]


def test_a_reference_of_another_geometry_is_refused(clean):
    clean.write("reference/profile.json", find_reviewed(MNIST.geometry).profile.read_bytes())
    with pytest.raises(BadInput, match="wanted 8x8-max16-labels10, got 28x28-max255-labels10"):
        clean.run()


@pytest.mark.parametrize(
    "path",
    [
        "examples/profile.json",
        "examples/row_index/test.npy",
        "statistics/Split-test/FeatureStats.pb",
        "anomalies/Split-test/SchemaDiff.pb",
    ],
)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"\xff\xff\xff garbage")])
def test_a_missing_or_damaged_input_is_named(clean, path, damage):
    damage(clean.folder / path)
    with pytest.raises(EnvironmentProblem, match=path):
        clean.run()


def test_the_cause_comes_first_and_at_most_three_facts_bear_it_out(tmp_path):
    pixels, labels = digits()
    with pytest.raises(Refused) as refusal:
        Artifacts(tmp_path, cut(16 - pixels, labels), DIGITS).run()
    text = str(refusal.value)
    assert "\n" not in text
    assert text.startswith("SchemaGate: the images look inverted (ink and background swapped): in ")
    assert len(refusal.value.facts) <= 3
    assert len(text) < 900


def test_a_refusal_carries_what_gate_json_would_have_held(tmp_path):
    pixels, labels = digits()
    broken = Artifacts(tmp_path, cut(16 - pixels, labels), DIGITS)
    with pytest.raises(Refused) as refusal:
        broken.run()
    report = json.loads(json.dumps(refusal.value.report))
    assert report == json.loads(report_json(broken.judge()))
    assert (report["version"], report["passed"]) == (1, False)
    assert all("value" in check and "threshold" in check for check in report["checks"])


def test_the_report_crosses_a_process_boundary_and_is_no_part_of_the_line(clean):
    sent = Refused("no", where="SchemaGate", report=report_of(clean.judge()))
    arrived = MnistTfxError.from_dict(json.loads(json.dumps(sent.to_dict())))
    assert arrived.report == json.loads(json.dumps(sent.report))
    assert str(arrived) == str(sent) == "SchemaGate: no"
    assert "report" not in Refused("no").to_dict()


def test_no_failed_check_lets_the_run_go_on(clean):
    require(clean.judge(), DIGITS)


def test_every_aspect_is_checked_for_every_split_and_pair_of_splits(clean):
    checks = clean.judge()
    assert {(c.split, c.aspect) for c in checks if c.rule == "drift"} == {(s, a) for s in SPLITS for a in ASPECTS}
    assert len([c for c in checks if c.rule == "skew"]) == 3 * len(ASPECTS)
