"""Serving directories: what counts as a version, which number comes next, who may change it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem
from components.serving import (
    candidates,
    claim,
    foreign_entries,
    highest_claimed,
    locate,
    locked,
    number_of,
    raise_floor,
    versions,
)

HOLD_LOCK = """
import sys, components.serving as serving
with serving.locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def put(serving, name, content=b"model"):
    folder = serving / name
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "saved_model.pb").write_bytes(content)
    return folder


def test_versions_are_the_children_whose_names_are_numbers_in_numeric_order(tmp_path):
    for name in (
        "10",
        "9",
        "0012",
        ".stage-1",
        "9" * 20,
        str(1 << 63),
        "9" * 250,
        "v3",
        "4a",
        "²",
    ):  # a digit to str.isdigit, no number
        put(tmp_path, name)
    (tmp_path / "77").write_text("a file is no version")
    assert [found.version for found in versions(tmp_path)] == [9, 10]


@pytest.mark.parametrize(
    ("name", "number"),
    [(" 3", 3), ("1 ", 1), ("\t7\n", 7), ("+2", 2), ("01", 1), ("-4", -4), (str((1 << 63) - 1), (1 << 63) - 1)],
)
def test_whatever_tf_serving_parses_is_a_number(name, number):
    assert number_of(name) == number


@pytest.mark.parametrize("name", ["", " ", "+", "+ 2", "--1", "1_0", "\N{NO-BREAK SPACE}1", "0x1", "1.0", str(1 << 63)])
def test_what_tf_serving_does_not_parse_is_none(name):
    assert number_of(name) is None


def test_numbers_not_written_plainly_and_numbers_of_files_are_strangers(tmp_path):
    for name in ("1", "2", "02", "+2", " 3", "1 ", "-1", ".stage-1", "v3"):
        put(tmp_path, name)
    (tmp_path / "77").write_text("a file")
    (tmp_path / "78").symlink_to(tmp_path / "1")
    assert [path.name for path in foreign_entries(tmp_path)] == [" 3", "+2", "-1", "02", "1 ", "77", "78"]
    assert [found.path.name for found in candidates(tmp_path)] == ["1", "1 ", "2", "+2", "02", " 3", "78"]
    assert [found.path.name for found in versions(tmp_path)] == ["1", "2"]


def test_a_missing_directory_serves_nothing(tmp_path):
    assert versions(tmp_path / "none") == []
    assert highest_claimed(tmp_path / "none") == 0


def test_a_version_without_saved_model_is_listed_as_incomplete(tmp_path):
    put(tmp_path, "1", content=None)
    assert not versions(tmp_path)[0].complete


def test_the_digest_is_that_of_the_model_whatever_the_provenance(tmp_path):
    folder = put(tmp_path, "1")
    before = tree_digest(folder)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "provenance.json").write_text("{}")
    (served,) = versions(tmp_path)
    assert served.digest == before
    assert served.has_provenance


def test_a_pruned_number_is_never_the_highest_plus_one(tmp_path):
    put(tmp_path, "6")
    claim(tmp_path, 7)
    assert highest_claimed(tmp_path) == 7


def test_a_number_in_the_records_alone_raises_the_floor(tmp_path):
    put(tmp_path, "2")
    raise_floor(tmp_path, 5)
    raise_floor(tmp_path, 3)
    assert highest_claimed(tmp_path) == 5


def test_a_torn_claim_leaves_a_gap_but_gives_no_number_twice(tmp_path):
    claim(tmp_path, 3)
    (tmp_path / ".versions").write_text("3\n1")  # "12\n" on its way when the power went
    claim(tmp_path, 13)
    assert highest_claimed(tmp_path) >= 13


def test_the_lock_of_a_killed_process_is_free_again(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(EnvironmentProblem, match="another process is changing"), locked(tmp_path, timeout=0.05):
        pass
    holder.kill()
    holder.communicate()
    with locked(tmp_path, timeout=5):
        pass


def test_a_directory_that_cannot_be_made_is_an_environment_problem(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentProblem) as caught, locked(tmp_path / "file" / "serving"):
        pass
    assert caught.value.exit_code == 4
    assert str(tmp_path / "file" / "serving") in str(caught.value)


@pytest.mark.parametrize("bucket", ["gs://bucket/serving", "s3://bucket", "minio://x/y"])
def test_a_bucket_is_refused_with_the_reason(bucket):
    with pytest.raises(BadInput, match="atomic rename") as caught:
        locate(bucket, "/root/artifacts/Pusher/pushed_model/3")
    assert caught.value.exit_code == 2


def test_a_directory_below_a_root_in_a_bucket_is_refused_too():
    with pytest.raises(BadInput, match=r"gs://bucket/root.*cannot serve from a bucket"):
        locate("serving", "gs://bucket/root/artifacts/Pusher/pushed_model/3")
    assert str(locate("/srv/models", "gs://bucket/root/artifacts/Pusher/pushed_model/3")) == "/srv/models"


def test_a_relative_directory_lies_in_the_root_of_the_artifact(tmp_path):
    uri = tmp_path / "artifacts" / "Pusher" / "pushed_model" / "3"
    assert locate("serving", str(uri)) == tmp_path / "serving"
    assert str(locate("/srv/models", str(uri))) == "/srv/models"
