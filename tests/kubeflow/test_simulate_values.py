"""Protobuf's `Value` as Go writes and reads it, and custom properties of ML Metadata."""

import math
from typing import Any

import pytest

from pipeline.kubeflow.simulate.metadata import to_property
from pipeline.kubeflow.simulate.values import as_value, from_text, to_json, to_text


def test_every_number_is_a_double_also_within_lists_and_structs():
    found = as_value({"a": [1, {"b": 2**53 + 1}], "c": True, "d": None})

    assert found == {"a": [1.0, {"b": float(2**53)}], "c": True, "d": None}
    assert isinstance(found["a"][0], float)
    assert found["c"] is True


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_json_does_not_have_is_refused(number: float):
    with pytest.raises(ValueError, match="no number in JSON"):
        as_value(number)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1.2345678901234567e19, "12345678901234567000"),
        (1e21, "1e+21"),
        ({"b": [1.0, None], "a": "é"}, '{"b":[1,null],"a":"é"}'),
    ],
)
def test_numbers_are_written_as_go_writes_them(value: Any, text: str):
    assert to_json(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), ("s", "s"), (7.0, "7"), (True, "true"), ([1.0], "[1]"), ({"a": 1.0}, '{"a":1}')]
)
def test_any_value_can_be_a_string_parameter(value: Any, text: str):
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (" 7 ", "STRING", " 7 "),
        (" 7\n", "NUMBER_INTEGER", 7.0),
        ("0.5", "NUMBER_DOUBLE", 0.5),
        ("True", "BOOLEAN", True),
        ("0", "BOOLEAN", False),
        ("[1]", "LIST", [1.0]),
        ('{"a": 1}', "STRUCT", {"a": 1.0}),
    ],
)
def test_text_is_read_as_the_declared_type(text: str, kind: str, value: Any):
    assert from_text(text, kind) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("7.5", "NUMBER_INTEGER"),
        ("x", "NUMBER_DOUBLE"),
        ("yes", "BOOLEAN"),
        ("{}", "LIST"),
        ("[]", "STRUCT"),
        ("", "KIND"),
    ],
)
def test_text_of_another_type_is_refused(text: str, kind: str):
    with pytest.raises(ValueError):  # noqa: PT011  # in whose words does not matter
        from_text(text, kind)


@pytest.mark.parametrize(
    ("value", "kept"),
    [("t", "t"), (2.0, 2.0), (True, 1.0), (False, 0.0), ([1.0], {"list": [1.0]}), ({"a": 1.0}, {"struct": {"a": 1.0}})],
)
def test_lists_and_structs_are_wrapped_and_flags_are_numbers(value: Any, kept: Any):
    assert to_property("name", value) == kept
    assert type(to_property("name", value)) is type(kept)


def test_null_is_no_property():
    with pytest.raises(ValueError, match="'name' is null"):
        to_property("name", None)
