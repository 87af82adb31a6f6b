"""A root with tiny SavedModels, whose pushes take milliseconds; made without a run.

The models are those of `tests/tiny_savedmodel.py`. Each version has a file with its number beside the model's own, so that
no two pushes are of the same bytes; a rollback is of the bytes of an older one.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from components.digest import manifest_digest, tree_manifest
from components.serving import PROVENANCE
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.statement import PREDICATE_TYPE, STATEMENT_TYPE, TREE, statement_bytes
from pipeline.root.paths import RunPaths
from pipeline.stages import PUSHER

KINDS = ("none", "weaker", "always_zero")
"""Models whose answers can be told from each other."""

SHAPE, LABELS = (4, 4), 4
PIXELS = SHAPE[0] * SHAPE[1]
STRAY = 10_000
TIME = "2026-01-01T00:00:00.000Z"


@functools.cache
def models() -> dict[str, Path]:
    """Returns {kind: folder of its SavedModel}; they stay until this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    script = Path(__file__).resolve().parents[1] / "tiny_savedmodel.py"
    wanted = [f"{folder / kind}={kind}" for kind in KINDS]
    subprocess.run([sys.executable, str(script), *map(str, SHAPE), str(LABELS), *wanted], check=True)
    return {kind: folder / kind for kind in KINDS}


class TinyRoot:
    """Pushes versions, and knows what each of them is."""

    def __init__(self, root: Path, models: Callable[[], Mapping[str, Path]] = models):
        self.models = models
        self.paths = RunPaths(root)
        self.paths.serving.mkdir(parents=True)
        self.paths.lock.touch()
        self.digests: dict[int, str] = {}
        self.kinds: dict[int, str] = {}

    @property
    def newest(self) -> int:
        return max(self.digests, default=0)

    def push(self, kind: str) -> int:
        number = self.newest + 1
        self._place(self.models()[kind], number, kind, mark=str(number))
        return number

    def roll_back(self, version: int) -> int:
        number = self.newest + 1
        source = self.paths.serving / str(version)
        self._place(source, number, self.kinds[version], mark=None)
        return number

    def tamper_with_a_push(self, kind: str) -> int:
        """Pushes a version, one of whose files is changed before anybody can see it."""
        number = self.newest + 1
        self._place(self.models()[kind], number, kind, mark=str(number), tampered=True)
        return number

    def stray(self, version: int) -> int:
        """Puts a copy of a version where a higher one would be, which no push made; returns its number."""
        number = STRAY + version
        shutil.copytree(self.paths.serving / str(version), self.paths.serving / str(number))
        return number

    def _place(self, source: Path, number: int, kind: str, *, mark: str | None, tampered: bool = False) -> None:
        part = self.paths.root / "part"
        shutil.copytree(source, part, ignore=shutil.ignore_patterns(Path(PROVENANCE).name))
        (part / PROVENANCE).parent.mkdir(exist_ok=True)
        if mark is not None:
            (part / "assets.extra" / "number").write_text(mark)
        files = tree_manifest(part)
        digest = manifest_digest(files)
        (part / PROVENANCE).write_bytes(statement_bytes(_statement(files, digest)))
        if tampered:
            variables = part / "variables" / "variables.data-00000-of-00001"
            variables.write_bytes(variables.read_bytes()[:-4] + b"\1\2\3\4")
        ledger = Ledger.open(self.paths.ledger)
        intent = ledger.intent(node=PUSHER, run_id=f"run-{number}", key="0" * 64)
        ledger.pushed(node=PUSHER, run_id=f"run-{number}", version=number, digest=digest)
        part.rename(self.paths.serving / str(number))
        ledger.commit(intent, record="0" * 64)
        self.digests[number], self.kinds[number] = digest, kind


def _statement(files, digest):
    subject = [{"name": ".", "digest": {TREE: digest}}]
    subject += [
        {"name": path, "digest": {"sha256": file["sha256"]}, "annotations": {"bytes": file["bytes"]}}
        for path, file in sorted(files.items())
    ]
    return {
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": "tiny",
                "externalParameters": {"recipe": "tiny", "settings": {}},
                "internalParameters": {"heads": ["0" * 64], "executions": []},
                "resolvedDependencies": [],
            },
            "runDetails": {
                "builder": {"id": "tiny", "version": {}},
                "metadata": {"invocationId": "run", "startedOn": TIME, "finishedOn": TIME},
                "byproducts": [],
            },
        },
    }
