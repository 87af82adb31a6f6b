"""Files and trees -> digests: what counts, what is never opened, and what is an error and no empty tree."""

import itertools
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.digest import (
    MerkleFrontier,
    content_entry,
    file_entry,
    is_provenance,
    leaf_hashes,
    merkle_root,
    subtree_roots,
    tree_digest,
    tree_files,
    tree_manifest,
)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "a").write_text("a")
    (tmp_path / "below" / "b").write_text("b")
    return tmp_path


def test_a_tree_that_is_not_there_has_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError):
        tree_digest(tmp_path / "none")


def test_a_folder_that_cannot_be_read_is_an_error_and_not_an_empty_one(tree, monkeypatch):
    def refuse(path, scandir=os.scandir):
        if os.path.basename(path) == "below":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    with pytest.raises(PermissionError, match="below"):
        tree_files(tree)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "fifo"),
        (lambda path: os.mknod(path, stat.S_IFSOCK | 0o600), "socket"),
    ],
)
def test_what_is_no_file_is_named_and_never_opened(tree, make, kind):
    before = tree_digest(tree)
    make(tree / "below" / "special")
    assert tree_manifest(tree)["below/special"] == {"special": kind}
    assert tree_digest(tree) != before


def test_a_device_is_named_and_never_opened():
    assert file_entry("/dev/zero") == {"special": "character device"}


def test_a_link_is_told_and_only_content_follows_it(tree):
    (tree / "link").symlink_to("a")
    assert file_entry(tree / "link") == {"symlink": "a"}
    assert content_entry(tree / "link") == file_entry(tree / "a")


def test_files_are_in_the_order_of_their_names_bytes(tmp_path):
    for name in ("a.b", "a-b", "é", "b", "\U0001f600", "\uffee"):
        (tmp_path / name).touch()
    assert tree_files(tmp_path) == sorted(tree_files(tmp_path), key=str.encode)


@pytest.mark.parametrize("folder", ["", "Format-Serving/"])
def test_provenance_leaves_the_digest_of_any_artifact_alone(tree, folder):
    before = tree_digest(tree)
    (tree / folder / "assets.extra").mkdir(parents=True)
    (tree / folder / "assets.extra" / "provenance.json").write_text("{}")
    assert is_provenance(f"{folder}assets.extra/provenance.json")
    assert tree_digest(tree) == before


@given(leaves=st.lists(st.binary(max_size=4), max_size=70), cuts=st.lists(st.integers(0, 70), max_size=6))
def test_a_tree_from_pieces_is_the_tree_over_all_leaves(leaves, cuts):
    tree, places = MerkleFrontier(), sorted({0, len(leaves), *(min(cut, len(leaves)) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        for level, root in subtree_roots(leaf_hashes(leaves[start:end]), start):
            tree.add(level, root)
    assert tree.root() == merkle_root(leaves)


@given(size=st.integers(0, 5000), cuts=st.lists(st.integers(0, 5000), max_size=6))
def test_the_blocks_of_a_tree_from_pieces_are_the_roots_over_a_thousand_leaves_each(size, cuts):
    leaves, places = [bytes([number % 251]) for number in range(size)], sorted({0, size, *(min(c, size) for c in cuts)})
    tree = MerkleFrontier()
    for start, end in itertools.pairwise(places):
        for level, root in subtree_roots(leaf_hashes(leaves[start:end]), start):
            tree.add(level, root)
    blocks = [merkle_root(leaves[start : start + 1024]) for start in range(0, size, 1024)]
    assert [block.hex() for block in tree.blocks()] == blocks
    assert tree.root() == merkle_root(leaves)


def test_a_piece_adds_at_most_two_roots_for_each_level():
    roots = subtree_roots(leaf_hashes([b"leaf"] * 1000), 12_345)
    assert len(roots) <= 2 * (1000).bit_length()
    assert sum(1 << level for level, _ in roots) == 1000


def test_a_subtree_that_cannot_come_next_is_refused():
    tree = MerkleFrontier()
    tree.add(0, bytes(32))
    with pytest.raises(ValueError, match="after 1 leaves there is no subtree of 2"):
        tree.add(1, bytes(32))
    with pytest.raises(ValueError, match="after 0 leaves there is no subtree of 2048"):
        MerkleFrontier().add(11, bytes(32))
