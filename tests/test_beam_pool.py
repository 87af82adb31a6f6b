"""`mnist-tfx beam-pool`: workers for a cluster, asked for as Flink and Spark ask for them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2
from command_line import PROJECT

from components.errors import EnvironmentProblem
from pipeline.process import scratch
from pipeline.runner.beam.pool import WorkerPool, listening, start


@pytest.fixture
def control():
    """Gives addresses that take connections, and answer none: a worker of each goes on until it is ended."""
    with contextlib.ExitStack() as opened:

        def address():
            listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
            return "{}:{}".format(*listener.getsockname())

        yield address


def workers_of(control):
    """Process ids of workers that work for an address."""
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if control in words(path)]


def words(path):
    try:
        return path.read_bytes().decode().split("\0")
    except OSError:
        return []


def waited_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
    return found


class Requester:
    """What asks for workers, over a connection of its own, under ids that it counts from one."""

    def __init__(self, pool, control):
        # gRPC gives equal channels of a process one connection.
        self.channel = grpc.insecure_channel(pool, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(self.channel)
        self.control = control

    def start(self):
        endpoint = endpoints_pb2.ApiServiceDescriptor(url=self.control)
        self.stub.StartWorker(
            beam_fn_api_pb2.StartWorkerRequest(worker_id="1-1", control_endpoint=endpoint), timeout=20
        )
        waited_for(lambda: workers_of(self.control))

    def stop(self):
        self.stub.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"), timeout=20)


@pytest.fixture
def pool():
    lines = []
    with listening("127.0.0.1", 0, lines.append) as address:
        yield address, lines


def test_two_requesters_that_count_alike_do_not_end_each_others_workers(pool, control):
    first, second = (Requester(pool[0], control()) for _ in range(2))
    first.start()
    second.start()
    first.stop()
    waited_for(lambda: not workers_of(first.control))
    assert len(workers_of(second.control)) == 1
    assert pool[1] == []


def test_who_has_connected_again_ends_the_only_worker_of_that_id(pool, control):
    asked = Requester(pool[0], control())
    asked.start()
    asked.channel.close()
    Requester(pool[0], asked.control).stop()
    waited_for(lambda: not workers_of(asked.control))


def test_a_worker_that_dies_is_told_of(pool, control):
    asked = Requester(pool[0], control())
    asked.start()
    [worker] = workers_of(asked.control)
    os.kill(worker, signal.SIGKILL)
    [line] = waited_for(lambda: pool[1])
    assert line.startswith("a worker process died (exit status -9): worker 1-1 of ipv4:127.0.0.1:")


def test_a_worker_has_the_environment_of_tfx_and_a_folder_of_its_own(pool, control):
    asked = Requester(pool[0], control())
    asked.start()
    [worker] = workers_of(asked.control)
    environment = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    assert {"TF_USE_LEGACY_KERAS=1", "CUDA_VISIBLE_DEVICES=-1"} <= set(environment)
    assert Path(f"/proc/{worker}/cwd").readlink().name.startswith(scratch.PREFIX)


def test_two_pools_do_not_share_a_port(pool):
    port = int(pool[0].rpartition(":")[2])
    with pytest.raises(EnvironmentProblem, match=f"127.0.0.1:{port}: cannot listen: something else does"):
        start(WorkerPool(Path("/"), print), f"127.0.0.1:{port}")


@pytest.fixture
def command():
    """The command, once it listens: its process and its address."""
    line = [sys.executable, "-m", "pipeline", "beam-pool", "--port", "0"]
    with subprocess.Popen(line, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_every_worker_ends_with_the_command(command, control, number):
    process, address = command
    asked = Requester(address, control())
    asked.start()
    process.send_signal(number)
    process.wait(timeout=30)
    waited_for(lambda: not workers_of(asked.control))
    if number != signal.SIGKILL:
        assert (process.returncode, process.stderr.read()) == (
            0,
            f"{number.name}: ended, with every worker\n",
        )


def test_a_pool_listens_on_this_machine_alone():
    with listening("127.0.0.1", 0, print) as address, socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", int(address.rpartition(":")[2]))) != 0
