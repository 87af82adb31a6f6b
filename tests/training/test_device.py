"""What `--device` means for a Trainer's process, and what is said where there is no such device."""

import re
import signal
import subprocess
import sys

import pytest
from command_line import PROJECT, mnist_tfx

from components.errors import BadInput, EnvironmentProblem
from components.training import device as device_module
from components.training.device import Device, cuda_environment
from components.training.process import DEVICE
from pipeline.config.request import Request, chosen_device, chosen_strategy
from pipeline.runner import devices

NOTHING = {
    "driver": None,
    "driver_gpus": 0,
    "tensorflow": "2.16.2",
    "gpus": [],
    "with_cuda": True,
    "unloadable": ["libcudnn.so.8"],
}


@pytest.mark.parametrize("text", ["auto", "cpu", "gpu", "gpu:0", "gpu:11"])
def test_a_device_is_written_as_it_was_read(text):
    assert str(Device.parse(text)) == text


@pytest.mark.parametrize("text", ["", "tpu", "gpu:", "gpu:-1", "gpu:x", "GPU", "gpu:0,1", "cpu:0"])
def test_another_device_is_refused(text):
    with pytest.raises(BadInput, match="wanted auto, cpu, gpu or gpu:N"):
        Device.parse(text)


@pytest.mark.parametrize(
    ("text", "outer", "visible"),
    [
        ("auto", {}, None),
        ("gpu", {"CUDA_VISIBLE_DEVICES": "2,3"}, None),
        ("cpu", {"CUDA_VISIBLE_DEVICES": "2,3"}, "-1"),
        ("gpu:1", {}, "1"),
        ("gpu:1", {"CUDA_VISIBLE_DEVICES": "2, 3"}, "3"),
        ("gpu:1", {"CUDA_VISIBLE_DEVICES": "GPU-ab,GPU-cd"}, "GPU-cd"),
        ("gpu:2", {"CUDA_VISIBLE_DEVICES": "2,3"}, "-1"),
        ("gpu:0", {"CUDA_VISIBLE_DEVICES": ""}, "-1"),
    ],
)
def test_a_gpu_is_counted_among_those_that_are_visible(text, outer, visible):
    environment = Device.parse(text).environment(outer)
    assert environment.pop(DEVICE) == text
    assert environment == ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})


def test_libraries_of_nvidias_wheels_are_found_after_those_that_the_user_names(tmp_path, monkeypatch):
    for folder in ("cudnn/lib", "cublas/lib", "cuda_nvcc/bin"):
        (tmp_path / "nvidia" / folder).mkdir(parents=True)
    (tmp_path / "nvidia" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    found = cuda_environment({"LD_LIBRARY_PATH": "/mine"})
    wheels = f"{tmp_path}/nvidia/cublas/lib:{tmp_path}/nvidia/cudnn/lib"
    assert found["LD_LIBRARY_PATH"] == f"/mine:{wheels}"
    assert found["XLA_FLAGS"] == f"--xla_gpu_cuda_data_dir={tmp_path}/nvidia/cuda_nvcc"
    assert "XLA_FLAGS" not in cuda_environment({"XLA_FLAGS": "--mine"})


def test_without_nvidias_wheels_nothing_is_set(monkeypatch):
    monkeypatch.setattr(device_module, "wheel_libraries", tuple)
    assert cuda_environment({"LD_LIBRARY_PATH": "/mine"}) == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "no NVIDIA driver (libcuda.so.1 is not found)"),
        ({"driver": "12.4"}, "the NVIDIA driver (CUDA 12.4) shows none, with CUDA_VISIBLE_DEVICES=-1"),
        ({"driver": "12.4", "driver_gpus": 1, "with_cuda": False}, "tensorflow 2.16.2 is built without CUDA"),
        ({"driver": "12.4", "driver_gpus": 1}, "libcudnn.so.8 cannot be loaded: install the extra"),
    ],
)
def test_the_first_missing_link_to_a_gpu_is_named(changes, said, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(devices, "wheel_libraries", tuple)
    found = devices.judge({**NOTHING, **changes})
    assert str(found).startswith(f"no GPU: {said}")
    with pytest.raises(EnvironmentProblem, match=re.escape(said)):
        devices.require(Device.parse("gpu"), found)


def test_a_library_path_that_leads_elsewhere_is_named(monkeypatch):
    monkeypatch.setattr(devices, "wheel_libraries", lambda: ("/venv/nvidia/cudnn/lib",))
    found = devices.judge({**NOTHING, "driver": "12.4", "driver_gpus": 1})
    assert "is LD_LIBRARY_PATH set to another CUDA? They are in /venv/nvidia" in str(found)


def test_a_gpu_that_is_not_among_those_there_are_is_refused():
    found = devices.judge({**NOTHING, "driver": "12.4", "driver_gpus": 2, "gpus": ["H100", "H100"]})
    devices.require(Device.parse("gpu:1"), found)
    with pytest.raises(EnvironmentProblem, match=r"wanted at least 3 GPUs, got 2 GPUs \(H100, H100\)"):
        devices.require(Device.parse("gpu:2"), found)


def test_a_driver_that_hangs_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(devices, "TIMEOUT_S", 0.01)
    with pytest.raises(EnvironmentProblem, match=r"--device gpu: .*no answer within 0.01 s"):
        devices.require(Device.parse("gpu"), devices.look())


PROBE = """
import json, os, sys
from pipeline.runner import device_probe
device_probe._driver = lambda: ("12.4", 2)
device_probe._tensorflow = lambda: {"tensorflow": "2.16.2", "gpus": ["H100", "H100"], "with_cuda": True}
def convolved(gpus):
    print("Could not load library libcudnn_cnn.so.9", file=sys.stderr, flush=True)
    if sys.argv[1] == "aborts":
        os.abort()
    return {"fails": "no DNN in stream executor", "computes": None}[sys.argv[1]]
device_probe._convolved = convolved
device_probe.main()
"""


@pytest.mark.parametrize(
    ("becomes", "said"),
    [
        ("computes", "2 GPUs (H100, H100)"),
        ("fails", "no GPU: H100, H100 computes no convolution: no DNN in stream executor"),
        (
            "aborts",
            "no GPU: H100, H100 computes no convolution: SIGABRT, Could not load library libcudnn_cnn.so.9",
        ),
    ],
)
def test_a_gpu_counts_only_if_it_computes_a_convolution(becomes, said):
    """libcudnn's own libraries are opened at the first one, and TensorFlow ends the process where they are missing."""
    command = [sys.executable, "-c", PROBE, becomes]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
    found = devices.understood(done.returncode, done.stdout, done.stderr)
    assert (str(found), found.has_driver) == (said, True)


def test_tensorflow_that_does_not_import_is_named_with_the_signal_that_ended_it():
    found = devices.understood(-signal.SIGILL, "", "F0000 this CPU has no AVX\n")
    assert (found.broken, found.has_driver) == ("SIGILL, F0000 this CPU has no AVX", False)


def test_one_gpu_is_one():
    assert str(devices.judge({**NOTHING, "driver": "12.4", "driver_gpus": 1, "gpus": ["H100"]})) == "1 GPU (H100)"


def test_a_look_beside_other_work_is_waited_for_when_it_is_needed(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with devices.required(Device.parse("gpu")) as before, pytest.raises(EnvironmentProblem, match="not visible"):
        before()
    with devices.required(Device.parse("auto")) as before:
        before()


def test_workers_on_this_machine_leave_gpus_alone():
    assert chosen_device(Request(workers=2)) == Device("cpu")
    with pytest.raises(BadInput, match="--workers: workers on this machine train on its CPU"):
        chosen_device(Request(workers=2, device="gpu"))


def test_workers_go_with_no_other_strategy():
    assert chosen_strategy(Request(workers=2)) == "multiworker"
    assert chosen_strategy(Request(strategy="mirrored")) == "mirrored"
    with pytest.raises(BadInput, match="--workers is for several processes: wanted multiworker, got single"):
        chosen_strategy(Request(workers=2, strategy="single"))


def test_a_gpu_that_is_not_there_ends_the_run_before_it_reads_anything(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (tmp_path / "no data").mkdir()
    answer = mnist_tfx("run", "--device", "gpu", "--data", tmp_path / "no data", "--root", tmp_path / "root")
    assert answer.code == 4
    assert answer.err.startswith("mnist-tfx: --device gpu: not visible to TensorFlow: wanted a GPU, got no GPU: ")
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "root").exists()


def test_the_machines_own_probe_answers_without_tensorflow_where_the_driver_shows_nothing():
    code = "import sys; sys.argv.append('driver'); from pipeline.runner import device_probe as p; p.main(); "
    code += "assert 'tensorflow' not in sys.modules"
    env = {"CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
