"""`make bench-gpu` on the CPU: what a GPU's time is spent on works at the first try."""

import os
import subprocess
import sys

import bench_gpu
import pytest
from command_line import PROJECT


def bench(*options):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "tests/bench_gpu.py", *options]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("recipe", "variant"), [("mnist", "mixed-XLA"), pytest.param("cnn", "float32", marks=pytest.mark.slow)]
)
def test_a_line_trains_both_networks_for_real(recipe, variant):
    cells = [cell.strip() for cell in bench("--tiny", "--recipes", recipe, "--variants", variant).split("\u2502")]
    at = cells.index(recipe)
    assert cells[at + 1] == variant
    start, seconds, images, accuracy = (float(cell.replace(",", "")) for cell in cells[at + 2 : at + 6])
    assert start > 0
    assert seconds > 0
    assert images > 0
    assert 0 <= accuracy < 0.5  # of noise
    assert cells[at + 6] == f"{bench_gpu.RECIPES[recipe]:g}: never"
    assert cells[at + 8] == "cpu"


def test_without_a_gpu_it_is_skipped_in_one_line():
    said = bench()
    assert said.startswith("bench-gpu is skipped: ")
    assert said.count("\n") == 1


def test_without_mnist_it_says_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_gpu, "MNIST", tmp_path / "none")
    assert bench_gpu.lacking() == f"MNIST is not in {tmp_path}/none"


def test_a_line_that_fails_or_has_no_time_left_says_so():
    [variant] = [one for one in bench_gpu.VARIANTS if one.name == "float32"]
    assert bench_gpu.line("mnist", variant, 0, tiny=True) == {"failed": "the time was up"}
    assert bench_gpu.line("mnist", variant, 0.1, tiny=True) == {"failed": "the time was up"}
    found = bench_gpu.line("no recipe", variant, 60, tiny=True)
    assert "KeyError" in found["failed"] or "no recipe" in found["failed"]
    assert "the time was up" in {
        cell
        for column in bench_gpu.drawn([{"recipe": "cnn", "variant": "CPU", "failed": "the time was up"}]).columns
        for cell in column.cells
    }


def test_the_gpu_is_sampled_while_a_line_trains(monkeypatch):
    """With a program that prints what nvidia-smi does, a line for each sample and card."""
    program = "import time\nwhile True: print(' 37\\n[N/A]', flush=True); time.sleep(0.01)"
    monkeypatch.setattr(bench_gpu, "UTILISATION", (sys.executable, "-c", program))
    with bench_gpu.utilisation(True) as samples:
        while not samples:
            pass
    assert {busy for _, busy in samples} == {37.0}
    with bench_gpu.utilisation(False) as samples:
        assert samples == []
