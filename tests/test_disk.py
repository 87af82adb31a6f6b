"""A full disk: whatever meets it says what is full, how much is needed and what to do, in one place's words."""

import os
import re
import subprocess

import pytest
from lineage.conftest import execution_record

from components import disk
from components.errors import EnvironmentProblem
from pipeline.metadata import store
from pipeline.metadata.sqlite import no_space
from pipeline.process import forkserver
from pipeline.provenance import record_store
from pipeline.provenance.ledger_writer import Ledger
from pipeline.report.write import keep

SAYS = re.compile(
    r"no space left: wanted (more than )?\d+ bytes, got \d+ bytes free: make room there, then run the same"
)


@pytest.fixture
def full(tmp_path):
    """Returns a folder on a disk of its own on which nothing more can be written."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=False).returncode:
        pytest.skip("needs a tmpfs of its own, which takes root")
    (place / "records").mkdir()
    (place / "ledger.jsonl").touch()
    descriptor = os.open(place / "filler", os.O_WRONLY | os.O_CREAT)
    while os.statvfs(place).f_bavail:
        os.write(descriptor, bytes(4096))
    os.close(descriptor)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda place: Ledger(place / "ledger.jsonl").intent(node="Transform", run_id="run-1"),
        lambda place: record_store.write(place / "records", execution_record()),
        lambda place: keep(place / "page.html", "page"),
        lambda place: store.connect(place / "metadata.db"),
    ],
    ids=["ledger", "record", "report", "metadata store"],
)
def test_a_full_disk_is_named_with_the_bytes_it_takes_and_what_to_do(full, write):
    with pytest.raises(EnvironmentProblem, match=SAYS) as caught:
        write(full)
    assert "\n" not in str(caught.value)
    assert "rebuild" not in str(caught.value)
    assert (full / "ledger.jsonl").read_bytes() == b""
    assert list((full / "records").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (OSError(28, "No space left on device", "/proc"), "/proc"),
        (OSError(122, "Disk quota exceeded", "/proc"), "/proc"),
        (RuntimeError("RESOURCE_EXHAUSTED: /proc/x; No space left on device [Op:SaveV2]"), "/proc/x"),
        (RuntimeError("OSError: [Errno 28] No space left on device [while running 'Write']"), None),
    ],
)
def test_a_full_disk_that_a_library_met_in_a_child_is_told_from_other_failures(error, where):
    fields = forkserver._describe(error)
    assert (fields["kind"], fields["what"], fields["where"]) == ("EnvironmentProblem", "no space left", where)
    assert "make room" in fields["hint"]


def test_other_failures_of_a_write_keep_their_words():
    err = disk.problem(PermissionError(13, "Permission denied", "/x"), "cannot write", where="/y", need=3)
    assert str(err) == "/x: cannot write: wanted 3 bytes, got Permission denied"
    assert not disk.is_full(err)


def test_a_store_needs_room_for_its_journal(tmp_path):
    large = tmp_path / "metadata.db"
    with large.open("wb") as file:
        file.truncate(5 << 20)
    assert f"wanted {5 << 20} bytes" in str(no_space(large))
