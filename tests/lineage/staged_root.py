"""A root with versions 1 and 2 in service and version 3 staged, made without TensorFlow or TFX."""

import shutil

from lineage.audited_copy import audited_copy

from components.serving import claim, raise_floor
from pipeline.provenance.ledger_writer import Ledger


def staged_copy(target):
    """Returns the paths of a root whose version 3 has the bytes of version 1, and is staged by run-1's push."""
    paths = audited_copy(target)
    paths.staged.mkdir()
    stage(paths, 3, paths.serving / "1")
    return paths


def stage(paths, version, source):
    ledger = Ledger.open(paths.ledger)
    raise_floor(paths.staged, version - 1)
    claim(paths.staged, version)
    shutil.copytree(source, paths.staged / str(version))
    push = ledger.chain.push(int(source.name))
    ledger.staged(node="Pusher", run_id=push.run_id, version=version, digest=push.sha256)
