"""Training rows near an image: what they are measured by, what is proven of them, and what cannot be told."""

import dataclasses
import shutil

import numpy as np
import pytest

from components.errors import CannotTell
from components.ingest import idx
from pipeline.lineage.rows import proofs
from pipeline.lineage.rows.images import Picture
from pipeline.lineage.rows.proofs import RowProof
from pipeline.predict import training_data
from pipeline.predict.answer import Model, choose
from pipeline.predict.nearest import HIDDEN, LATENT, Encoder, training_rows
from pipeline.report import example_rows
from pipeline.root.paths import RunPaths


@pytest.fixture(scope="module")
def version(first_run):
    return choose(first_run[0], 1)


@pytest.fixture(scope="module")
def model(version):
    return Model(version)


@pytest.fixture(scope="module")
def rows(first_run, version, model, tmp_path_factory):
    return training_rows(first_run[0], version, model.saved_model, tmp_path_factory.mktemp("scratch"), in_silence)


def in_silence(doing, done, total):
    """What nobody looks at."""


def image_of(rows, number):
    return np.array(rows.images[number]).reshape(8, 8)


def test_the_nearest_row_of_a_training_picture_is_itself(rows):
    for number in (0, 100, len(rows) - 1):
        first, second = rows.nearest(image_of(rows, number), count=2)
        assert first.image.tolist() == image_of(rows, number).tolist()
        assert first.label == rows.labels[number]
        assert first.distance < 1e-3 < second.distance


def test_its_proof_holds_for_the_root_that_is_served_and_for_no_other(rows):
    first = rows.nearest(image_of(rows, 3))[0]
    picture = Picture.of(first.image)
    assert not list(proofs.faults(first.proof, rows.root, picture))
    assert list(proofs.faults(first.proof, bytes(32), picture))


def test_a_tampered_proof_does_not_hold(rows):
    first = rows.nearest(image_of(rows, 3))[0]
    fields = first.proof.to_dict()
    fields["rows"][0]["proof"]["path"][0] = "0" * 64
    assert list(proofs.faults(RowProof.from_dict(fields), rows.root))


def test_a_row_that_the_served_provenance_does_not_vouch_for_is_not_shown(rows):
    with pytest.raises(CannotTell, match="not proven"):
        dataclasses.replace(rows, root=bytes(32)).nearest(image_of(rows, 3))


def test_a_row_has_its_number_in_the_data_file_that_was_given(rows, digits_folder):
    place = rows.nearest(image_of(rows, 5))[0].place
    given = next(path for path in digits_folder.iterdir() if path.name == place.file)
    labels = next(path for path in digits_folder.iterdir() if "labels" in path.name)
    chunk = next(idx.iter_chunks(given, labels, rows=10_000))
    assert chunk.pixels[place.row].tolist() == image_of(rows, 5).reshape(-1).tolist()
    assert place.number == place.row


def test_distances_are_those_of_the_autoencoders_own_latent_layer(first_run, rows):
    import tensorflow as tf

    (folder,) = (RunPaths(first_run[0]).artifacts / "Autoencoder" / "model").iterdir()
    encode = tf.saved_model.load(str(folder / "Format-Serving")).signatures["encode"]
    latent = encode(image_xf=tf.constant(rows.images[:9] / np.float32(16)))["latent"].numpy()
    assert rows.encoder.layer == LATENT
    np.testing.assert_allclose(rows.values[:9], latent, atol=1e-4)


def test_an_autoencoder_of_ones_own_leaves_the_classifiers_last_hidden_layer(model, rows):
    encoder = Encoder.of(model.saved_model, {"Autoencoder": {"build": "nets:build"}})
    assert encoder.layer == HIDDEN
    assert encoder(rows.images[:2]).shape == (2, 128)


def test_blocks_of_rows_are_the_rows(first_run, version):
    folder, _ = training_data.examples(first_run[0], version)
    whole = example_rows.read(folder, "train", 64)
    blocks = list(example_rows.blocks(folder, "train", 64, 500))
    assert [len(block) for block in blocks] == [500, 500, len(whole) - 1000]
    assert np.concatenate([block.images for block in blocks]).tolist() == whole.images.tolist()


def examples_file(root):
    folder, _ = training_data.examples(root, choose(root, 1))
    return next((folder / "Split-train").iterdir())


def gone(root):
    shutil.rmtree(examples_file(root).parent)


def changed(root):
    path = examples_file(root)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


@pytest.mark.parametrize(("harm", "why"), [(gone, "No such file"), (changed, "was changed since it was recorded")])
def test_without_the_rows_that_were_recorded_nothing_can_be_told(root, model, tmp_path, harm, why):
    harm(root)
    with pytest.raises(CannotTell, match=why):
        training_rows(root, choose(root, 1), model.saved_model, tmp_path, in_silence)


def test_without_the_data_files_rows_are_proven_but_have_no_number(root, model, tmp_path):
    (copy,) = RunPaths(root).root.glob("inputs/*/train-images")
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes()[:-1] + b"\7")
    found = training_rows(root, choose(root, 1), model.saved_model, tmp_path, in_silence)
    assert "the copy of the data was changed" in found.unplaced
    assert {one.place for one in found.nearest(image_of(found, 0))} == {None}
    assert not list(tmp_path.glob("rows-*"))
