"""Training images are moved a little, by the seed, and never where they are only looked at."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.classifier.augmentation import RandomMoves
from components.settings import Augmentation

SHAPE = (12, 9)


@pytest.fixture
def image():
    """A bright rectangle, off the middle, float32 [1, 108]."""
    square = np.zeros(SHAPE, np.float32)
    square[3:6, 4:8] = 1.0
    return tf.constant(square.reshape(1, -1))


def moved(image, rows=200, seed=0, **settings):
    layer = RandomMoves(Augmentation(**settings), SHAPE, seed=seed)
    return np.reshape(layer(tf.repeat(image, rows, axis=0), training=True), (rows, *SHAPE))


def test_images_that_are_only_looked_at_stay_as_they_are(image):
    layer = RandomMoves(Augmentation(shift=3, rotation=30, zoom=0.3), SHAPE, seed=0)
    np.testing.assert_array_equal(layer(image, training=False), image)


def test_moves_of_no_size_change_nothing(image):
    np.testing.assert_allclose(moved(image, rows=3)[1].ravel(), np.ravel(image), atol=1e-6)


def test_every_row_is_moved_by_itself_and_no_further_than_asked(image):
    centres = [centre(row) for row in moved(image, shift=1.5)]
    offsets = np.array(centres) - centre(np.reshape(image, SHAPE))
    assert np.abs(offsets).max() <= 1.5 + 1e-4
    assert offsets.std(axis=0).min() > 0.5


def test_a_turn_is_about_the_middle_of_the_image():
    middle = np.zeros((9, 9), np.float32)
    middle[3:6, 3:6] = 1.0
    layer = RandomMoves(Augmentation(rotation=90, zoom=0.2), (9, 9), seed=0)
    rows = np.reshape(layer(tf.constant(np.tile(middle.reshape(1, -1), (50, 1))), training=True), (50, 9, 9))
    np.testing.assert_allclose([centre(row) for row in rows], [[4.0, 4.0]] * 50, atol=1e-3)


def test_zoom_changes_the_area_by_its_square(image):
    areas = moved(image, zoom=0.2).sum(axis=(1, 2)) / 12
    assert 0.6 < areas.min() < 0.75
    assert 1.3 < areas.max() < 1.5


def test_the_same_seed_moves_in_the_same_way_and_another_in_another(image):
    one, same, other = (moved(image, rows=5, seed=seed, shift=2, rotation=20, zoom=0.2) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_the_state_of_the_chance_is_kept_in_a_checkpoint():
    model = keras.Sequential([keras.Input((108,)), RandomMoves(Augmentation(shift=1), SHAPE, seed=0)])
    assert [variable.name for variable in model.variables] == ["seed_generator_state"]


def centre(square):
    y, x = np.mgrid[: square.shape[0], : square.shape[1]]
    return np.array([(square * y).sum(), (square * x).sum()]) / square.sum()
