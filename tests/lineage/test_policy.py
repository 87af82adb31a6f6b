"""Policy files, and the limits of what is read as one; keys have the same."""

import os
import time
from pathlib import Path

import pytest

from components.errors import BadInput
from pipeline.audit import policy
from pipeline.provenance import keys


@pytest.fixture
def written(tmp_path):
    def write(text: str):
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        return path

    return write


def test_a_file_sets_what_it_names_and_leaves_the_rest(written):
    read = policy.read(written("version: 1\nrules:\n  clean_tree: warn\n  leaks: off\n"))
    assert read.levels == {**policy.default().levels, "clean_tree": "warn", "leaks": "off"}


def test_a_file_without_rules_is_the_default(written):
    assert policy.read(written("version: 1\n")) == policy.default()


def test_a_policy_round_trips():
    changed = policy.Policy.from_dict({"version": 1, "rules": {"ops": "off"}})
    assert policy.Policy.from_dict(changed.to_dict()) == changed


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("version: 1\nrules:\n  clean_trees: warn\n", "clean_tree, same_lock"),
        ("version: 1\nrules:\n  clean_tree: maybe\n", "fail, warn, off"),
        ("version: 1\nrule: {}\n", "version, rules"),
        ("version: 2\n", "version: 1"),
        ("version: 1\nrules: [leaks]\n", "rule: level"),
        ("version: 1\nrules: {leaks: !!python/object:os.system x}\n", "not readable as YAML"),
        ("- 1\n", "got [1]"),
        ("", "not a mapping: wanted version and rules, got null"),
        ("{", "not readable as YAML"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_would_be_right(written, text, named):
    with pytest.raises(BadInput, match=r"policy\.yaml") as caught:
        policy.read(written(text))
    assert named in str(caught.value)


def test_a_missing_policy_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        policy.read(tmp_path / "none.yaml")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("text", [BOMB, f"version: {'9' * 5000}\n", "[" * 3000, "rules: 2026-02-31\n"])
def test_a_policy_that_nobody_wrote_by_hand_is_refused_in_one_line(written, text):
    started = time.monotonic()
    with pytest.raises(BadInput) as caught:
        policy.read(written(text))
    assert time.monotonic() - started < 5
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("read", [policy.read, keys.load_public, lambda path: keys.load_private(path, str)])
@pytest.mark.parametrize("kind", ["device", "FIFO", "folder", "large"])
def test_a_policy_or_key_is_a_regular_file_of_a_stated_size_only(tmp_path, read, kind):
    path = Path("/dev/zero") if kind == "device" else tmp_path / "given"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(BadInput, match=r"not a regular file|too large|is a folder"):
        read(path)
