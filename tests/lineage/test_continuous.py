"""What the newest served version was made from, asked of its provenance alone."""

import hashlib
import shutil

import pytest

from components.serving import PROVENANCE
from pipeline.runner.up_to_date import newest_served, newest_version_made_from, same_work

DATA = {f"train-{name}": hashlib.sha256(name.encode()).hexdigest() for name in ("images", "labels")}
CODE = hashlib.sha256(b"code").hexdigest()


@pytest.fixture
def asked(root):
    """What version 1 was made from."""
    nodes = [node for node in root.known if node != "Pusher"]
    made = root.known["ReviewedSchema"][1].outputs
    return {
        "payload_digests": DATA,
        "settings": {node: {"salt": ""} for node in nodes},
        "code": dict.fromkeys(nodes, CODE),
        "schema": {channel: entries[0].sha256 for channel, entries in made.items()},
    }


def test_the_newest_version_is_known_by_the_bytes_it_was_made_from(root):
    assert newest_version_made_from(root.paths.serving, DATA) == 1


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"train-images": DATA["train-images"]},
        {**DATA, "test-images": DATA["train-images"]},
        {**DATA, "train-labels": "0" * 64},
        dict(zip(DATA, reversed(DATA.values()), strict=True)),
    ],
    ids=["none", "a file less", "a file more", "another file", "exchanged"],
)
def test_other_data_is_new(root, other):
    assert newest_version_made_from(root.paths.serving, other) is None


def test_data_of_an_older_version_is_new_to_the_newest(root):
    root.execute("Classifier", salt="again")
    root.push(2)
    assert newest_served(root.paths.serving).version == 2
    provenance = root.paths.serving / "2" / PROVENANCE
    provenance.write_bytes(provenance.read_bytes().replace(DATA["train-images"].encode(), b"0" * 64))
    assert newest_version_made_from(root.paths.serving, DATA) is None


def test_a_version_that_is_not_as_it_was_pushed_says_nothing(root):
    served = root.paths.serving / "1"
    assert newest_version_made_from(root.paths.serving, DATA) == 1
    (served / PROVENANCE).unlink()
    assert newest_version_made_from(root.paths.serving, DATA) is None


@pytest.mark.parametrize("changed", [True, False], ids=["changed", "empty"])
def test_an_older_version_says_nothing_while_something_else_is_served(root, changed):
    newest = root.paths.serving / "2"
    newest.mkdir()
    if changed:
        shutil.copytree(root.paths.serving / "1", newest, dirs_exist_ok=True)
        (newest / "saved_model.pb").write_bytes(b"changed")
    assert newest_version_made_from(root.paths.serving, DATA) is None


def test_a_statement_of_another_kind_says_nothing(root):
    provenance = root.paths.serving / "1" / PROVENANCE
    provenance.write_bytes(provenance.read_bytes().replace(b"slsa.dev/provenance/v1", b"slsa.dev/provenance/v2"))
    assert newest_served(root.paths.serving) is None


def test_a_serving_directory_that_is_not_there_yet_has_no_version(tmp_path):
    assert newest_version_made_from(tmp_path / "serving", DATA) is None


def test_the_same_data_code_settings_and_schema_are_the_same_work(root, asked):
    assert same_work(newest_served(root.paths.serving).provenance, **asked)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("payload_digests", {"train-labels": "0" * 64}),
        ("settings", {"Classifier": {"salt": "more"}}),
        ("settings", {"Evaluator": {"salt": "more"}}),
        ("settings", {"Another": {}}),
        ("code", {"Transform": "0" * 64}),
        ("code", {"ExampleGen": None}),
        ("schema", {"schema": "0" * 64}),
    ],
)
def test_anything_else_is_other_work(root, asked, what, change):
    changed = {**asked, what: {**asked[what], **change}}
    assert not same_work(newest_served(root.paths.serving).provenance, **changed)


def test_code_that_only_judges_or_serves_makes_no_other_model(root, asked):
    code = {**asked["code"], "Evaluator": "0" * 64, "Pusher": "0" * 64}
    assert same_work(newest_served(root.paths.serving).provenance, **{**asked, "code": code})


def test_a_statement_without_code_is_no_proof_of_anything(root, asked):
    provenance = newest_served(root.paths.serving).provenance
    definition = provenance["predicate"]["buildDefinition"]
    kept = [one for one in definition["resolvedDependencies"] if not one["name"].startswith("code/")]
    definition["resolvedDependencies"] = kept
    assert not same_work(provenance, **asked)
