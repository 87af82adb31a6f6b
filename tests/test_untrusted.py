"""Files of other people: what is read of them, and that whatever cannot be is one error of ours."""

import os
import socket
from typing import Any

import pytest
from typing_extensions import TypedDict

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.shapes import Shape
from components.untrusted import (
    parse_json,
    parse_object,
    parse_yaml,
    parse_yaml_documents,
    read_bytes,
    read_json,
    read_yaml,
)


def a_device(_):
    return "/dev/zero"


def a_fifo(place):
    os.mkfifo(place)
    return place


def a_socket(place):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(place))
    return place


def a_folder(place):
    place.mkdir()
    return place


def a_loop(place):
    place.symlink_to(place)
    return place


def nothing(place):
    return place


def a_large_file(place):
    place.write_bytes(b" " * 5000)
    return place


def an_endless_file_without_a_size(_):
    return "/proc/kallsyms"


@pytest.mark.parametrize("read", [read_json, read_yaml, read_bytes])
@pytest.mark.parametrize(
    "make",
    [a_device, a_fifo, a_socket, a_folder, a_loop, nothing, a_large_file, an_endless_file_without_a_size],
    ids=lambda make: make.__name__,
)
def test_only_a_regular_file_of_a_stated_size_is_read(tmp_path, read, make, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the address of a socket has to be short
    place = make(tmp_path.joinpath("file").relative_to(tmp_path))
    with pytest.raises(EnvironmentProblem) as refused:
        read(place, limit=1000, error=EnvironmentProblem)
    assert str(place) in str(refused.value)


def test_a_fifo_that_is_being_written_is_refused_all_the_same(tmp_path):
    place = a_fifo(tmp_path / "fifo")
    writer = os.open(place, os.O_RDWR)  # for writing alone it would wait for a reader
    try:
        with pytest.raises(BadInput, match="not a regular file: got a FIFO"):
            read_bytes(place, limit=1000)
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100_000, "not readable as JSON"),
        (b'{"a":' * 3000, "not readable as JSON"),
        (b"9" * 5000, "not readable as JSON"),
        (b"9" * 400, "a number that is too large: wanted at most 64 bits"),
        (b'{"a": -9223372036854775809}', "a number that is too large"),
        (b'{"a": [1e999]}', "a number that is too large: wanted at most 64 bits, got inf"),
        (b"NaN", "not readable as JSON"),
        (b'"\\ud800"', "not readable as JSON"),
        (b'"\xed\xa0\x80"', "not readable as JSON"),
        (b"\xff", "not readable as JSON"),
        (b'{"a": 1', "not readable as JSON"),
        (b"", "not readable as JSON"),
        ("\ud800", "not readable as JSON"),
    ],
)
def test_what_is_no_json_is_one_error_of_ours(text, message):
    with pytest.raises(BadInput, match=message):
        parse_json(text, where="it")


def test_json_of_another_kind_is_no_object():
    with pytest.raises(BadInput, match="not a JSON object: got list"):
        parse_object(b"[]", where="it")


@pytest.mark.parametrize("number", [(1 << 63) - 1, -5, 1e300, 0.1])
def test_numbers_of_64_bits_are_read_as_they_are(number):
    assert parse_json(f'{{"a": [{number!r}], "e": "1e999 and {"9" * 30}"}}', where="it")["a"] == [number]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 3000, "nested too deeply: wanted at most 100 levels"),
        ("- " * 3000 + "a", "nested too deeply"),
        ("".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 12)).replace("*a0", "x"), "too many values"),
        ("a: &a [*a]", "alias of what is not complete"),
        ("a: *b", "alias"),
        ("epochs: 1\nbatch: 2\nepochs: 3", "line 3, column 1: the key epochs stands twice"),
        ("a: {b: 1, b: 2}", "the key b stands twice"),
        ("1: a", "a key that is no text: 1; quotes make it one"),
        ("true: a", "a key that is no text: true"),
        ("? [a]\n: b", "a key that is no text"),
        ("a:\n\tb: 1", "line 2, column 1: a tab, and YAML is indented with spaces"),
        (f"a: {'9' * 5000}", "a number of 5000 digits"),
        ("a: !!timestamp 2024-02-31", "could not determine a constructor"),
        ("a: !!binary x", "could not determine a constructor"),
        ("a: !!bool maybe", "not readable as YAML"),
        ("a: !!int x", "not readable as YAML"),
        ("!!map [a]", "expected a mapping"),
        ("a: !!python/name:os.system x", "could not determine a constructor"),
        ("a: \x00", "control characters"),
        ("a: \ud800", "not readable as YAML"),
        (b"\xff\xfe\xff", "not readable as YAML"),
        ("a: [", "not readable as YAML"),
        ("<<: 3", "expected a mapping"),
        ("a: 1\n---\nb: 2", "more than one YAML document: wanted one, got 2"),
    ],
)
def test_what_is_no_yaml_of_ours_is_one_error_of_one_line(text, message):
    with pytest.raises(BadInput, match=message) as refused:
        parse_yaml(text, where="it")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("2024-02-31", "2024-02-31"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("1e-3", 0.001),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-.5", -0.5),
        ("true", True),
        ("~", None),
        ("''", ""),
        ("[1, {a: x}]", [1, {"a": "x"}]),
        ("{<<: {a: 1, b: 2}, a: 3}", {"a": 3, "b": 2}),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text, value):
    assert parse_yaml(text, where="it") == value


def test_the_documents_of_a_file_are_read_in_their_order():
    assert parse_yaml_documents("a: 1\n---\nb: 2\n", where="it") == [{"a": 1}, {"b": 2}]


def test_a_name_that_no_file_can_have_is_one_error_of_ours():
    for name in ("a\0b", "a" * 5000, ""):
        with pytest.raises(MnistTfxError):
            read_bytes(name, limit=1)


class Told(TypedDict):
    version: int
    rest: Any


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": True, "rest": 1}, "version: wanted a whole number, got true"),
        ({"version": 1 << 63, "rest": 1}, "version: wanted a whole number"),
        ({"version": "1", "rest": 1}, "version: wanted a whole number, got '1'"),
        ({"rest": 1}, "version is missing"),
        ({"version": 1, "rest": float("inf")}, "rest: wanted any value, got inf"),
        ({"version": 1, "rest": [{"deep": 10**30}]}, "rest: wanted any value"),
        ({"version": 1, "rest": 1, "beside": [-(10**30)]}, "beside: wanted any value"),
        ([], "a mapping with version, rest"),
        (None, "a mapping with version, rest"),
    ],
)
def test_a_value_of_another_shape_is_named_with_its_key(values, message):
    with pytest.raises(EnvironmentProblem) as refused:
        Shape(Told).read(values, what="not told", where="it", error=EnvironmentProblem)
    assert message in str(refused.value)


def test_what_a_shape_does_not_name_goes_along_as_it_is():
    values = {"version": 1, "rest": [1, 2.5, None, True, "x", {"a": []}], "beside": {"b": 1 << 62}}
    assert Shape(Told).read(values, what="not told", where="it") == values
