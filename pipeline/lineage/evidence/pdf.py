"""The page as a PDF, printed by Chromium without a window, a script or a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from components.errors import EnvironmentProblem

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS: Final = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-pdf-header-footer",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
_TIMEOUT: Final = 120
"""Seconds; a page takes two."""

_DATES: Final = re.compile(rb"(/(?:CreationDate|ModDate) \(D:)\d{14}")


def pdf_of(page: str, time: str) -> bytes:
    """Return a page as a PDF.

    Args:
      page: HTML.
      time: ISO 8601, that stands for the moment of printing: the same page gives the same bytes.

    Raises:
      EnvironmentProblem: if there is no Chromium, or it fails.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        hint = "write FILE.html and print that from any browser, or install chromium"
        raise EnvironmentProblem("no Chromium here to print a PDF with", wanted=" or ".join(PROGRAMS), hint=hint)
    with tempfile.TemporaryDirectory() as folder:
        data = _printed(program, page, Path(folder))
    # Of the same length, so that the table of places at the end of the file stays right.
    return _DATES.sub(lambda match: match[1] + re.sub(r"\D", "", time)[:14].ljust(14, "0").encode(), data)


def _printed(program: str, page: str, folder: Path) -> bytes:
    source, target = folder / "evidence.html", folder / "evidence.pdf"
    source.write_text(page, encoding="utf-8")
    # Chromium has no sandbox for the superuser, as whom containers run; the page is ours and holds no script.
    flags = [*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    command = [program, *flags, f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={target}", source.as_uri()]
    try:
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=_TIMEOUT)
        return target.read_bytes()
    except (OSError, subprocess.SubprocessError) as err:
        hint = "write FILE.html and print that from any browser"
        raise EnvironmentProblem("Chromium did not print the page", where=program, got=err, hint=hint) from err
