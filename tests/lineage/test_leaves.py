"""The rows of several indexes are one ascending sequence, whatever pieces they are read in, and the tree over them is its own."""

import hashlib

import numpy as np
import pytest
from lineage.audited_root import row_index

from components.digest import merkle_root
from components.errors import EnvironmentProblem
from components.ingest.rows import INDEX, by_digest
from pipeline.lineage.rows import leaves
from pipeline.lineage.rows.leaves import Leaves, RowTree
from pipeline.lineage.rows.merkle import Tree
from pipeline.provenance.row_file import RowFile

SPLITS = {"train": range(70), "validation": [*range(70, 90), 3, 3], "test": [*range(90, 120), 3]}
"""One row is in all three, and in one of them twice."""


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(leaves, "PIECE", 10)
    monkeypatch.setattr(leaves, "_KEPT", 2)


@pytest.fixture(params=[["train"], ["train", "validation"], ["validation", "test", "train"], ["train", "empty"]])
def files(request, tmp_path):
    result = []
    for split in request.param:
        numbers = SPLITS.get(split)
        np.save(tmp_path / f"{split}.npy", by_digest(row_index(numbers)) if numbers else np.zeros(0, INDEX))
        result.append(RowFile(tmp_path / f"{split}.npy"))
    return result


@pytest.fixture
def wanted(files):
    return sorted(digest for file in files for digest in file.row_digests())


def test_leaves_are_the_rows_of_all_files_in_order(files, wanted):
    found = Leaves(files)
    assert len(found) == len(wanted)
    assert list(found) == found[:] == wanted
    assert [found[start : start + 7] for start in range(0, 140, 7)] == [
        wanted[start : start + 7] for start in range(0, 140, 7)
    ]
    assert (found[-1], found[5:50:9], found[200:]) == (wanted[-1], wanted[5:50:9], [])
    with pytest.raises(IndexError):
        _ = found[len(wanted)]


def test_the_tree_over_files_proves_what_the_tree_over_their_rows_does(files, wanted):
    over_files, over_rows = RowTree(files), Tree(wanted)
    nowhere = hashlib.sha256(b"nowhere").digest()
    assert over_files.root.hex() == merkle_root(wanted)
    assert over_files.absence(nowhere) == over_rows.absence(nowhere)
    assert over_files.size_proof() == over_rows.size_proof()
    assert [over_files.inclusion(i) for i in range(len(wanted))] == [over_rows.inclusion(i) for i in range(len(wanted))]
    assert [over_files.place(leaf) for leaf in wanted] == [wanted.index(leaf) for leaf in wanted]


def test_a_tree_from_blocks_reads_no_leaf_until_it_is_asked_for_one_and_proves_the_same():
    leaves = [hashlib.sha256(bytes([number])).digest() for number in range(37)]
    whole = Tree(leaves, height=3)
    blocks = [bytes.fromhex(merkle_root(leaves[start : start + 8])) for start in range(0, 37, 8)]

    class Counted(list):
        read = 0

        def __getitem__(self, index):
            Counted.read += 1
            return super().__getitem__(index)

    tree = Tree(Counted(leaves), blocks, height=3)
    assert (tree.root, Counted.read) == (whole.root, 0)
    assert [tree.inclusion(index) for index in range(37)] == [whole.inclusion(index) for index in range(37)]
    assert tree.size_proof() == whole.size_proof()


def test_blocks_of_other_leaves_prove_nothing():
    leaves = [bytes([number]) for number in range(20)]
    blocks = [bytes.fromhex(merkle_root(leaves[start : start + 8])) for start in range(0, 20, 8)]
    others = Tree([*leaves[:10], b"other", *leaves[11:]], blocks, height=3)
    assert others.inclusion(3).proves(20, bytes.fromhex(merkle_root(leaves)))
    with pytest.raises(EnvironmentProblem, match="rows from 8: the rows are not those of their Merkle tree"):
        others.inclusion(11)
    with pytest.raises(ValueError, match="20 leaves have 3 blocks, not 2"):
        Tree(leaves, blocks[:2], height=3)


def test_digests_that_begin_alike_are_one_piece(tmp_path):
    rows = row_index(range(50))
    raw = rows.view(np.uint8).reshape(50, -1)
    raw[:, :4] = 7
    np.save(tmp_path / "train.npy", by_digest(rows))
    file = RowFile(tmp_path / "train.npy")
    assert list(Leaves([file])) == list(file.row_digests())
