"""ExecutorInput as launchers really send it."""

import json
from typing import Any

import pytest

from components.errors import BadInput
from pipeline.kubeflow.pod import invocation

EXAMPLES = "title: tfx.Examples\ntype: object\nproperties:\n  span:\n    type: integer\n"
SPEC: dict[str, Any] = {
    "artifacts": {"examples": {"artifactType": {"instanceSchema": EXAMPLES}}},
    "parameters": {"steps": {"parameterType": "NUMBER_INTEGER"}, "rate": {"parameterType": "NUMBER_DOUBLE"}},
}


def sent(**changes: Any) -> str:
    artifact = {"name": "17", "uri": "minio://b/x", "type": {"instanceSchema": ""}, "metadata": {"span": 3.0}}
    fields = {
        "inputs": {
            "parameterValues": {"steps": 20.0, "rate": 0.5, "name": "x"},
            "artifacts": {"examples": {"artifacts": [artifact]}},
        },
        "outputs": {
            "artifacts": {
                "model": {"artifacts": [{"name": "model", "uri": "minio://b/m", "type": {"instanceSchema": EXAMPLES}}]}
            },
            "parameters": {"answer": {"outputFile": "/tmp/answer"}},
            "outputFile": "/tmp/out.json",
        },
    }
    return json.dumps({**fields, **changes})


def test_an_input_without_a_type_gets_the_one_that_the_component_declares() -> None:
    found = invocation.parse(sent(), SPEC).inputs["examples"]
    assert found.schema == EXAMPLES
    assert found.type_name == "Examples"


KUBEFLOW_3 = {
    "artifactId": "4f6e8b52-9d0c-4c2a-8f0e-3c1d5a7b9e11",
    "name": "examples",
    "uri": "minio://b/x",
    "metadata": {"span": 3.0, "split_names": '["train"]', "files": ["a", 2.0], "told": {"rows": 5.0}},
}


@pytest.mark.parametrize(
    "type_",
    [{"instanceSchema": EXAMPLES}, {"schemaTitle": "tfx.Examples", "schemaVersion": "0.0.1"}, {}],
    ids=["the whole schema", "its title", "none"],
)
def test_an_input_of_kubeflow_3_is_read_with_its_type_its_id_and_metadata_that_nothing_wraps(type_: Any) -> None:
    artifacts = {"examples": {"artifacts": [{**KUBEFLOW_3, "type": type_}]}}
    found = invocation.parse(sent(inputs={"artifacts": artifacts}), SPEC).inputs["examples"]
    assert (found.name, found.uri, found.type_name) == ("examples", "minio://b/x", "Examples")
    assert found.metadata == {"span": 3, "split_names": '["train"]', "files": ["a", 2], "told": {"rows": 5}}


def test_integers_that_came_as_doubles_are_integers_again_and_doubles_stay() -> None:
    parameters = invocation.parse(sent(), SPEC).parameters
    assert [(name, value, type(value)) for name, value in parameters.items()] == [
        ("steps", 20, int),
        ("rate", 0.5, float),
        ("name", "x", str),
    ]


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        ({"struct": {"a": 1.0}}, {"a": 1}),
        ({"list": [1.0, "x"]}, [1, "x"]),
        ({"struct": {"struct": {"list": [2.5]}}}, [2.5]),
        ({"struct": 1.0, "list": 2.0}, {"struct": 1, "list": 2}),
        (1.0, 1),
        ("text", "text"),
    ],
)
def test_properties_are_unwrapped(wrapped: object, plain: object) -> None:
    assert invocation.unwrapped(wrapped) == plain


def test_outputs_and_their_files_are_read() -> None:
    found = invocation.parse(sent(), SPEC)
    assert found.outputs["model"].uri == "minio://b/m"
    assert found.output_parameters == {"answer": "/tmp/answer"}
    assert found.output_file == "/tmp/out.json"


def test_the_log_that_kfp_adds_to_every_task_is_no_output_of_ours() -> None:
    fields = json.loads(sent())
    log = {"name": "executor-logs", "uri": "minio://b/l", "type": {"schemaTitle": "system.Artifact"}}
    fields["outputs"]["artifacts"]["executor-logs"] = {"artifacts": [log]}
    assert set(invocation.parse(json.dumps(fields), SPEC).outputs) == {"model"}


def test_an_optional_input_that_was_not_given_is_none() -> None:
    empty = {"parameterValues": {}, "artifacts": {"examples": {"artifacts": []}}}
    assert invocation.parse(sent(inputs=empty), SPEC).inputs == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"outputs": {}}', '{"outputs": {"outputFile": 1, "artifacts": 2}}'])
def test_what_is_no_executor_input_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadInput, match="not an ExecutorInput"):
        invocation.parse(text, SPEC)
