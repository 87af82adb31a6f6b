"""A file's bytes -> what somebody could have made of them: seeded, so that a number names one mutation.

Half of them are of bytes, as a disk, an editor or a merge leaves them; the other half are of the values in a JSON or
YAML document, as somebody with a text editor does it who knows where to put them.
"""

import copy
import json
import math
import os
import random

import yaml

COUNT = int(os.environ.get("MNIST_TFX_MUTATIONS", "500"))
"""Of each kind of file; 5,000 were tried by hand."""

DEEP = "[" * 100_000
NEST = json.loads("[" * 150 + "]" * 150)
VALUES = [None, True, False, 0, -1, 1.5, 1 << 63, -(10**400), 10**30, 1e300, math.inf, math.nan, "", "x", "\x00"]
VALUES += ["x" * 5000, "9" * 5000, "\ud800", "../../etc/passwd", "/", "a/../b", "2024-02-31", "[red]", "\u2028", "é"]
VALUES += [[], {}, [[]], [None], {"": None}, {"a": {"b": [1]}}, ["x"] * 50, NEST, {"__class__": "x", "sha256": 1}]


def mutated(data: bytes, number: int, *, load=json.loads, dump=None) -> bytes:
    """Returns mutation `number` of a file."""
    rng = random.Random(number)
    if rng.random() < 0.5:
        return of_bytes(data, rng)
    try:
        return of_values(data, rng, load, dump or as_json)
    except (ValueError, UnicodeError, yaml.YAMLError):
        return of_bytes(data, rng)


def of_bytes(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        data = rng.choice([_noise, _flipped, _deleted, _cut, _behind, _repeated, _with_insertion, _doubled, _nothing])(
            data, rng, rng.randrange(len(data) + 1), rng.choice([1, 1, 2, 8, 64, 4096])
        )
    return data


def _noise(data, rng, at, size):
    return data[:at] + rng.randbytes(len(data[at : at + size])) + data[at + size :]


def _flipped(data, rng, at, size):
    return data[:at] + bytes(byte ^ (1 << rng.randrange(8)) for byte in data[at : at + size]) + data[at + size :]


def _deleted(data, _, at, size):
    return data[:at] + data[at + size :]


def _cut(data, _, at, __):
    return data[:at]


def _behind(data, _, at, __):
    return data[at:]


def _repeated(data, rng, at, size):
    return data[:at] + data[at : at + size] * rng.choice([2, 100]) + data[at:]


def _with_insertion(data, rng, at, _):
    return data[:at] + rng.choice(INSERTED) + data[at:]


def _doubled(data, _, __, ___):
    return data + data


def _nothing(_, __, ___, ____):
    return b""


INSERTED = [
    b"\x00",
    b"\xff",
    b"\n",
    b"\t",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"- ",
    b"*",
    b"&a ",
    b"---\n",
]
INSERTED += [b"1e999", b"NaN", b'"\\ud800"', b"9" * 5000, DEEP.encode(), b'{"a":' * 3000, b"!!python/name:os.system "]
INSERTED += ["\ufeff\u2028é".encode(), b"\xed\xa0\x80", b"<<: *x\n", b"#", b"'", b"|\n", b"%YAML 3\n"]


def of_values(data: bytes, rng: random.Random, load, dump) -> bytes:
    values = load(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        values = _changed(values, rng)
    return dump(values)


def _changed(values, rng):
    values = copy.deepcopy(values)
    places = list(_places(values))
    if not places:
        return rng.choice(VALUES)
    parent, key = rng.choice(places)
    what = rng.randrange(5)
    if what == 0:
        del parent[key]
    elif what == 1 and isinstance(parent, dict):
        parent[rng.choice(["x", "", "\ud800", "a" * 3000, "..", "version"])] = parent.pop(key)
    elif what == 2:
        other, place = rng.choice(places)
        try:
            parent[key] = copy.deepcopy(other[place])
        except LookupError:
            parent[key] = None
    else:
        parent[key] = copy.deepcopy(rng.choice(VALUES))
    return values


def _places(values):
    waiting = [values]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from ((one, key) for key in one)
            waiting += one.values()
        elif isinstance(one, list):
            yield from ((one, place) for place in range(len(one)))
            waiting += one


def as_json(values) -> bytes:
    return json.dumps(values, separators=(",", ":"), sort_keys=True).encode()


def as_yaml(values) -> bytes:
    return yaml.safe_dump(values).encode("utf-8", "surrogatepass")
