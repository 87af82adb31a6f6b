import json

import numpy as np
import pytest

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


def test_standardise_takes_mean_and_deviation_from_train(graph, splits):
    train = splits["train"].flat.astype(np.float64)
    rows = _apply(graph("standardise"), splits["validation"])
    wanted = (splits["validation"].flat - train.mean(axis=0)) / train.std()
    np.testing.assert_allclose(rows.images, wanted, atol=1e-5)


@pytest.mark.parametrize("scaling", ["minmax", "standardise"])
def test_labels_become_one_hot(graph, splits, scaling):
    rows = _apply(graph(scaling), splits["train"])
    np.testing.assert_array_equal(rows.labels, np.eye(3)[splits["train"].labels])


@pytest.mark.parametrize("scaling", ["minmax", "standardise"])
def test_images_are_scaled_alike_without_their_labels(graph, splits, scaling):
    images = splits["validation"].flat.astype(np.int64)
    np.testing.assert_array_equal(graph(scaling).scale(images), _apply(graph(scaling), splits["validation"]).images)


@pytest.mark.parametrize(("scaling", "analysed"), [("minmax", []), ("standardise", ["image"])])
def test_only_standardising_needs_an_analysis_of_train(scaling, analysed):
    import tensorflow as tf
    import tensorflow_transform as tft

    from components.preprocessing import preprocessing_fn

    config = {"settings": json.dumps({"scaling": scaling}), "data": '{"shape": [6, 5], "pixel_max": 16}'}
    spec = {"image": tf.TensorSpec([None, 30], tf.int64), "label": tf.TensorSpec([None, 1], tf.int64)}
    columns = tft.get_analyze_input_columns(lambda inputs: preprocessing_fn(inputs, config), spec)
    assert columns == analysed
