"""A child of the project imports our modules whatever the working folder holds, and ends with the process that started it."""

import json
import os
import signal
import subprocess
import sys

import pytest
from command_line import PROJECT

from pipeline.process import child

KILLED = """
import os, signal
from pipeline.process import child
reader = child.start("pipeline.metadata.reader_process", env={})
print(reader.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["json", "components", "pipeline"])
def test_a_module_in_the_working_folder_is_not_imported(name, tmp_path, monkeypatch):
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('foreign')")
    monkeypatch.chdir(tmp_path)
    done = child.run("pipeline.runner.device_probe", "driver", env={}, text=True)
    assert done.returncode == 0, done.stderr
    assert "driver_gpus" in json.loads(done.stdout)


def test_a_child_ends_with_a_killed_parent_although_its_input_stays_open():
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb"), os.fdopen(ours, "rb") as stdin:
        command = [sys.executable, "-c", KILLED]
        # `communicate` ends when the last holder of the pipe for standard output has: parent and child.
        parent = subprocess.Popen(command, cwd=PROJECT, stdin=stdin, stdout=subprocess.PIPE)
        told, _ = parent.communicate(timeout=60)
    assert parent.returncode == -signal.SIGKILL
    assert int(told)
