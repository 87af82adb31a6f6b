"""The larger MNIST and the measures of a process tree that `make bench-scale` prints."""

import gzip
import json
import sys

import numpy as np
import pytest
from scale import bench, images, sampling


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """MNIST's files, small: 300 and 20 rows with a bar in them."""
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(3)
    for part, count in (("train", 300), ("t10k", 20)):
        rows = np.zeros((count, 28, 28), np.uint8)
        rows[:, 6:22, 13:15] = rng.integers(100, 256, (count, 16, 2))
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", rows), (f"{part}-labels-idx1-ubyte", labels)):
            with gzip.open(folder / f"{name}.gz", "wb") as file:
                file.write(images.header(*array.shape) + array.tobytes())
    return folder


def written(folder, name):
    with gzip.open(folder / f"{name}.gz", "wb") as file:
        file.write((folder / name).read_bytes())
    return images.read(folder / f"{name}.gz")


def test_a_larger_mnist_has_its_rows_first_and_then_no_row_twice(source, tmp_path):
    folder = tmp_path / "x3"
    images.write(folder, times=3, source=source)
    rows = written(folder, "train-images-idx3-ubyte")
    np.testing.assert_array_equal(rows[:300], images.read(source / "train-images-idx3-ubyte.gz"))
    assert len(np.unique(rows.reshape(len(rows), -1), axis=0)) == len(rows) == 900
    np.testing.assert_array_equal(written(folder, "t10k-labels-idx1-ubyte"), np.tile(np.arange(20) % 10, 3))


def test_equal_arguments_write_equal_bytes_and_another_seed_others(source, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        images.write(tmp_path / name, times=2, seed=seed, source=source)
    first, again, other = ((tmp_path / name / "t10k-images-idx3-ubyte").read_bytes() for name in "abc")
    assert first == again != other


def test_moved_images_keep_their_ink_and_stay_where_they_were(source):
    rows = images.read(source / "train-images-idx3-ubyte.gz")
    moved = images.moved(rows, np.random.default_rng(0))
    assert abs(moved.sum() / rows.sum() - 1) < 0.01
    down, right = ([(image.sum(axis=axis) @ np.arange(28)) / image.sum() for image in moved] for axis in (1, 0))
    assert np.abs(np.subtract(down, 13.5)).max() < 1.5
    assert np.abs(np.subtract(right, 13.5)).max() < 1.5


def test_memory_and_time_of_a_command_are_those_of_all_its_processes():
    child = "import time; held = bytearray(b'x') * 60_000_000; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    parent = f"import subprocess, sys; held = bytearray(b'x') * 60_000_000; subprocess.run([sys.executable, '-c', {child!r}]); print('done')"
    measured = sampling.measure([sys.executable, "-c", parent], every_s=0.02)
    assert (measured.output, measured.status) == ("done\n", 0)
    assert 120_000_000 < measured.peak < 200_000_000
    assert 0.3 < measured.cpu_s < 2
    assert measured.samples[-1].cpu_s <= measured.cpu_s + 0.02


def test_a_node_has_the_time_and_the_peak_of_its_span():
    samples = [sampling.Sample(at=at, cpu_s=2.0 * at, memory={1: 100, 2: held}) for at, held in enumerate((0, 5, 9, 1))]
    trace = {
        "traceEvents": [
            {"ph": "X", "name": "Transform", "cat": "run", "ts": 1e6, "dur": 1e6, "pid": 1, "tid": 1},
            {"ph": "X", "name": "Transform: planning", "cat": "run", "ts": 0.5e6, "dur": 1e6, "pid": 1, "tid": 1},
        ]
    }
    [node] = bench.by_node(trace, samples, {1: "run", 2: "child"})
    assert (node.name, node.wall_s, node.cpu_s, node.peak) == ("Transform", 1.0, 2.0, 109)
    assert node.at_peak == {"run": 100, "child": 9}


def test_growth_is_measured_against_a_straight_line():
    assert bench.ratio_to_linear({1: 10.0, 4: 40.0}) == 1.0
    assert bench.ratio_to_linear({1: 10.0, 4: 30.0, 16: 90.0}) == pytest.approx(90 / 160)
    assert bench.slope_ratio({1: 10.0, 4: 16.0, 16: 40.0}) == 1.0
    assert bench.slope_ratio({1: 10.0, 4: 16.0, 16: 64.0}) == 2.0
    assert bench.slope_ratio({1: 10.0, 4: 16.0}) is None


def test_results_are_read_as_they_were_written(tmp_path):
    node = bench.NodeUse(name="Pusher", wall_s=1.0, cpu_s=0.5, peak=7, at_peak={"run": 7})
    result = bench.Result(
        times=4,
        rows=10,
        settings=("a=1",),
        cores=2,
        wall_s=3.0,
        cpu_s=2.0,
        peak=9,
        metrics={"accuracy": 0.5},
        nodes=(node,),
    )
    result.write(tmp_path)
    assert bench.Result.read(tmp_path / "x4.json") == result
    assert json.loads((tmp_path / "x4.json").read_text())["peak"] == 9
