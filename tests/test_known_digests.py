"""What a process has digested it does not digest again, unless the file may be another one by now."""

import gzip
import json
import os
import threading

import numpy as np
import pytest

from components.errors import BadInput
from components.ingest import known_digests, payload, source
from components.ingest.forms import READERS
from components.ingest.idx import write_images, write_labels
from components.ingest.source import resolve
from components.settings import DataSettings

DATA = DataSettings(shape=(5, 4), pixel_max=255)


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that are digested or copied, in order."""
    names = []

    def noted(function):
        return lambda path, *given, **named: (names.append(path.name), function(path, *given, **named))[1]

    monkeypatch.setattr("components.ingest.forms.payload_digest", noted(payload.payload_digest))
    monkeypatch.setattr(source, "sha256_file", noted(source.sha256_file))
    monkeypatch.setattr(known_digests, "_KNOWN", {})
    return names


@pytest.fixture
def properties(tmp_path):
    files = [tmp_path / "images", tmp_path / "labels"]
    write_images(files[0], np.arange(800, dtype=np.uint8).reshape(40, 5, 4))
    write_labels(files[1], np.arange(40) % 10)
    given = json.dumps([{"split": "train", "files": [str(file) for file in files]}])
    return {"source": given, "form": "idx", "settings": DATA.to_json()}


def test_files_of_some_age_are_digested_once_and_so_are_their_copies(tmp_path, properties, reads, monkeypatch):
    monkeypatch.setattr(known_digests, "SETTLED_S", 0)
    first = resolve(properties, tmp_path / "root")
    assert sorted(reads) == ["images", "labels"]
    assert resolve(properties, tmp_path / "root") == first
    assert resolve(first, tmp_path / "root") == first
    assert sorted(reads) == ["images", "labels"]


def test_files_that_are_digested_ahead_are_waited_for_and_digested_once(tmp_path, properties, reads, monkeypatch):
    monkeypatch.setattr(known_digests, "SETTLED_S", 0)
    begun, goes_on, digests = threading.Event(), threading.Event(), type(READERS["idx"]).digests

    def slowly(reader, files, data):
        begun.set()
        assert goes_on.wait(10)
        return digests(reader, files, data)

    monkeypatch.setattr(type(READERS["idx"]), "digests", slowly)
    source.digest_ahead(source.parts_from_json(properties["source"], tmp_path), form="idx", data=DATA)
    assert begun.wait(10)
    threading.Timer(0.3, goes_on.set).start()
    resolve(properties, tmp_path / "root")
    assert sorted(reads) == ["images", "labels"]


def test_what_is_wrong_with_files_that_are_digested_ahead_is_said_when_they_are_asked_for(tmp_path, properties):
    (tmp_path / "labels").unlink()
    source.digest_ahead(source.parts_from_json(properties["source"], tmp_path), form="idx", data=DATA)
    with pytest.raises(BadInput, match="labels"):
        resolve(properties, tmp_path / "root")


def test_files_that_were_changed_a_moment_ago_are_digested_again(tmp_path, properties, reads):
    resolve(properties, tmp_path / "root")
    resolve(properties, tmp_path / "root")
    assert sorted(reads) == ["images", "images", "labels", "labels"]


def test_an_edit_is_seen_whatever_size_and_time_the_file_has(tmp_path, properties, monkeypatch):
    monkeypatch.setattr(known_digests, "SETTLED_S", 0)
    first = resolve(properties, tmp_path / "root")
    images, status = tmp_path / "images", (tmp_path / "images").stat()
    images.write_bytes(images.read_bytes()[:-1] + b"\7")
    os.utime(images, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert resolve(properties, tmp_path / "root")["input_fingerprint"] != first["input_fingerprint"]


def test_a_copy_that_was_changed_is_made_again(tmp_path, properties, monkeypatch):
    monkeypatch.setattr(known_digests, "SETTLED_S", 0)
    folder = tmp_path / "root" / resolve(properties, tmp_path / "root")["input_base"]
    whole = (folder / "train-images").read_bytes()
    (folder / "train-images").write_bytes(whole[:-1] + b"\7")
    os.utime(folder / "train-images", (1, 1))  # as an edit at any other time: this one may be in the same tick
    resolve(properties, tmp_path / "root")
    assert (folder / "train-images").read_bytes() == whole


def test_a_raw_file_has_one_digest_and_a_packed_one_two(tmp_path):
    (tmp_path / "raw").write_bytes(b"rows")
    (tmp_path / "packed").write_bytes(gzip.compress(b"rows"))
    raw, packed = (payload.payload_digest(tmp_path / name) for name in ("raw", "packed"))
    assert (raw.container, raw.container_bytes) == (raw.payload, raw.payload_bytes) == (packed.payload, 4)
    assert packed.container != packed.payload
    assert packed.container_bytes == (tmp_path / "packed").stat().st_size
