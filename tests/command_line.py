"""The command line as the tests run it: a process of its own, and what it answered."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared" / "data"


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    def states(self) -> dict[str, str]:
        return {node["id"]: node["state"] for node in self.json["nodes"]}

    def why(self) -> dict[str, str]:
        return {node["id"]: node["why"] for node in self.json["nodes"]}


def mnist_tfx(*arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> Answer:
    """Runs the command line in a process of its own, as a user does."""
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        cwd=cwd or PROJECT,
        env={**os.environ, **(env or {})},
    )
    return Answer(done.returncode, done.stdout, done.stderr)
