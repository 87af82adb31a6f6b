"""Standard output that cannot be written: the work is done, one line says so where it can, and the exit code is 6."""

import os
import subprocess
import sys

import pytest
from command_line import PROJECT, mnist_tfx

from components.errors import ExitCode
from pipeline.provenance.ledger import Event, read_ledger

COMMAND = (sys.executable, "-m", "pipeline")


def to_full_disk(*arguments):
    with open("/dev/full", "wb") as full:
        return subprocess.run([*COMMAND, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True,
                              check=False, cwd=PROJECT, timeout=500)  # fmt: skip


def to_nobody(*arguments):
    """Into a pipe whose reader is gone before the first byte, as `| true` is."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run([*COMMAND, *map(str, arguments)], stdout=writer, stderr=subprocess.PIPE, text=True,
                              check=False, cwd=PROJECT, timeout=500)  # fmt: skip
    finally:
        os.close(writer)


def closed(*arguments):
    command = 'exec "$@" >&-'
    return subprocess.run(["sh", "-c", command, "sh", *COMMAND, *map(str, arguments)], stderr=subprocess.PIPE,
                          text=True, check=False, cwd=PROJECT, timeout=500)  # fmt: skip


WAYS = {"No space left on device": to_full_disk, "Broken pipe": to_nobody, "it is closed": closed}


@pytest.mark.parametrize("why", WAYS)
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["data", "fetch", "digits"], ["doctor", "--no-devices"]]
)
def test_output_that_nobody_takes_is_one_line_and_exit_code_6(why, arguments, tmp_path):
    given = ["--to", tmp_path / "digits"] if "fetch" in arguments else []
    done = WAYS[why](*arguments, *given)
    assert done.returncode == ExitCode.OUTPUT_LOST, done.stderr
    assert done.stderr == f"mnist-tfx: standard output: {why}: the work is done, its output is lost\n"
    assert not given or len(list((tmp_path / "digits").iterdir())) >= 2


@pytest.mark.parametrize("why", WAYS)
def test_an_error_keeps_its_exit_code_whatever_becomes_of_the_output(why):
    done = WAYS[why]("lineage", "show", "--root", "/nowhere", "--json")
    assert done.returncode == ExitCode.BAD_INPUT
    assert "/nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_all_three_closed_a_command_still_does_its_work(tmp_path):
    command = 'exec "$@" <&- >&- 2>&-'
    arguments = ["data", "fetch", "digits", "--to", str(tmp_path / "digits")]
    done = subprocess.run(["sh", "-c", command, "sh", *COMMAND, *arguments], check=False, cwd=PROJECT)
    assert done.returncode == ExitCode.OUTPUT_LOST
    # Nothing was printed into a file that took the number of standard output.
    assert not any(b"digits" in file.read_bytes()[:200] for file in (tmp_path / "digits").iterdir())


def test_an_encoding_that_lacks_a_character_stops_nothing():
    done = subprocess.run([*COMMAND, "doctor", "--no-devices"], capture_output=True, check=False, cwd=PROJECT,
                          env={**os.environ, "PYTHONIOENCODING": "ascii"})  # fmt: skip
    assert b"not foreseen" not in done.stderr


@pytest.mark.e2e
def test_a_run_whose_reader_goes_away_ends_its_work(root, digits_folder):
    before = len(read_ledger(root / "ledger.jsonl").lines)
    command = f'"$@" | head -1; exit ${{PIPESTATUS[0]}}'  # noqa: F541  # braces for the shell
    arguments = ["run", "--data", digits_folder, "--root", root, "--force", "Baseline"]
    done = subprocess.run(["bash", "-c", command, "bash", *COMMAND, *map(str, arguments)], capture_output=True,
                          text=True, check=False, cwd=PROJECT, timeout=500)  # fmt: skip
    assert done.returncode == ExitCode.OUTPUT_LOST, done.stderr
    assert done.stdout.count("\n") == 1
    assert [line.event for line in read_ledger(root / "ledger.jsonl").lines[before:]][-1] == Event.RUN
    assert mnist_tfx("runs", "show", "--root", root, "--json").status == "ok"
