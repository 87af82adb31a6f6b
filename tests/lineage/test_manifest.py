"""The provenance that is served with a model: complete, the same every time, and enough to begin an audit with."""

import json

import pytest
from statements import records_of

from components.digest import manifest_digest, tree_digest, tree_manifest
from components.errors import EnvironmentProblem, Refused
from pipeline.provenance.artifacts import ArtifactEntry
from pipeline.provenance.record_store import RecordMissing, scan
from pipeline.provenance.statement import (
    build_statement,
    digest_of,
    manifest_of,
    parse_statement,
    read_provenance,
    served_files,
    statement_bytes,
)

BEHIND = {"ExampleGen", "StatisticsGen", "ReviewedSchema", "ExampleValidator", "SchemaGate", "Transform", "Autoencoder"}


@pytest.fixture
def heads(root):
    return [root.known[node][0] for node in ("Classifier", "Evaluator", "SavedModelCheck")]


@pytest.fixture
def provenance(root):
    return read_provenance(root.path, 1)


@pytest.fixture
def served(root):
    return root.paths.serving / "1"


def named(resources):
    return {item["name"]: item["digest"] for item in resources}


def dependencies(provenance):
    return named(provenance["predicate"]["buildDefinition"]["resolvedDependencies"])


def byproducts(provenance):
    return named(provenance["predicate"]["runDetails"]["byproducts"])


def test_a_statement_is_in_toto_with_a_slsa_predicate(provenance):
    assert provenance["_type"] == "https://in-toto.io/Statement/v1"
    assert provenance["predicateType"] == "https://slsa.dev/provenance/v1"
    assert set(provenance["predicate"]) == {"buildDefinition", "runDetails"}
    assert provenance["predicate"]["buildDefinition"]["externalParameters"]["recipe"] == "digits"


def test_every_resource_has_a_name_and_a_digest(provenance):
    predicate = provenance["predicate"]
    resources = [
        *provenance["subject"],
        *predicate["buildDefinition"]["resolvedDependencies"],
        *predicate["runDetails"]["byproducts"],
    ]
    for resource in resources:
        assert set(resource) <= {"name", "digest", "annotations"}
        (digest,) = resource["digest"].values()
        assert len(digest) in (40, 64)


def test_the_subject_is_every_served_file_and_the_tree(provenance, served):
    assert manifest_of(provenance) == tree_manifest(served)
    assert digest_of(provenance) == tree_digest(served)


def test_every_record_behind_the_model_is_listed_and_no_other(provenance, root):
    wanted = {hash_ for node, (hash_, _) in root.known.items() if node != "Pusher"}
    assert set(records_of(provenance)) == wanted
    assert len(records_of(provenance)) == len(wanted)


def test_a_record_is_listed_after_the_ones_it_was_made_from(provenance, root):
    order = records_of(provenance)
    records = scan(root.paths.records)
    for place, hash_ in enumerate(order):
        assert set(records[hash_].input_records) <= set(order[:place])


def test_the_dependencies_are_what_went_into_the_model(provenance):
    found = dependencies(provenance)
    artifacts = {
        "ExampleGen/examples",
        "StatisticsGen/statistics",
        "ReviewedSchema/schema",
        "ReviewedSchema/reference",
        "ExampleValidator/anomalies",
        "SchemaGate/schema",
        "Transform/transform_graph",
        "Autoencoder/model",
    }
    data = {"data/train-images", "data/train-labels", "rows", "rows/train"}
    code = {f"code/{node}" for node in BEHIND | {"Classifier"}}
    assert set(found) == artifacts | data | code | {"requirements.lock", "git"}
    assert found["git"] == {"gitCommit": "a" * 40}
    assert set(found["rows"]) == {"merkleSha256"}


def test_what_judged_the_model_is_a_byproduct_and_not_a_dependency(provenance):
    made = {name for name in byproducts(provenance) if not name.startswith("records/")}
    assert made == {"Baseline/baseline", "Evaluator/blessing", "Evaluator/evaluation", "SavedModelCheck/blessing"}


def test_the_baseline_none_is_said_in_words(provenance):
    items = provenance["predicate"]["runDetails"]["byproducts"]
    (baseline,) = [item for item in items if item["name"] == "Baseline/baseline"]
    assert baseline["annotations"]["properties"] == {"baseline": "none"}


def test_settings_are_found_where_a_trainer_carries_them_too(root, heads, make_execution):
    node = make_execution(
        node="Classifier",
        parameters={"custom_config": json.dumps({"settings": '{"epochs":3}', "data": "{}", "code_digest": "x"})},
        outputs=root.known["Classifier"][1].outputs,
    )
    files = served_files(node.outputs["model"][0])
    statement = build_statement(files, {heads[0]: node}, heads[:1])
    assert statement["predicate"]["buildDefinition"]["externalParameters"]["settings"] == {"Classifier": {"epochs": 3}}


def test_the_same_records_give_the_same_statement_in_whatever_order_they_are_held(provenance, root, heads):
    records = dict(sorted(scan(root.paths.records).items(), reverse=True))
    files = dict(reversed(tree_manifest(root.paths.serving / "1").items()))
    assert statement_bytes(build_statement(files, records, heads)) == statement_bytes(provenance)


def test_a_statement_keeps_its_form(provenance, golden):
    golden("provenance.json", statement_bytes(provenance))


def test_a_statement_comes_back_as_it_was(provenance):
    assert parse_statement(statement_bytes(provenance)) == provenance


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"_type":"x"}', b"\xff"])
def test_what_is_no_statement_is_refused(data):
    with pytest.raises(EnvironmentProblem, match="not a provenance statement"):
        parse_statement(data)


def test_another_predicate_is_refused(provenance):
    with pytest.raises(EnvironmentProblem, match=r"got .*https://example\.org/other"):
        parse_statement(statement_bytes({**provenance, "predicateType": "https://example.org/other"}))


def test_bytes_that_no_record_made_get_no_provenance(root, heads):
    files = {"saved_model.pb": {"sha256": "f" * 64, "bytes": 3}}
    with pytest.raises(Refused, match="no record made these bytes"):
        build_statement(files, scan(root.paths.records), heads)


def test_a_model_with_a_link_in_it_gets_no_provenance(make_execution):
    files = {"weights": {"symlink": "/etc/passwd"}}
    entry = ArtifactEntry(type="Model", path="artifacts/m", sha256=manifest_digest(files), bytes=0, files=files)
    maker = make_execution(node="Classifier", outputs={"model": (entry,)})
    with pytest.raises(Refused, match="holds links: got weights"):
        build_statement(files, {"a" * 64: maker}, ["a" * 64])


def test_a_record_missing_behind_the_model_is_named_with_its_reader(root, heads):
    gone = root.known["Transform"][0]
    (root.paths.records / f"{gone}.json").unlink()
    files = tree_manifest(root.paths.serving / "1")
    with pytest.raises(RecordMissing, match=rf"Autoencoder: .*{gone}"):
        build_statement(files, scan(root.paths.records), heads)
