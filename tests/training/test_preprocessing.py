import json

import numpy as np
import pytest
from training.conftest import SCALINGS, Split, analyse

from components.training.input import TransformGraph


@pytest.fixture
def graph(transform_graphs):
    return lambda scaling: TransformGraph.load(transform_graphs[scaling])


def _apply(graph, split):
    import tensorflow as tf

    return graph.apply(tf.constant(split.flat, tf.int64), tf.constant(split.labels[:, None], tf.int64))


def test_minmax_divides_by_the_known_maximum(graph, splits):
    rows = _apply(graph("minmax"), splits["validation"])
    np.testing.assert_allclose(rows.images, splits["validation"].flat / 16, rtol=1e-6)


@pytest.mark.parametrize(("scaling", "axis"), [("standardise", 0), ("centre", None)])
def test_mean_and_deviation_are_those_of_train(graph, splits, scaling, axis):
    train = splits["train"].flat.astype(np.float64)
    rows = _apply(graph(scaling), splits["validation"])
    wanted = (splits["validation"].flat - train.mean(axis=0)) / train.std(axis=axis)
    np.testing.assert_allclose(rows.images, wanted, atol=1e-5)


@pytest.mark.parametrize("scaling", ["standardise", "centre"])
def test_a_pixel_that_never_varies_is_scaled_to_nothing(splits, tmp_path_factory, scaling):
    train, validation = (Split(splits[name].images.copy(), splits[name].labels) for name in ("train", "validation"))
    train.images[:, 2, 3] = validation.images[:, 2, 3] = 7
    rows = _apply(TransformGraph.load(analyse(train, scaling, tmp_path_factory)), validation)
    np.testing.assert_allclose(np.asarray(rows.images)[:, 2 * 5 + 3], 0, atol=1e-5)
    assert np.isfinite(rows.images).all()


def test_train_of_one_image_alone_is_scaled_to_nothing(splits, tmp_path_factory):
    one = Split(np.repeat(splits["train"].images[:1], 20, axis=0), np.repeat(splits["train"].labels[:1], 20))
    for scaling in ("standardise", "centre"):
        rows = _apply(TransformGraph.load(analyse(one, scaling, tmp_path_factory)), one)
        np.testing.assert_allclose(rows.images, 0, atol=1e-5)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_labels_become_one_hot(graph, splits, scaling):
    rows = _apply(graph(scaling), splits["train"])
    np.testing.assert_array_equal(rows.labels, np.eye(3)[splits["train"].labels])


@pytest.mark.parametrize("scaling", SCALINGS)
def test_images_are_scaled_alike_without_their_labels(graph, splits, scaling):
    images = splits["validation"].flat.astype(np.int64)
    np.testing.assert_array_equal(graph(scaling).scale(images), _apply(graph(scaling), splits["validation"]).images)


@pytest.mark.parametrize(("scaling", "analysed"), [("minmax", []), ("standardise", ["image"]), ("centre", ["image"])])
def test_only_minmax_needs_no_analysis_of_train(scaling, analysed):
    import tensorflow as tf
    import tensorflow_transform as tft

    from components.preprocessing import preprocessing_fn

    config = {"settings": json.dumps({"scaling": scaling}), "data": '{"shape": [6, 5], "pixel_max": 16}'}
    spec = {"image": tf.TensorSpec([None, 30], tf.int64), "label": tf.TensorSpec([None, 1], tf.int64)}
    columns = tft.get_analyze_input_columns(lambda inputs: preprocessing_fn(inputs, config), spec)
    assert columns == analysed
