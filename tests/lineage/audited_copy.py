"""Copies of the root that `audited_root` builds once; in its metadata store a copy is a root that was moved."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from lineage import audited_root

from pipeline.root.paths import RunPaths


@functools.cache
def _built() -> Path:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return audited_root.build(Path(folder) / "root")


def audited_copy(target: Path) -> RunPaths:
    """Returns a root with versions 1 and 2, three runs and a store, to do with as one likes."""
    shutil.copytree(_built(), target)
    paths = RunPaths(target)
    paths.lock.touch()
    return paths
