import keras
import numpy as np
import pytest

from components.training import kernels


def _network(*layers):
    return keras.Sequential([keras.Input((784,)), *layers])


def test_the_first_layers_kernel_is_kept_by_step(tmp_path):
    network = _network(keras.layers.Dense(4), keras.layers.Dense(2))
    first = keras.ops.convert_to_numpy(network.layers[0].kernel).copy()
    kept = kernels.with_kernel({}, network, 0)
    network.layers[0].kernel.assign(first + 1)
    kernels.write(kernels.with_kernel(kept, network, 300), tmp_path)
    with np.load(tmp_path / kernels.FILE) as arrays:
        assert sorted(arrays) == ["step_0", "step_300"]
        np.testing.assert_array_equal(arrays["step_0"], first)
        np.testing.assert_array_equal(arrays["step_300"], first + 1)


def test_a_convolutions_kernel_is_kept_as_it_is():
    network = _network(keras.layers.Reshape((28, 28, 1)), keras.layers.Conv2D(8, 5))
    assert kernels.with_kernel({}, network, 7)["step_7"].shape == (5, 5, 1, 8)


@pytest.mark.parametrize("units", [300, 5000])
def test_all_moments_of_a_wide_layer_stay_small(units, tmp_path):
    network = _network(keras.layers.Dense(units))
    kept = {}
    for step in sorted({*kernels.EPOCHS, 1000}):
        kept = kernels.with_kernel(kept, network, step)
    kernels.write(kept, tmp_path)
    assert {array.shape[0] for array in kept.values()} == {784}
    assert (tmp_path / kernels.FILE).stat().st_size < 2 << 20


def test_a_network_without_a_kernel_leaves_no_file(tmp_path):
    kernels.write(kernels.with_kernel({}, _network(keras.layers.Rescaling(2.0)), 0), tmp_path)
    assert list(tmp_path.iterdir()) == []
