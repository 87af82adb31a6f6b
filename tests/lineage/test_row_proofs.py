"""Row proofs hold for what is so and for nothing else: trees of every shape, files, pictures, and the commands."""

import copy
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import mnist_tfx
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.digest import merkle_root
from components.errors import BadInput, CannotTell, EnvironmentProblem
from components.features import SPLITS
from components.ingest import idx
from pipeline.lineage.impact import impact_of_picture
from pipeline.lineage.index import open_lineage
from pipeline.lineage.rows import proofs
from pipeline.lineage.rows.images import Picture, exact
from pipeline.lineage.rows.index import ALL, open_index
from pipeline.lineage.rows.merkle import Absence, Inclusion, SizeProof, Tree
from pipeline.lineage.rows.usage import ImageQuery, find_picture, index_of
from pipeline.lineage.trace import trace

LARGEST = 200


def leaves_of(size):
    """Returns `size` distinct digests in ascending order."""
    return sorted(hashlib.sha256(str(number).encode()).digest() for number in range(size))


def flipped(data):
    return bytes([data[0] ^ 1]) + data[1:]


def from_the_rfc(leaves):
    """The root as RFC 6962 section 2.1 words it: split at the largest power of two, and recurse."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + from_the_rfc(leaves[:middle]) + from_the_rfc(leaves[middle:])).digest()


# Blocks of eight leaves, of which large trees have a thousand.
TREES = {size: Tree(leaves_of(size), height=3) for size in range(1, LARGEST + 1)}
often = settings(deadline=None, max_examples=200)
sizes = st.integers(1, LARGEST)
digests = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("size", TREES)
def test_every_leaf_of_every_tree_is_proven_to_be_there(size):
    tree = TREES[size]
    assert tree.root.hex() == merkle_root(tree.leaves)
    assert tree.root == from_the_rfc(tree.leaves)
    assert all(tree.inclusion(index).proves(size, tree.root) for index in range(size))
    assert tree.size_proof().proves(tree.root)
    assert tree.size_proof().size == size


@pytest.mark.parametrize("size", TREES)
def test_no_other_index_or_root_goes_with_a_proof(size):
    tree = TREES[size]
    for index in {0, size // 3, size // 2, size - 1}:
        proof = tree.inclusion(index)
        others = [other for other in range(-1, size + 2) if other != index]
        assert not any(replace(proof, index=other).proves(size, tree.root) for other in others)
        assert not proof.proves(size, flipped(tree.root))
    # A path alone may fit several sizes, which RFC 9162 leaves to the tree head; here the size proof tells.
    assert tree.size_proof().size == size


@often
@given(size=sizes, data=st.data())
def test_a_changed_leaf_or_path_proves_nothing(size, data):
    tree = TREES[size]
    proof = tree.inclusion(data.draw(st.integers(0, size - 1)))
    assert not replace(proof, leaf=flipped(proof.leaf)).proves(size, tree.root)
    assert not replace(proof, path=(*proof.path, tree.root)).proves(size, tree.root)
    if proof.path:
        at = data.draw(st.integers(0, len(proof.path) - 1))
        changed = (*proof.path[:at], flipped(proof.path[at]), *proof.path[at + 1 :])
        assert not replace(proof, path=changed).proves(size, tree.root)
        assert not replace(proof, path=proof.path[:at] + proof.path[at + 1 :]).proves(size, tree.root)


@often
@given(size=sizes, other=sizes, data=st.data())
def test_a_size_proof_cannot_be_bent_to_another_size(size, other, data):
    tree, proof = TREES[size], TREES[size].size_proof()
    assert proof.proves(TREES[other].root) == (size == other)
    if proof.subtrees:
        at = data.draw(st.integers(0, len(proof.subtrees) - 1))
        first, path = proof.subtrees[at]
        for subtree in ((first, (*path, path[-1] if path else first)), (first, path[:-1]), (flipped(first), path)):
            bent = replace(proof, subtrees=(*proof.subtrees[:at], subtree, *proof.subtrees[at + 1 :]))
            assert bent == proof or not bent.proves(tree.root)
        assert not replace(proof, subtrees=proof.subtrees[:at] + proof.subtrees[at + 1 :]).proves(tree.root)


@often
@given(size=sizes, digest=digests)
def test_what_is_no_leaf_is_proven_absent(size, digest):
    tree = TREES[size]
    assert tree.absence(digest).proves(digest, size, tree.root)


@often
@given(size=sizes, data=st.data())
def test_no_two_leaves_prove_a_present_one_absent(size, data):
    tree = TREES[size]
    index = data.draw(st.integers(0, size - 1))
    here = tree.leaves[index]
    with pytest.raises(ValueError, match=f"leaf {index}"):
        tree.absence(here)
    ends = st.one_of(st.none(), st.integers(0, size - 1).map(tree.inclusion))
    claimed = Absence(before=data.draw(ends), after=data.draw(ends))
    assert not claimed.proves(here, size, tree.root)
    # Not even with indices that were made up to look like neighbours.
    if claimed.before is not None and claimed.after is not None:
        forged = replace(claimed, after=replace(claimed.after, index=claimed.before.index + 1))
        assert not forged.proves(here, size, tree.root)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 200])
def test_around_a_present_leaf_every_forged_gap_fails(size):
    tree = TREES[size]
    for index, here in enumerate(tree.leaves):
        before = tree.inclusion(index - 1) if index else None
        after = tree.inclusion(index + 1) if index + 1 < size else None
        for claimed in (Absence(before=before, after=after), Absence(before=before, after=None)):
            assert not claimed.proves(here, size, tree.root)
        if after is not None:
            shifted = Absence(before=before, after=replace(after, index=index))
            assert not shifted.proves(here, size, tree.root)


@often
@given(size=sizes, digest=digests, data=st.data())
def test_an_absence_proves_no_digest_outside_its_gap(size, digest, data):
    tree = TREES[size]
    gap = tree.absence(digest)
    other = data.draw(digests)
    low = b"" if gap.before is None else gap.before.leaf
    high = b"\xff" * 33 if gap.after is None else gap.after.leaf
    assert gap.proves(other, size, tree.root) == (low < other < high)


@often
@given(size=sizes, digest=digests)
def test_proofs_are_json_and_come_back(size, digest):
    tree = TREES[size]
    for proof in (tree.inclusion(size // 2), tree.absence(digest), tree.size_proof()):
        assert type(proof).from_dict(json.loads(json.dumps(proof.to_dict()))) == proof


def test_of_equal_leaves_each_is_proven_and_the_gaps_beside_them_too():
    one, two, three = leaves_of(3)
    tree = Tree([one, two, two, two, three])
    assert all(tree.inclusion(index).proves(5, tree.root) for index in range(5))
    between = two[:-1] + bytes([two[-1] ^ 1])
    assert tree.absence(between).proves(between, 5, tree.root)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        [],
        {"leaf": "00", "index": 0, "path": []},
        {"leaf": "0" * 64, "index": True, "path": []},
        {"leaf": "0" * 64, "index": "0", "path": []},
        {"leaf": "0" * 64, "index": 0, "path": "0" * 64},
        {"leaf": "0" * 64, "index": 0, "path": ["A" * 64]},
        {"leaf": "0" * 64, "index": 0, "path": [], "more": 1},
    ],
)
def test_what_is_no_proof_is_refused_in_one_line(fields):
    with pytest.raises(BadInput):
        Inclusion.from_dict(fields)


# --- proofs about images, on a root that a run has left ---


@pytest.fixture
def run_root(first_run, tmp_path):
    """A copy of the run's root, to do with as one likes."""
    return Path(shutil.copytree(first_run[0], tmp_path / "root", symlinks=True))


@pytest.fixture(scope="module")
def digits(digits_folder):
    """Images uint8 [1797, 8, 8] and labels of the digits, in the order of the files."""
    images, labels = sorted(digits_folder.iterdir())
    [chunk] = idx.iter_chunks(images, labels, rows=10_000)
    return chunk.pixels.reshape(-1, 8, 8), chunk.labels


@pytest.fixture(scope="module")
def history(first_run):
    return open_lineage(first_run[0])


@pytest.fixture(scope="module")
def index(history):
    [step] = [step for _, step in trace(history).steps if step.data is not None]
    return open_index(history.root, step)


def picture_of(image):
    return Picture(height=8, width=8, pixels=image.astype(np.uint8).tobytes())


def opened(root):
    [step] = open_lineage(root).ingests
    return open_index(root, step)


def never_seen():
    return picture_of(np.full((8, 8), 7))


def as_png(image, path, mode="L"):
    Image.fromarray(np.asarray(image, np.uint8)).convert(mode).save(path)
    return path


@pytest.mark.e2e
@pytest.mark.parametrize("number", [0, 17, 1796])
def test_an_image_of_the_data_is_found_with_its_split_label_and_proof(history, digits, number):
    answer = impact_of_picture(history, find_picture(history, ImageQuery(index=number)), "it")
    [data_set], [model], [proof] = answer.compared, answer.models, answer.proofs
    [found] = data_set.occurrences
    assert answer.answer == "yes"
    assert found.label == digits[1][number]
    assert (model.uses, model.served) == ((found.split,), True)
    root = bytes.fromhex(data_set.data_set.steps[0].data["splits"][found.split]["rows_digest"])
    assert (proof.claim, proof.split) == ("included", found.split)
    assert not list(proofs.faults(proof, root, picture_of(digits[0][number])))


@pytest.mark.e2e
def test_an_image_that_was_never_used_is_proven_absent_under_every_label(history):
    answer = impact_of_picture(history, never_seen(), "it")
    [data_set], [proof] = answer.compared, answer.proofs
    assert (answer.answer, answer.models) == ("no", ())
    assert "compared by pixels with all 1797 rows" in answer.basis[0]
    assert (proof.claim, proof.split, list(proof.rows)) == ("absent", "all", list(range(10)))
    assert not list(proofs.faults(proof, bytes.fromhex(data_set.data_set.rows_digest), never_seen()))


@pytest.mark.e2e
def test_a_row_of_one_split_is_absent_from_the_others(index, digits):
    picture = picture_of(digits[0][0])
    [found] = index.occurrences(picture.digest)
    claims = {split: proofs.prove(index, picture, split, 10).claim for split in (*index.splits, ALL)}
    assert claims == {**dict.fromkeys(index.splits, "absent"), found.split: "included", ALL: "included"}


@pytest.mark.e2e
def test_every_alteration_of_a_proof_file_is_found(index, digits, tmp_path):
    for picture in (picture_of(digits[0][5]), never_seen()):
        proof = proofs.prove(index, picture, ALL, 10)
        whole = proof.to_dict()
        for place in list(_places(whole)):
            changed = _altered(whole, place)
            file = tmp_path / "proof.json"
            file.write_text(json.dumps(changed))
            try:
                found = list(proofs.faults(proofs.read(file), proof.root, picture))
            except BadInput:
                continue
            assert found or place == ("split",), place


def _places(value, place=()):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _places(inner, (*place, number))
    elif value is not None:
        yield place


def _altered(whole, place):
    changed = copy.deepcopy(whole)
    inside = changed
    for name in place[:-1]:
        inside = inside[name]
    before = inside[place[-1]]
    swapped = {"included": "absent", "absent": "included", "all": "train"}
    inside[place[-1]] = (
        before + 1 if isinstance(before, int) else swapped.get(before, ("1" if before[0] == "0" else "0") + before[1:])
    )
    return changed


@pytest.mark.e2e
def test_a_proof_for_one_image_is_no_proof_for_another(index, digits):
    proof = proofs.prove(index, picture_of(digits[0][5]), ALL, 10)
    assert list(proofs.faults(proof, proof.root, picture_of(digits[0][6]))) == ["it is about another image"]


@pytest.mark.e2e
def test_a_proof_of_absence_that_leaves_a_label_out_does_not_hold(index):
    proof = proofs.prove(index, never_seen(), ALL, 10)
    without = replace(proof, rows={label: row for label, row in proof.rows.items() if label != 3})
    assert list(proofs.faults(without, proof.root)) == ["labels are left out"]


@pytest.mark.e2e
@pytest.mark.parametrize("split", [*SPLITS, ALL])
def test_ingest_keeps_the_blocks_of_each_tree(index, split):
    leaves = list(index.tree(split).leaves)
    wanted = [merkle_root(leaves[start : start + 1024]) for start in range(0, len(leaves), 1024)]
    data = (index.folder / f"{split}.blocks").read_bytes()
    assert [data[at : at + 32].hex() for at in range(0, len(data), 32)] == wanted


@pytest.mark.e2e
@pytest.mark.parametrize("damage", ["gone", "cut", "changed", "a folder"])
def test_without_the_blocks_that_ingest_kept_proofs_are_the_same(run_root, digits, damage):
    before = {split: proofs.prove(opened(run_root), picture_of(digits[0][5]), split, 10) for split in ("train", ALL)}
    [path] = (run_root / "artifacts" / "ExampleGen").rglob(f"row_index/{ALL}.blocks")
    data = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes(data[:-1] if damage == "cut" else bytes([data[0] ^ 1, *data[1:]]))
    after = {split: proofs.prove(opened(run_root), picture_of(digits[0][5]), split, 10) for split in ("train", ALL)}
    assert after == before


@pytest.mark.e2e
def test_a_changed_row_index_is_not_read(run_root):
    history = open_lineage(run_root)
    [step] = history.ingests
    [path] = (run_root / "artifacts" / "ExampleGen").rglob("row_index/train.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(EnvironmentProblem, match=r"train\.npy: row index was changed"):
        open_index(run_root, step)
    answer = impact_of_picture(history, never_seen(), "it")
    assert (answer.answer, answer.proofs) == ("cannot-tell", ())
    assert "row index was changed" in answer.unknown[0]
    with pytest.raises(CannotTell, match="nothing can be proven"):
        index_of(history, step)


@pytest.mark.e2e
def test_a_changed_copy_of_the_data_is_not_asked_for_rows(run_root):
    [copy_] = (run_root / "inputs").rglob("train-images")
    data = bytearray(copy_.read_bytes())
    data[-1] ^= 1
    copy_.write_bytes(data)
    with pytest.raises(CannotTell, match="the copy of the data was changed"):
        find_picture(open_lineage(run_root), ImageQuery(index=0))


@pytest.mark.e2e
def test_an_index_counts_in_the_files_that_are_named(history, digits, digits_folder, tmp_path):
    images, labels = sorted(digits_folder.iterdir())
    with_label = find_picture(history, ImageQuery(index=3, data=(labels, images)))
    assert with_label == replace(picture_of(digits[0][3]), label=int(digits[1][3]))
    assert find_picture(history, ImageQuery(index=3, data=(images,))) == picture_of(digits[0][3])
    csv = tmp_path / "some.csv"
    rows = [
        ",".join(map(str, [*image.ravel(), label])) for image, label in zip(digits[0][:9], digits[1][:9], strict=True)
    ]
    csv.write_text("\n".join(rows))
    assert find_picture(history, ImageQuery(index=8, data=(csv,))).pixels == picture_of(digits[0][8]).pixels


@pytest.mark.e2e
@pytest.mark.parametrize("asked", [ImageQuery(), ImageQuery(index=1797), ImageQuery(index=0, version=9)])
def test_what_names_no_image_is_refused(history, asked):
    with pytest.raises(BadInput):
        find_picture(history, asked)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_grey_png_is_read_whatever_its_mode(tmp_path, mode):
    image = np.arange(64).reshape(8, 8)
    assert exact(as_png(image, tmp_path / "x.png", mode)) == picture_of(image)


@pytest.mark.parametrize("form", ["png", "bmp", "gif", "tiff", "pgm"])
def test_every_lossless_format_gives_the_same_picture(tmp_path, form):
    image = np.arange(64).reshape(8, 8)
    assert exact(as_png(image, tmp_path / f"x.{form}")) == picture_of(image)


def test_of_a_picture_whose_grey_values_are_not_certain_it_cannot_be_told(tmp_path):
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[0, 0] = 1, 2, 3
    grey = Image.fromarray(colours[..., 0])
    Image.fromarray(colours).save(tmp_path / "colours.png")
    Image.fromarray(np.full((8, 8), 300, np.uint16)).save(tmp_path / "deep.png")
    grey.save(tmp_path / "photo.jpg")
    grey.save(tmp_path / "web.webp")
    grey.save(tmp_path / "two.gif", save_all=True, append_images=[Image.fromarray(colours[..., 1])])
    Image.fromarray(np.dstack([colours[..., 0]] * 2), "LA").save(tmp_path / "transparent.png")
    for path in tmp_path.iterdir():
        with pytest.raises(CannotTell, match=path.name):
            exact(path)


def test_a_damaged_picture_is_refused(tmp_path):
    whole = as_png(np.random.default_rng(0).integers(0, 256, (8, 8)), tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no image")
    for path in [*tmp_path.iterdir(), tmp_path / "nothing.png"]:
        with pytest.raises(BadInput, match=path.name):
            exact(path)


@pytest.mark.e2e
def test_from_a_picture_to_a_proof_that_stands_alone(first_run, digits, tmp_path):
    png, file = as_png(digits[0][0], tmp_path / "zero.png"), tmp_path / "proof.json"
    rows = mnist_tfx("lineage", "impact", png, "--root", first_run[0], "--json").json
    assert rows["models"][0]["uses"]
    proven = mnist_tfx("lineage", "prove", png, "-o", file, "--root", first_run[0], "--json")
    root_digest = proven.json["proof"]["root"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(file, elsewhere)
    check = ("lineage", "check-proof", elsewhere / "proof.json", "--root-digest")
    good = mnist_tfx(*check, root_digest, "--image", png, "--json")
    assert (good.code, good.json["faults"]) == (0, [])
    bad = mnist_tfx(*check, "0" * 64, "--json")
    assert (bad.code, bad.status) == (1, "findings")
    assert mnist_tfx(*check, "abc").code == 2
    assert "trained on" in mnist_tfx("lineage", "impact", png, "--root", first_run[0]).out or rows["models"][0][
        "uses"
    ] != ["train"]


@pytest.mark.e2e
def test_no_proof_is_written_about_an_image_of_another_size(first_run, tmp_path):
    png = as_png(np.full((28, 28), 3), tmp_path / "large.png")
    answer = mnist_tfx("lineage", "prove", png, "-o", tmp_path / "proof.json", "--root", first_run[0])
    assert (answer.code, (tmp_path / "proof.json").exists()) == (2, False)
    assert "this root's images are 8x8: got 28x28" in answer.err


@pytest.mark.e2e
def test_no_proof_is_written_about_a_photograph_or_without_a_row_index(run_root, digits, tmp_path):
    png, proof = as_png(digits[0][0], tmp_path / "zero.png"), tmp_path / "proof.json"
    Image.open(png).save(tmp_path / "zero.jpg")
    prove = ("lineage", "prove", "-o", proof, "--root", run_root)
    assert mnist_tfx(*prove, tmp_path / "zero.jpg").code == 5
    shutil.rmtree(run_root / "artifacts" / "ExampleGen")
    assert mnist_tfx(*prove, png).code == 5
    assert not proof.exists()


@pytest.mark.e2e
def test_the_root_of_a_proof_is_the_one_that_the_served_version_carries(first_run, index, digits):
    proof = proofs.prove(index, picture_of(digits[0][0]), ALL, 10)
    provenance = (first_run[0] / "serving" / "1" / "assets.extra" / "provenance.json").read_text()
    assert f'"merkleSha256":"{proof.root.hex()}"' in provenance


def test_a_size_proof_is_refused_when_malformed():
    with pytest.raises(BadInput):
        SizeProof.from_dict({"last": "0" * 64, "subtrees": [{"first": "0" * 64}]})
