"""A root with everything a page can show, over the first run's: approvals, a diff, damage, two data sets, markup in all words."""

from __future__ import annotations

import shutil
from pathlib import Path

from server.many_runs import Runs

from pipeline.provenance import keys
from pipeline.provenance.approval_writer import Person, add_key, approve
from pipeline.provenance.records import DataSource

HOSTILE = "<script>window.ran = 1</script><img src=http://example.com/x onerror='window.ran = 1'>\"'&amp;{{ 7 * 7 }}"

SERVED, TAMPERED = 5, 6
"""Versions: the newest whose bytes are what was pushed, and one after it whose bytes are not."""


def build(source: Path, target: Path, folder: Path) -> Path:
    """Write the root and return its path; keys go to a folder of their own."""
    shutil.copytree(source, target, symlinks=True)
    writer, ada = Runs(target), Person(by=f"Ada {HOSTILE}", reason="good enough")
    error = {"kind": "Refused", "what": HOSTILE, "where": "Evaluator"}
    said = {"status": "refused", "error": error, "recipe": HOSTILE}
    writer.add(2, **said, settings={**writer.first.settings, "seed": 2, HOSTILE: HOSTILE})
    file = DataSource(name=HOSTILE, payload_digest="a" * 64)
    stated = {"data": {**writer.first.settings["data"], "source": HOSTILE, "licence": HOSTILE}}
    data = {"rows_digest": None, "sources": (file,), "payload_digests": (file.payload_digest,)}
    writer.add(3, **said, **data, settings={**writer.first.settings, **stated})
    writer.add_own(4, {"Classifier": {"seed": HOSTILE}}, digest=writer.sha256)
    writer.add_own(SERVED, {"Classifier": {"seed": "7"}}, digest=writer.sha256)
    writer.add_own(TAMPERED, digest=writer.sha256)
    (target / f"serving/{TAMPERED}/saved_model.pb").write_bytes(b"other")
    pair = keys.generate(folder, algorithm=keys.ED25519)
    key = keys.load_private(pair.private, lambda: b"")
    approve(writer.ledger, "version", "version 1", writer.sha256, ada, None)
    add_key(writer.ledger, key.public, "Ada", ada)
    approve(writer.ledger, "version", f"version {SERVED}", writer.sha256, ada, key)
    return target
