"""The lineage in the words of other tools: valid in theirs, the same digests in all, the same bytes every time."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import pytest
from command_line import mnist_tfx, validator
from jsonschema import Draft202012Validator

from components.errors import printable
from components.serving import PROVENANCE
from pipeline.lineage.export import export, origin, writer

FORMAL = ("slsa", "openlineage", "cyclonedx", "prov")

DIGESTS = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]+$"}}
RESOURCE = {
    "type": "object",
    "anyOf": [{"required": ["name"]}, {"required": ["uri"]}, {"required": ["digest"]}],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "uri": {"type": "string"},
        "digest": DIGESTS,
        "content": {"type": "string", "contentEncoding": "base64"},
        "downloadLocation": {"type": "string"},
        "mediaType": {"type": "string"},
        "annotations": {"type": "object"},
    },
}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
# After https://github.com/in-toto/attestation/blob/main/spec/v1/ and https://slsa.dev/spec/v1.0/provenance.
STATEMENT = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "additionalProperties": False,
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {"type": "array", "minItems": 1, "items": {"allOf": [RESOURCE, {"required": ["digest"]}]}},
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "type": "object",
            "required": ["buildDefinition", "runDetails"],
            "properties": {
                "buildDefinition": {
                    "type": "object",
                    "required": ["buildType", "externalParameters"],
                    "properties": {
                        "buildType": {"type": "string", "pattern": "^[a-z]+:"},
                        "externalParameters": {"type": "object"},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": {"type": "array", "items": RESOURCE},
                    },
                },
                "runDetails": {
                    "type": "object",
                    "required": ["builder"],
                    "properties": {
                        "builder": {
                            "type": "object",
                            "required": ["id"],
                            "properties": {"id": {"type": "string"}, "version": {"type": "object"}},
                        },
                        "metadata": {
                            "type": "object",
                            "properties": {
                                "invocationId": {"type": "string"},
                                "startedOn": TIME,
                                "finishedOn": TIME,
                            },
                        },
                        "byproducts": {"type": "array", "items": RESOURCE},
                    },
                },
            },
        },
    },
}


@pytest.fixture
def document(root):
    """Writes version 1 in a format."""
    return lambda name: export(root.path, 1, name)[1]


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def inside(value):
    """Yields every object of a JSON value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(inner)


def digests_of_slsa(text):
    maps = [found["digest"] for found in inside(json.loads(text)) if isinstance(found.get("digest"), dict)]
    return {digest for found in maps for algorithm, digest in found.items() if algorithm != "gitCommit"}


def digests_of_openlineage(text):
    return {found["value"] for event in events(text) for found in inside(event) if "algorithm" in found}


def digests_of_cyclonedx(text):
    found = list(inside(json.loads(text)))
    hashes = {one["content"] for one in found if one.get("alg") == "SHA-256"}
    names = ("mnist-tfx:treeSha256", "mnist-tfx:merkleSha256")
    return hashes | {one["value"] for one in found if one.get("name") in names}


def digests_of_prov(text):
    entities = json.loads(text)["entity"].values()
    names = ("mnist:sha256", "mnist:treeSha256", "mnist:merkleSha256")
    return {entity[name] for entity in entities for name in names if name in entity}


READERS = {
    "slsa": digests_of_slsa,
    "openlineage": digests_of_openlineage,
    "cyclonedx": digests_of_cyclonedx,
    "prov": digests_of_prov,
}


def test_the_digests_are_the_same_in_all(document):
    found = {name: read(document(name)) for name, read in READERS.items()}
    assert found["slsa"] == found["openlineage"] == found["cyclonedx"] == found["prov"]
    assert all(len(digest) == 64 for digest in found["slsa"])


def test_they_are_those_of_the_graph_but_for_the_push_which_came_after_the_statement(root, document):
    graph = origin.collect(root.path, 1).lineage.graph
    drawn = {node.sha256 for node in graph.nodes.values()} | {edge.sha256 for edge in graph.edges}
    assert drawn - digests_of_slsa(document("slsa")) == {root.known["Pusher"][0]}


def test_every_execution_behind_the_model_is_in_each_format(root, document):
    nodes = set(root.known) - {"Pusher"}
    assert {event["job"]["name"].split(".")[1] for event in events(document("openlineage"))} == nodes
    (workflow,) = json.loads(document("cyclonedx"))["formulation"][0]["workflows"]
    assert {task["name"] for task in workflow["tasks"]} == nodes
    assert {one["prov:label"] for one in json.loads(document("prov"))["activity"].values()} == nodes


@pytest.mark.parametrize("name", FORMAL)
def test_the_same_version_gives_the_same_bytes_in_another_process(root, document, name):
    script = "import sys, pathlib; from pipeline.lineage.export import export; print(export(pathlib.Path(sys.argv[1]), 1, sys.argv[2])[1], end='')"
    command = [sys.executable, "-W", "ignore", "-c", script, root.path, name]
    found = [
        subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    ]
    assert found == [document(name)] * 2


def test_no_export_holds_a_path_of_this_machine(root, document):
    assert all(str(root.path.parent) not in document(name) for name in FORMAL)


# Each by its own library


def test_slsa_is_the_statement_as_it_is_served(root, document):
    assert document("slsa").encode() == (root.paths.serving / "1" / PROVENANCE).read_bytes()


def test_slsa_follows_the_specification(document):
    assert [e.message for e in Draft202012Validator(STATEMENT).iter_errors(json.loads(document("slsa")))] == []


def test_cyclonedx_passes_the_strict_validator_of_its_schema(document):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document("cyclonedx")) is None


def test_cyclonedx_names_no_part_that_it_does_not_describe(document):
    found = json.loads(document("cyclonedx"))
    described = {part["bom-ref"] for part in inside(found) if "bom-ref" in part}
    joined = {ref for part in found["dependencies"] for ref in (part["ref"], *part.get("dependsOn", ()))}
    assert joined | {part["ref"] for part in inside(found) if set(part) == {"ref"}} <= described


def test_cyclonedx_tells_what_kind_of_model_it_is_and_how_good(document):
    model = json.loads(document("cyclonedx"))["metadata"]["component"]
    assert (model["type"], model["version"]) == ("machine-learning-model", "1")
    card = model["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "accuracy", "value": "0.97", "slice": "test"}
    ]
    assert [one["ref"].split("@")[0] for one in card["modelParameters"]["datasets"]] == [
        "ExampleGen/examples",
        "data/train-images",
        "data/train-labels",
    ]


def test_cyclonedx_reads_back_into_its_librarys_classes(document):
    from cyclonedx.model.bom import Bom

    bom = Bom.from_json(json.loads(document("cyclonedx")))
    assert bom.metadata.component.bom_ref.value == "model"
    assert bom.validate()


def test_prov_reads_back_equal(document):
    from prov.model import ProvDocument

    read = ProvDocument.deserialize(content=document("prov"), format="json")
    again = ProvDocument.deserialize(content=read.serialize(format="json"), format="json")
    assert read == again


def test_prov_leads_from_the_model_back_to_the_data_files(document):
    found = json.loads(document("prov"))
    made_by = {one["prov:entity"]: one["prov:activity"] for one in found["wasGeneratedBy"].values()}
    read = {}
    for one in found["used"].values():
        read.setdefault(one["prov:activity"], set()).add(one["prov:entity"])
    (model,) = [name for name in found["entity"] if name.startswith("mnist:model/")]
    seen, waiting = set(), [model]
    while waiting:
        entity = waiting.pop()
        seen.add(entity)
        waiting += read.get(made_by.get(entity), set()) - seen
    labels = {found["entity"][entity]["prov:label"] for entity in seen}
    assert {"data/train-images", "data/train-labels", "Autoencoder/model", "requirements.lock"} <= labels


def test_openlineage_reads_back_into_its_librarys_classes(document):
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

    for event in events(document("openlineage")):
        run, job = event["run"], event["job"]
        read = RunEvent(
            eventType=RunState(event["eventType"]),
            eventTime=event["eventTime"],
            run=Run(runId=run["runId"]),
            job=Job(**{key: job[key] for key in ("namespace", "name")}),
            producer=event["producer"],
        )
        assert read.schemaURL == event["schemaURL"]


def test_openlineage_starts_and_completes_each_run_after_those_it_read_from(document):
    written = set()
    found = events(document("openlineage"))
    for start, complete in zip(found[::2], found[1::2], strict=True):
        assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
        assert start["run"]["runId"] == complete["run"]["runId"]
        read = {one["name"] for one in complete["inputs"] if "/data/" not in one["name"]}
        assert read <= written
        written |= {one["name"] for one in complete["outputs"]}
    assert "digits/serving/1" in written


def test_the_facet_of_our_own_fits_its_committed_schema(document):
    facets = [
        found["mnistTfx_digests"]
        for event in events(document("openlineage"))
        for found in inside(event)
        if "mnistTfx_digests" in found
    ]
    assert facets
    assert [error.message for facet in facets for error in validator("DigestsFacet").iter_errors(facet)] == []


# What may be strange about a root


@pytest.mark.parametrize("name", FORMAL)
def test_a_hostile_file_name_stays_text_and_the_document_valid(root, name):
    hostile = printable("<script>\u2028 '\"]] \\ \U0001f600")  # as records keep a name
    known = origin.collect(root.path, 1)
    data = known.data.decode().replace("data/train-images", f"data/{json.dumps(hostile)[1:-1]}")
    ingest, record = root.known["ExampleGen"]
    files = [{**file, "name": file["name"].replace("train-images", hostile)} for file in record.extra["data"]["files"]]
    renamed = dataclasses.replace(record, extra={"data": {**record.extra["data"], "files": files}})
    strange = dataclasses.replace(known, data=data.encode(), executions={**known.executions, ingest: renamed})
    document = writer(name)(strange)
    assert READERS[name](document) == digests_of_slsa(data)
    if name == "cyclonedx":
        test_cyclonedx_passes_the_strict_validator_of_its_schema(lambda _: document)
    if name == "prov":
        test_prov_reads_back_equal(lambda _: document)


def test_what_was_read_and_is_not_in_the_statement_is_told_all_the_same(root):
    known = origin.collect(root.path, 1)
    statement = json.loads(known.data)
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    dependencies[:] = [item for item in dependencies if item["name"] != "SchemaGate/schema"]
    short = dataclasses.replace(known, data=json.dumps(statement).encode())
    assert "SchemaGate/schema" in {item.name for item in short.items}


# The command line


def test_a_document_goes_to_the_terminal_a_file_or_one_json_object(root, tmp_path):
    asked = ("lineage", "export", "--format", "slsa", "--root", root.path)
    printed = mnist_tfx(*asked).out
    path = tmp_path / "slsa.json"
    written = mnist_tfx(*asked, "-o", path, "--json").json
    whole = mnist_tfx(*asked, "1", "--json").json
    assert printed == path.read_text() == whole["document"]
    assert written["sha256"] == hashlib.sha256(printed.encode()).hexdigest()
    assert (written["path"], written["document"], whole["path"]) == (str(path), None, None)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--format", "pdf"], 2),
        (["9", "--format", "slsa"], 2),
        (["--format", "slsa", "-o", "/proc/nowhere/x"], 2),
        (["--format", "slsa", "-o", "/proc/x"], 2),
    ],
)
def test_what_cannot_be_exported_is_one_line(root, arguments, code):
    answer = mnist_tfx("lineage", "export", *arguments, "--root", root.path)
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)


@pytest.mark.parametrize("name", ["dot", "mermaid", "html"])
def test_the_pictures_are_exported_as_well(document, name):
    assert "Classifier" in document(name)


@pytest.mark.e2e
def test_the_digests_of_a_real_run_are_the_same_in_all(first_run):
    found = {name: read(export(first_run[0], None, name)[1]) for name, read in READERS.items()}
    assert found["slsa"] == found["openlineage"] == found["cyclonedx"] == found["prov"]
