"""Raw and gzip files -> one payload; fault rows 21 and 24."""

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadInput, EnvironmentProblem
from components.ingest.payload import PayloadReader, payload_digest, payload_size_bound, read_payload

CONTENT = bytes(range(256)) * 2000
PACKED = gzip.compress(CONTENT, mtime=0)


@pytest.fixture
def write(tmp_path):
    def write(data, name="data"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("name", ["data", "data.gz", "data.csv"])
def test_gzip_is_told_by_content_and_not_by_name(write, name):
    assert read_payload(write(PACKED, name)) == read_payload(write(CONTENT, name)) == CONTENT


def test_raw_and_gzip_have_one_payload_digest_and_two_container_digests(write):
    raw, packed = payload_digest(write(CONTENT, "raw")), payload_digest(write(PACKED, "packed"))
    assert raw.payload == packed.payload == raw.container == hashlib.sha256(CONTENT).hexdigest()
    assert packed.container == hashlib.sha256(PACKED).hexdigest()
    assert (packed.payload_bytes, packed.container_bytes) == (len(CONTENT), len(PACKED))


def test_members_one_after_the_other_are_one_payload(write):
    assert read_payload(write(PACKED + gzip.compress(b"more") + gzip.compress(b""))) == CONTENT + b"more"


@pytest.mark.parametrize("data", [b"", b"\x1f", b"x"])
def test_a_file_too_short_for_a_gzip_header_is_raw(write, data):
    assert read_payload(write(data)) == data


def test_a_reader_hands_out_what_is_asked_for_and_less_only_at_the_end(write):
    with PayloadReader(write(PACKED)) as reader:
        pieces = [reader.read(size) for size in (3, 0, 300_000, 10**6, 5)]
        assert [len(piece) for piece in pieces] == [3, 0, 300_000, len(CONTENT) - 300_003, 0]
        assert reader.offset == len(CONTENT)
    assert b"".join(pieces) == CONTENT


@pytest.mark.fault(21)
@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param(PACKED[:-4], f"byte {len(PACKED) - 4}", id="cut in the trailer"),
        pytest.param(PACKED[:100], "byte 100", id="cut in the middle"),
        pytest.param(PACKED[:5], "byte 5", id="cut in the header"),
        pytest.param(PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], "checksum is wrong, at byte", id="wrong checksum"),
        pytest.param(PACKED[:-4] + b"\0\0\0\0", "length is wrong, at byte", id="wrong length"),
        pytest.param(PACKED[:10] + b"\x06" + PACKED[11:], "is corrupt (invalid block type), at byte 10", id="corrupt"),
        pytest.param(PACKED + b"garbage", f"trailing garbage after the gzip data, from byte {len(PACKED)}", id="text"),
        pytest.param(PACKED + bytes(512), f"trailing garbage after the gzip data, from byte {len(PACKED)}", id="zeros"),
        pytest.param(PACKED + PACKED[:40], f"byte {len(PACKED) + 40}", id="second member cut"),
    ],
)
def test_damaged_gzip_is_refused_with_file_and_offset(write, data, what):
    path = write(data)
    with pytest.raises(BadInput) as caught:
        payload_digest(path)
    assert str(path) in str(caught.value)
    assert what in str(caught.value)


@given(cut=st.integers(0, len(PACKED) - 1), flip=st.integers(1, 255))
def test_no_flipped_byte_gives_another_payload(tmp_path_factory, cut, flip):
    damaged = bytearray(PACKED)
    damaged[cut] ^= flip
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(damaged)
    try:
        found = read_payload(path)
    except BadInput:
        return
    # Without its magic the file is raw; header fields such as the time are not part of the payload.
    assert found == (bytes(damaged) if cut < 2 else CONTENT)


def test_a_limit_stops_one_byte_later(write):
    path = write(PACKED)
    assert read_payload(path, len(CONTENT)) == CONTENT
    assert payload_digest(path, limit=len(CONTENT)).payload_bytes == len(CONTENT)
    for digest_or_read in (lambda: read_payload(path, len(CONTENT) - 1), lambda: payload_digest(path, limit=10)):
        with pytest.raises(BadInput, match="longer than it may be"):
            digest_or_read()


@pytest.mark.fault(24)
def test_a_gzip_bomb_takes_little_memory_and_stops_at_the_limit(tmp_path):
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(bytes(1 << 24)) * 128)
    code = (
        "import pathlib, sys\n"
        "from components.errors import BadInput\n"
        "from components.ingest.payload import read_payload\n"
        "try: read_payload(pathlib.Path(sys.argv[1]), 10_000_000)\n"
        # Not getrusage: its peak includes the process that started this one.
        "except BadInput: print(pathlib.Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
    )
    out = subprocess.run([sys.executable, "-c", code, bomb], capture_output=True, text=True, check=True).stdout
    assert int(out) < 500_000, f"kilobytes: {out}"
    assert payload_size_bound(bomb) >= 2048 << 20


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda _: None], ids=["fifo", "folder", "nothing"])
def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path, make):
    path = tmp_path / "data"
    make(path)
    with pytest.raises(BadInput):
        payload_digest(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_the_environments_fault(write):
    path = write(CONTENT)
    path.chmod(0)
    with pytest.raises(EnvironmentProblem):
        payload_digest(path)


def test_an_input_error_of_the_device_is_the_environments_fault():
    # Reading this process's memory from address 0 gives EIO; it is a regular file to stat.
    with pytest.raises(EnvironmentProblem, match="cannot be read"):
        read_payload(Path("/proc/self/mem"))
