"""Which lane `make` takes: the newest that the C library and the interpreters on PATH allow."""

import os
import subprocess
from pathlib import Path

import pytest

LANE = Path(__file__).parents[1] / ".ci" / "lane"


@pytest.mark.parametrize(
    ("glibc", "pythons", "chosen", "said"),
    [
        ("2.36", ["3.10", "3.13"], "3.10", "glibc is 2.36"),
        ("2.38", ["3.11", "3.12"], "3.12", "lane two, Python 3.12"),
        ("2.41", ["3.10", "3.13"], "3.13", "lane two, Python 3.13"),
        ("3.0", ["3.11"], "3.11", "lane two, Python 3.11"),
        ("2.41", ["3.10", "3.14"], "3.10", "no Python 3.11 to 3.13"),
        (None, ["3.13"], "3.10", "glibc is unknown"),
    ],
)
def test_the_newest_lane_that_the_machine_holds_is_taken(tmp_path, glibc, pythons, chosen, said):
    programs = {f"python{version}": "exit 0" for version in pythons}
    programs["getconf"] = "exit 1" if glibc is None else f"echo glibc {glibc}"
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    for tool in ("cat", "cut", "dirname", "sh"):
        (tmp_path / tool).symlink_to(
            next(path for path in ("/usr/bin", "/bin") if os.path.exists(f"{path}/{tool}")) + f"/{tool}"
        )

    def lane(*arguments):
        done = subprocess.run(
            [LANE, *arguments], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert lane() == chosen
    assert said in lane("--why")
