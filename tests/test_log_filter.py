"""The filter of a run's log: what every run prints is left out, and nothing else."""

import os
import subprocess
import sys

import pytest

from pipeline.process import log_filter
from pipeline.process.log_filter import Filter
from pipeline.process.output import log_output

TFMA = (
    b"WARNING:tensorflow:From /venv/site-packages/tensorflow_model_analysis/writers/metrics_plots_and_validations_writer.py"
    b":112: tf_record_iterator (from tensorflow.python.lib.io.tf_record) is deprecated and will be removed in a future "
    b"version."
)
ADVICE = [b"Instructions for updating:", b"Use eager execution and: ", b"`tf.data.TFRecordDataset(path)`"]
CUDA = (
    b"2026-11-27 12:31:16.198326: E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:479] Unable to register cuFFT "
    b"factory: Attempting to register factory for plugin cuFFT when one has already been registered"
)
KEPT = [
    b"",
    b"ERROR:absl:Execution 7 failed.",
    b"WARNING:absl:ArtifactQuery.property_predicate is not supported. Not at all.",
    b"2026-11-27 12:31:16.198326: E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:479] out of memory",
    b"E0000 00:00:1795781475.6 97 cuda_platform.cc:51] failed call to cuInit: INTERNAL: CUDA error: UNKNOWN ERROR (303)",
    b"WARNING:absl:Not using the in-place Transform since the following features require analyzing: ('image',)",
]


@pytest.mark.parametrize("message", [[CUDA], [b"Could not find a compatible bson package."], [TFMA, *ADVICE]])
def test_a_message_that_every_run_prints_is_left_out_between_others(message):
    noise = Filter()
    assert [*noise.passed([b"before", *message, *message, b"after"]), *noise.rest()] == [b"before", b"after"]
    assert noise.left_out == 2 * len(message)


@pytest.mark.parametrize("line", [*KEPT, *ADVICE])
def test_another_line_is_kept_however_like_it_is(line):
    noise = Filter()
    assert ([*noise.passed([line])], noise.rest(), noise.left_out) == ([line], [], 0)


@pytest.mark.parametrize("lines", [[TFMA, *ADVICE[:2], b"other"], [TFMA, b"other"], [TFMA, TFMA, b"x"], [TFMA]])
def test_the_beginning_of_a_message_is_kept_where_its_end_is_missing(lines):
    noise = Filter()
    assert [*noise.passed(lines), *noise.rest()] == lines


def test_the_log_has_what_processes_print_and_how_much_was_left_out(tmp_path, capfd):
    with log_output(tmp_path / "log"):
        os.write(2, b"from C++\n" + CUDA + b"\n")
        subprocess.run([sys.executable, "-c", "print('from a child', end='')"], check=True)
    os.write(1, b"ours\n")
    left_out = "lines of the libraries that every run prints, left out: 1; MNIST_TFX_DEBUG=1 keeps them"
    assert (tmp_path / "log").read_text().splitlines() == ["from C++", "from a child", left_out]
    assert capfd.readouterr() == ("ours\n", "")


def test_everything_is_kept_where_somebody_looks_for_a_fault(tmp_path, monkeypatch):
    monkeypatch.setenv(log_filter.UNFILTERED, "1")
    with log_output(tmp_path / "log"):
        os.write(2, CUDA + b"\n")
    assert (tmp_path / "log").read_bytes() == CUDA + b"\n"
