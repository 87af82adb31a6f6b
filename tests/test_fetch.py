"""Real data into a folder: whole and verified, or not at all."""

import contextlib
import gzip
import hashlib
import socket
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from components.errors import BadInput, EnvironmentProblem
from components.ingest import csv_rows, idx
from components.ingest.discovery import discover
from components.ingest.payload import payload_digest
from components.settings import DataSettings
from pipeline.datasets.fetch import DIGITS, MNIST, KnownFile, fetch_digits, fetch_mnist

DATA = Path(__file__).parents[2] / "shared" / "data" / "mnist"
CONTENT = bytes(range(256)) * 4000
NAMES = ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz")
WANTED = tuple(
    KnownFile(name=name, payload=hashlib.sha256(CONTENT).hexdigest(), payload_bytes=len(CONTENT)) for name in NAMES
)
GOOD = gzip.compress(CONTENT)


class Mirrors(BaseHTTPRequestHandler):
    """Answers below /<mirror>/ with what that mirror is said to send: a status, or a body and how much of it to send."""

    def __init__(self, answers, asked, *args):
        self.answers, self.asked = answers, asked
        super().__init__(*args)

    def do_GET(self):
        self.asked.append(self.path)
        answer = self.answers[self.path.split("/")[1]]
        if isinstance(answer, int):
            self.send_error(answer)
            return
        body, sent = answer
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client that has seen enough hangs up
            self.wfile.write(body[:sent])

    def log_message(self, *_):
        """Says nothing: the test's output is not a log."""


@pytest.fixture
def mirrors():
    asked = []
    answers = {
        "good": (GOOD, None),
        "absent": 404,
        "broken": 500,
        "wrong": (gzip.compress(CONTENT[::-1]), None),
        "page": (b"<html>moved</html>", None),
        "cut": (GOOD, len(GOOD) // 2),
        "damaged": (GOOD[:-8] + bytes(8), None),
        "bomb": (gzip.compress(bytes(1 << 23)), None),
        "endless": (bytes(1 << 24), None),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Mirrors, answers, asked))
    threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    yield lambda *names: [f"http://127.0.0.1:{server.server_port}/{name}/" for name in names], asked
    server.shutdown()
    server.server_close()


def test_the_next_mirror_is_tried_until_one_delivers(mirrors, tmp_path):
    urls, asked = mirrors
    paths = fetch_mnist(tmp_path / "new" / "folder", mirrors=urls("absent", "wrong", "good", "broken"), files=WANTED)
    assert [path.name for path in paths] == list(NAMES)
    assert all(path.read_bytes() == GOOD for path in paths)
    assert asked == [f"/{mirror}/{name}" for name in NAMES for mirror in ("absent", "wrong", "good")]


@pytest.mark.parametrize(
    ("mirror", "reason"),
    [
        ("absent", "HTTP 404"),
        ("broken", "HTTP 500"),
        ("wrong", "wrong content"),
        ("page", "wrong content"),
        ("cut", "cut short"),
        ("damaged", "checksum is wrong"),
        ("bomb", "longer than it may be"),
        ("endless", "sends more than the file has"),
    ],
)
def test_a_mirror_that_fails_leaves_nothing_behind(mirrors, tmp_path, mirror, reason):
    urls, _ = mirrors
    with pytest.raises(EnvironmentProblem) as caught:
        fetch_mnist(tmp_path, mirrors=urls(mirror), files=WANTED)
    assert reason in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_network_one_line_says_what_to_do_instead(tmp_path):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(EnvironmentProblem) as caught:
            fetch_mnist(tmp_path, mirrors=[f"http://{address}/", f"http://{address}/second/"])
    message = str(caught.value)
    assert message.isprintable()
    assert message.count(f"{address}: ") == 2
    assert all(file.name in message for file in MNIST)
    assert "data fetch digits" in message
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_that_never_answers_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(EnvironmentProblem, match="timed out"):
            fetch_mnist(tmp_path, mirrors=[url], files=WANTED, timeout_s=0.2)


def test_verified_files_are_kept_and_not_asked_for_again(mirrors, tmp_path):
    urls, asked = mirrors
    (tmp_path / NAMES[0]).write_bytes(gzip.compress(CONTENT, 1))
    (tmp_path / NAMES[1].removesuffix(".gz")).write_bytes(CONTENT)
    kept = fetch_mnist(tmp_path, mirrors=urls("good"), files=WANTED)
    assert [path.name for path in kept] == [NAMES[0], NAMES[1].removesuffix(".gz")]
    assert asked == []


@pytest.mark.parametrize(
    "content", [b"", GOOD[:100], gzip.compress(b"other"), bytes(1 << 22)], ids=["empty", "half", "other", "longer"]
)
def test_a_file_with_another_content_is_not_overwritten(mirrors, tmp_path, content):
    urls, _ = mirrors
    (tmp_path / NAMES[0]).write_bytes(content)
    with pytest.raises(BadInput, match="another content lies there already"):
        fetch_mnist(tmp_path, mirrors=urls("good"), files=WANTED)
    assert (tmp_path / NAMES[0]).read_bytes() == content


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("file", "file/below"):
        with pytest.raises(BadInput, match="is not a folder"):
            fetch_digits(tmp_path / folder)


def test_what_is_pinned_is_what_mnist_is():
    if not DATA.exists():
        pytest.skip("no shared data")
    for file in MNIST:
        found = payload_digest(DATA / file.name)
        assert (found.payload, found.payload_bytes) == (file.payload, file.payload_bytes)


@pytest.mark.parametrize("form", ["idx", "csv"])
def test_digits_are_written_alike_each_time(tmp_path, form):
    first, second = (fetch_digits(tmp_path / name, form) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [path.name for path in first] == [file.name for file in DIGITS[form]]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(path.name for path in first)
    assert fetch_digits(tmp_path / "a", form) == first


def test_digits_are_the_same_rows_as_idx_and_as_csv(tmp_path):
    data = DataSettings(shape=(8, 8), pixel_max=16)
    fetch_digits(tmp_path / "idx", "idx")
    fetch_digits(tmp_path / "csv", "csv")
    (images,) = discover([tmp_path / "idx"]).parts
    (rows,) = discover([tmp_path / "csv"]).parts
    (one,) = idx.iter_chunks(*images.files, rows=2000, data=data)
    (other,) = csv_rows.iter_chunks(*rows.files, data, rows=2000)
    assert len(one) == 1797
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_digits_that_are_not_these_are_not_written(tmp_path, monkeypatch):
    other = KnownFile(name="digits.csv", payload="0" * 64, payload_bytes=1)
    monkeypatch.setitem(DIGITS, "csv", (other,))
    with pytest.raises(EnvironmentProblem, match="other digits than expected"):
        fetch_digits(tmp_path, "csv")
    assert list(tmp_path.iterdir()) == []
