"""axe-core (https://github.com/dequelabs/axe-core), the rules for pages that everybody can use, had from npm's registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from browser import Browser

VERSION = "4.14.1"
FILE = Path(__file__).parents[1] / ".tools" / f"axe-core-{VERSION}.js"
MEMBER = "package/axe.min.js"


def script() -> str | None:
    """Returns axe-core's JavaScript, fetched once; None where it cannot be had."""
    if not FILE.exists():
        npm = shutil.which("npm")
        if npm is None or not FILE.parent.is_dir():
            return None
        with tempfile.TemporaryDirectory(dir=FILE.parent) as folder:
            command = [npm, "pack", "--silent", f"axe-core@{VERSION}"]
            try:
                subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True)
            except (OSError, subprocess.SubprocessError):
                return None
            (packed,) = Path(folder).glob("*.tgz")
            with tarfile.open(packed) as archive:
                content = archive.extractfile(MEMBER)
                assert content is not None
                part = Path(folder) / "part"
                part.write_bytes(content.read())
            os.replace(part, FILE)  # another process of the tests may have been faster
    return FILE.read_text(encoding="utf-8")


def violations(browser: Browser, axe: str) -> list[Any]:
    """Returns what breaks a rule on the page that is open: (rule, the elements)."""
    browser.evaluate(f"{axe}; 0")
    found = browser.evaluate("axe.run().then((result) => result.violations)")
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
