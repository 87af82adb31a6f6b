"""How a data set is stored, by the mean of its images; an upright picture is turned the same way."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from components.ingest.idx import iter_chunks
from components.profile import profile
from components.settings import DataSettings
from pipeline.datasets import orientation

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"
EIGHT = DataSettings(shape=(8, 8), pixel_max=16)
DIGITS = load_digits()
UCI = DIGITS.images.astype(np.uint8)

STORED = {
    "upright": lambda images: images,
    "transposed (columns written as rows)": lambda images: images.transpose(0, 2, 1),
    "turned by 90 degrees to the left": lambda images: np.rot90(images, 1, axes=(1, 2)),
    "turned by 90 degrees to the right": lambda images: np.rot90(images, 3, axes=(1, 2)),
    "turned by 180 degrees": lambda images: images[:, ::-1, ::-1],
    "mirrored left to right": lambda images: images[:, :, ::-1],
    "mirrored top to bottom": lambda images: images[:, ::-1],
    "transposed and turned by 180 degrees": lambda images: images[:, ::-1, ::-1].transpose(0, 2, 1),
}


def seen(images, data, labels=None):
    labels = np.zeros(len(images), np.int64) if labels is None else labels
    return orientation.of(profile(np.ascontiguousarray(images).reshape(len(images), -1), labels, data), data)


@pytest.mark.parametrize("inverted", [False, True], ids=["light on dark", "dark on light"])
@pytest.mark.parametrize(("name", "store"), STORED.items(), ids=STORED.keys())
def test_a_picture_is_stored_as_the_data_are(name, store, inverted):
    stored = store(UCI)
    found = seen(16 - stored if inverted else stored, EIGHT)
    assert (found.name, found.inverted) == (name, inverted)
    wanted = 16 - stored[5] if inverted else stored[5]
    np.testing.assert_array_equal(found.stored(UCI[5], 16), wanted)
    assert found.stored(UCI[5], 16).dtype == np.uint8


@pytest.fixture(scope="module")
def mnist():
    if not MNIST.exists():
        pytest.skip("no shared data")
    names = (f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    [chunk] = iter_chunks(*(MNIST / name for name in names), rows=10_000)
    return chunk.pixels.reshape(-1, 28, 28), chunk.labels


@pytest.mark.parametrize("size", [28, 14, 32, 20])
@pytest.mark.parametrize("name", ["upright", "transposed (columns written as rows)"])
def test_of_other_sizes_it_is_told_by_the_28x28_reference(mnist, size, name):
    images = STORED[name](mnist[0][:3000])
    if size == 14:
        images = images[:, ::2, ::2]
    elif size == 20:
        images = images[:, 4:-4, 4:-4]
    elif size == 32:
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    found = seen(images, DataSettings(shape=(size, size), pixel_max=255))
    assert found.name in (name, None)
    assert found.known or size == 20  # of a size between the two, nobody has to know


def test_some_classes_missing_or_many_of_one_change_nothing(mnist):
    data = DataSettings(shape=(28, 28), pixel_max=255)
    images, labels = mnist
    for kept in (labels != 7, labels < 8, (labels != 1) | (np.arange(len(labels)) % 3 == 0)):
        assert seen(images[kept].transpose(0, 2, 1), data).name == "transposed (columns written as rows)"


def letters(images):
    """Shapes of 26 classes, out of digits: upright, upside down and on their side."""
    return np.stack([(image, image[::-1], np.rot90(image))[i % 3] for i, image in enumerate(images)])


def test_of_letters_nobody_can_tell_and_that_is_said(mnist):
    data = DataSettings(shape=(28, 28), pixel_max=255, label_count=26)
    found = seen(letters(mnist[0]), data)
    assert not found.known
    assert "orientation" in (found.why or "")
    np.testing.assert_array_equal(found.stored(mnist[0][0], 255), mnist[0][0])


@pytest.mark.parametrize(
    ("images", "data"),
    [
        pytest.param(np.full((20, 8, 8), 7, np.uint8), EIGHT, id="all alike"),
        pytest.param(np.random.default_rng(0).integers(0, 17, (500, 8, 8), np.uint8), EIGHT, id="noise"),
        pytest.param(np.ones((20, 4, 9), np.uint8), DataSettings(shape=(4, 9), pixel_max=255), id="not square"),
        pytest.param(np.ones((20, 3, 3), np.uint8), DataSettings(shape=(3, 3), pixel_max=255), id="tiny"),
    ],
)
def test_what_is_not_like_digits_has_no_known_orientation(images, data):
    assert not seen(images, data).known
