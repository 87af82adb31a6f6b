"""The row index of an artifact comes from the parts that writers leave, and its digests from buckets of rows."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.digest import merkle_root
from components.errors import EnvironmentProblem
from components.features import SPLITS
from components.ingest import row_index
from components.ingest.row_index import ALL, IndexPart, buckets_of, nodes_of, trees_of, write_index
from components.ingest.rows import INDEX, by_digest, first_prefix, shard_numbers


def index_of(digests):
    index = np.zeros(len(digests), INDEX)
    index["row"] = np.frombuffer(b"".join(digests), "V32")
    index["label"] = np.arange(len(digests))
    return by_digest(index)


def write_parts(folder, split, index, shards):
    numbers, parts = shard_numbers(index, shards), []
    for shard in range(shards):
        own = index[numbers == shard]
        (folder / f"{split}-{shard}").write_bytes(own.tobytes())
        parts.append(IndexPart(file=f"{split}-{shard}", rows=len(own)))
    return parts


# Few first bytes, and none but two others: many that are equal, or equal for a while.
DIGESTS = st.builds(
    lambda first, last: first + bytes(27) + last,
    st.binary(min_size=4, max_size=4) | st.sampled_from([bytes(4), b"\xff" * 4]),
    st.sampled_from([b"\0", b"\1"]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.sampled_from(SPLITS), DIGESTS), max_size=40),
    shards=st.integers(1, 5),
    rows_of=st.integers(1, 50),
)
def test_digests_from_buckets_are_those_of_the_whole(tmp_path, monkeypatch, rows, shards, rows_of):
    monkeypatch.setattr(row_index, "BUCKET_ROWS", rows_of)
    digests = {split: [digest for own, digest in rows if own == split] for split in SPLITS}
    parts = {
        split: write_parts(tmp_path, split, index_of(own), shards + at)
        for at, (split, own) in enumerate(digests.items())
    }
    trees = trees_of(nodes_of(tmp_path, bucket) for bucket in buckets_of(parts))
    assert {name: tree.root() for name, tree in trees.items()} == {
        **{split: merkle_root(sorted(own)) for split, own in digests.items()},
        ALL: merkle_root(sorted(digest for _, digest in rows)),
    }


def test_the_index_is_the_file_that_numpy_writes(tmp_path):
    index = index_of([bytes([number % 256, *([7] * 31)]) for number in range(0, 5000, 17)])
    parts = write_parts(tmp_path, "train", index, 3)
    write_index(tmp_path, parts, tmp_path / "train.npy")
    np.save(tmp_path / "whole.npy", index)
    assert (tmp_path / "train.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


@pytest.mark.parametrize("shards", [1, 3, 16, 1000])
def test_a_shard_begins_at_the_first_prefix_of_its_number(shards):
    for shard in {0, 1, shards // 2, shards - 1} & set(range(shards)):
        first = first_prefix(shard, shards)
        digests = [prefix.to_bytes(4, "big") + bytes(28) for prefix in (max(0, first - 1), first)]
        rows = np.zeros(2, INDEX)
        rows["row"] = np.frombuffer(b"".join(digests), "V32")
        assert shard_numbers(rows, shards).tolist() == [max(0, shard - 1), shard]


@pytest.mark.parametrize("content", [None, bytes(71)])
def test_a_part_that_is_not_here_is_missed(tmp_path, content):
    if content is not None:
        (tmp_path / "part").write_bytes(content)
    [bucket] = buckets_of({"train": [IndexPart(file="part", rows=1)]})
    with pytest.raises(EnvironmentProblem, match="workers on other machines must see the pipeline's root"):
        nodes_of(tmp_path, bucket)
