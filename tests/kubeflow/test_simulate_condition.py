"""Trigger conditions: what of CEL is understood, and what is refused."""

from typing import Any

import pytest

from components.errors import BadInput
from pipeline.kubeflow.names import TRIGGER
from pipeline.kubeflow.simulate.condition import holds

NEW = "inputs.parameter_values['new']"
OLD = 'inputs.parameter_values["old"]'


@pytest.mark.parametrize(
    ("text", "parameters", "expected"),
    [
        (TRIGGER, {"is_new": "true"}, True),
        (TRIGGER, {"is_new": "false"}, False),
        (f"{NEW} == 'a' && {OLD} != \"b\"", {"new": "a", "old": "c"}, True),
        (f"{NEW} == 'a' && {OLD} != \"b\"", {"new": "a", "old": "b"}, False),
        (f"{NEW}=='a b && c'", {"new": "a b && c"}, True),
        (f"{NEW} == 3", {"new": 3.0}, True),
        (f"{NEW} == 3", {"new": "3"}, False),
        (f"{NEW} != 3", {"new": "3"}, True),
        (f"{NEW} == true", {"new": True}, True),
        (f"{NEW} == 1", {"new": True}, False),
    ],
)
def test_a_condition_is_evaluated(text: str, parameters: dict[str, Any], expected: bool):
    assert holds(text, parameters) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "true",
        f"{NEW} == 'a' || {OLD} == 'b'",
        f"{NEW} == 'a' &&",
        f"int({NEW}) > 3",
        f"!({NEW} == 'a')",
        "inputs.parameters['new'].string_value == 'a'",
    ],
)
def test_a_condition_beyond_that_is_refused(text: str):
    with pytest.raises(BadInput, match="not understood"):
        holds(text, {"new": "a", "old": "b"})
