"""Data in object stores: what is fetched, kept and refused, against a real S3 server."""

import gzip
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import object_store
import pytest
from command_line import in_process
from data_forms import png, write_parquet

from components.errors import BadInput, EnvironmentProblem
from components.ingest import copy_paths, discovery, origins, source
from components.settings import DataSettings
from pipeline.datasets.stores import copies
from pipeline.datasets.stores.address import Address
from pipeline.datasets.stores.store import PARALLEL, open_store
from pipeline.root.user_cache import CACHE

PIXELS = np.arange(640, dtype=np.uint8).reshape(10, 64) % 17


@pytest.fixture(scope="module")
def endpoint():
    with object_store.server() as running:
        yield running


@pytest.fixture
def bucket(endpoint, tmp_path, monkeypatch):
    """An empty bucket, an empty cache, and the environment that names both."""
    made = object_store.make_bucket(endpoint, tmp_path / "cache")
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def fetch(address, **options):
    return copies.fetch(Address.parse(address), **options)


def read(folder):
    """Returns {path: content} of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def requests(endpoint):
    """Returns a proxy that cuts nothing, and notes what is asked for."""
    return object_store.Cutting(port=int(endpoint.rpartition(":")[2]), after=0, times=0)


def gzipped(digits, folder):
    for path in digits.iterdir():
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))


def as_csv(_, folder):
    rows = np.column_stack([PIXELS, np.arange(10)])
    np.savetxt(folder / "digits.csv", rows, fmt="%d", delimiter=",")


def as_parquet(_, folder):
    write_parquet(folder / "train.parquet", PIXELS.reshape(10, 8, 8), range(10))


def as_npz(_, folder):
    np.savez(folder / "digits.npz", x_train=PIXELS.reshape(10, 8, 8), y_train=np.arange(10))


def as_pictures(_, folder):
    for label in range(10):
        (folder / str(label)).mkdir()
        (folder / str(label) / "one.png").write_bytes(png(PIXELS[label].reshape(8, 8)))


@pytest.mark.parametrize(
    "write",
    [
        lambda digits, folder: shutil.copytree(digits, folder, dirs_exist_ok=True),
        gzipped,
        as_csv,
        as_parquet,
        as_npz,
        as_pictures,
    ],
    ids=["idx", "idx.gz", "csv", "parquet", "npz", "pictures"],
)
def test_data_of_every_form_is_what_it_is_on_a_disk(write, bucket, digits_folder, tmp_path):
    folder = tmp_path / "local"
    folder.mkdir()
    write(digits_folder, folder)
    address = bucket.put_folder("some/data", folder)
    assert read(fetch(address)) == read(folder)
    here, there = (in_process("data", "inspect", place, "--json") for place in (folder, address))
    assert there.code == here.code, there.err
    shown = [answer.json if answer.out else answer.err for answer in (here, there)]
    assert json.dumps(shown[1]).replace(address, str(folder)) == json.dumps(shown[0])


def test_pictures_are_imported_and_the_import_says_from_where(bucket, digits_folder, tmp_path):
    as_pictures(digits_folder, tmp_path)
    address = bucket.put_folder("pictures", tmp_path)
    answer = in_process("data", "import", address, "--to", tmp_path / "idx", "--json")
    assert answer.json["rows"] == {"train": 10}
    assert json.loads((tmp_path / "idx" / "import.json").read_bytes())["source"] == address


def test_an_object_goes_by_itself_and_beside_a_file(bucket, digits_folder):
    images, labels = sorted(digits_folder.iterdir())
    copy = fetch(bucket.put(f"d/{images.name}", images))
    assert discovery.discover([copy, labels]).parts[0].files == (copy, labels)
    assert copy.read_bytes() == images.read_bytes()


def test_what_did_not_change_is_listed_and_not_fetched_again(bucket, endpoint, monkeypatch):
    address = f"s3://{bucket.name}/d"
    for number in range(3):
        bucket.put(f"d/{number}", b"old")
    proxy = requests(endpoint)
    with proxy.running() as through:
        monkeypatch.setenv("AWS_ENDPOINT_URL", through)
        folder = fetch(address)
        first = len(proxy.requests)
        fetch(address)
        assert [line for line in proxy.requests[first:] if "list-type" not in line and "HEAD" not in line] == []
        bucket.put("d/1", b"new")
        bucket.client.delete_object(Bucket=bucket.name, Key="d/2")
        before = len(proxy.requests)
        assert read(fetch(address)) == {"0": b"old", "1": b"new"}
    fetched = [line.split()[1] for line in proxy.requests[before:] if "list-type" not in line and "HEAD" not in line]
    assert fetched == [f"/{bucket.name}/d/1"]
    assert read(folder) == {"0": b"old", "1": b"new"}


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"ol2"), lambda path: path.unlink()])
def test_a_copy_that_somebody_touched_is_fetched_again(spoil, bucket):
    folder = fetch(f"{bucket.put('d/one', b'old')}".rpartition("/")[0])
    spoil(folder / "one")
    assert read(fetch(f"s3://{bucket.name}/d")) == {"one": b"old"}


def test_a_connection_that_breaks_is_taken_up_where_it_ended(bucket, endpoint, monkeypatch):
    content = os.urandom(3_000_000)
    address = bucket.put("large", content)
    cutting = object_store.Cutting(port=int(endpoint.rpartition(":")[2]), after=1_500_000, times=2)
    with cutting.running() as through:
        monkeypatch.setenv("AWS_ENDPOINT_URL", through)
        assert fetch(address).read_bytes() == content
    assert any(line.startswith("Range: bytes=1") for line in cutting.requests)


def test_a_fetch_that_failed_leaves_nothing_half_and_goes_on_later(bucket, endpoint, monkeypatch):
    monkeypatch.setattr(copies, "PAUSE_S", 0.0)
    content = os.urandom(3_000_000)
    address = bucket.put("d/large", content)
    bucket.put("d/small", b"small")
    cutting = object_store.Cutting(port=int(endpoint.rpartition(":")[2]), after=1_500_000, times=1)
    with cutting.running() as through:
        monkeypatch.setenv("AWS_ENDPOINT_URL", through)
        monkeypatch.setattr(copies, "ATTEMPTS", 0)
        with pytest.raises(EnvironmentProblem, match="breaks off again and again"):
            fetch(f"s3://{bucket.name}/d/")
        (place,) = (Path(os.environ[CACHE]) / copy_paths.FOLDER).iterdir()
        assert not (place / "s3" / bucket.name / "d" / "large").exists()
        first = len(cutting.requests)
        assert read(fetch(f"s3://{bucket.name}/d/")) == {"large": content, "small": b"small"}
    assert any(line.startswith("Range: bytes=1") for line in cutting.requests[first:])
    assert not (place / "parts").exists()
    assert address


@pytest.mark.parametrize("change", ["deleted", "overwritten"])
def test_an_object_that_changes_after_it_was_listed_is_refused(change, bucket):
    address = Address.parse(bucket.put("d/one", b"old"))
    store = open_store(address)
    place = copies._Place(folder=Path(os.environ[CACHE]) / "x", address=address)
    place.parts.mkdir(parents=True)
    listed = copies._listed(store, address, 1)
    if change == "deleted":
        bucket.client.delete_object(Bucket=bucket.name, Key="d/one")
    else:
        bucket.put("d/one", b"new")
    with pytest.raises(BadInput, match="changed while it was being fetched"):
        copies._Fetching(store, place, lambda *_: None).bring(listed)
    assert not (place.bucket / "d" / "one").exists()


def test_a_listing_has_pages_and_an_end(bucket, monkeypatch):
    names = {f"d/{number:04}" for number in range(1002)}
    # A thousand requests take moto ten seconds.
    from moto.s3.models import s3_backends

    for name in names:
        s3_backends["123456789012"]["aws"].put_object(bucket.name, name, b"")
    store, address = open_store(Address.parse(f"s3://{bucket.name}")), Address.parse(f"s3://{bucket.name}/d")
    assert {one.key for one in copies._listed(store, address, 1)} == names
    monkeypatch.setattr(copies, "MOST", 1001)
    with pytest.raises(BadInput, match="too many objects: wanted at most 1001"):
        copies._listed(store, address, 1)


def test_more_objects_than_are_fetched_at_a_time_are_all_fetched(bucket):
    wanted = {f"{number:02}": os.urandom(100) for number in range(3 * PARALLEL)}
    for name, content in wanted.items():
        bucket.put(f"d/{name}", content)
    seen = []
    assert read(fetch(f"s3://{bucket.name}/d", show=lambda *progress: seen.append(progress))) == wanted
    assert seen[0] == (f"listing s3://{bucket.name}/d", 0, 0)
    assert seen[-1] == (f"fetching s3://{bucket.name}/d", 2400, 2400)


def test_of_spans_the_newest_are_fetched_and_nothing_of_the_others(bucket, digits_folder):
    for day in ("2026-01-30", "2026-01-31", "2026-02-01"):
        bucket.put_folder(f"days/{day}", digits_folder)
    bucket.put("days/2026-02-02.tmp/x", b"no span")
    pattern = fetch(f"s3://{bucket.name}/days/{{YYYY}}-{{MM}}-{{DD}}/", count=2)
    assert sorted(os.listdir(pattern.parent)) == ["2026-01-31", "2026-02-01"]
    found = discovery.discover_spans(source_spans(pattern, 2))
    assert [span.name for span in found.spans] == ["2026-01-31", "2026-02-01"]


def source_spans(pattern, count):
    from components.ingest import spans

    return spans.newest(str(pattern), count)


def test_no_span_is_said_with_what_there_is(bucket):
    bucket.put("days/other/x", b"")
    with pytest.raises(BadInput, match=r"days/span-\{SPAN\}: no span matches"):
        fetch(f"s3://{bucket.name}/days/span-{{SPAN}}")


def test_the_note_of_sources_names_objects_and_versions_and_nothing_secret(bucket, digits_folder, tmp_path):
    folder = fetch(bucket.put_folder("digits", digits_folder))
    files = discovery.discover([folder])
    properties = {"source": source.parts_to_json(files.parts), "form": "idx"}
    settings = DataSettings(shape=(8, 8), pixel_max=16).to_json()
    resolved = source.resolve({**properties, "settings": settings}, tmp_path / "root")
    place = tmp_path / "root" / resolved["input_base"]
    noted = {entry["name"]: entry for entry in source.read_sources(place / source.SOURCES)}
    told = json.loads((place / source.SOURCES).read_bytes())["sources"]
    assert noted["train-images"]["path"] == f"s3://{bucket.name}/digits/train-images-idx3-ubyte"
    versions = bucket.client.list_object_versions(Bucket=bucket.name)["Versions"]
    assert {entry["version"] for entry in told} == {one["VersionId"] for one in versions}
    assert {entry["etag"] for entry in told} == {one["ETag"].strip('"') for one in versions}
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert object_store.SECRET.encode() not in everything
    assert b"AKIDOFTHETESTS" not in everything


def test_a_copy_that_is_not_what_was_fetched_is_not_said_to_come_from_there(bucket, digits_folder):
    folder = fetch(bucket.put_folder("digits", digits_folder))
    with pytest.raises(BadInput, match="a copy is not what was fetched"):
        origins.noted(folder / "train-images-idx3-ubyte", "0" * 64)


def test_what_is_printed_names_addresses(tmp_path):
    path = tmp_path / copy_paths.FOLDER / ("0" * 32) / "s3" / "bucket" / "some" / "key"
    assert copy_paths.address_of(path) == "s3://bucket/some/key"
    assert copy_paths.readable(f"{path}: no, '{path}'") == "s3://bucket/some/key: no, 's3://bucket/some/key'"
    assert copy_paths.readable(f"/remote/{'0' * 31}/s3/x") == f"/remote/{'0' * 31}/s3/x"


def refused(address):
    answer = in_process("data", "inspect", address)
    assert "\n" not in answer.err
    return answer.code, answer.err


def test_what_is_not_there_is_said_with_what_is(bucket):
    bucket.put("digits/one", b"")
    code, said = refused(f"s3://{bucket.name}/digit")
    assert code == 2
    assert said.endswith(f"did you mean s3://{bucket.name}/digits?")
    code, said = refused("s3://no-such-bucket/digits")
    assert (code, said.partition(": wanted")[0]) == (2, "s3://no-such-bucket/digits: no such bucket")


def test_a_store_out_of_reach_is_the_environment(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{object_store.SECRET}@127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    code, said = refused(f"s3://{bucket.name}/d")
    assert (code, object_store.SECRET in said) == (4, False)
    assert "the store cannot be reached" in said


def test_a_profile_that_is_not_there_is_the_environment(bucket, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    code, said = refused(f"s3://{bucket.name}/d")
    assert code == 4
    assert "got The config profile (nobody) could not be found" in said


def test_a_key_that_the_store_does_not_know_is_the_environment(bucket, endpoint):
    import requests

    address = bucket.put("d/one", b"")
    requests.post(f"{endpoint}/moto-api/reset-auth", data=b"0", timeout=10)
    try:
        code, said = refused(address)
    finally:
        requests.post(f"{endpoint}/moto-api/reset-auth", data=b"1000000000", timeout=10)
    assert (code, object_store.SECRET in said) == (4, False)
    assert "the store does not let us read" in said


def test_a_missing_package_is_named(bucket, monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "pipeline.datasets.stores.s3", raising=False)
    monkeypatch.setitem(sys.modules, "boto3", None)
    code, said = refused(f"s3://{bucket.name}/d")
    assert (code, "a package that reads this store is not installed: wanted boto3" in said) == (4, True)


def test_a_full_disk_is_said_before_anything_is_fetched(bucket, monkeypatch):
    address = bucket.put("d/one", b"12345")
    usage = namedtuple("usage", "total used free")(10, 6, 4)  # noqa: PYI024  # as shutil's own
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    code, said = refused(address)
    assert code == 4
    assert "no space left: wanted 5 bytes, got 4 bytes free" in said
    assert CACHE in said


@pytest.mark.parametrize("key", ["d//one", "d/../one", "d/./one", f"d/{'n' * 256}"])
def test_keys_that_no_file_can_have_are_refused(key, bucket):
    bucket.put(key, b"")
    with pytest.raises(BadInput, match="no file can have such a key"):
        fetch(f"s3://{bucket.name}/d")


def test_an_object_beside_a_prefix_of_its_name_is_refused(bucket):
    bucket.put("d/one", b"")
    bucket.put("d/one/two", b"")
    with pytest.raises(BadInput, match="an object and a prefix have one name"):
        fetch(f"s3://{bucket.name}/d/")


@pytest.mark.parametrize(
    "address",
    [
        "https://bucket.s3.amazonaws.com/d?X-Amz-Signature=secret",
        "s3a://bucket/secret",
        "minio://bucket/secret",
        "ftp://secret@host/x",
        "s3://key:secret@bucket/d",
    ],
)
def test_other_addresses_are_refused_without_repeating_what_may_be_secret(address):
    code, said = refused(address)
    assert (code, "secret" in said) == (2, False)
    assert "wanted s3://bucket/prefix, gs://bucket/prefix or hdfs://" in said


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--root", "s3://bucket/root"),
        ("lineage", "audit", "--root", "s3://bucket/root"),
        ("serve", "--root", "gs://bucket/root"),
    ],
)
def test_a_root_in_a_store_is_refused_with_the_reason(command):
    answer = in_process(*command)
    assert answer.code == 2
    assert "an address in a store" in answer.err
    assert "locks and atomic renames, which object stores do not have; only --data is read from there" in answer.err


def test_an_address_is_read_as_it_is_written():
    for text in ("s3://bucket/a b/c?d#e", "gs://bucket/", "hdfs://namenode:8020/x"):
        assert str(Address.parse(text)) == text
    assert Address.parse("S3://bucket").scheme == "s3"
